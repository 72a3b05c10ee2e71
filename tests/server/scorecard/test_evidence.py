# SPDX-License-Identifier: Apache-2.0
"""What backs an answer: names that are harmless everywhere, addresses without secrets, and nothing that is lost."""

from collections.abc import Callable
from datetime import date, datetime
from typing import Any

import pytest

from checkvalve.errors import CheckvalveError, InvalidError
from checkvalve.server.db.database import Database
from checkvalve.server.scorecard import proof, queries
from checkvalve.server.scorecard.model import LARGEST, MOST_EVIDENCE
from tests.server.scorecard.world import DIGEST, World


@pytest.fixture
def world(database: Database, new_id: Callable[[], str], now: datetime) -> World:
    return World(database, new_id, now)


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("firewall.pdf", "firewall.pdf"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Windows\\system32\\cmd.exe", "cmd.exe"),
        ("<img src=x onerror=alert(1)>.png", "_img src=x onerror=alert(1)_.png"),
        ("report.pdf. . .", "report.pdf"),
        (".htaccess", "htaccess"),
        ("CON", "_CON"),
        ("nul.txt", "_nul.txt"),
        ("a;b%0d%0a.txt", "a_b_0d_0a.txt"),
        ("Prüfung Süd.pdf", "Prüfung Süd.pdf"),
    ],
)
def test_a_name_from_outside_is_harmless(name: str, kept: str) -> None:
    assert proof.name(name) == kept
    assert proof.name(kept) == kept


@pytest.mark.parametrize("name", ["", "..", "a\0b", "invoice\u202efdp.exe", "a\nb", "x" * 10_000, "x" * 201, "///"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(InvalidError) as caught:
        proof.name(name)
    assert caught.value.code == "evidence.name"


REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("evidence.digest", {"digest": "sha256:" + "0" * 63}),
    ("evidence.digest", {"digest": "md5:" + "0" * 32}),
    ("evidence.digest", {"digest": ""}),
    ("evidence.size", {"size": LARGEST + 1}),
    ("evidence.size", {"size": 0}),
    ("evidence.link", {"link": "javascript:alert(1)"}),
    ("evidence.link", {"link": "https://anna:secret@files.example/scan"}),
    ("evidence.link", {"link": "http://[broken"}),
    ("evidence.link", {"link": "https://files.example/a scan"}),
    ("evidence.link", {"link": "https://"}),
    ("evidence.link", {"link": "//files.example/scan"}),
    ("evidence.dates", {"period_from": date(2026, 3, 2), "period_to": date(2026, 3, 1)}),
    ("evidence.dates", {"period_from": date(2026, 3, 2), "expires": date(2026, 3, 1)}),
    ("scorecard.question", {"question": "ZZ1"}),
]


def test_what_backs_nothing_is_refused_and_nothing_is_kept(world: World) -> None:
    there = world.open()
    for code, changes in REFUSED:
        with pytest.raises(CheckvalveError) as caught:
            world.back(there, **changes)
        assert caught.value.code == code, changes
    assert world.database.read_now("evidence", queries.evidence, there.id) == []


def test_bytes_that_are_not_what_was_announced_are_refused() -> None:
    proof.same("", DIGEST)
    proof.same(DIGEST, DIGEST)
    with pytest.raises(InvalidError) as caught:
        proof.same("sha256:" + "0" * 64, DIGEST)
    assert caught.value.code == "evidence.digest"


def test_evidence_is_worth_something_until_it_expires_or_is_removed(world: World) -> None:
    there = world.open()
    held = world.back(there, expires=date(2026, 11, 3))
    linked = world.back(there, link="https://files.example/scan", size=0)
    assert proof.worth(held, date(2026, 11, 3)) is proof.Worth.HELD
    assert proof.worth(held, date(2026, 11, 4)) is proof.Worth.EXPIRED
    assert proof.worth(linked, date(2026, 11, 4)) is proof.Worth.LINKED
    gone = world.take_away(held)
    assert proof.worth(gone, date(2026, 11, 3)) is proof.Worth.REMOVED
    for why in ("", "again"):
        with pytest.raises(CheckvalveError) as caught:
            world.take_away(held, why)
        assert caught.value.code == "evidence.removed"


def test_bytes_of_removed_evidence_are_kept_for_the_history_and_those_of_links_are_not_ours(world: World) -> None:
    there = world.open()
    world.take_away(world.back(there))
    world.back(there, link="https://files.example/scan", size=0, digest="sha256:" + "1" * 64)
    assert world.database.read_now("kept", queries.kept) == {DIGEST}
    assert [each.link for each in world.database.read_now("evidence", queries.evidence, there.id, removed=False)] == [
        "https://files.example/scan"
    ]


def test_one_answer_has_so_many_pieces_and_no_more(world: World) -> None:
    there = world.open()
    evidence = world.back(there)
    assert proof.added(evidence, MOST_EVIDENCE - 1) == evidence
    with pytest.raises(CheckvalveError) as caught:
        proof.added(evidence, MOST_EVIDENCE)
    assert caught.value.code == "evidence.many"
