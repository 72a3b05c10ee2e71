# SPDX-License-Identifier: Apache-2.0
"""Signed documents: DSSE envelopes (Dead Simple Signing Envelope, v1.0.2) with ECDSA P-256.

The payload's bytes are what is signed, together with their type, so that a receipt can never be taken for an order.
They are kept and passed on as they came: whoever re-encodes them has another document. `keyid` is a hint: what counts
is the key that the reader has for its own reasons.
"""

from dataclasses import dataclass
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from checkvalve.crypto import digests, keys
from checkvalve.errors import InvalidError

LARGEST = 512 * 1024  # bytes of an envelope


class Signature(Struct, frozen=True):
    """One signature; `sig` is base64 in JSON."""

    keyid: Annotated[str, Meta(max_length=100)]
    sig: Annotated[bytes, Meta(max_length=200)]


class Envelope(Struct, frozen=True, rename={"payload_type": "payloadType"}):
    """A payload and who signed it; `payload` is base64 in JSON."""

    payload: Annotated[bytes, Meta(max_length=LARGEST)]
    payload_type: Annotated[str, Meta(max_length=200)]
    signatures: Annotated[tuple[Signature, ...], Meta(min_length=1, max_length=8)]


@dataclass(frozen=True, slots=True)
class Opened:
    """What an envelope said, and by whose key."""

    payload: bytes
    keyid: str


def seal(key: keys.PrivateKey, kind: str, payload: bytes) -> Envelope:
    """Return `payload` signed as a document of type `kind`."""
    signature = keys.sign(key, _signed(kind, payload))
    return Envelope(payload, kind, (Signature(keys.fingerprint(key.public_key()), signature),))


def unseal(envelope: Envelope, kind: str, key: keys.PublicKey) -> bytes:
    """Return the payload if it is of type `kind` and `key` signed it.

    Raises `InvalidError` (`envelope.kind`, `envelope.signature`).
    """
    if envelope.payload_type != kind:
        raise InvalidError(
            "envelope.kind", "The signed document is of another kind.", f"What is wanted here is {kind}."
        )
    message = _signed(kind, envelope.payload)
    if not any(keys.verify(key, each.sig, message) for each in envelope.signatures):
        raise InvalidError(
            "envelope.signature",
            "The document does not carry the signature it must have.",
            "It was changed on its way, or another key signed it.",
        )
    return envelope.payload


def write(envelope: Envelope) -> bytes:
    """Return the envelope as JSON."""
    return msgspec.json.encode(envelope)


def read(data: bytes) -> Envelope:
    """Return the envelope of its JSON; `InvalidError` (`envelope.size`, `envelope.form`)."""
    if len(data) > LARGEST:
        raise InvalidError("envelope.size", f"The document is over {LARGEST} bytes.", "Send less at once.")
    try:
        return msgspec.json.decode(data, type=Envelope)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidError(
            "envelope.form", "This is not a signed document.", "Send a DSSE envelope as JSON."
        ) from error


def digest(envelope: Envelope) -> str:
    """Return the SHA-256 of the payload in hex: what names the document, whoever signed it again."""
    return digests.sha256_hex(envelope.payload)


def _signed(kind: str, payload: bytes) -> bytes:
    """Return the pre-authentication encoding (DSSE, 2)."""
    of = kind.encode()
    return b"DSSEv1 %d %b %d %b" % (len(of), of, len(payload), payload)
