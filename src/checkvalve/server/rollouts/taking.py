# SPDX-License-Identifier: Apache-2.0
"""Which of the devices that a selector means are taken, and why not the others (walk rollout, 4)?

Rules: 1. a device that refuses every change (observing) or is shut out (quarantined) is passed over: it could only
fail; 2. so is one that runs the release already, filled with the same values; 3. a device that another rollout has not
ended with is in the way of the start as a whole: it could not be said which of the two it is to run; 4. so is one that
lacks a value, or whose agent could not read the release: it is known now, and not at 3 a.m.; 5. nothing to do is no
rollout.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import assert_never

from checkvalve.ids import DeviceId
from checkvalve.server.fleet.model import Device, Trust
from checkvalve.server.rollouts import waves
from checkvalve.server.rollouts.model import PLAIN, Filling, No, Passed, Plan, Planned, Rollout
from checkvalve.server.targeting.model import Term

NAMED = 3  # devices that a sentence names


def plan(
    devices: Sequence[Device], digest: str, plan: Plan, now: datetime, fillings: Mapping[DeviceId, Filling]
) -> Planned:
    """Return who goes when to the release with `digest`, and who is passed over (rules 1, 2).

    `fillings` is empty for a release that leaves nothing open.
    """
    judged = [(device, _passed(device, digest, fillings.get(device.id, PLAIN))) for device in devices]
    taken = [device for device, passed in judged if passed is None]
    passed = tuple(passed for _, passed in judged if passed is not None)
    return Planned(waves.split(taken, plan, now), passed, fillings)


def obstacle(planned: Planned, busy: Mapping[str, Rollout], unknown: Sequence[Term]) -> No | None:
    """Return why it cannot be started (rules 3 to 5), None if it can; `busy` by device."""
    taken = [device for wave in planned.waves for device in wave]
    held = [device for device in taken if device.id in busy]
    if held:
        others = sorted({repr(busy[device.id].name) for device in held})
        sentence = f"{_named(held)} {'is' if len(held) == 1 else 'are'} in rollout {', '.join(others[:NAMED])} already."
        return No("rollout.devices_busy", sentence, "Wait for its end, cancel or undo it, or select other devices.")
    if short := planned.short:
        return _short(short)
    if taken:
        return None
    if planned.passed:
        sentence = f"Nothing is to be done: {_named([one.device for one in planned.passed])} {planned.passed[0].reason}"
        return No("rollout.nothing_to_do", sentence, "Look at the plan, then select other devices.")
    slips = ", ".join(f"{term.key}:{term.value}" for term in unknown)
    sentence = f"Nothing here answers to {slips}." if slips else "The selector means no device."
    return No("rollout.no_device", sentence, "Cancel it, and draft it anew with another selector.")


def _short(short: Sequence[tuple[Device, Filling]]) -> No:
    """Return what is lacking, of the first devices in words."""
    old = [device for device, filling in short if filling.old]
    if old:
        sentence = f"The agent of {_named(old)} is too old to read this release."
        return No("rollout.agent_old", sentence, "Bring the agents up to date, or select other devices.")
    said = [f"{device.name}: {filling.lacks[0].sentence}" for device, filling in short[:NAMED]]
    more = f" And {len(short) - NAMED} more." if len(short) > NAMED else ""
    remedy = "Set what is lacking with `checkvalve config set`; the plan of the rollout lists it for each device."
    return No("rollout.values_lacking", f"Values are lacking. {' '.join(said)}{more}", remedy)


def _passed(device: Device, digest: str, filling: Filling) -> Passed | None:
    match device.trust:
        case Trust.OBSERVE:
            return Passed(device, "device.observes", "refuses every change: it observes only.")
        case Trust.QUARANTINED:
            return Passed(device, "device.quarantined", "is in quarantine.")
        case Trust.RETIRED:
            return Passed(device, "device.retired", "is retired.")
        case Trust.ACCEPTED if device.active == digest and filling.same:
            return Passed(device, "device.runs_it", "runs it already.")
        case Trust.ACCEPTED:
            return None
        case _:
            assert_never(device.trust)


def _named(devices: Sequence[Device]) -> str:
    names = ", ".join(device.name for device in devices[:NAMED])
    more = len(devices) - NAMED
    return f"{names} and {more} more" if more > 0 else names
