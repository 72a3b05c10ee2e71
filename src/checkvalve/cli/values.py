# SPDX-License-Identifier: Apache-2.0
"""Which place does this text name, which changes were typed, and what do people read of values?

Rules: 1. a place is a scope, as everywhere, or else a device; `device:NAME` is a device whatever scopes are called;
2. no secret is ever an argument: others on the machine see those, and the shell keeps them; 3. of a file that holds a
secret in one line, the end of the line is none of the secret; 4. what a secret holds is never shown.
"""

import difflib
import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from checkvalve.cli import devices, files, output, times
from checkvalve.cli.failures import UsageError
from checkvalve.cli.invocation import Invocation
from checkvalve.errors import ForbiddenError, NotFoundError
from checkvalve.protocol import config
from checkvalve.protocol.declared import LARGEST_FILE, LARGEST_SECRET

EVERY = "all"
WIDEST = 60  # characters of a value in a table


@dataclass(frozen=True)
class Place:
    """A place as the API has it, in words, and how a rollout there is told which devices."""

    text: str
    called: str
    scope: str
    selector: str = EVERY


@dataclass(frozen=True)
class Typed:
    """What stands on a command line."""

    line: str
    variables: Sequence[str]
    files: Sequence[str]
    secrets: Sequence[str]
    secret_files: Sequence[str]
    unset: Sequence[str]


def place(run: Invocation, text: str) -> Place:
    """Return the place that a text names (rule 1).

    Raises `NotFoundError` (`place.unknown`, `device.unknown`), `ConflictError` (`scope.ambiguous`, `device.ambiguous`).
    """
    if not text.startswith(devices.DEVICE):
        try:
            path = run.path(text)
            return Place(path, run.called(path), run.called(path))
        except (ForbiddenError, NotFoundError):
            pass
    try:
        one = devices.device(run, text)
    except NotFoundError as error:
        if text.startswith(devices.DEVICE):
            raise
        raise NotFoundError(
            "place.unknown",
            f"No scope and no device that you may see is called {text!r}.",
            "`checkvalve scope list` and `checkvalve device list` show them.",
        ) from error
    plain = re.fullmatch(r'[^\s()":]+', one.name) is not None
    return Place(one.id, one.name, run.called(one.scope), f"{devices.DEVICE}{one.name if plain else one.id}")


def changes(run: Invocation, at: Place, typed: Typed) -> list[config.ValueChange]:
    """Return what was typed; secrets are asked for, or read from files.

    Raises `UsageError`: `config.nothing`, `config.form`, `config.secret`, `config.text`, `file.unreadable`,
    `file.size`; `NotFoundError` (`config.unset`).
    """
    made = list(_changes(run, at, typed))
    if not made:
        raise UsageError("config.nothing", "What to set is not said.", "Say NAME=VALUE; --help has the other ways.")
    return made


def _changes(run: Invocation, at: Place, typed: Typed) -> Iterator[config.ValueChange]:
    for text in typed.variables:
        name, value = _pair(text, "NAME=VALUE")
        yield config.ValueChange(kind="variable", name=name, content=value, line=typed.line)
    for text in typed.files:
        name, path = _pair(text, "--file NAME=PATH")
        yield config.ValueChange(kind="file", name=name, content=_read(path, LARGEST_FILE), line=typed.line)
    for text in typed.secret_files:
        name, path = _pair(text, "--secret-file NAME=PATH")
        content = _line(_read(path, LARGEST_SECRET + 2))
        yield config.ValueChange(kind="secret", name=name, content=content, line=typed.line)
    for name in typed.secrets:
        yield config.ValueChange(kind="secret", name=name, content=_asked(name), line=typed.line)
    for text in typed.unset:
        yield _unset(run, at, typed.line, text)


def _pair(text: str, form: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        remedy = f"Write it as {form}; to take a value away: --unset NAME."
        raise UsageError("config.form", f"{name[:80]!r} stands without a value.", remedy)
    return name, value


def _read(path: str, largest: int) -> str:
    try:
        return files.read(path, largest).decode()
    except UnicodeDecodeError as error:
        raise UsageError("config.text", f"{path} is no text in UTF-8.", "Save it as UTF-8.") from error


def _line(content: str) -> str:
    """Return a secret of a file (rule 3)."""
    only = content.removesuffix("\n").removesuffix("\r")
    return content if "\n" in only else only


def _asked(name: str) -> str:
    """Return a secret that a person types twice (rule 2)."""
    if "=" in name:
        shown = name.partition("=")[0]
        raise UsageError(
            "config.secret",
            "A secret is not typed as an argument: others on this machine could read it, and the shell keeps it.",
            f"Say --secret {shown} and type it when asked, or --secret-file {shown}=PATH.",
        )
    if not output.interactive():
        raise UsageError(
            "config.secret",
            f"The secret {name} is needed, and nobody is there to type it.",
            f"Give --secret-file {name}=PATH, or {name}=- for standard input.",
        )
    typed = output.ask_secret(f"Secret {name}:")
    if output.ask_secret("Once more:") != typed:
        raise UsageError("config.secret", "The two differ.", "Type them again.")
    return typed


def _unset(run: Invocation, at: Place, line: str, text: str) -> config.ValueChange:
    """Return the change that takes away what is set under a name, `kind/NAME` where there are several."""
    kind, _, name = text.rpartition("/")
    there = run.every("/api/v1/values", config.Value, "before", place=at.text, name=name)
    found = [one for one in there if one.line == line and one.kind in (kind or one.kind)]
    if not found:
        said = f" for {line}" if line else ""
        raise NotFoundError(
            "config.unset",
            f"Nothing called {name!r} is set{said} at {at.called}.",
            f"See what is: checkvalve config list --at {shlex.quote(at.called)}",
        )
    if len(found) > 1:
        kinds = ", ".join(f"--unset {one.kind}/{name}" for one in found)
        raise UsageError("config.form", f"{name!r} is set as several things there.", f"Say which: {kinds}.")
    return config.ValueChange(kind=found[0].kind, name=name, content=None, line=line)


def tell(at: Place, made: config.ChangedValues) -> None:
    """Say what was changed, who uses it, and how it comes to devices."""
    if not made.changed:
        output.say(f"Nothing changed: it is set so at {at.called} already.")
        return
    for one in made.changed:
        output.say(f"{_done(one, dry=made.dry_run)} at {at.called}{f' for {one.line}' if one.line else ''}.")
    if not made.uses:
        output.say("No device there runs a release that declares it. A rollout of one that does brings it.")
    for use in made.uses:
        number = f"{use.devices} device{'' if use.devices == 1 else 's'} there"
        output.say(f"{number} run{'s' if use.devices == 1 else ''} {use.name} {use.version}, which uses it.")
        if not made.dry_run:
            output.say(f"A rollout brings it: {_rollout(at, use)}")


def _done(one: config.ChangedValue, *, dry: bool) -> str:
    verb = "taken away" if one.after is None else "set" if one.before is None else "changed"
    return f"{one.kind} {one.name} {'would be ' if dry else ''}{verb}"


def _rollout(at: Place, use: config.ValueUse) -> str:
    selector = f"runs:{use.name}@{use.version}" if at.selector == EVERY else at.selector
    words = ["--release", f"{use.name}@{use.version}", "--selector", selector, "--scope", at.scope]
    return f"checkvalve rollout draft {shlex.quote(f'Values of {use.name}')} {shlex.join(words)}"


def row(run: Invocation, one: config.Value) -> Sequence[str]:
    """Return a value as NAME, KIND, VALUE, FOR, AT, SET, BY, NOTE."""
    told = "(taken away)" if one.taken else shown(one.kind, one.content)
    return (
        one.name,
        one.kind,
        told,
        one.line or "all",
        one.where,
        times.short(one.made_at),
        run.login(one.made_by, one.made_by_name),
        one.note,
    )


def shown(kind: str, content: str | None) -> str:
    """Return a value as a cell: a file by its size, a secret not at all."""
    if kind == "secret":
        return "(secret)"
    if content is None:
        return "nothing"
    if kind == "file":
        lines = len(content.splitlines())
        return f"{lines} line{'' if lines == 1 else 's'}, {len(content.encode())} bytes"
    return content if len(content) <= WIDEST else content[: WIDEST - 1] + "…"


def show(found: config.DeviceValues) -> None:
    """Print what a release gets on a device."""
    output.say(f"{found.release} {found.version} on {found.device_name}")
    rows = [
        (one.name, one.kind, _value(one), one.origin, _runs(one) if one.differs else "the same") for one in found.values
    ]
    if rows:
        output.table(("NAME", "KIND", "VALUE", "FROM", "RUNS WITH"), rows)
    else:
        output.say("It declares no values.")
    for lack in found.lacks:
        output.note(f"In the way of a rollout: {lack}")


def _value(one: config.DeviceValue) -> str:
    return "(missing)" if one.origin == "missing" else shown(one.kind, one.value)


def _runs(one: config.DeviceValue) -> str:
    return "another, or none" if one.kind == "secret" else shown(one.kind, one.runs)


def differ(found: Iterable[config.DeviceValues], *, whole: bool) -> None:
    """Print what a rollout would change, device by device; files line by line where it is `whole`."""
    for each in found:
        output.say(f"{each.device_name}  {each.device}  {each.release} {each.version}")
        for lack in each.lacks:
            output.say(f"  In the way: {lack}")
        for one in each.values:
            if not one.differs:
                continue
            output.say(f"  {one.name}: {_change(one)}  (from {one.origin})")
            if whole and one.kind == "file":
                for line in difflib.unified_diff(
                    (one.runs or "").splitlines(), (one.value or "").splitlines(), "runs", "set", lineterm="", n=1
                ):
                    output.say(f"    {line}")


def _change(one: config.DeviceValue) -> str:
    if one.kind == "secret":
        return "another secret"
    return f"{shown(one.kind, one.runs)} -> {_value(one)}"
