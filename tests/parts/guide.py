# SPDX-License-Identifier: Apache-2.0
"""The commands that the guide shows."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

GUIDE = Path("docs/guide")


def commands(page: str) -> Iterator[list[str]]:
    """Yield the words of each `checkvalve` command in the shell blocks of a page of the guide."""
    for block in re.findall(r"```sh\n(.*?)```", (GUIDE / page).read_text(), re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] == ["checkvalve"]:
                yield words[1:]
