# SPDX-License-Identifier: Apache-2.0
"""Which value wins, against an evaluator that looks at one name at a time from the device upwards."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from checkvalve.ids import ValueId
from checkvalve.server.values import nearest
from checkvalve.server.values.model import Entry, Key, Kind
from tests.conftest import NOON

NEAR = nearest.places("/o/s/a/b/", "d")
PLACES = (*NEAR, "/o/s/x/", "/other/", "device:e")
LINES = ("", "press", "pump")


def _entry(number: int, place: str, line: str, name: str, content: bytes | None) -> Entry:
    kind = Kind.SECRET if name == "s" else Kind.VARIABLE
    return Entry(ValueId(f"{number}"), place, "/o/", Key(line, kind, name), content, True, "", NOON)  # noqa: FBT003


@st.composite
def entries(draw: st.DrawFn) -> list[Entry]:
    keys = draw(
        st.lists(
            st.tuples(st.sampled_from(PLACES), st.sampled_from(LINES), st.sampled_from("abs")),
            unique=True,
            max_size=40,
        )
    )
    contents = draw(st.lists(st.sampled_from([None, b"", b"v"]), min_size=len(keys), max_size=len(keys)))
    return [_entry(number, *key, content) for number, (key, content) in enumerate(zip(keys, contents, strict=True))]


def _plainly(found: Sequence[Entry], line: str) -> dict[str, Entry]:
    """Ask for each name at each place, the nearest first, for this line and then for all."""
    answer: dict[str, Entry] = {}
    for name in "abs":
        for place in NEAR:
            for wanted in (line, ""):
                for one in found:
                    here = (one.place, one.key.line, one.key.name) == (place, wanted, name)
                    if here and one.content is not None:
                        answer.setdefault(nearest.named(one.key.kind, name), one)
    return answer


def _by_place(found: Sequence[Entry]) -> dict[str, list[Entry]]:
    return {place: [one for one in found if one.place == place] for place in PLACES}


@given(entries(), st.sampled_from(["press", "pump", "unheard"]))
def test_the_nearest_wins_and_at_one_place_this_line(found: list[Entry], line: str) -> None:
    assert nearest.winners(NEAR, line, _by_place(found)) == _plainly(found, line)


@given(entries(), st.integers(0, len(NEAR)))
def test_what_is_near_may_be_laid_over_what_is_far(found: list[Entry], cut: int) -> None:
    at = _by_place(found)
    far, near = nearest.winners(NEAR[cut:], "press", at), nearest.winners(NEAR[:cut], "press", at)
    assert {**far, **near} == nearest.winners(NEAR, "press", at)


def test_the_places_of_a_device_go_from_itself_to_its_organisation() -> None:
    assert nearest.places("/o/s/a/", "d") == ("device:d", "/o/s/a/", "/o/s/", "/o/")
    assert nearest.places("/o/") == ("/o/",)
