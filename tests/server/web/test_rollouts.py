# SPDX-License-Identifier: Apache-2.0
"""Rollouts on their way, over HTTP: the plan, how far they are, their devices, and what people decide about them."""

import asyncio
from typing import Any

import httpx

from checkvalve.ids import ApprovalId, AttemptId, RolloutId
from checkvalve.protocol.exchange import State
from checkvalve.server.exchange import rolling
from checkvalve.server.fleet.model import Device
from checkvalve.server.rollouts import actions as rollout_actions
from checkvalve.server.rollouts import queries as rollout_queries
from checkvalve.server.rollouts import writes as rollout_writes
from checkvalve.server.rollouts.model import Intent, Outcome, Plan
from tests.parts import stock
from tests.server.web import gear
from tests.server.web.plant import RELEASE, Plant, User

BEFORE = "edge-old@sha256:" + "b" * 64
DIGEST = RELEASE.partition("@")[2]


class Site:
    """A site in `north` with devices that ran `BEFORE`, and a rollout there, proposed without approval."""

    def __init__(self, plant: Plant, *names: str, canary: int = 1, step: int = 0) -> None:
        self.plant = plant
        self.scope = gear.site(plant, plant.organisations["north"])
        stock.release(plant.db, plant.new_id(), BEFORE, plant.time, version="0.9")
        self.devices: dict[str, Device] = {}
        for name in names:
            made = self.devices[name] = gear.device(plant, self.scope, name)
            self.ran(made)
        self.operator = plant.users["north", "operator"]
        self.rollout = self.drafted("all", canary, step)

    def ran(self, device: Device) -> None:
        """Let a device be heard, running `BEFORE`."""
        gear.heard(self.plant, device, state=State.COMMITTED, active=BEFORE.partition("@")[2])

    def drafted(self, selector: str, canary: int = 1, step: int = 0) -> str:
        """Return the id of a rollout that may start."""
        made, asked = RolloutId(self.plant.new_id()), ApprovalId(self.plant.new_id())
        act, actor = self.plant.act, self.operator.actor
        intent = Intent(RELEASE, selector, 0, plan=Plan(canary, step))
        self.plant.db.write_now("draft", rollout_actions.draft, act(actor), made, self.scope, "Edge", intent)
        self.plant.db.write_now("propose", rollout_actions.propose, act(actor), made, asked)
        return made

    def get(self, what: str = "", **query: object) -> httpx.Response:
        """Ask for the rollout, or for something of it."""
        return self._send("GET", what, self.operator, None, query)

    def said(self, what: str = "", **query: object) -> Any:  # noqa: ANN401 - JSON
        """Return an answer that must come."""
        answer = self.get(what, **query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, what: str, user: User | None = None, **body: object) -> httpx.Response:
        """Have something done."""
        return self._send("POST", what, user or self.operator, body, {})

    def ends(self, name: str, outcome: Outcome, reason: str = "") -> None:
        """Let the newest attempt of a device end, and the judge look."""
        device = self.devices[name]
        found = self.plant.db.read_now("of", lambda tx: rollout_queries.of_device(tx, device.id))
        assert found is not None
        attempt, now = AttemptId(found[1].member.attempt), self.plant.time
        args = (device.id, attempt, outcome, "gate.exited" if reason else "", reason, now)
        self.plant.db.write_now("ended", rollout_writes.ended, *args)
        self.plant.db.write_now("advance", rolling.advance, found[0].id, now, now, self.plant.new_id)

    def _send(
        self, method: str, what: str, user: User, body: dict[str, object] | None, query: dict[str, object]
    ) -> httpx.Response:
        async def send() -> httpx.Response:
            async with self.plant.client(**user.headers) as client:
                path = f"/api/v1/rollouts/{self.rollout}" + (f"/{what}" if what else "")
                params = {name: str(value) for name, value in query.items()}
                return await client.request(method, path, json=body, params=params)

        return asyncio.run(send())


def _names(found: list[dict[str, Any]]) -> list[str]:
    return [each["name"] for each in found]


def test_a_plan_says_who_goes_when_and_who_does_not_and_changes_nothing(plant: Plant) -> None:
    site = Site(plant, "a", "b", "c", "d", canary=1, step=2)
    gear.heard(plant, site.devices["b"], state=State.COMMITTED, active=DIGEST)
    gear.quarantine(plant, site.devices["d"].id)
    before = plant.entries()
    found = site.said("plan")
    assert [_names(wave) for wave in found["waves"]] == [["a"], ["c"]]
    assert {each["name"]: each["code"] for each in found["passed"]} == {
        "b": "device.runs_it",
        "d": "device.quarantined",
    }
    assert (found["obstacle"], found["rollout"]["state"]) == (None, "proposed")
    assert plant.entries() == before
    told = [found["rollout"], site.said(), site.said("progress")["rollout"], site.said("undo")["rollout"]]
    assert {each["made_by_name"] for each in told} == {site.operator.person.name}


def test_a_plan_says_what_is_in_the_way(plant: Plant) -> None:
    site = Site(plant, "a")
    first, site.rollout = site.rollout, site.drafted("device:a")
    assert site.post("start").status_code == 200
    assert site.said("plan")["obstacle"]["code"] == "rollout.started"
    site.rollout = first
    found = site.said("plan")["obstacle"]
    assert (found["code"], "'Edge'" in found["sentence"], bool(found["remedy"])) == ("rollout.devices_busy", True, True)
    site.rollout = site.drafted("tag:nowhere")
    assert site.said("plan")["obstacle"]["code"] == "rollout.no_device"
    refused = site.post("start")
    assert (refused.status_code, refused.json()["code"]) == (409, "rollout.no_device")
    stock.release(plant.db, plant.new_id(), RELEASE, plant.time, state="withdrawn")
    assert site.said("plan")["obstacle"]["code"] == "release.withdrawn"


def test_how_far_it_is_follows_what_its_devices_told(plant: Plant) -> None:
    site = Site(plant, "a", "b", "c", canary=1, step=1)
    waits = site.said("progress")
    assert (waits["waves"], waits["next"], waits["devices"]) == ([], "", 0)
    assert site.post("start").json()["waves"] == 3
    found = site.said("progress")
    assert (found["next"], found["devices"], found["rollout"]["wave"]) == ("hold", 3, 0)
    assert [(each["name"], each["open"], each["going"]) for each in found["waves"]] == [
        ("The canary wave", True, 1),
        ("Wave 1", False, 1),
        ("Wave 2", False, 1),
    ]
    attempt = site.said("devices")["items"][0]["attempt"]
    gear.heard(plant, site.devices["a"], state=State.FETCHING, attempt=attempt)
    assert site.said("progress")["waves"][0]["steps"] == {"fetching": 1}
    for name in "abc":
        site.ends(name, Outcome.COMMITTED)
    done = site.said("progress")
    assert (done["rollout"]["state"], done["reason"]) == ("done", "3 devices took it.")
    assert [each["committed"] for each in done["waves"]] == [1, 1, 1]


def test_the_devices_of_a_rollout_are_filtered_and_read_in_stretches(plant: Plant) -> None:
    site = Site(plant, "a", "b", "c", "d", canary=1, step=2)
    assert site.said("devices") == {"items": [], "next": None}
    site.post("start")
    whole = site.said("devices")["items"]
    assert [(each["name"], each["wave"], each["state"]) for each in whole] == [
        ("a", 0, "ordered"),
        ("b", 1, "waiting"),
        ("c", 1, "waiting"),
        ("d", 2, "waiting"),
    ]
    assert {each["before"] for each in whole} == {BEFORE.partition("@")[2]}
    found, mark = [], ""
    while True:
        page = site.said("devices", limit=1, after=mark)
        found += page["items"]
        if page["next"] is None:
            break
        mark = page["next"]
    assert found == whole
    site.ends("a", Outcome.ROLLED_BACK, "web exited.")
    assert _names(site.said("devices", wave=1)["items"]) == ["b", "c"]
    for outcome, names in (("failed", ["a"]), ("rolled_back", ["a"]), ("committed", []), ("open", ["b", "c", "d"])):
        assert _names(site.said("devices", outcome=outcome)["items"]) == names, outcome
    failed = site.said("devices", outcome="failed")["items"][0]
    assert (failed["state"], failed["code"], failed["reason"]) == ("rolled_back", "gate.exited", "web exited.")
    for cursor in ("x", "0" * 26, "'"):
        assert site.said("devices", after=cursor)["items"] == []


def test_a_filter_of_devices_that_cannot_be_read_is_a_problem(plant: Plant) -> None:
    site = Site(plant)
    wrong: list[dict[str, object]] = [{"wave": -1}, {"wave": 10_001}, {"wave": "x"}, {"outcome": "flying"}]
    wrong += [{"limit": 0}, {"limit": 501}, {"after": "x" * 101}]
    for query in wrong:
        answer = site.get("devices", **query)
        assert (answer.status_code, answer.json()["code"]) == (400, "request.invalid"), query


def test_a_failed_canary_pauses_and_a_person_goes_on_without_it(plant: Plant) -> None:
    site = Site(plant, "a", "b")
    site.post("start")
    site.ends("a", Outcome.ROLLED_BACK, "web exited.")
    found = site.said("progress")
    assert (found["rollout"]["state"], found["rollout"]["code"], found["next"]) == (
        "paused",
        "rollout.canary_failed",
        "",
    )
    assert "a rolled back: web exited." in found["reason"]
    assert site.post("pause", reason="again").json()["code"] == "rollout.is_paused"
    going = site.post("resume", reason="The disk of a is full.").json()
    assert (going["state"], going["reason"], going["code"]) == ("started", "", "")
    entry = plant.entries(1)[0]
    assert (entry.action, entry.facts["left_behind"], entry.facts["reason"]) == (
        "rollout.resume",
        1,
        "The disk of a is full.",
    )
    assert site.said("devices", outcome="failed")["items"][0]["left"] is True


def test_a_person_who_pauses_says_why_on_one_line(plant: Plant) -> None:
    site = Site(plant, "a", "b")
    site.post("start")
    for reason, status in (("x" * 501, 422), ("two\nlines", 422), ("x" * 2_001, 400), ("nul\x00", 400)):
        answer = site.post("pause", reason=reason)
        assert (answer.status_code, answer.json()["code"].partition(".")[0] != "plane") == (status, True), reason
    assert site.post("pause", why="mistyped").json()["code"] == "request.invalid"
    assert site.said()["state"] == "started"
    paused = site.post("pause", reason="Storm.").json()
    assert (paused["state"], paused["code"], paused["reason"]) == (
        "paused",
        "rollout.by_person",
        "operator.north: Storm.",
    )
    assert [each["state"] for each in site.said("devices")["items"]] == ["waiting", "waiting"]
    assert site.post("resume").json()["state"] == "started", "a reason may be left out"


def test_the_way_back_is_told_before_it_is_taken(plant: Plant) -> None:
    site = Site(plant, "a", "b", "c")
    assert site.said("undo")["obstacle"]["code"] == "rollout.is_proposed"
    gear.heard(plant, site.devices["b"], state=State.COMMITTED, active="sha256:" + "9" * 64)
    site.post("start")
    site.ends("a", Outcome.COMMITTED)
    site.ends("b", Outcome.COMMITTED)
    before = plant.entries()
    told = site.said("undo")
    assert plant.entries() == before
    assert [(each["name"], each["to"]) for each in told["going"]] == [("a", "edge-old@0.9")]
    assert [(each["name"], each["code"]) for each in told["staying"]] == [("b", "rollout.no_way_back")]
    assert (_names(told["untouched"]), told["obstacle"]) == (["c"], None)
    made = site.post("undo", reason="Alarms are late.")
    assert made.status_code == 201
    assert (made.json()["undoes"], made.json()["state"]) == (site.rollout, "started")
    assert site.said()["undone_by"] == made.json()["id"]
    assert site.said("undo")["obstacle"]["code"] == "rollout.is_undone"
    site.rollout = made.json()["id"]
    assert _names(site.said("devices")["items"]) == ["a"]
    assert site.said("undo")["obstacle"]["code"] == "rollout.is_undo"


def test_who_may_not_start_may_not_end_what_was_started_either(plant: Plant) -> None:
    site, drafter = Site(plant, "a"), plant.users["north", "release-manager"]
    site.post("start")
    refused = site.post("cancel", drafter)
    assert (refused.status_code, refused.json()["code"]) == (403, "access.denied")
    assert site.said()["state"] == "started"
    assert (plant.entries(1)[0].kind, plant.entries(1)[0].action) == ("refused", "rollout.cancel")
    assert site.post("cancel").json()["state"] == "cancelled"
    site.rollout = site.drafted("all")
    assert site.post("cancel", drafter).json()["state"] == "cancelled"


def test_a_draft_with_a_plan_that_cannot_be_is_refused(plant: Plant) -> None:
    operator, scope = plant.users["north", "operator"], plant.organisations["north"]

    async def send(**more: object) -> httpx.Response:
        body = {"scope": scope, "name": "r", "release": RELEASE, "selector": "all"} | more
        async with plant.client(**operator.headers) as client:
            return await client.post("/api/v1/rollouts", json=body)

    made = asyncio.run(send(canary=2, step=10)).json()
    assert made["intent"]["plan"] == {"canary": 2, "step": 10}
    assert asyncio.run(send()).json()["intent"]["plan"] == {"canary": 1, "step": 0}
    for wrong in ({"canary": 6}, {"canary": -1}, {"step": 10_001}, {"canary": True}, {"step": "all"}):
        assert asyncio.run(send(**wrong)).json()["code"] == "request.invalid", wrong
    for selector in ("colour:red", "tag:", "(all", ""):
        answer = asyncio.run(send(selector=selector))
        assert answer.status_code == 422, selector
        assert answer.json()["code"].startswith(("selector.", "rollout.selector"))
