# SPDX-License-Identifier: Apache-2.0
"""What looks and changes nothing: `status`, `logs`, `doctor`, `support-bundle`, `version`.

Where the agent runs it answers. Where it does not, `status`, `doctor` and `support-bundle` read the device's own files,
which takes the right to read them: root.
"""

import argparse
import asyncio
import base64
import contextlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from checkvalve import __version__, clock
from checkvalve.agent import bundle, bundling, checking, doctor, enrol, hidden, identity, summary
from checkvalve.agent.cabinet import asked, asking
from checkvalve.agent.clocks.real import RealClock
from checkvalve.agent.commands import line, running, shown
from checkvalve.agent.journal import Journal
from checkvalve.agent.ports import Engine
from checkvalve.agent.slots import Slots
from checkvalve.agent.summary import Summary
from checkvalve.errors import CheckvalveError, InvalidError, NotFoundError, UnavailableError
from checkvalve.protocol.version import CAPABILITY

T = TypeVar("T")
WATCHED = 2.0  # seconds between two looks
_ABSENT = frozenset({asking.CLOSED, "cabinet.elsewhere", "cabinet.forbidden"})  # then the files are looked at


def add(command: line.Add) -> None:
    """Declare them."""
    status = command("status", _status, "Say where this device stands.", "checkvalve-agent status --watch")
    status.add_argument("--watch", action="store_true", help="say it again every two seconds, until Ctrl-C")
    line.cabinet(status)
    logs = command("logs", _logs, "Read what the containers say.", "checkvalve-agent logs pump --since 10m --follow")
    logs.add_argument("service", nargs="?", default="", help="a service (default: all)")
    logs.add_argument("--lines", type=int, default=200, help="how many of the last (default: %(default)s)")
    logs.add_argument("--since", default="", help="how long ago to begin: 90s, 10m, 2h, 1d")
    logs.add_argument("--follow", action="store_true", help="go on with what comes, until Ctrl-C")
    logs.add_argument("--attempt", default="", help="of another attempt than what runs, as far as it is still here")
    line.cabinet(logs)
    check = command(
        "doctor", _doctor, "Say what is wrong here, in one sentence, and what to do.", "checkvalve-agent doctor"
    )
    check.add_argument(
        "--server", action="append", default=[], help="address of a plane, of a device that has not joined yet"
    )
    check.add_argument("--ca-pin", default="", help="and the fingerprint of its authority")
    support = command(
        "support-bundle",
        _bundle,
        "Collect what helps to understand this device, without keys and secrets.",
        "checkvalve-agent support-bundle /tmp/pump-7.tar.gz",
    )
    support.add_argument("file", nargs="?", default="", help="where to write it (default: here, named for the device)")
    for each in (check, support):
        line.engines(each)
        line.dialling(each)
        line.cabinet(each)
        line.runtime(each)
    command("version", _version, "Say which agent this is.", "checkvalve-agent version")


def _status(args: argparse.Namespace) -> int:
    while True:
        told = _summary(args)
        if args.json:
            line.tell_json(msgspec.to_builtins(told))
        else:
            if args.watch and sys.stdout.isatty():
                line.tell("\x1b[2J\x1b[H", end="")
            shown.summary(told)
        if not args.watch:
            return 0
        with contextlib.suppress(TimeoutError):
            asyncio.run(asyncio.wait_for(asyncio.Event().wait(), WATCHED))


def _summary(args: argparse.Namespace) -> Summary:
    """Return where the device stands: by its agent, else by its files."""
    try:
        said = asking.ask(line.socket_of(args), asked.Status(data=line.data_of(args)))
        return msgspec.convert(said, Summary)
    except CheckvalveError as error:
        return by_files(args, error, lambda _: summary.of(args.data))


def by_files(args: argparse.Namespace, absent: CheckvalveError, look: Callable[[CheckvalveError], T]) -> T:
    """Return what the files say, if no agent answers for them; if they cannot be read, that matters more."""
    if absent.code not in _ABSENT:
        raise absent
    try:
        return look(absent)
    except UnavailableError:
        if absent.code == "cabinet.forbidden" or os.access(args.data, os.R_OK):
            raise absent from None
        raise


def _logs(args: argparse.Namespace) -> int:
    request = asked.Logs(
        data=line.data_of(args),
        service=args.service,
        lines=_within("--lines", args.lines, 1, asked.MOST_LINES),
        since=_seconds(args.since),
        follow=args.follow,
        attempt=args.attempt,
    )

    def say(part: dict[str, str]) -> None:
        if args.json:
            line.tell_json(part)
            return
        for each in part["text"].splitlines():
            line.tell(each if args.service else f"{part['service']:<{line.NAMES}}{shown.safe(each)}")

    asking.ask(line.socket_of(args), request, say)
    return 0


def _doctor(args: argparse.Namespace) -> int:
    if args.server:
        said = bundling.told(asyncio.run(_before(args)))
        return _findings(args, said)
    try:
        said = asking.ask(line.socket_of(args), asked.Check(data=line.data_of(args)))
    except CheckvalveError as error:
        said = by_files(args, error, lambda absent: asyncio.run(_look(args, absent)))
    return _findings(args, said)


def _findings(args: argparse.Namespace, said: dict[str, Any]) -> int:
    if args.json:
        line.tell_json(said)
    else:
        shown.findings(said)
    return 0 if said["well"] else 1


async def _before(args: argparse.Namespace) -> list[doctor.Finding]:
    """Look at the way to a plane that this device has not joined."""
    servers = enrol.addresses(args.server)
    pin = args.ca_pin.strip().lower()
    pin = pin if pin.startswith("sha256:") or not pin else f"sha256:{pin}"
    return await checking.before(servers, pin, args.proxy, args.source)


async def _look(args: argparse.Namespace, absent: CheckvalveError) -> dict[str, Any]:
    """Look from here, without the agent; that it does not run is the first that there is to say."""
    disk, known = summary.copied(args.data)
    engine = engine_of(args, identity.owner(disk, known))
    patient = checking.Patient(
        known=known,
        observes=identity.observes(disk),
        data=args.data,
        runtime=running.memory_of(args, identity.owner(disk, known)),
        engine=engine,
        proxy=args.proxy,
        source=args.source,
        more=await checking.rules(disk),
    )
    said = "The agent does not run: nothing is kept up, and nobody is told."
    first = doctor.Finding("agent", "agent", "bad", said, absent.remedy)
    try:
        return bundling.told([first, *await checking.look(patient)])
    finally:
        if engine is not None:
            await engine.close()


def engine_of(args: argparse.Namespace, device: str) -> Engine | None:
    """Return the engine to look at without the agent, None if there is none; it loads nothing."""
    try:
        return running.made(args)(device, args.data, None)(_no_blob)
    except UnavailableError:
        return None


def _no_blob(digest: str) -> Any:  # noqa: ANN401  # it never returns
    raise NotFoundError("blob.missing", f"{digest} is not looked at here.")


def _bundle(args: argparse.Namespace) -> int:
    pieces = list[bytes]()
    try:
        asking.ask(
            line.socket_of(args),
            asked.Bundle(data=line.data_of(args)),
            lambda part: pieces.append(base64.b64decode(part)),
        )
        data = b"".join(pieces)
    except CheckvalveError as error:
        data = by_files(args, error, lambda absent: asyncio.run(_gather(args, absent)))
    path = Path(args.file or f"support-{clock.now():%Y%m%d-%H%M%S}.tar.gz")
    _write(path, data)
    if args.json:
        line.tell_json({"file": str(path), "size": len(data)})
    else:
        line.tell(f"{path}: {len(data) / 1024:.0f} KiB. It holds no key and no secret; read it before you send it on.")
    return 0


async def _gather(args: argparse.Namespace, absent: CheckvalveError) -> bytes:
    """Return a bundle of what can be had without the agent."""
    disk, known = summary.copied(args.data)
    slots = Slots(disk, identity.owner(disk, known))
    journal = Journal.open(disk, RealClock(), slots.active)
    engine = engine_of(args, identity.owner(disk, known))
    observed, words = None, ""
    with contextlib.suppress(CheckvalveError):
        if engine is not None:
            words, observed = (await engine.about()).words, await engine.observe()
    try:
        said = {
            "doctor": await _look(args, absent),
            "status": msgspec.to_builtins(summary.of(args.data)),
            "versions": bundling.versions(__version__, words),
            "disk": bundling.disk(args.data),
        }
        kept = journal.events(max(0, journal.seq - bundle.MOST_EVENTS), bundle.MOST_EVENTS)
        attempt = journal.position.attempt
        staged = slots.staged(attempt) if attempt else None
        mask = hidden.of((slots.active, slots.previous, staged), identity.opening(disk))
        return await bundle.made(bundle.Source(said, kept, engine, observed, mask))
    finally:
        if engine is not None:
            await engine.close()


def _write(path: Path, data: bytes) -> None:
    """Write a file that was not there, for its owner only; `InvalidError` (`bundle.file`)."""
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data)
    except OSError as error:
        raise InvalidError(
            "bundle.file", f"{path} cannot be written: {error.strerror}.", "Name another file; none is overwritten."
        ) from error


def _version(args: argparse.Namespace) -> int:
    if args.json:
        line.tell_json({"capability": CAPABILITY, "version": __version__})
    else:
        line.tell(f"checkvalve-agent {__version__}, capability {CAPABILITY}")
    return 0


def _seconds(text: str) -> int:
    """Return how many seconds `10m` is; 0 for nothing. `InvalidError` (`logs.since`)."""
    return line.span(text, "--since") if text else 0


def _within(name: str, number: int, least: int, most: int) -> int:
    if not least <= number <= most:
        raise InvalidError("cabinet.number", f"{name} {number} is out of bounds.", f"From {least} to {most}.")
    return number
