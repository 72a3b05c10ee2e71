# SPDX-License-Identifier: Apache-2.0
"""What a device signs about one attempt: what it was asked, what it saw, how it ended. An auditor reads it offline.

A receipt is canonical JSON in a DSSE envelope signed with the device's key. Its `journal` part names the lines it rests
on, so that a device cannot tell one attempt in two ways.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from checkvalve import canonical
from checkvalve.crypto import envelope, keys
from checkvalve.crypto.envelope import Envelope
from checkvalve.errors import InvalidError
from checkvalve.protocol.api import Id, Word
from checkvalve.protocol.exchange import State
from checkvalve.protocol.measure import Count, Ref, Sentence, Wall

RECEIPT = "application/vnd.checkvalve.receipt+json"
LARGEST = 192 * 1024  # bytes of a receipt's payload
LOG_LINES = 200  # of each failed service
LOG_BYTES = 16 * 1024


class Step(Struct, kw_only=True, frozen=True):
    """A state the attempt was in, since when (device's clock), and why."""

    state: State
    at: Wall
    code: Word = ""
    reason: Sentence = ""


class Seen(Struct, kw_only=True, frozen=True):
    """What the gate saw last of one service. `image` is what the engine runs, not what was asked for."""

    service: Word
    image: Ref
    state: Word
    health: Word = ""
    exit: int | None = None
    restarts: int = 0
    probes: dict[str, str] = {}  # `http:8080/ready` -> "" if it passed, else why not
    wrong: Sentence = ""  # why this service failed the gate; empty if it did not
    logs: Annotated[str, Meta(max_length=LOG_BYTES)] = ""  # of a failed service: its last lines


class Receipt(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """The payload. `outcome` is COMMITTED, ROLLED_BACK, REFUSED or DEGRADED."""

    device: Id
    attempt: Id
    release: Ref  # sha256:… of the manifest
    target: Annotated[str, Meta(max_length=200)]
    outcome: State
    code: Word = ""
    reason: Sentence = ""
    active: Ref  # what runs now
    values: Ref = ""  # digest of the values that the attempt was to run with
    steps: Annotated[tuple[Step, ...], Meta(max_length=500)]
    services: Annotated[tuple[Seen, ...], Meta(max_length=200)]
    data: dict[str, str] = {}  # volume -> `kept`, `not rolled back`, `returned to before the switch`, …
    at: Wall  # when it was signed, by the device's clock
    offset: int | None  # device's clock minus the plane's, in ms, when they last spoke; None: never
    journal: Id
    first: Count  # numbers of the journal's lines of this attempt
    last: Count
    head: Annotated[str, Meta(max_length=64)]  # SHA-256, in hex, of line `last`
    agent: Word
    engine: Word
    v: Literal[1] = 1


def write(receipt: Receipt) -> bytes:
    """Return the canonical bytes of a receipt; `InvalidError` (`receipt.size`, `canonical.value`)."""
    plain: dict[str, canonical.Json] = msgspec.to_builtins(receipt)
    if not receipt.values:  # since capability 3: where it says nothing, a receipt is what it was before
        del plain["values"]
    data = canonical.dumps(plain)
    if len(data) > LARGEST:
        raise InvalidError("receipt.size", f"A receipt has at most {LARGEST} bytes.", "Leave out logs.")
    return data


def read(data: bytes) -> Receipt:
    """Return the receipt of its canonical bytes; `InvalidError` (`receipt.size`, `canonical.form`, `receipt.form`)."""
    if len(data) > LARGEST:
        raise InvalidError("receipt.size", f"A receipt has at most {LARGEST} bytes.", "It was not made by an agent.")
    value: Any = canonical.loads(data)
    try:
        return msgspec.convert(value, Receipt)
    except msgspec.ValidationError as error:
        raise InvalidError("receipt.form", f"This is no receipt: {error}.", "Ask the device for it again.") from error


def verified(sealed: Envelope, key: keys.PublicKey) -> Receipt:
    """Return the receipt that `key` signed.

    Raises `InvalidError`: `envelope.kind`, `envelope.signature`, and those of `read`.
    """
    return read(envelope.unseal(sealed, RECEIPT, key))
