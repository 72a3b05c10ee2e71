# SPDX-License-Identifier: Apache-2.0
"""Suppliers, what is asked of them, and frameworks on pages."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from checkvalve.server.db.database import Database
from tests.server.web import bought
from tests.server.web.pages.test_pages import ask, data
from tests.server.web.plant import Plant, User, door

pytestmark = pytest.mark.slow
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def plant(database: Database, now: datetime, tmp_path: Path) -> Iterator[Plant]:
    """Return two organisations with pages."""
    plant = Plant(database, now, tmp_path)
    plant.door = door(plant.plane, "pages")
    yield plant.build()
    plant.close()


def officer(plant: Plant, org: str = "north") -> User:
    return plant.users[org, "compliance-officer"]


def test_a_clause_goes_from_a_ready_text_into_force_by_two_people(plant: Plant) -> None:
    user, org = officer(plant), plant.organisations["north"]
    assert data(plant, user, "/suppliers")["sentence"] == "Sovereignty is not asked of suppliers yet."
    assert ask(plant, user, "/suppliers/documents", {"place": org, "kind": "clause"}).status_code == 303
    (row,) = data(plant, user, "/suppliers")["documents"]
    at = row["href"]
    assert "Operation without the supplier" in data(plant, user, at)["text"]
    form = {"title": "Our clause", "text": f"Data stay here.\r\n{HOSTILE}"}
    assert ask(plant, user, at, form).status_code == 303
    assert ask(plant, user, f"{at}/ask", {}).status_code == 303
    assert ask(plant, user, at, form).status_code == 409
    waits = data(plant, user, at)
    assert (waits["state"], [one["enabled"] for one in waits["deeds"]]) == ("waits for approval", [False, True])
    voter = plant.users["north", "access-approver"]
    request = data(plant, voter, waits["approval_href"])
    assert (request["digest"], HOSTILE in request["bytes"], request["may_vote"]) == (waits["digest"], True, True)
    first = data(plant, voter, "/today")["first"]["what"]
    assert first.endswith("asks for an approval. Ask suppliers to keep to version 1 of the clause: Our clause.")
    ask(plant, voter, f"{waits['approval_href']}/vote", {"choice": "approve", "digest": request["digest"], "note": ""})
    assert "put the document into force" in data(plant, voter, waits["approval_href"])["next"]
    assert ask(plant, user, f"{at}/adopt", {}).status_code == 303
    page = ask(plant, user, at).text
    assert (HOSTILE in page, "clause: in force." in page) == (False, True)
    assert data(plant, user, "/suppliers")["sentence"] == "Sovereignty is in force, and no supplier has agreed yet."


def test_a_new_version_shows_what_is_different(plant: Plant) -> None:
    user, org = officer(plant), plant.organisations["north"]
    bought.adopted(plant, org)
    ask(plant, user, "/suppliers/documents", {"place": org, "kind": "clause"})
    at = data(plant, user, "/suppliers")["documents"][0]["href"]
    assert data(plant, user, at)["different"] == []
    had = data(plant, user, at)["raw"]
    ask(plant, user, at, {"title": had["title"], "text": had["text"].replace("20 working days", "10 working days")})
    kinds = [one["kind"] for one in data(plant, user, at)["different"]]
    assert (kinds.count("went"), kinds.count("came")) == (1, 1)
    assert "<ins>" in ask(plant, user, at).text


def test_suppliers_are_added_found_changed_recorded_and_ended(plant: Plant) -> None:
    user, org = officer(plant), plant.organisations["north"]
    document = bought.adopted(plant, org)
    for name, end in (("Zeta", "2026-12-01"), ("=cmd", "2020-01-01")):
        form = {"name": name, "place": org, "contact": "Ulla", "supplies": "Pumps", "support_end": end}
        assert ask(plant, user, "/suppliers", form).status_code == 303
    again = ask(plant, user, "/suppliers", {"name": "zeta", "place": org, "contact": HOSTILE})
    assert (again.status_code, HOSTILE in again.text) == (409, False)
    rows = data(plant, user, "/suppliers?sort=support")["items"]
    assert [(one["name"], one["support"]["shape"]) for one in rows] == [("=cmd", "bad"), ("Zeta", "warn")]
    assert [one["name"] for one in data(plant, user, "/suppliers?text=ZET")["items"]] == ["Zeta"]
    at = rows[1]["href"]
    assert (
        ask(plant, user, f"{at}/record", {"document": document.id, "said": "agreed", "note": "Letter"}).status_code
        == 303
    )
    assert data(plant, user, at)["sentence"] == "Zeta: agreed to the clause."
    assert data(plant, user, "/suppliers")["sentence"] == "Sovereignty is a condition of buying, and used."
    assert ask(plant, user, at, {"name": "Zeta AB", "support_end": "soon"}).status_code == 422
    assert ask(plant, user, at, {"name": "Zeta AB", "support_end": ""}).status_code == 303
    answer = ask(plant, user, "/api/v1/suppliers/export")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    exported = answer.content.decode("utf-8-sig")
    assert ("'=cmd" in exported, "agreed, version 1" in exported) == (True, True)
    assert ask(plant, user, f"{at}/end", {"why": "Sold."}).status_code == 303
    assert [one["name"] for one in data(plant, user, "/suppliers")["items"]] == ["=cmd"]
    assert data(plant, user, "/suppliers?show=all&text=zeta")["items"][0]["gone"] == "no supplier any more"
    assert ask(plant, officer(plant, "south"), at).status_code == 404
    viewer = ask(plant, plant.users["north", "viewer"], "/suppliers").text
    assert 'action="/suppliers"' not in viewer.replace('method="get" action="/suppliers"', "")


def test_frameworks_say_what_is_asked_and_that_nothing_is_measured_yet(plant: Plant) -> None:
    user = plant.users["north", "viewer"]
    assert data(plant, user, "/compliance/frameworks")["sentence"] == (
        "18 frameworks ask 181 things; 181 of them wait for data."
    )
    one = data(plant, user, "/compliance/frameworks?id=nis2&text=BACKUP")
    assert [row["state"] for row in one["items"]] == ["not enough data"] * len(one["items"])
    assert one["items"]
    assert data(plant, user, "/compliance/frameworks?id=nis2&state=pass")["items"] == []
    assert ask(plant, user, "/compliance/frameworks?id=nothing").status_code == 404
    assert data(plant, user, "/compliance/checks")["sentence"] == "No check has run yet: 73 wait for data."
    narrowed = data(plant, user, "/compliance/checks?subject=patch&text=rollback")["items"]
    assert [row["id"] for row in narrowed] == ["patch.rollback"]
    for path in ("/compliance/frameworks", "/compliance/frameworks?id=cra", "/compliance/checks"):
        assert "not enough data" in ask(plant, user, path).text
