# SPDX-License-Identifier: Apache-2.0
"""Is this device let in, and may people move its trust so?

Rules: 1. what is let in may be quarantined, and what is quarantined accepted again: it is then what it says of itself,
accepted or observing; 2. anything may be retired, and nothing comes back from there; 3. whether a device observes is a
file on it, which the plane notes and never sets; 4. whoever moves trust says why, in a line.
"""

from enum import StrEnum
from typing import assert_never

import msgspec

from checkvalve import lines
from checkvalve.errors import ConflictError, ForbiddenError, InvalidError
from checkvalve.protocol.exchange import Status
from checkvalve.server.fleet.model import Device, Trust

LONGEST_REASON = 1_000


class Move(StrEnum):
    """What people do with the trust in a device."""

    QUARANTINE = "quarantine"
    ACCEPT = "accept"
    RETIRE = "retire"


def let_in(trust: Trust) -> None:
    """Refuse a device that is shut out; `ForbiddenError` (`device.quarantined`, `device.retired`)."""
    match trust:
        case Trust.QUARANTINED:
            raise ForbiddenError(
                "device.quarantined",
                "This device is quarantined: nothing it says is taken.",
                "An operator decides whether it is accepted again: `checkvalve device accept`.",
            )
        case Trust.RETIRED:
            raise ForbiddenError(
                "device.retired",
                "This device is retired, for ever.",
                "To bring the machine back, remove its agent's directory and let it join as a new device.",
            )
        case Trust.ACCEPTED | Trust.OBSERVE:
            return
        case _:
            assert_never(trust)


def moved(device: Device, move: Move, *, invited_to_observe: bool) -> Trust:
    """Return what the trust becomes (rules 1, 2).

    `invited_to_observe` counts while the device has said nothing of itself. Raises `ConflictError`
    (`device.already_retired`, `device.already_quarantined`, `device.not_quarantined`).
    """
    not_retired(device)
    match move:
        case Move.RETIRE:
            return Trust.RETIRED
        case Move.QUARANTINE if device.trust is Trust.QUARANTINED:
            raise ConflictError(
                "device.already_quarantined", "The device is quarantined already.", "Nothing is left to do."
            )
        case Move.QUARANTINE:
            return Trust.QUARANTINED
        case Move.ACCEPT if device.trust is not Trust.QUARANTINED:
            raise ConflictError("device.not_quarantined", "The device is not quarantined.", "Nothing is left to do.")
        case Move.ACCEPT:
            return _says(device, invited_to_observe=invited_to_observe)
        case _:
            assert_never(move)


def observing(device: Device, *, observe: bool) -> Trust:
    """Return what the trust of a device becomes that says whether it observes (rule 3); raises as `let_in` does."""
    let_in(device.trust)
    return Trust.OBSERVE if observe else Trust.ACCEPTED


def not_retired(device: Device) -> None:
    """Refuse any change of a retired device (rule 2); `ConflictError` (`device.already_retired`)."""
    if device.trust is Trust.RETIRED:
        raise ConflictError(
            "device.already_retired",
            "The device is retired already, for ever.",
            "Nothing is left to do; what it told stays in the record.",
        )


def reason(text: str) -> str:
    """Return the reason as it is kept (rule 4); `InvalidError` (`device.reason`)."""
    tidy = lines.tidy(text, LONGEST_REASON)
    if not tidy or len(tidy) > LONGEST_REASON or not lines.plain(tidy):
        raise InvalidError(
            "device.reason",
            f"A reason is one line of 1 to {LONGEST_REASON} characters, without control characters.",
            "Say why in a few words: whoever finds the device locked out reads it.",
        )
    return tidy


def _says(device: Device, *, invited_to_observe: bool) -> Trust:
    said = msgspec.json.decode(device.status, type=Status).observe if device.status else invited_to_observe
    return Trust.OBSERVE if said else Trust.ACCEPTED
