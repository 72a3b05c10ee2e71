# SPDX-License-Identifier: Apache-2.0
"""Lock-out tags and windows of a device: hung and opened by people, and by nothing else."""

from datetime import timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from checkvalve import canonical
from checkvalve.agent import holds, identity, local, policy, window
from checkvalve.agent.clocks.simulated import SimulatedClock
from checkvalve.agent.disk.simulated import PowerCut, SimulatedDisk
from checkvalve.agent.steps import Failure
from checkvalve.crypto import keys
from checkvalve.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError, UnavailableError
from checkvalve.protocol import exchange
from checkvalve.protocol.exchange import MOST_TAGS, Hold, State, Tag
from tests.agent import small
from tests.agent.device import Device, told

TAG = Tag(id="01jd0000000000000000000001", name="Anna", reason="pump seal", number="4711", at=1, by="device")
THEIRS = Tag(id="01jd0000000000000000000002", name="Bo", reason="freeze", at=2, by="plane", where="Visby")


def _item(*tags: Tag) -> bytes:
    return msgspec.json.encode(Hold(tags=tags))


# ---- Tags. ----


def test_a_tag_hangs_until_it_is_lifted_where_it_was_hung() -> None:
    disk = SimulatedDisk()
    assert holds.all_(disk) == ()
    holds.hang(disk, TAG)
    holds.hang(disk, TAG)
    holds.told(disk, [THEIRS])
    assert (holds.here(disk), holds.plane(disk), holds.all_(disk)) == ((TAG,), (THEIRS,), (TAG, THEIRS))
    with pytest.raises(ForbiddenError) as caught:
        holds.lift(disk, THEIRS.id)
    assert caught.value.code == "hold.plane"
    assert holds.lift(disk, TAG.id) == TAG
    with pytest.raises(NotFoundError):
        holds.lift(disk, TAG.id)
    assert holds.all_(disk) == (THEIRS,)


def test_the_planes_set_is_replaced_whole_and_touches_no_tag_of_the_devices() -> None:
    disk = SimulatedDisk()
    holds.hang(disk, TAG)
    assert holds.told(disk, [THEIRS])
    assert not holds.told(disk, [THEIRS])
    assert holds.told(disk, [structs.replace(THEIRS, id=TAG.id, by="device")])
    assert [each.by for each in holds.all_(disk)] == ["device", "plane"], "whatever the plane calls it"
    assert holds.told(disk, [])
    assert holds.all_(disk) == (TAG,)


def test_so_many_tags_and_no_more() -> None:
    disk = SimulatedDisk()
    for number in range(holds.MOST):
        holds.hang(disk, structs.replace(TAG, id=f"{number}"))
    with pytest.raises(ConflictError):
        holds.hang(disk, TAG)
    holds.told(disk, [structs.replace(THEIRS, id=f"p{number}") for number in range(MOST_TAGS)])
    assert len(holds.seen(disk)) == MOST_TAGS


def test_a_tag_that_no_status_could_hold_is_not_hung() -> None:
    disk = SimulatedDisk()
    for bad in ({"reason": "r" * 1_001}, {"name": "n" * 101}, {"name": "a\0b"}, {"at": -1}):
        with pytest.raises(InvalidError):
            holds.hang(disk, structs.replace(TAG, **bad))
    assert holds.all_(disk) == ()


@given(st.binary(max_size=300))
def test_a_damaged_file_of_tags_holds_the_device(data: bytes) -> None:
    for name in (holds.HERE, holds.PLANE):
        disk = SimulatedDisk()
        disk.replace(name, data)
        found = local.read(disk, SimulatedClock())
        assert isinstance(found.tags, Failure)
        assert found.tags.code == "hold.damaged"
        assert len(found.tags.sentence) < 900
        assert holds.seen(disk) == ()


def test_damage_ends_when_people_say_what_hangs() -> None:
    disk = SimulatedDisk()
    disk.replace(holds.HERE, b"")
    disk.replace(holds.PLANE, b"")
    with pytest.raises(InvalidError):
        holds.hang(disk, TAG)
    with pytest.raises(InvalidError):
        holds.lift(disk, TAG.id)
    holds.clear(disk)
    holds.told(disk, [THEIRS])
    assert holds.all_(disk) == (THEIRS,)


def test_a_power_cut_while_a_tag_is_hung_or_lifted_leaves_all_or_nothing_of_it() -> None:
    for place in range(12):
        for seed in range(6):
            disk = SimulatedDisk(seed)
            holds.hang(disk, TAG)
            disk.cut_after(place)
            try:
                holds.hang(disk, structs.replace(TAG, id="2"))
                holds.lift(disk, TAG.id)
            except PowerCut:
                pass
            disk.crash()
            assert [each.id for each in holds.here(disk)] in ([TAG.id], [TAG.id, "2"], ["2"])


# ---- Tags on a device. ----


@told
async def test_a_tag_of_the_planes_holds_the_device_until_the_plane_lifts_it() -> None:
    device = Device()
    device.plane.order(device.id, _item(THEIRS))
    await device.drive(lambda: bool(holds.plane(device.disk)))
    attempt = device.order(small.quick(1))
    await device.drive(lambda: device.position.state is State.HELD)
    await device.drive(lambda: any(each.held for each in device.plane.kept.statuses.values()))
    status = list(device.plane.kept.statuses.values())[-1]
    assert (status.state, status.code, status.reason) == (State.HELD, "hold.hung", "Held by Bo at Visby: freeze.")
    assert status.held == (THEIRS,)
    device.plane.order(device.id, _item())
    await device.drive(lambda: device.ended(attempt))
    assert device.position.state is State.COMMITTED
    notes = [each.reason for each in device.parts.journal.events(0, 1_000) if each.code == "hold.told"]
    assert notes == ["Held by Bo at Visby: freeze.", "No tag of the plane's hangs any more."]


@told
async def test_a_tag_and_a_release_in_one_envelope_hold_the_release() -> None:
    device = Device()
    made = small.quick(1)
    device.plane.blobs = dict(made.blobs)
    deploy = exchange.Deploy(attempt="01jd0000000000000000000009", target=device.estate.lists(made.manifest, 1))
    device.plane.order(device.id, msgspec.json.encode(deploy), _item(THEIRS))
    await device.drive(lambda: device.position.state is State.HELD)
    assert device.runs == ""


@pytest.mark.parametrize("place", range(10))
@told
async def test_a_tag_is_hung_before_the_counter_that_says_so_wherever_the_power_goes(place: int) -> None:
    device = Device(seed=place)
    await device.settle()
    device.plane.order(device.id, _item(THEIRS))
    device.disk.cut_after(place)
    try:
        for _ in range(3):
            await device.visit.turn()
    except PowerCut:
        device.crash()
    device.disk.memory.cut_at = None
    assert device.position.counter == 0 or holds.plane(device.disk) == (THEIRS,)
    await device.drive(lambda: device.position.counter == 1)
    assert holds.plane(device.disk) == (THEIRS,)


@told
async def test_tags_come_with_signed_orders_only_and_none_comes_again() -> None:
    device = Device()
    await device.settle()
    true = device.plane.order(device.id, _item(THEIRS))
    await device.drive(lambda: device.position.counter == 1)
    device.plane.order(device.id, _item())
    await device.drive(lambda: device.position.counter == 2)
    device.plane.kept.members[device.id].orders = true  # the older set, once more
    await device.visit.turn()
    assert holds.all_(device.disk) == ()
    device.plane.orders_key = keys.make()
    device.plane.order(device.id, _item(THEIRS))
    await device.visit.turn()
    assert holds.all_(device.disk) == ()


@told
async def test_a_device_that_only_observes_takes_tags() -> None:
    device = Device()
    device.disk.replace(identity.OBSERVE, identity.OBSERVING)
    device.plane.order(device.id, _item(THEIRS))
    await device.drive(lambda: holds.plane(device.disk) == (THEIRS,))


@told
async def test_a_full_disk_takes_no_tag_and_the_orders_come_again() -> None:
    device = Device()
    await device.settle()
    device.plane.order(device.id, _item(THEIRS))
    device.disk.full_after(100)
    for _ in range(3):
        await device.visit.turn()
    assert device.position.counter == 0
    device.disk.full_after(1 << 30)
    await device.drive(lambda: holds.plane(device.disk) == (THEIRS,))


@told
async def test_a_tag_hung_in_the_middle_of_a_switch_stops_neither_it_nor_the_return() -> None:
    device = Device()
    await device.deploy(small.quick(1))
    attempt = device.order(small.exits(2))
    await device.drive(lambda: device.position.state is State.SWITCHING)
    holds.hang(device.disk, TAG)
    await device.drive(lambda: device.ended(attempt))
    await device.settle()
    assert (device.position.state, device.runs) == (State.ROLLED_BACK, small.quick(1).digest)


# ---- Windows. ----


def test_a_window_is_open_for_its_minutes_by_the_clock_that_never_jumps() -> None:
    clock, disk = SimulatedClock(leaps=True), SimulatedDisk()
    assert window.opened(disk, clock) is None
    made = window.open_(disk, clock, 45, "anna")
    assert window.opened(disk, clock) == made
    assert window.until(disk, clock) == int((clock.now() + timedelta(minutes=45)).timestamp() * 1000)
    clock.jump(-86_400 * 400)
    clock._passed += 45 * 60 - 1
    assert window.opened(disk, clock) == made
    clock._passed += 1
    assert window.opened(disk, clock) is None
    clock.jump(-86_400)
    assert window.until(disk, clock) == 0, "a wall clock that is set back opens nothing"


def test_a_reboot_closes_it_and_a_restart_of_the_agent_does_not() -> None:
    clock, disk = SimulatedClock(), SimulatedDisk()
    window.open_(disk, clock, 480)
    disk.kill()
    assert window.opened(disk, clock)
    clock.boot()
    assert window.opened(disk, clock) is None


def test_a_window_can_be_closed_twice_and_opened_anew() -> None:
    clock, disk = SimulatedClock(), SimulatedDisk()
    window.open_(disk, clock, 480)
    shorter = window.open_(disk, clock, 1)
    assert window.opened(disk, clock) == shorter
    window.close(disk)
    window.close(disk)
    assert window.opened(disk, clock) is None


@pytest.mark.parametrize("minutes", [0, -1, 481, 10**9])
def test_no_window_is_open_for_longer_than_a_shift(minutes: int) -> None:
    with pytest.raises(InvalidError) as caught:
        window.open_(SimulatedDisk(), SimulatedClock(), minutes)
    assert caught.value.code == "window.minutes"


def test_a_host_that_does_not_name_its_boot_opens_no_window(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, disk = SimulatedClock(), SimulatedDisk()
    window.open_(disk, clock, 10)
    monkeypatch.setattr(clock, "boot_id", str)
    with pytest.raises(UnavailableError):
        window.open_(disk, clock, 10)
    assert window.opened(disk, clock) is None


@given(st.binary(max_size=300))
def test_a_damaged_window_is_closed(data: bytes) -> None:
    disk = SimulatedDisk()
    disk.replace(window.FILE, data)
    assert window.opened(disk, SimulatedClock()) is None


@told
async def test_a_device_that_needs_a_window_waits_until_somebody_opens_it_for_long_enough() -> None:
    device = Device()
    device.disk.replace(policy.FILE, canonical.dumps({"window": "opened"}))
    attempt = device.order(small.pair(1))
    await device.drive(lambda: device.position.state is State.WAITING_WINDOW)
    assert device.position.reason.endswith("needs one of 1 min.")
    window.open_(device.disk, device.clock, 1)
    await device.clock.advance(45)
    await device.work.turn()
    assert device.parts.shared.trouble is not None
    assert device.parts.shared.trouble.code == "window.short"
    device.crash()
    window.open_(device.disk, device.clock, 45)
    await device.drive(lambda: device.ended(attempt))
    assert device.position.state is State.COMMITTED
