# SPDX-License-Identifier: Apache-2.0
"""What all commands of the device share: how one is declared, and how it speaks.

Rules: 1. what was asked for goes to standard output, everything else to standard error; 2. `--json` is for programs:
the answer, or the error, as one object; 3. a dangerous command asks first. Where nobody can answer it says that
`--yes` is needed, and does nothing.
"""

import argparse
import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from checkvalve.agent.cabinet import asking
from checkvalve.errors import CheckvalveError, InvalidError

HOME = "/var/lib/checkvalve-agent"
RUNTIME = "/run/checkvalve-agent"
NAMES = 14  # columns of what stands before a value

_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_SPAN = re.compile(r"(\d{1,6})([smhd])")

Command = Callable[[argparse.Namespace], int]
Add = Callable[[str, Command, str, str], argparse.ArgumentParser]
"""Declares a command: its name, what runs it (it returns the exit code), a sentence, an example."""


def adder(parser: argparse.ArgumentParser, metavar: str) -> Add:
    """Return what declares the commands of this program."""
    commands = parser.add_subparsers(required=True, metavar=metavar)

    def add(name: str, function: Command, sentence: str, example: str) -> argparse.ArgumentParser:
        added = commands.add_parser(
            name,
            help=sentence,
            description=sentence,
            epilog=f"Example:\n{example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        added.set_defaults(command=function)
        home = Path(os.environ.get("CHECKVALVE_AGENT_HOME", HOME))
        added.add_argument(
            "--data", type=Path, default=home, help="data directory (default: $CHECKVALVE_AGENT_HOME or %(default)s)"
        )
        added.add_argument("--json", action="store_true", help="print JSON")
        return added

    return add


def cabinet(added: argparse.ArgumentParser) -> None:
    """Let a command say where the running agent is spoken with."""
    added.add_argument(
        "--socket-path",
        type=Path,
        default=None,
        help=f"socket of the running agent (default: {asking.SOCKET}; with another --data, agent.sock in there)",
    )


def dialling(added: argparse.ArgumentParser, unsaid: str | None = "") -> None:
    """Let a command say how the plane is dialled; what is not said is `unsaid`."""
    added.add_argument(
        "--proxy",
        type=_not_seen,
        default=unsaid,
        help="HTTP proxy that lets CONNECT through: http://[name:password@]host:port; - reads it from standard input",
    )
    added.add_argument("--source", default=unsaid, help="local IP address, or network interface, to dial from")


def engines(added: argparse.ArgumentParser) -> None:
    """Let a command say which engine runs the containers."""
    added.add_argument("--engine", choices=("auto", "docker", "simulated"), default="auto", help="what runs containers")
    added.add_argument("--socket", default="", help="the engine's socket: unix:///var/run/docker.sock")
    added.add_argument("--pool", default="", help="IPv4 network that networks of releases get their subnets of")


def runtime(added: argparse.ArgumentParser) -> None:
    """Let a command say where secrets lie."""
    added.add_argument(
        "--runtime",
        type=Path,
        default=None,
        help=f"directory in memory (tmpfs) that secrets lie in (default: {RUNTIME} and the device's id)",
    )


def runtime_of(args: argparse.Namespace, device: str) -> Path:
    """Return where secrets of this device lie."""
    said: Path | None = args.runtime
    return said or Path(RUNTIME, device)


def socket_of(args: argparse.Namespace) -> Path:
    """Return where the agent of this data directory listens."""
    said: Path | None = args.socket_path
    return said or (Path(asking.SOCKET) if str(args.data) == HOME else args.data / asking.NAME)


def data_of(args: argparse.Namespace) -> str:
    """Return the directory of the device that is meant, whole, for the agent to compare with its own."""
    return str(args.data.resolve())


def span(text: str, name: str) -> int:
    """Return how many seconds `45m` is; `InvalidError` (`cabinet.span`)."""
    found = _SPAN.fullmatch(text.strip())
    if found is None or not int(found[1]):
        said = f"{text!r} is no time." if text else "For how long is not said."
        raise InvalidError("cabinet.span", said, f"Say for how long: {name} 45m, 2h, 90s.")
    return int(found[1]) * _UNITS[found[2]]


def _not_seen(text: str) -> str:
    """Return what was said, or where that is `-` a line of standard input: all users of a machine see arguments."""
    return sys.stdin.readline().strip() if text == "-" else text


def tell(line: str, end: str = "\n") -> None:
    """Print a line of the answer."""
    sys.stdout.write(line + end)
    sys.stdout.flush()


def tell_json(value: Any) -> None:  # noqa: ANN401  # whatever JSON takes
    """Print the answer for programs."""
    tell(json.dumps(value))


def aside(line: str) -> None:
    """Print a line that is no part of the answer."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def facts(said: dict[str, str]) -> None:
    """Print names and values below each other; what is empty is left out."""
    for name, text in said.items():
        if text:
            tell(f"  {name:<{NAMES}}{text}")


def hush() -> None:
    """Let nothing more be printed: the reader, as `head` does, has left."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


def tell_error(error: CheckvalveError, *, as_json: bool) -> None:
    """Print what went wrong, and what to do."""
    if as_json:
        aside(json.dumps({"code": error.code, "remedy": error.remedy, "sentence": error.sentence}))
    else:
        aside(
            " ".join(each for each in ("checkvalve-agent:", error.sentence, error.remedy, f" [{error.code}]") if each)
        )


def sure(args: argparse.Namespace, question: str) -> bool:
    """Tell whether the person wants it (rule 3); `InvalidError` (`cabinet.unasked`) where nobody can be asked."""
    if args.yes:
        return True
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise InvalidError("cabinet.unasked", "Nobody is here to be asked.", "If it is meant, say so: --yes.")
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}
