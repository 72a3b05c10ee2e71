# SPDX-License-Identifier: Apache-2.0
"""One exchange: a device's report, and the plane's answer.

`POST /v1/exchange` carries a `Report` as JSON. The plane answers 204 when there is nothing to say, else 200 with an
`Answer`; every answer has the signed time (`protocol.time`) in a header, and `Checkvalve-Next: <seconds>` if the next
report is due at another time than the device's interval says. Reports may be repeated: an event is known by device,
journal and number, a receipt by the digest of its payload. Among the receipts are those of errands (`protocol.errand`,
since capability 4): the kind of their envelope says so.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from checkvalve import canonical
from checkvalve.crypto import digests
from checkvalve.crypto.envelope import Envelope
from checkvalve.errors import InvalidError
from checkvalve.protocol import errand
from checkvalve.protocol.api import TEXT, Id, Word
from checkvalve.protocol.errand import Bundle, Logs, Reboot, Restart
from checkvalve.protocol.measure import Count, Hex, Ref, Sentence, Wall

ORDERS = "application/vnd.checkvalve.orders+json"
NEXT = "checkvalve-next"
LONGEST_WAIT = 55  # seconds a plane holds an answer back: proxies cut at 60
LARGEST_REPORT = 1 << 20  # bytes
LARGEST_ORDERS = 256 * 1024
MOST_EVENTS = 100
MOST_RECEIPTS = 4
MOST_TAGS = 32
MOST_VOLUMES = 100

AttemptName = Annotated[str, Meta(max_length=26, pattern=TEXT)]  # its id, or empty


class State(StrEnum):
    """How far an attempt has come. A failure before SWITCHING is REFUSED, and nothing has changed."""

    IDLE = "idle"  # no attempt yet
    OFFERED = "offered"
    FETCHING = "fetching"
    STAGED = "staged"
    WAITING_WINDOW = "waiting_window"
    WAITING_PERMIT = "waiting_permit"
    WAITING_APPROVAL = "waiting_approval"
    HELD = "held"
    SWITCHING = "switching"
    VERIFYING = "verifying"
    COMMITTED = "committed"
    REFUSED = "refused"
    ROLLING_BACK = "rolling_back"
    ROLLED_BACK = "rolled_back"
    DEGRADED = "degraded"


ENDED = frozenset({State.IDLE, State.COMMITTED, State.REFUSED, State.ROLLED_BACK})
"""Nothing of the attempt is left to do. DEGRADED is not among them: the device goes on trying."""
SWITCHED = frozenset({State.SWITCHING, State.VERIFYING, State.ROLLING_BACK, State.DEGRADED})
"""Containers may have been changed, and the attempt has not ended."""


class Event(Struct, kw_only=True, frozen=True):
    """A line of the device's journal, as canonical JSON with every field: what it was about to do, written before."""

    seq: Annotated[int, Meta(ge=1, le=2**53 - 1)]
    at: Wall
    kind: Literal["boot", "order", "state", "note"]
    attempt: AttemptName = ""
    state: State = State.IDLE
    release: Ref = ""  # sha256:…
    code: Word = ""  # why, as a stable code
    reason: Sentence = ""  # why, as a sentence
    facts: Annotated[dict[str, str | int], Meta(max_length=40)] = {}  # what `agent.recover.fold` needs besides
    prev: Annotated[str, Meta(max_length=64)] = ""  # SHA-256, in hex, of the line before; of the first one empty


class Workload(Struct, kw_only=True, frozen=True):
    """A container as the device sees it."""

    service: Word
    image: Ref
    state: Word  # the engine's word: running, exited, …
    health: Word = ""
    restarts: int = 0
    # ---- Since capability 3; left out of the digest where they say nothing. ----
    crashes: Count = 0  # since it was committed, and no day without one between two of them
    since: Wall = 0  # the first of those; 0: there is none
    exit: int | None = None  # the newest code that was seen of them
    oom: bool = False  # it was killed because memory ran out


class Listening(Struct, kw_only=True, frozen=True, order=True):
    """A socket of the host that listens: posture, reported and never judged by the device."""

    protocol: Literal["tcp", "udp"]
    address: Word
    port: int


class Tag(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A lock-out tag: while it hangs, nothing is switched. `number` is of the permit to work, or empty.

    One that was hung at the device is seen by the plane and not lifted by it; one of the plane's names its place in
    `where`, as people call it.
    """

    id: Id
    name: Word  # who hung it
    reason: Sentence
    number: Word = ""
    at: Wall
    by: Literal["device", "plane"]
    where: Word = ""


class Copied(Struct, kw_only=True, frozen=True):
    """How long the last copy of a volume took, right before a switch: what uses it stood still meanwhile."""

    volume: Word  # as the release calls it
    size: Count  # bytes
    ms: Count
    at: Wall


class Aside(Struct, kw_only=True, frozen=True):
    """A volume that a failed release wrote into, kept for people (since capability 4)."""

    volume: Word  # as the release called it
    name: Word  # as the engine of the device does
    size: Annotated[int, Meta(ge=0, le=2**53 - 1)] | None = None  # bytes; None: the engine did not say
    at: Wall  # when it was set aside


class Status(Struct, kw_only=True, frozen=True):
    """What a device is like now. It holds nothing that moves by itself, so that an idle device has one digest."""

    state: State
    attempt: AttemptName = ""
    release: Ref = ""  # of the attempt
    code: Word = ""
    reason: Sentence = ""
    active: Ref = ""  # digest of the release that runs
    previous: Ref = ""  # last known good
    observe: bool = False
    agent: Word = ""
    engine: Word = ""  # `docker 20.10.24`
    link: Word = ""
    workloads: Annotated[tuple[Workload, ...], Meta(max_length=200)] = ()
    listeners: Annotated[tuple[Listening, ...], Meta(max_length=500)] = ()
    # ---- Since capability 3; left out of the digest where they say nothing. ----
    values: Ref = ""  # digest of the values that the active release runs with
    held: Annotated[tuple[Tag, ...], Meta(max_length=MOST_TAGS)] = ()
    window: Wall = 0  # until when somebody at the device has opened its window; 0: nobody has
    # ---- Since capability 4; left out of the digest where they say nothing. ----
    copied: Annotated[tuple[Copied, ...], Meta(max_length=MOST_VOLUMES)] = ()
    aside: Annotated[tuple[Aside, ...], Meta(max_length=MOST_VOLUMES)] = ()


class Report(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """What a device says. Most times it is the first line of fields only."""

    capability: Annotated[int, Meta(ge=1, le=1_000_000)]
    journal: Id
    seq: Count  # of the newest event it has, told or not
    generation: Count
    state: Hex  # digest of its status
    clock: Wall
    epoch: Count = 0  # of the newest order it accepted
    counter: Count = 0
    wait: Annotated[int, Meta(ge=0, le=3_600)] = 0  # seconds it will wait for an answer; the plane holds LONGEST_WAIT
    status: Status | None = None
    events: Annotated[tuple[Event, ...], Meta(max_length=MOST_EVENTS)] = ()
    oldest: Count = 0  # with events: number of the oldest line its journal still has; those before it are gone
    receipts: Annotated[tuple[Envelope, ...], Meta(max_length=MOST_RECEIPTS)] = ()


class Answer(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """What the plane says when it has something to say."""

    orders: Envelope | None = None
    known: Count = 0  # number of the newest event of this journal that the plane keeps: the next one to send follows it
    receipts: tuple[Hex, ...] = ()  # payload digests of those that it keeps
    tell: bool = False  # the status behind the digest is not known: send it


class Deploy(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="deploy"):
    """Bring this release here. The device finds `target` among its TUF targets, or refuses."""

    attempt: Id
    target: Annotated[str, Meta(max_length=200)]  # `ORG/name/HEX.json`
    values: Annotated[dict[Literal["digest"], Ref], Meta(max_length=1)] = msgspec.field(default_factory=dict)

    @property
    def filled(self) -> str:
        """Return the digest of the values that fill it (`protocol.values`), "" if none do."""
        return self.values.get("digest", "")


class Hold(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="hold"):
    """These are the tags of the plane's that hang for this device now, all of them (since capability 3)."""

    tags: Annotated[tuple[Tag, ...], Meta(max_length=MOST_TAGS)]


Item = Deploy | Hold | Logs | Restart | Bundle | Reboot
_ITEMS: dict[str, type[Item]] = {"deploy": Deploy, "hold": Hold, **errand.ITEMS}


class Orders(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Payload of the envelope of `Answer.orders`, in canonical JSON.

    `(epoch, counter)` only rises, per plane: a restored plane raises its epoch. `items` are read one by one with
    `item`, so that one of an unknown kind refuses itself and not the others.
    """

    plane: Word
    device: Id
    epoch: Count
    counter: Count
    issued_at: Wall  # by the plane's clock
    expires_at: Wall
    items: Annotated[tuple[msgspec.Raw, ...], Meta(max_length=16)]
    v: Literal[1] = 1


_ADDED: dict[str, object] = {"values": "", "held": (), "window": 0, "copied": (), "aside": ()}
_ADDED_OF_WORKLOADS: dict[str, object] = {"crashes": 0, "since": 0, "exit": None, "oom": False}


def orders(data: bytes) -> Orders:
    """Return the orders of their canonical bytes; `InvalidError` (`orders.size`, `canonical.form`, `orders.form`)."""
    if len(data) > LARGEST_ORDERS:
        raise InvalidError("orders.size", f"Orders of over {LARGEST_ORDERS} bytes are not taken.", "Give them by blob.")
    canonical.loads(data)
    try:
        return msgspec.json.decode(data, type=Orders)
    except msgspec.ValidationError as error:
        raise InvalidError(
            "orders.form", f"These are no orders: {error}.", "Bring agent and plane up to date."
        ) from error


def item(data: msgspec.Raw) -> Item | str:
    """Return one item of orders, or the kind that it names if this program does not know it.

    Raises `InvalidError` (`orders.form`).
    """
    try:
        kind = msgspec.json.decode(data, type=dict[str, msgspec.Raw])["kind"]
        named = msgspec.json.decode(kind, type=str)
        return msgspec.json.decode(data, type=_ITEMS[named]) if named in _ITEMS else named
    except (msgspec.DecodeError, KeyError) as error:
        raise InvalidError("orders.form", f"An item of the orders cannot be read: {error}.") from error


def digest(status: Status) -> str:
    """Return the SHA-256 of a status, in hex; both ends make it."""
    plain = msgspec.to_builtins(status)
    _without(plain, _ADDED)
    for each in plain["workloads"]:
        _without(each, _ADDED_OF_WORKLOADS)
    return digests.sha256_hex(canonical.dumps(plain))


def _without(plain: dict[str, Any], added: Mapping[str, object]) -> None:
    """Take away what was added since the first capability and says nothing."""
    for name, nothing in added.items():
        if plain[name] == nothing:
            del plain[name]
