# SPDX-License-Identifier: Apache-2.0
"""Who goes when: waves hold every device once, the first that can be heard first."""

from datetime import timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkvalve.server.fleet import liveness
from checkvalve.server.fleet.model import Device, Liveness
from checkvalve.server.rollouts import waves
from checkvalve.server.rollouts.model import Plan
from tests.conftest import NOON
from tests.server.rollouts import values

ALIVE = [Liveness.ONLINE, Liveness.LATE, Liveness.OFFLINE, Liveness.NEVER_SEEN]
moments = st.none() | st.integers(0, 1_000).map(lambda seconds: NOON - timedelta(seconds=seconds))
devices = st.lists(
    st.tuples(st.sampled_from(["a", "b", "C", "\u00f6"]), st.sampled_from(["/o/s/", "/o/t/"]), moments), max_size=40
).map(
    lambda rows: [
        values.device(name, scope, seen_at, id=f"d{index}") for index, (name, scope, seen_at) in enumerate(rows)
    ]
)
plans = st.builds(Plan, canary=st.integers(0, 5), step=st.integers(0, 12))


@given(devices, plans)
def test_every_device_goes_in_exactly_one_wave_and_no_wave_is_empty(found: list[Device], plan: Plan) -> None:
    split = waves.split(found, plan, NOON)
    assert sorted(one.id for wave in split for one in wave) == sorted(one.id for one in found)
    assert all(split)


@given(devices, plans)
def test_the_canary_wave_and_the_steps_are_as_large_as_the_plan_says(found: list[Device], plan: Plan) -> None:
    split = waves.split(found, plan, NOON)
    canary, rest = (split[:1], split[1:]) if plan.canary else ((), split)
    assert [len(wave) for wave in canary] == ([min(plan.canary, len(found))] if plan.canary and found else [])
    left = max(len(found) - plan.canary, 0)
    step = plan.step or left
    assert [len(wave) for wave in rest] == [min(step, left - start) for start in range(0, left, step or 1)]


@given(devices, plans)
def test_those_heard_of_lately_are_the_canaries(found: list[Device], plan: Plan) -> None:
    split = waves.split(found, plan, NOON)
    if not plan.canary or not found:
        return
    how = [[ALIVE.index(liveness.judge(one.seen_at, one.interval, NOON)) for one in wave] for wave in split]
    assert all(later >= max(how[0]) for wave in how[1:] for later in wave)


@given(devices, plans, st.randoms())
def test_the_order_in_which_devices_are_found_changes_nothing(found: list[Device], plan: Plan, chance: Random) -> None:
    other = list(found)
    chance.shuffle(other)
    assert waves.split(other, plan, NOON) == waves.split(found, plan, NOON)


def test_the_rest_goes_place_by_place_and_by_name() -> None:
    found = [values.device(name, scope) for scope in ("/o/t/", "/o/s/") for name in ("c", "a", "b")]
    found = [values.device(one.name, one.scope, id=f"{one.scope}{one.name}") for one in found]
    split = waves.split(found, Plan(canary=1, step=2), NOON)
    assert [[one.id for one in wave] for wave in split] == [
        ["/o/s/a"],
        ["/o/s/b", "/o/s/c"],
        ["/o/t/a", "/o/t/b"],
        ["/o/t/c"],
    ]


@pytest.mark.parametrize(
    ("wave", "canary", "name"),
    [(0, True, "The canary wave"), (1, True, "Wave 1"), (0, False, "Wave 1"), (4, False, "Wave 5")],
)
def test_waves_after_the_canarys_count_from_one(wave: int, name: str, *, canary: bool) -> None:
    assert waves.named(wave, canary=canary) == name
