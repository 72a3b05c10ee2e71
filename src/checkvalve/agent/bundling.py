# SPDX-License-Identifier: Apache-2.0
"""Collects what goes into a running agent's support bundle, for the person at the cabinet and for an errand."""

import dataclasses
import platform
import shutil
from pathlib import Path
from typing import Any

import msgspec

from checkvalve.agent import bundle, checking, doctor, hidden, identity, summary
from checkvalve.agent.doctor import Finding
from checkvalve.agent.parts import Parts, Place
from checkvalve.agent.steps import Slot
from checkvalve.protocol.version import CAPABILITY


async def made(parts: Parts, place: Place | None) -> bytes:
    """Return the bundle, a gzipped tar of at most `bundle.LARGEST` bytes; it raises for nothing a device may meet.

    Without a place there is no directory to look at, and nobody is dialled.
    """
    said: dict[str, Any] = {
        "status": msgspec.to_builtins(summary.now(parts)),
        "versions": versions(parts.agent, parts.shared.about.words if parts.shared.about else ""),
    }
    if place is not None:
        said |= {"doctor": told(await findings(parts, place)), "disk": disk(place.data)}
    return await bundle.made(
        bundle.Source(
            said=said,
            events=parts.journal.events(max(0, parts.journal.seq - bundle.MOST_EVENTS), bundle.MOST_EVENTS),
            engine=parts.engine,
            observed=parts.shared.observed,
            hidden=secrets(parts),
        )
    )


async def findings(parts: Parts, place: Place) -> list[Finding]:
    """Return what `doctor` finds, over connections of its own."""
    return await checking.look(
        checking.Patient(
            known=parts.identity,
            observes=identity.observes(parts.disk),
            data=place.data,
            runtime=place.runtime,
            engine=parts.engine,
            proxy=place.proxy,
            source=place.source,
            wall=lambda: int(parts.clock.now().timestamp() * 1000),
            more=await checking.rules(parts.disk),
        )
    )


def secrets(parts: Parts) -> hidden.Hidden:
    """Return the secrets of a running agent's slots: what nothing may show."""
    attempt = parts.journal.position.attempt
    staged: Slot | None = parts.slots.staged(attempt) if attempt else None
    slots = (parts.slots.active, parts.slots.previous, staged)
    return hidden.of(slots, identity.opening(parts.disk))


def told(found: list[Finding]) -> dict[str, Any]:
    """Return findings and their verdict, for programs."""
    well, sentence = doctor.verdict(found)
    return {"well": well, "verdict": sentence, "findings": [dataclasses.asdict(each) for each in found]}


def versions(agent: str, engine: str) -> dict[str, str | int]:
    """Return what runs here."""
    return {
        "agent": agent,
        "capability": CAPABILITY,
        "engine": engine,
        "kernel": platform.release(),
        "machine": platform.machine(),
        "python": platform.python_version(),
    }


def disk(data: Path) -> dict[str, int]:
    """Return how much room there is, in bytes; {} if the disk does not say."""
    try:
        found = shutil.disk_usage(data)
    except OSError:
        return {}
    return {"total": found.total, "used": found.used, "free": found.free}
