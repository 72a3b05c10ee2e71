# SPDX-License-Identifier: Apache-2.0
"""One contract over both disks; and what a power cut leaves, which only the simulated one can show."""

import contextlib
import errno
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkvalve.agent.disk import files
from checkvalve.agent.disk.files import FileDisk
from checkvalve.agent.disk.simulated import PowerCut, SimulatedDisk
from checkvalve.agent.ports import Disk
from checkvalve.errors import CheckvalveError, ConflictError, InvalidError, NotFoundError, UnavailableError


@pytest.fixture(params=["files", "simulated"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FileDisk]:
    made = files.take(tmp_path / "agent") if request.param == "files" else SimulatedDisk()
    yield made
    made.close()


def code(call: Callable[[], object]) -> str:
    with pytest.raises(CheckvalveError) as caught:
        call()
    assert caught.value.sentence
    assert caught.value.remedy
    return caught.value.code


def test_both_are_disks(disk: FileDisk) -> None:
    port: Disk = disk
    assert port.free() > 0


def test_a_file_holds_what_it_was_given_last(disk: FileDisk) -> None:
    disk.replace("slots/a/one", b"old")
    disk.replace("slots/a/one", b"new")
    assert disk.read("slots/a/one") == b"new"
    assert disk.size("slots/a/one") == 3
    assert disk.exists("slots/a/one")


def test_what_is_appended_follows_what_was_there(disk: FileDisk) -> None:
    disk.append("journal", b"one\n")
    disk.append("journal", b"two\n")
    assert disk.read("journal") == b"one\ntwo\n"


def test_an_append_after_a_replacement_goes_to_the_new_file(disk: FileDisk) -> None:
    disk.append("journal", b"one\n")
    disk.replace("journal", b"two\n")
    disk.append("journal", b"three\n")
    assert disk.read("journal") == b"two\nthree\n"


def test_an_append_after_a_removal_begins_anew(disk: FileDisk) -> None:
    disk.append("journal", b"one\n")
    disk.remove("journal")
    disk.append("journal", b"two\n")
    assert disk.read("journal") == b"two\n"


def test_a_file_is_fetched_in_pieces_and_gets_its_name_at_the_end(disk: FileDisk) -> None:
    disk.extend("blobs/part/a", 0, b"one")
    disk.extend("blobs/part/a", 3, b"two")
    assert disk.size("blobs/part/a") == 6
    disk.settle("blobs/part/a", "blobs/sha256/a")
    assert not disk.exists("blobs/part/a")
    with disk.open("blobs/sha256/a") as file:
        assert (file.read(3), file.read()) == (b"one", b"two")


def test_what_is_settled_takes_the_place_of_what_had_the_name(disk: FileDisk) -> None:
    disk.append("final", b"old")
    disk.replace("name", b"new")
    disk.settle("name", "final")
    disk.append("final", b"er")
    assert disk.read("final") == b"newer"


def test_a_folder_tells_its_files_in_order_and_not_what_lies_deeper(disk: FileDisk) -> None:
    for name in ("b", "a", "folder/c"):
        disk.replace(name, b"")
    assert list(disk.names("")) == ["a", "b"]
    assert list(disk.names("folder")) == ["c"]
    assert list(disk.names("nowhere")) == []


def test_what_is_not_there_is_missing_and_can_be_removed(disk: FileDisk) -> None:
    assert code(lambda: disk.read("none")) == "disk.missing"
    assert code(lambda: disk.open("none")) == "disk.missing"
    assert code(lambda: disk.settle("none", "some")) == "disk.missing"
    assert disk.size("none") == 0
    assert not disk.exists("none")
    disk.remove("none")


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../x", "a/../b", "a//b", "a/", ".", "a\0b", "x" * 201, "lock"])
def test_no_name_leads_out_of_the_directory(disk: FileDisk, name: str) -> None:
    with pytest.raises(InvalidError, match=r"disk\.name"):
        disk.replace(name, b"")
    with pytest.raises(InvalidError, match=r"disk\.name"):
        disk.read(name)


def test_a_name_that_stands_for_what_is_half_written_is_refused(disk: FileDisk) -> None:
    assert code(lambda: disk.replace("a.partial", b"")) == "disk.name"


# ---- The real one ----


def test_only_its_owner_can_look_into_the_directory(tmp_path: Path) -> None:
    (tmp_path / "agent").mkdir(mode=0o755)
    disk = files.take(tmp_path / "agent")
    disk.replace("slots/one", b"x")
    disk.append("journal", b"x")
    modes = {str(path.relative_to(tmp_path)): stat.S_IMODE(path.stat().st_mode) for path in sorted(tmp_path.rglob("*"))}
    assert modes == {
        "agent": 0o700,
        "agent/journal": 0o600,
        "agent/lock": 0o600,
        "agent/slots": 0o700,
        "agent/slots/one": 0o600,
    }
    disk.close()


def test_two_agents_never_share_a_directory(tmp_path: Path) -> None:
    first = files.take(tmp_path)
    with pytest.raises(ConflictError, match=r"agent\.running"):
        files.take(tmp_path)
    first.close()
    files.take(tmp_path).close()


def test_an_agent_that_was_killed_leaves_the_directory_to_the_next(tmp_path: Path) -> None:
    text = (
        "import pathlib, os, signal; from checkvalve.agent.disk import files;"
        f"disk = files.take(pathlib.Path({str(tmp_path)!r})); os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", text], check=False).returncode == -9
    files.take(tmp_path).close()


def test_what_an_earlier_run_half_wrote_is_gone(tmp_path: Path) -> None:
    (tmp_path / "slots").mkdir()
    (tmp_path / "slots/one.partial").write_bytes(b"half")
    disk = files.take(tmp_path)
    assert not (tmp_path / "slots/one.partial").exists()
    disk.close()


def test_large_files_leave_room_for_small_ones(tmp_path: Path) -> None:
    room = os.statvfs(tmp_path)
    disk = files.take(tmp_path, reserve=room.f_bavail * room.f_frsize * 2)
    assert disk.free() == 0
    disk.replace("small", b"x")
    disk.close()


def test_a_directory_that_cannot_be_made_is_a_failing_disk(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UnavailableError, match=r"disk\.failed"):
        files.take(tmp_path / "file" / "agent")


def test_a_link_is_not_written_through(tmp_path: Path) -> None:
    disk = files.take(tmp_path / "agent")
    (tmp_path / "agent/journal").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnavailableError, match=r"disk\.failed"):
        disk.append("journal", b"x")
    assert not (tmp_path / "elsewhere").exists()
    disk.close()


@pytest.mark.parametrize(("number", "means"), [(errno.ENOSPC, "disk.full"), (errno.EROFS, "disk.failed")])
def test_what_the_kernel_says_is_told_in_our_words(number: int, means: str) -> None:
    error = files.refusal(OSError(number, os.strerror(number)), "journal", 200, 100)
    assert error.code == means
    assert error.kind == "unavailable"


# ---- The simulated one ----


def test_a_full_disk_says_how_much_it_lacks_and_leaves_the_file_as_it_was() -> None:
    disk = SimulatedDisk()
    disk.append("journal", b"one\n")
    disk.full_after(3)
    with pytest.raises(UnavailableError, match=r"disk\.full") as caught:
        disk.append("journal", b"two\n")
    assert caught.value.facts["need"] == 4
    assert code(lambda: disk.replace("journal", b"three\n")) == "disk.full"
    assert disk.read("journal") == b"one\n"
    assert list(disk.memory.every()) == ["journal"]
    disk.append("journal", b"2\n")
    assert disk.read("journal") == b"one\n2\n"


def test_a_removal_makes_room() -> None:
    disk = SimulatedDisk()
    disk.replace("reserve", bytes(100))
    disk.full_after(0)
    assert code(lambda: disk.append("journal", b"x")) == "disk.full"
    disk.remove("reserve")
    disk.append("journal", b"x")
    assert disk.free() == 99


def test_a_dying_disk_fails_and_may_live_again() -> None:
    disk = SimulatedDisk()
    disk.replace("one", b"1")
    disk.fail()
    assert code(lambda: disk.read("one")) == "disk.failed"
    assert code(lambda: disk.append("one", b"2")) == "disk.failed"
    disk.fail(on=False)
    assert disk.read("one") == b"1"


def test_a_process_without_power_does_nothing_more() -> None:
    disk = SimulatedDisk()
    disk.cut_after(0)
    for _ in range(2):
        with pytest.raises(PowerCut):
            disk.replace("one", b"1")
    with pytest.raises(PowerCut):
        disk.read("one")
    disk.crash()
    assert not disk.exists("one")


def test_what_a_killed_process_had_not_synced_outlives_a_power_cut_once_the_next_one_has_seen_it() -> None:
    lost = 0
    for place in range(12):
        for seed in range(8):
            disk = SimulatedDisk(seed)
            disk.cut_after(place)
            with contextlib.suppress(PowerCut):
                disk.replace("folder/name", b"1")
                disk.append("lines", b"2")
            disk.kill()
            seen = {name: disk.read(name) for name in ("folder/name", "lines") if disk.exists(name)}
            disk.crash()
            assert {name: disk.read(name) for name in ("folder/name", "lines") if disk.exists(name)} == seen
            lost += len(seen) < 2
    assert lost


def test_a_killed_process_loses_nothing_that_it_wrote() -> None:
    disk = SimulatedDisk()
    disk.extend("part", 0, b"unsynced")
    disk.kill()
    assert disk.read("part") == b"unsynced"


def test_bytes_that_were_never_synced_may_be_lost_torn_or_zeros() -> None:
    found = set[bytes]()
    for seed in range(200):
        disk = SimulatedDisk(seed)
        disk.append("part", b"ab")
        disk.extend("part", 2, b"cd")
        disk.crash()
        found.add(disk.read("part"))
    assert found == {b"ab", b"abc", b"abcd", b"ab\0", b"ab\0\0"}


def test_a_new_name_whose_folder_was_not_synced_may_be_lost() -> None:
    found = set[bool]()
    for seed in range(50):
        disk = SimulatedDisk(seed)
        handle = disk.memory.handle("one", make=True)
        disk.memory.write(handle, 0, b"1")
        disk.memory.sync(handle)
        disk.crash()
        found.add(disk.exists("one"))
    assert found == {False, True}


def test_a_rename_before_its_data_were_synced_may_leave_an_empty_file() -> None:
    found = set[bytes]()
    for seed in range(50):
        disk = SimulatedDisk(seed)
        disk.replace("active", b"old")
        disk.memory.write(disk.memory.handle("new", make=True), 0, b"new")
        disk.memory.rename("new", "active")
        disk.memory.sync_folder("")
        disk.crash()
        found.add(disk.read("active"))
    assert b"" in found
    assert b"old" not in found


Operation = tuple[str, bytes]
_operations = st.lists(
    st.tuples(st.sampled_from(["replace", "append", "settle", "rename", "remove"]), st.binary(min_size=1, max_size=6)),
    min_size=1,
    max_size=5,
)


def perform(disk: FileDisk, operation: Operation) -> None:
    kind, data = operation
    match kind:
        case "replace":
            disk.replace("folder/deep/file", data)
        case "append":
            disk.append("folder/deep/file", data)
        case "settle":
            disk.extend("other/part", 0, data)
            disk.settle("other/part", "folder/deep/file")
        case "rename":
            disk.extend("folder/deep/part", 0, data)
            disk.settle("folder/deep/part", "folder/deep/file")
        case _:
            disk.remove("folder/deep/file")


def content(disk: FileDisk) -> bytes | None:
    try:
        return disk.read("folder/deep/file")
    except NotFoundError:
        return None


@given(_operations, st.integers(0, 60), st.integers(0, 1_000))
def test_after_a_power_cut_a_file_is_what_it_was_before_the_operation_or_after_it(
    operations: list[Operation], cut: int, seed: int
) -> None:
    disk, model = SimulatedDisk(seed), SimulatedDisk()
    disk.cut_after(cut)
    for operation in operations:
        before = content(model)
        perform(model, operation)
        after = content(model)
        try:
            perform(disk, operation)
        except PowerCut:
            disk.crash()
            found = content(disk)
            if operation[0] == "append" and found is not None:  # the one that may be torn
                size = len(before or b"")
                assert found[:size] == (before or b"")
                torn = found[size:]
                assert torn == bytes(len(torn)) or (after or b"").startswith(found)
            else:
                assert found in (before, after)
            return
    disk.crash()
    assert content(disk) == content(model), "what returned is on the platter"
