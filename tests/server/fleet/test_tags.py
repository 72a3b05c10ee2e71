# SPDX-License-Identifier: Apache-2.0
"""The form of tags and of names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkvalve import lines
from checkvalve.errors import ConflictError, InvalidError
from checkvalve.server.fleet import naming, tags


@pytest.mark.parametrize(
    "tag", ["a", "7", "pump", "line=3", "a.b_c-d=e.f", "a" * 40, f"{'a' * 40}={'b' * 40}", "2=2", "a--b"]
)
def test_a_tag_is_a_word_or_two_with_an_equals_sign(tag: str) -> None:
    assert tags.check([tag]) == (tag,)


@pytest.mark.parametrize(
    "tag",
    [*"_.-=", "", "A", "a=", "=a", "a=b=c", "a b", "a\n", "-a", "a-", "a.=b", "a" * 41, f"a={'b' * 41}", '"', "a\0"],
)  # fmt: skip
def test_what_is_no_tag_is_named(tag: str) -> None:
    with pytest.raises(InvalidError) as caught:
        tags.check(["pump", tag])
    assert caught.value.code == "tag.form"
    assert not tags.well_formed(tag)


def test_tags_are_kept_in_order_and_once() -> None:
    assert tags.check(["b", "a", "b"]) == ("a", "b")


def test_a_device_has_at_most_32_tags() -> None:
    assert len(tags.check(f"t{number}" for number in range(32))) == 32
    with pytest.raises(InvalidError) as caught:
        tags.check(f"t{number}" for number in range(33))
    assert caught.value.code == "tag.many"


@given(st.text(max_size=500))
def test_a_host_of_any_name_has_a_name_that_people_could_give(text: str) -> None:
    name = naming.of_host(text)
    assert naming.given(name) == name
    assert len(name) <= naming.ROOT


def test_a_host_keeps_its_name_where_it_can() -> None:
    assert naming.of_host("press-07.plant.example") == "press-07.plant.example"
    assert naming.of_host(" pump\x00 \u202ehouse\n") == "pump house"
    assert naming.of_host("\n\t") == naming.NAMELESS


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "a" * 101, "\u202ea"])
def test_a_name_that_no_line_may_hold_is_refused(name: str) -> None:
    with pytest.raises(InvalidError) as caught:
        naming.given(name)
    assert caught.value.code == "device.name"


def test_a_name_that_is_taken_gets_the_first_number_that_is_free() -> None:
    assert naming.free("Edge", set()) == "Edge"
    assert naming.free("Edge", {"edge"}) == "Edge-2"
    assert naming.free("Edge", {"edge", "edge-2", "edge-4"}) == "Edge-3"


@given(st.text(max_size=120), st.sets(st.integers(0, 20)))
def test_a_free_name_is_not_taken_and_begins_as_wanted(text: str, numbers: set[int]) -> None:
    wanted = naming.of_host(text)
    taken = {lines.folded(wanted if number < 2 else f"{wanted}-{number}") for number in numbers}
    name = naming.free(wanted, taken)
    assert lines.folded(name) not in taken
    assert lines.folded(name).startswith(lines.folded(wanted))
    assert naming.given(name) == name


def test_a_name_that_another_has_is_refused_in_any_case() -> None:
    naming.still_free("edge-2", {"edge"})
    with pytest.raises(ConflictError) as caught:
        naming.still_free("EDGE", {"edge"})
    assert caught.value.code == "device.name_taken"
