# SPDX-License-Identifier: Apache-2.0
"""Errands: small orders that a device carries out once, and what it signs about each.

An errand is an item of orders (`protocol.exchange`), so that it is signed, expires and comes to one device. It names
what is to be done out of four things; there is no fifth, and none takes a script. What came of it is `Done`, canonical
JSON in an envelope signed with the device's key, and goes the way of receipts. What an errand brings - words of
containers, a support bundle - is a gzip file named by its digest in `Done`, and sent before it
(`PUT /v1/errands/<id>`).
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from checkvalve import canonical
from checkvalve.crypto import envelope, keys
from checkvalve.crypto.envelope import Envelope
from checkvalve.errors import InvalidError
from checkvalve.protocol.api import TEXT, Id, Word
from checkvalve.protocol.measure import Count, Ref, Sentence, Wall

ERRAND = "application/vnd.checkvalve.errand+json"
CONTENT = "checkvalve-content"  # header of an upload: the digest of what follows
LARGEST = 16 * 1024  # bytes of `Done`
LARGEST_CONTENT = 20 << 20  # bytes of what an errand brings, packed
MOST = 8  # errands that one device may have open
MOST_LINES = 10_000  # of each container
LONGEST = 366 * 86_400  # seconds back from which lines may be asked for

_Service = Annotated[str, Meta(min_length=1, max_length=100, pattern=TEXT)]


class Errand(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True, tag_field="kind"):
    """Base of all errands. It is not begun after `until` (Unix ms, by the device's floor of time)."""

    id: Id
    until: Count


class Logs(Errand, frozen=True, tag="logs"):
    """Bring what containers say. `service` "": all of them; `since` in seconds before it is read, 0: all there is."""

    service: Word = ""
    since: Annotated[int, Meta(ge=0, le=LONGEST)] = 0
    lines: Annotated[int, Meta(ge=1, le=MOST_LINES)] = 200


class Restart(Errand, frozen=True, tag="restart"):
    """Stop a service's container and start it again, the same one."""

    service: _Service


class Bundle(Errand, frozen=True, tag="bundle"):
    """Bring a support bundle."""


class Reboot(Errand, frozen=True, tag="reboot"):
    """Start the whole machine anew."""


Kind = Literal["logs", "restart", "bundle", "reboot"]
Item = Logs | Restart | Bundle | Reboot
ITEMS: dict[str, type[Item]] = {
    "logs": Logs,
    "restart": Restart,
    "bundle": Bundle,
    "reboot": Reboot,
}


class Content(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What an errand brought: a gzip file. Of `logs` it holds UTF-8 lines, of `bundle` a tar."""

    digest: Ref
    size: Annotated[int, Meta(ge=0, le=LARGEST_CONTENT)]


class Done(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """The payload. REFUSED: nothing was done; FAILED: it was begun, and did not come to its end."""

    device: Id
    errand: Id
    kind: Kind
    outcome: Literal["done", "refused", "failed"]
    code: Word = ""
    reason: Sentence = ""  # for people: what was done, or why not
    begun: Wall = 0  # when it was begun; 0: it was not
    at: Wall  # when it ended
    offset: int | None = None  # device's clock minus the plane's, in ms, when they last spoke; None: never
    content: Content | None = None
    journal: Id
    seq: Count  # the journal's line that says how it ended
    head: Annotated[str, Meta(max_length=64)]  # SHA-256, in hex, of that line
    agent: Word
    v: Literal[1] = 1


def write(done: Done) -> bytes:
    """Return the canonical bytes; `InvalidError` (`errand.size`, `canonical.value`)."""
    data = canonical.dumps(msgspec.to_builtins(done))
    if len(data) > LARGEST:
        raise InvalidError("errand.size", f"What is said of an errand has at most {LARGEST} bytes.", "Say less.")
    return data


def read(data: bytes) -> Done:
    """Return what canonical bytes say; `InvalidError` (`errand.size`, `canonical.form`, `errand.form`)."""
    if len(data) > LARGEST:
        raise InvalidError("errand.size", f"What is said of an errand has at most {LARGEST} bytes.")
    value: Any = canonical.loads(data)
    try:
        return msgspec.convert(value, Done)
    except msgspec.ValidationError as error:
        raise InvalidError("errand.form", f"This says nothing of an errand: {error}.") from error


def verified(sealed: Envelope, key: keys.PublicKey) -> Done:
    """Return what `key` signed; `InvalidError`: `envelope.kind`, `envelope.signature`, and those of `read`."""
    return read(envelope.unseal(sealed, ERRAND, key))
