# SPDX-License-Identifier: Apache-2.0
"""A release goes to six devices in waves, by a plane and agents that are real processes, whoever dies meanwhile."""

import random
import signal
from collections.abc import Iterator

import pytest

from checkvalve.server.rollouts.model import Outcome
from checkvalve.server.rollouts.model import State as Stage
from tests.parts import postgres, rolling, rollout_kills
from tests.parts.estate import BAD, LINE, LONG, RUT, WHY
from tests.parts.guide import commands
from tests.parts.rolling import SLOW, Fleet

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

KILLS = 2  # moments of the matrix that a run of the tests sees, on each database
ONE = pytest.mark.parametrize("lent", ["sqlite"], indirect=True, scope="module")
OTHER = pytest.mark.parametrize(
    "lent", [pytest.param("postgresql", marks=pytest.mark.real_parts)], indirect=True, scope="module"
)


@pytest.fixture(scope="module")
def lent(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Lend six devices that run a first release; in the end none of them has ever listened."""
    url = "sqlite:"
    if request.param == "postgresql":
        cluster: postgres.Cluster = request.getfixturevalue("cluster")
        cluster.sql("DROP DATABASE IF EXISTS walk_of_rollouts WITH (FORCE)")
        cluster.sql("CREATE DATABASE walk_of_rollouts")
        url = cluster.url("walk_of_rollouts")
    with rolling.lent(tmp_path_factory.mktemp("rollouts"), url) as fleet:
        yield fleet
        assert [each.heard for each in fleet.agents if each.heard] == []


@pytest.fixture
def fleet(lent: Fleet) -> Fleet:
    """Lend them with nothing under way."""
    lent.calm()
    return lent


@ONE
def test_a_canary_goes_first_then_the_rest_and_every_receipt_is_there_once(fleet: Fleet) -> None:
    version = fleet.fresh()
    ident = fleet.start(version)
    fleet.until(lambda: fleet.state(ident, fleet.canary) == "verifying")
    assert fleet.rollout(ident).wave == 0
    assert [fleet.state(ident, each) for each in fleet.agents[1:]] == [""] * 5
    fleet.until(fleet.is_(ident, Stage.DONE))
    assert set(fleet.outcomes(ident).values()) == {Outcome.COMMITTED}
    fleet.until(lambda: fleet.run(version))
    fleet.accounted(ident, wave=1, finish=1)
    seats = fleet.seats(ident)
    first = seats.pop(fleet.canary.directory.name).member
    assert first.ended_at is not None
    begun = [rolling.events(each, seats[each.directory.name].member.attempt)[0].at for each in fleet.agents[1:]]
    assert min(begun) >= rolling.events(fleet.canary, first.attempt)[-1].at
    (kept,) = fleet.estate.kept(fleet.canary, first.attempt)
    assert fleet.estate.verified(fleet.canary, kept.digest)["receipt"]["attempt"] == first.attempt


@ONE
def test_a_plane_killed_during_a_rollout_loses_no_count_and_doubles_none(fleet: Fleet) -> None:
    seed = random.randrange(1_000_000)
    moments = random.Random(seed).sample(rollout_kills.MOMENTS, KILLS)
    print(f"seed {seed}: {', '.join(moments)}")
    for moment in moments:
        rollout_kills.killed(fleet, moment)


@ONE
def test_a_broken_release_stops_at_the_canary_and_no_other_device_hears_of_it(fleet: Fleet) -> None:
    before = fleet.stand()
    ident = fleet.start(BAD)
    fleet.until(fleet.is_(ident, Stage.PAUSED))
    paused = fleet.rollout(ident)
    assert (paused.code, paused.wave) == ("rollout.canary_failed", 0)
    assert "north-1 rolled back: " in paused.reason
    assert fleet.ordered() == set()
    outcomes = fleet.outcomes(ident)
    assert outcomes.pop("north-1") is Outcome.ROLLED_BACK
    assert set(outcomes.values()) == {Outcome.OPEN}
    fleet.accounted(ident, pause=1)
    (said,) = fleet.estate.receipts(fleet.canary, fleet.seats(ident)["north-1"].member.attempt)
    assert {each.service: each.logs for each in said.services if each.logs} == {"pump": f"{WHY}\n"}
    fleet.post(ident, "cancel")
    after = fleet.stand()
    assert (before.pop("north-1")[1], before) == (after.pop("north-1")[1], after)


@ONE
def test_a_canary_that_lost_its_power_is_left_behind_and_the_rest_is_taken_back_again(fleet: Fleet) -> None:
    before = {name: active for name, (_, active) in fleet.stand().items()}
    ident = fleet.start(fleet.fresh(LONG, SLOW))
    fleet.until(lambda: fleet.state(ident, fleet.canary) == "verifying")
    fleet.canary.end(signal.SIGKILL)
    fleet.canary.start()
    fleet.until(fleet.is_(ident, Stage.PAUSED))
    fleet.post(ident, "resume", reason="Somebody pulled its plug.")
    fleet.until(fleet.is_(ident, Stage.DONE))
    outcomes = fleet.outcomes(ident)
    assert outcomes.pop("north-1") is Outcome.ROLLED_BACK
    assert set(outcomes.values()) == {Outcome.COMMITTED}
    assert "stayed at what they ran" in fleet.rollout(ident).reason
    undo = fleet.post(ident, "undo", reason="It pumps the wrong way.")["id"]
    assert fleet.rollout(ident).state is Stage.UNDONE
    fleet.until(fleet.is_(undo, Stage.DONE))
    assert set(fleet.seats(undo)) == set(outcomes)
    assert set(fleet.outcomes(undo).values()) == {Outcome.COMMITTED}
    fleet.until(lambda: {name: active for name, (_, active) in fleet.stand().items()} == before)
    fleet.accounted(ident, pause=1, resume=1, wave=1, finish=1, undo=1)
    assert fleet.entries(undo) == {"rollout.finish": 1}
    for each in fleet.agents[1:]:
        (said,) = fleet.estate.receipts(each, fleet.seats(undo)[each.directory.name].member.attempt)
        assert said.active == before[each.directory.name]


@ONE
def test_those_under_way_end_while_a_person_has_it_paused_and_the_rest_goes_when_it_is_resumed(fleet: Fleet) -> None:
    ident = fleet.start(fleet.fresh(LONG, SLOW), canary=0, step=3)
    first, rest = fleet.agents[:3], fleet.agents[3:]
    fleet.until(lambda: all(fleet.state(ident, each) == "verifying" for each in first))
    assert fleet.post(ident, "pause", reason="Lunch.")["state"] == "paused"
    fleet.until(lambda: [fleet.outcomes(ident)[each.directory.name] for each in first] == [Outcome.COMMITTED] * 3)
    assert fleet.rollout(ident).state is Stage.PAUSED
    assert fleet.rollout(ident).reason == "rut: Lunch."
    assert fleet.ordered() == set()
    assert [fleet.state(ident, each) for each in rest] == [""] * 3
    fleet.post(ident, "resume", reason="Back.")
    fleet.until(fleet.is_(ident, Stage.DONE))
    assert set(fleet.outcomes(ident).values()) == {Outcome.COMMITTED}
    fleet.accounted(ident, pause=1, resume=1, wave=1, finish=1)


@ONE
def test_a_device_that_is_off_holds_up_nobody_and_takes_it_on_its_return(fleet: Fleet) -> None:
    off = fleet.agents[-1]
    assert off.end() == 0
    version = fleet.fresh()
    ident = fleet.start(version)
    fleet.until(lambda: list(fleet.outcomes(ident).values()).count(Outcome.COMMITTED) == 5)

    def stragglers() -> bool:
        said = fleet.caller.get(f"/api/v1/rollouts/{ident}/progress")
        return bool(said["next"] == "hold" and "will take it on their return" in said["reason"])

    fleet.until(stragglers)
    assert fleet.rollout(ident).state is Stage.STARTED
    off.start()
    fleet.until(fleet.is_(ident, Stage.DONE))
    assert set(fleet.outcomes(ident).values()) == {Outcome.COMMITTED}
    fleet.accounted(ident, wave=1, finish=1)


@OTHER
def test_of_two_processes_one_may_die_during_a_rollout(fleet: Fleet) -> None:
    rollout_kills.one_of_two(fleet, "operators")


@ONE
def test_the_page_on_rollouts_can_be_followed_word_by_word(fleet: Fleet) -> None:
    version = fleet.fresh(LONG, SLOW)
    made = {"OTHER": fleet.proposed(version), "pump-station@2.4.1": f"{LINE}@{version}"}
    before = {name: active for name, (_, active) in fleet.stand().items()}
    said = []
    for words in commands("rollouts.md"):
        typed = [made.get(word, word) for word in words]
        if words[:2] == ["rollout", "draft"]:
            made["ROLLOUT"] = fleet.estate.run(*typed, "--quiet", who=RUT).split()[0]
        else:
            said.append((words[1], fleet.estate.run(*typed, "--yes", who=RUT)))
    assert [verb for verb, _ in said] == [
        "plan", "propose", "start", "pause", "resume", "watch", "show", "devices", "list", "devices", "show", "undo",
        "cancel",
    ]  # fmt: skip
    assert fleet.rollout(made["ROLLOUT"]).state is Stage.UNDONE
    assert fleet.rollout(made["OTHER"]).state is Stage.CANCELLED
    fleet.until(lambda: {name: active for name, (_, active) in fleet.stand().items()} == before)
