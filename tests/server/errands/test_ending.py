# SPDX-License-Identifier: Apache-2.0
"""How errands end: by the device's word, by a person, by silence; which of these counts; and what becomes of files."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from checkvalve.protocol.errand import LARGEST_CONTENT, Content
from checkvalve.server.db.database import Database
from checkvalve.server.errands import ending, queries, writes
from checkvalve.server.errands.model import KEPT, SILENT, Kind, State
from tests.server.errands.world import FILE, World

OTHER = Content(digest="sha256:" + "0e" * 32, size=3)


@pytest.fixture
def world(database: Database, new_id: Callable[[], str], now: datetime) -> World:
    return World(database, new_id, now)


@pytest.mark.parametrize("outcome", ["done", "refused", "failed"])
def test_the_word_of_the_device_ends_an_errand_and_leaves_an_entry_of_the_device(world: World, outcome: str) -> None:
    device = world.able()
    errand, other = world.order(device, Kind.RESTART), world.order(device)
    world.later(minutes=1)
    before = world.revision()
    ended = world.hear(errand, outcome, code="errand.busy", reason="An attempt is under way.")
    assert (ended.state, ended.code, ended.reason) == (State(outcome), "errand.busy", "An attempt is under way.")
    assert (ended.ended_at, ended.envelope, len(ended.digest)) == (world.now, b"{}", 64)
    assert world.errand(errand) == ended
    assert world.database.read_now("known", queries.known, device.id, [ended.digest, "x", ""]) == {ended.digest}
    assert world.to_order(device) == [other.id]
    assert world.revision() > before
    (entry,) = world.entries("errand.end")
    assert (entry.actor.kind, entry.actor.id, entry.subject) == ("device", device.id, f"errand:{errand.id}")
    assert {name: entry.facts[name] for name in ("outcome", "code", "before", "receipt")} == {
        "outcome": outcome,
        "code": "errand.busy",
        "before": "waiting",
        "receipt": ended.digest,
    }


def test_a_word_counts_once_and_of_its_own_device_and_kind(world: World) -> None:
    device, other = world.able(), world.able()
    errand = world.order(device, Kind.RESTART)
    world.refused("errand.foreign", world.hear, errand, by=other.id)
    world.refused("errand.foreign", world.hear, errand, device=other.id)
    world.refused("errand.kind", world.hear, errand, kind="reboot")
    world.hear(errand)
    assert "refused" in world.refused("errand.twice", world.hear, errand, "refused").sentence
    world.refused("errand.ended", world.take_back, errand)
    world.after(errand, days=1)
    world.refused("errand.ended", world.lose, errand)


def test_one_that_waits_is_cancelled_and_if_it_was_signed_before_the_row_says_so(world: World) -> None:
    device = world.able()
    unseen, signed = world.order(device), world.order(device, Kind.REBOOT)
    world.given(signed)
    world.refused("errand.why", world.take_back, unseen, "a\nb")
    assert world.take_back(unseen, "Not needed.").reason == "Not needed."
    cancelled = world.take_back(signed, "Not now.")
    assert cancelled.reason == "Not now. It was in orders for the device before: it may be done all the same."
    assert (cancelled.state, cancelled.code) == (State.CANCELLED, "errand.cancelled")
    assert world.to_order(device) == []
    assert [entry.facts["given"] for entry in world.entries("errand.cancel")] == [True, False]


def test_one_of_which_nothing_was_heard_is_lost_half_an_hour_after_it_could_be_begun(world: World) -> None:
    device = world.able()
    unseen, signed = world.order(device), world.order(device, Kind.REBOOT)
    world.given(signed)
    world.after(signed)
    world.later(minutes=29)
    assert world.database.read_now("overdue", queries.overdue, world.now, 9) == []
    world.refused("errand.early", world.lose, signed)
    world.after(signed)
    world.later(minutes=SILENT.seconds // 60)
    assert world.database.read_now("overdue", queries.overdue, world.now, 9) == [unseen.id, signed.id]
    assert world.lose(unseen).reason == "The device did not come for it in time."
    assert "it may have been done" in world.lose(signed).reason
    assert world.to_order(device) == []


def test_a_late_word_counts_more_than_what_was_assumed_and_the_row_says_that_it_was_late(world: World) -> None:
    device = world.able()
    errand, taken = world.order(device, Kind.RESTART), world.order(device, Kind.REBOOT)
    world.take_back(taken)
    world.after(errand, hours=1)
    world.lose(errand)
    late = world.hear(errand, reason="web runs.")
    assert (late.state, late.reason) == (
        State.DONE,
        "web runs. It was taken for lost before the device's word came.",
    )
    done = world.hear(taken)
    assert (done.state, done.code, done.reason) == (
        State.DONE,
        "",
        "It was cancelled before the device's word came.",
    )
    assert [entry.facts["before"] for entry in world.entries("errand.end")] == ["cancelled", "lost"]


# Files


def test_a_file_comes_before_the_word_that_names_it_and_is_there_once_that_came(world: World) -> None:
    errand = world.order(world.able())
    said = world.said(errand, content=FILE)
    assert ending.lacks(errand, said)
    assert not ending.lacks(errand, world.said(errand))
    came = world.bring(errand)
    assert (came.content, came.size, world.bring(errand)) == (FILE.digest, FILE.size, came)
    assert not ending.lacks(came, said)
    assert not ending.kept(came, world.now), "nobody has signed it yet"
    ended = world.hear(errand, content=FILE)
    assert (ended.content, ended.size, ended.reason) == (FILE.digest, FILE.size, "")
    assert ending.kept(ended, world.now + KEPT - timedelta(seconds=1))
    assert not ending.kept(ended, world.now + KEPT)


def test_which_files_may_come(world: World) -> None:
    device, other = world.able(), world.able()
    logs, restart = world.order(device), world.order(device, Kind.RESTART)

    def expect(code: str, errand: object, by: object = device.id) -> None:
        world.refused(code, world.database.read_now, "open", queries.open_for, by, errand)  # type: ignore[arg-type]

    assert world.database.read_now("open", queries.open_for, device.id, logs.id) == logs
    expect("errand.not_found", logs.id, other.id)
    expect("errand.not_found", "../x")
    expect("errand.content", restart.id)
    world.refused("errand.size", world.bring, logs, size=LARGEST_CONTENT + 1)
    world.bring(logs)
    world.refused("errand.content", world.bring, logs, OTHER.digest)
    world.refused("errand.content", world.bring, restart)
    world.after(logs, hours=1)
    world.lose(logs)
    assert world.bring(logs).state is State.LOST, "a late word may still name it"
    world.hear(logs, content=FILE)
    expect("errand.ended", logs.id)
    world.refused("errand.ended", world.bring, logs)


def test_a_file_that_the_device_did_not_sign_is_none_and_a_word_without_its_file_says_so(world: World) -> None:
    device = world.able()
    mixed, cancelled, lost = world.order(device), world.order(device, Kind.BUNDLE), world.order(device, lines=7)
    world.bring(mixed)
    world.take_back(cancelled)
    world.after(lost, hours=1)
    world.lose(lost)
    for errand, said in ((mixed, OTHER), (cancelled, FILE), (lost, FILE)):
        now = world.errand(errand)
        assert not ending.lacks(now, world.said(errand, content=said)), "nothing better would come"
        ended = world.hear(errand, content=said)
        assert (ended.state, ended.content, ended.size) == (State.DONE, "", 0)
        assert "did not come" in ended.reason


def test_files_are_kept_while_their_errand_is_open_and_thirty_days_after_its_end(world: World) -> None:
    device = world.able()
    done, waits = world.order(device), world.order(device, Kind.BUNDLE)
    world.order(device, lines=1)
    world.bring(done)
    world.bring(waits, OTHER.digest)
    world.hear(done, content=FILE)

    def kept() -> set[str]:
        return world.database.read_now("kept", queries.kept, world.now - KEPT)

    assert kept() == {FILE.digest, OTHER.digest}
    world.later(days=29)
    assert kept() == {FILE.digest, OTHER.digest}
    world.later(days=1)
    assert kept() == {OTHER.digest}
    assert world.errand(done).content == FILE.digest, "what it was is known for ever"


def test_it_is_noted_once_when_an_errand_was_first_given(world: World) -> None:
    errand = world.order(world.able())
    world.given(errand)
    first = world.errand(errand).given_at
    world.later(minutes=1)
    world.given(errand)
    world.database.write_now("none", writes.given, [], world.now)
    assert world.errand(errand).given_at == first == world.now - timedelta(minutes=1)
