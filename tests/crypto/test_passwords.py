# SPDX-License-Identifier: Apache-2.0
"""Passwords: the stored form, and what is never raised."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkvalve.crypto import passwords
from checkvalve.errors import InvalidError

SALT = bytes(range(16))
FEW = 1000


def test_the_stored_form_is_the_standard_derivation() -> None:
    # RFC 7914, section 11: PBKDF2-HMAC-SHA-256 ("Password", "NaCl", 80000) begins so; the salt is shorter than ours,
    # so the form is checked against the derivation itself.
    derived = passwords._derive(b"Password", b"NaCl", 80_000)
    assert derived.hex() == "4ddcd8f60b98be21830cee5ef22701f9641a4418d04c0414aeff08876b34ab56"
    stored = passwords.store("Password", SALT, FEW)
    expected = base64.b64encode(passwords._derive(b"Password", SALT, FEW)).decode()
    assert stored == f"pbkdf2-sha256$1000$AAECAwQFBgcICQoLDA0ODw==${expected}"


def test_the_default_is_600_000_iterations() -> None:
    stored = passwords.store("correct horse", SALT)
    assert stored.startswith("pbkdf2-sha256$600000$")
    assert passwords.verify("correct horse", stored)
    assert not passwords.verify("correct hors", stored)
    assert not passwords.needs_rehash(stored)


def test_a_weaker_form_verifies_and_is_to_be_stored_anew() -> None:
    stored = passwords.store("correct horse", SALT, FEW)
    assert passwords.verify("correct horse", stored)
    assert passwords.needs_rehash(stored)
    assert not passwords.needs_rehash(stored, FEW)


def test_nobody_has_a_sound_form_that_no_password_fits() -> None:
    assert not passwords.needs_rehash(passwords.NOBODY)
    assert not passwords.verify("", passwords.NOBODY)


GOOD = passwords.store("x", SALT, FEW)


@pytest.mark.parametrize(
    "stored",
    [
        "",
        "$$$",
        "x",
        GOOD + "$",
        GOOD[:-1],
        GOOD.replace("1000", "0"),
        GOOD.replace("1000", "-1"),
        GOOD.replace("1000", "٣"),
        GOOD.replace("1000", "99999999"),
        GOOD.replace("1000", "9" * 5000),
        GOOD.replace("sha256", "sha1"),
        "pbkdf2-sha256$1000$AAAA$" + GOOD.split("$")[3],
        "pbkdf2-sha256$1000$" + GOOD.split("$")[2] + "$AAAA",
        "pbkdf2-sha256$1000$é$é",
        "\ud800",
    ],
)
def test_a_damaged_stored_form_fits_nothing_and_raises_nothing(stored: str) -> None:
    assert not passwords.verify("x", stored)
    assert passwords.needs_rehash(stored)


@given(st.text(max_size=80))
def test_any_text_as_stored_form_is_a_no(stored: str) -> None:
    assert not passwords.verify("x", stored)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_every_password_verifies_against_its_own_form(password: str) -> None:
    assert passwords.verify(password, passwords.store(password, SALT, 1))


def test_an_accent_composed_or_not_is_one_password() -> None:
    assert passwords.verify("e\u0301lan", passwords.store("\u00e9lan", SALT, FEW))


@pytest.mark.parametrize(
    ("password", "code"),
    [("x" * 1025, "password.long"), ("é" * 513, "password.long"), ("\ud800", "password.text")],
)
def test_what_cannot_be_a_password_is_refused_at_storing_and_a_no_at_sign_in(password: str, code: str) -> None:
    with pytest.raises(InvalidError) as caught:
        passwords.store(password, SALT, FEW)
    assert caught.value.code == code
    assert not passwords.verify(password, GOOD)


def test_the_longest_password_is_1024_bytes() -> None:
    password = "é" * 512
    assert passwords.verify(password, passwords.store(password, SALT, FEW))


def test_a_short_salt_is_our_own_mistake() -> None:
    with pytest.raises(ValueError, match="salt"):
        passwords.store("x", b"NaCl")
