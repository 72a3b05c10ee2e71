# SPDX-License-Identifier: Apache-2.0
"""What people say beside what data say."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkvalve.server.scorecard.claims import Kind, defensible, judge
from checkvalve.server.scorecard.model import Said

TABLE = [
    # said, measured, days, kind
    (None, None, 0, Kind.UNANSWERED),
    (None, 3, 0, Kind.UNANSWERED),
    (Said.NOT_APPLICABLE, None, 400, Kind.DECLARED_ONLY),
    (Said.NOT_APPLICABLE, 1, 0, Kind.DECLARED_ONLY),
    (Said.NOT_SURE, None, 400, Kind.DECLARED_ONLY),
    (Said.NOT_SURE, 2, 0, Kind.BLIND),
    (Said.FULLY, None, 0, Kind.DECLARED_ONLY),
    (Said.FULLY, None, 90, Kind.DECLARED_ONLY),
    (Said.FULLY, None, 91, Kind.UNPROVEN),
    (Said.MOSTLY, None, 91, Kind.UNPROVEN),
    (Said.PARTLY, None, 400, Kind.DECLARED_ONLY),
    (Said.FULLY, 4, 0, Kind.AGREE),
    (Said.FULLY, 3, 0, Kind.AGREE),
    (Said.MOSTLY, 4, 0, Kind.AGREE),
    (Said.FULLY, 2, 0, Kind.CONTRADICTED),
    (Said.FULLY, 0, 0, Kind.CONTRADICTED),
    (Said.LITTLE, 3, 0, Kind.UNDERSTATED),
]


@pytest.mark.parametrize(("said", "measured", "days", "kind"), TABLE)
def test_an_answer_stands_beside_its_measurement(said: Said, measured: int, days: int, kind: Kind) -> None:
    found = judge(said, measured, timedelta(days=days))
    assert found.kind is kind
    assert found.reason.endswith(".")


@pytest.mark.parametrize(
    ("said", "measured", "worth"),
    [
        (Said.FULLY, None, Said.MOSTLY),
        (Said.MOSTLY, None, Said.MOSTLY),
        (Said.LITTLE, None, Said.LITTLE),
        (Said.FULLY, 4, Said.FULLY),
        (Said.FULLY, 1, Said.LITTLE),
        (Said.LITTLE, 4, Said.LITTLE),
        (Said.NOT_SURE, 4, Said.NOT_SURE),
        (Said.NOT_APPLICABLE, 4, Said.NOT_APPLICABLE),
        (None, 4, None),
    ],
)
def test_what_can_be_defended_is_the_lesser_of_both(said: Said, measured: int, worth: Said) -> None:
    assert defensible(said, measured) is worth


@given(st.sampled_from(list(Said)), st.none() | st.integers(0, 4))
def test_what_can_be_defended_is_never_more_than_was_said(said: Said, measured: int | None) -> None:
    worth = defensible(said, measured)
    assert worth is not None
    assert (worth.points or 0) <= (said.points or 0)
