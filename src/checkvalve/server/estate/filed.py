# SPDX-License-Identifier: Apache-2.0
"""What does a file declare? All of it, or nothing: every line that is wrong is named with its reason.

Rules: 1. nothing counts of a file that holds one wrong line; 2. a class stands in a file once; 3. what a file does not
name stays as it is: a file adds to what is declared, and ends only what it gives the number 0.
"""

from checkvalve.errors import CheckvalveError, InvalidError
from checkvalve.server.estate import decide
from checkvalve.server.estate.model import MOST, File, Key, Kind, Line, Said, Wrong
from checkvalve.server.estate.naming import Places

SHOWN = 50
"""So many wrong lines are named; of the others there is the number."""


def judge(file: File, places: Places) -> tuple[Said, ...]:
    """Return what a file declares, in its order; `InvalidError` (`estate.file`) with every line that is wrong."""
    said: list[Said] = []
    wrong, there = list(file.wrong), dict[Key, int]()
    for line in file.lines:
        try:
            one = _said(line, places)
        except CheckvalveError as error:
            wrong.append(Wrong(line.number, error.sentence.removesuffix(".")))
            continue
        first = there.setdefault(decide.key(one), line.number)
        if first != line.number:  # rule 2
            wrong.append(Wrong(line.number, f"the class {one.class_name!r} of this site is in line {first} already"))
        said.append(one)
    if wrong:
        raise _refused(wrong, len(file.lines) + len(file.wrong))
    return tuple(said)


def _said(line: Line, places: Places) -> Said:
    path = places.path(line.site)
    word = line.kind.strip().lower()
    if word not in {kind.value for kind in Kind}:
        raise InvalidError("estate.kind", "The kind is device or legacy.", "Say which of the two it is.")
    digits = line.count.strip()
    if not (digits.isascii() and digits.isdigit()) or len(digits) > len(str(MOST)):
        raise InvalidError(
            "estate.number",
            f"The number is from 0 to {MOST:,}, in digits only",
            "Write 1210, without blanks, points or commas.",
        )
    return decide.clean(Said(path, Kind(word), line.class_name, int(digits), line.note))


def _refused(wrong: list[Wrong], lines: int) -> InvalidError:
    ordered = sorted(wrong, key=lambda one: one.number)
    told = [f"line {one.number}: {one.reason}" for one in ordered[:SHOWN]]
    if len(ordered) > SHOWN:
        told.append(f"and {len(ordered) - SHOWN:,} more")
    number = f"{len(ordered):,} of its {lines:,} lines {'is' if len(ordered) == 1 else 'are'} wrong"
    return InvalidError(
        "estate.file",
        f"Nothing of the file was declared: {number}.",
        "\n".join(["Correct these and send the whole file again:", *told]),
        wrong=len(ordered),
        lines=lines,
    )
