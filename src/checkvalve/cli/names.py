# SPDX-License-Identifier: Apache-2.0
"""Which scope or person does this text name? And what are they called?

Rules for scopes: 1. a path (`/ID/ID/`) or an id is itself; 2. a name is the names from anywhere in the tree down to the
node, joined by `/`, in any case; 3. one that names several nodes from the top is theirs before others'; 4. what names
none or several is an error that lists what there is.
"""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from checkvalve import ids, lines
from checkvalve.errors import ConflictError, NotFoundError
from checkvalve.protocol.api import Person, Scope

ROOT = "/"
_MOST = 10


@dataclass(frozen=True)
class Scopes:
    """The nodes one may see, by path."""

    by_path: Mapping[str, Scope]

    @classmethod
    def of(cls, found: Sequence[Scope]) -> "Scopes":
        """Return the tree of these nodes."""
        return cls({scope.path: scope for scope in found})

    def called(self, path: str) -> str:
        """Return the names down to the node at `path`.

        It is the path itself where they cannot be seen, and where they would be read as something else: as a path, an
        id, or without the slash they begin or end with.
        """
        if path == ROOT:
            return "(plane)"
        steps = path.strip("/").split("/")
        above = ["/" + "".join(f"{step}/" for step in steps[: depth + 1]) for depth in range(len(steps))]
        names = [self.by_path[each].name for each in above if each in self.by_path]
        text = "/".join(names)
        plain = text == text.strip().strip("/") and not _is_path(text) and not ids.well_formed(text)
        return text if path in self.by_path and plain else path

    def path(self, text: str, kind: str = "") -> str:
        """Return the path that `text` names, among nodes of `kind` only if one is given.

        Raises `NotFoundError` (`scope.unknown`), `ConflictError` (`scope.ambiguous`).
        """
        if _is_path(text):  # rule 1
            return text
        wanted = lines.folded(text.strip().strip("/"))
        of_kind = [path for path, node in self.by_path.items() if kind in {"", node.kind}]
        called = {path: lines.folded(self.called(path)) for path in of_kind}
        found = [path for path in called if path.endswith(f"/{wanted}/") and ids.well_formed(wanted)]
        found = found or [path for path, name in called.items() if name == wanted]  # rule 3
        found = found or [path for path, name in called.items() if name.endswith(f"/{wanted}")]  # rule 2
        if len(found) == 1:
            return found[0]
        if found:  # rule 4
            listed = [f"{self.called(path)}  {path}" for path in sorted(found)]
            remedy = _listed("Name more of what is above it, or give the path:", listed)
            raise ConflictError("scope.ambiguous", f"{text!r} names {len(found)} scopes.", remedy)
        every = sorted(self.called(path) for path in of_kind)
        near = _near(wanted, every)
        remedy = _listed("There are:", near) if near else "You see no scopes here at all; ask for a role."
        raise NotFoundError("scope.unknown", f"No {kind or 'scope'} that you may see is called {text!r}.", remedy)


def person(text: str, people: Sequence[Person]) -> Person:
    """Return whom a login or an id names; `NotFoundError` (`person.unknown`)."""
    wanted = text.strip().casefold()
    for one in people:
        if wanted in {one.id, one.login.casefold()}:
            return one
    near = _near(wanted, sorted(one.login for one in people))
    remedy = _listed("There are:", near) if near else "You see no people here at all; ask for a role."
    raise NotFoundError("person.unknown", f"Nobody that you may see signs in as {text!r}.", remedy)


def _is_path(text: str) -> bool:
    steps = text[1:-1].split("/")
    return text == ROOT or (
        len(text) > 1 and text[0] == text[-1] == "/" and all(ids.well_formed(step) for step in steps)
    )


def _near(wanted: str, every: list[str]) -> list[str]:
    if len(every) <= _MOST:
        return every
    folded = {lines.folded(name): name for name in every}
    near = difflib.get_close_matches(wanted, folded, n=_MOST, cutoff=0.4)
    return [folded[name] for name in near] or [*every[:_MOST], f"... and {len(every) - _MOST} more"]


def _listed(head: str, lines: Sequence[str]) -> str:
    return "\n".join([head, *lines])
