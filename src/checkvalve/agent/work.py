# SPDX-License-Identifier: Apache-2.0
"""Carries out what `plan.move` decides: look, ask what is next, do that one thing, and look again.

1. What the journal says is on disk before anything is done about it. If it cannot be written, nothing is done.
2. Who does not answer is waited for: the plane before the switch, the engine always. Only while a switched release is
   being watched does an engine that is silent for longer than the whole watch count as a failed gate.
3. Everything else that fails is handed to `plan.move`, with the move it came of; what follows is decided there.
4. What nobody foresaw ends no turn but its own: it is logged once for each kind and tried again, later and later.
   With containers switched it is a failure as any other, so that a fault of ours leads back to last known good.
5. What the gate saw is kept before the record that turns an attempt back, for nothing of it can be seen afterwards.
6. A permit's answer is decided on at once, with tags and window as they are then: nothing is waited for in between.
   When SWITCHING is about to be written it is used up, also if it then cannot be written.
7. An errand that changes a container has it done here, after a look and before a move, and then comes another look:
   nothing else changes containers meanwhile, and nothing is decided on what was seen before.
"""

import asyncio
import contextlib
import logging
from typing import assert_never

from checkvalve.agent import copies, crashes, evidence, health, hiding, identity, local, obtain, plan, recover, waiting
from checkvalve.agent.health import Watch
from checkvalve.agent.parts import Parts, backoff, rest
from checkvalve.agent.plan import Situation
from checkvalve.agent.steps import (
    Ask,
    Commit,
    Do,
    Failure,
    Fetch,
    Forget,
    Look,
    Move,
    Note,
    Observed,
    Obtain,
    Position,
    Ran,
    Rest,
    Slot,
)
from checkvalve.crypto import process
from checkvalve.errors import CheckvalveError
from checkvalve.protocol.exchange import ENDED, SWITCHED, State

MOST_SILENCE = 30.0  # seconds between two calls of an engine that does not answer
_PASSING = frozenset({"unavailable", "throttled", "forbidden", "unauthenticated"})  # of the plane: kinds of error

_log = logging.getLogger("checkvalve.agent")

_Tried = Obtain | Fetch | Do | Commit | Forget


class Work:
    """One device's attempts, one move after another."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._booted = False
        self._begun = False
        self._watch: Watch | None = None
        self._probed: dict[str, str] = {}  # results that no look has taken in yet
        self._failure: Failure | None = None
        self._failed: Move | None = None
        self._tries = 0  # failures since a rest without one
        self._worked = True  # since the last rest
        self._misses = 0  # turns in a row that came to nothing
        self._silent: float | None = None  # since when the engine does not answer
        self._permitted: waiting.Permitted | None = None
        self._crashes = crashes.Crashes()
        self._logged: set[str] = set()

    async def run(self) -> None:
        """Work for ever."""
        while True:
            seconds = await self.turn()
            if seconds > 0:
                await rest(self._parts.clock, seconds, self._parts.shared.work)

    async def turn(self) -> float:
        """Make one move; return how many seconds to wait before the next, unless something happens first."""
        try:
            if not self._begun:
                await self._begin()
            seconds = await self._go_on()
        except CheckvalveError as error:
            return self._missed(error)
        except Exception as error:  # noqa: BLE001  # rule 4
            return self._surprised(error)
        self._misses = 0
        return seconds

    @property
    def _position(self) -> Position:
        return self._parts.journal.position

    async def _begin(self) -> None:
        """Say in the journal that the agent started, and what follows from where it was cut short."""
        parts = self._parts
        if not self._booted:
            parts.journal.write("boot", attempt=self._position.attempt, state=self._position.state)
            self._booted = True
        note = recover.recover(self._position, parts.slots.active)
        if note is not None:
            await self._note(note, await self._seen())
        # What was cut short is in nobody's way. Of the release before nothing lies ready: what is left of it lost its
        # mark, or its secrets with the power, so that `laid` does not show it, and nobody else would remove it.
        lie = {slot.attempt for slot in obtain.kept(parts) if slot is not parts.slots.previous}
        with contextlib.suppress(CheckvalveError):
            parts.laying.sweep(lie)
        self._watch = health.noted(None, self._position.state, parts.clock.monotonic())
        self._begun = True

    async def _seen(self) -> Observed | None:
        """Return what there is to be seen at the start, for the receipt; an engine that is silent holds up nothing."""
        try:
            return await self._parts.engine.observe()
        except CheckvalveError:
            return None

    async def _go_on(self) -> float:
        shared = self._parts.shared
        shared.work.clear()  # before looking: what happens from here on is another turn
        observed = await self._observe()
        await copies.settle(self._parts, observed)
        evidence.receipt(self._parts)
        self._crashed(observed)
        if await self._chore(observed):
            return 0.0
        if self._position.state not in ENDED | SWITCHED:
            await copies.weigh(self._parts, self._staged())
        situation = self._situation(observed)
        return await self._carry_out(plan.move(situation), situation)

    async def _chore(self, observed: Observed) -> bool:
        """Do what has to be done between two moves (rule 7); tell whether there was anything."""
        chore, self._parts.shared.chore = self._parts.shared.chore, None
        if chore is not None:
            await chore(observed)
        return chore is not None

    async def _observe(self) -> Observed:
        shared, engine = self._parts.shared, self._parts.engine
        try:
            if shared.about is None:
                shared.about = await engine.about()
            observed = await engine.observe()
        except CheckvalveError as error:
            if not self._too_silent(error):
                raise
            return shared.observed or Observed()
        self._silent = None
        if observed != shared.observed:
            shared.observed = observed
            shared.moved.set()
        return observed

    def _crashed(self, observed: Observed) -> None:
        """Note which services of the active release have died; while a switch is under way none has."""
        parts, position = self._parts, self._position
        active = parts.slots.active
        if active is None or position.state in SWITCHED:
            self._crashes = crashes.Crashes()
        else:
            clock = parts.clock
            wall = max(0, int(clock.now().timestamp() * 1000))
            seen = crashes.look(self._crashes, active, observed, clock.monotonic(), wall)
            self._crashes = evidence.crashed(parts, seen)
        parts.shared.died = self._crashes.died

    def _too_silent(self, error: CheckvalveError) -> bool:
        """Tell whether the engine has been silent for longer than a whole watch would take (rule 2)."""
        now = self._parts.clock.monotonic()
        self._silent = now if self._silent is None else self._silent
        slot = self._staged()
        if slot is None or self._position.state not in {State.SWITCHING, State.VERIFYING}:
            return False
        seconds = now - self._silent
        if seconds <= health.longest(slot):
            return False
        self._failure = Failure("gate.engine", f"The engine has not answered for {seconds:.0f} s: {error.sentence}")
        self._failed = None
        return True

    def _situation(self, observed: Observed) -> Situation:
        """Return all that there is to decide on, with what is seen now folded into the watch."""
        parts, position, staged = self._parts, self._position, self._staged()
        now = parts.clock.monotonic()
        open_ = position.state not in ENDED | SWITCHED
        slot = plan.watched(position, parts.slots.active, staged)
        if slot is not None:
            probes, self._probed = self._probed, {}
            self._watch = health.look(self._watch or health.begin(now), slot, observed, probes, position.ran, now)
        return Situation(
            position=position,
            observed=observed,
            active=parts.slots.active,
            previous=parts.slots.previous,
            staged=staged,
            held=parts.blobs.held(),
            watch=self._watch,
            failure=self._failure or self._observing(position),
            now=now,
            failed=self._failed if self._failure else None,
            tries=self._tries,
            local=local.read(parts.disk, parts.clock) if open_ or parts.shelf.left else waiting.Local(),
            permit=self._permitted,
            means=obtain.means(parts) if open_ else copies.means(parts),
            left=tuple(each for each in parts.shelf.left if each.name not in parts.shared.reading),
        )

    def _observing(self, position: Position) -> Failure | None:
        """Return why an attempt that changed nothing yet may not go on: somebody at the device has said so."""
        if position.state in ENDED | SWITCHED or not identity.observes(self._parts.disk):
            return None
        return Failure("device.observes", "This device only observes: a file on it says so, and it takes no release.")

    def _staged(self) -> Slot | None:
        attempt = self._position.attempt
        return self._parts.slots.staged(attempt) if attempt else None

    async def _carry_out(self, move: Move, situation: Situation) -> float:
        """Carry out a move; return how long to wait."""
        self._worked = self._worked or not isinstance(move, Rest)
        match move:
            case Rest():
                return self._rest(move)
            case Look():
                return await self._look(move, situation)
            case Note():
                await self._note(move, situation.observed)
            case Ran():
                for name in move.names:
                    self._parts.journal.write("note", attempt=self._position.attempt, facts={"ran": name})
                self._failure = None
            case Obtain() | Fetch() | Do() | Commit() | Forget():
                await self._try(move, situation.observed)
            case Ask():
                return await self._ask(move, situation.observed)
            case _:
                assert_never(move)
        return 0.0

    async def _ask(self, ask: Ask, observed: Observed) -> float:
        """Ask the permit, and carry out what follows from its answer (rule 6)."""
        parts = self._parts
        asked = parts.clock.monotonic()
        said = await parts.permits.ask(ask.permit)
        self._permitted = waiting.heard(ask.permit, said, asked, parts.clock.monotonic(), self._permitted)
        situation = self._situation(observed)
        move = plan.move(situation)
        return 0.0 if isinstance(move, Ask) else await self._carry_out(move, situation)

    async def _look(self, look: Look, situation: Situation) -> float:
        """Run the probes whose time has come; the next turn, then due at once, takes in what they say."""
        self._failure = None
        slot = plan.watched(self._position, situation.active, situation.staged)
        if slot is None:
            return look.seconds
        due = health.probes_due(situation.watching, slot, situation.observed, self._parts.clock.monotonic())
        said = await asyncio.gather(*(self._parts.engine.probe(each.container, each.probe) for each in due))
        self._probed = {each.key: hiding.hide(self._parts, why) for each, why in zip(due, said, strict=True)}
        return health.SOONEST if due else look.seconds

    async def _try(self, move: _Tried, observed: Observed) -> None:
        """Do what may fail; what does not pass by waiting becomes the failure (rule 3)."""
        try:
            await self._do(move, observed)
        except CheckvalveError as error:
            if self._passes(error, move):
                raise
            sentence = hiding.hide(self._parts, error.sentence)
            self._failure, self._failed = Failure(error.code, sentence), move
            self._tries += 1
            self._tell(error.code, sentence)
        else:
            self._failure = None

    async def _do(self, move: _Tried, observed: Observed) -> None:
        parts = self._parts
        match move:
            case Obtain():
                await obtain.manifest(parts)
            case Fetch():
                if move.limited and parts.shared.trouble is not None:  # it waits for hours or bytes no longer
                    parts.shared.trouble = None
                    parts.shared.news.set()
                await obtain.blobs(parts, move.blobs, limited=move.limited)
            case Do():
                done = await asyncio.gather(*(copies.take(parts, step) for step in move.steps), return_exceptions=True)
                now = parts.clock.monotonic()
                taken = [step for step, error in zip(move.steps, done, strict=True) if not _away(error)]
                self._watch = health.did(self._watch or health.begin(now), observed, taken, now)
                for error in done:  # all have ended by now: the next look sees what came of each
                    if error is not None:
                        raise error
            case Commit():
                await evidence.keep(parts, State.COMMITTED, (), observed, self._watch)
                parts.slots.commit(self._position.attempt)
            case Forget():
                copies.forgotten(parts)
                obtain.forget(parts)
            case _:
                assert_never(move)

    def _passes(self, error: CheckvalveError, move: _Tried) -> bool:
        """Tell whether to wait until it passes (rule 2).

        A full disk does not: what needs the room is given up, and says how much. Neither does a plane out of reach once
        the release has been switched: what is lacking then has to come from this device.
        """
        if error.code == "engine.unreachable":
            return True
        if not isinstance(move, Obtain | Fetch) or self._position.state in ENDED | SWITCHED:
            return False
        return error.code.startswith("link.") or (error.kind in _PASSING and not error.code.startswith("disk."))

    async def _note(self, note: Note, observed: Observed | None) -> None:
        """Write what is so from now on (rules 1 and 5), and begin to watch anew."""
        parts, position = self._parts, self._position
        if note.state is State.SWITCHING:
            self._permitted = None
        target, number, values = position.target, position.number, position.values
        if note.attempt:
            target, values = note.target, note.values
            number = obtain.number(parts, target)
        else:
            await evidence.keep(parts, note.state, note.services, observed, self._watch)
        facts: dict[str, str | int] = {"target": target, "number": number}
        if values:
            facts["values"] = values
        parts.journal.write(
            "state",
            attempt=note.attempt or position.attempt,
            state=note.state,
            release="" if note.attempt else position.release,
            code=note.code,
            reason=note.reason,
            facts=facts,
        )
        self._watch = health.noted(self._watch, note.state, parts.clock.monotonic())
        self._failure, self._probed = None, {}
        parts.shared.trouble = None  # the next rest says what is not as it must be
        self._logged.clear()
        _log.info("%s %s%s", note.state, target, f": {note.reason}  [{note.code}]" if note.code else "")
        parts.shared.news.set()

    def _rest(self, move: Rest) -> float:
        """Rest, and have it told what is not as it must be."""
        shared = self._parts.shared
        if shared.trouble != move.failure:
            shared.trouble = move.failure
            shared.news.set()
        self._failure = None
        if move.failure is None:
            self._tries = 0
            self._logged.clear()
        if self._worked:
            self._worked = False
            process.trim()
        return move.seconds

    def _missed(self, error: CheckvalveError) -> float:
        """Return how long to wait for what did not answer."""
        self._misses += 1
        self._tell(error.code, error.sentence)
        wait = error.facts.get("retry_after")
        if isinstance(wait, int):
            return float(wait)
        most = MOST_SILENCE if error.code.startswith("engine.") else 300.0
        return backoff(self._misses, self._parts.clock.chance(), most)

    def _surprised(self, error: Exception) -> float:
        """Return how long to wait after what nobody foresaw (rule 4)."""
        self._misses += 1
        self._tell(type(error).__name__, str(error), error)
        if self._position.state in SWITCHED:
            self._failure = Failure("agent.defect", f"The agent met something it does not know: {error!r:.300}.")
            self._failed = None
        return backoff(self._misses, self._parts.clock.chance())

    def _tell(self, kind: str, what: str, error: Exception | None = None) -> None:
        """Log it, once for each kind until things are well again."""
        if kind not in self._logged:
            self._logged.add(kind)
            _log.warning("%s  [%s]", what, kind, exc_info=error)


def _away(error: BaseException | None) -> bool:
    """Tell whether a step was not taken, as far as is known: the engine was away. It is as if nobody had asked."""
    return isinstance(error, CheckvalveError) and error.code == "engine.unreachable"
