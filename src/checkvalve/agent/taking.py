# SPDX-License-Identifier: Apache-2.0
"""Takes the orders that an answer brought, or refuses them (walk attempt, 1 to 3). `trust` judges; this acts on it.

1. The envelope is judged first: of orders that are not the plane's own nothing is done, and nothing is fetched.
2. Then what people signed is brought up to date. If the plane cannot be reached for that, the orders stay untaken and
   come again; if what it gives is not to be believed, they are judged by what was believed before.
3. An order that is taken is written down with its counter and its attempt, and that is all: `plan.move` takes it up.
   It is parked, whatever the device does now, so that there is one way only.
4. A refused deployment has a receipt: the signature held, so there is somebody to answer. Other refusals are a note.
5. Orders that were taken or refused already come again until the plane has heard of it, and are passed without a word.
6. Lock-out tags of the plane's are hung first: before anything is fetched, and before the counter is written that says
   that these orders were taken. A device that only observes takes them too: they allow nothing.
7. Errands are kept by then as well (walk errand, 3), and judged when their turn comes. One that is known passes without
   a word; so does one that the journal says was begun, if the file of errands was lost since: nothing is done twice.
"""

import msgspec

from checkvalve.agent import erranding, evidence, holds, identity, trust, waiting
from checkvalve.agent.parts import Parts
from checkvalve.agent.steps import Failure
from checkvalve.agent.trust import Offer
from checkvalve.crypto.envelope import Envelope
from checkvalve.errors import ConflictError, InvalidError
from checkvalve.protocol import errand, exchange
from checkvalve.protocol.exchange import Deploy, Hold, Item, Orders

NOTED_EVERY = 600.0  # seconds between two notes on the same refusal of an envelope

_SUPERSEDED = Failure("deploy.superseded", "A newer order took its place. Nothing was changed.")


class Taking:
    """What is remembered of orders between two exchanges."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._noted: dict[str, float] = {}

    async def take(self, sealed: Envelope) -> bool:
        """Take or refuse; tell whether anything was new. Raises what the link raises: then they come again."""
        parts = self._parts
        now = parts.believed.floor.unix(parts.clock.monotonic())
        position = parts.journal.position
        said = trust.orders(
            sealed,
            key=parts.identity.orders_key(),
            plane=parts.identity.plane,
            device=parts.identity.device,
            floor_ms=now,
            epoch=position.epoch,
            counter=position.counter,
        )
        if isinstance(said, Failure):
            return self._strange(said, sealed)
        for raw in said.items:
            self._hold(trust.item(raw))
            self._errand(trust.item(raw))
        try:
            await parts.believed.refresh(parts.link, parts.believed.floor.at(parts.clock.monotonic()))
        except InvalidError as error:
            self._note(error.code, error.sentence)
        for raw in said.items:
            self._item(said, trust.item(raw))
        self._settle(said)
        return True

    def _item(self, said: Orders, item: Item | Failure) -> None:
        """Take or refuse one item (rules 3 to 5)."""
        parts = self._parts
        if isinstance(item, Failure):
            self._note(item.code, item.sentence)
            return
        if isinstance(item, Hold | errand.Item):
            return  # rules 6 and 7
        offer = trust.deploy(
            item,
            parts.believed.trusted,
            organisation=parts.identity.organisation,
            now=parts.believed.floor.at(parts.clock.monotonic()),
            observe=identity.observes(parts.disk),
        )
        if isinstance(offer, Failure):
            evidence.refuse(parts, item, offer)
        elif not self._met(offer):
            self._order(said, offer)

    def _hold(self, item: Item | Failure) -> None:
        """Have the plane's tags be those of the item, if it is about tags (rule 6)."""
        parts = self._parts
        if isinstance(item, Hold) and holds.told(parts.disk, item.tags):
            reason = waiting.sentence(item.tags) or "No tag of the plane's hangs any more."
            parts.journal.write("note", code="hold.told", reason=reason, facts={"tags": len(item.tags)})
            parts.shared.work.set()
            parts.shared.news.set()

    def _errand(self, item: Item | Failure) -> None:
        """Keep it, if it is an errand that is not known (rule 7)."""
        parts = self._parts
        if not isinstance(item, errand.Item) or parts.errands.knows(item.id):
            return
        if erranding.begun(parts.journal.events(0, parts.journal.seq), item.id):
            return
        try:
            parts.errands.keep(item)
        except (ConflictError, InvalidError) as error:
            self._note(error.code, error.sentence)
            return
        reason = f"A small order was taken: {erranding.words(item)}."
        parts.journal.write("note", code=erranding.TAKEN, reason=reason, facts=erranding.facts(item))
        parts.shared.errands.set()

    def _met(self, offer: Offer) -> bool:
        """Tell whether this attempt is here already, whatever became of it: none is made twice."""
        position = self._parts.journal.position
        known = {position.attempt, position.next_attempt, *position.ended}
        return offer.attempt in known or evidence.refused(self._parts, offer.attempt)

    def _order(self, said: Orders, offer: Offer | None = None) -> None:
        facts: dict[str, str | int] = {"epoch": said.epoch, "counter": said.counter}
        if offer is not None:
            facts |= {"target": offer.target, "number": offer.number, "parked": 1}
            facts |= {"values": offer.values} if offer.values else {}
        before = self._parts.journal.position
        self._parts.journal.write(
            "order",
            attempt=offer.attempt if offer else "",
            release=offer.release if offer else "",
            facts=facts,
        )
        if offer is not None and before.next_attempt:  # it had not even begun, and has somebody who waits to hear of it
            old = Deploy(attempt=before.next_attempt, target=before.next_target)
            if before.next_values:
                old = msgspec.structs.replace(old, values={"digest": before.next_values})
            evidence.refuse(self._parts, old, _SUPERSEDED)
        self._parts.shared.work.set()

    def _settle(self, said: Orders) -> None:
        """Have the counter stand where these orders put it, also if nothing of them was taken (rule 5)."""
        position = self._parts.journal.position
        if (position.epoch, position.counter) < (said.epoch, said.counter):
            self._order(said)

    def _strange(self, why: Failure, sealed: Envelope) -> bool:
        """Pass or note orders that are none for this device; tell whether that was new."""
        if why.code == "order.replayed":
            again = exchange.orders(sealed.payload)  # authentic and readable, or it were not this refusal
            position = self._parts.journal.position
            if (again.epoch, again.counter) == (position.epoch, position.counter):
                return False
        return self._note(why.code, why.sentence)

    def _note(self, code: str, sentence: str) -> bool:
        """Write a note on it, but not on each exchange again: who repeats it must not fill this device's disk."""
        now = self._parts.clock.monotonic()
        if now - self._noted.get(code, -NOTED_EVERY) < NOTED_EVERY:
            return False
        self._noted[code] = now
        self._parts.journal.write("note", code=code, reason=sentence)
        return True
