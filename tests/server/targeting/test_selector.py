# SPDX-License-Identifier: Apache-2.0
"""The language of selectors: what it reads, what it means, and where it says that a text goes wrong."""

import string
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkvalve import lines
from checkvalve.errors import InvalidError
from checkvalve.server.targeting import selector
from checkvalve.server.targeting.model import And, Every, Expr, Facts, Key, Not, Or, Term

SITES = ["visby", "slite", "klintehamn"]
TAGS = ["pump", "line=3", "a.b-c"]
NAMES = ["filter 1", "press", "\u00f6st"]

values = st.text(
    st.characters(exclude_categories=["C", "Z"], exclude_characters='"') | st.just(" "), min_size=1, max_size=12
).map(str.strip)
terms = st.builds(Term, key=st.sampled_from(Key), value=values.filter(bool))
expressions: st.SearchStrategy[Expr] = st.recursive(
    terms | st.just(Every()),
    lambda inner: st.builds(Not, inner) | st.builds(And, inner, inner) | st.builds(Or, inner, inner),
    max_leaves=12,
)
known = st.builds(Term, key=st.just(Key.SITE), value=st.sampled_from(SITES)) | st.builds(
    Term, key=st.just(Key.TAG), value=st.sampled_from(TAGS)
)
asked: st.SearchStrategy[Expr] = st.recursive(
    known | st.just(Every()),
    lambda inner: st.builds(Not, inner) | st.builds(And, inner, inner) | st.builds(Or, inner, inner),
    max_leaves=12,
)
facts = st.builds(
    Facts,
    id=st.just("06e5q0kq3w8v9z2x4c6b8n0m1a"),
    name=st.sampled_from(NAMES),
    sites=st.frozensets(st.sampled_from(SITES)),
    areas=st.frozensets(st.sampled_from(SITES)),
    tags=st.frozensets(st.sampled_from(TAGS)),
)
PUMP = Facts(
    id="06e5q0kq3w8v9z2x4c6b8n0m1a",
    name="filter 1",
    sites=frozenset({"visby"}),
    areas=frozenset({"north"}),
    tags=frozenset({"pump"}),
    runs=frozenset({"edge-base", "edge-base@2.0"}),
)


def _plain(expr: Expr) -> Expr:
    """Return `expr` without the places where its terms stand."""
    match expr:
        case Term():
            return replace(expr, at=0)
        case Not(of):
            return Not(_plain(of))
        case And(left, right):
            return And(_plain(left), _plain(right))
        case Or(left, right):
            return Or(_plain(left), _plain(right))
        case _:
            return expr


def _python(text: str, facts: Facts) -> bool:
    """Say what `text`, as `said` writes it, means by the rules of Python, which knows `and`, `or` and `not` too."""
    for key, found in (("site", facts.sites), ("tag", facts.tags)):
        for value in (*SITES, *TAGS):
            text = text.replace(f'{key}:"{value}"', str(value in found))
    return bool(eval(text.replace("all", "True"), {"__builtins__": {}}))


def _refused(text: str, code: str = "selector.syntax") -> int:
    with pytest.raises(InvalidError) as caught:
        selector.parse(text)
    assert caught.value.code == code
    assert caught.value.sentence.endswith(".")
    assert caught.value.remedy
    at = caught.value.facts.get("at", -1)
    assert isinstance(at, int)
    assert at == -1 or f"at character {at + 1}." in caught.value.sentence
    return at


@given(expressions)
def test_what_is_said_of_a_selector_is_read_as_the_same(expr: Expr) -> None:
    read = selector.parse(selector.said(expr))
    assert selector.said(read) == selector.said(expr)
    if all(lines.folded(term.value) == term.value for term in selector.terms(expr)):
        assert _flat(_plain(read)) == _flat(expr)


def _flat(expr: Expr) -> Expr | tuple[object, ...]:
    """Return `expr` with chains of one word as lists: `a and (b and c)` is `(a and b) and c`."""
    match expr:
        case Not(of):
            return ("not", _flat(of))
        case And() | Or():
            return (type(expr).__name__, *_chain(expr, type(expr)))
        case _:
            return expr


def _chain(expr: Expr, kind: type) -> list[object]:
    if isinstance(expr, kind) and isinstance(expr, And | Or):
        return [*_chain(expr.left, kind), *_chain(expr.right, kind)]
    return [_flat(expr)]


@given(asked, facts)
def test_a_selector_means_what_the_same_words_mean_in_python(expr: Expr, facts: Facts) -> None:
    said = selector.said(expr)
    assert selector.matches(expr, facts) == _python(said, facts)
    assert selector.matches(selector.parse(said), facts) == _python(said, facts)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("all", "all"),
        ("ALL", "all"),
        ("site:Visby", 'site:"Visby"'),
        ("site=Visby", 'site:"Visby"'),
        ("SITE:Visby", 'site:"Visby"'),
        ("site:Visby tag:pump", 'site:"Visby" and tag:"pump"'),
        ("site:a tag:b or tag:c", 'site:"a" and tag:"b" or tag:"c"'),
        ("site:a and (tag:b or tag:c)", 'site:"a" and (tag:"b" or tag:"c")'),
        ("site:a(tag:b)", 'site:"a" and tag:"b"'),
        ("not tag:a tag:b", 'not tag:"a" and tag:"b"'),
        ("not (tag:a tag:b)", 'not (tag:"a" and tag:"b")'),
        ("not not all", "not not all"),
        ("tag:a Or tag:b AND tag:c", 'tag:"a" or tag:"b" and tag:"c"'),
        ('device:"Filter 1"', 'device:"Filter 1"'),
        ('device:" Filter 1 "', 'device:"Filter 1"'),
        ("tag:line=3", 'tag:"line=3"'),
        ("tag=line=3", 'tag:"line=3"'),
        ("area:\u00f6st", 'area:"\u00f6st"'),
        ("\t(all)\n", "all"),
        ('site:"a" site:"b"', 'site:"a" and site:"b"'),
        ('device:"and"', 'device:"and"'),
        ("device:or", 'device:"or"'),
    ],
)
def test_what_may_be_written(text: str, said: str) -> None:
    assert selector.said(selector.parse(text)) == said


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("", 0),
        (" \t\n", 0),
        ("pump", 0),
        ("site:a pump", 7),
        ("site:a and", 10),
        ("site:a or", 9),
        ("not", 3),
        ("and all", 0),
        ("or all", 0),
        ("all and or all", 8),
        ("all or or all", 7),
        ("(", 1),
        (")", 0),
        ("()", 1),
        ("all)", 3),
        ("  all )", 6),
        ("(all", 0),
        ("all (all or (all)", 4),
        ("site:", 4),
        ("all :", 4),
        ("site: a", 4),
        ("site :a", 5),
        ('device:"Filter 1', 6),
        ('device:a"b"', 8),
        ('all "b"', 4),
        ("site:a:b", 6),
        ("=", 0),
        ("1:a", 1),
        ("\0", 0),
        ("all\0", 0),
    ],
)
def test_what_cannot_be_read_is_refused_where_it_goes_wrong(text: str, at: int) -> None:
    assert _refused(text) == at


@pytest.mark.parametrize(
    ("text", "at"),
    [("zone:a", 0), (" zone:a", 1), ("all zone=a", 4), ('site:""', 0), ('all site:" "', 4), ("SITES:a", 0)],
)
def test_a_term_that_asks_for_nothing_there_is_refused(text: str, at: int) -> None:
    assert _refused(text, "selector.term") == at


def test_it_nests_twenty_times_and_no_deeper() -> None:
    for opening, closing in (("(", ")"), ("not ", ""), ("not (", ")")):
        deep = selector.DEEPEST // (2 if opening == "not (" else 1)
        assert selector.terms(selector.parse(opening * deep + "all" + closing * deep)) == []
        _refused(opening * (deep + 1) + "all" + closing * (deep + 1), "selector.long")
    assert _refused("(" * 1_000_000, "selector.long") == -1


def test_it_has_two_hundred_pieces_and_no_more() -> None:
    longest = " ".join(["tag:a"] * selector.MOST)
    assert len(selector.terms(selector.parse(longest))) == selector.MOST
    assert selector.matches(selector.parse(longest.replace("tag:a", "all")), PUMP)
    _refused(longest + " tag:a", "selector.long")
    _refused("tag:a or " * selector.MOST + "tag:a", "selector.long")


def test_a_long_chain_nests_nowhere_when_it_is_said() -> None:
    for word in ("and", "or"):
        text = f" {word} ".join(['tag:"a"'] * (selector.MOST // 2))
        assert selector.said(selector.parse(text)) == text


@given(st.text(max_size=60) | st.text(string.ascii_lowercase + ':="() \n\0', max_size=200))
def test_any_text_is_read_or_refused_in_words(text: str) -> None:
    expr = _read(text)
    if isinstance(expr, InvalidError):
        assert expr.code in {"selector.syntax", "selector.term", "selector.long"}
        assert 0 <= int(str(expr.facts.get("at", 0))) <= len(text)
    else:
        assert selector.said(selector.parse(selector.said(expr))) == selector.said(expr)


def _read(text: str) -> Expr | InvalidError:
    try:
        return selector.parse(text)
    except InvalidError as error:
        return error


@pytest.mark.parametrize("text", [" " * 1_000_000, "a" * 1_000_000, 'site:"' + "x" * 1_000_000, ":" * 1_000_000])
def test_a_text_of_a_megabyte_costs_nothing(text: str) -> None:
    _refused(text)


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("site:VISBY", True),
        ("site:vis", False),
        ("area:North", True),
        ("area:visby", False),
        ("tag:pump", True),
        ("tag:Pump", True),
        ("tag:pum", False),
        ("device:FILTER", False),
        ('device:"Filter 1"', True),
        ("device:06e5q0kq3w8v9z2x4c6b8n0m1a", True),
        ("device:06E5Q0KQ3W8V9Z2X4C6B8N0M1A", True),
        ("device:06e5q0kq3w8v9z2x4c6b8n0m1", False),
        ("runs:Edge-Base", True),
        ("runs=edge-base@2.0", True),
        ("runs:edge-base@1.0", False),
        ("not site:visby", False),
        ("all", True),
    ],
)
def test_names_are_compared_whole_and_without_regard_to_case(text: str, *, means: bool) -> None:
    assert selector.matches(selector.parse(text), PUMP) == means


def test_the_terms_stand_in_order_with_their_places() -> None:
    found = selector.terms(selector.parse('site:a  (not tag:b or device:"c d")'))
    assert found == [Term(Key.SITE, "a", 0), Term(Key.TAG, "b", 13), Term(Key.DEVICE, "c d", 22)]
