# SPDX-License-Identifier: Apache-2.0
"""Key files: sealed and plain, damaged and foreign."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from checkvalve.crypto import keyfile, keys, metadata
from checkvalve.errors import InvalidError

KEY, OTHER = keys.make(), keys.make()
SALT, NONCE = bytes(range(16)), bytes(range(12))
FEW = 100_000
PASSPHRASE = "correct horse battery staple"
SEALED = keyfile.seal(KEY, "Åsa, press line", PASSPHRASE, SALT, NONCE, rounds=FEW)
PLAIN = keyfile.seal(KEY, "Åsa, press line", "", SALT, NONCE)


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(InvalidError) as caught:
        call()
    assert caught.value.sentence
    assert caught.value.remedy
    assert PASSPHRASE not in str(caught.value.args)
    return caught.value.code


def changed(file: bytes, **fields: object) -> bytes:
    return json.dumps({**json.loads(file), **fields}).encode()


def inner(file: bytes, part: str, **fields: object) -> bytes:
    return changed(file, **{part: {**json.loads(file)[part], **fields}})


@pytest.mark.parametrize(("file", "passphrase"), [(SEALED, PASSPHRASE), (PLAIN, ""), (PLAIN, "any")])
def test_a_key_comes_back_from_its_file(file: bytes, passphrase: str) -> None:
    assert keys.dump(keyfile.open_(file, passphrase)) == keys.dump(KEY)


def test_a_file_says_whose_key_it_holds_without_its_passphrase() -> None:
    for file, sealed in ((SEALED, True), (PLAIN, False)):
        said = keyfile.described(file)
        assert (said.name, said.keyid, said.sealed) == (
            "Åsa, press line",
            metadata.keyid(KEY.public_key()),
            sealed,
        )
        assert keys.spki(said.public) == keys.spki(KEY.public_key())


def test_a_sealed_file_holds_the_key_in_no_readable_form() -> None:
    secret = keys.dump(KEY).decode().split("\n")[1]
    assert secret not in SEALED.decode()
    assert secret in PLAIN.decode()
    assert json.loads(SEALED)["kdf"] == {"name": "pbkdf2-sha256", "rounds": FEW, "salt": "AAECAwQFBgcICQoLDA0ODw=="}


def test_the_default_is_600_000_rounds() -> None:
    file = keyfile.seal(KEY, "n", PASSPHRASE, SALT, NONCE)
    assert json.loads(file)["kdf"]["rounds"] == 600_000
    assert keys.dump(keyfile.open_(file, PASSPHRASE)) == keys.dump(KEY)


def test_two_ways_to_type_an_accent_are_one_passphrase() -> None:
    file = keyfile.seal(KEY, "n", "caf\u00e9", SALT, NONCE, rounds=FEW)
    assert keys.dump(keyfile.open_(file, "cafe\u0301")) == keys.dump(KEY)


@pytest.mark.parametrize("passphrase", ["", "wrong", PASSPHRASE + " ", "x" * 1025, "\u00e9" * 1000, "\ud800"])
def test_a_wrong_passphrase_is_refused(passphrase: str) -> None:
    assert refused(lambda: keyfile.open_(SEALED, passphrase)) == "key.passphrase"


@pytest.mark.parametrize("passphrase", ["x" * 1025, "\ud800"])
def test_a_passphrase_that_could_not_be_typed_again_seals_nothing(passphrase: str) -> None:
    assert refused(lambda: keyfile.seal(KEY, "n", passphrase, SALT, NONCE)) == "key.passphrase"


@pytest.mark.parametrize("name", ["", " ", "a\nb", "a\u202eb", "x" * 101, " a", "\ud800"])
def test_a_name_that_cannot_be_read_is_refused(name: str) -> None:
    assert refused(lambda: keyfile.seal(KEY, name, "", SALT, NONCE)) == "key.name"
    assert refused(lambda: keyfile.public(name, KEY.public_key())) == "key.name"
    assert refused(lambda: keyfile.open_(changed(PLAIN, name=name), "")) == "key.file"


@pytest.mark.parametrize(
    ("salt", "nonce", "rounds"), [(SALT[:15], NONCE, FEW), (SALT, NONCE + b"x", FEW), (SALT, NONCE, 1)]
)
def test_too_little_entropy_or_work_is_a_defect_of_the_caller(salt: bytes, nonce: bytes, rounds: int) -> None:
    with pytest.raises(ValueError, match="salt"):
        keyfile.seal(KEY, "n", PASSPHRASE, salt, nonce, rounds=rounds)


OTHER_PEM = keys.dump_public(OTHER.public_key()).decode()
OTHER_ID = metadata.keyid(OTHER.public_key())
P384 = ec.generate_private_key(ec.SECP384R1())


@pytest.mark.parametrize(
    "file",
    [
        changed(SEALED, name="Someone else"),
        changed(SEALED, public=OTHER_PEM, keyid=OTHER_ID),
        inner(SEALED, "kdf", rounds=FEW + 1),
        inner(SEALED, "kdf", salt="BBBBBBBBBBBBBBBBBBBBBB=="),
        inner(SEALED, "cipher", nonce="AAAAAAAAAAAAAAAA"),
        changed(SEALED, key="AAAA"),
        changed(SEALED, key=""),
        changed(SEALED, key=json.loads(SEALED)["key"][:-8] + "AAAAAA=="),
    ],
)
def test_no_field_of_a_sealed_file_can_be_changed(file: bytes) -> None:
    assert refused(lambda: keyfile.open_(file, PASSPHRASE)) == "key.passphrase"


DAMAGED = {
    "nothing": b"",
    "no JSON": b"-----BEGIN PRIVATE KEY-----",
    "no object": b"[]",
    "nested": b"[" * 50_000,
    "long": b" " * 70_000 + SEALED,
    "cut": SEALED[:-3],
    "twice": SEALED.replace(b'"v": 1', b'"v": 1, "v": 1'),
    "version 2": changed(SEALED, v=2),
    "version true": changed(SEALED, v=True),
    "version text": changed(SEALED, v="1"),
    "one more field": changed(SEALED, more=1),
    "no name": changed(SEALED, name=None),
    "no key": changed(SEALED, key=None),
    "another id": changed(SEALED, keyid=OTHER_ID),
    "another public half": changed(SEALED, public=OTHER_PEM),
    "no public half": changed(SEALED, public="x"),
    "a public half on another curve": changed(SEALED, public=keys.dump_public(P384.public_key()).decode()),
    "sealed in a word": changed(SEALED, sealed="yes"),
    "sealed and not": changed(SEALED, sealed=False),
    "plain and sealed": changed(PLAIN, sealed=True),
    "few rounds": inner(SEALED, "kdf", rounds=99_999),
    "many rounds": inner(SEALED, "kdf", rounds=10_000_001),
    "huge rounds": inner(SEALED, "kdf", rounds=10**30),
    "rounds true": inner(SEALED, "kdf", rounds=True),
    "rounds text": inner(SEALED, "kdf", rounds="600000"),
    "another derivation": inner(SEALED, "kdf", name="scrypt"),
    "one more of the derivation": inner(SEALED, "kdf", more=1),
    "short salt": inner(SEALED, "kdf", salt="AAAA"),
    "salt of no base 64": inner(SEALED, "kdf", salt="é" * 24),
    "another cipher": inner(SEALED, "cipher", name="aes-128-gcm"),
    "short nonce": inner(SEALED, "cipher", nonce="AAAA"),
    "cipher text": changed(SEALED, cipher="aes-256-gcm"),
    "key of no base 64": changed(SEALED, key="*"),
    "a plain key of another": changed(PLAIN, key=keys.dump(OTHER).decode()),
    "a plain key that is none": changed(PLAIN, key="x"),
}


@pytest.mark.parametrize("file", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_file_is_refused(file: bytes) -> None:
    assert refused(lambda: keyfile.open_(file, PASSPHRASE)) == "key.file"


def test_the_public_half_travels_alone() -> None:
    file = keyfile.public("Åsa", KEY.public_key())
    said = keyfile.read_public(file)
    assert (said.name, said.keyid) == ("Åsa", metadata.keyid(KEY.public_key()))
    assert keys.spki(said.key) == keys.spki(KEY.public_key())
    for whole in (SEALED, PLAIN, b"", b"{}", changed(file, keyid=OTHER_ID), changed(file, more=1)):
        assert refused(lambda whole=whole: keyfile.read_public(whole)) == "key.file"  # type: ignore[misc]
    assert refused(lambda: keyfile.described(file)) == "key.file"


values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=8), below, max_size=3),
    max_leaves=5,
)


@given(
    st.binary(max_size=100)
    | st.tuples(st.sampled_from(sorted(json.loads(SEALED))), values).map(
        lambda field: changed(SEALED, **{field[0]: field[1]})
    )
)
def test_any_bytes_are_a_key_file_or_are_refused(file: bytes) -> None:
    for call in (keyfile.described, keyfile.read_public, lambda file: keyfile.open_(file, "")):
        try:
            call(file)
        except InvalidError as error:
            assert error.code in {"key.file", "key.passphrase"}  # noqa: PT017
