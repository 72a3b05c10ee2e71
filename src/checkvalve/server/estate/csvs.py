# SPDX-License-Identifier: Apache-2.0
"""The declared estate as a table that spreadsheets read and write: `site,kind,class,number,note`.

Rules: 1. UTF-8 with or without a byte order mark, any line ends, `,` or `;` between cells, at most `LARGEST` bytes and
`MOST_LINES` lines; 2. a text that a spreadsheet would calculate goes out with a `'` before it, and such a `'` is taken
back when it comes in; 3. a text that comes in and would be calculated is refused: nobody types it, and whoever opened
the export would run it; 4. what was written reads as what it was (a law that tests hold).
"""

import csv
import re
from collections.abc import Iterable
from types import SimpleNamespace

from checkvalve import lines
from checkvalve.errors import InvalidError
from checkvalve.server.estate.model import File, Line, Wrong

HEADING = ("site", "kind", "class", "number", "note")
LARGEST = 1 << 20  # bytes
MOST_LINES = 10_000
CALCULATED = ("=", "+", "-", "@", "\t", "\r")
"""What a cell begins with that a spreadsheet takes for a formula."""
MEDIA_TYPE = "text/csv"

MARK = "\N{ZERO WIDTH NO-BREAK SPACE}"  # without it, spreadsheets take UTF-8 for something else
_ENDED = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
"""A line with its end: a cell in quotes may go on behind it."""
_TEXTS = {"site": 0, "class": 2, "note": 4}


def read(data: bytes) -> File:
    """Return the lines of a file, empty ones left out.

    Raises `InvalidError` (`estate.file_size`, `estate.file_text`, `estate.file_heading`, `estate.file_quotes`,
    `estate.file_lines`) for what cannot be read as a table at all.
    """
    text = _text(data)
    first = text.lstrip().partition("\n")[0]
    reader = csv.reader(_ENDED.findall(text), delimiter=";" if ";" in first else ",", strict=True)
    found: list[Line] = []
    wrong: list[Wrong] = []
    headed, after = False, 0
    try:
        for cells in reader:
            number, after = after + 1, reader.line_num
            if not any(cell.strip() for cell in cells):
                continue
            if not headed:
                headed = _heading(cells)
                continue
            if len(found) + len(wrong) == MOST_LINES:
                raise _lines()
            line = _line(number, cells)
            if isinstance(line, Line):
                found.append(line)
            else:
                wrong.append(line)
    except csv.Error as error:
        raise InvalidError(
            "estate.file_quotes",
            f'Line {after + 1} cannot be read: a quotation mark (") is missing there, or is not doubled.',
            "Write the file anew from the spreadsheet, as CSV UTF-8.",
            line=after + 1,
        ) from error
    if not headed:
        _heading([])
    return File(tuple(found), tuple(wrong))


def write(rows: Iterable[tuple[str, str, str, int, str]]) -> bytes:
    """Return rows as a file: site, kind, class, number, note."""
    out = [MARK]
    writer = csv.writer(SimpleNamespace(write=out.append), lineterminator="\r\n")
    writer.writerow(HEADING)
    for site, kind, class_name, number, note in rows:
        writer.writerow((guarded(site), kind, guarded(class_name), number, guarded(note)))
    return "".join(out).encode()


def guarded(text: str) -> str:
    """Return a text as a cell that no spreadsheet calculates (rule 2); one that looks guarded gets one `'` more."""
    return f"'{text}" if text.lstrip("'").startswith(CALCULATED) else text


def _text(data: bytes) -> str:
    if len(data) > LARGEST:
        raise InvalidError(
            "estate.file_size",
            f"The file is larger than {LARGEST >> 20} MiB.",
            "Divide it by site, and send one part after the other.",
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _not_text("it is not UTF-8") from error
    if "\0" in text:
        raise _not_text("it holds a NUL character")
    return text


def _not_text(how: str) -> InvalidError:
    return InvalidError(
        "estate.file_text",
        f"The file cannot be read as text: {how}.",
        "Save it from the spreadsheet as CSV UTF-8, and send that.",
    )


def _heading(cells: list[str]) -> bool:
    if tuple(lines.folded(cell.strip()) for cell in _five(cells)) != HEADING:
        raise InvalidError(
            "estate.file_heading",
            f"The first line is not the heading {','.join(HEADING)}.",
            "Export the estate once and fill in that file: its heading is right.",
        )
    return True


def _lines() -> InvalidError:
    return InvalidError(
        "estate.file_lines",
        f"The file has more than {MOST_LINES:,} lines.",
        "Divide it by site, and send one part after the other.",
    )


def _line(number: int, cells: list[str]) -> Line | Wrong:
    row = _five(cells)
    if len(row) != len(HEADING):
        return Wrong(number, f"it has {len(row)} cells, and each line has {len(HEADING)}: {','.join(HEADING)}")
    for name, place in _TEXTS.items():
        cell = row[place]
        if cell.startswith(CALCULATED) or cell.strip().startswith(CALCULATED):  # rule 3
            shown = {"\t": "a tab", "\r": "a line end"}.get(cell[0], cell.strip()[:1])
            return Wrong(
                number,
                f"its {name} begins with {shown}, which a spreadsheet would calculate; put ' before it, or drop it",
            )
        if cell.startswith("'") and cell.lstrip("'").startswith(CALCULATED):  # rule 2
            row[place] = cell[1:]
    return Line(number, *row)


def _five(cells: list[str]) -> list[str]:
    """Return the cells without the empty ones that some spreadsheets leave behind the last."""
    row = list(cells)
    while len(row) > len(HEADING) and not row[-1].strip():
        row.pop()
    return row
