# SPDX-License-Identifier: Apache-2.0
"""Values over the API: set at a place, listed, told for a device with their origin; and no secret in any answer."""

import asyncio
import json
import logging
from typing import Any

import httpx
import pytest

from checkvalve.protocol import values
from checkvalve.server.access.model import ScopeKind
from tests.server.values.world import file, secret, variable
from tests.server.web import filled, gear
from tests.server.web.plant import Plant, User

PLANTED = "plant3d-s3cret-7f"


@pytest.fixture
def operator(plant: Plant) -> User:
    return plant.users["north", "operator"]


@pytest.fixture
def north(plant: Plant) -> str:
    return plant.organisations["north"]


def _send(plant: Plant, user: User, method: str, path: str, body: Any = None, **query: Any) -> httpx.Response:  # noqa: ANN401
    async def send() -> httpx.Response:
        async with plant.client(**user.headers) as client:
            return await client.request(method, f"/api/v1/{path}", json=body, params=query)

    return asyncio.run(send())


def _get(plant: Plant, user: User, path: str, **query: Any) -> Any:  # noqa: ANN401
    answer = _send(plant, user, "GET", path, **query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def _change(kind: str, name: str, content: str | None, line: str = "") -> dict[str, Any]:
    return {"kind": kind, "name": name, "content": content, "line": line}


def _set(plant: Plant, user: User, place: str, *changes: dict[str, Any], **more: Any) -> httpx.Response:  # noqa: ANN401
    return _send(plant, user, "POST", "values", {"place": place, "changes": list(changes)} | more)


def test_a_value_is_set_and_it_is_said_what_that_is_for(plant: Plant, operator: User, north: str) -> None:
    filled.running(plant, north)
    said = _set(plant, operator, north, _change("variable", "RATE", "12"), _change("secret", "mqtt", PLANTED))
    assert said.status_code == 200, said.text
    assert said.json() == {
        "changed": [
            {"kind": "variable", "name": "RATE", "line": "", "before": None, "after": values.digest(b"12")},
            {"kind": "secret", "name": "mqtt", "line": "", "before": None, "after": "set"},
        ],
        "uses": [{"name": "press-line", "version": "1", "devices": 1}],
        "dry_run": False,
    }
    assert _set(plant, operator, north, _change("secret", "mqtt", PLANTED)).json()["changed"] == []
    (listed, other) = sorted(_get(plant, operator, "values")["items"], key=lambda one: one["name"])
    assert (listed["name"], listed["content"], listed["where"], listed["made_by"]) == (
        "RATE",
        "12",
        "north",
        operator.person.id,
    )
    assert listed["made_by_name"] == operator.person.name
    assert (other["name"], other["content"], other["taken"]) == ("mqtt", None, False)


def test_a_dry_run_changes_nothing_and_tells_nothing_of_a_secret(plant: Plant, operator: User, north: str) -> None:
    filled.value(plant, north, secret("mqtt", PLANTED))
    before = plant.entries(1)
    for guess in (PLANTED, "a wrong guess"):
        said = _set(plant, operator, north, _change("secret", "mqtt", guess), dry_run=True).json()
        assert said["changed"] == [{"kind": "secret", "name": "mqtt", "line": "", "before": "set", "after": "set"}]
        assert said["dry_run"]
    assert plant.entries(1) == before
    viewer = plant.users["north", "viewer"]
    assert _set(plant, viewer, north, _change("variable", "A", "1"), dry_run=True).status_code == 403


def test_a_device_is_told_with_the_origin_of_each_value(plant: Plant, operator: User, north: str) -> None:
    site = gear.site(plant, north, "Visby")
    area = plant.scope(site, ScopeKind.AREA, "intake")
    device = filled.running(plant, north, gear.device(plant, area, "pump-3"))
    filled.value(plant, site, variable("RATE", "12", "press-line"), secret("mqtt", PLANTED))
    assert _set(plant, operator, device.id, _change("file", "tags.csv", "a\n")).status_code == 200
    said = _get(plant, operator, f"devices/{device.id}/values")
    assert (said["release"], said["version"], said["device_name"]) == ("press-line", "1", "pump-3")
    rows = {one["name"]: one for one in said["values"]}
    assert {name: (row["value"], row["runs"], row["origin"], row["differs"]) for name, row in rows.items()} == {
        "PLC": (None, None, "missing", False),
        "RATE": ("12", "10", "north/Visby", True),
        "LOGS": ("/var/log/press", "/var/log/press", "default", False),
        "tags.csv": ("a\n", "none\n", "pump-3", True),
        "mqtt": (None, None, "north/Visby", True),
    }
    assert (rows["RATE"]["line"], rows["PLC"]["lack"]) == ("press-line", "The variable PLC has no value.")
    (differs,) = _get(plant, operator, "values/differences", selector="device:pump-3")["items"]
    assert [one["name"] for one in differs["values"]] == ["PLC", "RATE", "tags.csv", "mqtt"]
    assert differs["lacks"] == ["The variable PLC has no value."]
    assert _get(plant, operator, "values/differences", selector="device:pump-4")["items"] == []


def test_a_device_that_runs_nothing_is_told_for_a_release_that_is_named(
    plant: Plant, operator: User, north: str
) -> None:
    device = gear.device(plant, north, "idle")
    filled.release(plant, north)
    answer = _send(plant, operator, "GET", f"devices/{device.id}/values")
    assert (answer.status_code, answer.json()["code"]) == (409, "values.no_release")
    said = _get(plant, operator, f"devices/{device.id}/values", release="press-line@1")
    assert {one["name"]: one["runs"] for one in said["values"]}["RATE"] is None
    assert _send(plant, operator, "GET", f"devices/{device.id}/values", release="x@1").json()["code"] == (
        "release.unknown"
    )


def test_differences_come_in_stretches(plant: Plant, operator: User, north: str) -> None:
    site = gear.site(plant, north)
    devices = [filled.running(plant, north, gear.device(plant, site)) for _ in range(3)]
    filled.value(plant, site, variable("PLC", "10.0.0.1"), secret("mqtt", PLANTED), variable("RATE", "12"))
    first = _get(plant, operator, "values/differences", scope=site, limit=2)
    rest = _get(plant, operator, "values/differences", scope=site, limit=2, after=first["next"])
    assert [one["device"] for one in first["items"] + rest["items"]] == sorted(one.id for one in devices)
    assert rest["next"] is None
    wrong = _send(plant, operator, "GET", "values/differences", selector="(")
    assert (wrong.status_code, wrong.json()["code"]) == (422, "selector.syntax")


def test_the_history_keeps_what_was_taken_away(plant: Plant, operator: User, north: str) -> None:
    for content in ("1", "2", None):
        assert _set(plant, operator, north, _change("variable", "RATE", content), note="MOC-9").status_code == 200
    found = _get(plant, operator, "values/history", place=north, name="RATE")["items"]
    assert [(one["content"], one["taken"], one["current"], one["note"]) for one in found] == [
        (None, True, False, "MOC-9"),
        ("2", False, False, "MOC-9"),
        ("1", False, False, "MOC-9"),
    ]
    assert _get(plant, operator, "values", place=north)["items"] == []


def test_lists_are_filtered(plant: Plant, operator: User, north: str) -> None:
    device = gear.device(plant, north)
    filled.value(plant, north, variable("A", "1"), variable("A", "2", "press-line"), file("a.csv", "x"))
    filled.value(plant, f"device:{device.id}", variable("B", "3"))

    def names(**query: Any) -> set[str]:  # noqa: ANN401
        return {one["content"] for one in _get(plant, operator, "values", **query)["items"]}

    assert names() == {"1", "2", "3", "x"}
    assert (names(line="press-line"), names(line="")) == ({"2"}, {"1", "3", "x"})
    assert (names(kind="file"), names(place=device.id), names(scope=device.scope)) == ({"x"}, {"3"}, {"3"})
    assert (names(place=f"device:{device.id}"), names(place="nowhere")) == ({"3"}, set())
    assert _send(plant, operator, "GET", "values", kind="other").status_code == 400


def test_who_may_set_at_one_site_sets_there_and_nowhere_else(plant: Plant, north: str) -> None:
    here, there = gear.site(plant, north), gear.site(plant, north)
    mine, other = gear.device(plant, here), gear.device(plant, there)
    local = plant.user(north)
    plant.bind(local.person, "operator", here)
    codes = {
        place: _set(plant, local, place, _change("variable", "A", "1")).status_code
        for place in (here, mine.id, f"device:{mine.id}", there, other.id, f"device:{other.id}", north, "/")
    }
    may = {here, mine.id, f"device:{mine.id}"}
    assert codes == dict.fromkeys(codes, 404) | dict.fromkeys(may, 200) | {"/": 403}
    filled.value(plant, north)
    assert {one["place"] for one in _get(plant, local, "values")["items"]} == {here, mine.id}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"changes": []}, "request.invalid"),
        ({"changes": [_change("variable", "A", "1")] * 101}, "request.invalid"),
        ({"changes": [_change("variable", "A", "1")] * 2}, "values.twice"),
        ({"changes": [_change("variable", "A-B", "1")]}, "values.name"),
        ({"changes": [_change("file", "a", "\0")]}, "values.text"),
        ({"changes": [_change("secret", "a", "")]}, "values.empty"),
        ({"changes": [_change("key", "a", "")]}, "request.invalid"),
        ({"changes": [{"kind": "variable", "name": "A"}]}, "request.invalid"),
        ({"place": "device:x"}, "request.invalid"),
        ({"place": "/x/"}, "request.invalid"),
    ],
)
def test_what_is_no_value_is_refused(plant: Plant, operator: User, north: str, body: dict[str, Any], code: str) -> None:
    answer = _send(
        plant, operator, "POST", "values", {"place": north, "changes": [_change("variable", "A", "1")]} | body
    )
    assert answer.json()["code"] == code
    assert _get(plant, operator, "values/history")["items"] == []


def test_a_planted_secret_is_in_no_answer_no_entry_and_no_log(
    plant: Plant, operator: User, north: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    device = filled.running(plant, north)
    answers = [
        _set(plant, operator, north, _change("secret", "mqtt", PLANTED)),
        _set(plant, operator, device.id, _change("secret", "mqtt", PLANTED), _change("variable", "-", "1")),
        _set(plant, operator, device.id, _change("secret", "mqtt", PLANTED), dry_run=True),
        _set(plant, operator, device.id, _change("secret", "MQTT", PLANTED)),
        _set(plant, operator, device.id, {"kind": "secret", "name": "mqtt", "content": [PLANTED]}),
        _set(plant, operator, device.id, _change("secret", "mqtt", PLANTED * 2_000)),
        *(_send(plant, operator, "GET", path) for path in ("values", "values/history", "values/differences")),
        _send(plant, operator, "GET", f"devices/{device.id}/values"),
    ]
    assert [answer.status_code for answer in answers] == [200, 422, 200, 422, 400, 422, 200, 200, 200, 200]
    assert not any(PLANTED in answer.text for answer in answers)
    assert not any(PLANTED in json.dumps(entry.facts) + entry.data.decode() for entry in plant.entries())
    assert PLANTED not in caplog.text
    assert not any(PLANTED.encode() in each.read_bytes() for each in plant.directory.rglob("*") if each.is_file())
