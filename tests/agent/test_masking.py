# SPDX-License-Identifier: Apache-2.0
"""What people are shown of a device holds no secret, in whatever way a container printed it."""

import base64
import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkvalve.agent import masking
from checkvalve.agent.masking import masked

NAMES = st.from_regex(r"[a-z0-9]([a-z0-9._-]{0,8}[a-z0-9])?", fullmatch=True)
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=24)
KEY = "-----BEGIN KEY-----\nMHcCAQEEIBkg\nAwEHoUQDQgAE\nab\n-----END KEY-----\n"


def forms(secret: str) -> list[str]:
    coded = base64.b64encode(secret.encode()).decode()
    return [secret, coded, coded.rstrip("="), quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1]]


@given(NAMES, TEXTS, TEXTS, TEXTS, st.integers(0, 5))
def test_no_form_of_a_secret_is_left(name: str, secret: str, before: str, after: str, form: int) -> None:
    said = forms(secret)
    shown = masked(before + said[form] + after, {name: secret.encode()})
    if secret.strip():
        assert not [each for each in said if each in shown]


@given(st.dictionaries(NAMES, TEXTS.filter(lambda text: text.strip() != ""), max_size=4), st.data())
def test_no_secret_is_left_however_they_stand_together(secrets: dict[str, str], data: st.DataObject) -> None:
    parts = data.draw(st.lists(st.one_of(TEXTS, st.sampled_from([*secrets.values(), "["])), max_size=8))
    shown = masked("".join(parts), {name: text.encode() for name, text in secrets.items()})
    assert not [text for text in secrets.values() if text in shown]


@given(TEXTS, TEXTS)
def test_a_text_without_a_secret_stays_as_it_is(text: str, secret: str) -> None:
    whole = {secret, secret.strip(), " ".join(secret.split())} - {""}
    every = {form for each in whole for form in forms(each)} | {
        line for each in secret.splitlines() for line in (each, each.strip()) if len(line) >= masking.SHORTEST
    }
    if not any(form in text for form in every if form):
        assert masked(text, {"pin": secret.encode()}) == text


@given(TEXTS.filter(lambda text: len(text.strip()) > 1), st.integers(1, 23), TEXTS)
def test_the_end_of_a_secret_at_a_cut_beginning_goes_too(secret: str, start: int, after: str) -> None:
    end = secret[start:]
    shown = masked(end + "\n" + after, {"pin": secret.encode()}, cut=True)
    if len(end.strip()) > 1 and start:
        assert not shown.startswith(end)


def test_a_secret_is_named_and_the_rest_of_the_line_stays() -> None:
    shown = masked("user=plc pin=hunter22 ok\nnext\n", {"plc-pin": b"hunter22"})
    assert shown == "user=plc pin=[secret plc-pin] ok\nnext\n"


def test_each_line_of_a_key_goes_and_short_ones_stay() -> None:
    shown = masked("read MHcCAQEEIBkg\nthen AwEHoUQDQgAE\nthen ab\n", {"key": KEY.encode()})
    assert shown == "read [secret key]\nthen [secret key]\nthen ab\n"
    assert "MHcC" not in masked(KEY, {"key": KEY.encode()})
    assert "MHcC" not in masked(" ".join(KEY.split()), {"key": KEY.encode()}), "as a probe's words are shown"


def test_the_longer_of_two_secrets_goes_whole() -> None:
    shown = masked("abcdef-1234", {"short": b"abcdef", "long": b"abcdef-1234"})
    assert shown == "[secret long]"


def test_a_secret_that_is_a_word_of_the_mark_takes_the_line_with_it() -> None:
    assert masked("a secret here\nnot here\n", {"x": b"secret"}) == f"{masking.GONE}\nnot here\n"
    assert masked("masked\n", {"x": b"masked"}) == "[secret x]\n"
    assert masked("a\nxyz\n", {"a": b"a"}) == "\nxyz\n"


def test_white_space_is_no_secret() -> None:
    assert masked("a b\n", {"x": b" ", "y": b"", "z": b"\n"}) == "a b\n"


def test_bytes_that_are_no_text_are_masked_as_they_are_shown() -> None:
    secret = b"\xff\xfepass\x80word"
    assert "pass" not in masked(f"it is {secret.decode(errors='replace')}!", {"x": secret})
    assert masked(base64.b64encode(secret).decode(), {"x": secret}) == "[secret x]"


@pytest.mark.slow
def test_large_secrets_and_logs_take_no_minutes() -> None:
    secrets = {f"s{number}": (f"{number:04}-" + "ab" * 8_000).encode() for number in range(20)}
    text = "ab" * 8_000 + "\n" + secrets["s7"].decode()
    assert "0007-" not in masked(text, secrets, cut=True)
