# SPDX-License-Identifier: Apache-2.0
"""`volume`: what volumes there are, a copy of one to take away, an end to one that no release here uses.

Where the agent runs, it does it, and its journal says who asked. Where it does not, `list` and `export` go to the
engine straight, which takes root: what is in a volume is wanted most when the agent is dead. The journal then gets its
lines all the same, unless the disk takes none. `drop` needs the agent, which knows what is installed.
"""

import argparse
import asyncio
import base64
import contextlib
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from checkvalve import clock
from checkvalve.agent import asides, identity, summary, volumes
from checkvalve.agent.cabinet import asked, asking, peer
from checkvalve.agent.clocks.real import RealClock
from checkvalve.agent.commands import line, looking, shown
from checkvalve.agent.commands.sink import Sink
from checkvalve.agent.disk import files
from checkvalve.agent.journal import Journal
from checkvalve.agent.ports import Engine
from checkvalve.agent.shelf import Shelf
from checkvalve.agent.slots import Slots
from checkvalve.agent.volumes import Volume
from checkvalve.errors import CheckvalveError, InvalidError, UnavailableError
from checkvalve.protocol.exchange import ENDED

_PODMAN = "Podman hands out a volume's files as if they were all root's: their owners are not in this tar."


def add(command: line.Add) -> None:
    """Declare it."""
    added = command(
        "volume",
        _volume,
        "List volumes, take a copy of one away, or drop one that was set aside.",
        "checkvalve-agent volume export recipes --output /media/stick/recipes.tar.gz",
    )
    added.add_argument("what", choices=("list", "export", "drop"))
    added.add_argument("name", nargs="?", default="", help="of a volume, as the release or the engine calls it")
    added.add_argument("--output", default="", help="export: a file, or - for standard output (default: here)")
    added.add_argument("--set-aside", action="store_true", help="export: what a failed release wrote")
    added.add_argument("--gzip", action="store_true", help="export: packed; so it is too if FILE ends in .gz or .tgz")
    added.add_argument("--yes", action="store_true", help="drop: do not ask")
    line.engines(added)
    line.cabinet(added)


def _volume(args: argparse.Namespace) -> int:
    if (args.what == "list") == bool(args.name):
        raise InvalidError(
            "volume.arguments",
            f"volume {args.what} {'takes no' if args.what == 'list' else 'needs the'} NAME.",
            "See: checkvalve-agent volume --help.",
        )
    if args.what == "list":
        return _list(args)
    return _export(args) if args.what == "export" else _drop(args)


def _list(args: argparse.Namespace) -> int:
    try:
        said = asking.ask(line.socket_of(args), asked.Volumes(data=line.data_of(args)))
        found = msgspec.convert(said, list[Volume])
    except CheckvalveError as error:
        found = looking.by_files(args, error, lambda _: asyncio.run(_straight(args, _found)))
    if args.json:
        line.tell_json(msgspec.to_builtins(found))
    elif not found:
        line.tell("There is no volume here.")
    for each in () if args.json else found:
        line.tell(shown.safe(_said(each)))
        line.facts(
            {"engine's name": each.name, "services": ", ".join(each.services), "release": shown.safe(each.release)}
        )
    return 0


def _said(each: Volume) -> str:
    uses = ", ".join(each.uses) or "used by nothing that is installed here"
    since = f" since {shown.utc(each.at)}" if each.at else ""
    policy = f", {each.policy}" if each.policy else ""
    return f"{each.volume or each.name}: {asides.words(each.size)}{policy}; {uses}{since}"


def _export(args: argparse.Namespace) -> int:
    path = _path(args)
    with Sink(path, packed=args.gzip or (path is not None and path.suffix in (".gz", ".tgz"))) as sink:
        each = _taken(args, sink)
        sink.done()
    where = "standard output" if path is None else str(path)
    if args.json and path is not None:
        line.tell_json({"file": where, "size": sink.size, "volume": msgspec.to_builtins(each)})
        return 0
    tell = line.aside if path is None else line.tell
    tell(f"{where}: {asides.words(sink.size)} of the volume {each.name}.")
    if set(each.uses) & {"active"}:
        tell("Its services ran meanwhile: this is no picture of one moment.")
    tell("Nothing in it is masked: it holds what the program wrote, its secrets too.")
    return 0


def _path(args: argparse.Namespace) -> Path | None:
    if args.output == "-":
        return None
    ends = "tar.gz" if args.gzip else "tar"
    return Path(args.output or f"{args.name.replace('/', '_')}-{clock.now():%Y%m%d-%H%M%S}.{ends}")


def _taken(args: argparse.Namespace, sink: Sink) -> Volume:
    """Put the volume into the sink, and return what it is."""
    heard = list[Volume]()

    def part(said: Any) -> None:  # noqa: ANN401  # JSON
        if isinstance(said, str):
            sink.write(base64.b64decode(said))
        else:
            heard.append(msgspec.convert(said, Volume))
            sink.expect(heard[0].size)

    request = asked.Export(data=line.data_of(args), name=args.name, aside=args.set_aside)
    try:
        asking.ask(line.socket_of(args), request, part)
    except CheckvalveError as error:
        if heard:
            raise
        straight: Volume = looking.by_files(args, error, lambda _: asyncio.run(_straight(args, _read(args, sink))))
        return straight
    return heard[0]


def _read(args: argparse.Namespace, sink: Sink) -> Callable[..., Any]:
    async def read(found: list[Volume], engine: Engine) -> Volume:
        each = volumes.meant(found, args.name, aside=args.set_aside)
        sink.expect(each.size)
        who = _who()
        _note(args, f"{who} takes a copy of the volume {each.name}, straight from the engine", who, each.name)
        try:
            async with contextlib.aclosing(engine.export(each.name, each.volume or each.name)) as pieces:  # type: ignore[type-var]
                async for piece in pieces:
                    sink.write(piece)
        finally:
            _note(args, f"{who} took {sink.size} bytes of the volume {each.name}", who, each.name, size=sink.size)
        if (await engine.about()).kind == "podman":
            line.aside(f"Note: {_PODMAN}")
        return each

    return read


async def _found(found: list[Volume], _: Engine) -> list[Volume]:
    return found


async def _straight(args: argparse.Namespace, act: Callable[..., Any]) -> Any:  # noqa: ANN401  # what `act` returns
    """Have something done with the volumes and the engine, without the agent."""
    disk, known = summary.copied(args.data)
    owner = identity.owner(disk, known)
    slots = Slots(disk, owner)
    journal = Journal.open(disk, RealClock(), slots.active)
    slots.recall(journal.committed)
    position = journal.position
    staged = slots.staged(position.attempt) if position.attempt and position.state not in ENDED else None
    engine = looking.engine_of(args, owner)
    if engine is None:
        raise UnavailableError("engine.none", "There is no engine here.", "Start it, or name its socket: --socket.")
    try:
        there = (await engine.observe()).volumes
        sizes = dict[str, int]()
        with contextlib.suppress(CheckvalveError):
            sizes |= await engine.sizes()
        named = {"active": slots.active, "staged": staged, "previous": slots.previous}
        return await act(volumes.listed(there, named, Shelf(disk).left, sizes), engine)
    finally:
        await engine.close()


def _who() -> str:
    """Return who runs this command, as the agent would say it."""
    one, other = socket.socketpair()
    with one, other:
        return peer.of(one)


def _note(args: argparse.Namespace, said: str, who: str, volume: str, **facts: int) -> None:
    """Write it into the journal of an agent that does not run; a disk that takes nothing holds up nothing."""
    try:
        disk = files.take(args.data)
        try:
            known = identity.load(disk)
            slots = Slots(disk, identity.owner(disk, known)) if known is not None else None
            journal = Journal.open(disk, RealClock(), slots.active if slots else None)
            more: dict[str, str | int] = {"who": who, "volume": volume, **facts}
            journal.write("note", code="cabinet.volume_export", reason=said, facts=more)
        finally:
            disk.close()
    except CheckvalveError as error:
        line.aside(f"The journal of this device does not say so: {error.sentence}")


def _drop(args: argparse.Namespace) -> int:
    path, data = line.socket_of(args), line.data_of(args)
    each = msgspec.convert(asking.ask(path, asked.Drop(data=data, name=args.name, dry=True)), Volume)
    question = f"Drop {_said(each)} ({each.name})? What is in it is gone then."
    if not line.sure(args, question):
        line.aside("Nothing was done.")
        return 1
    asking.ask(path, asked.Drop(data=data, name=each.name))
    if args.json:
        line.tell_json(msgspec.to_builtins(each))
    else:
        line.tell(f"Dropped: {each.name}.")
    return 0
