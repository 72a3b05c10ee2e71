# SPDX-License-Identifier: Apache-2.0
"""Suppliers as a table for spreadsheets: UTF-8 with a byte order mark, and no cell that is calculated."""

import csv
from collections.abc import Iterable, Sequence
from types import SimpleNamespace

HEADING = ("organisation", "name", "contact", "supplies", "support_end", "ended", "clause", "questionnaire")
CALCULATED = ("=", "+", "-", "@", "\t", "\r")
MARK = "\N{ZERO WIDTH NO-BREAK SPACE}"


def write(rows: Iterable[Sequence[str]]) -> bytes:
    """Return rows of texts, in the order of `HEADING`, as a file."""
    out = [MARK]
    writer = csv.writer(SimpleNamespace(write=out.append), lineterminator="\r\n")
    writer.writerow(HEADING)
    for row in rows:
        writer.writerow([f"'{text}" if text.lstrip("'").startswith(CALCULATED) else text for text in row])
    return "".join(out).encode()
