# SPDX-License-Identifier: Apache-2.0
"""The law of the permit, on a whole device: whatever people and power do, nothing is switched without its yes."""

import asyncio
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from checkvalve.agent import holds, local, policy, waiting, window
from checkvalve.agent.permits.simulated import NO, YES
from checkvalve.agent.policy import Policy
from checkvalve.agent.waiting import GOOD
from checkvalve.protocol.exchange import State, Tag
from tests.agent import small
from tests.agent.device import Device

POLICY = b'{"permit": {"kind": "file", "path": "/run/line/permit"}, "window": "opened"}'
TAG = Tag(id="01jd0000000000000000000001", name="Anna", reason="pump seal", at=1, by="device")
THEIRS = Tag(id="01jd0000000000000000000002", name="Bo", reason="freeze", at=1, by="plane")
ACTS = """yes yes yes no hang lift lift freeze thaw thaw open open open brief close spoil mend mend trip kill crash
          fill empty empty 1 5 60""".split()


@dataclass
class Line:
    """People and plant around a device. `asked` are the times and answers of its permit."""

    device: Device
    asked: list[tuple[float, bool]]
    trips: bool = False  # somebody hangs a tag in the very moment in which the permit is asked

    def before(self) -> None:
        device = self.device
        self.asked.append((device.clock.monotonic(), device.permits.last is YES))
        if self.trips:
            holds.hang(device.disk, TAG)

    async def act(self, what: str) -> None:  # noqa: C901, PLR0912  # one case an act
        device = self.device
        match what:
            case "yes" | "no":
                device.permits.last = YES if what == "yes" else NO
            case "hang":
                holds.hang(device.disk, TAG)
            case "lift":
                self.trips = False
                holds.clear(device.disk)
            case "freeze" | "thaw":
                holds.told(device.disk, [THEIRS] if what == "freeze" else [])
            case "open" | "brief":
                window.open_(device.disk, device.clock, 45 if what == "open" else 1)
            case "close":
                window.close(device.disk)
            case "spoil":
                device.disk.replace(policy.FILE, POLICY[:-1])
            case "mend":
                device.disk.replace(policy.FILE, POLICY)
            case "trip":
                self.trips = True
            case "kill":
                device.kill()
            case "crash":
                device.crash()
                self.asked.clear()  # of another boot's clock
            case "fill" | "empty":
                device.disk.full_after(0 if what == "fill" else 1 << 30)
            case _:
                device.clock.jump(float(what) * 1_000)
                await device.clock.advance(float(what))


def _switched(device: Device) -> bool:
    events = device.parts.journal.events(0, 1_000)
    return any(each.kind == "state" and each.state is State.SWITCHING for each in events)


async def _story(acts: list[tuple[str, int]]) -> bool:
    device = Device()
    people = Line(device, [])
    device.permits.before, device.permits.last = people.before, NO
    device.disk.replace(policy.FILE, POLICY)
    device.order(small.quick(1))
    await device.drive(lambda: device.position.state is State.WAITING_WINDOW)
    for what, turns in acts:
        if device.disk.free() == 0 and what not in {"empty", "yes", "no", "kill", "crash"}:
            continue  # nothing can be laid down on a full disk; the act would fail before it is one
        await people.act(what)
        for _ in range(turns):
            seconds = await device.work.turn()
            if _switched(device):
                _allowed(device, people)
                return True
            await device.clock.advance(min(seconds, 1.0))
    assert device.runs == ""
    with device.ground.world(device.clock.monotonic()) as world:
        assert not world.boxes
    return False


def _allowed(device: Device, people: Line) -> None:
    """Assert that this is a moment in which it may be switched. Nothing has happened since the record was written."""
    now, found = device.clock.monotonic(), local.read(device.disk, device.clock)
    slot = device.parts.slots.staged(device.position.attempt)
    assert slot is not None
    assert [yes for _, yes in people.asked[-2:]] == [True, True]
    assert now - people.asked[-1][0] <= GOOD
    assert found.tags == ()
    assert isinstance(found.policy, Policy)
    assert found.ends is not None
    assert found.ends >= now + waiting.longest(slot)


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.sampled_from(ACTS), st.integers(0, 4)), min_size=5, max_size=40))
def test_no_switching_is_written_unless_the_permit_said_yes_no_tag_hangs_and_the_window_is_open(
    acts: list[tuple[str, int]],
) -> None:
    asyncio.run(_story(acts))


def test_the_story_can_end_in_a_switch() -> None:
    assert asyncio.run(_story([("yes", 1), ("open", 6)]))
    assert not asyncio.run(_story([("yes", 1), ("trip", 1), ("open", 6)]))
