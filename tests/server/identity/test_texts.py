# SPDX-License-Identifier: Apache-2.0
"""What people type: logins, names and passwords, as they are kept or refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkvalve.crypto import passwords as stored_passwords
from checkvalve.errors import InvalidError
from checkvalve.server.identity import logins, names, passwords, paths

GOOD_PASSWORDS = (
    "copper kettle ferry",
    "correct horse battery staple",
    "Xk7#qPz9!mLw",
    "øl og ål på åen",
    "水道局の古い井戸水と新しい水",
)


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("anna", "anna"),
        (" Anna.Ek ", "anna.ek"),
        ("ANNA+night@plant-7_x", "anna+night@plant-7_x"),
        ("7a", "7a"),
        ("x" * 64, "x" * 64),
    ],
)
def test_a_login_is_kept_in_one_spelling(typed: str, kept: str) -> None:
    assert logins.check(typed) == kept
    assert logins.known_as(typed) == kept


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        ("", "login.short"),
        ("  a  ", "login.short"),
        ("x" * 65, "login.long"),
        ("anna ek", "login.characters"),
        ("-anna", "login.characters"),
        ("анна", "login.characters"),
        ("an\0na", "login.characters"),
        ("an\nna", "login.characters"),
        ("åsa", "login.characters"),
        ("\ud800\ud800", "login.characters"),
    ],
)
def test_what_is_no_login_is_refused_with_what_to_do(typed: str, code: str) -> None:
    with pytest.raises(InvalidError) as refused:
        logins.check(typed)
    assert refused.value.code == code
    assert refused.value.remedy
    assert logins.known_as(typed) is None


@given(st.text())
def test_a_login_once_kept_is_kept_the_same(text: str) -> None:
    known = logins.known_as(text)
    if known is not None:
        assert logins.check(known) == known
        assert known.isascii()


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        ("", "name.empty"),
        ("\u2003\t", "name.empty"),
        ("x" * 101, "name.long"),
        ("e\u0301" * 101, "name.long"),
        ("a" + " " * 10_000 + "b", "name.long"),
        ("a\x1b[2Jb", "name.characters"),
        ("a\u200bb", "name.characters"),
        ("a\u202eb", "name.characters"),
        ("a\ud800", "name.characters"),
    ],
)
def test_what_is_no_name_is_refused_with_what_to_do(typed: str, code: str) -> None:
    with pytest.raises(InvalidError) as refused:
        names.person(typed)
    assert refused.value.code == code
    assert refused.value.remedy


def test_a_name_may_hold_any_letter_and_is_kept_composed() -> None:
    assert names.person("  Zoe\u0301 O'Brien-Łuczak 王芳 ") == "Zo\u00e9 O'Brien-Łuczak 王芳"
    assert names.person("e\u0301" * 100) == "\u00e9" * 100


@pytest.mark.parametrize("path", ["/", "/a/", "/01k8/01k9/", "/" + "01k8z3v9q4w7h2m5n8p1r6t0xy/" * 10])
def test_a_scope_path_begins_and_ends_with_a_slash(path: str) -> None:
    assert paths.check(path) == path


@pytest.mark.parametrize("password", GOOD_PASSWORDS)
def test_a_password_of_ones_own_is_taken(password: str) -> None:
    passwords.check(password, "anna")
    passwords.check(password, "")


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("", "password.short"),
        ("elevenchars", "password.short"),
        ("ﬁﬁﬁ", "password.short"),
        ("x" * 1025, "password.long"),
        ("å" * 513, "password.long"),
        ("\ufdfa" * 100, "password.long"),  # 300 bytes as typed, 3300 as hashed
        ("copper kettle \ud800", "password.text"),
        ("anna.ek@plant", "password.login"),
        ("Anna.Ek@Plant1!", "password.login"),
        ("2026ANNA.EK@PLANT", "password.login"),
        ("password1234", "password.common"),
        ("Checkvalve2026", "password.common"),
        ("adminadmin123", "password.common"),
        ("aaaaaaaaaaaaaaa", "password.simple"),
        ("abababababababab", "password.simple"),
        ("abc123.abc123.abc", "password.simple"),
        ("123456789012", "password.simple"),
        ("9876543210987", "password.simple"),
        ("ABCDEFGHIJKLmno", "password.simple"),
        ("zyxwvutsrqponm", "password.simple"),
        ("ASDFGHJKLYXCV", "password.simple"),
    ],
)
def test_a_password_that_guards_nothing_is_refused_with_what_to_do(password: str, code: str) -> None:
    with pytest.raises(InvalidError) as refused:
        passwords.check(password, "anna.ek@plant")
    assert refused.value.code == code
    assert refused.value.remedy
    assert password not in str(refused.value) or not password


@pytest.mark.slow
@given(st.text(max_size=1100), st.text(max_size=20))
def test_every_text_is_taken_or_refused_and_what_is_taken_can_be_stored(password: str, login: str) -> None:
    assert _judged(password, login).startswith("password.") or stored_passwords.verify(
        password, stored_passwords.store(password, bytes(16), iterations=1)
    )


def _judged(password: str, login: str) -> str:
    try:
        passwords.check(password, login)
    except InvalidError as error:
        return error.code
    return "taken"
