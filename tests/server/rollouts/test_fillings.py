# SPDX-License-Identifier: Apache-2.0
"""Values in the plan of a rollout: who needs it although its release is there, who lacks something, who goes back."""

from hypothesis import given
from hypothesis import strategies as st

from checkvalve.ids import DeviceId, ReleaseId
from checkvalve.server.rollouts import back, taking
from checkvalve.server.rollouts.model import Filling, No, Outcome, Plan, Planned
from checkvalve.server.values.model import Kind, Lack
from tests.conftest import NOON
from tests.server.rollouts import values

NO_ADDRESS = Lack(Kind.VARIABLE, "ADDRESS", "values.missing", "The variable ADDRESS has no value.")


def _planned(**fillings: Filling) -> Planned:
    devices = [values.device(name, active=values.NEW) for name in fillings]
    return taking.plan(devices, values.NEW, Plan(), NOON, {DeviceId(name): one for name, one in fillings.items()})


def test_a_device_that_runs_the_release_goes_if_other_values_fill_it_now() -> None:
    planned = _planned(pump=Filling('{"variable/A":"1"}', same=False), weir=Filling('{"variable/A":"2"}', same=True))
    assert [[one.name for one in wave] for wave in planned.waves] == [["pump"]]
    assert [(one.device.name, one.code) for one in planned.passed] == [("weir", "device.runs_it")]


def test_what_is_lacking_is_in_the_way_of_the_start_and_said_device_by_device() -> None:
    planned = _planned(
        pump=Filling(lacks=(NO_ADDRESS,), same=False), weir=Filling(same=False), well=Filling(lacks=(NO_ADDRESS,))
    )
    obstacle = taking.obstacle(planned, {}, [])
    assert obstacle is not None
    assert obstacle.code == "rollout.values_lacking"
    assert obstacle.sentence == "Values are lacking. pump: The variable ADDRESS has no value."  # well runs it as it is


def test_of_many_that_lack_something_three_are_named_and_the_rest_is_counted() -> None:
    planned = _planned(**{f"d{number}": Filling(lacks=(NO_ADDRESS,), same=False) for number in range(9)})
    obstacle = taking.obstacle(planned, {}, [])
    assert obstacle is not None
    assert obstacle.sentence.count("no value") == 3
    assert obstacle.sentence.endswith("And 6 more.")


def test_an_agent_that_could_not_read_the_release_is_in_the_way() -> None:
    obstacle = taking.obstacle(_planned(pump=Filling(old=True, same=False)), {}, [])
    assert isinstance(obstacle, No)
    assert obstacle.code == "rollout.agent_old"
    assert "pump" in obstacle.sentence


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), max_size=8))
def test_nothing_starts_while_a_device_that_would_go_lacks_something(rows: list[tuple[bool, bool, bool]]) -> None:
    fillings = {
        f"d{index}": Filling("{}", (NO_ADDRESS,) if lacks else (), same=same, old=old)
        for index, (lacks, same, old) in enumerate(rows)
    }
    obstacle = taking.obstacle(_planned(**fillings), {}, [])
    short = any(not same and (lacks or old) for lacks, same, old in rows)
    assert (obstacle is not None and obstacle.code in {"rollout.values_lacking", "rollout.agent_old"}) == short


def test_a_device_goes_back_to_the_values_it_ran_with_although_the_release_is_the_same() -> None:
    seat = values.seat(Outcome.COMMITTED, before=values.NEW)
    release = values.release(ReleaseId("new"), values.NEW)
    known = {values.NEW: release}
    assert [one.reason for one in back.plan([seat], known, {}).staying] == ["stays: it ran the same before."]
    filled = values.with_values(seat, binding='{"variable/A":"2"}', given_before="sha256:" + "0a" * 32)
    assert back.plan([filled], known, {}).going == ((filled, release),)


def test_a_device_that_was_given_other_values_since_is_left_alone() -> None:
    seat = values.with_values(values.seat(Outcome.COMMITTED), binding='{"variable/A":"2"}', given_before="")
    known = {values.OLD: values.release(ReleaseId("old"), values.OLD)}
    later: dict[str, tuple[ReleaseId, str]] = {seat.device.id: (seat.member.release, '{"variable/A":"3"}')}
    assert back.plan([seat], known, later).untouched == (seat,)
    assert back.plan([seat], known, {}).going
