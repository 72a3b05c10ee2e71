# SPDX-License-Identifier: Apache-2.0
"""May this node stand here in the tree, and under which name?"""

from checkvalve import lines
from checkvalve.errors import InvalidError
from checkvalve.server.access.model import CHILDREN, ScopeKind

LONGEST_NAME = 100
DEEPEST = 10


def child(parent: ScopeKind | None, kind: ScopeKind, depth: int) -> None:
    """Judge a node of `kind` under `parent` (None: the plane), `depth` nodes deep.

    Raises `InvalidError` (`scope.place`, `scope.depth`).
    """
    if kind not in CHILDREN[parent]:
        over = parent.value if parent else "the plane"
        allowed = ", ".join(sorted(CHILDREN[parent]))
        raise InvalidError("scope.place", f"Under {over} there is no {kind}.", f"Make one of these there: {allowed}.")
    if depth > DEEPEST:
        raise InvalidError("scope.depth", f"The tree is at most {DEEPEST} nodes deep.", "Put the area one level up.")


def name(text: str) -> str:
    """Return the name as it is kept (NFC, no blanks at its ends).

    Raises `InvalidError` (`name.empty`, `name.long`, `name.characters`): control and format characters would let one
    name look like another, or break a line of a log.
    """
    tidy = lines.tidy(text, LONGEST_NAME)
    if not tidy:
        raise InvalidError("name.empty", "A name is needed.", "Give the name people on site use.")
    if len(tidy) > LONGEST_NAME:
        raise InvalidError("name.long", f"A name has at most {LONGEST_NAME} characters.", "Shorten it.")
    if not lines.plain(tidy):
        raise InvalidError("name.characters", "A name holds no control characters.", "Type it anew, without them.")
    return tidy
