# SPDX-License-Identifier: Apache-2.0
"""What a device takes of its line and its disk: never more than its people allow, and never a byte for nothing."""

import asyncio
import functools
import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from checkvalve.agent import budget, loop, policy, situation, space, upkeep
from checkvalve.agent.budget import MIB, Budget, Means, Needed, Refuse, Room, Wait
from checkvalve.agent.clocks.simulated import BEGIN, SimulatedClock
from checkvalve.agent.disk.simulated import SimulatedDisk
from checkvalve.agent.meter import FILE, Meter
from checkvalve.agent.steps import Observed
from checkvalve.errors import InvalidError
from checkvalve.protocol import workload
from checkvalve.protocol.enrol import LinkClass
from checkvalve.protocol.exchange import State, Status
from tests.agent import small, world
from tests.agent.device import Device, told
from tests.agent.engine.images import Built, Made, release, service
from tests.parts import archives

NOON = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)
LARGE = Room(disk=0, free=8 << 30, whole=16 << 30)


def means(**changes: object) -> Means:
    plain: dict[str, object] = {"here": LARGE, "engine": LARGE, "local": NOON, "offset": 0, **changes}
    return Means(**plain)  # type: ignore[arg-type]  # a test says what it needs


def asked(budget_: Budget = Budget(), needed: Needed = Needed(MIB), **changes: object) -> str:  # noqa: B008
    found = budget.judge(budget_, means(**changes), needed)
    return "" if found is None else found.code


@pytest.mark.parametrize(
    "value",
    [
        {"rate_kib_s": 0},
        {"rate_kib_s": "64"},
        {"month_mib": -1},
        {"fetch_hours": ["25:00-05:00"]},
        {"fetch_hours": ["5-7"]},
        {"fetch_hours": ["05:00-05:00"]},
        {"fetch_hours": ["24:00-05:00"]},
        {"fetch_hours": "22:00-05:00"},
        {"fetch_hours": ["22:00-05:00"] * 17},
        {"headroom_percent": 91},
        {"headrom_mib": 5},
        [],
        7,
    ],
)
def test_what_is_not_exactly_a_budget_is_none(value: object) -> None:
    with pytest.raises(InvalidError, match=r"budget\.form"):
        budget.read(value)
    with pytest.raises(InvalidError, match=r"policy\.damaged"):
        policy.parse(msgspec.json.encode({"budget": value}))


def test_a_budget_is_part_of_the_policy() -> None:
    said = {"rate_kib_s": 64, "month_mib": 500, "fetch_hours": ["22:00-05:00"], "headroom_percent": 10}
    assert policy.parse(msgspec.json.encode({"budget": said})).budget == budget.read(said)
    assert policy.parse(b"{}").budget == Budget()


@given(
    begin=st.integers(0, 1439),
    length=st.integers(1, 1439),
    at=st.integers(0, 1439),
)
def test_hours_hold_for_exactly_their_length_also_over_midnight(begin: int, length: int, at: int) -> None:
    end = (begin + length) % 1440
    hours = f"{begin // 60:02}:{begin % 60:02}-{end // 60:02}:{end % 60:02}"
    local = NOON.replace(hour=at // 60, minute=at % 60)
    opened = (at - begin) % 1440 < length
    assert asked(Budget(fetch_hours=(hours,)), local=local) == ("" if opened else "fetch.hours")


def test_the_whole_day_can_be_said() -> None:
    for hour in range(24):
        assert asked(Budget(fetch_hours=("00:00-24:00",)), local=NOON.replace(hour=hour, minute=59)) == ""


@pytest.mark.parametrize(("offset", "code"), [(None, "fetch.clock"), (-120_001, "fetch.clock"), (120_000, "")])
def test_hours_are_believed_only_of_a_clock_that_is_known_to_two_minutes(offset: int | None, code: str) -> None:
    assert asked(Budget(fetch_hours=("11:00-13:00",)), offset=offset) == code
    assert asked(Budget(), offset=offset) == ""  # without hours the clock does not matter


def test_what_a_waiting_device_says_does_not_move_by_itself() -> None:
    said = Budget(fetch_hours=("22:00-05:00",))
    sentences = {
        found.sentence
        for minute, offset in itertools.product(range(60), (0, 5_000))
        if isinstance(
            found := budget.judge(said, means(local=NOON.replace(minute=minute), offset=offset), Needed(1)), Wait
        )
    }
    assert len(sentences) == 1


@pytest.mark.parametrize(
    ("whole_gib", "said", "mib"),
    [
        (4, Budget(), 204),
        (64, Budget(), 256),
        (64, Budget(headroom_percent=5), 3276),
        (64, Budget(headroom_mib=10), 10),
        (64, Budget(headroom_mib=4000, headroom_percent=5), 4000),
        (64, Budget(headroom_mib=0), 0),
    ],
)
def test_some_room_stays_free(whole_gib: int, said: Budget, mib: int) -> None:
    assert budget.headroom(said, Room(0, 0, whole_gib << 30)) // MIB == mib


def test_a_release_without_room_is_refused_with_all_three_numbers() -> None:
    room = Room(0, 640 * MIB, 4 << 30)
    found = budget.judge(Budget(headroom_mib=128), means(here=room, engine=room), Needed(300 * MIB, 512 * MIB))
    assert found == Refuse(
        "disk.full",
        "This release needs 812 MiB on this device's disk, 640 MiB are free, and 128 MiB stay reserved.",
    )


def test_two_disks_are_two_questions() -> None:
    small_, large = Room(1, 300 * MIB, 1 << 30), Room(2, 9 << 30, 10 << 30)
    assert asked(needed=Needed(200 * MIB, 4 << 30), here=small_, engine=large) == ""
    assert asked(needed=Needed(200 * MIB, 4 << 30), here=large, engine=small_) == "disk.full"
    assert asked(needed=Needed(200 * MIB, 4 << 30), here=small_, engine=small_) == "disk.full"


def test_room_counts_what_is_here_already_once_and_the_archive_besides() -> None:
    old, new = world.slot(1, world.line("1")), world.slot(2, world.line("2"))
    had = Observed(images=frozenset(old.manifest.images))
    blobs = [layer for image in new.manifest.images.values() for layer in image.layers]
    own = {layer.digest for layer in blobs} | set(new.manifest.images)
    assert space.needed(new, own, means(), Observed(images=frozenset(new.manifest.images)), ()) == Needed(0, 0)
    # Three layers are new, of which the base is the old release's; 1000 bytes each, and 100 for each config.
    assert space.needed(new, (), means(), had, (old,)) == Needed(3 * 1_000 + 2 * 100, 2 * 1_000 + 1_000)
    assert space.needed(new, (), means(), Observed(), ()) == Needed(3 * 1_000 + 2 * 100, 3 * 1_000 + 2_000)
    begun = means(parts={blobs[0].digest: 400})
    assert space.needed(new, (), begun, had, (old,)).fetch == 3 * 1_000 + 2 * 100 - 400


def test_a_volume_that_is_to_be_copied_counts_as_large_as_it_is_known_to_be_until_it_is_copied() -> None:
    copies = {"new-data": "old-data", "new-logs": "old-logs"}
    what = world.slot(2, world.line("2"), copies=copies)
    own = set(situation.all_blobs(what.manifest))
    had = Observed(images=frozenset(what.manifest.images))
    known = means(volumes={"old-data": 300 * MIB, "other": 1})
    assert space.needed(what, own, known, had, ()) == Needed(0, 0, 300 * MIB)
    assert space.needed(what, own, known, replace(had, volumes=frozenset({"new-data"})), ()) == Needed(0)
    room = Room(0, 400 * MIB, 4 << 30)
    found = budget.room(Budget(headroom_mib=128), means(here=room, engine=room), Needed(0, 0, 300 * MIB))
    assert found is not None
    assert found.sentence == (
        "This release needs 300 MiB (300 MiB of it for copies of volumes) on this device's disk, 400 MiB are free, "
        "and 128 MiB stay reserved."
    )


# ---- The meter. ----


@settings(max_examples=30, deadline=None)
@given(sizes=st.lists(st.integers(1, 200_000), max_size=40), pauses=st.lists(st.floats(0, 20), max_size=40))
def test_in_no_time_more_comes_than_the_rate_and_one_piece(sizes: list[int], pauses: list[float]) -> None:
    rate = 16 * 1024
    clock = SimulatedClock(leaps=True)
    meter = Meter(SimulatedDisk(), clock)
    came: list[tuple[float, int]] = []

    async def run() -> None:
        for size, pause in itertools.zip_longest(sizes, pauses[: len(sizes)], fillvalue=0):
            await clock.sleep(pause)
            came.append((clock.monotonic(), int(size)))
            await meter.pace(int(size), rate)

    asyncio.run(run())
    for first in range(len(came)):
        total = 0
        for at, size in came[first:]:
            assert total <= rate * (at - came[first][0]) + 1
            total += size


def test_a_month_ends_by_the_floor_and_a_floor_that_stands_lower_begins_none() -> None:
    disk = SimulatedDisk()
    meter = Meter(disk, SimulatedClock())
    meter.count(5 * MIB, NOON)
    assert Meter(disk, SimulatedClock()).spent(NOON) == 5 * MIB
    assert meter.spent(NOON + timedelta(days=30)) == 0
    meter.count(MIB, NOON + timedelta(days=30))
    assert meter.spent(NOON + timedelta(days=30)) == MIB
    assert meter.spent(NOON) == MIB  # after a power cut the floor may stand a little lower
    meter.count(MIB, NOON)
    assert meter.spent(NOON) == 2 * MIB


@pytest.mark.parametrize("data", [b"", b"{}", b"\0" * 80, b"x" * 100_000])
def test_a_count_that_is_damaged_begins_anew(data: bytes) -> None:
    disk = SimulatedDisk()
    meter = Meter(disk, SimulatedClock())
    meter.count(5 * MIB, NOON)
    disk.damage(FILE, data)
    again = Meter(disk, SimulatedClock())
    assert again.spent(NOON) == 0
    again.count(MIB, NOON)
    assert Meter(disk, SimulatedClock()).spent(NOON) == MIB


def test_a_power_cut_forgets_at_most_a_mib() -> None:
    for seed in range(5):
        disk = SimulatedDisk(seed)
        meter = Meter(disk, SimulatedClock())
        for _ in range(100):
            meter.count(100_000, NOON)
        disk.crash()
        assert 0 <= 100 * 100_000 - Meter(disk, SimulatedClock()).spent(NOON) <= MIB + 100_000


# ---- A whole device. ----


def allow(device: Device, **said: object) -> None:
    device.disk.replace(policy.FILE, msgspec.json.encode({"budget": said}))


def fetched(device: Device) -> int:
    return device.parts.meter.spent(device.parts.believed.floor.at(device.clock.monotonic()))


def state(device: Device) -> State:
    return device.position.state


def said(device: Device) -> Status:
    """Return the status that the plane was told last."""
    return next((each.status for each in reversed(device.plane.reports) if each.status), Status(state=State.IDLE))


@functools.cache
def big(number: int, size: int = 2_500_000) -> Made:
    """Return a release of one service with one layer of so many bytes."""
    blob = archives.layer(number=b"".join(bytes([number, each % 251]) * 500 for each in range(size // 1_000)))
    hand = archives.Image(layers=[blob])
    digest = archives.sha(blob)
    layer = workload.Layer(digest=digest, size=len(blob), media_type="tar", diff_id=digest)
    image = structs.replace(
        small.built(number).image, config=hand.id, config_size=len(hand.config_bytes), layers=(layer,)
    )
    built = Built(image, {hand.id: hand.config_bytes, digest: blob})
    return release(built, {"web": service(built, restart="always")}, number=number, gate=small.GATE)


@told
async def test_outside_its_hours_a_device_waits_in_fetching_says_so_and_goes_on_by_itself() -> None:
    device = Device()
    device.clock.zone = timezone(timedelta(hours=2))  # 14:00 there
    allow(device, fetch_hours=["22:00-05:00"])
    attempt = device.order(small.pair(1))
    await device.drive(lambda: device.parts.shared.trouble is not None)
    assert state(device) is State.FETCHING
    trouble = device.parts.shared.trouble
    assert trouble is not None
    assert (trouble.code, fetched(device)) == ("fetch.hours", 0)
    await device.drive(lambda: said(device).code == "fetch.hours")
    await device.drive(lambda: device.ended(attempt), stride=60.0, turns=6_000)
    assert state(device) is State.COMMITTED
    assert 8 * 3600 <= device.clock.monotonic() < 8 * 3600 + 300
    assert fetched(device) > 0
    await device.settle()
    assert said(device).code == ""


@told
async def test_a_clock_that_is_not_trusted_fetches_at_no_hour_until_it_is_set() -> None:
    device = Device(begin=BEGIN + timedelta(minutes=5), plane=BEGIN)
    allow(device, fetch_hours=["00:00-23:59"])
    attempt = device.order(small.pair(1))
    await device.drive(lambda: said(device).code == "fetch.clock", turns=200)
    assert "lock not trusted" in said(device).reason
    assert state(device) is State.FETCHING
    device.clock.jump(-300)
    device.estate.plane.now = device.clock.now
    await device.drive(lambda: device.ended(attempt), stride=60.0)
    assert state(device) is State.COMMITTED


@told
async def test_a_month_that_is_spent_goes_on_in_the_next_and_fetches_nothing_twice() -> None:
    device = Device()
    allow(device, month_mib=1)
    made = big(1)
    total = sum(map(len, made.blobs.values()))
    assert total > 2 * MIB
    attempt = device.order(made)
    await device.drive(lambda: said(device).code == "fetch.budget")
    assert state(device) is State.FETCHING
    assert MIB <= fetched(device) <= MIB + (64 << 10)
    before = fetched(device)
    for _ in range(3):
        device.crash()
        await device.drive(lambda: device.parts.shared.trouble is not None)
    assert fetched(device) == before  # a restart gives no bytes back, and takes none
    allow(device, month_mib=1000)
    await device.drive(lambda: device.ended(attempt))
    assert state(device) is State.COMMITTED
    assert fetched(device) == total


@told
async def test_a_release_without_room_is_refused_before_a_byte_is_fetched() -> None:
    device = Device()
    made = big(1)
    allow(device, headroom_percent=90)
    attempt = device.order(made)
    device.disk.full_after(4 * MIB)
    await device.drive(lambda: device.ended(attempt))
    assert (state(device), device.position.code) == (State.REFUSED, "disk.full")
    assert (fetched(device), device.parts.blobs.parts()) == (0, {})


@told
async def test_a_policy_that_cannot_be_read_fetches_nothing_until_it_can() -> None:
    device = Device()
    device.disk.replace(policy.FILE, b'{"budget": {"month_mb": 5}}')
    attempt = device.order(small.pair(1))
    await device.drive(lambda: said(device).code == "policy.damaged")
    assert fetched(device) == 0
    allow(device, month_mib=5)
    await device.drive(lambda: device.ended(attempt))
    assert state(device) is State.COMMITTED


@told
async def test_what_mends_what_runs_asks_for_no_hours() -> None:
    device = Device()
    await device.deploy(small.pair(1))
    await device.settle()
    allow(device, fetch_hours=["01:00-01:01"])
    for name in device.disk.names("blobs/sha256"):
        device.disk.remove(f"blobs/sha256/{name}")
    with device.ground.world(device.clock.monotonic()) as there:
        there.images.clear()
        there.boxes.clear()
    device.parts.shared.work.set()
    await device.drive(lambda: device.at_rest)


@told
async def test_a_rate_holds_and_neither_visits_nor_upkeep_wait_for_it() -> None:
    device = Device(link=LinkClass.REMOTE)
    attempt = device.order(small.pair(1))
    await device.drive(lambda: device.ended(attempt))
    allow(device, rate_kib_s=16)
    made = big(2)
    total = sum(map(len, made.blobs.values()))
    before = fetched(device)
    device.order(made)
    task = asyncio.ensure_future(loop.run(device.parts))
    while state(device) is not State.FETCHING:
        await device.clock.advance(0.1)
    begun, reports = device.clock.monotonic(), len(device.plane.reports)
    crashed = False
    while state(device) is State.FETCHING:
        seconds = device.clock.monotonic() - begun
        assert fetched(device) - before <= 16 * 1024 * seconds + (64 << 10) + 16 * 1024
        if seconds > 60 and not crashed:
            crashed = True
            with device.ground.world(device.clock.monotonic()) as there:
                next(iter(there.boxes.values())).status = "exited"
            device.engine._news.set()
        if crashed and seconds > 80:
            assert device.at_rest
        await device.clock.advance(1)
    took = device.clock.monotonic() - begun
    assert total / (16 * 1024) - 5 <= took <= total / (16 * 1024) * 1.1 + 5
    assert len(device.plane.reports) - reports >= took // 60
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@told
async def test_a_newer_order_ends_a_slow_fetch_soon() -> None:
    device = Device(link=LinkClass.REMOTE)
    allow(device, rate_kib_s=2)
    device.order(big(1))
    task = asyncio.ensure_future(loop.run(device.parts))
    while state(device) is not State.FETCHING:
        await device.clock.advance(0.1)
    await device.clock.advance(100)
    newer = device.order(small.pair(2))
    begun = device.clock.monotonic()
    while device.position.attempt != newer:
        await device.clock.advance(1)
        assert device.clock.monotonic() < begun + 120
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@told
async def test_a_line_that_breaks_all_the_time_loses_nothing_of_what_it_brought() -> None:
    device = Device()
    made = big(1)
    device.plane.knobs.cut = 200_000
    attempt = device.order(made)
    await device.drive(lambda: device.ended(attempt))
    assert state(device) is State.COMMITTED
    assert device.clock.monotonic() < 60
    assert fetched(device) == sum(map(len, made.blobs.values()))


# ---- What stays on the disk, and what is written to it. ----


@told
async def test_after_five_releases_the_blobs_of_two_are_left() -> None:
    device = Device()
    releases = [big(number, 300_000) for number in range(1, 6)]
    peak = 0
    for made in releases:
        attempt = device.order(made)

        def ended(attempt: str = attempt) -> bool:
            nonlocal peak
            peak = max(
                peak, sum(device.disk.size(f"blobs/sha256/{each}") for each in device.disk.names("blobs/sha256"))
            )
            return device.ended(attempt)

        await device.drive(ended)
        assert state(device) is State.COMMITTED
        await device.settle()
    held = device.parts.blobs.held()
    assert held == releases[3].blobs.keys() | releases[4].blobs.keys()
    size = sum(map(len, releases[4].blobs.values()))
    left = sum(device.disk.size(f"blobs/sha256/{each.removeprefix('sha256:')}") for each in held)
    whole = device.disk.memory.capacity - device.disk.memory.free()
    print(f"release {size} B; blobs left {left / size:.2f} x, at most {peak / size:.2f} x, disk {whole / size:.2f} x")
    assert left <= 2.05 * size
    assert peak <= 3.05 * size


@pytest.mark.slow
@pytest.mark.parametrize("link", [LinkClass.REMOTE, LinkClass.ASYNC])
@told
async def test_a_device_that_idles_for_a_day_writes_little(link: LinkClass) -> None:
    device = Device(link=link)
    attempt = device.order(small.pair(1))
    task = asyncio.ensure_future(loop.run(device.parts))
    while not (device.ended(attempt) and device.quiet):
        await device.clock.advance(1)
    memory = device.disk.memory
    written, syncs = memory.written, memory.syncs
    for _ in range(24):
        await device.clock.advance(3_600)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    size, times = memory.written - written, memory.syncs - syncs
    # Each sync costs a block of data, one of the inode, one of the folder, and the journal of the file system.
    worn = times * 16_384 + size
    print(f"{link}: {size} B in {times} syncs, {worn / 1e6:.2f} MB with blocks of 4 KiB and the file system's journal")
    assert worn < 2_000_000
    assert upkeep.RESTED <= 60
