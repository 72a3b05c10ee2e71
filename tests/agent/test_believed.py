# SPDX-License-Identifier: Apache-2.0
"""What a device believes survives power cuts, damage and planes that lie; what is refused changes nothing."""

import asyncio
from datetime import datetime, timedelta

import pytest

from checkvalve.agent.believed import STORED_EVERY, Believed
from checkvalve.agent.disk.simulated import PowerCut, SimulatedDisk
from checkvalve.agent.link.simulated import Simulated
from checkvalve.agent.trust import BUILT, Floor
from checkvalve.crypto import keys
from checkvalve.crypto.metadata import SNAPSHOT, TARGETS, TIMESTAMP
from checkvalve.errors import CheckvalveError, InvalidError, UnavailableError
from checkvalve.protocol import time
from tests.agent.plane import Estate
from tests.crypto import world
from tests.crypto.world import NOON

FILES = ("root", "timestamp", "snapshot", "targets")
PASSED = STORED_EVERY // 1000 + 10  # seconds after which the floor is written again


class Device:
    """A device's belief, and its plane."""

    def __init__(self, estate: Estate | None = None, disk: SimulatedDisk | None = None) -> None:
        self.estate = estate or Estate()
        self.disk = disk or SimulatedDisk()
        self.link = Simulated(self.estate.plane, "")

    def opened(self, monotonic: float = 0.0) -> Believed:
        return Believed(self.disk, self.estate.plane.root, monotonic)

    def refreshed(self, now: datetime = NOON) -> Believed:
        believed = self.opened()
        asyncio.run(believed.refresh(self.link, now))
        return believed


def refused(device: Device, now: datetime = NOON) -> CheckvalveError:
    with pytest.raises(CheckvalveError) as caught:
        device.refreshed(now)
    return caught.value


def _cut(device: Device) -> bool:
    """Refresh until the power is cut; tell whether it was."""
    try:
        device.refreshed()
    except PowerCut:
        device.disk.crash()
        return True
    return False


def files(device: Device) -> dict[str, bytes]:
    return {name: device.disk.read(f"trust/{name}") for name in device.disk.names("trust")}


def test_a_device_fetches_what_is_signed_and_finds_it_again_after_a_restart() -> None:
    device = Device()
    trusted = device.refreshed().trusted
    assert (trusted.timestamp_version, trusted.snapshot_version, trusted.targets_version) == (1, 1, 1)
    assert device.opened().trusted == trusted


def test_a_refresh_that_finds_nothing_new_writes_nothing() -> None:
    device = Device()
    device.refreshed()
    before = device.disk.operations
    device.refreshed()
    assert device.disk.operations == before


def test_a_device_that_was_away_follows_each_root_and_the_newest_list() -> None:
    device = Device()
    device.refreshed()
    for _ in range(5):
        device.estate.new_root()
    device.estate.publish(TARGETS, SNAPSHOT, TIMESTAMP)
    trusted = device.refreshed().trusted
    assert (trusted.root_version, trusted.targets_version) == (6, 2)
    assert device.opened().trusted == trusted


def test_more_than_64_roots_are_followed_in_more_than_one_go() -> None:
    device = Device()
    for _ in range(70):
        device.estate.new_root()
    assert device.refreshed().trusted.root_version == 65
    assert device.refreshed().trusted.root_version == 71


def test_a_root_that_replaces_keys_makes_forget_what_they_signed() -> None:
    device = Device()
    device.refreshed()
    device.estate.origin.hold(TARGETS, [10], 1, [10])
    device.estate.new_root()
    device.estate.publish(TARGETS, SNAPSHOT, TIMESTAMP)
    trusted = device.refreshed().trusted
    assert trusted.targets_version == 2
    assert device.opened().trusted == trusted


@pytest.mark.parametrize("role", [TIMESTAMP, SNAPSHOT, TARGETS])
def test_a_file_that_is_not_signed_as_the_root_says_changes_nothing(role: str) -> None:
    device = Device()
    before = device.refreshed().trusted
    device.estate.origin.holders[role].signing = [20]
    device.estate.publish(TARGETS, SNAPSHOT, TIMESTAMP)
    assert refused(device).code == "metadata.signature"
    after = device.opened().trusted
    assert getattr(after, f"{role}_version") == getattr(before, f"{role}_version") == 1


def test_a_plane_that_goes_back_is_not_followed() -> None:
    device = Device()
    old = dict(device.estate.plane.metadata)
    device.estate.publish(TARGETS, SNAPSHOT, TIMESTAMP)
    before = device.refreshed().trusted
    device.estate.plane.metadata = old
    assert refused(device).code == "metadata.rollback"
    assert device.opened().trusted == before


def test_expired_metadata_are_not_taken_and_what_was_taken_stays() -> None:
    device = Device()
    before = device.refreshed().trusted
    assert refused(device, world.LATER + timedelta(days=1)).code == "metadata.expired"
    assert device.opened().trusted == before


def test_a_plane_without_a_list_or_out_of_reach_is_asked_again_later() -> None:
    device = Device()
    kept = dict(device.estate.plane.metadata)
    del device.estate.plane.metadata["timestamp.json"]
    error = refused(device)
    assert isinstance(error, UnavailableError)
    assert error.code == "metadata.missing"
    device.estate.plane.metadata = kept
    device.estate.plane.knobs.unreachable = True
    assert refused(device).code == "link.unreachable"
    device.estate.plane.knobs.unreachable = False
    assert device.refreshed().trusted.targets_version == 1


@pytest.mark.parametrize("damage", [b"", b"\0" * 100, b"{}"])
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_dropped_and_fetched_again(name: str, damage: bytes) -> None:
    device = Device()
    device.estate.new_root()
    whole = device.refreshed().trusted
    device.disk.damage(f"trust/{name}.json", damage)
    left = device.opened().trusted
    assert left.root_version == (1 if name == "root" else 2)
    assert device.refreshed().trusted == whole


def test_after_a_power_cut_at_any_moment_the_device_goes_on_from_what_it_has() -> None:
    for at in range(200):
        device = Device(disk=SimulatedDisk(seed=at))
        device.refreshed()
        device.estate.origin.hold(SNAPSHOT, [11], 1, [11])
        device.estate.new_root()
        device.estate.publish(TARGETS, SNAPSHOT, TIMESTAMP)
        device.disk.cut_after(at)
        if not _cut(device):
            return  # no operation was left to cut
        left = device.opened().trusted
        assert left.root_version in (1, 2)
        assert left.targets_version in (1, 2)
        assert device.refreshed().trusted.targets_version == 2
    pytest.fail("a refresh does not end")


def test_what_goes_back_to_the_root_of_another_plane_is_dropped() -> None:
    device = Device()
    believed = device.refreshed()
    believed.hear(device.estate.plane.time(), device.estate.plane.orders_key.public_key(), 0.0)
    other = Estate(name="other")
    other.origin = world.Origin()
    other.origin.hold("root", [30], 1, [30])
    other.publish("root", "targets", "snapshot", "timestamp")
    other.plane.root = other.origin.roots[0]
    moved = Device(other, device.disk)
    assert moved.opened().trusted.timestamp is None
    assert moved.opened().floor == Floor()
    assert moved.refreshed().trusted.targets_version == 1
    assert set(files(moved)) == {"first.json", "timestamp.json", "snapshot.json", "targets.json"}


def test_no_device_begins_without_a_root() -> None:
    with pytest.raises(InvalidError):
        Believed(SimulatedDisk(), b"no root", 0.0)


# ---- Time. ----


def test_the_floor_is_what_the_plane_signed_and_survives_a_restart() -> None:
    device = Device()
    believed = device.opened(monotonic=500.0)
    assert believed.floor.at(500.0) == BUILT
    heard = believed.hear(device.estate.plane.time(), device.estate.plane.orders_key.public_key(), 510.0)
    assert heard == int(NOON.timestamp() * 1000)
    assert believed.floor.at(510.0) == NOON
    assert device.opened(monotonic=3.0).floor.at(3.0) == NOON


def test_a_time_that_another_key_signed_moves_nothing() -> None:
    device = Device()
    believed = device.opened()
    text = time.write(keys.make(), int(NOON.timestamp() * 1000))
    with pytest.raises(InvalidError):
        believed.hear(text, device.estate.plane.orders_key.public_key(), 0.0)
    assert believed.floor.at(0.0) == BUILT


def test_the_floor_is_written_about_once_an_hour() -> None:
    device = Device()
    believed, key = device.opened(), device.estate.plane.orders_key
    begin = int(NOON.timestamp() * 1000)
    believed.hear(time.write(key, begin), key.public_key(), 0.0)
    before = device.disk.operations
    for second in range(60, PASSED - 60, 60):
        believed.hear(time.write(key, begin + second * 1000), key.public_key(), float(second))
    assert device.disk.operations == before
    believed.hear(time.write(key, begin + PASSED * 1000), key.public_key(), float(PASSED))
    assert device.disk.operations > before
    assert device.opened().floor.unix(0.0) == begin + PASSED * 1000


@pytest.mark.parametrize("damage", [b"", b"9999999999999 0\n", b"9999999999999", b"\xff\xfe", b"-5 x"])
def test_a_damaged_floor_is_dropped(damage: bytes) -> None:
    device = Device()
    device.opened().hear(device.estate.plane.time(), device.estate.plane.orders_key.public_key(), 0.0)
    device.disk.damage("trust/time", damage)
    assert device.opened().floor.at(0.0) == BUILT


def test_an_older_signed_time_played_again_does_not_take_the_floor_back() -> None:
    device = Device()
    key = device.estate.plane.orders_key
    believed = device.opened()
    believed.hear(time.write(key, int(NOON.timestamp() * 1000)), key.public_key(), 0.0)
    believed.hear(time.write(key, 1), key.public_key(), 1.0)
    assert believed.floor.at(1.0) >= NOON
