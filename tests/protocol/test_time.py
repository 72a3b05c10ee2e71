# SPDX-License-Identifier: Apache-2.0
"""The plane's signed time: only its own key makes one, and it says nothing but a moment."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkvalve.crypto import keys
from checkvalve.errors import InvalidError
from checkvalve.protocol import time

KEY = keys.make()


@given(st.integers(1, 10**15))
def test_what_was_signed_is_read(milliseconds: int) -> None:
    assert time.read(time.write(KEY, milliseconds), KEY.public_key()) == milliseconds


@pytest.mark.parametrize("text", ["", "0;AA", "12", "12;", "12;ä", "-5;AA", "12;AA;BB", "9" * 17 + ";AA", "012;AA"])
def test_what_has_not_the_form_is_refused(text: str) -> None:
    with pytest.raises(InvalidError) as raised:
        time.read(text, KEY.public_key())
    assert raised.value.code == "time.form"


def test_another_moment_or_another_key_is_refused() -> None:
    said = time.write(KEY, 1_000)
    for text, key in ((said.replace("1000", "2000"), KEY), (said, keys.make()), ("1000;AAAA", KEY), ("1000;A", KEY)):
        with pytest.raises(InvalidError) as raised:
            time.read(text, key.public_key())
        assert raised.value.code == "time.signature"
