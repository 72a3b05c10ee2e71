# SPDX-License-Identifier: Apache-2.0
"""Writes the reference; with `--check` only says which page is out of date, and fails then."""

import sys

from tests.docs.reference import pages


def main(words: list[str]) -> int:
    """Write or compare; return 1 if a page was out of date and only compared."""
    stale = [file for file, text in pages().items() if not file.exists() or file.read_text() != text]
    if "--check" in words:
        for file in stale:
            print(f"docs: {file} is out of date; run: make docs")
        return 1 if stale else 0
    for file in stale:
        file.write_text(pages()[file])
        print(f"docs: wrote {file}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
