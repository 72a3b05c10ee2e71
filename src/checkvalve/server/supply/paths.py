# SPDX-License-Identifier: Apache-2.0
"""Which path is meant, in the container and on the device?

Rules: 1. a path in the container is absolute, literal, without `..`, and the target of one thing only, whatever kind of
thing it is; 2. a path of the device is absolute and written in one way: without `..`, `.`, double or closing slashes;
3. where a variable stands in it, what is known of it keeps to that, and the rest is judged once values are known.
"""

import re
from dataclasses import dataclass, field
from posixpath import normpath

from checkvalve.protocol import filling
from checkvalve.server.supply.place import Place
from checkvalve.server.supply.sentences import brief

_PATH = re.compile(r"/[^\x00-\x1f\x7f:]+\Z")
_ABSOLUTE = "Write an absolute path in the container, without `..` and without a colon."
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Targets:
    """What is taken in one container (rule 1)."""

    taken: set[str] = field(default_factory=set)

    def claim(self, place: Place, target: str) -> bool:
        """Take a path for something; False, and told, if something has it."""
        if target in self.taken:
            place.refuse("value", f"Two things are mounted at {brief(target)}.", "Keep one of them.")
            return False
        self.taken.add(target)
        return True


def target(place: Place, text: str) -> str | None:
    """Return a path in the container, written in one way; None if it is refused."""
    if _PATH.match(text) is None or ".." in text.split("/") or not text.strip("/"):
        place.refuse("value", f"{brief(text) or 'Empty text'} is no path to mount at.", _ABSOLUTE)
        return None
    return "/" + "/".join(part for part in text.split("/") if part not in ("", "."))


def literal(place: Place, template: str) -> str | None:
    """Return what a part of a template says, where no variable may stand; None if one does."""
    if filling.names(template):
        words = f"A variable cannot stand in {brief(template)}."
        place.refuse("variable", words, "Write the value itself; what comes of the device may hold variables.")
        return None
    return filling.worded(template, {})


def host(place: Place, template: str) -> str | None:
    """Return a template of a path of the device (rules 2 and 3); None if it is refused."""
    known = place.known(template)
    shape = template if known is None else filling.literal(known)
    bare = re.sub(r"\$\{[^}]*\}", "x", shape).replace("$$", "$")
    if shape.startswith("${"):
        bare = "/" + bare
    if not bare.startswith("/") or bare.startswith("//") or normpath(bare) != bare or _CONTROL.search(bare):
        words = f"{brief(template) or 'Empty text'} is no path of the device."
        place.refuse("value", words, "Write an absolute path, without `.`, `..`, double slashes or one at the end.")
        return None
    return template
