# SPDX-License-Identifier: Apache-2.0
"""Keys: what they sign, what they refuse."""

import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from checkvalve.crypto import keys
from checkvalve.errors import InvalidError

KEY = keys.make()
OTHER = keys.make()


def pem_of(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, password: bytes | None = None) -> bytes:
    cipher: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password:
        cipher = serialization.BestAvailableEncryption(password)
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, cipher)


def test_a_key_survives_its_pem() -> None:
    again = keys.load(keys.dump(KEY))
    assert keys.fingerprint(again.public_key()) == keys.fingerprint(KEY.public_key())
    public = keys.load_public(keys.dump_public(KEY.public_key()))
    assert keys.spki(public) == keys.spki(KEY.public_key())


def test_a_signature_fits_its_key_and_message_only() -> None:
    signature = keys.sign(KEY, b"open")
    assert keys.verify(KEY.public_key(), signature, b"open")
    assert not keys.verify(KEY.public_key(), signature, b"shut")
    assert not keys.verify(OTHER.public_key(), signature, b"open")


@pytest.mark.parametrize("signature", [b"", b"\x30", b"\x00" * 64, b"\x30\x06\x02\x01\x00\x02\x01\x00"])
def test_bytes_that_are_no_signature_are_a_no_and_no_error(signature: bytes) -> None:
    assert not keys.verify(KEY.public_key(), signature, b"open")


def test_openssl_agrees_with_signature_and_fingerprint(tmp_path: Path) -> None:
    (tmp_path / "public.pem").write_bytes(keys.dump_public(KEY.public_key()))
    (tmp_path / "message").write_bytes(b"open")
    (tmp_path / "signature").write_bytes(keys.sign(KEY, b"open"))
    command = ["openssl", "dgst", "-sha256", "-verify", "public.pem", "-signature", "signature", "message"]
    done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert done.stdout == b"Verified OK\n"
    command = ["openssl", "pkey", "-pubin", "-in", "public.pem", "-outform", "DER", "-out", "spki.der"]
    subprocess.run(command, cwd=tmp_path, check=True)
    digest = subprocess.run(["sha256sum", "spki.der"], cwd=tmp_path, check=True, capture_output=True).stdout
    assert keys.fingerprint(KEY.public_key()) == "sha256:" + digest.split()[0].decode()


@pytest.mark.parametrize(
    ("pem", "code"),
    [
        (b"", "key.form"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "key.form"),
        (pem_of(KEY, b"secret"), "key.form"),
        (pem_of(ec.generate_private_key(ec.SECP384R1())), "key.kind"),
        (pem_of(rsa.generate_private_key(65537, 2048)), "key.kind"),
        (keys.dump_public(KEY.public_key()), "key.form"),
    ],
)
def test_what_is_no_p256_key_is_refused(pem: bytes, code: str) -> None:
    with pytest.raises(InvalidError) as caught:
        keys.load(pem)
    assert caught.value.code == code


def test_a_public_key_of_another_curve_is_refused() -> None:
    other = ec.generate_private_key(ec.SECP384R1()).public_key()
    with pytest.raises(InvalidError) as caught:
        keys.load_public(keys.dump_public(other))
    assert caught.value.code == "key.kind"
    with pytest.raises(InvalidError) as caught:
        keys.load_public(b"nothing")
    assert caught.value.code == "key.form"
