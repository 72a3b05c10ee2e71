# SPDX-License-Identifier: Apache-2.0
"""The text of a document: scalars by the core schema, lines, and bounds that hold in time as well."""

import time
from fractions import Fraction

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from checkvalve.server.supply import compose, document, durations
from checkvalve.server.supply.composed import Findings
from checkvalve.server.supply.document import Kind, Node


def read(text: str) -> Node:
    found = Findings()
    node = document.read(text.encode(), found)
    assert found.problems == []
    assert node is not None
    return node


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("22:22", Kind.TEXT),
        ("yes", Kind.TEXT),
        ("on", Kind.TEXT),
        ("no", Kind.TEXT),
        ("'1'", Kind.TEXT),
        ('"true"', Kind.TEXT),
        ("!!str 1", Kind.TEXT),
        ("! 1", Kind.TEXT),
        ("2001-12-14", Kind.TEXT),
        ("1_000", Kind.TEXT),
        ("0b11", Kind.TEXT),
        ("tRue", Kind.TEXT),
        ("1.2.3", Kind.TEXT),
        ("=", Kind.TEXT),
        (".", Kind.TEXT),
        ("''", Kind.TEXT),
        ("1", Kind.NUMBER),
        ("-0", Kind.NUMBER),
        ("017", Kind.NUMBER),
        ("0o17", Kind.NUMBER),
        ("0xfF", Kind.NUMBER),
        ("1e3", Kind.NUMBER),
        (".5", Kind.NUMBER),
        ("1.", Kind.NUMBER),
        ("-.inf", Kind.NUMBER),
        (".NaN", Kind.NUMBER),
        ("9" * 10_000, Kind.NUMBER),
        ("true", Kind.BOOLEAN),
        ("FALSE", Kind.BOOLEAN),
        ("~", Kind.NULL),
        ("NULL", Kind.NULL),
    ],
)
def test_a_scalar_is_what_the_core_schema_says(text: str, kind: Kind) -> None:
    node = read(f"a: {text}")
    assert node.entries["a"][1].kind is kind


def test_without_libyaml_it_is_read_in_the_same_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document, "_LOADER", yaml.SafeLoader)
    assert read("a: {b: [1, &x yes], c: *x}").entries["a"][1].size == 5
    found = Findings()
    assert document.read(b'a:\n- "\\U00110000"\n', found) is None
    assert [one.code for one in found.problems] == ["compose.syntax"]


def test_every_name_and_value_has_its_line() -> None:
    node = read("a:\n  - 1\n  - b:\n      2\n")
    line, items = node.entries["a"]
    assert (line, items.line, items.items[0].line) == (1, 2, 2)
    assert [items.items[1].entries["b"][0], items.items[1].entries["b"][1].line] == [3, 4]


def test_what_is_written_beside_a_merge_counts_more_and_then_the_first() -> None:
    node = read("x: &x {a: 1, b: 1}\ny: &y {a: 2, b: 2, c: 2}\nz: {<<: [*x, *y], a: 3}\n")
    assert {name: one.text for name, (_, one) in node.entries["z"][1].entries.items()} == {"a": "3", "b": "1", "c": "2"}


def test_a_node_counts_what_its_aliases_stand_for() -> None:
    node = read("[&a [x, y], *a, *a]")
    assert node.size == 10
    assert node.depth == 3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "bomb"),
    [
        (
            "a: &a [x, x]\n"
            + "".join(f"b{n}: &b{n} [{', '.join([f'*b{n - 1}' if n else '*a'] * 9)}]\n" for n in range(90)),
            True,
        ),
        ("[" * 31 + "]" * 31, False),
        ("[" * 33 + "]" * 33, True),
        ("- x\n" * 19_999, False),
        ("- x\n" * 20_000, True),
        ("a: &a {" + "".join(f"k{n}: , " for n in range(5_000)) + "}\nb: {<<: *a}\nc: {<<: *a}\n", True),
        ("&a [&b [*a]]", True),
    ],
)
def test_a_document_that_unfolds_too_far_ends_early(source: str, bomb: bool) -> None:  # noqa: FBT001
    found = Findings()
    document.read(source.encode(), found)
    assert [one.code for one in found.problems] == (["compose.bomb"] if bomb else [])


WIDE = "a" * 32_000
HOSTILE = {
    "a text named over and over":
        f"x-a: &a '{WIDE}'\nservices: {{w: {{image: i, command: [{', '.join(['*a'] * 9_000)}]}}}}",
    "unknown words": "".join(f"k{n}: 1\n" for n in range(9_000)),
    "extensions that are almost ours": "".join(f"x-checkvalv{n}: 1\n" for n in range(9_000)),
    "capabilities that are none":
        f"services: {{w: {{image: i, cap_drop: [{', '.join(f'NET_{n}' for n in range(15_000))}]}}}}",
    "ranges of ports": f"services: {{w: {{image: i, ports: [{', '.join(['1-256:1-256'] * 9_000)}]}}}}",
    "names that stand twice": "a: 1\n" * 9_000,
    "unclosed variables": f"services: {{w: {{image: i, command: '{'${' * 16_000}'}}}}",
    "quotes": f"services: {{w: {{image: i, command: '{chr(34) * 2 * 16_000}'}}}}",
    "open lists": "[" * 250_000,
    "anchors": "".join(f"a{n}: &a{n} x\n" for n in range(9_000)),
    "one long line": "a: " + "b " * 130_000,
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_costs_little_time(name: str) -> None:
    begun = time.process_time()
    compose.read(HOSTILE[name].encode())
    assert time.process_time() - begun < 2


@given(st.recursive(st.text(max_size=5), lambda part: st.lists(part) | st.dictionaries(st.text(max_size=5), part)))
def test_what_yaml_writes_is_read_as_it_was(value: object) -> None:
    text = yaml.safe_dump({"value": value}, allow_unicode=True, default_style='"')
    found = Findings()
    node = document.read(text.encode(), found)
    if any(problem.code == "compose.bomb" for problem in found.problems) or "<<" in text:
        return
    assert node is not None
    assert _plain(node.entries["value"][1]) == value


def _plain(node: Node) -> object:
    match node.kind:
        case Kind.MAP:
            return {name: _plain(one) for name, (_, one) in node.entries.items()}
        case Kind.LIST:
            return [_plain(one) for one in node.items]
        case _:
            return node.text


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("0", 0),
        ("0s", 0),
        ("1500ms", 1_500),
        ("1m30s", 90_000),
        ("1.5h", 5_400_000),
        (".5s", 500),
        ("2.s", 2_000),
        ("30s1m", 90_000),
        ("1000us", 1),
        ("1us", None),
        ("0.3ms", None),
        ("", None),
        ("5", None),
        ("5d", None),
        ("-1s", None),
        ("1 s", None),
        ("1s\n", None),
        ("٣s", None),
        ("1e3s", None),
        ("9" * 40 + "s", None),
    ],
)
def test_a_duration_is_read_with_its_unit(text: str, milliseconds: int | None) -> None:
    assert durations.read(text) == milliseconds


@given(st.integers(0, 7 * durations.DAY))
def test_what_is_shown_of_a_duration_is_read_back(milliseconds: int) -> None:
    assert durations.read(durations.shown(milliseconds)) == milliseconds


@given(st.integers(0, 10**6), st.integers(1, 999), st.sampled_from(["h", "m", "s", "ms"]))
def test_a_fraction_of_a_unit_is_exact_or_refused(whole: int, fraction: int, unit: str) -> None:
    size = {"h": durations.HOUR, "m": durations.MINUTE, "s": durations.SECOND, "ms": 1}[unit]
    exact = (whole + Fraction(fraction, 1_000)) * size
    assert durations.read(f"{whole}.{fraction:03}{unit}") == (exact if exact.denominator == 1 else None)
