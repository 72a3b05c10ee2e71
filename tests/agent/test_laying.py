# SPDX-License-Identifier: Apache-2.0
"""Files and secrets on a real disk and in real memory: whole or not there, for their owner, and through no link."""

import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs

from checkvalve.agent import given, places
from checkvalve.agent.disk import files
from checkvalve.agent.laying import folders
from checkvalve.agent.laying.folders import Folders
from checkvalve.agent.slots import Slots
from checkvalve.agent.steps import Slot
from checkvalve.crypto import keys, seal
from checkvalve.errors import CheckvalveError
from checkvalve.protocol import values, workload
from checkvalve.protocol.declared import Placed, Secret
from checkvalve.protocol.values import Sealed, Values
from checkvalve.protocol.workload import Manifest
from tests.agent import filled
from tests.agent.engine.images import Made

DEVICE = "0" * 25 + "d"
A, B = "0a" * 13, "0b" * 13
MEMORY = Path("/dev/shm")
KEY = keys.make()
SECRET = "7-plc-wachtwoord-7"

needs_memory = pytest.mark.skipif(not folders.in_memory(MEMORY), reason="/dev/shm is no tmpfs here")


@pytest.fixture
def memory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as name:
        yield Path(name) / "agent" / DEVICE


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "agent"


@pytest.fixture
def laying(data: Path, memory: Path) -> Folders:
    return Folders(data / places.FILES, memory, lambda: (KEY,))


def release(**placed: object) -> Made:
    """Return the filled release, its `pump` with files and secrets as they are said here."""
    read = filled.release(1).read
    pump = structs.replace(read.services["pump"], **placed)
    return Made(workload.write(structs.replace(read, services=read.services | {"pump": pump})), {})


def slot(tmp_path: Path, attempt: str = A, made: Made | None = None, **texts: str) -> Slot:
    made = made or filled.release(1)
    disk = files.take(tmp_path / f"of slots {attempt}")
    secrets = made.read.secrets
    sealed = {
        each.name: Sealed(
            version="0" * 26,
            data=seal.seal(KEY.public_key(), SECRET.encode(), values.context(DEVICE, each.name, "0" * 26)),
        )
        for each in secrets
    }
    document = Values(device=DEVICE, release=made.digest, variables={}, files=texts, secrets=sealed)
    try:
        return Slots(disk, DEVICE).stage(attempt, "org/pump/1.json", 1, made.manifest, values.write(document))
    finally:
        disk.close()


def mode(path: str) -> int:
    return stat.S_IMODE(Path(path).stat().st_mode)


def code(call: Callable[[], object]) -> str:
    with pytest.raises(CheckvalveError) as caught:
        call()
    assert SECRET not in f"{caught.value!r} {caught.value.sentence} {caught.value.facts}"
    return caught.value.code


@needs_memory
def test_files_and_secrets_lie_where_containers_are_given_them(laying: Folders, tmp_path: Path) -> None:
    assert laying.laid() == frozenset()
    laying.lay(slot(tmp_path, recipe="two eggs"))
    file = places.file(laying.files, A, "pump", "recipe")
    secret = places.secret(laying.runtime, A, "pump", "pin")
    assert (Path(file).read_text(), mode(file)) == ("two eggs", 0o444)
    assert (Path(secret).read_text(), mode(secret)) == (SECRET, 0o400)
    assert laying.laid() == {A}


@needs_memory
def test_what_was_not_given_is_the_default(laying: Folders, tmp_path: Path) -> None:
    laying.lay(slot(tmp_path))
    assert Path(places.file(laying.files, A, "pump", "recipe")).read_text() == "plain"


@needs_memory
def test_folders_are_for_the_agent_alone(laying: Folders, tmp_path: Path) -> None:
    laying.lay(slot(tmp_path))
    for root in (laying.files, laying.runtime):
        for folder, _, _ in os.walk(root):
            assert mode(folder) == 0o700


@needs_memory
@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_file_has_the_owner_that_the_release_says(laying: Folders, tmp_path: Path) -> None:
    placed = Placed(name="pin", target="/pin", mode=0o440, uid=1234, gid=5678)
    laying.lay(slot(tmp_path, made=release(secrets=(placed,))))
    found = Path(places.secret(laying.runtime, A, "pump", "pin")).stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (1234, 5678, 0o440)


@needs_memory
def test_no_byte_of_a_secret_is_on_the_disk(laying: Folders, tmp_path: Path) -> None:
    laying.lay(slot(tmp_path))
    kept = [Path(folder, name) for folder, _, names in os.walk(tmp_path) for name in names]
    assert len(kept) > 3
    assert not [each for each in kept if SECRET.encode() in each.read_bytes()]


@needs_memory
def test_laid_out_twice_it_is_the_same_file_for_containers_hold_it(laying: Folders, tmp_path: Path) -> None:
    laying.lay(slot(tmp_path))
    path = Path(places.secret(laying.runtime, A, "pump", "pin"))
    before = path.stat().st_ino
    laying.lay(slot(tmp_path))
    assert path.stat().st_ino == before


@needs_memory
def test_what_is_in_memory_only_is_laid_out_again_after_a_restart_of_the_machine(
    laying: Folders, tmp_path: Path, memory: Path
) -> None:
    laying.lay(slot(tmp_path))
    file = Path(places.file(laying.files, A, "pump", "recipe"))
    before = file.stat().st_ino
    shutil.rmtree(memory.parent)
    assert laying.laid() == frozenset()
    laying.lay(slot(tmp_path))
    assert laying.laid() == {A}
    assert file.stat().st_ino == before, "what lies on the disk may be in use already"


@needs_memory
@pytest.mark.parametrize("lost", ["files", "runtime"])
def test_a_set_that_was_cut_short_is_none_and_is_made_whole(laying: Folders, tmp_path: Path, lost: str) -> None:
    laying.lay(slot(tmp_path))
    root = Path(getattr(laying, lost))
    (root / A / places.DONE).unlink()
    for each in (root / A / "pump").iterdir():
        each.write_text("half")
    assert laying.laid() == frozenset()
    laying.lay(slot(tmp_path))
    assert laying.laid() == {A}
    assert Path(places.secret(laying.runtime, A, "pump", "pin")).read_text() == SECRET
    assert Path(places.file(laying.files, A, "pump", "recipe")).read_text() == "plain"


@needs_memory
def test_a_release_without_secrets_asks_for_no_memory(data: Path, tmp_path: Path) -> None:
    laying = Folders(data / places.FILES, tmp_path / "on the disk", lambda: (KEY,))
    made = filled.without_secrets(1)
    laying.check(made.read)
    laying.lay(slot(tmp_path, made=made))
    assert laying.laid() == {A}
    assert not Path(laying.runtime).exists()


def test_secrets_are_written_to_no_disk(data: Path, tmp_path: Path) -> None:
    laying = Folders(data / places.FILES, Path("/proc/no memory"), lambda: (KEY,))
    assert code(lambda: laying.check(filled.release(1).read)) == "secrets.no_tmpfs"
    assert code(lambda: laying.lay(slot(tmp_path))) == "secrets.no_tmpfs"
    assert not Path(laying.runtime).exists()


@needs_memory
def test_one_name_with_two_modes_is_refused_before_anything_is_laid_out(laying: Folders) -> None:
    twice = (filled.PIN, structs.replace(filled.PIN, target="/other", mode=0o444))
    assert code(lambda: laying.check(release(secrets=twice).read)) == "places.twice"
    laying.check(release(secrets=(filled.PIN, structs.replace(filled.PIN, target="/other"))).read)


@needs_memory
def test_removed_is_removed_and_others_stay(laying: Folders, tmp_path: Path) -> None:
    for attempt in (A, B):
        laying.lay(slot(tmp_path, attempt))
    laying.unlay(A)
    laying.unlay(A)
    assert laying.laid() == {B}
    assert [each.name for root in (laying.files, laying.runtime) for each in Path(root).iterdir()] == [B, B]


@needs_memory
def test_sweeping_takes_what_was_cut_short_too(laying: Folders, tmp_path: Path) -> None:
    for attempt in (A, B):
        laying.lay(slot(tmp_path, attempt))
    (Path(laying.files) / A / places.DONE).unlink()
    laying.sweep({B})
    assert [each.name for root in (laying.files, laying.runtime) for each in Path(root).iterdir()] == [B, B]
    laying.sweep(())
    assert laying.laid() == frozenset()


@needs_memory
@pytest.mark.parametrize("name", ["", ".", "..", "../..", "/etc", "x" * 300, "a\0b"])
def test_what_is_no_name_of_an_attempt_removes_nothing(laying: Folders, tmp_path: Path, name: str) -> None:
    laying.lay(slot(tmp_path))
    laying.unlay(name)
    assert laying.laid() == {A}


@needs_memory
@pytest.mark.parametrize("where", ["attempt", "service", "file", "new"])
def test_no_link_that_somebody_laid_in_the_way_is_followed(laying: Folders, tmp_path: Path, where: str) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "pump").mkdir()
    kept = victim / "kept"
    kept.write_text("kept")
    way = {
        "attempt": Path(laying.runtime, A),
        "service": Path(laying.runtime, A, "pump"),
        "file": Path(laying.runtime, A, "pump", "pin.secret"),
        "new": Path(laying.runtime, A, "pump", ".newpin.secret"),
    }[where]
    way.parent.mkdir(parents=True)
    way.symlink_to(kept if where in ("file", "new") else victim)
    laying.lay(slot(tmp_path))
    assert kept.read_text() == "kept"
    assert sorted(each.name for each in victim.rglob("*")) == ["kept", "pump"]
    assert laying.laid() == {A}
    assert Path(places.secret(laying.runtime, A, "pump", "pin")).read_text() == SECRET


@needs_memory
def test_a_link_in_the_place_of_the_whole_directory_is_not_followed(laying: Folders, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    Path(laying.runtime).parent.mkdir(parents=True)
    Path(laying.runtime).symlink_to(victim)
    assert code(lambda: laying.lay(slot(tmp_path))) in ("secrets.no_tmpfs", "disk.failed")
    assert list(victim.iterdir()) == []


@needs_memory
def test_a_secret_that_does_not_open_leaves_nothing_behind(data: Path, memory: Path, tmp_path: Path) -> None:
    laying = Folders(data / places.FILES, memory, lambda: (keys.make(),))
    assert code(lambda: laying.lay(slot(tmp_path))) == "values.secret"
    assert (laying.laid(), memory.exists()) == (frozenset(), False)


@needs_memory
def test_a_secret_opens_with_a_key_of_before(data: Path, memory: Path, tmp_path: Path) -> None:
    laying = Folders(data / places.FILES, memory, lambda: (keys.make(), KEY))
    laying.lay(slot(tmp_path))
    assert laying.laid() == {A}


@needs_memory
def test_a_slot_without_its_values_is_not_half_laid_out(laying: Folders, tmp_path: Path) -> None:
    bare = replace(slot(tmp_path), given=None, values="")
    assert code(lambda: laying.lay(bare)) == "values.missing"
    assert laying.laid() == frozenset()


@needs_memory
def test_what_lies_in_the_data_directory_outlives_the_next_start_of_the_agent(
    laying: Folders, data: Path, tmp_path: Path
) -> None:
    read = filled.release(1).read
    name = "odd.partial"
    file = structs.replace(filled.RECIPE, name=name)
    pump = structs.replace(read.services["pump"], files=(file,))
    odd: Manifest = structs.replace(
        read,
        services=read.services | {"pump": pump, ".laid"[1:]: pump},
        files=(structs.replace(read.files[0], name=name),),
        secrets=(Secret(name="pin"),),
    )
    laying.lay(slot(tmp_path, made=Made(workload.write(odd), {})))
    files.take(data).close()
    assert laying.laid() == {A}
    assert Path(places.file(laying.files, A, "pump", name)).read_text() == "plain"


@needs_memory
def test_nothing_shows_a_secret_that_holds_it(tmp_path: Path) -> None:
    where = slot(tmp_path)
    assert SECRET not in repr(where)
    assert SECRET not in repr(list(given.secrets(where, (KEY,))))


@needs_memory
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_an_agent_that_is_not_root_gives_nothing_away_and_says_so_before_the_switch(laying: Folders) -> None:
    mine, theirs = Placed(name="pin", target="/pin"), Placed(name="pin", target="/pin", uid=1234)
    unreadable = structs.replace(mine, mode=0o044)
    closed = Path(laying.runtime).parent.parent
    os.seteuid(65_534)
    try:
        assert code(lambda: laying.check(release(secrets=(mine,)).read)) == "disk.failed", "it may not look there"
        os.seteuid(0)
        closed.chmod(0o711)
        os.seteuid(65_534)
        laying.check(release(secrets=(mine,)).read)
        for each in (theirs, unreadable):
            made = release(secrets=(each,)).read
            assert code(lambda made=made: laying.check(made)) == "places.owner"  # type: ignore[misc]
    finally:
        os.seteuid(0)


@needs_memory
@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
@pytest.mark.parametrize("full", ["files", "runtime"])
def test_a_full_disk_or_memory_leaves_no_set_and_is_told_with_no_word_of_it(tmp_path: Path, full: str) -> None:
    mounts = {name: tmp_path / name for name in ("files", "runtime")}
    for name, path in mounts.items():
        path.mkdir()
        size = "16k" if name == full else "1m"
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", path], check=True)
    try:
        laying = Folders(mounts["files"], mounts["runtime"], lambda: (KEY,))
        (mounts[full] / "other").write_bytes(b"x" * (12 << 10))
        assert code(lambda: laying.lay(slot(tmp_path, recipe="x" * 6_000))) == "disk.full"
        assert laying.laid() == frozenset()
        (mounts[full] / "other").unlink()
        laying.lay(slot(tmp_path, recipe="x" * 6_000))
        assert laying.laid() == {A}
    finally:
        for path in mounts.values():
            subprocess.run(["umount", path], check=True)
