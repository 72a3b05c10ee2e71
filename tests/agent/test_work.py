# SPDX-License-Identifier: Apache-2.0
"""Attempts on a whole device, from the order to the receipt: what goes well, what goes wrong, what is out of reach."""

from datetime import UTC, datetime, timedelta

import pytest

from checkvalve.agent.clocks.simulated import BEGIN
from checkvalve.errors import InvalidError
from checkvalve.protocol.exchange import State
from checkvalve.protocol.workload import Check, Gate
from tests.agent import small
from tests.agent.device import Device, told
from tests.agent.engine.images import Made

JOB = {"simulate": "exit=3", "kind": "oneshot", "probes": ()}
LOOPS = small.made(2, {"web": "", "pump": "exit=1;after=3s"}, gate=Gate(start_grace_ms=10_000, soak_ms=10_000))
UNHEALTHY = small.made(2, {"web": {"simulate": "unhealthy", "check": Check(test=("CMD", "x"), interval_ms=1_000)}})


@pytest.fixture
def device() -> Device:
    """Return a device that has joined, and on which nothing runs yet."""
    return Device()


async def _running(device: Device) -> Made:
    """Have a good release on it."""
    assert await device.deploy(small.pair(1)) is State.COMMITTED
    await device.settle()
    return small.pair(1)


@told
async def test_a_patch_is_fetched_started_watched_committed_and_receipted(device: Device) -> None:
    await _running(device)
    attempt = device.order(small.pair(2))
    await device.drive(lambda: device.ended(attempt))
    await device.settle()
    assert device.runs == small.pair(2).digest
    last = device.receipts[-1]
    assert (last.outcome, last.release, last.active) == (State.COMMITTED, device.runs, device.runs)
    assert [each.state for each in last.steps] == "offered fetching staged switching verifying committed".split()
    assert {each.service: (each.state, each.wrong, each.probes) for each in last.services} == {
        name: ("running", "", {"exec:ready": ""}) for name in ("pump", "web")
    }
    assert last.offset == 0
    assert device.plane.reports[-1].seq == device.parts.journal.seq


@pytest.mark.parametrize(
    ("bad", "code", "service"),
    [
        (small.exits(2), "gate.exited", "pump"),
        (LOOPS, "gate.exited", "pump"),
        (UNHEALTHY, "gate.unhealthy", "web"),
        (small.made(2, {"web": "deaf"}), "gate.probe", "web"),
        (small.made(2, {"web": "refuse"}), "engine.refused", ""),
        (
            small.made(2, {"web": "", "job": {"simulate": "exit=3", "kind": "oneshot", "probes": ()}}),
            "gate.oneshot",
            "job",
        ),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
@told
async def test_a_patch_that_does_not_prove_itself_leads_back_and_says_why(
    device: Device, bad: Made, code: str, service: str
) -> None:
    good = await _running(device)
    assert await device.deploy(bad) is State.ROLLED_BACK
    await device.settle()
    assert device.runs == good.digest
    last = device.receipts[-1]
    assert (last.outcome, last.code, last.release, last.active) == (State.ROLLED_BACK, code, bad.digest, good.digest)
    assert not service or service in last.reason
    assert not service or [each.service for each in last.services if each.wrong] == [service]


@told
async def test_the_last_words_of_what_failed_are_in_the_receipt_and_of_nothing_else(device: Device) -> None:
    await _running(device)
    await device.deploy(small.exits(2, after=1))
    said = {each.service: each.logs for each in device.receipts[-1].services}
    assert said == {"web": "", "pump": "no recipe is there\n"}


@told
async def test_a_first_release_that_fails_leaves_nothing_running(device: Device) -> None:
    assert await device.deploy(small.exits(1)) is State.ROLLED_BACK
    await device.settle()
    assert device.runs == ""
    assert device.at_rest


@told
async def test_a_service_dropped_from_the_manifest_does_not_go_on_running(device: Device) -> None:
    await _running(device)
    await device.deploy(small.made(2, {"web": ""}))
    await device.settle()
    assert [each.service for each in device.parts.shared.observed.containers] == ["web"]  # type: ignore[union-attr]


@told
async def test_data_is_as_it_was_before_the_switch_where_that_was_asked_for_and_kept_elsewhere(device: Device) -> None:
    assert await device.deploy(small.data(1)) is State.COMMITTED
    await device.settle()
    bad = small.data(2).read
    bad.services["pump"].environment["CHECKVALVE_SIMULATE"] += ";exit=1;after=2s"
    assert await device.deploy(small.remade(bad, small.data(2))) is State.ROLLED_BACK
    await device.settle()
    active = device.parts.slots.active
    assert active is not None
    assert device.engine.files(active.volumes["recipes"]) == {"number": "1"}
    assert device.engine.files(active.volumes["counts"]) == {
        "number": "1"
    }  # written again by the old one as it started
    said = device.receipts[-1].data
    assert said["counts"] == "not rolled back"
    (aside,) = [each for each in device.parts.shelf.left if each.volume == "recipes"]
    assert said["recipes"].startswith(
        f"returned to before the switch; what the release wrote is set aside as {aside.name}, 1 KiB, "
    )
    assert device.engine.files(aside.name) == {"number": "2"}


@told
async def test_the_plane_may_go_away_at_any_moment_of_an_attempt(device: Device) -> None:
    await _running(device)
    attempt = device.order(small.pair(2))
    await device.drive(lambda: device.position.next_attempt == attempt)
    device.plane.knobs.unreachable = True
    for _ in range(50):
        await device.drive(lambda: True)
        await device.work.turn()
        await device.clock.advance(60)
    assert device.position.state is State.FETCHING
    assert device.at_rest
    device.plane.knobs.unreachable = False
    await device.drive(lambda: device.position.state is State.SWITCHING)
    device.plane.knobs.unreachable = True
    await device.drive(lambda: device.position.state is State.COMMITTED, visits=False)
    assert not any(each.attempt == attempt for each in device.receipts)
    device.plane.knobs.unreachable = False
    await device.drive(lambda: device.ended(attempt))
    await device.settle()


@told
async def test_a_fetch_that_breaks_off_goes_on_where_it_was(device: Device) -> None:
    attempt = device.order(small.pair(1))
    device.plane.knobs.cut = 1_000
    await device.drive(lambda: device.ended(attempt))
    assert device.position.state is State.COMMITTED


@told
async def test_a_page_of_somebody_else_in_place_of_a_manifest_is_waited_out(device: Device) -> None:
    attempt = device.order(small.pair(1))
    await device.drive(lambda: device.position.next_attempt == attempt)
    device.plane.knobs.refuses = InvalidError("link.answer", "What answers is a page to sign in at.")
    for _ in range(10):
        await device.clock.advance(await device.work.turn())
    assert device.position.attempt == attempt
    device.plane.knobs.refuses = None
    await device.drive(lambda: device.ended(attempt))
    assert device.position.state is State.COMMITTED


@told
async def test_a_disk_without_room_refuses_the_release_with_the_numbers(device: Device) -> None:
    good = await _running(device)
    huge = small.pair(2).read
    attempt = device.order(small.remade(huge, small.pair(2), size=50 << 30))
    await device.drive(lambda: device.ended(attempt))
    await device.settle()
    last = device.receipts[-1]
    assert (last.outcome, last.code, device.runs) == (State.REFUSED, "disk.full", good.digest)
    assert "MiB on this device's disk" in last.reason
    assert "stay reserved" in last.reason


@told
async def test_a_manifest_that_is_not_what_people_signed_is_refused(device: Device) -> None:
    made = small.pair(1)
    attempt = device.order(made)
    device.plane.manifests[made.digest] = small.pair(2).manifest
    await device.drive(lambda: device.ended(attempt))
    assert (device.position.state, device.position.code) == (State.REFUSED, "release.mismatch")


@told
async def test_a_blob_that_is_something_else_is_refused(device: Device) -> None:
    made = small.pair(1)
    attempt = device.order(made)
    device.plane.blobs = {digest: bytes(len(data)) for digest, data in made.blobs.items()}
    await device.drive(lambda: device.ended(attempt))
    assert (device.position.state, device.position.code) == (State.REFUSED, "blob.digest")


@told
async def test_a_release_that_the_plane_has_not_is_refused(device: Device) -> None:
    made = small.pair(1)
    attempt = device.order(made)
    del device.plane.manifests[made.digest]
    await device.drive(lambda: device.ended(attempt))
    assert (device.position.state, device.position.code) == (State.REFUSED, "release.not_found")


@told
async def test_a_newer_order_takes_the_place_of_one_that_is_being_fetched(device: Device) -> None:
    await _running(device)
    first = device.order(small.pair(2))
    await device.drive(lambda: device.position.next_attempt == first)
    device.plane.knobs.cut = 0
    await device.drive(lambda: device.position.state is State.FETCHING)
    second = device.order(small.pair(3))
    await device.drive(lambda: device.position.attempt == second)
    device.plane.knobs.cut = None
    await device.drive(lambda: device.ended(second))
    outcomes = {each.attempt: (each.outcome, each.code) for each in device.receipts}
    assert outcomes[first] == (State.REFUSED, "deploy.superseded")
    assert outcomes[second] == (State.COMMITTED, "")


@told
async def test_an_order_that_comes_after_the_switch_waits_until_it_has_ended(device: Device) -> None:
    await _running(device)
    first = device.order(small.exits(2, after=3))
    await device.drive(lambda: device.position.state is State.SWITCHING)
    second = device.order(small.pair(3))
    await device.drive(lambda: device.ended(second))
    outcomes = {each.attempt: each.outcome for each in device.receipts}
    assert (outcomes[first], outcomes[second]) == (State.ROLLED_BACK, State.COMMITTED)


@told
async def test_the_same_release_again_touches_nothing(device: Device) -> None:
    good = await _running(device)
    before = device.parts.shared.observed
    attempt = device.order(good, 2)
    await device.drive(lambda: device.ended(attempt))
    assert (device.position.state, device.position.code) == (State.COMMITTED, "deploy.unchanged")
    assert device.parts.shared.observed == before


@told
async def test_an_engine_that_falls_silent_before_the_switch_is_waited_for(device: Device) -> None:
    attempt = device.order(small.pair(1))
    await device.drive(lambda: device.position.state is State.FETCHING)
    device.ground.down = True
    for _ in range(20):
        await device.clock.advance(await device.work.turn())
    assert device.position.attempt == attempt
    assert not device.receipts
    device.ground.down = False
    await device.drive(lambda: device.ended(attempt))
    assert device.position.state is State.COMMITTED


@told
async def test_an_engine_that_is_silent_for_longer_than_the_watch_fails_it(device: Device) -> None:
    good = await _running(device)
    attempt = device.order(small.pair(2))
    await device.drive(lambda: device.position.state is State.VERIFYING)
    device.ground.down = True
    for _ in range(60):
        if device.position.state is State.ROLLING_BACK:
            break
        await device.clock.advance(max(0.5, await device.work.turn()))
    assert (device.position.state, device.position.code) == (State.ROLLING_BACK, "gate.engine")
    device.ground.down = False
    await device.drive(lambda: device.ended(attempt))
    await device.settle()
    assert device.runs == good.digest


@told
async def test_a_fault_of_ours_in_the_middle_of_a_switch_leads_back(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = await _running(device)
    attempt = device.order(small.pair(2))
    await device.drive(lambda: device.position.state is State.VERIFYING)

    def broken(*_: object) -> str:
        raise ZeroDivisionError

    monkeypatch.setattr(device.engine, "probe", broken)
    await device.drive(lambda: device.position.state is State.ROLLING_BACK)
    monkeypatch.undo()
    await device.drive(lambda: device.ended(attempt))
    await device.settle()
    assert (device.runs, device.receipts[-1].code) == (good.digest, "agent.defect")


@told
async def test_somebody_removes_a_container_and_it_comes_back(device: Device) -> None:
    await _running(device)
    with device.ground.world(device.clock.monotonic()) as world:
        world.boxes.clear()
    assert not device.at_rest
    await device.settle()


@told
async def test_an_image_that_the_engine_lost_is_loaded_from_the_devices_own_blobs(device: Device) -> None:
    await _running(device)
    device.plane.knobs.unreachable = True
    with device.ground.world(device.clock.monotonic()) as world:
        world.boxes.clear()
        world.images.clear()
    await device.drive(lambda: device.at_rest, visits=False)


@told
async def test_last_known_good_is_fetched_again_if_the_devices_own_copy_is_lost_too(device: Device) -> None:
    await _running(device)
    with device.ground.world(device.clock.monotonic()) as world:
        world.boxes.clear()
        world.images.clear()
    device.parts.blobs.sweep(())
    await device.settle()


@told
async def test_what_keeps_the_release_from_being_as_it_must_is_told(device: Device) -> None:
    await _running(device)
    with device.ground.world(device.clock.monotonic()) as world:
        world.boxes.clear()
        world.images.clear()
    device.parts.blobs.sweep(())
    device.plane.blobs = {}
    await device.drive(lambda: any(each.code == "blob.not_found" for each in device.plane.kept.statuses.values()))
    device.plane.blobs = small.pair(1).blobs
    await device.settle()
    assert device.plane.reports[-1].status is None or device.plane.reports[-1].status.code == ""


@told
async def test_old_slots_and_blobs_are_forgotten_and_last_known_good_is_not(device: Device) -> None:
    for number in (1, 2, 3):
        assert await device.deploy(small.pair(number)) is State.COMMITTED
    await device.settle()
    assert device.parts.blobs.held() == frozenset({*small.pair(2).blobs, *small.pair(3).blobs})
    assert len(device.disk.names("slots")) == 4


@pytest.mark.parametrize("begin", [datetime(1970, 1, 1, tzinfo=UTC), BEGIN + timedelta(days=3_652)])
@told
async def test_a_device_whose_clock_is_decades_wrong_patches_and_tells_by_how_much(begin: datetime) -> None:
    device = Device(begin=begin, plane=BEGIN)
    assert await device.deploy(small.pair(1)) is State.COMMITTED
    await device.settle()
    assert device.receipts[-1].offset == (begin - BEGIN) / timedelta(milliseconds=1)


@told
async def test_both_versions_running_after_the_daemon_restarts(device: Device) -> None:
    await _running(device)
    attempt = device.order(small.pair(2))
    await device.drive(lambda: device.position.state is State.VERIFYING)
    device.engine.restart_daemon()
    with device.ground.world(device.clock.monotonic()) as world:
        assert [each.name for each in world.boxes.values() if each.status == "running"] == []
    await device.drive(lambda: device.ended(attempt))
    await device.settle()


@told
async def test_a_journal_that_cannot_be_written_holds_up_the_work_and_ends_nothing(device: Device) -> None:
    good = await _running(device)
    attempt = device.order(small.pair(2))
    await device.drive(lambda: device.position.next_attempt == attempt)
    device.disk.fail()
    for _ in range(10):
        await device.clock.advance(await device.work.turn())
    assert device.runs == good.digest
    assert device.position.state is State.COMMITTED
    device.disk.fail(on=False)
    await device.drive(lambda: device.ended(attempt))
    await device.settle()
