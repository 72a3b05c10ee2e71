# SPDX-License-Identifier: Apache-2.0
"""Is this receipt what a device signed, and what does it say? Judged here, from bytes and a key, believing no plane.

Rules: 1. what is no envelope, no receipt or not in canonical form is told by its first wrong place; 2. of a signature
that does not hold it is told whether the right key's is there, so that a changed byte and a wrong key are two things;
3. the device's clock is shown and judges nothing.
"""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass

from checkvalve import canonical
from checkvalve.cli import output, times
from checkvalve.cli.failures import UnverifiedError
from checkvalve.crypto import digests, envelope, keys
from checkvalve.crypto.envelope import Envelope
from checkvalve.errors import InvalidError
from checkvalve.protocol import receipt as receipts
from checkvalve.protocol.receipt import Receipt, Seen

DIGITS = 12  # of a digest: what lists show of it


@dataclass(frozen=True)
class Checked:
    """A receipt that `key` (its fingerprint) signed; `digest` is the SHA-256, in hex, of what was signed."""

    receipt: Receipt
    payload: bytes
    digest: str
    key: str


def check(data: bytes, key: keys.PublicKey, name: str) -> Checked:
    """Return the receipt in the envelope `data`, if `key` signed it; `name` is what the file is called.

    Raises `UnverifiedError`: `envelope.form`, `envelope.size`, `envelope.kind`, `envelope.signature`, `canonical.form`,
    `receipt.form`, `receipt.size`.
    """
    sealed = _envelope(data, name)
    if sealed.payload_type != receipts.RECEIPT:
        raise UnverifiedError(
            "envelope.kind",
            f"{name} is a signed document of another kind: its payloadType is {sealed.payload_type!r}.",
            f"A receipt's is {receipts.RECEIPT}.",
        )
    try:
        payload = envelope.unseal(sealed, receipts.RECEIPT, key)
    except InvalidError as error:
        raise _unsigned(sealed, key, _where(data, sealed, name)) from error
    return Checked(_read(payload, name), payload, digests.sha256_hex(payload), keys.fingerprint(key))


def show(found: Checked) -> None:
    """Tell what a receipt says, for people."""
    one = found.receipt
    output.fields(_pairs(found))
    steps = [(each.state.value, times.of_clock(each.at), each.code, each.reason) for each in one.steps]
    output.table(("STATE", "SINCE (ITS CLOCK)", "CODE", "WHY"), steps)
    if one.services:
        output.table(
            ("SERVICE", "IMAGE", "STATE", "EXIT", "RESTARTS", "PROBES", "WRONG"),
            [_service(each) for each in one.services],
        )
    for each in one.services:
        if each.logs:
            output.say(f"last lines of {each.service}:")
            for line in each.logs.splitlines():
                output.say(f"  {line}")


def short(digest: str) -> str:
    """Return a digest as lists have it."""
    return digest.removeprefix("sha256:")[:DIGITS]


def _pairs(found: Checked) -> list[tuple[str, str]]:
    one = found.receipt
    offset = "never compared" if one.offset is None else f"{one.offset} ms ahead of the plane's"
    return [
        ("outcome", one.outcome.value),
        ("reason", f"{one.reason} [{one.code}]" if one.code else one.reason),
        ("device", one.device),
        ("attempt", one.attempt),
        ("release", one.release),
        ("target", one.target),
        ("runs now", one.active or "nothing"),
        *((f"volume {name}", said) for name, said in sorted(one.data.items())),
        ("signed at", f"{times.of_clock(one.at)} by its own clock ({offset})"),
        ("journal", f"{one.journal}  lines {one.first} to {one.last}, head {one.head}"),
        ("agent", f"{one.agent}, {one.engine}"),
        ("digest", found.digest),
        ("key", found.key),
    ]


def _service(one: Seen) -> Sequence[str]:
    state = f"{one.state} ({one.health})" if one.health else one.state
    failed = [f"{name}: {why}" for name, why in sorted(one.probes.items()) if why]
    probes = "; ".join(failed) or (f"{len(one.probes)} passed" if one.probes else "-")
    code = "-" if one.exit is None else str(one.exit)
    return one.service, short(one.image), state, code, str(one.restarts), probes, one.wrong or "-"


def _envelope(data: bytes, name: str) -> Envelope:
    try:
        return envelope.read(data)
    except InvalidError as error:  # rule 1
        why = f" ({error.__cause__})" if error.__cause__ else ""
        raise UnverifiedError(
            error.code, f"{name} is no signed document{why}.", "Give the file as the plane or the device handed it out."
        ) from error


def _unsigned(sealed: Envelope, key: keys.PublicKey, where: str) -> UnverifiedError:
    fingerprint = keys.fingerprint(key)
    named = [one.keyid for one in sealed.signatures]
    if fingerprint in named:  # rule 2
        return UnverifiedError(
            "envelope.signature",
            f"The signature does not hold: it names key {fingerprint}, and is not over {where}.",
            "The payload, its type or the signature was changed after it was signed. Have it from the device again.",
        )
    return UnverifiedError(
        "envelope.signature",
        f"The signature over {where} is another key's: it names {', '.join(named)}, and not {fingerprint}.",
        "Give the key of the device that the receipt is of: checkvalve device key DEVICE > device.pub",
    )


def _where(data: bytes, sealed: Envelope, name: str) -> str:
    """Return where in the file the payload stands, which is what is signed together with its type."""
    text = base64.b64encode(sealed.payload)
    at = data.find(text)
    return f"the payload, bytes {at} to {at + len(text)} of {name}" if at >= 0 else f"the payload of {name}"


def _read(payload: bytes, name: str) -> Receipt:
    try:
        return receipts.read(payload)
    except InvalidError as error:
        said = error.sentence
        if error.code == "canonical.form":
            said = f"Its payload is signed, but not canonical JSON from byte {_first_wrong(payload)} on."
        remedy = "The signature holds, so the device itself wrote this; keep it, and have its agent looked at."
        raise UnverifiedError(error.code, f"{name}: {said}", remedy) from error


def _first_wrong(payload: bytes) -> int:
    try:
        again = canonical.dumps(json.loads(payload))
    except (ValueError, RecursionError, InvalidError) as error:
        return int(getattr(error, "pos", 0))
    same = zip(payload, again, strict=False)
    return next((at for at, (one, other) in enumerate(same) if one != other), min(len(payload), len(again)))
