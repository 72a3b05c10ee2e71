# SPDX-License-Identifier: Apache-2.0
"""Rules on the papers: decisions have their form and fit on a page, and a link leads somewhere."""

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import PurePosixPath

LINES = 60
PARTS = ("Context", "Decision", "Consequences", "Alternatives")
_CITED = re.compile(r"\bwalk (\w+), (\d+)(?:(?: to|,? and|,) (\d+))?")
_STEP = re.compile(r"^(\d+)\. ", re.MULTILINE)
_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)\s]*)?\)")


def decision_form(text: str, number: str) -> Iterator[str]:
    """Yield what a decision record lacks; `number` is the one in its file name."""
    lines = text.splitlines()
    if len(lines) > LINES:
        yield f"{len(lines)} lines are more than {LINES}"
    if not lines or not lines[0].startswith(f"# {number}. "):
        yield f"the title does not begin with its number, {number}"
    if not re.search(r"^Status: (?:proposed|accepted|replaced by \d{4}), \d{4}-\d\d$", text, re.MULTILINE):
        yield "has no status with a month"
    parts = tuple(line.removeprefix("## ") for line in lines if line.startswith("## "))
    if parts != PARTS:
        yield f"has the parts {parts}, not {PARTS}"


def dead_links(path: str, text: str, there: Collection[str]) -> Iterator[tuple[int, str]]:
    """Yield `(line, target)` for each relative link to a file that is not among `there`."""
    for number, line in enumerate(text.splitlines(), 1):
        for target in _LINK.findall(line):
            if re.match(r"[a-z]+:", target):
                continue
            parts: list[str] = []
            for part in (PurePosixPath(path).parent / target).parts:
                if part == ".." and parts:
                    parts.pop()
                else:
                    parts.append(part)
            found = "/".join(parts)
            if found not in there and not any(name.startswith(f"{found}/") for name in there):
                yield number, target


def steps(walk: str) -> set[int]:
    """Return the numbers of a walk's steps."""
    return {int(number) for number in _STEP.findall(walk)}


def missing_steps(text: str, walks: Mapping[str, Collection[int]]) -> Iterator[str]:
    """Yield each citation (`walk attempt, 9`) of a step that is not among those of the walk, or of no walk."""
    for found in _CITED.finditer(text):
        numbers = {int(number) for number in found.groups()[1:] if number}
        if not numbers <= set(walks.get(found[1], ())):
            yield found[0]
