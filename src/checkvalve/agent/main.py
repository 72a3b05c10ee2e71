# SPDX-License-Identifier: Apache-2.0
"""The commands on a device: `join`, `run`, `status`, `version`."""

import argparse
import asyncio
import contextlib
import dataclasses
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from checkvalve import __version__
from checkvalve.agent import enrol, identity, loop, parts, summary
from checkvalve.agent.clocks.real import RealClock
from checkvalve.agent.disk import files
from checkvalve.agent.engine.docker import Docker
from checkvalve.agent.engine.simulated import Simulated
from checkvalve.agent.identity import Identity
from checkvalve.agent.link.tls import Tls
from checkvalve.agent.ports import Engine, OpenBlob
from checkvalve.errors import CheckvalveError, NotFoundError, UnavailableError
from checkvalve.protocol.version import CAPABILITY

HOME = "/var/lib/checkvalve-agent"
SOCKETS = ("unix:///var/run/docker.sock", "unix:///run/podman/podman.sock")
SIMULATED = "simulated.json"  # what a simulated engine keeps, beside the rest
END = 4.0  # seconds for what is open to close

_EXIT = {"forbidden": 3, "unavailable": 4}
_log = logging.getLogger("checkvalve.agent")


def run(words: Sequence[str]) -> int:
    """Run one command; return its exit code (0 done, 1 failed, 2 usage, 3 refused, 4 unreachable)."""
    args = _parser().parse_args(words)
    command: Callable[[argparse.Namespace], int] = args.command
    try:
        return command(args)
    except CheckvalveError as error:
        _tell_error(error, as_json=args.json)
        return _EXIT.get(error.kind, 1)


def _join(args: argparse.Namespace) -> int:
    servers = [each for given in args.server for each in given.split(",")]
    invited = enrol.invitation(servers, args.token, args.ca_pin, proxy=args.proxy, source=args.source)
    disk = files.take(args.data)
    try:
        made = asyncio.run(
            enrol.join(
                disk,
                invited,
                name=args.name or socket.gethostname(),
                machine=enrol.machine(),
                agent=__version__,
                again=args.again,
            )
        )
    finally:
        disk.close()
    if args.json:
        _tell(json.dumps({"device": made.device, "plane": made.plane, "place": list(made.place)}))
        return 0
    _tell(f"This device is {made.device} of the plane {made.plane!r}: {' / '.join(made.place) or 'above all sites'}.")
    _tell(f"  next      checkvalve-agent run --data {args.data}")
    return 0


def _run(args: argparse.Namespace) -> int:
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(message)s", force=True)
    engine = _engine(args)
    disk = files.take(args.data)
    try:
        known = identity.load(disk)
        if known is None:
            raise NotFoundError(
                "agent.not_joined", "This device has not joined a plane.", "Have it join one: checkvalve-agent join."
            )
        asyncio.run(_serve(disk, known, engine(identity.owner(disk, known), args.data), args))
    finally:
        disk.close()
    return 0


async def _serve(
    disk: files.FileDisk, known: Identity, engine: Callable[[OpenBlob], Engine], args: argparse.Namespace
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

    device = parts.assemble(disk, RealClock(), known, engine, dial, __version__)
    running = asyncio.ensure_future(loop.run(device))
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


def _engine(args: argparse.Namespace) -> Callable[[str, Path], Callable[[OpenBlob], Engine]]:
    """Return the maker of the engine to use, of a device's id and its directory.

    Where nobody said which, there must be the socket of one. It need not answer yet: one that is down is waited for,
    and the device reports meanwhile.
    """
    if args.engine == "simulated":
        return lambda device, directory: lambda blobs: Simulated(device, blobs, directory / SIMULATED)
    address = args.socket or next((each for each in SOCKETS if Path(each.removeprefix("unix://")).is_socket()), "")
    if not address and args.engine == "auto":
        raise UnavailableError(
            "engine.none",
            f"There is no engine here: none of {', '.join(SOCKETS)} is there.",
            "Start Docker or Podman, name its socket with --socket, or choose --engine simulated on purpose.",
        )
    return lambda device, _: lambda blobs: Docker(device, blobs, socket=address or SOCKETS[0], pool=args.pool)


def _status(args: argparse.Namespace) -> int:
    told = summary.of(args.data)
    if args.json:
        _tell(json.dumps(dataclasses.asdict(told)))
        return 0
    _tell(f"device {told.device} of plane {told.plane!r}: {' / '.join(told.place) or 'above all sites'}")
    for name, text in {
        "plane at": ", ".join(told.addresses),
        "certificate": f"generation {told.generation}, until {told.certificate_until}",
        "observes": "yes: it reports, and refuses every change" if told.observe else "",
        "runs": told.active or "nothing",
        "before it": told.previous,
        "state": told.state + (f", attempt {told.attempt}" if told.attempt else ""),
        "release": told.release,
        "why": f"{told.reason}  [{told.code}]" if told.code else "",
    }.items():
        if text:
            _tell(f"  {name:<12}{text}")
    return 0


def _version(args: argparse.Namespace) -> int:
    if args.json:
        _tell(json.dumps({"capability": CAPABILITY, "version": __version__}))
    else:
        _tell(f"checkvalve-agent {__version__}, capability {CAPABILITY}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="checkvalve-agent", description="The agent of a device. It dials out only.")
    commands = parser.add_subparsers(required=True, metavar="join | run | status | version")

    def command(
        name: str, function: Callable[[argparse.Namespace], int], sentence: str, example: str
    ) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=sentence, description=sentence, epilog=f"Example: {example}")
        added.set_defaults(command=function)
        home = Path(os.environ.get("CHECKVALVE_AGENT_HOME", HOME))
        added.add_argument(
            "--data", type=Path, default=home, help="data directory (default: $CHECKVALVE_AGENT_HOME or %(default)s)"
        )
        added.add_argument("--json", action="store_true", help="print JSON")
        return added

    def dialling(added: argparse.ArgumentParser) -> None:
        added.add_argument("--proxy", default="", help="HTTP proxy that lets CONNECT through: http://host:port")
        added.add_argument("--source", default="", help="local IP address to dial from")

    join = command(
        "join",
        _join,
        "Have this device join a plane.",
        "checkvalve-agent join --server https://192.0.2.10:8443 --token cvj_... --ca-pin sha256:...",
    )
    join.add_argument(
        "--server", action="append", required=True, help="address of the plane, as often as there are; with commas too"
    )
    join.add_argument("--token", required=True, help="token of an invite")
    join.add_argument(
        "--ca-pin", required=True, help="fingerprint of the plane's authority, from the page of the invite"
    )
    join.add_argument("--name", default="", help="what people call this device (default: the host's name)")
    join.add_argument("--again", action="store_true", help="leave the plane that this device has joined before")
    dialling(join)

    serve = command("run", _run, "Run the agent.", "checkvalve-agent run --data /var/lib/checkvalve-agent")
    serve.add_argument("--engine", choices=("auto", "docker", "simulated"), default="auto", help="what runs containers")
    serve.add_argument("--socket", default="", help="the engine's socket: unix:///var/run/docker.sock")
    serve.add_argument("--pool", default="", help="IPv4 network that networks of releases get their subnets of")
    dialling(serve)

    command("status", _status, "Say where this device stands.", "checkvalve-agent status --json")
    command("version", _version, "Say which agent this is.", "checkvalve-agent version")
    return parser


def _tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _tell_error(error: CheckvalveError, *, as_json: bool) -> None:
    if as_json:
        said = {"code": error.code, "remedy": error.remedy, "sentence": error.sentence}
        sys.stderr.write(json.dumps(said) + "\n")
    else:
        sys.stderr.write(f"checkvalve-agent: {error.sentence} {error.remedy}  [{error.code}]\n")
