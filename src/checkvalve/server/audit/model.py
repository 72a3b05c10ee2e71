# SPDX-License-Identifier: Apache-2.0
"""Who acts, what an act is, and what one entry of the record says."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from checkvalve.canonical import Json
from checkvalve.ids import EntryId


class Kind(StrEnum):
    """When an entry was written, seen from the act it tells of."""

    INTENT = "intent"  # before an effect outside the database
    OUTCOME = "outcome"  # together with the change itself
    REFUSED = "refused"  # instead of it


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: a person, an API token of theirs, a device, or the plane itself."""

    kind: str  # person | token | device | plane
    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Act:
    """One act and its circumstances; it leaves exactly one entry, whose id is the act's own.

    A second entry for the same act would break the table's primary key: that is how ADR 0003 is enforced.
    """

    id: EntryId
    at: datetime
    actor: Actor
    request: str = ""  # correlates with the plane's log
    address: str = ""  # where the request came from
    bindings: tuple[str, ...] = ()  # the rights that allowed it
    reason: str = ""  # what the actor gave as reason


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry as it is read back. `data` are the signed-for bytes; the rest is taken from them."""

    id: EntryId
    at: datetime
    kind: Kind
    action: str
    actor: Actor
    subject: str
    scope: str
    request: str
    reason: str
    data: bytes
    leaf_hash: bytes
    bindings: tuple[str, ...] = ()
    facts: dict[str, Json] = field(default_factory=dict)


PLANE = Actor(kind="plane", id="plane", name="this plane")

# What is written without an entry: it tells of liveness, is what a device says by itself, or carries out what an entry
# tells of already (an assignment, a renewal), and would drown the record. A test reads this tuple; everything else
# leaves an entry. Faces and ticks: the name of the write; the exchange: room and function.
TELEMETRY = (
    "session.seen",
    "token.used",
    "device.seen",
    "fleet.visited",  # status, clock, and how far the journal came
    "fleet.add_lines",  # of the journal: a record of its own, whose lines name each other
    "fleet.confirm",  # the generation that `device.renew` told of is in use
    "fleet.next_counter",
    "fleet.put_orders",  # of an assignment, signed
    "errand.given",  # as above: it was put into signed orders
    "device.content",  # the file that an errand brings: the device's word that ends it names it
    "value.document",  # what a device is given: as bound when its rollout started
    "fleet.unassign",  # of an attempt that failed, as the entry of its receipt says
    "rollout.ended",  # as above: how it ended on one device
)
