# SPDX-License-Identifier: Apache-2.0
"""May this errand be ordered of this device now, and is it one that waits already?

Rules: 1. a device that is shut out, one that observes, and one whose agent knows of no errands is ordered none; 2. what
stops something that runs - a restart, a reboot - is not ordered while a tag hangs for the device, and says why; a
restart names its service; 3. a device has at most `MOST` open; 4. the same asked again while the first may still be
begun is that one, whoever asks.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from checkvalve import lines as texts
from checkvalve.errors import ConflictError, InvalidError
from checkvalve.ids import PersonId
from checkvalve.protocol import errand as messages
from checkvalve.server.errands.model import CAPABILITY, GOOD, LONGEST, SHORTEST, Asked, Errand, Kind
from checkvalve.server.fleet.model import LET_IN, Device, Trust

LONGEST_SERVICE = 100
LONGEST_WHY = 1_000
STOPS = frozenset({Kind.RESTART, Kind.REBOOT})
"""Kinds that stop something that runs."""


def refusal(device: Device, kind: Kind, tagged: Sequence[str]) -> ConflictError | None:
    """Return why this device is ordered no errand of this kind now, None if it may be (rules 1, 2).

    `tagged` names whoever hung the tags that hang for it, those of the plane and its own. Codes: `errand.device`,
    `errand.observes`, `errand.agent`, `errand.held`.
    """
    if device.trust not in LET_IN:
        said = "retired" if device.trust is Trust.RETIRED else "quarantined"
        return ConflictError(
            "errand.device", f"This device is {said}: nothing is ordered of it.", "Order it of a device that is let in."
        )
    if device.trust is Trust.OBSERVE:
        return ConflictError(
            "errand.observes",
            "This device only observes: it reports, and carries out no orders.",
            "Whoever set it up to observe only can end that, at the device.",
        )
    if device.capability < CAPABILITY:
        return ConflictError(
            "errand.agent",
            f"The agent of this device knows of no small orders: it has capability {device.capability}, "
            f"and they need {CAPABILITY}.",
            "Install a newer agent on the device.",
        )
    if kind in STOPS and tagged:
        return ConflictError(
            "errand.held",
            f"A lock-out tag hangs for this device: {_few(tagged)}.",
            "Ask whoever hung it. Logs and a support bundle can be had all the same.",
        )
    return None


def one_more(there: int) -> None:
    """Refuse an errand of a device that has as many open as it may (rule 3); `ConflictError` (`errand.many`)."""
    if there >= messages.MOST:
        raise ConflictError(
            "errand.many",
            f"{there} small orders wait for this device already.",
            "Wait for them, or cancel those that nobody needs any more.",
        )


def ordered(asked: Asked, device: Device, by: PersonId, at: datetime) -> Errand:
    """Return what was asked for as it is kept, ordered by `by` at `at`; of a kind counts only what it has.

    Raises `InvalidError` (`errand.service`, `errand.since`, `errand.lines`, `errand.why`, `errand.within`).
    """
    logs = asked.kind is Kind.LOGS
    return Errand(
        id=asked.id,
        device=device.id,
        scope=device.scope,
        kind=asked.kind,
        service=_service(asked),
        since=_number("since", asked.since, 0, messages.LONGEST) if logs else 0,
        lines=_number("lines", asked.lines, 1, messages.MOST_LINES) if logs else 0,
        why=_why(asked),
        made_by=by,
        made_at=at,
        until=at + _within(GOOD[device.link] if asked.within is None else asked.within),
    )


def same(wanted: Errand, waiting: Iterable[Errand], now: datetime) -> Errand | None:
    """Return the one among those that wait that is wanted once more, None if none is (rule 4)."""
    return next((one for one in waiting if now < one.until and _what(one) == _what(wanted)), None)


def _what(errand: Errand) -> tuple[Kind, str, int, int]:
    return errand.kind, errand.service, errand.since, errand.lines


def _few(names: Sequence[str]) -> str:
    shown = ", ".join(dict.fromkeys(names[:3]))
    return f"{shown} and {len(names) - 3} more" if len(names) > 3 else shown


def _service(asked: Asked) -> str:
    match asked.kind:
        case Kind.BUNDLE | Kind.REBOOT:
            if asked.service:
                raise InvalidError(
                    "errand.service", "A support bundle and a reboot are of the whole device.", "Name no service."
                )
            return ""
        case Kind.LOGS | Kind.RESTART:
            name = texts.tidy(asked.service, LONGEST_SERVICE)
            if len(name) > LONGEST_SERVICE or not texts.plain(name):
                raise InvalidError(
                    "errand.service",
                    f"A service's name is one line of at most {LONGEST_SERVICE} characters.",
                    "Copy it from the device's page.",
                )
            if not name and asked.kind is Kind.RESTART:
                raise InvalidError(
                    "errand.service", "A restart is of one service.", "Name one of those that run on the device."
                )
            return name


def _number(name: str, value: int, least: int, most: int) -> int:
    if not least <= value <= most:
        raise InvalidError(f"errand.{name}", f"`{name}` is from {least} to {most}.", "Ask for less at once.")
    return value


def _why(asked: Asked) -> str:
    tidy = texts.tidy(asked.why, LONGEST_WHY)
    if len(tidy) > LONGEST_WHY or not texts.plain(tidy):
        raise InvalidError(
            "errand.why",
            f"The reason is one line of at most {LONGEST_WHY} characters, without control characters.",
            "Say it in a few words.",
        )
    if not tidy and asked.kind in STOPS:
        raise InvalidError(
            "errand.why",
            f"A {asked.kind.value} stops what runs there, and says why.",
            "Say why in a few words: whoever stands at the machine reads it.",
        )
    return tidy


def _within(within: timedelta) -> timedelta:
    if not SHORTEST <= within <= LONGEST:
        raise InvalidError(
            "errand.within",
            "A small order may be begun for one minute to seven days.",
            "Give a device that comes seldom more time.",
        )
    return within
