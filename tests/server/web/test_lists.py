# SPDX-License-Identifier: Apache-2.0
"""Lists over HTTP: narrowed to a place, filtered where the rows are, and read in stretches."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from checkvalve.ids import ApprovalId, RolloutId
from checkvalve.server.access.model import ROOT, ScopeKind
from checkvalve.server.approvals import actions as approval_actions
from checkvalve.server.approvals import queries as approval_queries
from checkvalve.server.approvals.model import Choice
from checkvalve.server.db.database import Tx
from checkvalve.server.identity.model import Person
from checkvalve.server.rollouts import actions as rollout_actions
from tests.server.web import gear
from tests.server.web.plant import Plant, User, without_ids

LISTS = "scopes people bindings audit approvals rollouts devices".split()
ONWARD = {
    "people": "after",
    "bindings": "after",
    "audit": "before",
    "approvals": "before",
    "rollouts": "before",
    "devices": "after",
}
MARK = {"people": "login"}
ABSENT = f"/{'0' * 25}1/"


def _ask(plant: Plant, user: User, path: str, **query: object) -> httpx.Response:
    async def send() -> httpx.Response:
        async with plant.client(**user.headers) as client:
            return await client.get(f"/api/v1/{path}", params={name: str(value) for name, value in query.items()})

    return asyncio.run(send())


def _items(plant: Plant, user: User, path: str, **query: object) -> list[dict[str, Any]]:
    answer = _ask(plant, user, path, **query)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


def _ids(plant: Plant, user: User, path: str, **query: object) -> list[str]:
    return [item["id"] for item in _items(plant, user, path, **query)]


def _place(item: dict[str, Any]) -> str:
    return str(item.get("path") or item.get("home") or item["scope"])


@pytest.fixture
def reader(plant: Plant) -> User:
    """Return somebody who sees all of `north`, in which there is one site with something of everything."""
    north = plant.organisations["north"]
    user = plant.users["north", "auditor"]
    plant.organisations["site"] = site = plant.scope(north, ScopeKind.SITE, "Visby")
    someone = plant.person(site)
    plant.bind(someone, "operator", site)
    for scope in (north, site, plant.organisations["south"]):
        plant.rollout(scope, someone, proposed=True)
        gear.device(plant, scope)
    return user


@pytest.mark.parametrize("name", LISTS)
def test_a_list_is_narrowed_to_a_place_and_what_is_below_it(plant: Plant, reader: User, name: str) -> None:
    north, site = plant.organisations["north"], plant.organisations["site"]
    whole, here = _items(plant, reader, name), _items(plant, reader, name, scope=site)
    assert here == [item for item in whole if _place(item).startswith(site)]
    assert 0 < len(here) < len(whole)
    assert _items(plant, reader, name, scope=north) == _items(plant, reader, name, scope=ROOT) == whole


@pytest.mark.parametrize("name", LISTS)
def test_a_place_one_may_not_see_reads_like_one_that_is_not_there(plant: Plant, reader: User, name: str) -> None:
    answers = [_ask(plant, reader, name, scope=path) for path in (plant.organisations["south"], ABSENT)]
    assert without_ids(answers[0]) == without_ids(answers[1]) == (200, {"items": [], "next": None})
    stranger = plant.users["north", "none"]
    answers = [_ask(plant, stranger, name, scope=path) for path in (plant.organisations["south"], ABSENT, ROOT)]
    assert {answer.status_code for answer in answers} == {403}


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("path", ["", "north", "/north", "//", "/%/", "/\0/", ABSENT.upper() + "A/", ABSENT[:-1]])
def test_what_has_no_form_of_a_path_is_said_to_have_none(plant: Plant, reader: User, name: str, path: str) -> None:
    answer = _ask(plant, reader, name, scope=path)
    assert (answer.status_code, answer.json()["code"]) == (400, "request.invalid")


def test_rollouts_of_one_state_are_listed(plant: Plant, reader: User) -> None:
    drafter = plant.person(plant.organisations["north"])
    draft, _ = plant.rollout(plant.organisations["north"], drafter)
    cancelled, _ = plant.rollout(plant.organisations["north"], drafter)
    plant.db.write_now("cancel", rollout_actions.cancel, plant.act(), RolloutId(cancelled))
    assert _ids(plant, reader, "rollouts", state="draft") == [draft]
    assert _ids(plant, reader, "rollouts", state="cancelled") == [cancelled]
    assert len(_ids(plant, reader, "rollouts", state="proposed")) == 2
    assert _ids(plant, reader, "rollouts", state="started") == []
    assert _ids(plant, reader, "rollouts", state="draft", scope=plant.organisations["site"]) == []
    answer = _ask(plant, reader, "rollouts", state="flying")
    assert (answer.status_code, answer.json()["code"]) == (400, "request.invalid")
    assert "state" in answer.json()["detail"]


def _vote(plant: Plant, approval_id: str, voter: Person) -> None:
    def cast(tx: Tx) -> None:
        approval = approval_queries.approval(tx, ApprovalId(approval_id))
        approval_actions.vote(tx, plant.act(), approval.id, voter.id, Choice.APPROVE, approval.digest, "")

    plant.db.write_now("vote", cast)


def test_what_waits_is_what_this_person_can_still_vote_on(plant: Plant, reader: User) -> None:
    north, site = plant.organisations["north"], plant.organisations["site"]
    voter, other = plant.users["north", "access-approver"], plant.user(north, "", "access-approver")
    waits = _ids(plant, voter, "approvals", waiting="true")
    assert waits == _ids(plant, voter, "approvals")
    assert len(waits) == 2
    _, own = plant.rollout(north, voter.person, proposed=True)
    withdrawn, _ = plant.rollout(north, other.person, proposed=True)
    plant.db.write_now("cancel", rollout_actions.cancel, plant.act(), RolloutId(withdrawn))
    _, two = plant.rollout(site, other.person, 2, proposed=True)
    _vote(plant, waits[0], other.person)
    assert _ids(plant, voter, "approvals", waiting="true") == [two, waits[1]]
    assert _ids(plant, voter, "approvals", waiting="true", limit=1) == [two]
    assert _ids(plant, voter, "approvals", waiting="true", before=two) == [waits[1]]
    assert _ids(plant, voter, "approvals", waiting="true", scope=site) == [two]
    assert _ids(plant, other, "approvals", waiting="true") == [own, waits[1]]
    _vote(plant, two, voter.person)
    assert _ids(plant, voter, "approvals", waiting="true") == [waits[1]]
    assert _ids(plant, reader, "approvals", waiting="true") == []
    assert len(_ids(plant, voter, "approvals", waiting="false")) == 5
    plant.later(days=8)
    assert _ids(plant, plant.sign_in(voter.person), "approvals", waiting="true") == []


@pytest.mark.usefixtures("reader")
def test_nothing_waits_for_a_token_that_does_not_carry_the_vote(plant: Plant) -> None:
    voter = plant.users["north", "access-approver"]
    for permissions, expected in ((("approval.read",), 0), (("approval.read", "approval.vote"), 2)):
        bearer = f"Bearer {plant.token(voter.person, ROOT, *permissions)}"

        async def send(bearer: str = bearer) -> httpx.Response:
            async with plant.client(authorization=bearer) as client:
                return await client.get("/api/v1/approvals?waiting=true")

        assert len(asyncio.run(send()).json()["items"]) == expected


def test_bindings_of_one_person_are_listed_where_one_may_see(plant: Plant, reader: User) -> None:
    north, site, south = (plant.organisations[name] for name in ("north", "site", "south"))
    someone = plant.person(north)
    made = [plant.bind(someone, role, scope).id for role, scope in (("viewer", north), ("operator", site))]
    plant.bind(someone, "viewer", south)
    assert _ids(plant, reader, "bindings", person=someone.id) == made
    assert _ids(plant, reader, "bindings", person=someone.id, scope=site) == made[1:]
    stranger = plant.users["south", "viewer"].person.id
    for ident in (stranger, ABSENT.strip("/"), "x", "'"):
        assert _ids(plant, reader, "bindings", person=ident) == []


def _walked(
    plant: Plant, user: User, name: str, limit: int, between: Callable[[], object], **query: object
) -> list[str]:
    found: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        answer = _ask(plant, user, name, limit=limit, **query, **cursor).json()
        assert 0 < len(answer["items"]) <= limit
        found += [item["id"] for item in answer["items"]]
        if answer["next"] is None:
            return found
        assert (len(answer["items"]), answer["next"]) == (limit, answer["items"][-1][MARK.get(name, "id")])
        cursor = {ONWARD[name]: answer["next"]}
        between()


@pytest.mark.slow
@pytest.mark.parametrize("name", ONWARD)
def test_a_list_read_in_stretches_has_neither_gap_nor_double(plant: Plant, reader: User, name: str) -> None:
    plant.rollout(plant.organisations["site"], plant.person(plant.organisations["site"]), proposed=True)
    gear.device(plant, plant.organisations["site"])
    whole = _ask(plant, reader, name, limit=500).json()
    ids = [item["id"] for item in whole["items"]]
    assert whole["next"] is None
    assert len(ids) >= 3
    for limit in (1, 2, 3, len(ids) - 1, len(ids)):
        assert _walked(plant, reader, name, limit, lambda: None) == ids, limit
    here = _ids(plant, reader, name, scope=plant.organisations["site"])
    assert _walked(plant, reader, name, 1, lambda: None, scope=plant.organisations["site"]) == here


@pytest.mark.parametrize("name", ONWARD)
def test_what_is_made_meanwhile_hides_and_doubles_nothing(plant: Plant, reader: User, name: str) -> None:
    before = _ids(plant, reader, name, limit=500)
    logins = iter(["a.first", "z.last"])  # before and after wherever the reader is

    def between() -> None:
        if login := next(logins, ""):
            someone = plant.person(plant.organisations["north"], login)
            plant.bind(someone, "viewer", plant.organisations["north"])
            plant.rollout(plant.organisations["north"], someone, proposed=True)
            gear.device(plant, plant.organisations["site"], login)

    found = _walked(plant, reader, name, 1, between)
    assert len(_ids(plant, reader, name, limit=500)) > len(before)
    assert len(found) == len(set(found))
    assert [ident for ident in found if ident in set(before)] == before


@pytest.mark.parametrize("name", ONWARD)
def test_a_stretch_has_a_hundred_items_unless_asked_for_more_or_fewer(plant: Plant, reader: User, name: str) -> None:
    north = plant.organisations["north"]
    drafter = plant.person(north)
    for _ in range(101):
        if name in {"people", "bindings"}:
            plant.bind(plant.person(north), "viewer", north)
        elif name == "devices":
            gear.device(plant, plant.organisations["site"])
        else:
            plant.rollout(north, drafter, proposed=name == "approvals")
    answer = _ask(plant, reader, name).json()
    assert (len(answer["items"]), answer["next"] is None) == (100, False)
    assert len(_ids(plant, reader, name, limit=500)) > 100
    for limit in (0, 501, -1, "x"):
        assert _ask(plant, reader, name, limit=limit).status_code == 400


@pytest.mark.parametrize("name", ONWARD)
def test_a_cursor_that_is_none_is_answered_and_leaks_nothing(plant: Plant, reader: User, name: str) -> None:
    for cursor in ("x", "zzzz", "%", "é", "'", "0" * 26):
        answer = _ask(plant, reader, name, **{ONWARD[name]: cursor})
        assert answer.status_code == 200, cursor
        assert {_place(item).startswith(plant.organisations["north"]) for item in answer.json()["items"]} <= {True}
    assert _ask(plant, reader, name, **{ONWARD[name]: "x" * 101}).status_code == 400


def test_a_person_is_renamed_where_they_are_at_home(plant: Plant) -> None:
    admin, person = plant.users["north", "platform-admin"], plant.person(plant.organisations["north"])

    async def send(name: str) -> httpx.Response:
        async with plant.client(**admin.headers) as client:
            return await client.post(f"/api/v1/people/{person.id}/name", json={"name": name})

    answer = asyncio.run(send("  Anna   Ek "))
    assert (answer.status_code, answer.json()["login"]) == (200, person.login)
    renamed = answer.json()["name"]
    assert _ask(plant, admin, f"people/{person.id}").json()["name"] == renamed
    entry = plant.entries(1)[0]
    assert (entry.action, entry.facts["before"], entry.facts["after"]) == (
        "person.rename",
        {"name": person.name},
        {"name": renamed},
    )
    assert asyncio.run(send("")).status_code == 422
