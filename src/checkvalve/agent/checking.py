# SPDX-License-Identifier: Apache-2.0
"""Looks at everything that a device needs, for `doctor` to judge: each address of the plane, disk, engine, memory.

It dials as the agent dials, over connections of its own, so that it meets what the agent meets, and disturbs nothing.
"""

import asyncio
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from checkvalve import clock
from checkvalve.agent import doctor, holds, local, policy
from checkvalve.agent.doctor import Finding, Reached
from checkvalve.agent.identity import Identity
from checkvalve.agent.link import strangers, tls
from checkvalve.agent.link.strangers import Stranger
from checkvalve.agent.link.tls import Patience, Tls
from checkvalve.agent.permits.real import Real
from checkvalve.agent.ports import Disk, Engine
from checkvalve.crypto import certificates, keys
from checkvalve.crypto.metadata import TIMESTAMP
from checkvalve.errors import CheckvalveError, InvalidError, UnavailableError
from checkvalve.protocol import time
from checkvalve.protocol.api import DevicePlane

ENGINE_SECONDS = 10.0
PATIENCE = Patience(connect=5.0, answer=10.0)
_MOUNTS = Path("/proc/self/mounts")
_NOBODY = frozenset({"name", "route", "proxy"})  # layers: where one of them fails, nobody at the address was reached


@dataclass(frozen=True)
class Patient:
    """What is looked at. `wall` returns this device's clock as Unix milliseconds; `more` are findings of its policy."""

    known: Identity
    observes: bool
    data: Path
    runtime: Path | None  # None: nothing is kept in memory here, for the engine is a simulated one
    engine: Engine | None
    proxy: str = ""
    source: str = ""
    patience: Patience = PATIENCE
    wall: Callable[[], int] = lambda: int(clock.now().timestamp() * 1000)
    more: tuple[Finding, ...] = ()


async def look(patient: Patient) -> list[Finding]:
    """Return what there is to say, the way to the plane first. It raises for nothing that a device may meet."""
    reached = await asyncio.gather(*(_reached(patient, each) for each in patient.known.addresses))
    pin = keys.fingerprint(certificates.public_key(certificates.from_pem(patient.known.ca.encode())))
    return [
        *doctor.ways(reached, pin),
        *doctor.observing(observes=patient.observes),
        _room(patient.data),
        *([] if patient.engine is None else [doctor.engine(await _engine(patient.engine))]),
        *patient.more,
        *([] if patient.runtime is None else [doctor.memory(str(patient.runtime), _kind(patient.runtime))]),
    ]


async def before(addresses: Sequence[str], pin: str, proxy: str = "", source: str = "") -> list[Finding]:
    """Return what a device that has not joined yet can say of the way to a plane; `pin` "": none was given.

    What answers is believed in nothing. It raises for nothing that a device may meet.
    """
    reached = await asyncio.gather(*(_introduced(each, pin, proxy, source) for each in addresses))
    found = [doctor.way(each, pin) for each in reached]
    return [
        each if each.grade == "bad" else doctor.stranger(about, pin) for each, about in zip(found, reached, strict=True)
    ]


async def _introduced(address: str, pin: str, proxy: str, source: str) -> Reached:
    try:
        said = await tls.introduced((address,), proxy=proxy or None, source=source or None, patience=PATIENCE)
        about = msgspec.json.decode(said, type=DevicePlane)
        found = keys.fingerprint(certificates.public_key(certificates.from_pem(about.ca.encode())))
        await _pinned(address, about.ca, proxy, source)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        error: CheckvalveError = InvalidError(
            "link.answer", f"What answers at {address} is no plane.", "Check the address, and the port: it is 8443."
        )
    except CheckvalveError as failed:
        error = failed
    else:
        return Reached(address, pin=found)
    if error.facts.get("layer") in _NOBODY:
        return Reached(address, error)
    seen = await strangers.look(address, proxy, source, PATIENCE)
    return Reached(address, error, seen.issuer, "" if seen.pin == pin else seen.pin, seen.plain)


async def _pinned(address: str, ca: str, proxy: str, source: str) -> None:
    """Dial as a device that has joined does: who opens TLS in between passes on what the plane says of itself."""
    link = Tls((address,), ca, proxy=proxy or None, source=source or None, patience=PATIENCE)
    try:
        await link.about()
    finally:
        await link.close()


async def _reached(patient: Patient, address: str) -> Reached:
    """Ask the plane at one address for its time, and for what only a device that is let in is given."""
    known = patient.known
    proxy, source = patient.proxy or known.proxy, patient.source or known.source
    began = clock.monotonic()
    link = Tls(
        (address,), known.ca, known.pair(), proxy=proxy or None, source=source or None, patience=patient.patience
    )
    offset = None
    try:
        said = await link.time()
        wall = patient.wall()
        offset = wall - time.read(said, known.orders_key())
        await link.metadata(TIMESTAMP, 0)
    except CheckvalveError as error:
        seen = Stranger()
        if error.facts.get("layer") == "tls":
            seen = await strangers.look(address, proxy, source, patient.patience)
        return Reached(address, error, seen.issuer, seen.pin, seen.plain, offset)
    finally:
        await link.close()
    return Reached(address, offset=offset, seconds=clock.monotonic() - began)


async def _engine(engine: Engine) -> str | CheckvalveError:
    try:
        async with asyncio.timeout(ENGINE_SECONDS):
            return (await engine.about()).words
    except TimeoutError:
        return UnavailableError("engine.unreachable", "The engine does not answer.", "Start it again.")
    except CheckvalveError as error:
        return error


def _room(directory: Path) -> Finding:
    try:
        free = shutil.disk_usage(directory).free
    except OSError:
        return doctor.room(str(directory), 0, writable=False)
    return doctor.room(str(directory), free, writable=os.access(directory, os.W_OK))


def _kind(directory: Path) -> str:
    try:
        return doctor.filesystem(_MOUNTS.read_text(), str(directory.resolve()))
    except OSError:
        return ""


async def rules(disk: Disk) -> tuple[Finding, ...]:
    """Return what there is to say of policy, permit and tags. The permit is asked, by nobody's hand but ours."""
    found = list[Finding]()
    try:
        asked = local.rules(disk).permit
    except CheckvalveError as error:
        found.append(Finding("policy", "policy", "bad", error.sentence, error.remedy))
    else:
        if asked is not None:
            found.append(doctor.permit(policy.words(asked), await Real().ask(asked)))
    try:
        tags = holds.all_(disk)
    except CheckvalveError as error:
        return (*found, Finding("holds", "holds", "bad", error.sentence, error.remedy))
    return (*found, *doctor.tags(tags))
