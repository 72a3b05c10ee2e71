# SPDX-License-Identifier: Apache-2.0
"""Decisions have their form, links lead somewhere, and what the Makefile and the papers promise is there."""

import re

import pytest

from tests.house import papers, tree

GOOD = """# 0042. A title

Status: accepted, 2026-11

## Context

## Decision

## Consequences

## Alternatives
"""
BAD = (
    GOOD.replace("0042", "0041"),
    GOOD.replace("Status: accepted, 2026-11", ""),
    GOOD.replace("accepted", "fine"),
    GOOD.replace("## Alternatives\n", ""),
    GOOD.replace("## Decision", "## Decisions"),
    GOOD + "x\n" * 60,
)


def test_every_decision_has_its_form() -> None:
    decisions = [path for path in tree.tracked() if path.startswith("docs/adr/")]
    assert decisions
    found = [
        f"{path}: {lack}"
        for path in decisions
        for lack in papers.decision_form((tree.ROOT / path).read_text(), path.removeprefix("docs/adr/")[:4])
    ]
    assert found == []


def test_decisions_are_numbered_without_gaps() -> None:
    numbers = sorted(int(path[9:13]) for path in tree.tracked() if path.startswith("docs/adr/"))
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("text", BAD)
def test_a_decision_without_form_is_found(text: str) -> None:
    assert list(papers.decision_form(text, "0042"))


def test_a_good_decision_is_let_be() -> None:
    assert list(papers.decision_form(GOOD, "0042")) == []


def test_every_link_leads_somewhere() -> None:
    there = tree.tracked()
    found = [
        f"{path}:{line}: {target}"
        for path in there
        if path.endswith(".md")
        for line, target in papers.dead_links(path, (tree.ROOT / path).read_text(), there)
    ]
    assert found == []


def test_a_dead_link_is_found() -> None:
    text = "[a](b.md) [c](../README.md#start) [d](https://example.org/x) [e](adr)"
    there = ("README.md", "docs/adr/0001-floors.md")
    assert list(papers.dead_links("docs/a.md", text, there)) == [(1, "b.md")]


def test_every_decision_that_code_or_papers_cite_exists() -> None:
    known = {path[9:13] for path in tree.tracked() if path.startswith("docs/adr/")}
    cited = {
        (path, number)
        for path in tree.tracked()
        if path.endswith((".py", ".md"))
        for number in re.findall(r"\bADR (\d{4})\b", (tree.ROOT / path).read_text())
    }
    assert [(path, number) for path, number in sorted(cited) if number not in known] == []


def test_every_make_command_that_the_papers_name_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (tree.ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        (path, target)
        for path in tree.tracked()
        if path.endswith(".md")
        for target in re.findall(r"(?:`|^)make ([a-z]+)", (tree.ROOT / path).read_text(), re.MULTILINE)
    }
    assert named
    assert [(path, target) for path, target in sorted(named) if target not in targets] == []


def test_every_step_of_a_walk_that_code_or_papers_cite_exists() -> None:
    there = [path for path in tree.tracked() if path.startswith("docs/walks/")]
    walks = {path[len("docs/walks/") : -len(".md")]: papers.steps((tree.ROOT / path).read_text()) for path in there}
    assert walks
    found = [
        (path, cited)
        for path in tree.tracked()
        if path.endswith((".py", ".md")) and not path.startswith("tests/house/")
        for cited in papers.missing_steps((tree.ROOT / path).read_text(), walks)
    ]
    assert found == []


def test_a_step_that_is_not_there_is_found() -> None:
    walks = {"attempt": papers.steps("# Walk\n\n1. One.\n   more\n2. Two.\n")}
    assert list(papers.missing_steps("(walk attempt, 1 and 2) walk attempt, 2", walks)) == []
    assert list(papers.missing_steps("(walk attempt, 1 to 3)", walks)) == ["walk attempt, 1 to 3"]
    assert list(papers.missing_steps("walk about, 1", walks)) == ["walk about, 1"]
