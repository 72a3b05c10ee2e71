# SPDX-License-Identifier: Apache-2.0
"""Canonical JSON: one value has one text, and only that text is read."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkvalve import canonical
from checkvalve.canonical import Json
from checkvalve.errors import InvalidError

texts = st.text(st.characters(exclude_categories=["Cs"]))
values = st.recursive(
    st.none() | st.booleans() | st.integers(-canonical.LARGEST, canonical.LARGEST) | texts,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(texts, inner, max_size=5),
    max_leaves=20,
)


@given(values)
def test_writing_and_reading_give_the_value_back(value: Json) -> None:
    assert canonical.loads(canonical.dumps(value)) == value
    assert json.loads(canonical.dumps(value)) == value


@given(values)
def test_what_was_read_writes_the_same_bytes(value: Json) -> None:
    data = canonical.dumps(value)
    assert canonical.dumps(canonical.loads(data)) == data


def test_the_order_of_names_is_that_of_utf_16() -> None:
    # RFC 8785, 3.2.3, the order of its example (the fraction-free part of it).
    names = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\u0080", "\u00f6"]
    said = canonical.loads(canonical.dumps(dict.fromkeys(names, 0)))
    assert isinstance(said, dict)
    assert list(said) == ["\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33"]


def test_escapes_are_those_of_the_standard() -> None:
    # RFC 8785, 3.2.2.2 and its sample text.
    assert (
        canonical.dumps('\u20ac$\u000f\nA\'B"\\\\"/\u007f') == '"\u20ac$\\u000f\\nA\'B\\"\\\\\\\\\\"/\u007f"'.encode()
    )


@pytest.mark.parametrize("value", [1.5, float("nan"), 2**53, -(2**53), b"x", {1: 2}, "\ud800", object()])
def test_what_has_no_canonical_form_is_refused(value: object) -> None:
    with pytest.raises(InvalidError) as caught:
        canonical.dumps(value)  # type: ignore[arg-type]
    assert caught.value.code == "canonical.value"


def test_nesting_without_end_is_refused() -> None:
    value: Json = 0
    for _ in range(100_000):
        value = [value]
    with pytest.raises(InvalidError):
        canonical.dumps(value)
    with pytest.raises(InvalidError):
        canonical.loads(b"[" * 100_000 + b"]" * 100_000)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b" 1",
        b"1 ",
        b'{"a":1,"a":1}',
        b'{"b":1,"a":1}',
        b'"\\u0041"',
        b"1.0",
        b"1e3",
        b"-0",
        b"\xff",
        b"NaN",
        b'"\\/"',
    ],
)
def test_other_texts_of_a_value_are_not_read(data: bytes) -> None:
    with pytest.raises(InvalidError) as caught:
        canonical.loads(data)
    assert caught.value.code == "canonical.form"
