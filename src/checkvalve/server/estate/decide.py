# SPDX-License-Identifier: Apache-2.0
"""What may be declared, which of what was declared counts, and what would declaring this change?

Rules: 1. a class belongs to an organisation, a site or an area, never to the plane; 2. two spellings that differ in
case only are one class; 3. the newest declaration of a class counts, and one of number 0 ends it; 4. what says the same
as what counts changes nothing, so that a file that comes twice writes nothing the second time.
"""

from collections.abc import Iterable, Mapping

from checkvalve import lines
from checkvalve.errors import InvalidError
from checkvalve.server.access.model import ROOT
from checkvalve.server.estate.model import (
    LONGEST_CLASS,
    LONGEST_NOTE,
    MOST,
    Change,
    Changes,
    Declaration,
    Key,
    Said,
    What,
)


def clean(said: Said) -> Said:
    """Return what somebody declares as it is kept.

    Raises `InvalidError` (`estate.place`, `estate.class`, `estate.number`, `estate.note`).
    """
    if said.scope == ROOT:  # rule 1
        raise InvalidError(
            "estate.place",
            "What there is, is declared at an organisation, a site or an area, and not at the whole plane.",
            "Name the site it stands at.",
        )
    name, note = lines.tidy(said.class_name, LONGEST_CLASS), lines.tidy(said.note, LONGEST_NOTE)
    if not name or len(name) > LONGEST_CLASS or not lines.plain(name):
        raise InvalidError(
            "estate.class",
            f"A class is one to {LONGEST_CLASS} characters on one line.",
            "Say it in a word or two: PLC, RTU, press gateway.",
        )
    if not 0 <= said.number <= MOST:
        raise InvalidError(
            "estate.number", f"The number is from 0 to {MOST:,}.", "Declare how many there are; 0 ends the class."
        )
    if len(note) > LONGEST_NOTE or not lines.plain(note):
        raise InvalidError(
            "estate.note",
            f"A note is one line of at most {LONGEST_NOTE:,} characters.",
            "Say where the number comes from, in a few words.",
        )
    return Said(said.scope, said.kind, name, said.number, note)


def key(said: Said | Declaration) -> Key:
    """Return which class this is about (rule 2)."""
    return Key(said.scope, said.kind, lines.folded(said.class_name))


def newest(rows: Iterable[Declaration]) -> dict[Key, Declaration]:
    """Return the newest of every class, ended ones too (rule 3)."""
    found: dict[Key, Declaration] = {}
    for row in rows:
        there = found.get(key(row))
        if there is None or (there.made_at, there.id) < (row.made_at, row.id):
            found[key(row)] = row
    return found


def changes(wanted: Iterable[Said], there: Mapping[Key, Declaration]) -> Changes:
    """Return what declaring `wanted` changes; `there` is what `newest` returns (rules 3, 4).

    Raises what `clean` does, and `InvalidError` (`estate.twice`) if a class is there twice.
    """
    items: dict[Key, Change] = {}
    for said in map(clean, wanted):
        if key(said) in items:
            raise InvalidError(
                "estate.twice", f"The class {said.class_name!r} is declared twice at once.", "Say each class once."
            )
        items[key(said)] = _change(said, there.get(key(said)))
    return Changes(tuple(items.values()))


def _change(said: Said, newest: Declaration | None) -> Change:
    before = newest if newest is not None and newest.number else None
    if before is None:
        return Change(What.ADDED if said.number else What.UNCHANGED, said)
    if not said.number:
        return Change(What.ENDED, said, before)
    same = (said.class_name, said.number, said.note) == (before.class_name, before.number, before.note)
    return Change(What.UNCHANGED if same else What.CHANGED, said, before)
