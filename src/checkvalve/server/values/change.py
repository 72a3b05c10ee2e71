# SPDX-License-Identifier: Apache-2.0
"""May these values be set here, and what would that change?

Rules: 1. names and texts have the forms and sizes that a manifest and a device take; 2. nothing is said twice, and at
most `MOST` at once; 3. a value for one line of releases fits a published release of that line that declares it, if one
does, and is of the kind that it is declared as: what no device could take is said to the person who types it; 4. what
is set already is no change.
"""

import re
from collections.abc import Callable, Sequence
from typing import assert_never

from checkvalve.canonical import Json
from checkvalve.errors import InvalidError
from checkvalve.protocol import declared, part, values
from checkvalve.protocol.workload import Manifest
from checkvalve.server.values.model import Change, Entry, Key, Kind, Wanted

MOST = 100
LONGEST_NOTE = 2_000

_FORMS = {Kind.VARIABLE: part.VARIABLE, Kind.FILE: part.NAME, Kind.SECRET: part.NAME}
_SIZES = {
    Kind.VARIABLE: declared.LARGEST_VARIABLE,
    Kind.FILE: declared.LARGEST_FILE,
    Kind.SECRET: declared.LARGEST_SECRET,
}


def check(wanted: Sequence[Wanted], note: str) -> None:
    """Judge what is asked for by itself (rules 1, 2).

    Raises `InvalidError`: `values.changes`, `values.twice`, `values.note`, `values.name`, `values.line`,
    `values.text`, `values.long`, `values.empty`.
    """
    if not 1 <= len(wanted) <= MOST:
        raise InvalidError("values.changes", f"{len(wanted)} values were named.", f"Set from 1 to {MOST} at once.")
    if len({one.key for one in wanted}) < len(wanted):
        raise InvalidError("values.twice", "One value is named twice.", "Say it once.")
    if len(note) > LONGEST_NOTE or "\0" in note:
        raise InvalidError("values.note", f"A note has at most {LONGEST_NOTE} characters.", "Shorten it.")
    for one in wanted:
        _named(one.key)
        if one.content is not None:
            _text(one.key, one.content)


def fits(wanted: Wanted, releases: Sequence[tuple[str, Manifest]]) -> None:
    """Judge a value by the published releases of its line, the newest first, as name and manifest (rule 3).

    Raises `InvalidError` (`values.misfit`).
    """
    if wanted.content is None:
        return
    _of_its_kind(wanted.key, releases)
    if wanted.key.kind is not Kind.VARIABLE:
        return
    declaring = [
        (name, one) for name, manifest in releases for one in manifest.variables if one.name == wanted.key.name
    ]
    refused = [(name, why) for name, one in declaring if (why := declared.misfit(one, wanted.content))]
    if refused and len(refused) == len(declaring):
        name, why = refused[0]
        shown = f"{wanted.content[:80]!r} is no value of {wanted.key.name} as {name} declares it."
        raise InvalidError("values.misfit", f"{shown} {why}", "Correct it.")


def differs(wanted: Wanted, there: Entry | None, holds: Callable[[Entry, bytes], bool] | None) -> bool:
    """Tell whether it changes what is `there` (rule 4).

    `holds` tells whether an entry keeps a secret. Without it every secret is a change: whoever may try one without
    setting it must not learn by it what is set.
    """
    if there is None or wanted.content is None:
        return (there is None) != (wanted.content is None)
    if wanted.key.kind is Kind.SECRET:
        return holds is None or not holds(there, wanted.content.encode())
    return there.content != wanted.content.encode()


def fact(change: Change, ident: str) -> Json:
    """Return what the record says of a change. Of a secret it says that one was set, and nothing of what is in it."""
    key, content = change.wanted.key, change.wanted.content
    return {
        "after": None if content is None else mark(key, content.encode()),
        "before": None if change.before is None else mark(key, change.before.content or b""),
        "entry": ident,
        "kind": key.kind.value,
        "line": key.line,
        "name": key.name,
        "was": None if change.before is None else change.before.id,
    }


def mark(key: Key, content: bytes) -> str:
    """Return what is told of a content: the digest of a text, and of a secret only that there is one."""
    match key.kind:
        case Kind.SECRET:
            return "set"
        case Kind.VARIABLE | Kind.FILE:
            return values.digest(content)
        case never:
            assert_never(never)


def _named(key: Key) -> None:
    if re.fullmatch(_FORMS[key.kind], key.name) is None:
        what = "letters, digits and _" if key.kind is Kind.VARIABLE else "lower-case letters, digits, dot, dash and _"
        raise InvalidError(
            "values.name", f"{key.name[:80]!r} is no name of a {key.kind}.", f"A {key.kind} is called by {what}."
        )
    if key.line and re.fullmatch(part.NAME, key.line) is None:
        raise InvalidError(
            "values.line", f"{key.line[:80]!r} is no name of releases.", "Give their name without a version."
        )


def _of_its_kind(key: Key, releases: Sequence[tuple[str, Manifest]]) -> None:
    """Refuse a name that releases declare as another kind only: a secret typed as a variable could be read by all."""
    declared_as = [
        (name, kind)
        for name, manifest in releases
        for kind, there in (
            (Kind.VARIABLE, manifest.variables),
            (Kind.FILE, manifest.files),
            (Kind.SECRET, manifest.secrets),
        )
        if key.name in {one.name for one in there}
    ]
    if declared_as and key.kind not in {kind for _, kind in declared_as}:
        name, kind = declared_as[0]
        sentence = f"{key.name} is a {kind} of {name}, and was given as a {key.kind}."
        raise InvalidError("values.misfit", sentence, f"Set it as a {kind}; nothing was kept of what was given.")


def _text(key: Key, content: str) -> None:
    if "\0" in content or not _encodes(content):
        raise InvalidError("values.text", f"{key.name} is no text in UTF-8.", "Save it as UTF-8, without U+0000.")
    size = len(content) if key.kind is Kind.VARIABLE else len(content.encode())
    if size > _SIZES[key.kind]:
        unit = "characters" if key.kind is Kind.VARIABLE else "bytes"
        raise InvalidError(
            "values.long", f"{key.name} is {size} {unit}.", f"A {key.kind} has at most {_SIZES[key.kind]}."
        )
    if key.kind is Kind.SECRET and not content:
        raise InvalidError("values.empty", f"The secret {key.name} is empty.", "Give its text, or take it away.")


def _encodes(content: str) -> bool:
    try:
        content.encode()
    except UnicodeEncodeError:
        return False
    return True
