# SPDX-License-Identifier: Apache-2.0
"""From a compose file to a published release over HTTP, and what is refused on the way."""

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import pytest

from checkvalve.canonical import Json
from checkvalve.crypto import digests, keys, metadata
from checkvalve.protocol import workload
from checkvalve.server.access.model import ScopeKind
from checkvalve.server.audit.model import Kind
from tests.server.supply import world
from tests.server.web import goods
from tests.server.web.plant import ONLINE, Plant, User, without_ids


def _ask(plant: Plant, user: User, method: str, path: str, body: Json = None) -> httpx.Response:
    async def send() -> httpx.Response:
        async with plant.client(**user.headers) as client:
            return await client.request(method, f"/api/v1{path}", json=body)

    return asyncio.run(send())


def _done(plant: Plant, user: User, method: str, path: str, body: Json = None) -> Any:  # noqa: ANN401 - JSON
    answer = _ask(plant, user, method, path, body)
    assert answer.is_success, answer.text
    return answer.json()


def _code(answer: httpx.Response) -> tuple[int, Json]:
    return answer.status_code, answer.json()["code"]


def _refused(plant: Plant, answer: httpx.Response, action: str) -> None:
    """See that the record has the refusal as it was told."""
    entry = plant.entries(1)[0]
    assert (entry.kind, entry.action, entry.facts["code"]) == (Kind.REFUSED, action, answer.json()["code"])
    assert entry.request == answer.headers["x-request-id"]


def _manager(plant: Plant) -> User:
    return plant.users["north", "release-manager"]


def _keeper(plant: Plant) -> User:
    """Return somebody who keeps the root of trust: a right at the plane itself."""
    return plant.user("/", f"keeper.{plant.numbers()}", "platform-admin")


def _new(plant: Plant, version: str = "1", **more: Any) -> dict[str, Any]:  # noqa: ANN401 - of a compose file
    source = world.source(version=version, image=goods.NAME, **more).decode()
    return {"scope": plant.organisations["north"], "source": source}


def _sign(plant: Plant, user: User, draft_id: str, key: keys.PrivateKey = goods.SIGNER) -> httpx.Response:
    """Sign as a signer's own machine does: from the bytes."""
    payload = _ask(plant, user, "GET", f"/drafts/{draft_id}/payload").content
    given = metadata.sign(payload, key)
    body = {"digest": digests.sha256_hex(payload), "keyid": given.keyid, "signature": given.signature}
    return _ask(plant, user, "POST", f"/drafts/{draft_id}/signatures", body)


def _drafts(plant: Plant, state: str) -> list[Any]:
    found: list[Any] = _done(plant, _manager(plant), "GET", f"/drafts?state={state}")["items"]
    return found


def test_from_a_root_of_trust_to_a_published_release_and_its_withdrawal(plant: Plant) -> None:
    manager, keeper = _manager(plant), _keeper(plant)
    trust = _done(plant, keeper, "GET", "/trust")
    assert (trust["root"], trust["roles"], trust["metadata"]) == ("", [], [])
    assert keys.spki(keys.load_public(trust["plane_key"].encode())) == keys.spki(ONLINE.public_key())
    assert trust["plane_keyid"] == metadata.keyid(ONLINE.public_key())

    root = goods.root(plant.time)
    trust = _done(plant, keeper, "POST", "/trust/root", {"root": root.decode()})
    assert trust["root"] == digests.sha256_hex(root)
    assert {role["name"]: role["threshold"] for role in trust["roles"]} == dict.fromkeys(
        ("root", "targets", "snapshot", "timestamp"), 1
    )

    goods.image(plant, plant.organisations["north"], goods.NAME)
    checked = _done(plant, manager, "POST", "/releases/check", _new(plant))
    assert (checked["problems"], checked["name"], checked["version"]) == ([], "press-line", "1")
    assert _done(plant, manager, "GET", "/releases")["items"] == []
    release = _done(plant, manager, "POST", "/releases", _new(plant))
    assert (release["digest"], release["state"], release["number"]) == (checked["digest"], "drafted", 1)
    assert (release["services"], release["images"]) == (["web"], [goods.NAME])

    (draft,) = _drafts(plant, "open")
    assert [(change["kind"], change["release"]) for change in draft["changes"]] == [("add", release["id"])]
    assert (draft["needed"], draft["keyids"]) == (1, [metadata.keyid(goods.SIGNER.public_key())])
    signed = _sign(plant, manager, draft["id"])
    assert (signed.status_code, signed.json()["state"]) == (200, "published"), signed.text
    assert signed.json()["signatures"][0]["person"] == manager.person.id
    assert _done(plant, manager, "GET", f"/releases/{release['id']}")["state"] == "published"
    found = _done(plant, manager, "GET", "/trust")["metadata"]
    assert {file["role"]: file["expired"] for file in found} == dict.fromkeys(
        ("root", "targets", "snapshot", "timestamp"), False
    )

    withdrawn = _done(plant, manager, "POST", f"/releases/{release['id']}/withdraw", {"reason": "It leaks."})
    assert [(change["kind"], change["reason"]) for change in withdrawn["changes"]] == [("withdraw", "It leaks.")]
    assert _sign(plant, manager, withdrawn["id"]).json()["state"] == "published"
    assert _done(plant, manager, "GET", f"/releases/{release['id']}")["state"] == "withdrawn"
    assert _drafts(plant, "open") == []
    assert [one["id"] for one in _drafts(plant, "published")] == [withdrawn["id"], draft["id"]]


def test_final_bytes_are_handed_out_as_they_are(plant: Plant) -> None:
    release, draft = goods.drafted(plant, "north")
    raw = {
        f"/releases/{release.id}/manifest": (release.manifest, "application/json"),
        f"/releases/{release.id}/source": (release.source, "application/yaml"),
        f"/drafts/{draft.id}/payload": (draft.payload, "application/json"),
        "/trust/root.json": (goods.root(plant.time), "application/json"),
        "/trust/1.root.json": (goods.root(plant.time), "application/json"),
    }
    for path, (data, kind) in raw.items():
        answer = _ask(plant, plant.users["north", "viewer"], "GET", path)
        assert answer.content == data, path
        assert answer.headers["content-type"].partition(";")[0] == kind
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert workload.digest(release.manifest) == release.digest


def test_every_file_of_a_published_list_is_there_by_name_and_by_version(plant: Plant) -> None:
    goods.published(plant, "north")
    reader = plant.users["south", "none"]  # what every device gets is no secret between people of one plane
    for role in ("root", "targets", "snapshot", "timestamp"):
        newest = _ask(plant, reader, "GET", f"/trust/{role}.json")
        version = metadata.seen(newest.content).version
        assert metadata.seen(newest.content).role == role
        assert _ask(plant, reader, "GET", f"/trust/{version}.{role}.json").content == newest.content


@pytest.mark.parametrize(
    "name",
    ["0.root.json", "01.root.json", "2.root.json", f"{10**17}.root.json", "root.yaml", "other.json", "targets.json"],
)
def test_a_file_of_metadata_that_is_not_there_is_not_found(plant: Plant, name: str) -> None:
    goods.trusted(plant)
    assert _code(_ask(plant, _manager(plant), "GET", f"/trust/{name}")) == (404, "trust.not_found")


def test_without_a_root_of_trust_no_release_is_made(plant: Plant) -> None:
    goods.image(plant, plant.organisations["north"], goods.NAME)
    answer = _ask(plant, _manager(plant), "POST", "/releases", _new(plant))
    assert _code(answer) == (409, "trust.none")
    assert "checkvalve keys init" in answer.json()["remedy"]
    _refused(plant, answer, "release.create")


def test_all_that_is_wrong_with_a_compose_file_is_told_at_once_and_nothing_changes(plant: Plant) -> None:
    source = "services:\n  web:\n    image: nobody/has:1\n    privileged: true\n    netwrk_mode: host\n"
    body = {"scope": plant.organisations["north"], "source": source, "name": "n", "version": "1"}
    before = plant.entries(1)
    checked = _done(plant, _manager(plant), "POST", "/releases/check", body)
    assert checked["manifest"] is None
    assert len({problem["line"] for problem in checked["problems"]}) >= 2
    assert all(problem["sentence"] and problem["code"] for problem in checked["problems"])
    assert plant.entries(1) == before


def test_the_services_of_a_profile_are_in_a_release_that_asks_for_it(plant: Plant) -> None:
    goods.ready(plant, plant.organisations["north"])
    body = _new(plant)
    aside = f"  aside: {{image: '{goods.NAME}', restart: always, profiles: [trace]}}\n"
    body["source"] = body["source"].replace("services:\n", f"services:\n{aside}", 1)
    without = _done(plant, _manager(plant), "POST", "/releases/check", body)
    assert "aside" not in without["manifest"]["services"]
    made = _done(plant, _manager(plant), "POST", "/releases", body | {"profiles": ["trace"]})
    assert "aside" in made["services"]
    checked = _done(plant, _manager(plant), "POST", "/releases/check", body | {"profiles": ["trase"]})
    assert [problem["instead"] for problem in checked["problems"]] == ["Did you mean `trace`?"]


def test_what_a_release_changes_is_told_against_the_one_before(plant: Plant) -> None:
    manager = _manager(plant)
    goods.ready(plant, plant.organisations["north"])
    first = _done(plant, manager, "POST", "/releases", _new(plant, "1"))
    assert {each["before"] for each in _done(plant, manager, "GET", f"/releases/{first['id']}/differences")} == {""}
    checked = _done(plant, manager, "POST", "/releases/check", _new(plant, "2", port=9090))
    assert checked["previous"] == "press-line@1"
    second = _done(plant, manager, "POST", "/releases", _new(plant, "2", port=9090))
    found = _done(plant, manager, "GET", f"/releases/{second['id']}/differences")
    assert found == checked["differences"]
    assert any("ports" in each["path"] for each in found)
    again = _done(plant, manager, "POST", "/releases/check", _new(plant, "2", port=9090))
    assert again["same"] == "press-line@2"


def test_a_release_that_is_there_is_not_made_again(plant: Plant) -> None:
    goods.ready(plant, plant.organisations["north"])
    _done(plant, _manager(plant), "POST", "/releases", _new(plant))
    answer = _ask(plant, _manager(plant), "POST", "/releases", _new(plant))
    assert _code(answer) == (409, "release.same")
    other = _ask(plant, _manager(plant), "POST", "/releases", _new(plant, port=9090))
    assert _code(other) == (409, "release.version_taken")


def test_lists_of_releases_come_in_stretches_by_name_and_by_state(plant: Plant) -> None:
    manager = _manager(plant)
    goods.ready(plant, plant.organisations["north"])
    made = [_done(plant, manager, "POST", "/releases", _new(plant, f"{number}"))["id"] for number in range(3)]
    first = _done(plant, manager, "GET", "/releases?limit=2")
    rest = _done(plant, manager, "GET", f"/releases?limit=2&before={first['next']}")
    assert [one["id"] for one in [*first["items"], *rest["items"]]] == made[::-1]
    assert rest["next"] is None
    assert _done(plant, manager, "GET", "/releases?name=another")["items"] == []
    assert _done(plant, manager, "GET", "/releases?state=published")["items"] == []
    assert len(_done(plant, manager, "GET", "/releases?state=drafted&name=press-line")["items"]) == 3
    assert _code(_ask(plant, manager, "GET", "/releases?state=other")) == (400, "request.invalid")


def test_a_signature_on_what_the_draft_was_is_stale(plant: Plant) -> None:
    manager, (_, draft) = _manager(plant), goods.drafted(plant, "north")
    stale = goods.signature(draft)
    _done(plant, manager, "POST", "/releases", _new(plant, "another"))
    answer = _ask(plant, manager, "POST", f"/drafts/{draft.id}/signatures", dict(stale))
    assert _code(answer) == (412, "draft.digest")
    _refused(plant, answer, "draft.sign")


def test_a_signature_by_a_key_that_nobody_named_is_refused(plant: Plant) -> None:
    draft = goods.drafted(plant, "north")[1]
    for key in (keys.make(), goods.MASTER, ONLINE):
        answer = _sign(plant, _manager(plant), draft.id, key)
        assert _code(answer) == (422, "draft.signature")
    _refused(plant, answer, "draft.sign")


@pytest.mark.parametrize(
    ("field", "value"),
    [("signature", "00"), ("signature", "zz" * 40), ("keyid", "A" * 64), ("digest", ""), ("key", "x")],
)
def test_a_signature_that_cannot_be_one_is_refused(plant: Plant, field: str, value: str) -> None:
    draft = goods.drafted(plant, "north")[1]
    body = {**goods.signature(draft), field: value}
    answer = _ask(plant, _manager(plant), "POST", f"/drafts/{draft.id}/signatures", dict(body))
    assert _code(answer) == (400, "request.invalid")


def test_a_draft_that_is_discarded_takes_its_releases_with_it(plant: Plant) -> None:
    manager, (release, draft) = _manager(plant), goods.drafted(plant, "north")
    assert _done(plant, manager, "POST", f"/drafts/{draft.id}/discard")["state"] == "discarded"
    assert _done(plant, manager, "GET", f"/releases/{release.id}")["state"] == "discarded"
    assert _code(_ask(plant, manager, "POST", f"/drafts/{draft.id}/discard")) == (409, "draft.closed")
    assert _code(_sign(plant, manager, draft.id)) == (409, "draft.closed")


def test_while_one_organisation_has_the_draft_another_waits(plant: Plant) -> None:
    goods.ready(plant, plant.organisations["south"])
    goods.drafted(plant, "north")
    south = plant.users["south", "release-manager"]
    body = {**_new(plant), "scope": plant.organisations["south"]}
    answer = _ask(plant, south, "POST", "/releases", body)
    assert _code(answer) == (409, "draft.elsewhere")
    assert plant.organisations["north"] not in answer.text


def test_a_floor_is_drafted_and_only_rises(plant: Plant) -> None:
    manager = _manager(plant)
    old, new = goods.published(plant, "north"), goods.published(plant, "north")
    draft = _done(plant, manager, "POST", f"/releases/{new.id}/floor", {"reason": "CVE-2026-1234"})
    assert _sign(plant, manager, draft["id"]).json()["state"] == "published"
    assert _done(plant, manager, "GET", f"/releases/{old.id}")["below_floor"] is True
    answer = _ask(plant, manager, "POST", f"/releases/{old.id}/floor", {"reason": "back"})
    assert _code(answer) == (409, "trust.floor")
    assert _code(_ask(plant, manager, "POST", f"/releases/{old.id}/floor", {})) == (400, "request.invalid")


def test_the_list_is_renewed_by_an_organisation_for_all(plant: Plant) -> None:
    goods.published(plant, "north")
    goods.published(plant, "south")
    scope = plant.organisations["north"]
    draft = _done(plant, _manager(plant), "POST", "/drafts", {"scope": scope})
    assert (draft["scope"], draft["changes"], draft["version"]) == (scope, [], 3)
    assert _sign(plant, _manager(plant), draft["id"]).json()["state"] == "published"
    foreign = _ask(plant, _manager(plant), "POST", "/drafts", {"scope": plant.organisations["south"]})
    assert _code(foreign) == (404, "scope.not_found")


def test_the_list_is_renewed_by_whoever_makes_releases_for_the_whole_plane(plant: Plant) -> None:
    goods.published(plant, "north")
    both = plant.user("/", "both", "release-manager")
    draft = _done(plant, both, "POST", "/drafts", {"scope": "/"})
    assert (draft["scope"], draft["changes"], draft["version"]) == ("/", [], 2)
    assert _ask(plant, _manager(plant), "GET", f"/drafts/{draft['id']}").status_code == 404
    assert _sign(plant, both, draft["id"]).json()["state"] == "published"
    assert _code(_ask(plant, _manager(plant), "POST", "/drafts", {"scope": "/"})) == (403, "access.denied")


@pytest.mark.parametrize("bad", ["", "{}", "[" * 100_000, '{"signed": {}, "signatures": []}', "\u0000", "null"])
def test_what_is_no_root_is_refused_and_recorded(plant: Plant, bad: str) -> None:
    keeper = _keeper(plant)
    answer = _ask(plant, keeper, "POST", "/trust/root", {"root": bad})
    assert _code(answer) == (422, "metadata.form")
    _refused(plant, answer, "trust.root")
    assert _done(plant, keeper, "GET", "/trust")["root"] == ""


def test_a_root_that_names_another_planes_key_is_refused(plant: Plant) -> None:
    public = goods.MASTER.public_key()
    payload = metadata.new_root(
        version=1,
        expires=plant.time + timedelta(days=1),
        root=[public],
        root_threshold=1,
        targets=[public],
        targets_threshold=1,
        online=keys.make().public_key(),
    )
    foreign = metadata.assemble(payload, [metadata.sign(payload, goods.MASTER)])
    answer = _ask(plant, _keeper(plant), "POST", "/trust/root", {"root": foreign.decode()})
    assert _code(answer) == (409, "trust.not_this_plane")
    assert metadata.keyid(ONLINE.public_key()) in answer.json()["remedy"]


def test_a_root_that_is_there_is_said_to_be_there(plant: Plant) -> None:
    goods.trusted(plant)
    answer = _ask(plant, _keeper(plant), "POST", "/trust/root", {"root": goods.root(plant.time).decode()})
    assert _code(answer) == (409, "trust.same")


def test_metadata_that_ran_out_says_so(plant: Plant) -> None:
    goods.published(plant, "north")
    plant.later(days=8)
    viewer = plant.sign_in(plant.users["north", "viewer"].person)
    expired = {file["role"]: file["expired"] for file in _done(plant, viewer, "GET", "/trust")["metadata"]}
    assert expired == {"root": False, "targets": False, "snapshot": False, "timestamp": True}


def test_releases_of_another_organisation_read_like_those_that_are_not_there(plant: Plant) -> None:
    release, draft = goods.drafted(plant, "south")
    image = goods.image(plant, plant.organisations["south"])
    absent = "0" * 25 + "1"
    for noun, ident in (("releases", release.id), ("drafts", draft.id), ("images", image.id)):
        found = [_ask(plant, _manager(plant), "GET", f"/{noun}/{each}") for each in (ident, absent)]
        assert without_ids(found[0]) == without_ids(found[1])
        assert _done(plant, _manager(plant), "GET", f"/{noun}")["items"] == []
        assert ident in _ask(plant, plant.users["south", "viewer"], "GET", f"/{noun}").text


def test_a_release_is_compared_only_with_one_that_the_caller_may_read(plant: Plant) -> None:
    north = plant.organisations["north"]
    visby, gavle = (plant.scope(north, ScopeKind.SITE, name) for name in ("Visby", "Gavle"))
    goods.ready(plant, north)
    goods.made(plant, world.source("press-line", "1", goods.NAME, port=7070), visby)
    second = goods.made(plant, world.source("press-line", "2", goods.NAME), gavle)
    local = plant.user(gavle, "local", "release-manager")
    text = world.source("press-line", "3", goods.NAME).decode()
    for user, seen in ((local, False), (_manager(plant), True)):
        said = _done(plant, user, "GET", f"/releases/{second.id}/differences")
        assert any("7070" in one["before"] for one in said) == seen
    checked = _done(plant, local, "POST", "/releases/check", {"scope": gavle, "source": text})
    assert checked["previous"] == "press-line@2"
