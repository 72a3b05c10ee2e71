# SPDX-License-Identifier: Apache-2.0
"""A device that can no longer read what is installed on it: what runs goes on, and people hear of it."""

import pytest

from checkvalve.agent.upkeep import LOST
from checkvalve.protocol.exchange import State
from tests.agent import small
from tests.agent.device import Device, told


@pytest.mark.parametrize("kind", ["manifest", "json"])
@told
async def test_what_runs_goes_on_though_its_only_slot_is_lost_and_the_plane_hears_of_it(kind: str) -> None:
    device = Device()
    assert await device.deploy(small.quick(1)) is State.COMMITTED
    await device.settle()
    before = boxes(device)
    device.disk.damage(f"slots/{device.position.attempt}.{kind}", b"")
    device.kill()
    assert device.runs == ""
    await device.drive(lambda: any(each.code == LOST.code for each in device.plane.kept.statuses.values()))
    assert boxes(device) == before
    assert await device.deploy(small.quick(2)) is State.COMMITTED
    await device.settle()
    assert device.runs == small.quick(2).digest


@told
async def test_a_release_that_is_ordered_again_for_a_lost_slot_takes_its_place() -> None:
    device = Device()
    assert await device.deploy(small.quick(1)) is State.COMMITTED
    await device.settle()
    device.disk.damage(f"slots/{device.position.attempt}.json", b"")
    device.kill()
    assert await device.deploy(small.quick(1)) is State.COMMITTED
    await device.settle()
    assert device.runs == small.quick(1).digest


@told
async def test_a_device_that_never_committed_anything_has_nothing_running() -> None:
    device = Device()
    assert await device.deploy(small.exits(1)) is State.ROLLED_BACK
    await device.settle()
    assert device.parts.shared.trouble is None
    assert boxes(device) == {}


def boxes(device: Device) -> dict[str, str]:
    with device.ground.world(device.clock.monotonic()) as world:
        return {each.name: each.status for each in world.boxes.values() if each.device == device.id}
