# SPDX-License-Identifier: Apache-2.0
"""The reference of commands: what `--help` says, of each command that exists."""

import argparse
import os
from collections.abc import Iterator
from typing import Any

from typer.main import get_command

from checkvalve.cli import main as cli
from checkvalve.server import main as server

WIDTH = 100


def page(made: str) -> str:
    """Return the page."""
    parts = ["# Commands", made, "## On your own machine\n"]
    parts += [f"```text\n{text}\n```\n" for text in _client()]
    parts.append("## On the plane's machine\n")
    parts += [f"```text\n{text}\n```\n" for text in _plane()]
    return "\n".join(parts)


def _client() -> Iterator[str]:
    yield from _helps(get_command(cli.app), "checkvalve", None)


def _helps(command: Any, name: str, above: Any) -> Iterator[str]:  # noqa: ANN401 - typer's own classes, by version
    context = command.make_context(name, [], parent=above, resilient_parsing=True)
    context.terminal_width = WIDTH
    text = command.get_help(context).rstrip()
    if above is None or not getattr(command, "commands", None):
        yield text
    for word, below in getattr(command, "commands", {}).items():
        if word not in cli.ELSEWHERE:
            yield from _helps(below, word, context)


def _plane() -> Iterator[str]:
    # argparse asks the environment for the width of the terminal, and for defaults.
    before = {name: os.environ.pop(name, None) for name in ("COLUMNS", "CHECKVALVE_HOME")}
    os.environ["COLUMNS"] = str(WIDTH)
    try:
        for action in server._parser()._actions:
            if isinstance(action, argparse._SubParsersAction):
                yield from (parser.format_help().rstrip() for parser in action.choices.values())
    finally:
        del os.environ["COLUMNS"]
        os.environ.update({name: value for name, value in before.items() if value is not None})
