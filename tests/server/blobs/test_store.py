# SPDX-License-Identifier: Apache-2.0
"""Blobs by content: whole or not at all, whoever else stores or sweeps, and whatever the disk does."""

import errno
import io
import multiprocessing
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkvalve.errors import InvalidError, NotFoundError, UnavailableError
from checkvalve.server.blobs import store
from checkvalve.server.blobs.store import Blobs, Stored
from tests.parts.archives import sha
from tests.parts.missing import missing

DATA = b"a layer"
DIGEST = sha(DATA)
LATER, EARLIER = 4e9, 1e9  # seconds since 1970


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "blobs")


def files(blobs: Blobs) -> list[Path]:
    return [path for path in blobs._named.parent.rglob("*") if path.is_file()]


def test_what_is_put_can_be_read(blobs: Blobs) -> None:
    assert blobs.put(DATA) == Stored(DIGEST, len(DATA), added=True)
    assert blobs.has(DIGEST)
    assert blobs.size(DIGEST) == len(DATA)
    assert blobs.read(DIGEST, 100) == DATA
    with blobs.open(DIGEST) as file:
        assert file.read() == DATA
    assert files(blobs) == [blobs._named / DIGEST[7:9] / DIGEST[9:]]


def test_a_stream_is_stored_from_where_it_stands(blobs: Blobs) -> None:
    source = io.BytesIO(b"xx" + DATA)
    source.seek(2)
    assert blobs.put(source).digest == DIGEST


def test_storing_twice_keeps_the_first_and_touches_it(blobs: Blobs) -> None:
    blobs.put(DATA)
    [path] = files(blobs)
    os.utime(path, (EARLIER, EARLIER))
    inode = path.stat().st_ino
    assert not blobs.put(DATA).added
    assert path.stat().st_ino == inode
    assert path.stat().st_mtime > EARLIER
    assert files(blobs) == [path]


def test_a_blob_of_the_wrong_size_is_replaced(blobs: Blobs) -> None:
    blobs.put(DATA)
    [path] = files(blobs)
    path.write_bytes(b"cut")
    assert blobs.put(DATA).added
    assert blobs.read(DIGEST, 100) == DATA


def test_a_damaged_blob_is_told_and_set_aside_and_comes_again(blobs: Blobs) -> None:
    blobs.put(DATA)
    [path] = files(blobs)
    path.write_bytes(b"A layer")
    with pytest.raises(UnavailableError) as caught:
        blobs.read(DIGEST, 100)
    assert caught.value.code == "blobs.damaged"
    assert not blobs.has(DIGEST)
    assert blobs.put(DATA).added
    assert blobs.read(DIGEST, 100) == DATA


def test_what_is_absent_or_too_large_is_told(blobs: Blobs) -> None:
    for ask in (blobs.open, blobs.size, lambda digest: blobs.read(digest, 1)):
        with pytest.raises(NotFoundError) as absent:
            ask(DIGEST)
        assert absent.value.code == "blob.not_found"
    assert not blobs.has(DIGEST)
    blobs.put(DATA)
    with pytest.raises(InvalidError) as large:
        blobs.read(DIGEST, len(DATA) - 1)
    assert large.value.code == "blob.size"


WRONG = ["", "sha256:", "sha256:" + "a" * 63, "sha256:" + "A" * 64, "sha512:" + "a" * 64, "sha256:../../etc/passwd"]


@pytest.mark.parametrize("digest", [*WRONG, "sha256:" + "a" * 63 + "\n", "sha256:" + "../" * 21 + "a", "a" * 64])
def test_no_path_is_made_of_what_is_no_digest(blobs: Blobs, digest: str) -> None:
    for ask in (blobs.has, blobs.open, blobs.size, blobs.damaged, lambda digest: blobs.read(digest, 1)):
        with pytest.raises(InvalidError) as caught:
            ask(digest)
        assert caught.value.code == "blob.digest"


@given(st.text())
def test_form_returns_only_what_has_it(text: str) -> None:
    with pytest.raises(InvalidError):
        store.form(text)


def test_threads_that_store_the_same_at_once_all_succeed(blobs: Blobs) -> None:
    data = os.urandom(1 << 20)
    start = threading.Barrier(8)

    def work(_: int) -> Stored:
        start.wait()
        return blobs.put(data)

    with ThreadPoolExecutor(8) as pool:
        stored = list(pool.map(work, range(8)))
    assert {one.digest for one in stored} == {sha(data)}
    assert sum(one.added for one in stored) == 1
    assert len(files(blobs)) == 1


def _put_often(directory: Path, data: bytes) -> None:
    for _ in range(20):
        Blobs(directory).put(data)


@pytest.mark.slow
def test_processes_that_store_the_same_at_once_all_succeed(blobs: Blobs) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_put_often, args=(blobs._named.parent, DATA * 1000)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert len(files(blobs)) == 1


def test_a_sweep_spares_what_is_kept_and_what_is_young(blobs: Blobs) -> None:
    kept, old = blobs.put(b"kept").digest, blobs.put(b"old").digest
    for path in files(blobs):
        os.utime(path, (EARLIER, EARLIER))
    young = blobs.put(b"young").digest
    swept = blobs.sweep({kept}, EARLIER + 1)
    assert (swept.count, swept.size) == (1, 3)
    assert [blobs.has(digest) for digest in (kept, old, young)] == [True, False, True]
    assert blobs.sweep({kept}, EARLIER + 1).count == 0


def test_a_sweep_removes_what_a_killed_process_left_on_its_way(blobs: Blobs) -> None:
    left = blobs._incoming / "left"
    left.write_bytes(b"half")
    blobs.sweep((), EARLIER)
    assert left.exists()
    blobs.sweep((), LATER)
    assert not left.exists()


def test_what_is_stored_while_a_sweep_runs_is_there_afterwards(blobs: Blobs) -> None:
    done = threading.Event()

    def sweep() -> None:
        while not done.is_set():
            blobs.sweep((), EARLIER + 1)

    with ThreadPoolExecutor(1) as pool:
        sweeping = pool.submit(sweep)
        try:
            for _ in range(100):
                digest = blobs.put(DATA).digest
                assert blobs.has(digest)
                path = blobs._path(digest)
                os.utime(path, (EARLIER, EARLIER))  # old again: the sweep may take it, until it is put once more
        finally:
            done.set()
        sweeping.result()


def test_a_spool_leaves_nothing_even_if_its_process_is_killed(blobs: Blobs) -> None:
    with blobs.spool() as file:
        file.write(DATA)
        file.seek(0)
        assert file.read() == DATA
        assert files(blobs) == []
    code = (
        "import os, sys, pathlib; from checkvalve.server.blobs.store import Blobs\n"
        "with Blobs(pathlib.Path(sys.argv[1])).spool() as file:\n"
        "    file.write(b'x' * 100000); file.flush(); os.kill(os.getpid(), 9)"
    )
    ran = subprocess.run([sys.executable, "-c", code, str(blobs._named.parent)], check=False)
    assert ran.returncode == -9
    assert files(blobs) == []


class _Failing(io.RawIOBase):
    """A source whose disk fails after a megabyte."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.given = False

    def read(self, size: int = -1) -> bytes:
        if self.given:
            raise OSError(self.number, os.strerror(self.number))
        self.given = True
        return b"x" * size


@pytest.mark.parametrize(
    ("number", "code"), [(errno.EIO, "blobs.failed"), (errno.ENOSPC, "blobs.full"), (errno.EDQUOT, "blobs.full")]
)
def test_a_disk_that_fails_leaves_no_partial_file(blobs: Blobs, number: int, code: str) -> None:
    with pytest.raises(UnavailableError) as caught:
        blobs.put(_Failing(number))  # type: ignore[arg-type] # only `read` is asked of it
    assert caught.value.code == code
    assert files(blobs) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Lend a file system of one megabyte."""
    place = tmp_path / "small"
    place.mkdir()
    if os.geteuid() != 0:
        missing("A small disk", "run the tests as root")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.real_parts
def test_a_full_disk_is_told_and_leaves_room_for_what_fits(small_disk: Path) -> None:
    blobs = Blobs(small_disk)
    before = blobs.free()
    assert 0 < before <= 1 << 20
    with pytest.raises(UnavailableError) as caught:
        blobs.put(b"x" * (2 << 20))
    assert caught.value.code == "blobs.full"
    assert files(blobs) == []
    assert blobs.free() == before
    assert blobs.put(DATA).added
