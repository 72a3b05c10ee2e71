# SPDX-License-Identifier: Apache-2.0
"""The standard that comes with the program."""

from functools import cache
from importlib.resources import files

from checkvalve.server.scorecard import reading
from checkvalve.server.scorecard.standard import Standard


@cache
def shipped() -> Standard:
    """Return the questions, scheme and guide that are shipped."""
    return reading.standard(*(_content(kind) for kind in ("questions", "scheme", "guide")))


def read_with(scheme: bytes) -> Standard:
    """Return the shipped questions and guide under a scheme of the owner's; errors as `reading.standard`."""
    return reading.standard(_content("questions"), scheme, _content("guide"))


def _content(kind: str) -> bytes:
    return files(__package__).joinpath("data", f"{kind}.toml").read_bytes()
