# SPDX-License-Identifier: Apache-2.0
"""`run`: the agent itself, until it is told to end. What runs in containers goes on running."""

import argparse
import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from checkvalve import __version__
from checkvalve.agent import identity, loop, parts, places
from checkvalve.agent.cabinet.door import Door
from checkvalve.agent.clocks.real import RealClock
from checkvalve.agent.commands import line
from checkvalve.agent.disk import files
from checkvalve.agent.engine.docker import Docker
from checkvalve.agent.engine.simulated import Simulated
from checkvalve.agent.host.real import Real as Machine
from checkvalve.agent.identity import Identity
from checkvalve.agent.laying.folders import Folders
from checkvalve.agent.laying.simulated import Simulated as NoLaying
from checkvalve.agent.link.tls import Tls
from checkvalve.agent.parts import Place
from checkvalve.agent.ports import Engine, Laying, OpenBlob
from checkvalve.crypto import process
from checkvalve.errors import NotFoundError, UnavailableError

SOCKETS = ("unix:///var/run/docker.sock", "unix:///run/podman/podman.sock")
SIMULATED = "simulated.json"  # what a simulated engine keeps, beside the rest
GROUP = "checkvalve"
END = 4.0  # seconds for what is open to close

_log = logging.getLogger("checkvalve.agent")


def add(command: line.Add) -> None:
    """Declare it."""
    serve = command("run", _run, "Run the agent.", "checkvalve-agent run --data /var/lib/checkvalve-agent")
    line.engines(serve)
    line.dialling(serve)
    line.cabinet(serve)
    line.runtime(serve)
    serve.add_argument("--group", default=GROUP, help="group whose members may use that socket (default: %(default)s)")


def _run(args: argparse.Namespace) -> int:
    process.lean()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(message)s", force=True)
    engine = made(args)
    disk = files.take(args.data)
    try:
        known = identity.load(disk)
        if known is None:
            raise NotFoundError(
                "agent.not_joined", "This device has not joined a plane.", "Have it join one: checkvalve-agent join."
            )
        laying = _laying(args, disk, identity.owner(disk, known))
        asyncio.run(_serve(disk, known, engine(identity.owner(disk, known), args.data, laying), args, laying))
    finally:
        disk.close()
    return 0


async def _serve(
    disk: files.FileDisk,
    known: Identity,
    engine: Callable[[OpenBlob], Engine],
    args: argparse.Namespace,
    laying: Laying,
) -> None:
    """Run until SIGTERM or SIGINT; what runs in containers goes on running."""

    def dial(who: Identity) -> Tls:
        return Tls(
            who.addresses,
            who.ca,
            who.pair(),
            proxy=args.proxy or who.proxy or None,
            source=args.source or who.source or None,
        )

    device = parts.assemble(disk, RealClock(), known, engine, dial, __version__, laid=laying)
    runtime = memory_of(args, identity.owner(disk, known))
    device.place = Place(args.data, runtime, args.proxy, args.source)
    if args.engine != "simulated":  # one that only plays containers never starts a real machine anew
        device.host = Machine()
    path, dialled = line.socket_of(args), {"proxy": args.proxy, "source": args.source}
    door = Door(path, args.data, args.group, runtime=runtime, **dialled)
    running = asyncio.ensure_future(loop.run(device, door))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, running.cancel)
    _log.info("checkvalve-agent %s, device %s of plane %r", __version__, known.device, known.plane)
    try:
        with contextlib.suppress(asyncio.CancelledError):
            await running
    finally:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END):
                await asyncio.gather(device.link.close(), device.engine.close(), return_exceptions=True)
    _log.info("Stopped. What runs here goes on running.")


def memory_of(args: argparse.Namespace, device: str) -> Path | None:
    """Return where secrets lie in memory, None if no container ever looks there."""
    return None if args.engine == "simulated" else line.runtime_of(args, device)


def _laying(args: argparse.Namespace, disk: files.FileDisk, device: str) -> Laying:
    """Return where files and secrets of releases are laid out."""
    if args.engine == "simulated":
        return NoLaying()
    return Folders(args.data / places.FILES, line.runtime_of(args, device), lambda: identity.opening(disk))


def made(args: argparse.Namespace) -> Callable[[str, Path, Laying | None], Callable[[OpenBlob], Engine]]:
    """Return the maker of the engine to use, of a device's id, its directory, and where its files are laid out.

    Where nobody said which, there must be the socket of one. It need not answer yet: one that is down is waited for,
    and the device reports meanwhile.
    """
    if args.engine == "simulated":
        return lambda device, directory, _: lambda blobs: Simulated(device, blobs, directory / SIMULATED)
    address = args.socket or next((each for each in SOCKETS if Path(each.removeprefix("unix://")).is_socket()), "")
    if not address and args.engine == "auto":
        raise UnavailableError(
            "engine.none",
            f"There is no engine here: none of {', '.join(SOCKETS)} is there.",
            "Start Docker or Podman, name its socket with --socket, or choose --engine simulated on purpose.",
        )
    where = {"socket": address or SOCKETS[0], "pool": args.pool}
    return lambda device, _, laying: lambda blobs: Docker(device, blobs, **where, laying=laying)
