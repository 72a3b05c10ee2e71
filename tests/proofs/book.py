# SPDX-License-Identifier: Apache-2.0
"""The book of proofs: which rounds were done at this commit, and the page that says so.

Rounds that held are kept in `build/proofs.json` by commit, so that a run that was cut short goes on where it stopped.
"""

import json
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

BOOK = Path("build/proofs.json")
PAGE = Path("docs/reference/proofs.md")
HEAD = """# Proofs

Made by `make proofs`; never edited by hand. A round is one seed or one point of the matrix; all of the last run held.

| proof | rounds | last run | commit |
|---|---|---|---|
"""


def rounds(proof: str, count: int) -> Iterator[int]:
    """Yield the rounds still to do at this commit. One is done when the next is asked for: a failure leaves it open."""
    book = _read()
    commit = _commit()
    kept = book.get(proof, {})
    done = int(kept.get("rounds", 0)) if kept.get("commit") == commit else 0
    for number in range(done, count):
        yield number
        book = _read()
        book[proof] = {"rounds": number + 1, "of": count, "at": f"{datetime.now(UTC):%Y-%m-%d}", "commit": commit}
        BOOK.parent.mkdir(exist_ok=True)
        BOOK.write_text(json.dumps(book, indent=2))
        _tell(book)


def _tell(book: dict[str, dict[str, Any]]) -> None:
    lines = [
        f"| {proof} | {kept['rounds']} of {kept['of']} | {kept['at']} | {kept['commit']} |"
        for proof, kept in sorted(book.items())
    ]
    PAGE.write_text(HEAD + "\n".join(lines) + "\n")


def _read() -> dict[str, dict[str, Any]]:
    try:
        book: dict[str, dict[str, Any]] = json.loads(BOOK.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return book


def _commit() -> str:
    said = subprocess.run(["git", "rev-parse", "--short", "HEAD"], check=False, capture_output=True, text=True).stdout
    return said.strip() or "no commit"
