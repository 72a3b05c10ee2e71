# SPDX-License-Identifier: Apache-2.0
"""Rules on the shape of every file: first line, docstring, size, names, where imports stand."""

import ast
import re
from collections.abc import Iterator

from tests.house.tree import Finding, Source, functions

SPDX = "# SPDX-License-Identifier: Apache-2.0"
DOCSTRING = 20
FILE = 400
TEST_FILE = 800
FUNCTION = 60
# What may be longer says why, in the file's first lines or above the function: `# long: a table of states and events`.
LONG = re.compile(r"#\s*long: \S.{14,}")
NAMES = frozenset(
    "service services repository repositories dto dtos manager managers helper helpers util utils common".split()
)


def first_line(source: Source) -> Iterator[Finding]:
    """The first line names the licence."""
    if source.text.partition("\n")[0] != SPDX:
        yield 1, f"the first line is not {SPDX!r}"


def docstring(source: Source) -> Iterator[Finding]:
    """A module says what it is for, in more than its name."""
    said = ast.get_docstring(source.tree) or ""
    if len(said) < DOCSTRING:
        yield 1, f"the module has no docstring of at least {DOCSTRING} characters"


def size(source: Source) -> Iterator[Finding]:
    """A file and a function fit into one reading."""
    lines = source.text.splitlines()
    most = FILE if source.ours else TEST_FILE
    if len(lines) > most and not any(LONG.search(line) for line in lines[:10]):
        yield 1, f"{len(lines)} lines are more than {most}: split it by subject, or say why not (`# long: …`)"
    if not source.ours:
        return
    for function in functions(source.tree):
        first = min([function.lineno, *(decorator.lineno for decorator in function.decorator_list)])
        length = (function.end_lineno or function.lineno) - first + 1
        if length > FUNCTION and not (first > 1 and LONG.search(lines[first - 2])):
            yield function.lineno, f"{function.name} has {length} lines, more than {FUNCTION}"


def late_import(source: Source) -> Iterator[Finding]:
    """What a module needs stands at its top; only `main` chooses while it runs."""
    if not source.ours or source.within("main.py"):
        return
    for function in functions(source.tree):
        for node in ast.walk(function):
            names = _imported(node)
            if any(name == "checkvalve" or name.startswith("checkvalve.") for name in names):
                yield node.lineno, f"{function.name} imports one of our own modules while it runs"  # type: ignore[attr-defined]


def _imported(node: ast.AST) -> list[str]:
    match node:
        case ast.Import():
            return [alias.name for alias in node.names]
        case ast.ImportFrom(module=str(module)):
            return [module]
        case ast.Call(
            func=ast.Attribute(attr="import_module") | ast.Name(id="import_module"),
            args=[ast.Constant(value=str(name)), *_],
        ):
            return [name]
        case _:
            return []


# What a standard calls so: the Compose Specification's service.
OF_THE_FIELD = frozenset({("src/checkvalve/protocol/workload.py", "Service")})


def name(source: Source) -> Iterator[Finding]:
    """A name says what a thing is, never only that it is a layer or a drawer."""
    for part in source.path.removesuffix(".py").split("/"):
        if NAMES & set(part.lower().split("_")):
            yield 1, f"{part!r} names a drawer; name the subject or the decision"
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ClassDef):
            words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+", node.name)
            if words and words[-1].lower() in NAMES and (source.path, node.name) not in OF_THE_FIELD:
                yield node.lineno, f"class {node.name} is named for a layer; name what it is"


RULES = (first_line, docstring, size, late_import, name)
