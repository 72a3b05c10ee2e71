# SPDX-License-Identifier: Apache-2.0
"""Patterns of variables: what `re` says of them, said in time that does not depend on how they are written."""

import contextlib
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkvalve.protocol import declared, pattern
from checkvalve.protocol.declared import Variable

ATOMS = st.sampled_from(
    ["a", "b", "-", ".", r"\d", r"\W", r"\.", "[ab]", "[^a-c]", r"[\d_-]", "é", r"\s", "1", r"\\", r"[\]a]", "}"]
)


def _wrapped(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    times = st.sampled_from(["", "?", "*", "+", "{2}", "{0}", "{1,}", "{,2}", "{0,3}"])
    return st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map("|".join),
        st.tuples(inner, times).map(lambda pair: f"({pair[0]}){pair[1]}"),
        st.tuples(inner, times).map(lambda pair: f"(?:{pair[0]}){pair[1]}"),
    )


PATTERNS = st.recursive(ATOMS, _wrapped, max_leaves=6)


@given(PATTERNS, st.lists(st.text("ab-1._ é\\]}\nc", max_size=8), min_size=1, max_size=10))
def test_a_pattern_says_what_re_says(text: str, values: list[str]) -> None:
    for value in values:
        assert pattern.read(text).fits(value) == (re.fullmatch(text, value, re.ASCII) is not None)


@given(st.text(r"ab\d()[]{}|?*+.^$,-:0129", max_size=40))
def test_any_text_is_a_pattern_or_says_why_not(text: str) -> None:
    with contextlib.suppress(pattern.PatternError):
        assert isinstance(pattern.read(text).fits("ab"), bool)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("(a", "A parenthesis is never closed."),
        ("a)", "It closes a parenthesis that it never opened."),
        ("^a$", "It is of the whole text always: write it without ^ and $."),
        (r"(a)\1", r"\1 is not taken."),
        ("(?=a)", "A group begins with ( or (?: and with nothing else."),
        ("*", r"Before * stands nothing to repeat; for the letter itself, write \*."),
        ("a+?", "Two repetitions follow each other; put the first into parentheses."),
        ("a{2,1}", "A repetition ends below where it begins."),
        ("a{x}", r"A repetition is written {3}, {3,} or {3,5}; for the letter itself, write \{."),
        ("[a", "It ends where something must follow."),
        ("[z-a]", r"A range in brackets goes from one letter upward to another; for a hyphen, write \-."),
        ("[[]", r"For [ in brackets, write \[."),
        ("a" * 201, "It has more than 200 characters."),
        ("((a{99}){99}){99}", "Its repetitions are too many, or too large."),
        ("(" * 50 + ")" * 50, "It is nested more than 20 deep."),
    ],
)
def test_what_is_no_pattern_is_told_in_a_sentence(text: str, said: str) -> None:
    with pytest.raises(pattern.PatternError) as error:
        pattern.read(text)
    assert str(error.value) == said


@pytest.mark.parametrize("text", ["(a+)+b", "(a|a)*b", "(a*)*(a*)*b", "(a|aa)+b", r"(.*a){20}", "a?" * 60 + "a{60}"])
def test_a_careless_pattern_holds_nobody_up(text: str) -> None:
    begun = time.process_time()
    assert declared.misfit(Variable(name="A", pattern=text), "a" * 4_000 + "!")
    assert time.process_time() - begun < 5  # `re` takes years for the first of them


def test_a_pattern_that_is_none_fits_nothing() -> None:
    assert declared.misfit(Variable(name="A", pattern="("), "") == "It has the form (."


def test_a_pattern_is_of_the_whole_value() -> None:
    tag = Variable(name="TAG", pattern=r"[A-Z]{2,4}-\d+")
    assert declared.misfit(tag, "PU-12") == ""
    assert {declared.misfit(tag, value) for value in ("PU-12\n", "xPU-12", "PU-")} == {
        r"It has the form [A-Z]{2,4}-\d+."
    }
