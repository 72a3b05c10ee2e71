# SPDX-License-Identifier: Apache-2.0
"""Which place does this text name, and what is a place called so that it is found again?

Rules: 1. an id path (`/ID/ID/`) is itself; 2. a name is the names from anywhere in the tree down to the place, joined
by `/`, in any case, with or without blanks around the `/`; 3. one that names several from the top is theirs before
others'; 4. only what the caller may see is a place here; 5. a place whose name is not found again is called by its
path.
"""

from collections.abc import Iterable, Mapping

from checkvalve import ids, lines
from checkvalve.errors import CheckvalveError, ConflictError, NotFoundError
from checkvalve.server.access.model import ROOT, Scope

_SHOWN = 80  # characters of a name that was not found
_NOTHING: Mapping[str, str] = {}


class Places:
    """The places that a caller may see, by what they are called; `above` names those that these lie in, by path."""

    def __init__(self, seen: Iterable[Scope], above: Mapping[str, str] = _NOTHING) -> None:
        here = {one.path: one.name for one in seen}
        names = {**above, **here}
        self._whole: dict[str, str] = {}
        self._by_whole: dict[str, list[str]] = {}
        self._by_end: dict[str, list[str]] = {}
        for path in here:
            steps = path.strip("/").split("/")
            down = ["/" + "".join(f"{step}/" for step in steps[: depth + 1]) for depth in range(len(steps))]
            known = [names[each] for each in down if each in names]
            self._whole[path] = "/".join(known)
            self._by_whole.setdefault(_normal(self._whole[path]), []).append(path)
            for first in range(1, len(known)):
                self._by_end.setdefault(_normal("/".join(known[first:])), []).append(path)

    def called(self, path: str) -> str:
        """Return what a place is called, such that `path` finds it (rule 5)."""
        name = self._whole.get(path, path)
        try:
            return name if self.path(name) == path else path
        except CheckvalveError:
            return path

    def path(self, text: str) -> str:
        """Return the path of a place.

        Raises `NotFoundError` (`estate.no_site`), `ConflictError` (`estate.sites`) if the text names several.
        """
        tidy = text.strip()
        if tidy in self._whole:  # rule 1
            return tidy
        found = [] if _is_path(tidy) else self._by_whole.get(_normal(tidy)) or self._by_end.get(_normal(tidy), [])
        if not found:
            raise NotFoundError(
                "estate.no_site",
                f"There is no place {lines.tidy(tidy, _SHOWN)[:_SHOWN]!r}, or it is not yours to declare.",
                "Take its name from the list of sites: Norra Water/Visby.",
            )
        if len(found) > 1:
            raise ConflictError(
                "estate.sites",
                f"{tidy[:_SHOWN]!r} names {len(found)} places.",
                "Name more of what is above it, or give its id path.",
            )
        return found[0]


def _normal(text: str) -> str:
    return lines.folded("/".join(part.strip() for part in text.strip().strip("/").split("/")))


def _is_path(text: str) -> bool:
    steps = text[1:-1].split("/")
    return text == ROOT or (
        len(text) > 1 and text[0] == text[-1] == "/" and all(ids.well_formed(step) for step in steps)
    )
