# SPDX-License-Identifier: Apache-2.0
"""The spool: nothing that the plane does not have goes before what it has, and damage holds up nothing."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkvalve.agent import spool as module
from checkvalve.agent.disk.simulated import PowerCut, SimulatedDisk
from checkvalve.agent.spool import Spool
from checkvalve.crypto import envelope
from checkvalve.crypto.envelope import Envelope, Signature
from checkvalve.errors import CheckvalveError

A = "0a" * 13
NOW = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)


def sealed(number: int, size: int = 0) -> tuple[str, bytes]:
    """Return the digest and the bytes of a receipt; the spool looks at no signature."""
    made = Envelope(b"receipt %d" % number + bytes(size), "receipt", (Signature("key", b"signature"),))
    return envelope.digest(made), envelope.write(made)


def put(spool: Spool, *numbers: int, size: int = 0) -> None:
    for number in numbers:
        spool.put(*sealed(number, size))


def told(spool: Spool, *numbers: int, now: datetime = NOW) -> None:
    spool.acknowledge([sealed(number)[0] for number in numbers], now)


def waiting(spool: Spool, most: int = 1_000) -> list[int]:
    return [int(envelope.read(each).payload.split()[1].rstrip(b"\0")) for each in spool.waiting(most)]


def files(disk: SimulatedDisk) -> tuple[int, int]:
    return len(disk.names(module.WAITING)), len(disk.names(module.TOLD))


def code(call: Callable[[], object]) -> str:
    with pytest.raises(CheckvalveError) as caught:
        call()
    return caught.value.code


@pytest.fixture
def disk() -> SimulatedDisk:
    return SimulatedDisk()


@pytest.fixture
def spool(disk: SimulatedDisk) -> Spool:
    return Spool(disk)


def test_receipts_wait_oldest_first_as_the_bytes_that_were_put(disk: SimulatedDisk, spool: Spool) -> None:
    put(spool, 3, 1, 2)
    disk.crash()
    again = Spool(disk)
    assert again.waiting(2) == [sealed(3)[1], sealed(1)[1]]
    assert waiting(again) == [3, 1, 2]


def test_what_the_plane_acknowledged_waits_no_more_and_stays_thirty_days(disk: SimulatedDisk, spool: Spool) -> None:
    put(spool, 1, 2)
    told(spool, 1)
    told(spool, 1, 99)
    assert waiting(spool) == [2]
    spool.sweep(NOW + 29 * DAY)
    assert files(disk) == (1, 1)
    spool.sweep(NOW + 30 * DAY)
    assert files(disk) == (1, 0)


def test_a_receipt_is_kept_once_whoever_sealed_it_again(spool: Spool) -> None:
    put(spool, 1, 1)
    again = Envelope(b"receipt 1", "receipt", (Signature("key", b"another signature"),))
    spool.put(envelope.digest(again), envelope.write(again))
    assert spool.waiting(9) == [sealed(1)[1]]
    told(spool, 1)
    put(spool, 1)
    assert waiting(spool) == []


def test_a_receipt_under_the_digest_of_another_is_refused(spool: Spool) -> None:
    assert code(lambda: spool.put(sealed(1)[0], sealed(2)[1])) == "receipt.digest"
    assert code(lambda: spool.put(sealed(1)[0], b"rubbish")) == "receipt.digest"


def test_the_oldest_that_were_told_go_before_any_that_waits(
    disk: SimulatedDisk, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST", 4)
    put(spool, 1, 2, 3, 4)
    told(spool, 2, 3)
    put(spool, 5)
    assert (waiting(spool), files(disk)) == ([1, 4, 5], (3, 1))
    put(spool, 6, 7)
    assert (waiting(spool), files(disk)) == ([4, 5, 6, 7], (4, 0))


def test_large_receipts_are_few(disk: SimulatedDisk, spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 10_000)
    put(spool, *range(10), size=3_000)
    assert waiting(spool) == [8, 9]
    put(spool, 10, size=30_000)
    assert waiting(spool) == [10], "the newest stays whatever its size"
    assert files(disk) == (1, 0)


def test_a_damaged_receipt_is_set_aside_and_holds_up_nothing(disk: SimulatedDisk, spool: Spool) -> None:
    put(spool, 1, 2, 3)
    first, second, _ = disk.names(module.WAITING)
    disk.damage(f"{module.WAITING}/{first}", b"\0" * 100)
    disk.memory.unreadable.add(f"{module.WAITING}/{second}")
    disk.replace(f"{module.WAITING}/strange", b"not ours")
    assert waiting(spool, 1) == [3]
    assert waiting(spool) == [3]
    assert list(disk.names(module.BAD)) == [first, second]


def test_evidence_is_replaced_by_newer_and_read_back(disk: SimulatedDisk, spool: Spool) -> None:
    assert spool.evidence(A) is None
    spool.keep_evidence(A, b"old")
    spool.keep_evidence(A, b"new")
    disk.crash()
    assert Spool(disk).evidence(A) == b"new"


def test_damaged_evidence_is_none_and_is_set_aside(disk: SimulatedDisk, spool: Spool) -> None:
    spool.keep_evidence(A, b"logs of a failed service")
    disk.damage(f"{module.EVIDENCE}/{A}", b"x" * 90)
    assert spool.evidence(A) is None
    assert list(disk.names(module.BAD)) == [A]
    spool.keep_evidence(A, b"more")
    assert spool.evidence(A) == b"more"


def test_evidence_is_kept_for_the_newest_attempts(spool: Spool) -> None:
    attempts = [f"0{number:025}" for number in range(12)]
    for attempt in attempts:
        spool.keep_evidence(attempt, attempt.encode())
    assert [spool.evidence(each) is not None for each in attempts] == [False] * 4 + [True] * 8


def test_an_attempt_that_is_no_id_names_no_file(spool: Spool) -> None:
    assert code(lambda: spool.keep_evidence("../x", b"")) == "slot.attempt"


@given(st.lists(st.tuples(st.sampled_from(["put", "tell", "sweep"]), st.integers(0, 12)), max_size=40))
def test_what_the_plane_lacks_never_goes_while_something_that_it_has_is_kept(steps: list[tuple[str, int]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MOST", 5)
        disk = SimulatedDisk()
        spool = Spool(disk)
        for kind, number in steps:
            before = set(waiting(spool))
            if kind == "put":
                put(spool, number)
            elif kind == "tell":
                told(spool, number)
                before -= {number}
            else:
                spool.sweep(NOW)
            wait, kept = files(disk)
            assert wait + kept <= 5
            assert before <= set(waiting(spool)) or kept == 0


def script(spool: Spool) -> Iterator[set[int]]:
    """Take a step, and give what waits after it."""
    for number in (1, 2, 3):
        put(spool, number)
        yield set(range(1, number + 1))
    told(spool, 1)
    yield {2, 3}
    spool.keep_evidence(A, b"evidence")
    yield {2, 3}
    spool.sweep(NOW + 40 * DAY)
    yield {2, 3}
    told(spool, 2)
    yield {3}


def test_after_a_power_cut_at_any_operation_what_waits_is_what_did_before_or_after() -> None:
    measured = SimulatedDisk()
    states = [set[int](), *script(Spool(measured))]
    for cut in range(measured.operations):
        for seed in range(4):
            disk = SimulatedDisk(seed)
            disk.cut_after(cut)
            done = 0
            try:
                for _ in script(Spool(disk)):
                    done += 1
            except PowerCut:
                disk.crash()
            spool = Spool(disk)
            assert set(waiting(spool)) in states[done : done + 2]
            assert list(disk.names(module.BAD)) == []
            assert spool.evidence(A) in ((b"evidence",) if done >= 5 else (None, b"evidence"))
