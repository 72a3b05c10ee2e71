# SPDX-License-Identifier: Apache-2.0
"""Assessing oneself from a terminal, against a real plane: by hand, by script, and the plan that follows."""

import json
from pathlib import Path

import pytest

from checkvalve.server.scorecard.shipped import shipped
from tests.cli.terminal import Terminal, Typist
from tests.cli.works import fresh

pytestmark = pytest.mark.slow

QUESTIONS = [question.id for question in shipped().questions]


def _place(admin: Terminal) -> str:
    name = f"Water {fresh('works')}"
    admin.done("scope", "create", "organisation", name)
    return name


def _open(admin: Terminal, place: str) -> str:
    return admin.done("scorecard", "open", place, "--quiet")


def _answer_all(admin: Terminal, ident: str, **others: str) -> None:
    for question in QUESTIONS:
        admin.done("scorecard", "answer", ident, question, others.get(question, "3"), "--quiet")


def test_a_script_answers_closes_and_reads_what_it_came_to(signed_in: Terminal, tmp_path: Path) -> None:
    place = _place(signed_in)
    ident = _open(signed_in, place)
    refused = signed_in("scorecard", "close", ident, "--yes")
    assert "[assessment.unfinished]" in refused.err
    _answer_all(signed_in, ident, RE1="0", RE2="n", RE3="n", RE4="n", RE5="n", OR1="n")
    shown = signed_in.done("scorecard", "close", ident, "--yes")
    assert shown.startswith("Regulatory exposure is At Risk with 0 of 20. In all 57 of 100: Developing.")
    assert "INTERNAL AUDIT FIRST." in shown
    for told in ("Regulatory exposure: 0 of 20 is low.", "1. Close this assessment", "4 Not Sure", "page /audit"):
        assert told in shown, told
    assert "Architectural integrity: " not in shown  # it is not low
    listed = signed_in.done("scorecard", "list", "--scope", place)
    assert (ident in listed, "closed" in listed) == (True, True)
    file = tmp_path / "board.json"
    signed_in.done("scorecard", "export", ident, str(file))
    assert json.loads(file.read_bytes())["assessment"]["declared"]["total"] == 57.0
    paper = tmp_path / "board.html"
    signed_in.done("scorecard", "export", ident, str(paper), "--html")
    assert "Regulatory exposure is At Risk with 0 of 20." in paper.read_text()
    again = signed_in("scorecard", "export", ident, str(file))
    assert (again.code, "[cli.file]" in again.err) == (2, True)
    assert "PM1" in signed_in.done("scorecard", "show", ident, "--answers")


def test_files_back_answers_and_a_gigabyte_is_refused_at_once(signed_in: Terminal, tmp_path: Path) -> None:
    ident = _open(signed_in, _place(signed_in))
    file = tmp_path / "ports.pdf"
    file.write_bytes(b"%PDF-1.7 ports")
    told = signed_in.done("scorecard", "evidence-add", ident, "ai1", str(file), "--owner", "Rut")
    assert told.startswith("ports.pdf backs AI1: sha256:")
    listed = json.loads(signed_in.done("scorecard", "evidence", ident, "--json"))["evidence"]
    back = tmp_path / "back.pdf"
    assert listed[0]["digest"] in signed_in.done("scorecard", "evidence-get", listed[0]["id"], str(back))
    assert back.read_bytes() == file.read_bytes()
    large = tmp_path / "disk.img"
    with large.open("wb") as out:
        out.truncate(1 << 30)
    refused = signed_in("scorecard", "evidence-add", ident, "AI1", str(large))
    assert (refused.code != 0, "[evidence.size]" in refused.err) == (True, True), refused.err
    wrong = signed_in("scorecard", "evidence-add", ident, "AI1", "--link", "https://files.example/a", "--digest", "x")
    assert "[evidence.digest]" in wrong.err
    signed_in.done("scorecard", "evidence-remove", listed[0]["id"], "--reason", "of another site")
    assert "removed" in signed_in.done("scorecard", "evidence", ident)
    alone = signed_in("scorecard", "compare", ident)
    assert "[assessment.alone]" in alone.err


def test_a_person_answers_at_a_terminal_stops_and_goes_on(signed_in: Terminal) -> None:
    ident = _open(signed_in, _place(signed_in))
    typist = Typist(signed_in.home, "scorecard", "answer", ident)
    for at, key in enumerate(("3", "n", "", "x"), 1):
        typist.reads(f"PM{at}, {at} of 25")
        typist.reads("q stop: ")
        typist.seen = ""
        typist.types(key)
    typist.reads("Why does it not apply? ")
    typist.types("Nothing is ever updated here.")
    typist.reads("PM5, 5 of 25")
    typist.types("q")
    typist.reads("3 of 25 questions are answered")
    assert typist.ends() == 0
    later = Typist(signed_in.home, "scorecard", "answer", ident)
    later.reads("PM3, 3 of 25")
    later.types("q")
    assert later.ends() == 0
    assert "[cli.answer]" in signed_in("scorecard", "answer", ident).err
    assert "[cli.answer]" in signed_in("scorecard", "answer", ident, "PM1").err
    assert "[reply.said]" in signed_in("scorecard", "answer", ident, "PM1", "7").err
    signed_in.done("scorecard", "answer", ident, "pm1", "-")
    assert "2 of 25" in signed_in.done("scorecard", "show", ident)
    assert "given up" in signed_in.done("scorecard", "drop", ident, "--reason", "the wrong site", "--yes")


def test_steps_go_into_a_plan_and_are_followed(signed_in: Terminal) -> None:
    place = _place(signed_in)
    assert "plan-add" in signed_in("scorecard", "plan", "--scope", place).err
    ident = signed_in.done(
        "scorecard", "plan-add", place, "pm-1", "--owner", "Rut Ek", "--due", "2020-03-31", "--quiet"
    )
    own = signed_in.done("scorecard", "plan-add", place, "--text", "Ask the insurer.", "--section", "re", "--quiet")
    shown = signed_in.done("scorecard", "plan", "--scope", place)
    for told in (ident, own, "2020-03-31 overdue", "Rut Ek", "Ask the insurer."):
        assert told in shown, told
    assert signed_in.done("scorecard", "plan-set", ident, "--state", "done", "--due", "none").startswith(
        "done, no date"
    )
    assert "[gap.note]" in signed_in("scorecard", "plan-set", own, "--state", "dropped").err
    for words in ((place,), (place, "pm-1", "--text", "x"), (place, "pm-1", "--due", "soon")):
        assert signed_in("scorecard", "plan-add", *words).code == 2
