# SPDX-License-Identifier: Apache-2.0
"""Whatever a device's wall clock says, it does the same, and it says by how much that clock is wrong."""

import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checkvalve.agent.clocks.simulated import BEGIN
from checkvalve.agent.link.plane import Plane
from checkvalve.agent.visit import EXPIRED
from checkvalve.crypto.metadata import ROOT, SNAPSHOT, TARGETS, TIMESTAMP
from checkvalve.errors import UnauthenticatedError
from checkvalve.protocol.exchange import State
from tests.agent import small
from tests.agent.device import Device, told

ROLES = (ROOT, TARGETS, SNAPSHOT, TIMESTAMP)
MONTHS = timedelta(days=396)  # thirteen
WRONG = [datetime(1970, 1, 1, tzinfo=UTC), BEGIN + timedelta(days=3_652)]


def state(device: Device) -> State:
    return device.position.state


def stands_still(device: Device) -> None:
    """Have the plane's time go by the device's clock that never jumps, and by nothing else."""
    device.plane.now = lambda: BEGIN + timedelta(seconds=device.clock.monotonic())


# ---- The offset. ----


@pytest.mark.parametrize("begin", [BEGIN, *WRONG])
@given(step=st.integers(-(10**9), 10**9), passed=st.integers(0, 10**6))
@settings(max_examples=20, deadline=None)
def test_a_wall_clock_that_is_set_after_the_last_exchange_shows_in_the_offset(
    begin: datetime, step: int, passed: int
) -> None:
    device = Device(begin=begin, plane=BEGIN)
    believed, clock = device.parts.believed, device.clock
    assert believed.offset(begin, 0.0) is None
    believed.hear(device.plane.time(), device.parts.identity.orders_key(), clock.monotonic())
    off = round((begin - BEGIN).total_seconds() * 1000)
    assert device.parts.offset == off
    wall = begin + timedelta(seconds=passed + step)
    assert believed.offset(wall, clock.monotonic() + passed) == off + step * 1000


@told
async def test_a_receipt_has_the_offset_of_the_moment_at_which_the_attempt_ended() -> None:
    device = Device()
    stands_still(device)
    attempt = device.order(small.pair(1))
    await device.drive(lambda: state(device) is State.VERIFYING)
    device.plane.knobs.unreachable = True
    device.clock.jump(-7_200)
    await device.drive(lambda: state(device) is State.COMMITTED)
    device.plane.knobs.unreachable = False
    await device.drive(lambda: device.ended(attempt))
    (said,) = device.receipts
    assert said.offset == -7_200_000
    assert abs(said.at - said.offset - BEGIN.timestamp() * 1000) < 60_000


# ---- Jumps. ----


async def _moved(jumps: random.Random | None, made: int) -> list[tuple[float, str, str]]:
    """Return what a device did, and when, with a wall clock that is set again and again, or is not."""
    device = Device()
    stands_still(device)
    first = device.order(small.pair(1))
    done = list[tuple[float, str, str]]()

    def until(attempt: str) -> bool:
        if jumps is not None:
            device.clock.jump(jumps.choice([-1, 1]) * 10 ** jumps.uniform(-3, 9) if jumps.random() < 0.5 else 0)
        for each in device.parts.journal.events(len(done), 100):
            done.append((round(device.clock.monotonic(), 3), each.state, each.code))
        return device.ended(attempt)

    await device.drive(lambda: until(first))
    device.plane.knobs.cut = 700  # each fetch breaks off, and is gone on with after a while
    second = device.order({0: small.exits(2, after=2), 1: small.quick(2), 2: small.data(2)}[made])
    await device.drive(lambda: until(second))
    device.plane.knobs.unreachable = True
    device.clock.boot()
    device.begin()
    await device.drive(lambda: until(second) and device.at_rest)
    return done


@pytest.mark.parametrize("made", [0, 1, 2])
@told
async def test_a_wall_clock_that_jumps_at_random_changes_no_move_and_no_moment(made: int) -> None:
    right = await _moved(None, made)
    assert len(right) > 10
    for seed in range(4):
        assert await _moved(random.Random(seed), made) == right, f"seed {seed}"


# ---- Long away. ----


def _ages(device: Device) -> None:
    """Have the plane refuse certificates that ran out, as a real one does."""
    plane, receive = device.plane, Plane.receive
    good = {device.parts.identity.generation: plane.moment() + plane.lifetime}

    def judged(who: str, data: bytes) -> object:
        generation = device.parts.identity.generation
        good.setdefault(generation, plane.moment() + plane.lifetime)
        if plane.moment() > good[generation]:
            raise UnauthenticatedError(EXPIRED, "It ran out.")
        return receive(plane, who, data)

    plane.receive = judged  # type: ignore[method-assign, assignment]


@pytest.mark.parametrize("wall", ["right", "1970"])
@told
async def test_thirteen_months_off_it_runs_at_once_and_is_back_without_a_visit(wall: str) -> None:
    device = Device()
    device.plane.lifetime = timedelta(days=90)
    _ages(device)
    assert await device.deploy(small.pair(1)) is State.COMMITTED
    assert await device.deploy(small.pair(2)) is State.COMMITTED
    await device.settle()
    # The power goes, for thirteen months; then there is power, and no plane.
    device.clock.boot()
    device.clock.jump(MONTHS.total_seconds())
    right = device.clock.now()
    if wall == "1970":
        device.clock.jump(-(right - WRONG[0]).total_seconds())
    device.plane.now = lambda: right + timedelta(seconds=device.clock.monotonic())
    device.plane.knobs.unreachable = True
    device.disk.crash()
    device.begin()
    await device.drive(lambda: device.at_rest)
    assert device.clock.monotonic() < 10
    assert device.runs == small.pair(2).digest
    # The plane is back, with metadata of today.
    device.estate.origin.expires = dict.fromkeys(ROLES, right + MONTHS)
    device.estate.publish(*ROLES)
    device.plane.knobs.unreachable = False
    generation = device.parts.identity.generation
    assert await device.deploy(small.pair(3)) is State.COMMITTED
    assert device.parts.identity.generation > generation
    offset = device.receipts[-1].offset
    assert offset is not None
    assert abs(offset - (device.clock.now() - device.plane.now()) / timedelta(milliseconds=1)) <= 1


@told
async def test_metadata_that_ran_out_stop_no_start_no_restart_and_no_way_back() -> None:
    device = Device()
    assert await device.deploy(small.pair(1)) is State.COMMITTED
    attempt = device.order(small.exits(2, after=3))
    await device.drive(lambda: state(device) is State.VERIFYING)
    late = device.estate.origin.expires["timestamp"] + MONTHS
    device.plane.now = lambda: late
    await device.drive(lambda: device.ended(attempt))  # hears by the way that all has run out
    assert state(device) is State.ROLLED_BACK
    assert device.parts.believed.floor.at(device.clock.monotonic()) > late - timedelta(days=1)
    await device.settle()
    assert device.runs == small.pair(1).digest
    for happens in (device.crash, device.kill, device.engine.restart_daemon):
        happens()
        await device.drive(lambda: device.at_rest)
    # A new one is not taken, and says why.
    attempt = device.order(small.pair(3))
    await device.drive(lambda: any(each.attempt == attempt for each in device.receipts))
    assert next(each for each in device.receipts if each.attempt == attempt).code == "trust.stale"
    assert device.runs == small.pair(1).digest


@pytest.mark.parametrize("begin", WRONG)
@told
async def test_orders_that_ran_out_by_the_floor_are_refused_whatever_the_wall_clock_says(begin: datetime) -> None:
    device = Device(begin=begin, plane=BEGIN)
    assert await device.deploy(small.pair(1)) is State.COMMITTED
    gone = int(BEGIN.timestamp() * 1000) - 1
    device.order(small.pair(2), expires_at=gone)
    await device.drive(lambda: any(each.code == "order.expired" for each in device.events))
    assert device.runs == small.pair(1).digest
    assert await device.deploy(small.pair(3)) is State.COMMITTED
