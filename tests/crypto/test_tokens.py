# SPDX-License-Identifier: Apache-2.0
"""Tokens: form, typing mistakes, digests."""

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from checkvalve.crypto import tokens

ENTROPY = st.binary(min_size=32, max_size=32)
# One line for a scanner's rule file; the form must not drift from it.
SCANNER = re.compile(r"\bcvt_[0-9A-Za-z]{49}\b")


@given(ENTROPY)
def test_every_api_token_is_well_formed_and_found_by_a_scanner(entropy: bytes) -> None:
    token = tokens.api_token(entropy)
    assert tokens.well_formed(token)
    assert len(token) == 53
    assert SCANNER.search(f'password = "{token}"')


@given(ENTROPY)
def test_a_join_token_has_the_same_form_and_is_never_taken_for_an_api_token(entropy: bytes) -> None:
    token, other = tokens.join_token(entropy), tokens.api_token(entropy)
    assert token.startswith("cvj_")
    assert len(token) == 53
    assert tokens.join_well_formed(token)
    assert not tokens.well_formed(token)
    assert not tokens.join_well_formed(other)
    assert not tokens.join_well_formed(tokens.JOIN_PREFIX + other.removeprefix(tokens.PREFIX)), "its check is of all"
    assert not tokens.join_well_formed(token[:-1])


@given(ENTROPY, ENTROPY)
def test_different_entropy_gives_different_secrets(one: bytes, other: bytes) -> None:
    assume(one != other)
    assert tokens.session_secret(one) != tokens.session_secret(other)
    assert tokens.api_token(one) != tokens.api_token(other)


@given(ENTROPY, st.integers(0, 52), st.characters(exclude_categories=["Cs"]))
def test_one_wrong_character_is_always_seen(entropy: bytes, place: int, wrong: str) -> None:
    token = tokens.api_token(entropy)
    assume(token[place] != wrong)
    assert not tokens.well_formed(token[:place] + wrong + token[place + 1 :])


@given(ENTROPY, st.integers(0, 51))
def test_two_neighbours_exchanged_are_always_seen(entropy: bytes, place: int) -> None:
    token = tokens.api_token(entropy)
    assume(token[place] != token[place + 1])
    assert not tokens.well_formed(token[:place] + token[place + 1] + token[place] + token[place + 2 :])


@given(ENTROPY, st.integers(0, 52))
def test_a_cut_token_is_seen(entropy: bytes, length: int) -> None:
    token = tokens.api_token(entropy)
    assert not tokens.well_formed(token[:length])
    assert not tokens.well_formed(token + token[length])


@given(st.text(max_size=60))
def test_no_text_raises(text: str) -> None:
    assert not tokens.well_formed(text)
    assert len(tokens.digest(text)) == 64
    assert tokens.same(text, text)


def test_the_form_is_fixed() -> None:
    token = tokens.api_token(bytes(range(32)))
    assert token == "cvt_003aUlTJC7tjlCTQj2uNU3MFagCXG9LRKRcwGkBIDlf4YkY68"
    assert tokens.digest("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize("size", [0, 31, 33])
def test_too_little_or_too_much_entropy_is_our_own_mistake(size: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        tokens.api_token(bytes(size))


def test_a_csrf_token_belongs_to_one_session_and_is_not_its_digest() -> None:
    one, other = (tokens.session_secret(bytes([value]) * 32) for value in (1, 2))
    assert tokens.csrf_token(one) == tokens.csrf_token(one)
    assert tokens.csrf_token(one) != tokens.csrf_token(other)
    assert tokens.csrf_token(one) != tokens.digest(one)


def test_equality_is_of_the_whole_secret() -> None:
    assert tokens.same("abc", "abc")
    assert not tokens.same("abc", "abd")
    assert not tokens.same("abc", "ab")
    assert not tokens.same("é", "e")
