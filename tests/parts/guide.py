# SPDX-License-Identifier: Apache-2.0
"""The commands that the guide shows, and the files."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

GUIDE = Path(__file__).parents[2] / "docs" / "guide"


def commands(page: str, program: str = "checkvalve") -> Iterator[list[str]]:
    """Yield the words of each command of a program in the shell blocks of a page of the guide.

    In a block of text, which has answers too, a command stands after `$ `.
    """
    for kind, block in re.findall(r"```(sh|text)\n(.*?)```", (GUIDE / page).read_text(), re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            if kind == "text" and not line.startswith("$ "):
                continue
            words = shlex.split(line.removeprefix("$ "), comments=True)
            if words[:1] == [program]:
                yield words[1:]


def blocks(page: str, kind: str) -> list[str]:
    """Return the blocks of a kind, as `yaml`, on a page of the guide."""
    return re.findall(rf"```{kind}\n(.*?)```", (GUIDE / page).read_text(), re.DOTALL)
