# SPDX-License-Identifier: Apache-2.0
"""One rule for what a person types as a line."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkvalve import lines


@given(st.text(max_size=50))
def test_a_tidy_line_stays_as_it_is(text: str) -> None:
    tidy = lines.tidy(text, 50)
    assert lines.tidy(tidy, 50) == tidy
    assert tidy == tidy.strip()
    assert unicodedata.is_normalized("NFC", tidy)


@given(st.text(max_size=50))
def test_folding_twice_is_folding_once(text: str) -> None:
    assert lines.folded(lines.folded(text)) == lines.folded(text)


@pytest.mark.parametrize("text", ["a\nb", "a\0", "\u202e", "\u200b", "\ue000", "\ud800", "\t"])
def test_what_reads_as_something_else_is_no_line(text: str) -> None:
    assert not lines.plain(text)


@pytest.mark.parametrize("text", ["Luleå", "Tank 1/2", "水処理", "a b", "", "🚰"])
def test_names_in_any_script_are_lines(text: str) -> None:
    assert lines.plain(text)


def test_a_megabyte_is_not_normalised() -> None:
    text = " " + "x" * 1_000_000
    assert lines.tidy(text, 100) is text
