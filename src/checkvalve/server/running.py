# SPDX-License-Identifier: Apache-2.0
"""Runs a plane until it is told to stop: lock, migrations, certificate, two listeners, one signal handler."""

import asyncio
import fcntl
import logging
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog

from checkvalve import __version__
from checkvalve.crypto import certificates
from checkvalve.errors import CheckvalveError, ConflictError, InvalidError
from checkvalve.server import keys
from checkvalve.server.blobs.store import Blobs
from checkvalve.server.db import dialect, migrate
from checkvalve.server.db.database import Database
from checkvalve.server.founding import Origins, values_key
from checkvalve.server.scorecard import reading, shipped
from checkvalve.server.scorecard.standard import Standard
from checkvalve.server.settings import Settings
from checkvalve.server.tasks import errands, loop, refresh, seen, sweep
from checkvalve.server.tasks.loop import Tick
from checkvalve.server.web import devices, listeners, pages, rolling, tls
from checkvalve.server.web.imports import Imports
from checkvalve.server.web.listeners import Listener
from checkvalve.server.web.plane import Plane

ROLES = ("all", "operators", "devices")
APPS: dict[str, Callable[[Plane], listeners.App]] = {"operators": pages.operators, "devices": devices.app}
HTTPS = 443

_log = logging.getLogger("checkvalve")


@dataclass(frozen=True)
class Ready:
    """Where the plane listens, once it does; an address is empty where this process has not that role."""

    plane: str
    operators: str
    devices: str
    pin: str


async def serve(
    directory: Path, settings: Settings, role: str, origins: Origins, ready: Callable[[Ready], None]
) -> int:
    """Serve until SIGTERM or SIGINT; SIGHUP reads the operators' certificate again. Return 0.

    Raises `ConflictError` (`serve.running`, `database.newer`, `values.key_lost`, `values.key_other`), `InvalidError`
    (`serve.needs_postgresql`, `tls.*`, `key.form`), `NotFoundError` (`keys.missing`), `UnavailableError`
    (`database.unavailable`, `listener.*`, `blobs.*`).
    """
    _log_to_stderr(settings.log)
    _more_descriptors()
    if role != "all" and dialect.kind(settings.database) == dialect.SQLITE:
        raise InvalidError(
            "serve.needs_postgresql",
            f"--role {role} would be one of several processes, and SQLite takes one writer only.",
            "Set database to a postgresql:// address, or leave --role out.",
        )
    with alone(directory, settings):
        database = Database.open(settings.database, directory)
        try:
            migrate.upgrade(database)
            await _listen(directory, settings, role, origins, ready, database)
        finally:
            database.close()
    return 0


async def _listen(
    directory: Path,
    settings: Settings,
    role: str,
    origins: Origins,
    ready: Callable[[Ready], None],
    database: Database,
) -> None:
    standard = _standard(directory, settings.scheme)
    authority = keys.authority(directory / "keys")
    pem = certificates.to_pem(authority.certificate)
    pair = keys.plane_pair(directory / "keys", authority, settings.names, origins.now(), origins.entropy(16))
    operators_pair = _operators_pair(settings, pair)
    doors = _doors(settings, role, pair, operators_pair, pem)
    for door in doors:
        door.bind()  # before the applications are made: port 0 becomes a real one, and origins hold the port
    ports = {door.name: door.port for door in doors}
    plane = Plane(
        db=database,
        name=settings.plane,
        version=__version__,
        ca_pem=pem,
        ca_pin=authority.pin,
        origins=tuple(_origin(name, ports.get("operators", 0)) for name in settings.names),
        device_origins=tuple(_origin(name, ports.get("devices", settings.devices.port)) for name in settings.names),
        blobs=Blobs(settings.blobs_in(directory)),
        online=keys.online(directory / "keys"),
        authority=authority,
        orders=keys.orders(directory / "keys", authority, origins.now(), origins.entropy(16)),
        values=values_key(directory / "keys", database, origins),
        imports=Imports(settings.largest_archive),
        standard=standard,
        now=origins.now,
        new_id=origins.new_id,
        entropy=origins.entropy,
    )
    for door in doors:
        door.app = APPS[door.name](plane)
    stop = asyncio.Event()
    signals = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        signals.add_signal_handler(number, stop.set)
    signals.add_signal_handler(signal.SIGHUP, _renew, doors, operators_pair)
    told = {name: _origin(settings.names[0], port) for name, port in ports.items()}
    ready(Ready(settings.plane, told.get("operators", ""), told.get("devices", ""), authority.pin))
    working = [asyncio.create_task(loop.run(_ticks(plane), stop, origins.entropy))]
    working.append(asyncio.create_task(_rolling(plane, stop)))
    working.append(asyncio.create_task(plane.live.watch(stop)))
    if "devices" in ports:
        working.append(asyncio.create_task(plane.presence.watch(plane.db, stop)))
    try:
        await listeners.serve(doors, stop)
    finally:
        stop.set()  # also where a listener failed: the database is closed behind the last tick
        await asyncio.gather(*working)
        await _last(plane)


async def _rolling(plane: Plane, stop: asyncio.Event) -> None:
    origins = rolling.Origins(plane.now, plane.new_id)
    await plane.rolling.watch(plane.db, origins, plane.presence.stir, stop)


def _ticks(plane: Plane) -> list[Tick]:
    """Return what this process does by itself; every process may do all of it (ADR 0004)."""
    return [
        Tick("refresh", refresh.WITHIN, lambda: refresh.run(plane.db, plane.online, plane.now, plane.new_id)),
        Tick("seen", seen.WITHIN, lambda: seen.run(plane.db, plane.presence.seen, plane.presence.unseen)),
        Tick("errands", errands.WITHIN, lambda: errands.run(plane.db, plane.now, plane.new_id)),
        Tick("sweep", sweep.WITHIN, lambda: sweep.run(plane.db, plane.blobs, plane.now)),
    ]


async def _last(plane: Plane) -> None:
    """Write down when devices were seen last: what no tick has written yet would be lost."""
    try:
        await seen.run(plane.db, plane.presence.seen, plane.presence.unseen)
    except CheckvalveError as error:
        _log.error("when devices were seen last is lost: %s", error.sentence)


def _doors(settings: Settings, role: str, pair: keys.Pair, operators_pair: keys.Pair, ca_pem: bytes) -> list[Listener]:
    doors = []
    if role in {"all", "operators"}:
        context = tls.operators_context(operators_pair.certificate, operators_pair.key)
        where = settings.operators
        doors.append(Listener("operators", _nobody, where.address, where.port, context))
    if role in {"all", "devices"}:
        context = tls.devices_context(pair.certificate, pair.key, ca_pem.decode())
        where = settings.devices
        doors.append(Listener("devices", _nobody, where.address, where.port, context))
    return doors


async def _nobody(*_: object) -> None:
    """Stand in for an application until the listener's port is known; nothing is accepted before `serve`."""


def _origin(name: str, port: int) -> str:
    host = f"[{name}]" if ":" in name else name
    return f"https://{host}" if port == HTTPS else f"https://{host}:{port}"


def _operators_pair(settings: Settings, own: keys.Pair) -> keys.Pair:
    if bool(settings.operators_certificate) != bool(settings.operators_key):
        raise InvalidError(
            "tls.half",
            "Of operators_certificate and operators_key one is set and the other is not.",
            "Set both to PEM files, or neither.",
        )
    if not settings.operators_certificate:
        return own
    return keys.Pair(Path(settings.operators_certificate), Path(settings.operators_key))


def _renew(doors: list[Listener], pair: keys.Pair) -> None:
    """Take the operators' certificate as it is on disk now; a bad one is told and the old one goes on."""
    for door in doors:
        if door.name == "operators":
            try:
                door.context = tls.operators_context(pair.certificate, pair.key)
            except CheckvalveError as error:
                _log.error("the operators' certificate was not taken: %s %s", error.sentence, error.remedy)


@contextmanager
def alone(directory: Path, settings: Settings) -> Iterator[None]:
    """Hold the data directory, where its SQLite file has one writer: this process.

    `ConflictError` (`serve.running`).
    """
    if dialect.kind(settings.database) != dialect.SQLITE:
        yield
        return
    with (directory / "serve.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConflictError(
                "serve.running", f"A plane runs in {directory} already.", "Stop it first, or serve another directory."
            ) from error
        yield


def _more_descriptors() -> None:
    """Raise the soft limit to the hard one: each connection is a descriptor, and 1024 of them are soon gone."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _log_to_stderr(level: str) -> None:
    """Send every log line to standard error, as JSON where that is no terminal."""
    if level.upper() not in logging.getLevelNamesMapping():
        raise InvalidError("settings.log", f"{level!r} is no log level.", "Use debug, info, warning or error.")
    # No renderer that prints the variables of a traceback: a secret may be among them.
    tracebacks: list[structlog.typing.Processor] = [structlog.processors.format_exc_info]
    renderer: structlog.typing.Processor = structlog.processors.JSONRenderer(sort_keys=True)
    if sys.stderr.isatty():
        tracebacks = []
        renderer = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        *tracebacks,
    ]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer], foreign_pre_chain=shared
        )
    )
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
    )


def _standard(directory: Path, scheme: str) -> Standard:
    """Return what assessments are read by, under the scheme file of a setting; "" is the shipped one."""
    if not scheme:
        return shipped.shipped()
    file = directory / scheme
    try:
        with file.open("rb") as source:
            content = source.read(reading.LARGEST + 1)
    except (OSError, ValueError) as error:
        raise InvalidError(
            "standard.file",
            f"The scheme of the scorecard, {file}, cannot be read.",
            "Mend `scheme` in checkvalve.toml, or take the line out to use the scheme that is shipped.",
        ) from error
    return shipped.read_with(content)
