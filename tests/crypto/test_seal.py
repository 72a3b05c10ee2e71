# SPDX-License-Identifier: Apache-2.0
"""What was sealed opens for its recipient, as what it is, whole; and for nobody and as nothing else."""

from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from checkvalve.crypto import keys, seal
from checkvalve.errors import InvalidError

KEY, OTHER = keys.make(), keys.make()
LOCK = bytes(range(seal.KEY_SIZE))
NONCE = bytes(seal.NONCE_SIZE)
MESSAGES = st.binary(max_size=200)


def closed(call: Callable[[], bytes]) -> bool:
    with pytest.raises(InvalidError) as caught:
        call()
    return caught.value.code == "seal.closed"


@given(MESSAGES, MESSAGES)
def test_what_was_sealed_opens_with_the_recipients_key_and_the_context(message: bytes, context: bytes) -> None:
    assert seal.open_(KEY, seal.seal(KEY.public_key(), message, context), context) == message


@given(MESSAGES, MESSAGES, MESSAGES)
def test_it_opens_with_no_other_key_and_in_no_other_context(message: bytes, context: bytes, other: bytes) -> None:
    sealed = seal.seal(KEY.public_key(), message, context)
    assert closed(lambda: seal.open_(OTHER, sealed, context))
    if other != context:
        assert closed(lambda: seal.open_(KEY, sealed, other))


@given(MESSAGES, st.data())
def test_changed_cut_or_longer_it_does_not_open(message: bytes, data: st.DataObject) -> None:
    sealed = seal.seal(KEY.public_key(), message, b"")
    place = data.draw(st.integers(0, len(sealed) - 1))
    changed = bytearray(sealed)
    changed[place] ^= data.draw(st.integers(1, 255))
    assert closed(lambda: seal.open_(KEY, bytes(changed), b""))
    assert closed(lambda: seal.open_(KEY, sealed[:place], b""))
    assert closed(lambda: seal.open_(KEY, sealed + b"\0", b""))


@given(MESSAGES)
def test_bytes_of_any_other_form_do_not_open(data: bytes) -> None:
    assert closed(lambda: seal.open_(KEY, data, b""))
    assert closed(lambda: seal.unlock(LOCK, data, b""))


def test_sealed_twice_it_is_other_bytes_and_none_of_the_message() -> None:
    message = b"the pin of the pump is 4711"
    one, two = (seal.seal(KEY.public_key(), message, b"") for _ in range(2))
    assert one != two
    assert message not in one + two


def test_a_point_that_is_not_on_the_curve_is_refused() -> None:
    sealed = bytearray(seal.seal(KEY.public_key(), b"x", b""))
    sealed[2:66] = bytes(64)
    assert closed(lambda: seal.open_(KEY, bytes(sealed), b""))


def test_what_is_locked_is_not_sealed() -> None:
    sealed = seal.seal(KEY.public_key(), b"x", b"")
    assert closed(lambda: seal.unlock(LOCK, sealed, b""))
    assert closed(lambda: seal.open_(KEY, seal.lock(LOCK, NONCE, b"x", b""), b""))


@given(MESSAGES, MESSAGES, st.binary(min_size=seal.KEY_SIZE, max_size=seal.KEY_SIZE), st.data())
def test_what_was_locked_opens_with_its_key_and_context_alone(
    message: bytes, context: bytes, key: bytes, data: st.DataObject
) -> None:
    locked = seal.lock(LOCK, NONCE, message, context)
    assert seal.unlock(LOCK, locked, context) == message
    if key != LOCK:
        assert closed(lambda: seal.unlock(key, locked, context))
    assert closed(lambda: seal.unlock(LOCK, locked, context + b"x"))
    place = data.draw(st.integers(0, len(locked) - 1))
    assert closed(lambda: seal.unlock(LOCK, locked[:place], context))
    changed = bytearray(locked)
    changed[place] ^= 1
    assert closed(lambda: seal.unlock(LOCK, bytes(changed), context))


def test_the_format_stays_what_it_is() -> None:
    private = ec.derive_private_key(7, ec.SECP256R1())
    kept = bytes.fromhex(
        "0104517b50178dd937e2bb77ade95c1f7539feb41654c995f73341aa17c65754d9ac30da33180690536fb30e76f32f2d"
        "534f8681594e3bc46f9acd3fbb7da05482bc6029522f81317ffeebd6cc691b675f2653c411062822bf37"
    )
    assert seal.open_(private, kept, b"checkvalve secret v1\ndevice\npin\n1") == b"hunter22"
