# SPDX-License-Identifier: Apache-2.0
"""May this device do what it was told? What the plane says is believed only as far as these rules go.

Of the envelope of orders (`orders`; walk attempt, 1):

1. It holds orders, and not another kind of signed document: no receipt and no renewal can be played back as one.
2. The plane's orders key signed it.
3. It can be read: canonical bytes, every field, no other.
4. It is from the plane that this device joined, and 5. for this device: another's orders are none for us.
6. It has not expired by the floor of time. The device's own clock has no say: it may stand at 1970.
7. Its epoch and counter are above those of the last orders that were accepted: nothing is done twice, and what an older
   plane said is not said again.

Of each deployment (`deploy`; walk attempt, 2):

8. A kind of order, or a part of one, that this program does not know is refused by name, and the others are not.
9. A device that only observes changes nothing. A file on the device says so; the plane cannot take it away.
10. What may run is read from signed targets that are whole and have not expired by the floor. That stops the *taking*
    of a release: what was judged once runs, restarts and comes back for as long as it must.
11. The target is among them: people signed that it may run.
12. It belongs to this device's organisation, or to all of them.
13. Its number is not below the signed floor of its line.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec

from checkvalve.agent.steps import Failure
from checkvalve.crypto import envelope, keys, metadata, trustset
from checkvalve.crypto.envelope import Envelope
from checkvalve.crypto.metadata import Target
from checkvalve.errors import InvalidError
from checkvalve.protocol import exchange
from checkvalve.protocol.exchange import Deploy, Item, Orders

BUILT = datetime(2026, 11, 1, tzinfo=UTC)
"""No plane speaks to this program from before it was made."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = 253_402_300_799_999  # the last millisecond of the year 9999, which is as far as dates go
# An oscillator may run fast by hundreds of millionths, for months: what is counted must not be later than the truth.
_SLACK = 0.001


@dataclass(frozen=True, slots=True)
class Floor:
    """It is at least so late: a signed time, and what passed since on a clock that never jumps. It never goes back.

    `milliseconds` (Unix) was so when the monotonic clock of this start of the agent stood at `since` seconds.
    """

    milliseconds: int = int(BUILT.timestamp()) * 1000
    since: float = 0.0

    def unix(self, monotonic: float) -> int:
        """Return the floor as Unix milliseconds."""
        passed = max(monotonic - self.since, 0.0) * (1 - _SLACK)
        return min(self.milliseconds + int(passed * 1000), _LATEST)

    def at(self, monotonic: float) -> datetime:
        """Return the floor as a moment in UTC."""
        return _EPOCH + timedelta(milliseconds=self.unix(monotonic))

    def heard(self, milliseconds: int, monotonic: float) -> "Floor":
        """Return the floor after a signed time was heard, whose signature the caller has verified."""
        return Floor(max(self.unix(monotonic), milliseconds), monotonic)


@dataclass(frozen=True, slots=True)
class Offer:
    """A release that may be taken. `release` is `sha256:…` of its manifest, `length` the manifest's size in bytes."""

    attempt: str
    target: str
    release: str
    number: int
    length: int
    values: str = ""  # digest of the values that fill it, "" if none do


def orders(
    sealed: Envelope, *, key: keys.PublicKey, plane: str, device: str, floor_ms: int, epoch: int, counter: int
) -> Orders | Failure:
    """Return the orders of an envelope, or why they are none for this device (rules 1 to 7).

    `key` is the plane's orders key, `floor_ms` the floor of time; `epoch` and `counter` are of the last orders that
    were accepted, 0 before the first. Failures: `order.kind`, `order.signature`, `order.form`, `order.plane`,
    `order.audience`, `order.expired`, `order.replayed`.
    """
    try:
        said = exchange.orders(envelope.unseal(sealed, exchange.ORDERS, key))
    except InvalidError as error:
        code = {"envelope.kind": "order.kind", "envelope.signature": "order.signature"}.get(error.code, "order.form")
        return Failure(code, error.sentence)
    if said.plane != plane:
        return Failure("order.plane", f"The orders are of the plane {said.plane}, and this device joined {plane}.")
    if said.device != device:
        return Failure("order.audience", f"The orders are for the device {said.device}, not for this one.")
    if said.expires_at <= floor_ms:
        return Failure("order.expired", f"The orders were good until {_utc(said.expires_at)}, which is over.")
    if (said.epoch, said.counter) <= (epoch, counter):
        return Failure(
            "order.replayed",
            f"Orders {said.epoch}.{said.counter} are not newer than {epoch}.{counter}, which were accepted.",
        )
    return said


def item(data: msgspec.Raw) -> Item | Failure:
    """Return one item of orders, or why this program cannot do it (rule 8).

    Failures: `order.unsupported`, `order.form`.
    """
    try:
        found = exchange.item(data)
    except InvalidError as error:
        return Failure("order.form", error.sentence)
    return _unsupported(found) if isinstance(found, str) else found


def deploy(
    asked: Deploy | str, trusted: trustset.Trusted, *, organisation: str, now: datetime, observe: bool
) -> Offer | Failure:
    """Return what may be taken, or why it may not (rules 8 to 13). An item's kind as text is one nobody knows here.

    `organisation` is the id of the device's own, or empty; `now` is the floor of time. Failures: `order.unsupported`,
    `device.observes`, `trust.stale`, `release.not_listed`, `release.foreign`, `release.below_floor`.
    """
    if isinstance(asked, str):
        return _unsupported(asked)
    if observe:
        return Failure("device.observes", "This device only observes: a file on it says so, and it takes no release.")
    stale = _stale(trusted, now)
    if stale:
        return Failure("trust.stale", stale)
    listed, floors = _listed(trusted)
    target = listed.get(asked.target)
    if target is None:
        return Failure("release.not_listed", f"{asked.target} is not among what people signed that it may run.")
    line = asked.target.rpartition("/")[0]
    owner = line.rpartition("/")[0]
    if owner not in ("", organisation):
        return Failure("release.foreign", f"{asked.target} belongs to another organisation than this device.")
    if target.number < floors.get(line, 0):
        return Failure(
            "release.below_floor",
            f"{target.name} {target.version} is number {target.number} of its line, and nothing below number "
            f"{floors[line]} may be taken any more.",
        )
    return Offer(asked.attempt, asked.target, f"sha256:{target.sha256}", target.number, target.length, asked.filled)


def organisation(scope: str) -> str:
    """Return the id of the organisation that a path of ids begins with; empty for the path `/`."""
    return scope.strip("/").split("/")[0]


def _unsupported(kind: str) -> Failure:
    return Failure("order.unsupported", f"This agent does not know orders of the kind {kind[:100]!r}.")


def _listed(trusted: trustset.Trusted) -> tuple[dict[str, Target], dict[str, int]]:
    if trusted.targets is None:
        return {}, {}
    return metadata.read_targets(metadata.payload(trusted.targets))


def _stale(trusted: trustset.Trusted, now: datetime) -> str:
    """Return why the targets here cannot be what people want now; empty if they can."""
    if trusted.targets is None:
        return "This device could not fetch yet what may run."
    due = trustset.wanted(trusted)
    if due is not None:
        return f"There is newer {due[0]} metadata than this device could fetch yet."
    role = trustset.stale(trusted, now)
    return f"The {role} metadata this device has is no longer good, and it could fetch no newer." if role else ""


def _utc(milliseconds: int) -> str:
    moment = _EPOCH + timedelta(milliseconds=min(milliseconds, _LATEST))
    return f"{moment:%Y-%m-%d %H:%M} UTC"
