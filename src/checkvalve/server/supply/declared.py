# SPDX-License-Identifier: Apache-2.0
"""What does a compose file leave open: which variables, files and secrets (walk values, 1)?

Rules: 1. `x-checkvalve` declares all three, and compose's own `configs` and `secrets` are files and secrets, too: a
name is declared once; 2. nothing is read from the machine that reads the file: a default is text that stands in it, and
a secret has none; 3. a default is a value as any other, and must fit; 4. the order in the file means nothing.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import cast, get_args

from checkvalve.protocol import declared, pattern
from checkvalve.protocol.declared import File, Secret, Variable
from checkvalve.protocol.part import VARIABLE
from checkvalve.server.supply import keywords, storage
from checkvalve.server.supply.document import Kind
from checkvalve.server.supply.place import Place
from checkvalve.server.supply.sentences import brief

MOST_CHOICES = 100
LONGEST_HELP = 1_000
_KINDS: tuple[str, ...] = get_args(declared.Kind)
_SAYS = "Write its default, or `kind`, `default`, `pattern`, `choices` and `help` below its name."
_FORM = "Use letters, digits and `_`, at most 63, no digit first."


@dataclass(frozen=True, slots=True)
class Open:
    """What values fill, each by name (rule 4)."""

    variables: tuple[Variable, ...] = ()
    files: tuple[File, ...] = ()
    secrets: tuple[Secret, ...] = ()


def read(top: Place, extended: Place | None) -> Open:
    """Return what the file leaves open; from here on its templates may name the variables."""
    at = extended.at if extended is not None else lambda _: None
    files = {key: _file(key, item) for key, item in _named(at("files"))}
    secrets = {key: _secret(key, item) for key, item in _named(at("secrets"))}
    for key, item in _named(top.at("configs"), files):
        files[key] = _config(key, item)
    for key, item in _named(top.at("secrets"), secrets):
        secrets[key] = _compose_secret(key, item)
    return Open(
        variables=tuple(one for _, one in sorted(_variables(at("variables")).items())),
        files=tuple(one for _, one in sorted(files.items())),
        secrets=tuple(one for _, one in sorted(secrets.items())),
    )


def _variables(place: Place | None) -> dict[str, Variable]:
    if place is None or not _few(place):
        return {}
    found: dict[str, Variable] = {}
    for key, item in place.entries():
        if not re.match(VARIABLE, key):
            item.refuse("name", f"{brief(key) or 'Empty text'} is no name of a variable.", _FORM)
            continue
        place.found.variables[key] = None
        found[key] = _variable(key, item)
        place.found.variables[key] = found[key].default
    return found


def _variable(name: str, place: Place) -> Variable:
    if place.empty:
        return Variable(name=name)
    if place.node.kind is not Kind.MAP:
        default = place.word() if place.node.kind is not Kind.LIST else place.text(instead=_SAYS)
        return _checked(place, Variable(name=name, default=default))
    if not place.keys(keywords.X_VARIABLE):
        return Variable(name=name)
    written, told = place.at("default"), place.at("help")
    choices = _choices(place.at("choices"))
    variable = Variable(
        name=name,
        kind=_kind(place, choices),
        default=written.word() if written else None,
        pattern=_pattern(place.at("pattern")),
        choices=choices,
        help=(told.text(longest=LONGEST_HELP) or "") if told else "",
    )
    return _checked(written or place, variable)


def _checked(place: Place, variable: Variable) -> Variable:
    """Check the default (rule 3); one that does not fit is left out, so that it is told once."""
    why = declared.misfit(variable, variable.default) if variable.default is not None else ""
    if not why:
        return variable
    words = f"{brief(variable.default or '') or 'Empty text'} is no value of {brief(variable.name)}. {brief(why, 200)}"
    place.refuse("value", words, "Correct it, or take the default out: then every device needs a value.")
    return Variable(name=variable.name, kind=variable.kind, choices=variable.choices)


def _kind(place: Place, choices: tuple[str, ...]) -> declared.Kind:
    at, other = place.at("kind"), place.at("type")
    if at is not None and other is not None:
        other.refuse("duplicate", "`type` is `kind` in another word.", "Keep one of them.")
    at = at or other
    kind = at.choice(_KINDS) if at is not None else None
    listed = place.at("choices")
    if listed is not None and kind not in (None, "choice"):
        listed.refuse("value", f"A variable of kind {kind} has no choices.", "Write `kind: choice`, or take them out.")
    if at is not None and kind == "choice" and listed is None:
        at.refuse("missing", "The variable does not say what to choose from.", "Write `choices: [a, b]`.")
    return cast("declared.Kind", kind or ("choice" if choices else "text"))


def _choices(place: Place | None) -> tuple[str, ...]:
    texts = place.each(Place.word) if place is not None else None
    if place is None or texts is None:
        return ()
    if not 1 <= len(texts) <= MOST_CHOICES or len(set(texts)) < len(texts):
        place.refuse("value", f"There are 1 to {MOST_CHOICES} choices, each once.", "Write each that may be chosen.")
    return tuple(texts)


def _pattern(place: Place | None) -> str:
    text = place.text() if place is not None else None
    if place is None or text is None:
        return ""
    try:
        pattern.read(text)
    except pattern.PatternError as error:
        place.refuse("value", f"This is no pattern. {error}", "It is of the whole text, as [A-Z]{2}-[0-9]+ is.")
        return ""
    return text


def _file(name: str, place: Place) -> File:
    if place.empty or not place.keys(keywords.X_FILE):
        return File(name=name)
    default, told = place.at("default"), place.at("help")
    return File(
        name=name,
        default=_content(default),
        help=(told.text(longest=LONGEST_HELP) or "") if told else "",
    )


def _config(name: str, place: Place) -> File:
    if place.empty or not place.keys(keywords.CONFIG):
        return File(name=name)
    return File(name=name, default=_content(place.at("content")))


def _content(place: Place | None) -> str | None:
    """Return the text of a file, in which no variable is filled."""
    text = place.text(longest=declared.LARGEST_FILE) if place is not None else None
    if place is not None and text is not None and len(text.encode()) > declared.LARGEST_FILE:
        place.refuse("value", f"A file has at most {declared.LARGEST_FILE} bytes.", "Bring it in the image.")
        return None
    return text


def _secret(name: str, place: Place) -> Secret:
    if place.empty or not place.keys(keywords.X_SECRET):
        return Secret(name=name)
    told = place.at("help")
    return Secret(name=name, help=(told.text(longest=LONGEST_HELP) or "") if told else "")


def _compose_secret(name: str, place: Place) -> Secret:
    if not place.empty:
        place.keys(keywords.SECRET)
    return Secret(name=name)


def _named(place: Place | None, there: Collection[str] = ()) -> Iterator[tuple[str, Place]]:
    """Yield what is declared; a name that is `there` already is refused (rule 1)."""
    for key, item in place.entries() if place is not None and _few(place) else ():
        if key in there:
            words = f"{brief(key)} is declared below `x-checkvalve`, too."
            item.refuse("duplicate", words, "Keep one of them.")
        elif storage.named(item, key):
            yield key, item


def _few(place: Place) -> bool:
    if not place.is_a(Kind.MAP, instead="Write each name, and a colon."):
        return False
    if len(place.node.entries) > declared.MOST:
        words = f"There are {len(place.node.entries)} names; {declared.MOST} is the most."
        place.refuse("value", words, "Put what belongs together into one file.")
        return False
    return True
