# SPDX-License-Identifier: Apache-2.0
"""Restarts the container of a service, between two moves of the work (walk errand, 5).

Rules: 1. it is judged in the turn in which it is done: what was so a moment ago may not be; 2. the file of errands says
what is about to be done before each of the two steps. Cut short before the start, the same is done again; after it, a
container that runs was started; 3. where a switch has begun since it was cut short, nothing is done: what runs is that
attempt's matter. Where a tag hangs since, nothing that runs is stopped; 4. a moment later it is looked at, and what is
said is what was seen then.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from msgspec import structs

from checkvalve.agent import findings, local
from checkvalve.agent.erranding import End
from checkvalve.agent.errands import Open
from checkvalve.agent.parts import Parts
from checkvalve.agent.steps import Container, Failure, Observed, Start, Stop
from checkvalve.protocol.errand import Restart
from checkvalve.protocol.exchange import SWITCHED

PATIENCE = 600.0  # seconds until the work has to have come to it
MOMENT = 2.0  # seconds until it is looked at
_RUNS = frozenset({"running", "restarting", "paused"})

Begin = Callable[[Open], Open | Failure]
"""Judges an errand and, if it may be begun, has it written down; raises what the disk raises."""


async def restart(parts: Parts, kept: Open, item: Restart, begin: Begin) -> End | Failure:
    """Have it restarted, and return what came of it; a `Failure` if it was not begun.

    Raises `UnavailableError` (`engine.unreachable`, `disk.full`, `disk.failed`), `ConflictError` (`engine.refused`).
    """
    done: asyncio.Future[Failure | None] = asyncio.get_running_loop().create_future()

    async def chore(observed: Observed) -> None:
        try:
            found = await _restarted(parts, kept, item, observed, begin)
        except Exception as error:  # noqa: BLE001  # who waits for it is told, whatever it is
            if not done.done():
                done.set_exception(error)
        else:
            if not done.done():
                done.set_result(found)

    parts.shared.chore = chore
    parts.shared.work.set()
    try:
        why = await _waited(parts, done)
    finally:
        if parts.shared.chore is chore:
            parts.shared.chore = None
    return why or await _looked(parts, item.service)


async def _waited(parts: Parts, done: "asyncio.Future[Failure | None]") -> Failure | None:
    """Return what came of it, or that it never had its turn."""
    late = asyncio.ensure_future(parts.clock.sleep(PATIENCE))
    waits: list[asyncio.Future[Any]] = [done, late]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        if not done.done() and parts.shared.chore is None:
            await asyncio.wait(waits[:1])  # it is being done: a service may take its time to stop
    finally:
        late.cancel()
        await asyncio.gather(late, return_exceptions=True)
    if done.done():
        return done.result()
    words = f"This device has not come to it within {PATIENCE / 60:.0f} min: it is busy, or its engine does not answer."
    return Failure("errand.busy", words)


async def _restarted(parts: Parts, kept: Open, item: Restart, observed: Observed, begin: Begin) -> Failure | None:
    """Stop and start it; return why it was not begun (rules 1 to 3)."""
    again = kept.begun > 0
    if not again:
        found = begin(structs.replace(kept, stage="stopping"))
        if isinstance(found, Failure):
            return found
        kept = found
    elif parts.journal.position.state in SWITCHED:
        return Failure("errand.cut", "It was cut short, and an attempt is under way since: it decides what runs.")
    container, grace = _container(parts, item.service, observed)
    if container is None:
        return Failure(
            "errand.service", f"There is no container of {item.service} now: the device is about to make it."
        )
    if again and kept.stage == "stopping" and container.state in _RUNS and local.read(parts.disk, parts.clock).tags:
        return Failure("errand.cut", "It was cut short, and a lock-out tag hangs since: what runs was left as it is.")
    if kept.stage == "stopping":
        await parts.engine.do(Stop(container.name, grace))
        kept = structs.replace(kept, stage="starting")
        parts.errands.change(kept)
    elif container.state in _RUNS:
        return None
    await parts.engine.do(Start(container.name))
    return None


def _container(parts: Parts, service: str, observed: Observed) -> tuple[Container | None, int]:
    """Return a service's container of what runs here, and how long it has to stop, in ms."""
    active = parts.slots.active
    if active is None or service not in active.manifest.services:
        return None, 0
    return findings.own(active, observed).get(service), active.manifest.services[service].stop_grace_ms


async def _looked(parts: Parts, service: str) -> End:
    """Return what is seen of it after a moment (rule 4)."""
    await parts.clock.sleep(MOMENT)
    found, _ = _container(parts, service, await parts.engine.observe())
    if found is not None and found.state == "running":
        health = f", health: {found.health}" if found.health else ""
        return End("done", "", f"{service} was restarted, and runs{health}.")
    state = "has no container" if found is None else f"is {found.state}, with code {found.exit_code}"
    return End("failed", "restart.ended", f"{service} was restarted, and {state} {MOMENT:.0f} s later.")
