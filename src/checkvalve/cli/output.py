# SPDX-License-Identifier: Apache-2.0
"""What people and programs read: answers go to standard output, all that is said around them to standard error.

Text that comes from a plane is shown without control characters, so that no name or note can steer a terminal.
"""

import getpass
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence

import msgspec
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from checkvalve import lines
from checkvalve.cli.failures import UsageError
from checkvalve.errors import CheckvalveError

_UNBOUNDED = 100_000  # columns where nobody looks: a program that reads a table wants whole lines
_TOKEN = re.compile(r"(cv[jt]_)[0-9A-Za-z]+")


class NotAgreedError(Exception):
    """A person was asked, and did not agree; nothing was done."""


def plain(text: str) -> str:
    """Return `text` without what could steer a terminal."""
    return "".join(char if lines.visible(char) else "\N{REPLACEMENT CHARACTER}" for char in text)


def say(text: str) -> None:
    """Print one line as an answer."""
    _write(plain(text))


def note(text: str) -> None:
    """Print one line beside the answer."""
    sys.stderr.write(plain(text) + "\n")
    sys.stderr.flush()


def watched() -> bool:
    """Tell whether somebody looks at what is said beside the answer."""
    return sys.stderr.isatty()


def passing(text: str) -> None:
    """Show one line that the next one replaces; an empty one takes it away. Only where somebody looks."""
    if watched():
        width = shutil.get_terminal_size().columns - 1  # a line that wraps cannot be taken back
        sys.stderr.write("\r\x1b[K" + plain(text)[:width])
        sys.stderr.flush()


def json(data: bytes) -> None:
    """Print an answer as the plane gave it; indented for a person, as nothing else knows how it is read best."""
    whole = data or b"{}"
    _write((msgspec.json.format(whole, indent=2) if sys.stdout.isatty() else whole).decode())


def exact(data: bytes) -> None:
    """Print bytes as they are, to be hashed: not one more."""
    sys.stdout.flush()
    sys.stdout.buffer.write(data)


def text(data: bytes) -> None:
    """Print lines that strangers wrote: as they are for a program, without what steers it in a terminal."""
    if not sys.stdout.isatty():
        exact(data)
        return
    told = data.decode("utf-8", "replace").removesuffix("\n").split("\n")
    _write("\n".join("\t".join(plain(cell) for cell in line.removesuffix("\r").split("\t")) for line in told))


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows; in a terminal within its width, the first column always whole: it is what gets copied."""
    shown = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    for number, column in enumerate(columns):
        shown.add_column(column, no_wrap=number == 0, overflow="fold")
    for row in rows:
        shown.add_row(*(Text(plain(cell)) for cell in row))
    console = _console()
    with console.capture() as printed:
        console.print(shown)
    _write("\n".join(line.rstrip() for line in printed.get().rstrip("\n").split("\n")))


def fields(pairs: Iterable[tuple[str, str]], tell: Callable[[str], None] = say) -> None:
    """Print names and values that there are, one pair a line, whole."""
    known = [(name, value) for name, value in pairs if value]
    width = max((len(name) for name, _ in known), default=0)
    for name, value in known:
        tell(f"{name.ljust(width)}  {value}")


def fail(error: CheckvalveError, *, as_json: bool) -> None:
    """Tell what happened, why, and what to do."""
    if as_json:
        said = {"code": error.code, "facts": error.facts, "remedy": error.remedy, "sentence": error.sentence}
        text = msgspec.json.encode(said).decode()
    else:
        first, *rest = (f"{error.sentence} {error.remedy}".strip() + f"  [{error.code}]").split("\n")
        text = "\n".join([plain(f"checkvalve: {first}"), *(f"  {plain(line.strip())}" for line in rest)])
    # No sentence holds a token; this is for the one that somebody will write.
    sys.stderr.write(_TOKEN.sub(r"\1...", text) + "\n")
    sys.stderr.flush()


def interactive() -> bool:
    """Tell whether a person can be asked."""
    return sys.stdin is not None and sys.stdin.isatty()


def agree(question: str) -> None:
    """Ask a person; `NotAgreedError` unless they say yes. `UsageError` (`cli.ask`) where nobody can be asked."""
    if not interactive():
        raise UsageError("cli.ask", "This asks before it acts, and nobody is there to answer.", "Say so with --yes.")
    if ask(f"{question} [y/N]").strip().casefold() not in {"y", "yes"}:
        raise NotAgreedError


def ask(question: str) -> str:
    """Return what a person types."""
    sys.stderr.write(f"{plain(question)} ")
    sys.stderr.flush()
    line = sys.stdin.readline()
    if not line:
        sys.stderr.write("\n")
        raise NotAgreedError
    return line.rstrip("\n")


def ask_secret(question: str) -> str:
    """Return what a person types, without showing it."""
    try:
        return getpass.getpass(f"{plain(question)} ")
    except EOFError as error:
        raise NotAgreedError from error


def finish() -> None:
    """Let go of what was printed; `BrokenPipeError` where the reader left."""
    sys.stdout.flush()


def hush() -> None:
    """Let nothing more be printed, so that the end of the process stays quiet about a reader who left."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


def _write(text: str) -> None:
    sys.stdout.write(text + "\n")


def _console() -> Console:
    width = None if sys.stdout.isatty() or os.environ.get("COLUMNS") else _UNBOUNDED
    return Console(file=sys.stdout, width=width, highlight=False, markup=False, emoji=False)
