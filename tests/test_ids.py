# SPDX-License-Identifier: Apache-2.0
"""Ids: ordered by time, one form, no sequence."""

from datetime import UTC

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkvalve import clock, ids

moments = st.integers(0, (1 << 48) - 1)
entropies = st.binary(min_size=10, max_size=10)


@given(moments, entropies, moments, entropies)
def test_ids_sort_by_time(one: int, two: bytes, other: int, more: bytes) -> None:
    first, second = ids.encode(one, two), ids.encode(other, more)
    assert ids.well_formed(first)
    assert (first < second) == ((one, two) < (other, more))


@pytest.mark.parametrize(
    "text", ["", "a", "../../etc/passwd", "8" + "0" * 25, "0" * 27, "0" * 25 + "u", "0" * 25 + "A", "0" * 25 + "\n"]
)
def test_other_texts_are_no_ids(text: str) -> None:
    assert not ids.well_formed(text)


def test_the_clock_gives_utc_and_fresh_ids() -> None:
    assert clock.now().tzinfo is UTC
    made = [clock.new_id() for _ in range(1000)]
    assert len(set(made)) == 1000
    assert all(ids.well_formed(one) for one in made)
