# SPDX-License-Identifier: Apache-2.0
"""What does the receipt of an attempt say (walk attempt, 19)?

Rules: 1. it rests on the journal's events of the attempt alone, and on what the gate saw before the attempt ended or
turned back; 2. the reason is the one the attempt was turned back for; what went wrong on the way back is in the steps;
3. logs are of services that failed, and of no other: their last lines, as many bytes of each as leave the whole small
enough to be sent; 4. where even that is too much, the oldest steps between the first and the last go, then words that
services said; outcome, reason, image ids and digests never go.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from msgspec.structs import replace

from checkvalve.agent import recover
from checkvalve.agent.asides import Left, Stored, words
from checkvalve.agent.steps import Slot
from checkvalve.errors import InvalidError
from checkvalve.protocol import receipt
from checkvalve.protocol.exchange import Event, State
from checkvalve.protocol.receipt import LOG_BYTES, LOG_LINES, Receipt, Seen, Step

MOST_STEPS = 500
_LATEST = 253_402_300_800_000  # ms: after the year 9999 there is no date
_OUTCOMES = frozenset({State.COMMITTED, State.ROLLED_BACK, State.REFUSED, State.DEGRADED})
_SIZES = (LOG_BYTES, 8_192, 4_096, 2_048, 1_024, 512, 256, 0)  # bytes of log of each failed service, tried in turn


@dataclass(frozen=True, slots=True)
class Teller:
    """Who tells, and from where. `offset` is the device's clock minus the plane's in ms, None if they never spoke.

    `at` is Unix milliseconds by the device's clock, `head` the SHA-256 of the journal's line of the attempt's last
    event, and `active` the digest of the release that runs now, "" for none.
    """

    device: str
    agent: str
    engine: str
    journal: str
    head: str
    active: str
    at: int
    offset: int | None


def compose(
    teller: Teller,
    events: Sequence[Event],
    slot: Slot | None,
    seen: Sequence[Seen] = (),
    logs: Mapping[str, str] | None = None,
    stored: Mapping[str, Stored] | None = None,
) -> Receipt:
    """Return the receipt of the attempt that `events` are of, oldest first; the newest state event is its outcome.

    `slot` is what was staged for it, if it came so far; `logs` are last lines by service, `stored` is what is known of
    volumes, by their names in the engine. Raises `InvalidError`
    (`receipt.events`) if there is no outcome among the events.
    """
    states = [each for each in events if each.kind == "state"]
    if not states or states[-1].state not in _OUTCOMES:
        raise InvalidError("receipt.events", "The attempt has not ended, so there is nothing to tell yet.")
    last = states[-1]
    steps = [Step(state=each.state, at=each.at, code=each.code, reason=each.reason) for each in states]
    target = slot.target if slot else _newest([_target(each) for each in events])
    whole = Receipt(
        device=teller.device,
        attempt=last.attempt,
        release=slot.release if slot else _newest([each.release for each in states]) or recover.listed(target),
        target=target,
        outcome=last.state,
        code=_why(states).code,
        reason=_why(states).reason,
        active=teller.active,
        values=slot.values if slot else _newest([_values(each) for each in events]),
        steps=tuple(_fewer(steps, MOST_STEPS)),
        services=tuple(seen),
        data=_data(slot, last.state, stored or {}, switched=any(each.state is State.SWITCHING for each in states)),
        at=teller.at,
        offset=teller.offset,
        journal=teller.journal,
        first=events[0].seq,
        last=events[-1].seq,
        head=teller.head,
        agent=teller.agent,
        engine=teller.engine,
    )
    return _fitting(whole, logs or {})


def tail(text: str, most: int) -> str:
    """Return the last lines of a log, at most `LOG_LINES` and `most` bytes, beginning with a whole character."""
    lines = text.encode("utf-8", "replace").decode().splitlines(keepends=True)[-LOG_LINES:]
    data = "".join(lines).encode()
    return data[max(0, len(data) - most) :].decode("utf-8", "ignore")


def _fitting(whole: Receipt, logs: Mapping[str, str]) -> Receipt:
    """Return the receipt with as much of the logs as it can hold (rules 3 and 4)."""
    for size in _SIZES:
        services = tuple(_with(each, logs, size) for each in whole.services)
        if _fits(told := replace(whole, services=services)):
            return told
    for few in (100, 10, 2):
        if _fits(told := replace(whole, steps=tuple(_fewer(whole.steps, few)))):
            return told
    bare = tuple(replace(each, probes={}, wrong=each.wrong[:100]) for each in whole.services)
    return replace(whole, steps=tuple(_fewer(whole.steps, 2)), services=bare)


def _newest(texts: Sequence[str]) -> str:
    return next((text for text in reversed(texts) if text), "")


def _target(event: Event) -> str:
    target = event.facts.get("target")
    return target if isinstance(target, str) else ""


def _values(event: Event) -> str:
    values = event.facts.get("values")
    return values if isinstance(values, str) else ""


def _with(seen: Seen, logs: Mapping[str, str], size: int) -> Seen:
    text = logs.get(seen.service, "") if seen.wrong else ""
    return replace(seen, logs=tail(text, size)) if text and size else seen


def _fits(told: Receipt) -> bool:
    try:
        receipt.write(told)
    except InvalidError as error:
        if error.code != "receipt.size":
            raise
        return False
    return True


def _why(states: Sequence[Event]) -> Event:
    """Return the event that says why it ended so (rule 2)."""
    last = states[-1]
    if last.state is State.DEGRADED:
        return next((each for each in states if each.state is State.ROLLING_BACK and each.code), last)
    return last


def _data(slot: Slot | None, outcome: State, stored: Mapping[str, Stored], *, switched: bool) -> dict[str, str]:
    """Return what became of each volume's data."""
    if slot is None:
        return {}
    copied = set(slot.copies)
    said = {}
    for name, volume in slot.volumes.items():
        known = stored.get(volume, Stored())
        if not switched or outcome is State.REFUSED:
            said[name] = "untouched"
        elif outcome is State.COMMITTED:
            took = f" ({words(known.took.size)} in {known.took.ms / 1000:.1f} s)" if known.took else ""
            said[name] = f"copied before the switch{took}" if volume in copied else "kept"
        else:
            said[name] = "returned to before the switch" if volume in copied else "not rolled back"
            said[name] += _set_aside(known.left)
    return said


def _set_aside(left: Left | None) -> str:
    """Return where to find what a failed release wrote."""
    if left is None:
        return ""
    at = f", {datetime.fromtimestamp(left.at // 1000, UTC):%Y-%m-%d %H:%M} UTC" if left.at < _LATEST else ""
    return f"; what the release wrote is set aside as {left.name}, {words(left.size)}{at}"


def _fewer(steps: Sequence[Step], most: int) -> Sequence[Step]:
    """Return the first half and the last of what is too much: how it began, and how it ended."""
    return steps if len(steps) <= most else [*steps[: most // 2], *steps[len(steps) - (most - most // 2) :]]
