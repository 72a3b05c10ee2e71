# SPDX-License-Identifier: Apache-2.0
"""One exchange with the plane: report, wait, take what came. It never stops trying, and never holds up the work.

1. Everything may be said twice and heard twice. An answer that is lost costs one more exchange, nothing else.
2. What the plane has it says itself: until it does, no event is sent, and after a loss it asks for more.
3. While an answer is held back, news go out at once: the wait is given up, which costs a connection and no data.
4. Nobody answers: again after a pause of full jitter, up to five minutes. Sent away (retired, in quarantine): again at
   the usual interval, for a person may let it in again. The certificate ran out, or the plane signs with another key
   than it said: the certificate is renewed, and the plane's orders certificate comes with it.
5. An answer that brought nothing forward - the same question, the same orders - is not followed by another at once.
"""

import asyncio
import logging

from checkvalve.agent import identity, telling
from checkvalve.agent.parts import Parts, backoff
from checkvalve.agent.ports import Replied
from checkvalve.agent.steps import Failure
from checkvalve.agent.taking import Taking
from checkvalve.agent.telling import Told
from checkvalve.errors import (
    CheckvalveError,
    ForbiddenError,
    InvalidError,
    ThrottledError,
    UnauthenticatedError,
    UnavailableError,
)
from checkvalve.protocol.enrol import LinkClass
from checkvalve.protocol.exchange import LONGEST_WAIT, Answer

EXPIRED = "device.certificate_expired"
QUICK = 1.0  # seconds: an answer that was to be held back came sooner, so the plane holds none

_log = logging.getLogger("checkvalve.agent")


class Visit:
    """What a device remembers between two exchanges; a restart forgets it, and costs one exchange more."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._taking = Taking(parts)
        self._known: int | None = None
        self._told = ""
        self._tell = False
        self._misses = 0
        self._idle = 0  # answers in a row that brought nothing forward
        self._renew_at = 0.0  # by the clock that never jumps: not before, after a renewal that failed
        self._logged = ""
        self._stranger = False  # the last answer's time was signed by a key that is not the known one

    async def turn(self) -> float:
        """Have one exchange; return how many seconds to wait before the next, unless there are news."""
        try:
            await self._renew_if_due()
            seconds = await self.once()
        except ThrottledError as error:
            return self._missed(error, float(error.facts.get("retry_after", 60)))
        except ForbiddenError as error:
            return self._missed(error, float(self._parts.identity.interval))
        except UnauthenticatedError as error:
            return await self._shown_nothing(error)
        except CheckvalveError as error:
            return self._missed(error)
        except Exception as error:  # noqa: BLE001  # the visits go on, whatever it was
            return self._missed(
                InvalidError("agent.defect", f"The exchange met {error!r:.300}, which it does not know.")
            )
        if self._logged:
            _log.info("The plane answers again.")
        self._misses, self._logged = 0, ""
        return seconds

    async def once(self) -> float:
        """Have one exchange. Raises what the link raises; nothing is lost then."""
        parts = self._parts
        parts.shared.news.clear()  # before looking: what comes from here on are other news
        hold = LONGEST_WAIT if parts.identity.link is LinkClass.REMOTE else 0
        told = telling.report(parts, known=self._known, told=self._told, tell=self._tell, hold=hold)
        began = parts.clock.monotonic()
        replied = await self._exchange(told)
        if replied is None:
            return 0.0  # rule 3
        self._settle(told)
        self._hear(replied.time)
        forward = await self._take(replied.answer, told)
        if replied.next is not None:
            return float(replied.next)
        return self._pause(told, forward=forward, took=parts.clock.monotonic() - began)

    async def _exchange(self, told: Told) -> Replied | None:
        """Return what the plane replied, None if there are news meanwhile."""
        parts = self._parts
        asking = asyncio.ensure_future(parts.link.exchange(told.data, float(told.wait)))
        if not told.wait:
            return await asking
        news = asyncio.ensure_future(parts.shared.news.wait())
        try:
            await asyncio.wait({asking, news}, return_when=asyncio.FIRST_COMPLETED)
            return asking.result() if asking.done() else None
        finally:
            for each in (asking, news):
                each.cancel()
            await asyncio.gather(asking, news, return_exceptions=True)

    def _settle(self, told: Told) -> None:
        """Take note that the plane has this report."""
        parts = self._parts
        self._told = told.digest
        self._tell = False
        parts.shared.met, parts.shared.silent = parts.clock.monotonic(), None
        parts.identity = identity.confirmed(parts.disk, parts.identity)

    def _hear(self, text: str) -> None:
        parts = self._parts
        try:
            parts.believed.hear(text, parts.identity.orders_key(), parts.clock.monotonic())
        except (InvalidError, UnavailableError) as error:  # not this plane's, or the disk is full: the answer counts
            self._stranger = error.code == "time.signature"
            self._log(error)

    async def _take(self, answer: Answer | None, told: Told) -> bool:
        """Take what came; tell whether it brought anything forward, so that the next exchange is due at once."""
        parts = self._parts
        if answer is None:
            return self._knows(told.last)
        forward = self._knows(answer.known)
        if answer.receipts:
            # By the floor of time, which never jumps: what was told is kept for so long from now.
            now = parts.believed.floor.at(parts.clock.monotonic())
            parts.errands.told(answer.receipts)  # first: cut short after it, they are told again
            parts.spool.acknowledge(answer.receipts, now)
            parts.spool.sweep(now)
            forward = True
        self._tell = answer.tell
        if answer.orders is not None:
            forward |= await self._taking.take(answer.orders)
        return forward or (answer.tell and not told.status)

    def _knows(self, seq: int) -> bool:
        """Take note of what the plane keeps; tell whether it lacks more, and got nearer to it."""
        parts = self._parts
        before, self._known = self._known, min(seq, parts.journal.seq)
        parts.journal.known(self._known)
        return self._known < parts.journal.seq and self._known != before

    def _pause(self, told: Told, *, forward: bool, took: float) -> float:
        """Return how long to wait after an exchange that went well."""
        interval, chance = float(self._parts.identity.interval), self._parts.clock.chance()
        if forward:
            self._idle = 0
            return 0.0
        if told.wait and took >= QUICK:  # it was held back: the next may be, too
            self._idle = 0
            return 0.0
        if self._parts.identity.link is LinkClass.REMOTE and not told.wait:
            self._idle += 1  # rule 5: once more at once, now with nothing to say
            return 0.0 if self._idle == 1 else backoff(self._idle, chance, interval)
        return interval * (0.9 + 0.2 * chance)

    async def _renew_if_due(self, *, must: bool = False) -> None:
        """Have the next certificate at two thirds of this one's life; a failure is no reason not to report."""
        parts = self._parts
        now = parts.clock.monotonic()
        due = self._stranger or identity.due(parts.identity, parts.believed.floor.at(now))
        if not must and (now < self._renew_at or not due):
            return
        if self._stranger:  # once, and then again later: another key may be nobody's
            self._stranger, self._renew_at = False, now + float(parts.identity.interval)
        try:
            renewed = await identity.renew(parts.disk, parts.identity, parts.link)
        except CheckvalveError as error:
            self._renew_at = now + backoff(10, parts.clock.chance(), float(parts.identity.interval) * 10)
            self._log(error)
            if must:
                raise
            return
        parts.identity = renewed
        old, parts.link = parts.link, parts.dial(renewed)
        await old.close()
        _log.info("The certificate was renewed: generation %d.", renewed.generation)

    async def _shown_nothing(self, error: UnauthenticatedError) -> float:
        if error.code != EXPIRED:
            return self._missed(error)
        try:
            await self._renew_if_due(must=True)
        except CheckvalveError as again:
            return self._missed(again)
        return 0.0

    def _missed(self, error: CheckvalveError, seconds: float | None = None) -> float:
        """Return how long to wait after an exchange that failed; `seconds` is what the plane asks for."""
        self._misses += 1
        self._parts.shared.silent = Failure(error.code, error.sentence)
        self._log(error)
        chance = self._parts.clock.chance()
        return backoff(self._misses, chance) if seconds is None else seconds * (1 + chance / 4)

    def _log(self, error: CheckvalveError) -> None:
        """Say it once, until something else is wrong or all is right again."""
        if error.code != self._logged:
            self._logged = error.code
            _log.warning("%s %s  [%s]", error.sentence, error.remedy, error.code)
