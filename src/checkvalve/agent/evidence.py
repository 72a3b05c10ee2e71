# SPDX-License-Identifier: Apache-2.0
"""What an attempt leaves for those who ask later: what the gate saw, the last words of what failed, a signed receipt.

1. What was seen is kept on disk before the pointer or the record that ends the watch: afterwards nothing shows it. What
   turned an attempt back takes the place of what was seen before, and nothing takes its place.
2. An attempt that has ended has a receipt for that end, and so has a device that is degraded, once. Each turn makes up
   for one that a crash prevented; a note in the journal says that it is made.
3. A receipt is a function of journal and evidence, as far as it can be: made twice, it is one.
4. An order that was refused although it was authentic has a receipt too. It rests on a note in the journal, for the
   device may be in the middle of another attempt.
5. Evidence that cannot be had - the engine is silent, the disk is full - never holds up the return itself.
6. No secret is in it: last words are masked before they are kept.
"""

import asyncio
import contextlib
import logging
from collections.abc import Sequence

import msgspec
from msgspec import Struct

from checkvalve import canonical
from checkvalve.agent import crashes, health, hiding, receipts
from checkvalve.agent.crashes import Crashes
from checkvalve.agent.health import Watch
from checkvalve.agent.parts import Parts
from checkvalve.agent.receipts import Teller
from checkvalve.agent.steps import Failure, Observed, Slot, Wrong
from checkvalve.crypto import digests, envelope
from checkvalve.errors import CheckvalveError, UnavailableError
from checkvalve.protocol import receipt as form
from checkvalve.protocol.exchange import SWITCHED, Deploy, Event, State
from checkvalve.protocol.receipt import LOG_BYTES, LOG_LINES, Seen

PATIENCE = 10.0  # seconds for the last words of what failed
_ENDS = frozenset({State.COMMITTED, State.REFUSED, State.ROLLED_BACK, State.DEGRADED})

_log = logging.getLogger("checkvalve.agent")


class _Kept(Struct, frozen=True):
    """What was seen of one attempt: services, last words by service, and whom the device had spoken with."""

    seen: tuple[Seen, ...]
    logs: dict[str, str]
    offset: int | None
    engine: str


async def keep(
    parts: Parts, state: State, services: Sequence[Wrong], observed: Observed | None, watch: Watch | None
) -> None:
    """Keep what is seen now, before the current attempt is in `state` (rule 1); `services` are what failed, and why."""
    attempt = parts.journal.position.attempt
    slot = parts.slots.staged(attempt) if attempt else None
    if state not in {State.COMMITTED, State.ROLLING_BACK} or slot is None or observed is None:
        return
    if parts.journal.position.state not in SWITCHED:  # what runs was found to be what was asked for: nothing to see
        return
    if state is State.COMMITTED and parts.spool.evidence(attempt) is not None:
        return
    why = {each.service: each.sentence for each in services}
    seen = tuple(_with(each, why) for each in health.seen(slot, observed, watch))
    logs = await _last_words(parts, slot, observed, [each.service for each in seen if each.wrong])
    kept = _Kept(seen, logs, parts.offset, _engine(parts))
    try:
        parts.spool.keep_evidence(attempt, msgspec.json.encode(kept))
    except UnavailableError as error:  # rule 5
        _log.warning("What was seen of attempt %s could not be kept: %s", attempt, error.sentence)


def receipt(parts: Parts) -> None:
    """Make the receipt of the current attempt, if it has come to an end and has none (rule 2)."""
    position = parts.journal.position
    due = (position.attempt, position.state)
    if position.state not in _ENDS or not position.attempt or parts.shared.receipted == due:
        return
    events = parts.journal.of(position.attempt)
    ends = [number for number, each in enumerate(events) if each.kind == "state" and each.state is position.state]
    if ends and not any(each.facts.get("outcome") == position.state.value for each in events):
        # Of a device that is degraded for long, the first record of it: the others only say that it goes on.
        end = ends[0] if position.state is State.DEGRADED else ends[-1]
        if not _told(parts, events[: end + 1], parts.slots.staged(position.attempt)):
            return
    parts.shared.receipted = due


def crashed(parts: Parts, seen: Crashes) -> Crashes:
    """Note what has become of services after their commit, as far as it is due; what cannot be written waits."""
    now = parts.clock.monotonic()
    for each in crashes.due(seen, now):
        try:
            parts.journal.write(
                "note", state=parts.journal.position.state, code=each.code, reason=each.sentence, facts=each.facts
            )
        except UnavailableError as error:
            _log.warning("%s  It could not be noted: %s", each.sentence, error.sentence)
            break
        _log.warning("%s  [%s]", each.sentence, each.code)
        seen = crashes.told(seen, each.service, now)
        parts.shared.news.set()
    return seen


def refuse(parts: Parts, asked: Deploy, why: Failure) -> None:
    """Refuse a deployment that was ordered, and say so in a receipt (rule 4). Twice it is the same."""
    noted = next((each for each in parts.journal.of(asked.attempt) if each.facts.get("refused")), None)
    if noted is None:
        values = {"values": asked.filled} if asked.filled else {}
        noted = parts.journal.write(
            "note",
            attempt=asked.attempt,
            state=State.REFUSED,
            code=why.code,
            reason=why.sentence,
            facts={"target": asked.target, "refused": 1, **values},
        )
    _told(parts, [noted], None)


def refused(parts: Parts, attempt: str) -> bool:
    """Tell whether this attempt was refused before it began."""
    return any(each.facts.get("refused") for each in parts.journal.of(attempt))


def _told(parts: Parts, events: Sequence[Event], slot: Slot | None) -> bool:
    """Seal and keep the receipt of these events, the last of which is the end; False if the disk does not take it."""
    end = events[-1]
    kept = _evidence(parts, end.attempt)
    teller = Teller(
        device=parts.identity.device,
        agent=parts.agent,
        engine=kept.engine,
        journal=parts.journal.id,
        head=digests.sha256_hex(canonical.dumps(msgspec.to_builtins(end))),
        active=parts.slots.active.release if parts.slots.active else "",
        at=end.at,
        offset=kept.offset,
    )
    # A refusal is a note in the journal, and the end of its attempt for the receipt.
    states = [*events[:-1], msgspec.structs.replace(end, kind="state")]
    try:
        made = receipts.compose(teller, states, slot, kept.seen, kept.logs, parts.shelf.stored)
        sealed = envelope.seal(parts.identity.key, form.RECEIPT, form.write(made))
        parts.spool.put(envelope.digest(sealed), envelope.write(sealed))
        facts = {"receipt": envelope.digest(sealed), "outcome": end.state.value}
        parts.journal.write("note", attempt=end.attempt, state=end.state, facts=facts)
    except CheckvalveError as error:  # rule 5
        _log.warning("The receipt of attempt %s could not be made: %s", end.attempt, error.sentence)
        return not isinstance(error, UnavailableError)
    parts.shared.news.set()
    return True


def _evidence(parts: Parts, attempt: str) -> _Kept:
    """Return what was kept of an attempt; of one that changed nothing this is the moment to keep it."""
    data = parts.spool.evidence(attempt)
    if data is not None:
        with contextlib.suppress(msgspec.DecodeError):
            return msgspec.json.decode(data, type=_Kept)
    kept = _Kept((), {}, parts.offset, _engine(parts))
    with contextlib.suppress(CheckvalveError):  # an agent that starts again has not spoken with anybody yet (rule 3)
        parts.spool.keep_evidence(attempt, msgspec.json.encode(kept))
    return kept


def _engine(parts: Parts) -> str:
    return parts.shared.about.words if parts.shared.about else ""


async def _last_words(parts: Parts, slot: Slot, observed: Observed, services: Sequence[str]) -> dict[str, str]:
    """Return the last lines of these services, of as many as can be had soon (rule 5)."""
    there = observed.of(slot.attempt)
    said: dict[str, str] = {}
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE):
            for service in services:
                if service in there:
                    with contextlib.suppress(CheckvalveError):
                        text = await parts.engine.logs(there[service].name, LOG_LINES, LOG_BYTES)
                        said[service] = hiding.hide(parts, text, cut=True)  # rule 6
    return said


def _with(seen: Seen, why: dict[str, str]) -> Seen:
    """Return it with why it failed, if it is among what did: what merely had to be waited for is not."""
    return msgspec.structs.replace(seen, wrong=why.get(seen.service, "")[:1_000])
