# SPDX-License-Identifier: Apache-2.0
"""The journal: what was written is there, what is torn or damaged never stops a start, and no loss goes unheard."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkvalve.agent import journal as module
from checkvalve.agent.clocks.simulated import SimulatedClock
from checkvalve.agent.disk import files
from checkvalve.agent.disk.simulated import PowerCut, SimulatedDisk
from checkvalve.agent.journal import NAME, RESERVE, Journal
from checkvalve.agent.recover import fold
from checkvalve.agent.steps import Position, Slot
from checkvalve.crypto import digests
from checkvalve.errors import InvalidError, UnavailableError
from checkvalve.protocol.exchange import Event, State
from checkvalve.protocol.workload import Image, Manifest, Service

CLOCK = SimulatedClock()
A, B, C = (f"0{name}" * 13 for name in "abc")
TARGET = f"org/pump/{'1' * 64}.json"
CONFIG = "sha256:" + "2" * 64
IMAGE = Image(config=CONFIG, config_size=1, manifest=CONFIG, name="pump", platform="linux/amd64", layers=())
MANIFEST = Manifest(name="pump", version="1", services={"pump": Service(image=CONFIG)}, images={CONFIG: IMAGE})
SLOT = Slot("device", A, "sha256:" + "1" * 64, TARGET, 7, MANIFEST)
STEPS = (State.OFFERED, State.FETCHING, State.STAGED, State.SWITCHING, State.VERIFYING, State.COMMITTED)


@pytest.fixture
def disk() -> SimulatedDisk:
    return SimulatedDisk()


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have journals rotate at 4 KiB, and lose what nobody knows at 16."""
    monkeypatch.setattr(module, "ROTATED", 4 << 10)
    monkeypatch.setattr(module, "LARGEST", 16 << 10)


def opened(disk: SimulatedDisk, committed: Slot | None = None) -> Journal:
    return Journal.open(disk, CLOCK, committed)


def walk(journal: Journal, attempt: str = A, states: tuple[State, ...] = STEPS) -> None:
    for state in states:
        journal.write("state", attempt=attempt, state=state, facts={"target": TARGET, "number": 7})


def order(journal: Journal, counter: int) -> Event:
    return journal.write("order", attempt=B, facts={"epoch": 1, "counter": counter, "target": TARGET, "parked": 0})


def all_of(journal: Journal) -> list[Event]:
    return journal.events(0, 100_000)


def proved(journal: Journal) -> bool:
    """Tell whether its events are numbered and chained without a gap."""
    events = all_of(journal)
    return all(
        later.seq == earlier.seq + 1 and later.prev == digests.sha256_hex(module._line(earlier).data)
        for earlier, later in itertools.pairwise(events)
    )


# ---- What it keeps ----


def test_what_was_written_is_there_after_a_power_cut(disk: SimulatedDisk) -> None:
    journal = opened(disk)
    walk(journal)
    disk.crash()
    again = opened(disk)
    assert all_of(again) == all_of(journal)
    assert (again.id, again.seq, again.head, again.position) == (
        journal.id,
        journal.seq,
        journal.head,
        journal.position,
    )
    assert again.position.state is State.COMMITTED
    assert again.trouble == ""


def test_it_is_the_same_on_a_real_disk(tmp_path: Path) -> None:
    real = files.take(tmp_path)
    journal = Journal.open(real, CLOCK)
    walk(journal)
    real.close()
    again = files.take(tmp_path)
    assert all_of(Journal.open(again, CLOCK)) == all_of(journal)
    (tmp_path / NAME).write_bytes((tmp_path / NAME).read_bytes()[:-1])
    assert Journal.open(again, CLOCK).write("boot").seq == 6
    assert all_of(Journal.open(again, CLOCK))[:5] == all_of(journal)[:5]
    again.close()


def test_each_line_is_bound_to_the_one_before(disk: SimulatedDisk) -> None:
    journal = opened(disk)
    walk(journal)
    lines = disk.read(NAME).splitlines()[2:]
    assert [event.prev for event in all_of(journal)] == ["", *(digests.sha256_hex(line) for line in lines[:-1])]
    assert journal.head == digests.sha256_hex(lines[-1])
    assert [event.seq for event in all_of(journal)] == [1, 2, 3, 4, 5, 6]


def test_events_are_told_in_pieces_from_a_number_on(disk: SimulatedDisk) -> None:
    journal = opened(disk)
    walk(journal)
    assert [event.seq for event in journal.events(2, 2)] == [3, 4]
    assert journal.events(6, 10) == []
    assert journal.events(99, 10) == []


def test_an_attempt_has_its_own_events(disk: SimulatedDisk) -> None:
    journal = opened(disk)
    walk(journal, A)
    journal.write("boot", attempt=A, state=State.COMMITTED)
    walk(journal, B, (State.OFFERED, State.REFUSED))
    assert [event.state for event in journal.of(B)] == [State.OFFERED, State.REFUSED]
    assert len(journal.of(A)) == 7
    assert journal.committed == (A,)


def test_words_of_an_engine_never_keep_a_rollback_from_being_written(disk: SimulatedDisk) -> None:
    journal = opened(disk)
    event = journal.write("state", attempt=A, state=State.ROLLING_BACK, code="c" * 200, reason="\0\ud800x" * 1_000)
    assert (len(event.code), len(event.reason)) == (100, 1_000)
    assert all_of(opened(disk)) == [event]


def test_what_no_event_can_hold_is_refused_and_changes_nothing(disk: SimulatedDisk) -> None:
    journal = opened(disk)
    with pytest.raises(InvalidError, match=r"journal\.event"):
        journal.write("state", attempt="x" * 27, state=State.OFFERED)
    with pytest.raises(InvalidError, match=r"journal\.event"):
        journal.write("note", facts={"number": 2**60})
    assert (journal.seq, journal.position) == (0, Position())


def test_a_clock_before_1970_still_writes() -> None:
    journal = Journal.open(SimulatedDisk(), (clock := SimulatedClock()))
    clock.jump(-100 * 365 * 86_400)
    assert journal.write("boot").at == 0


# ---- Damage ----


def test_a_torn_last_line_is_dropped_and_the_next_takes_its_place(disk: SimulatedDisk) -> None:
    journal = opened(disk)
    walk(journal)
    whole = disk.read(NAME)
    for torn in (b"{", b"\0" * 40, whole.splitlines()[-1], b"\0" * 40 + b'"}\n'):
        disk.damage(NAME, whole + torn)
        again = opened(disk)
        assert (again.id, again.seq, again.trouble) == (journal.id, 6, "")
        assert again.write("boot").seq == 7
        after = opened(disk)
        assert (after.seq, after.id, proved(after)) == (7, journal.id, True)


@given(st.data())
def test_no_damage_keeps_an_agent_from_starting(data: st.DataObject) -> None:
    disk = SimulatedDisk()
    journal = opened(disk)
    order(journal, 5)
    walk(journal)
    whole = disk.read(NAME)
    at = data.draw(st.integers(0, len(whole) - 1))
    disk.damage(NAME, whole[:at] + data.draw(st.binary(max_size=40)) + whole[at + data.draw(st.integers(0, 80)) :])
    again = opened(disk, SLOT)
    assert again.write("boot").seq == again.seq
    assert proved(again)
    if again.trouble:
        assert again.id != journal.id
        assert disk.read("journal.1.bad")
        assert again.position.attempt == A
    assert opened(disk, SLOT).trouble == "", "the second start finds a good one"


def test_a_journal_of_no_bytes_is_a_lost_one(disk: SimulatedDisk) -> None:
    walk(opened(disk))
    disk.damage(NAME, b"")
    journal = opened(disk, SLOT)
    assert journal.trouble
    assert (journal.position.state, journal.position.attempt, journal.position.number) == (State.COMMITTED, A, 7)
    assert [event.code for event in all_of(journal)] == ["journal.lost"]


def test_a_journal_that_is_gone_while_something_runs_is_a_lost_one(disk: SimulatedDisk) -> None:
    assert opened(disk, SLOT).trouble
    assert opened(SimulatedDisk()).trouble == ""


def test_a_bad_sector_is_a_lost_journal(disk: SimulatedDisk) -> None:
    walk(opened(disk))
    disk.memory.unreadable.add(NAME)
    journal = opened(disk, SLOT)
    assert journal.trouble
    assert journal.position.attempt == A
    assert disk.exists("journal.1.bad")


def test_no_order_is_taken_twice_because_the_journal_was_lost(disk: SimulatedDisk) -> None:
    journal = opened(disk)
    walk(journal, C, (State.OFFERED, State.REFUSED))
    journal.write("note", attempt=A, facts={"ran": "sha256:1/migrate"})
    order(journal, 41)
    walk(journal)
    lines = disk.read(NAME).splitlines(keepends=True)
    disk.damage(NAME, b"".join([*lines[:2], b"rubbish\n", *lines[3:]]))
    position = opened(disk, SLOT).position
    assert (position.epoch, position.counter) == (1, 41)
    assert position.ran == {"sha256:1/migrate"}
    assert position.ended[C] is State.REFUSED


def test_a_switch_that_a_damaged_journal_still_tells_of_is_turned_back(disk: SimulatedDisk) -> None:
    journal = opened(disk)
    walk(journal)
    walk(journal, B, STEPS[:4])
    lines = disk.read(NAME).splitlines(keepends=True)
    disk.damage(NAME, b"".join([*lines[:4], b"rubbish\n", *lines[5:]]))
    position = opened(disk, SLOT).position
    assert (position.attempt, position.state) == (B, State.SWITCHING)


def test_at_most_three_damaged_journals_are_kept(disk: SimulatedDisk) -> None:
    for number in range(6):
        opened(disk)
        disk.damage(NAME, b"rubbish %d" % number)
    opened(disk)
    bad = [name for name in disk.names("") if name.endswith(".bad")]
    assert [disk.read(name) for name in bad] == [b"rubbish 3", b"rubbish 4", b"rubbish 5"]


def test_a_damaged_journal_on_a_full_disk_is_still_replaced(disk: SimulatedDisk) -> None:
    walk(opened(disk))
    disk.damage(NAME, disk.read(NAME).replace(b"offered", b"oFFered"))
    disk.full_after(0)
    assert opened(disk, SLOT).position.attempt == A


# ---- A full or failing disk ----


def test_nothing_is_begun_on_a_disk_without_room_and_what_was_begun_is_ended(disk: SimulatedDisk) -> None:
    journal = opened(disk)
    walk(journal, A, STEPS[:4])
    disk.full_after(10)
    walk(journal, A, (State.ROLLING_BACK, State.ROLLED_BACK))  # the reserve is given up for it
    assert not disk.exists(RESERVE)
    before = (journal.seq, journal.head, journal.position, disk.read(NAME))
    with pytest.raises(UnavailableError, match=r"disk\.full"):
        order(journal, 1)
    with pytest.raises(UnavailableError, match=r"disk\.full"):
        walk(journal, B, STEPS[:1])
    assert (journal.seq, journal.head, journal.position, disk.read(NAME)) == before
    disk.full_after(1 << 20)
    walk(journal, B, STEPS[:1])
    assert disk.exists(RESERVE)
    assert proved(opened(disk))


def test_a_write_that_failed_leaves_no_trace_in_what_follows(disk: SimulatedDisk) -> None:
    journal = opened(disk)
    walk(journal, A, STEPS[:2])
    disk.fail()
    with pytest.raises(UnavailableError, match=r"disk\.failed"):
        journal.write("boot")
    disk.fail(on=False)
    assert journal.write("boot").seq == 3
    disk.crash()
    assert all_of(opened(disk)) == all_of(journal)


def test_half_a_line_that_could_not_be_cut_off_again_is_written_over(disk: SimulatedDisk) -> None:
    journal = opened(disk)
    walk(journal)
    disk.damage(NAME, disk.read(NAME) + b'{"at":1')
    journal.write("boot")
    assert all_of(opened(disk)) == all_of(journal)


# ---- Rotation ----


@pytest.mark.usefixtures("small")
def test_what_the_plane_keeps_goes_and_the_position_stays(disk: SimulatedDisk) -> None:
    journal = opened(disk)
    order(journal, 9)
    walk(journal)
    before = journal.id
    for _ in range(100):
        journal.known(journal.seq)
        journal.write("boot")
    assert disk.size(NAME) < (4 << 10) + 1_000
    again = opened(disk)
    assert (again.id, again.seq) == (before, 107)
    assert again.position == journal.position
    assert (again.position.counter, again.position.attempt) == (9, A)
    assert again.committed == (A,)
    assert proved(again)


@pytest.mark.usefixtures("small")
def test_what_the_plane_does_not_keep_yet_stays_until_it_is_too_much(disk: SimulatedDisk) -> None:
    journal = opened(disk)
    for _ in range(40):
        journal.write("boot")
    assert all_of(journal)[0].seq == 1
    for _ in range(200):
        journal.write("boot")
    assert all_of(journal)[0].seq > 1
    assert disk.size(NAME) < (16 << 10) + 1_000
    assert opened(disk).seq == 240


@pytest.mark.usefixtures("small")
def test_events_of_the_current_attempt_stay_although_the_plane_keeps_them(disk: SimulatedDisk) -> None:
    journal = opened(disk)
    walk(journal, A, STEPS[:4])
    for _ in range(30):
        journal.known(journal.seq)
        journal.write("boot")
    assert [event.state for event in journal.of(A)] == list(STEPS[:4])


@pytest.mark.usefixtures("small")
def test_a_plane_that_says_it_knows_what_was_never_written_is_not_believed(disk: SimulatedDisk) -> None:
    journal = opened(disk)
    journal.known(1_000_000)
    for _ in range(50):
        journal.write("boot")
    assert [event.seq for event in all_of(journal)] == list(range(1, 51))


@given(st.lists(st.sampled_from([*STEPS, State.ROLLING_BACK, State.ROLLED_BACK]), max_size=30), st.integers(0, 40))
def test_the_position_is_the_fold_of_the_events_rotated_or_not(states: list[State], known: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "ROTATED", 1 << 10)
        patch.setattr(module, "LARGEST", 2 << 10)
        disk = SimulatedDisk()
        journal = opened(disk)
        position = Position()
        for index, state in enumerate(states):
            attempt = (A, B, C)[index // 4 % 3]
            position = fold(position, journal.write("state", attempt=attempt, state=state, facts={"target": TARGET}))
            journal.known(min(known, journal.seq))
        assert journal.position == position
        assert opened(disk).position == position


# ---- The power cut, at every operation ----


def script(journal: Journal) -> Iterator[None]:
    order(journal, 1)
    yield
    for state in STEPS:
        walk(journal, B, (state,))
        yield
        journal.known(journal.seq)
    for _ in range(8):
        journal.write("boot", attempt=B, state=State.COMMITTED)
        yield
        journal.known(journal.seq)


def progress(disk: SimulatedDisk) -> int:
    """Return how many events the script wrote until the power was cut."""
    seq = 0
    try:
        for _ in script(opened(disk)):
            seq += 1
    except PowerCut:
        return seq
    raise AssertionError("the power was not cut")


def test_after_a_power_cut_at_any_operation_the_journal_is_as_before_the_event_or_after_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "ROTATED", 2 << 10)
    monkeypatch.setattr(module, "LARGEST", 3 << 10)
    measured = SimulatedDisk()
    journal = opened(measured)
    written = sum(1 for _ in script(journal))
    assert all_of(journal)[0].seq > 1, "it rotates on the way"
    for cut in range(measured.operations):
        for seed in range(4):
            disk = SimulatedDisk(seed)
            disk.cut_after(cut)
            seq = progress(disk)
            assert seq < written
            disk.crash()
            again = opened(disk)
            assert again.trouble == ""
            assert again.seq in (seq, seq + 1)
            assert proved(again)
            again.write("boot")
            assert opened(disk).seq == again.seq


def test_a_power_cut_while_a_lost_journal_is_replaced_loses_nothing_more() -> None:
    def lost(seed: int) -> SimulatedDisk:
        disk = SimulatedDisk(seed)
        journal = opened(disk)
        order(journal, 41)
        walk(journal)
        disk.damage(NAME, disk.read(NAME).replace(b"offered", b"oFFered"))
        return disk

    for cut in range(20):
        for seed in range(4):
            disk = lost(seed)
            disk.cut_after(cut)
            try:
                opened(disk, SLOT)
            except PowerCut:
                disk.crash()
            position = opened(disk, SLOT).position
            assert (position.attempt, position.state, position.counter) == (A, State.COMMITTED, 41)
