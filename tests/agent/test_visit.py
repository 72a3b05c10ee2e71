# SPDX-License-Identifier: Apache-2.0
"""What a device and its plane say to each other: lost answers, orders not to be believed, refusals."""

from datetime import timedelta
from typing import Any

import pytest

from checkvalve.agent import identity
from checkvalve.agent.visit import EXPIRED
from checkvalve.crypto import keys
from checkvalve.errors import ForbiddenError, ThrottledError, UnauthenticatedError
from checkvalve.protocol.exchange import Report, State
from tests.agent import small
from tests.agent.device import Device, told

OTHER = "01jd0000000000000000000009"


@pytest.fixture
def device() -> Device:
    """Return a device that has joined, and on which nothing runs yet."""
    return Device()


def _notes(device: Device) -> list[str]:
    return [each.code for each in device.parts.journal.events(0, 1_000) if each.kind == "note" and each.code]


def _expired(device: str, data: bytes) -> None:
    assert device
    assert data
    raise UnauthenticatedError(EXPIRED, "It ran out.")


@told
async def test_an_idle_device_says_the_same_each_time_and_little(device: Device) -> None:
    await device.settle()
    first = len(device.plane.reports)
    await device.drive(lambda: len(device.plane.reports) == first + 3)
    for said in device.plane.reports[first:]:
        assert said == Report(
            capability=said.capability,
            journal=said.journal,
            seq=said.seq,
            generation=1,
            state=device.plane.reports[first].state,
            clock=said.clock,
        )


@told
async def test_an_answer_that_is_lost_doubles_nothing(device: Device) -> None:
    attempt = device.order(small.pair(1))
    while not device.ended(attempt):
        device.plane.knobs.drops = 1  # each second answer
        await device.visit.turn()
        await device.visit.turn()
        await device.work.turn()
        await device.clock.advance(1)
    await device.settle()
    events = device.events
    assert [each.seq for each in events] == list(range(1, len(events) + 1))
    assert [each.state for each in events if each.kind == "state"].count(State.COMMITTED) == 1
    assert len(device.receipts) == 1


@told
async def test_what_the_plane_lost_in_a_restore_is_told_again(device: Device) -> None:
    before = device.plane.copied()
    await device.deploy(small.pair(1))
    await device.settle()
    told_ = device.events
    device.plane.restored(before)
    assert device.events == []
    await device.settle()
    assert device.events == told_


@told
async def test_orders_of_a_restored_plane_are_taken_for_its_epoch_is_higher(device: Device) -> None:
    await device.deploy(small.pair(1))
    before = device.plane.copied()
    await device.deploy(small.pair(2))
    device.plane.restored(before)
    assert await device.deploy(small.pair(3)) is State.COMMITTED


@pytest.mark.parametrize(
    ("to", "changes", "code"),
    [
        (OTHER, {}, "order.audience"),
        ("", {"plane": "another"}, "order.plane"),
        ("", {"expires_at": 1_700_000_000_000}, "order.expired"),
    ],
)
@told
async def test_orders_that_are_none_for_this_device_are_noted_once_and_nothing_is_done(
    device: Device, to: str, changes: dict[str, Any], code: str
) -> None:
    member = device.plane.kept.members[device.id]
    member.orders = device.plane.deploy(to or device.id, OTHER, "x", **changes)
    member.order = (9, 9)
    for _ in range(5):
        await device.visit.turn()
        await device.work.turn()
    assert _notes(device) == [code]
    assert device.position.state is State.IDLE


@told
async def test_orders_signed_by_another_key_are_noted_and_nothing_is_fetched(device: Device) -> None:
    right, device.plane.orders_key = device.plane.orders_key, keys.make()
    device.order(small.pair(1))
    device.plane.orders_key = right
    await device.visit.turn()
    assert _notes(device) == ["order.signature"]
    assert device.parts.believed.trusted.timestamp is None


@told
async def test_orders_that_were_taken_are_passed_without_a_word_when_they_come_again(device: Device) -> None:
    attempt = device.order(small.pair(1))
    sealed = device.plane.kept.members[device.id].orders
    await device.drive(lambda: device.ended(attempt))
    await device.settle()
    seq = device.parts.journal.seq
    for _ in range(3):
        device.plane.kept.members[device.id].orders = sealed
        device.plane.kept.members[device.id].order = (9, 9)
        await device.visit.turn()
        await device.work.turn()
    assert device.parts.journal.seq == seq


@told
async def test_older_orders_are_not_done_again(device: Device) -> None:
    device.order(small.pair(1))
    old = device.plane.kept.members[device.id].orders
    await device.settle()
    await device.deploy(small.pair(2))
    member = device.plane.kept.members[device.id]
    member.orders, member.order = old, (9, 9)
    await device.visit.turn()
    await device.settle()
    assert _notes(device)[-1] == "order.replayed"
    assert device.runs == small.pair(2).digest


@told
async def test_a_refusal_is_a_receipt_too_and_the_plane_need_not_ask_again(device: Device) -> None:
    device.disk.replace(identity.OBSERVE, identity.OBSERVING)
    attempt = device.order(small.pair(1))
    await device.settle()
    (only,) = device.receipts
    assert (only.attempt, only.outcome, only.code) == (attempt, State.REFUSED, "device.observes")
    assert only.steps[-1].state is State.REFUSED
    assert device.position.attempt == ""
    assert device.plane.kept.members[device.id].orders is None
    assert device.plane.kept.statuses[device.plane.reports[-1].state].observe


@told
async def test_a_release_that_nobody_signed_is_refused(device: Device) -> None:
    attempt = device.order(small.pair(1))
    device.estate.origin.targets.clear()
    device.estate.publish("targets", "snapshot", "timestamp")
    await device.settle()
    (only,) = device.receipts
    assert (only.attempt, only.code) == (attempt, "release.not_listed")


@told
async def test_a_refused_attempt_is_never_taken_up_later(device: Device) -> None:
    device.disk.replace(identity.OBSERVE, identity.OBSERVING)
    attempt = device.order(small.pair(1))
    await device.settle()
    device.disk.remove(identity.OBSERVE)
    target = next(iter(device.estate.origin.targets))
    device.plane.deploy(device.id, attempt, target)
    await device.settle()
    assert device.position.state is State.IDLE


@told
async def test_a_refusal_in_the_middle_of_an_attempt_disturbs_it_not(device: Device) -> None:
    first = device.order(small.pair(1))
    await device.drive(lambda: device.position.state is State.VERIFYING)
    device.disk.replace(identity.OBSERVE, identity.OBSERVING)
    second = device.order(small.pair(2))
    await device.settle()
    assert {each.attempt: each.outcome for each in device.receipts} == {
        first: State.COMMITTED,
        second: State.REFUSED,
    }


@told
async def test_an_order_that_was_replaced_before_it_began_has_its_receipt(device: Device) -> None:
    await device.deploy(small.pair(1))
    first = device.order(small.pair(2))
    await device.drive(lambda: device.position.state is State.VERIFYING)
    parked = device.order(small.pair(3))
    await device.drive(lambda: device.position.next_attempt == parked)
    newest = device.order(small.pair(4))
    await device.drive(lambda: device.ended(newest))
    await device.settle()
    outcomes = {each.attempt: (each.outcome, each.code) for each in device.receipts[1:]}
    assert outcomes == {
        first: (State.COMMITTED, ""),
        parked: (State.REFUSED, "deploy.superseded"),
        newest: (State.COMMITTED, ""),
    }


@told
async def test_who_says_at_the_device_that_it_only_observes_ends_an_attempt_that_has_not_switched(
    device: Device,
) -> None:
    attempt = device.order(small.pair(1))
    device.plane.knobs.cut = 0
    await device.drive(lambda: device.position.state is State.FETCHING)
    device.disk.replace(identity.OBSERVE, identity.OBSERVING)
    await device.drive(lambda: device.ended(attempt))
    assert (device.position.state, device.position.code) == (State.REFUSED, "device.observes")


@told
async def test_orders_wait_until_what_people_signed_can_be_fetched(device: Device) -> None:
    attempt = device.order(small.pair(1))
    gone = device.plane.metadata.pop("timestamp.json")
    assert await device.visit.turn() > 0
    assert device.position.next_attempt == ""
    device.plane.metadata["timestamp.json"] = gone
    await device.drive(lambda: device.ended(attempt))


@pytest.mark.parametrize("code", ["device.retired", "device.quarantined", "device.unknown"])
@told
async def test_a_device_that_is_sent_away_asks_again_slowly_and_goes_on_running(device: Device, code: str) -> None:
    await device.deploy(small.pair(1))
    await device.settle()
    device.plane.knobs.refuses = ForbiddenError(code, "No.")
    assert await device.visit.turn() >= device.parts.identity.interval
    await device.drive(lambda: device.rests >= 60, visits=False)
    assert device.at_rest
    device.plane.knobs.refuses = None
    await device.settle()


@told
async def test_a_busy_plane_says_when_to_come_again(device: Device) -> None:
    device.plane.knobs.refuses = ThrottledError("api.throttled", "Later.", retry_after=40)
    assert 40 <= await device.visit.turn() <= 50
    device.plane.knobs.refuses = None
    await device.settle()
    device.plane.next = 900
    assert await device.visit.turn() == 900


@told
async def test_a_plane_out_of_reach_is_asked_later_and_later_and_for_ever(device: Device) -> None:
    device.plane.knobs.unreachable = True
    pauses = [await device.visit.turn() for _ in range(200)]
    assert max(pauses[:3]) <= 8
    assert 60 < max(pauses[20:]) <= 300
    assert min(pauses[20:]) < 30


@told
async def test_the_certificate_is_renewed_at_two_thirds_of_its_life(device: Device) -> None:
    device.plane.interval = 3_600
    await device.settle()
    await device.drive(lambda: device.parts.identity.generation == 2, stride=600)
    assert timedelta(hours=16) < timedelta(seconds=device.clock.monotonic()) < timedelta(hours=18)
    await device.visit.turn()
    assert device.plane.kept.members[device.id].generation == 2
    assert device.parts.identity.pending is None


@told
async def test_a_certificate_that_ran_out_is_renewed_first(device: Device) -> None:
    device.plane.receive, receive = _expired, device.plane.receive  # type: ignore[method-assign]
    assert await device.visit.turn() == 0
    device.plane.receive = receive  # type: ignore[method-assign]
    await device.visit.turn()
    assert device.plane.kept.members[device.id].generation == 2


@told
async def test_a_renewal_whose_answer_is_lost_is_made_again(device: Device) -> None:
    await device.settle()
    device.plane.knobs.drops = 1
    await device.drive(lambda: device.parts.identity.generation == 2, stride=600)
    await device.settle()
    assert device.plane.kept.members[device.id].generation == 2


@told
async def test_a_plane_that_signs_with_another_key_is_believed_after_a_renewal(device: Device) -> None:
    await device.settle()
    device.plane.rekey()
    for _ in range(3):
        await device.visit.turn()
    assert device.parts.identity.generation == 2
    await device.deploy(small.pair(1))
    assert device.parts.journal.position.state is State.COMMITTED


@told
async def test_a_key_that_the_authority_did_not_certify_costs_one_renewal_each_interval(device: Device) -> None:
    await device.settle()
    certified = device.plane.orders_certificate
    device.plane.rekey()
    device.plane.orders_certificate = certified
    for _ in range(20):
        await device.visit.turn()
    assert device.parts.identity.generation <= 3


@told
async def test_a_new_journal_under_the_same_device_is_told_whole(device: Device) -> None:
    await device.deploy(small.pair(1))
    await device.settle()
    before = device.parts.journal.id
    device.disk.damage("journal", b"\x00" * 2_000)
    device.kill()
    await device.settle()
    assert device.parts.journal.id != before
    assert device.runs == small.pair(1).digest
    assert {each[1] for each in device.plane.kept.events} == {before, device.parts.journal.id}
