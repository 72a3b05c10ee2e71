# SPDX-License-Identifier: Apache-2.0
"""A gap plan as a table for spreadsheets: UTF-8 with a byte order mark, and no cell that is calculated."""

import csv
from collections.abc import Iterable, Mapping
from types import SimpleNamespace

from checkvalve.server.estate.csvs import MARK, guarded
from checkvalve.server.scorecard.model import Gap

HEADING = ("place", "section", "step", "what", "owner", "due", "state", "note")


def write(gaps: Iterable[Gap], where: Mapping[str, str]) -> bytes:
    """Return the rows of a plan as a file; `where` names the place of each path."""
    out = [MARK]
    writer = csv.writer(SimpleNamespace(write=out.append), lineterminator="\r\n")
    writer.writerow(HEADING)
    for each in gaps:
        due = each.due.isoformat() if each.due else ""
        texts = (where[each.scope], each.section, each.step, each.text, each.owner, due, each.state.value, each.note)
        writer.writerow([guarded(text) for text in texts])
    return "".join(out).encode()
