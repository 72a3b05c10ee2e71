# SPDX-License-Identifier: Apache-2.0
"""Blobs: what has its name is real bytes, and nothing that came is fetched twice without a reason."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import BinaryIO

import pytest

from checkvalve.agent.blobs import Blobs
from checkvalve.agent.disk.simulated import PowerCut, SimulatedDisk
from checkvalve.agent.ports import Replied
from checkvalve.crypto import digests
from checkvalve.errors import CheckvalveError, InvalidError, NotFoundError, UnavailableError

DATA = bytes(range(256)) * 40
DIGEST = "sha256:" + digests.sha256_hex(DATA)
NAME = DIGEST.removeprefix("sha256:")
EMPTY = "sha256:" + digests.sha256_hex(b"")


class Plane:
    """A link that serves blobs, in pieces, and may stop in the middle or send something else."""

    def __init__(self, blobs: dict[str, bytes], piece: int = 1_000) -> None:
        self.blobs = blobs
        self.piece = piece
        self.stops_after: int | None = None
        self.asked: list[int] = []

    async def blob(self, digest: str, offset: int) -> AsyncIterator[bytes]:
        self.asked.append(offset)
        if digest not in self.blobs:
            raise NotFoundError("blob.not_found", "The plane has no such blob.")
        data = self.blobs[digest][offset:]
        for at in range(0, len(data), self.piece):
            if self.stops_after is not None and at >= self.stops_after:
                raise UnavailableError("link.unreachable", "The line is cut.")
            await asyncio.sleep(0)
            yield data[at : at + self.piece]

    async def exchange(self, report: bytes, wait: float) -> Replied:
        raise NotImplementedError

    async def metadata(self, role: str, version: int) -> bytes | None:
        raise NotImplementedError

    async def manifest(self, digest: str) -> bytes:
        raise NotImplementedError

    async def values(self, digest: str) -> bytes:
        raise NotImplementedError

    async def put(self, errand: str, digest: str, file: BinaryIO, size: int) -> None:
        raise NotImplementedError

    async def renew(self, envelope: bytes) -> bytes:
        raise NotImplementedError

    async def time(self) -> str:
        raise NotImplementedError

    async def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def disk() -> SimulatedDisk:
    return SimulatedDisk()


@pytest.fixture
def plane() -> Plane:
    return Plane({DIGEST: DATA, EMPTY: b""})


def fetch(disk: SimulatedDisk, plane: Plane, digest: str = DIGEST, size: int = len(DATA)) -> Blobs:
    blobs = Blobs(disk)
    asyncio.run(blobs.fetch(digest, size, plane))
    return blobs


def content(blobs: Blobs, digest: str = DIGEST) -> bytes:
    with blobs.open(digest) as file:
        return file.read()


def code(call: Callable[[], object]) -> str:
    with pytest.raises(CheckvalveError) as caught:
        call()
    assert caught.value.sentence
    return caught.value.code


def test_a_blob_that_was_fetched_is_held_whole_and_survives_a_power_cut(disk: SimulatedDisk, plane: Plane) -> None:
    fetch(disk, plane)
    disk.crash()
    blobs = Blobs(disk)
    assert blobs.held() == {DIGEST}
    assert (blobs.size(DIGEST), content(blobs)) == (len(DATA), DATA)


def test_what_is_held_is_not_fetched_again(disk: SimulatedDisk, plane: Plane) -> None:
    fetch(disk, plane)
    fetch(disk, plane)
    assert plane.asked == [0]


def test_a_blob_of_no_bytes_is_a_blob(disk: SimulatedDisk, plane: Plane) -> None:
    assert content(fetch(disk, plane, EMPTY, 0), EMPTY) == b""
    assert plane.asked == []


def test_a_line_that_is_cut_goes_on_where_it_was(disk: SimulatedDisk, plane: Plane) -> None:
    plane.stops_after = 3_000
    assert code(lambda: fetch(disk, plane)) == "link.unreachable"
    assert Blobs(disk).size(DIGEST) == 3_000
    assert Blobs(disk).held() == frozenset()
    plane.stops_after = None
    assert content(fetch(disk, plane)) == DATA
    assert plane.asked == [0, 3_000]


def test_a_plane_that_stops_early_is_asked_again_from_there(disk: SimulatedDisk, plane: Plane) -> None:
    plane.blobs[DIGEST] = DATA[:5_000]
    assert code(lambda: fetch(disk, plane)) == "blob.short"
    plane.blobs[DIGEST] = DATA
    assert content(fetch(disk, plane)) == DATA
    assert plane.asked == [0, 5_000]


def test_what_was_begun_and_is_wrong_is_fetched_once_from_its_beginning(disk: SimulatedDisk, plane: Plane) -> None:
    disk.extend(f"blobs/part/{NAME}", 0, b"\0" * 3_000)
    assert content(fetch(disk, plane)) == DATA
    assert plane.asked == [3_000, 0]


def test_what_was_begun_and_is_too_long_is_begun_anew(disk: SimulatedDisk, plane: Plane) -> None:
    disk.extend(f"blobs/part/{NAME}", 0, DATA + b"more")
    assert content(fetch(disk, plane)) == DATA
    assert plane.asked == [0]


def test_something_else_under_the_name_of_a_blob_is_never_held(disk: SimulatedDisk, plane: Plane) -> None:
    plane.blobs[DIGEST] = DATA[:-1] + b"!"
    with pytest.raises(InvalidError, match=r"blob\.digest"):
        fetch(disk, plane)
    assert plane.asked == [0], "all of it came from the plane: it would send the same again"
    assert (Blobs(disk).held(), Blobs(disk).size(DIGEST)) == (frozenset(), 0)


def test_no_more_is_taken_than_the_manifest_promised(disk: SimulatedDisk, plane: Plane) -> None:
    plane.blobs[DIGEST] = DATA * 1_000
    before = disk.operations
    with pytest.raises(InvalidError, match=r"blob\.digest"):
        fetch(disk, plane, DIGEST, 1_500)
    assert disk.operations - before < 20
    assert content(fetch(disk, plane)) == DATA, "with its true size, what follows is not looked at"


def test_a_blob_that_the_plane_does_not_have_is_said(disk: SimulatedDisk, plane: Plane) -> None:
    del plane.blobs[DIGEST]
    assert code(lambda: fetch(disk, plane)) == "blob.not_found"


def test_room_is_asked_for_before_with_the_numbers(disk: SimulatedDisk, plane: Plane) -> None:
    other = "sha256:" + "1" * 64
    plane.stops_after = 4_000
    assert code(lambda: fetch(disk, plane)) == "link.unreachable"
    blobs = Blobs(disk)
    assert blobs.need({DIGEST: len(DATA), other: 500}) == len(DATA) - 4_000 + 500
    disk.full_after(3_000_000)
    with pytest.raises(UnavailableError, match=r"disk\.full") as caught:
        blobs.need({other: 5_000_001})
    assert caught.value.facts == {"need": 6, "have": 3}


def test_a_disk_that_fills_up_meanwhile_ends_the_fetch_and_not_the_device(disk: SimulatedDisk, plane: Plane) -> None:
    disk.full_after(2_500)
    assert code(lambda: fetch(disk, plane)) == "disk.full"
    disk.full_after(1 << 20)
    assert content(fetch(disk, plane)) == DATA


def test_a_blob_that_lost_a_bit_is_missing_and_is_fetched_again(disk: SimulatedDisk, plane: Plane) -> None:
    fetch(disk, plane)
    disk.damage(f"blobs/sha256/{NAME}", b"?" + DATA[1:])
    blobs = Blobs(disk)
    assert code(lambda: blobs.open(DIGEST)) == "blob.missing"
    assert blobs.held() == frozenset()
    assert content(fetch(disk, plane)) == DATA


def test_a_blob_on_a_bad_sector_is_missing_and_is_fetched_again(disk: SimulatedDisk, plane: Plane) -> None:
    fetch(disk, plane)
    disk.memory.unreadable.add(f"blobs/sha256/{NAME}")
    blobs = Blobs(disk)
    assert code(lambda: blobs.open(DIGEST)) == "blob.missing"
    disk.memory.unreadable.clear()
    assert content(fetch(disk, plane)) == DATA


def test_a_blob_that_is_not_here_is_missing(disk: SimulatedDisk, plane: Plane) -> None:
    blobs = fetch(disk, plane)
    assert code(lambda: Blobs(disk).open("sha256:" + "1" * 64)) == "blob.missing"
    disk.remove(f"blobs/sha256/{NAME}")
    assert code(lambda: blobs.open(DIGEST)) == "blob.missing"


@pytest.mark.parametrize(
    "digest", ["", "sha256:", "sha256:../../etc/passwd", "sha512:" + "1" * 64, "sha256:" + "A" * 64]
)
def test_what_is_no_digest_names_no_file(disk: SimulatedDisk, digest: str) -> None:
    assert code(lambda: Blobs(disk).open(digest)) == "blob.name"


def test_what_nobody_needs_any_more_goes(disk: SimulatedDisk, plane: Plane) -> None:
    blobs = fetch(disk, plane)
    fetch(disk, plane, EMPTY, 0)
    disk.extend("blobs/part/" + "1" * 64, 0, b"part")
    disk.extend("blobs/part/" + "2" * 64, 0, b"part")
    blobs.sweep({DIGEST, "sha256:" + "2" * 64})
    assert blobs.held() == {DIGEST}
    assert list(disk.names("blobs/part")) == ["2" * 64]


def test_after_a_power_cut_at_any_operation_what_is_held_is_real_and_the_rest_can_be_had(plane: Plane) -> None:
    measured = SimulatedDisk()
    fetch(measured, plane).sweep({DIGEST})
    for cut in range(measured.operations):
        for seed in range(4):
            disk = SimulatedDisk(seed)
            disk.cut_after(cut)
            with pytest.raises(PowerCut):
                fetch(disk, plane).sweep({DIGEST})
            disk.crash()
            blobs = Blobs(disk)
            assert all(content(blobs, each) == DATA for each in blobs.held())
            assert content(fetch(disk, plane)) == DATA


def test_other_work_goes_on_while_a_large_blob_is_read(disk: SimulatedDisk) -> None:
    large = bytes(8 << 20)
    digest = "sha256:" + digests.sha256_hex(large)
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def both() -> None:
        disk.extend("blobs/part/" + digest.removeprefix("sha256:"), 0, large)
        other = asyncio.create_task(count())
        await Blobs(disk).fetch(digest, len(large), Plane({}))
        other.cancel()

    asyncio.run(both())
    assert turns >= 8
