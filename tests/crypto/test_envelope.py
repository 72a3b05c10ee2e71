# SPDX-License-Identifier: Apache-2.0
"""A signed document is what its key signed, of the kind it was signed as, or it is nothing."""

import base64
import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkvalve.crypto import envelope, keys
from checkvalve.crypto.envelope import Envelope, Signature
from checkvalve.errors import InvalidError

KEY = keys.make()
KIND = "application/vnd.checkvalve.test+json"


def _is_one(data: bytes) -> bool:
    """Tell whether random bytes happen to be one: then they have its three fields."""
    try:
        said = json.loads(data)
    except ValueError:
        return False
    return isinstance(said, dict) and {"payload", "payloadType", "signatures"} <= said.keys()


def refusal(sealed: Envelope, kind: str = KIND, key: keys.PublicKey | None = None) -> str:
    with pytest.raises(InvalidError) as raised:
        envelope.unseal(sealed, kind, key or KEY.public_key())
    return raised.value.code


@given(st.binary(max_size=200))
def test_what_was_sealed_comes_out_as_it_went_in(payload: bytes) -> None:
    sealed = envelope.read(envelope.write(envelope.seal(KEY, KIND, payload)))
    assert envelope.unseal(sealed, KIND, KEY.public_key()) == payload


def test_the_form_is_that_of_dsse() -> None:
    said = json.loads(envelope.write(envelope.seal(KEY, KIND, b"hello")))
    assert said.keys() == {"payload", "payloadType", "signatures"}
    assert said["payload"] == base64.b64encode(b"hello").decode()
    signature = base64.b64decode(said["signatures"][0]["sig"])
    assert keys.verify(KEY.public_key(), signature, b"DSSEv1 %d %b 5 hello" % (len(KIND), KIND.encode()))


def test_a_document_of_one_kind_never_passes_for_one_of_another() -> None:
    sealed = envelope.seal(KEY, KIND, b"hello")
    assert refusal(sealed, "application/vnd.checkvalve.orders+json") == "envelope.kind"
    renamed = Envelope(sealed.payload, "application/vnd.checkvalve.orders+json", sealed.signatures)
    assert refusal(renamed, "application/vnd.checkvalve.orders+json") == "envelope.signature"


@given(st.binary(min_size=1, max_size=100), st.data())
def test_one_byte_changed_is_found(payload: bytes, data: st.DataObject) -> None:
    sealed = envelope.seal(KEY, KIND, payload)
    at = data.draw(st.integers(0, len(payload) - 1))
    changed = payload[:at] + bytes([payload[at] ^ data.draw(st.integers(1, 255))]) + payload[at + 1 :]
    assert refusal(Envelope(changed, KIND, sealed.signatures)) == "envelope.signature"


def test_another_key_is_found_whatever_the_keyid_says() -> None:
    other = keys.make()
    forged = envelope.seal(other, KIND, b"hello")
    said = Signature(keys.fingerprint(KEY.public_key()), forged.signatures[0].sig)
    assert refusal(Envelope(b"hello", KIND, (said,))) == "envelope.signature"


def test_one_right_signature_among_others_is_enough() -> None:
    sealed, other = envelope.seal(KEY, KIND, b"hello"), envelope.seal(keys.make(), KIND, b"hello")
    both = Envelope(b"hello", KIND, (*other.signatures, *sealed.signatures))
    assert envelope.unseal(both, KIND, KEY.public_key()) == b"hello"


@given(st.binary(max_size=300))
def test_whatever_bytes_come_they_are_an_envelope_or_refused(data: bytes) -> None:
    with pytest.raises(InvalidError) if not _is_one(data) else contextlib.nullcontext():
        envelope.read(data)


def test_what_is_too_large_is_refused_before_it_is_read() -> None:
    with pytest.raises(InvalidError) as raised:
        envelope.read(b"[" * (envelope.LARGEST + 1))
    assert raised.value.code == "envelope.size"


def test_its_digest_is_of_the_payload_whoever_signed_it() -> None:
    one, other = envelope.seal(KEY, KIND, b"hello"), envelope.seal(keys.make(), KIND, b"hello")
    assert envelope.digest(one) == envelope.digest(other)
