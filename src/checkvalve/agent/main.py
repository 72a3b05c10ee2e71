# SPDX-License-Identifier: Apache-2.0
"""The program of a device: `commands` has what can be typed, this puts it together and tells what went wrong."""

import argparse
import importlib
from collections.abc import Iterator, Sequence
from types import ModuleType

from checkvalve.agent.commands import line, running
from checkvalve.agent.commands.line import HOME
from checkvalve.agent.commands.running import SIMULATED, SOCKETS
from checkvalve.errors import CheckvalveError

__all__ = ["HOME", "SIMULATED", "SOCKETS", "run"]

GROUPS = ("joining", "redialling", "running", "looking", "acting", "storing", "ruling")

EPILOG = """\
Each command has --help with an example, and --json for programs.
Exit codes: 0 done, 1 failed or a no, 2 usage, 3 refused, 4 unreachable.

Example:
checkvalve-agent status --watch"""

_EXIT = {"forbidden": 3, "unavailable": 4}


def run(words: Sequence[str]) -> int:
    """Run one command; return its exit code (0 done, 1 failed, 2 usage, 3 refused, 4 unreachable)."""
    args = _parser(words).parse_args(words)
    command: line.Command = args.command
    try:
        return command(args)
    except CheckvalveError as error:
        line.tell_error(error, as_json=args.json)
        return _EXIT.get(error.kind, 1)
    except BrokenPipeError:
        line.hush()
        return 1
    except KeyboardInterrupt:
        return 130


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="checkvalve-agent",
        description="The agent of a device. It dials out only.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = line.adder(parser, "COMMAND")
    for group in _groups(words):
        group.add(add)
    return parser


def _groups(words: Sequence[str]) -> Iterator[ModuleType]:
    """Yield what is needed: an agent that runs for months keeps no memory for what is typed beside it."""
    if list(words[:1]) == ["run"]:
        yield running
        return
    for name in GROUPS:
        yield importlib.import_module(f"checkvalve.agent.commands.{name}")
