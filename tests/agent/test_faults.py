# SPDX-License-Identifier: Apache-2.0
"""Whatever dies, fills up or is lost, wherever in an attempt: all old, all new, or degraded and told; never a mix.

Of each matrix some points are tried, by a seed that is printed; all of them are in `tests/proofs/test_faults.py`, and
those of a real engine in `tests/agent/engine/test_faults.py`.
"""

from dataclasses import replace

import pytest

from checkvalve import clock
from checkvalve.agent.steps import Slot
from checkvalve.protocol.exchange import State
from tests.agent import small
from tests.agent.device import Device, told
from tests.agent.engine import benches
from tests.parts import device_faults, settled
from tests.parts.device_faults import HOWS
from tests.parts.device_kills import NEW
from tests.parts.settled import Box, Mixed, Shown

pytestmark = pytest.mark.slow

SEED = int.from_bytes(clock.entropy(4))
EACH = 8  # points


@pytest.mark.parametrize("fault", HOWS)
@told
async def test_a_fault_at_any_place_of_an_attempt_ends_in_old_new_or_degraded(fault: str) -> None:
    for point in device_faults.sampled(fault, await device_faults.points(fault), EACH, SEED):
        await device_faults.tried(point)


@told
async def test_a_refusal_has_one_receipt_whenever_the_agent_dies() -> None:
    for point in await device_faults.points("journal"):
        if point.story == "refused":
            await device_faults.tried(point)


@told
async def test_what_an_engine_was_not_there_to_take_is_asked_of_it_again() -> None:
    for point in await device_faults.points("daemon"):
        if (point.story, point.how) == ("bad first", "before the step, back at once, agent alive"):
            await device_faults.tried(point)


@told
async def test_the_stories_have_an_agent_write_in_every_state_there_is() -> None:
    states = {state for story in NEW for state in (await device_faults.unharmed(story)).states}
    assert states == set(State) - {State.WAITING_APPROVAL}, "nobody is asked for an approval yet"


@told
async def test_a_degraded_device_whose_last_known_good_comes_well_after_its_grace_is_degraded_no_more() -> None:
    device = Device()
    assert await device.deploy(small.quick(1)) is State.COMMITTED
    attempt = device.order(small.exits(2, after=2))
    await device.drive(lambda: device.position.state is State.VERIFYING)
    play(device, "deaf")  # what ran before will run, and answer nobody
    await device.drive(lambda: device.position.state is State.DEGRADED and device.position.tries > 3)
    assert device.ended(attempt)
    play(device, "")
    await device.drive(lambda: device.position.state is State.ROLLED_BACK)
    await device.settle()
    assert device.at_rest


def play(device: Device, script: str) -> None:
    """Have the containers of what is active do this from now on."""
    active = device.parts.slots.active
    assert active is not None
    with device.ground.world(device.clock.monotonic()) as world:
        for box in world.boxes.values():
            if box.attempt == active.attempt:
                box.script = script


# ---- What the oracle catches. ----

OLD = benches.slot("d" * 26, small.pair(1), attempt="0" * 25 + "1")
LATER = benches.slot("d" * 26, small.pair(2), attempt="0" * 25 + "2")


def boxes(slot: Slot) -> tuple[Box, ...]:
    return tuple(
        Box(slot.container(name), slot.device, slot.attempt, each.image, running=True, healthy=True, policy="always")
        for name, each in slot.manifest.services.items()
    )


NEWER = Shown(
    LATER.device,
    LATER.attempt,
    OLD.attempt,
    State.COMMITTED,
    LATER,
    boxes(LATER),
    frozenset({LATER.network("default")}),
    (State.COMMITTED,),
)
BACK = replace(NEWER, state=State.ROLLED_BACK, active=OLD, boxes=boxes(OLD), told=(State.ROLLED_BACK,))
STRANGER = replace(boxes(LATER)[0], name="stranger", device="", attempt="", running=False, policy="no")


def test_all_new_all_old_and_degraded_are_the_three_ends() -> None:
    assert settled.settled(NEWER) == "new"
    assert settled.settled(BACK) == "old"
    assert settled.settled(replace(BACK, told=(State.DEGRADED, State.ROLLED_BACK))) == "old"
    degraded = replace(BACK, state=State.DEGRADED, boxes=boxes(OLD)[:1], told=(State.DEGRADED,))
    assert settled.settled(degraded) == "degraded"
    assert settled.settled(replace(NEWER, boxes=(*boxes(LATER), STRANGER), others=frozenset({"stranger"}))) == "new"


@pytest.mark.parametrize(
    ("shown", "why"),
    [
        (replace(NEWER, boxes=(boxes(LATER)[0], boxes(OLD)[1])), "run at once"),
        (replace(NEWER, boxes=(*boxes(LATER), replace(boxes(OLD)[0], running=False))), "would run at once"),
        (replace(NEWER, boxes=(*boxes(LATER), replace(boxes(OLD)[0], running=False, policy="no"))), "nobody needs"),
        (replace(NEWER, boxes=(*boxes(LATER), STRANGER)), "belong to no attempt"),
        (replace(NEWER, boxes=boxes(LATER)[:1]), "does not run well"),
        (replace(NEWER, boxes=(boxes(LATER)[0], replace(boxes(LATER)[1], healthy=False))), "does not run well"),
        (replace(NEWER, boxes=(boxes(LATER)[0], replace(boxes(LATER)[1], image="sha256:0"))), "another image"),
        (replace(NEWER, boxes=(boxes(LATER)[0], replace(boxes(LATER)[1], policy="no"))), "has the policy no"),
        (replace(NEWER, active=OLD), "is active"),
        (replace(NEWER, networks=frozenset()), "networks are"),
        (replace(NEWER, told=()), "has heard"),
        (replace(NEWER, told=(State.COMMITTED, State.COMMITTED)), "has heard"),
        (replace(BACK, state=State.DEGRADED, told=()), "nobody has been told"),
        (replace(BACK, boxes=()), "does not run well"),
        (replace(NEWER, state=State.VERIFYING), "has not ended"),
    ],
    ids=lambda each: each.replace(" ", "_") if isinstance(each, str) else "",
)
def test_the_oracle_knows_a_mix_a_stranger_and_a_silence(shown: Shown, why: str) -> None:
    with pytest.raises(Mixed, match=why):
        settled.settled(shown)
