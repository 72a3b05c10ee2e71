# SPDX-License-Identifier: Apache-2.0
"""The tree as the rules see it: one `Source` a file, with its place and its syntax.

A rule is a function of one `Source`; it yields `(line, sentence)` for each thing that is wrong, and nothing else.
"""

import ast
import functools
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parents[2]
SERVER = ROOT / "src/checkvalve/server"
SCHEMA = SERVER / "db/schema.py"

# What stands in `server/` and is no room (a room serves one subject).
FLOORS = frozenset({"blobs", "db", "exchange", "outside", "tasks", "web"})
NOT_DECISIONS = frozenset({"__init__", "actions", "writes", "queries", "model", "tables"})

Finding = tuple[int, str]
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Source:
    """One Python file; `path` is relative to the root, with slashes."""

    path: str
    text: str

    @functools.cached_property
    def tree(self) -> ast.Module:
        """The syntax of the file."""
        return ast.parse(self.text, self.path)

    @property
    def name(self) -> str:
        """The file name without `.py`."""
        return PurePosixPath(self.path).stem

    @property
    def ours(self) -> bool:
        """Whether it is part of the product (and not a test or an example)."""
        return self.path.startswith("src/checkvalve/")

    @property
    def room(self) -> str:
        """The room it stands in, or nothing."""
        parts = self.path.split("/")
        inside = len(parts) > 4 and parts[:3] == ["src", "checkvalve", "server"] and parts[3] not in FLOORS
        return parts[3] if inside else ""

    def within(self, *places: str) -> bool:
        """Tell whether it stands in one of `places`, each a path below `src/checkvalve/` (a folder ends in a slash)."""
        return any(
            self.path.startswith(f"src/checkvalve/{place}")
            if place.endswith("/")
            else self.path == f"src/checkvalve/{place}"
            for place in places
        )


Rule = Callable[[Source], Iterator[Finding]]


@functools.cache
def tracked() -> tuple[str, ...]:
    """Return the paths of all files that are, or are about to be, under version control."""
    listing = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    return tuple(sorted(path for path in listing.split("\0") if path and (ROOT / path).is_file()))


@functools.cache
def sources() -> tuple[Source, ...]:
    """Return all Python files of the project."""
    return tuple(Source(path, (ROOT / path).read_text()) for path in tracked() if path.endswith(".py"))


def rooms() -> list[str]:
    """Return the rooms that hold code, in order of name."""
    if not SERVER.is_dir():
        return []
    return sorted(path.parent.name for path in SERVER.glob("*/__init__.py") if path.parent.name not in FLOORS)


def decisions(room: str) -> list[str]:
    """Return the decisions of a room: what is none of the other kinds."""
    names = {path.stem for path in (SERVER / room).glob("*.py")}
    names |= {path.parent.name for path in (SERVER / room).glob("*/__init__.py")}
    return sorted(names - NOT_DECISIONS)


def broken(rule: Rule) -> list[str]:
    """Return what `rule` finds in the tree, as `path:line: sentence`."""
    return [f"{source.path}:{line}: {sentence}" for source in sources() for line, sentence in rule(source)]


def functions(tree: ast.AST) -> Iterator[Function]:
    """Yield all functions and methods, however deep."""
    for node in ast.walk(tree):
        if isinstance(node, Function):
            yield node


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield `(line, module)` for every import; `from a import b` yields `a` and `a.b`, since `b` may be a module."""
    for node in ast.walk(tree):
        match node:
            case ast.Import():
                for alias in node.names:
                    yield node.lineno, alias.name
            case ast.ImportFrom(module=str(module)):
                yield node.lineno, module
                for alias in node.names:
                    yield node.lineno, f"{module}.{alias.name}"
            case _:
                pass


def dotted(node: ast.AST) -> str:
    """Return `a.b.c` for a chain of names, else nothing."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=attr):
            before = dotted(value)
            return f"{before}.{attr}" if before else ""
        case _:
            return ""
