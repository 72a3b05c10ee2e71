# SPDX-License-Identifier: Apache-2.0
"""Runs errands, one after the other, each once (walk errand, 4 to 7).

Rules: 1. the file of errands and the journal say what is about to be done before it is done; 2. an end is a line of the
journal first, and what is signed follows from it: cut short between the two, it is made up for, and it is one; 3. logs
and bundles that were cut short are brought anew, so often; then the errand has failed, for it may be what ends the
agent; 4. a reboot is asked for once, whatever comes of it: another boot is its end, and the same boot after five
minutes of this agent too; nothing else is begun meanwhile; 5. an engine that does not answer is tried again, so often;
6. what nobody foresaw ends the errand, and not the agent; a disk that takes nothing is waited for.
"""

import logging
from typing import assert_never

import msgspec
from msgspec import structs

from checkvalve import canonical
from checkvalve.agent import bringing, budget, erranding, hiding, identity, local, restarting, waiting
from checkvalve.agent.budget import Budget
from checkvalve.agent.erranding import End, Standing, Teller
from checkvalve.agent.errands import Brought, Open
from checkvalve.agent.parts import Parts, backoff, rest
from checkvalve.agent.policy import Policy
from checkvalve.agent.steps import Failure
from checkvalve.agent.waiting import Due, Go, Pause, Permitted
from checkvalve.crypto import digests, envelope, process
from checkvalve.errors import CheckvalveError
from checkvalve.protocol import errand as form
from checkvalve.protocol.errand import Bundle, Item, Logs, Reboot, Restart
from checkvalve.protocol.exchange import Event

TRIES = 3
IDLE = 3_600.0  # seconds; an event ends it sooner
MOMENT = 2.0  # seconds until it is looked whether the engine has answered
PAUSE = 10.0  # seconds until an engine that did not answer is asked again

_log = logging.getLogger("checkvalve.agent")


class Chores:
    """The errands of one device, as they are run."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._begun = False
        self._misses = 0
        self._since: float | None = None  # when a reboot was first waited for, by the clock that never jumps
        self._worked = False

    async def run(self) -> None:
        """Run errands for ever."""
        while True:
            seconds = await self.turn()
            if seconds > 0:
                await rest(self._parts.clock, seconds, self._parts.shared.errands)

    async def turn(self) -> float:
        """Bring one errand further; return how many seconds to wait, unless another one comes first."""
        self._parts.shared.errands.clear()  # before looking
        try:
            if not self._begun:
                self._start()
            seconds = await self._go_on()
        except CheckvalveError as error:  # rule 6
            return self._missed(f"{error.sentence}  [{error.code}]")
        except Exception as error:  # noqa: BLE001  # a fault of ours must not end the agent
            return self._missed(f"the agent met {error!r:.300}, which it does not know")
        self._misses = 0
        return seconds

    def _missed(self, why: str) -> float:
        self._misses += 1
        if self._misses == 1:
            _log.warning("A small order has to wait: %s", why)
        return max(1.0, backoff(self._misses, self._parts.clock.chance()))

    def _start(self) -> None:
        """Say what was lost, and drop what nothing is known of any more."""
        parts = self._parts
        if parts.errands.trouble:
            parts.journal.write("note", code="errands.damaged", reason=parts.errands.trouble)
            parts.errands.begin_anew()
        parts.errands.sweep()
        self._begun = True

    async def _go_on(self) -> float:
        parts = self._parts
        for kept in parts.errands.open:
            if (event := erranding.ended(self._events(), kept.item.id)) is not None:  # rule 2
                self._finish(kept.item, event)
                return 0.0
        down = next((each for each in parts.errands.open if isinstance(each.item, Reboot) and each.begun), None)
        if down is not None:
            return self._rebooting(down)
        if not parts.errands.open:
            return self._rest()
        ready = next((each for each in parts.errands.open if self._ready(each.item)), None)
        if ready is None:
            return MOMENT
        self._worked = True
        return await self._run(ready)

    def _ready(self, item: Item) -> bool:
        """Tell whether it can be judged: after a start nobody knows what runs until the engine has answered."""
        parts = self._parts
        if isinstance(item, Bundle | Reboot) or parts.shared.observed is not None:
            return True
        return parts.believed.floor.unix(parts.clock.monotonic()) > item.until

    def _rest(self) -> float:
        if self._worked:
            self._worked = False
            process.trim()
        return IDLE

    def _rebooting(self, kept: Open) -> float:
        """Return how long to wait for the machine to go down, or end the errand (rule 4)."""
        clock = self._parts.clock
        now = clock.monotonic()
        if clock.boot_id() != kept.boot:
            seconds = (self._wall() - kept.begun) / 1000
            known = f", {seconds:.0f} s after it was asked for by its own clock" if 0 < seconds < 3600 else ""
            self._end(kept, End("done", "", f"This machine was started anew{known}."))
            return 0.0
        self._since = now if self._since is None else self._since
        left = self._since + erranding.REBOOTS - now
        if left > 0:
            return left
        self._end(kept, End("failed", "reboot.nothing", "The machine was told to start anew, and did not go down."))
        return 0.0

    async def _run(self, kept: Open) -> float:
        """Run one errand to its end, or as far as it goes now."""
        try:
            found = await self._done(kept)
        except CheckvalveError as error:
            kept = self._now(kept)
            if error.code == "engine.unreachable" and kept.tries < TRIES and kept.begun:  # rule 5
                return PAUSE
            if not kept.begun and error.code.startswith("disk."):
                raise  # not even that it begins could be written
            found = Failure(error.code, hiding.hide(self._parts, error.sentence))
        except Exception as error:  # noqa: BLE001  # rule 6
            _log.warning("A small order met what nobody foresaw.", exc_info=error)
            found = Failure("agent.defect", f"The agent met something it does not know: {error!r:.300}.")
        if found is None:
            return 0.0
        kept = self._now(kept)
        if isinstance(found, Failure):
            found = End("failed" if kept.begun else "refused", found.code, found.sentence)
        self._end(kept, found)
        return 0.0

    async def _done(self, kept: Open) -> End | Failure | None:
        """Judge and do it; a `Failure` is why it was not begun or did not end, None that its end is yet to come."""
        parts, item = self._parts, kept.item
        if kept.tries >= TRIES:  # rule 3
            return Failure("errand.cut", f"It was begun {kept.tries} times, and each time it was cut short.")
        match item:
            case Restart():
                return await restarting.restart(parts, self._again(kept), item, self._begin)
            case Reboot():
                return await self._reboot(kept)
            case Logs() | Bundle():
                return await self._bring(kept, item)
            case _:
                assert_never(item)

    async def _bring(self, kept: Open, item: Logs | Bundle) -> End | Failure:
        if not kept.begun:
            found = self._begin(kept)
            if isinstance(found, Failure):
                return found
        else:
            self._again(kept)
        if isinstance(item, Bundle):
            content = await bringing.bundle(self._parts, item.id)
        else:
            content = await bringing.logs(self._parts, item)
        return End("done", "", erranding.brought(item, content), content)

    async def _reboot(self, kept: Open) -> Failure | None:
        """Have the machine started anew, if all say yes (rule 4)."""
        parts = self._parts
        boot = parts.clock.boot_id()
        if why := erranding.judge(kept.item, self._standing(kept.item)) or await self._forbidden():
            return why
        found = self._begin(structs.replace(kept, boot=boot))
        if isinstance(found, Failure):
            return found
        self._since = parts.clock.monotonic()
        await parts.host.reboot()
        return None

    async def _forbidden(self) -> Failure | None:
        """Return why the machine may not go down now; the permit is asked, and asked again."""
        parts, clock = self._parts, self._parts.clock
        answer: Permitted | None = None
        while True:
            match erranding.may_reboot(local.read(parts.disk, clock), answer, clock.monotonic()):
                case Go():
                    return None
                case Failure() as why:
                    return why
                case Pause(seconds):
                    await clock.sleep(seconds)
                case Due(permit):
                    asked = clock.monotonic()
                    said = await parts.permits.ask(permit)
                    answer = waiting.heard(permit, said, asked, clock.monotonic(), answer)

    # ---- What is written. ----

    def _begin(self, kept: Open) -> Open | Failure:
        """Judge an errand, and have it written that it is begun, and how (rule 1)."""
        parts, item = self._parts, kept.item
        why = erranding.judge(item, self._standing(item))
        if why is not None:
            return why
        reason = f"About to do a small order: {erranding.words(item)}."
        parts.journal.write("note", code=erranding.BEGUN, reason=reason, facts=erranding.facts(item))
        parts.shared.news.set()
        kept = structs.replace(kept, begun=max(1, self._wall()), tries=kept.tries + 1)
        parts.errands.change(kept)
        return kept

    def _again(self, kept: Open) -> Open:
        """Have it counted that an errand is begun once more; one that was not begun is as it is."""
        if not kept.begun:
            return kept
        kept = structs.replace(kept, tries=kept.tries + 1)
        self._parts.errands.change(kept)
        return kept

    def _end(self, kept: Open, end: End) -> None:
        """Write how it ended, sign it, and have it told (rule 2)."""
        parts, item = self._parts, kept.item
        facts = erranding.ending(item, end, kept.begun, parts.agent, parts.offset)
        event = parts.journal.write("note", code=end.code or erranding.DONE, reason=end.reason, facts=facts)
        _log.info("Small order %s: %s", erranding.kind(item), end.reason)
        self._finish(item, event)

    def _finish(self, item: Item, event: Event) -> None:
        """Sign what the journal says of the end, and let go of the errand. Made twice, it is one."""
        parts = self._parts
        head = digests.sha256_hex(canonical.dumps(msgspec.to_builtins(event)))
        done = erranding.done(event, item, Teller(parts.identity.device, parts.journal.id, head))
        sealed = envelope.seal(parts.identity.key, form.ERRAND, form.write(done))
        said = envelope.digest(sealed)
        parts.spool.put(said, envelope.write(sealed))
        brought = None if done.content is None else Brought(errand=item.id, content=done.content, said=said)
        parts.errands.end(item.id, brought)
        parts.shared.contents.set()
        parts.shared.news.set()

    # ---- How it stands. ----

    def _standing(self, item: Item) -> Standing:
        parts, active = self._parts, self._parts.slots.active
        services = active.manifest.services if active else {}
        rules = local.read(parts.disk, parts.clock)
        allowed = rules.policy.budget if isinstance(rules.policy, Policy) else Budget()
        room = parts.disk.room()
        found = bringing.containers(parts)
        return Standing(
            floor=parts.believed.floor.unix(parts.clock.monotonic()),
            state=parts.journal.position.state,
            local=rules,
            observes=identity.observes(parts.disk),
            services={name for name, each in services.items() if each.kind == "service"},
            jobs={name for name, each in services.items() if each.kind != "service"},
            here={each.service for each in found},
            room=room.free - budget.headroom(allowed, room),
            unable=self._unable() if isinstance(item, Reboot) else "",
        )

    def _unable(self) -> str:
        if not self._parts.clock.boot_id():
            return "This host does not say which boot it is in, so nobody could tell whether it was started anew."
        return self._parts.host.unable()

    def _now(self, kept: Open) -> Open:
        """Return what is known of an open errand by now."""
        return next(each for each in self._parts.errands.open if each.item.id == kept.item.id)

    def _events(self) -> list[Event]:
        return self._parts.journal.events(0, self._parts.journal.seq)

    def _wall(self) -> int:
        return max(0, int(self._parts.clock.now().timestamp() * 1000))
