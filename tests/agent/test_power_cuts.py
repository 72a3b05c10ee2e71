# SPDX-License-Identifier: Apache-2.0
"""Wherever the power goes, whatever of the agent's writing was on the platter: it starts, and all is old or all is new.

Trees are sampled by a seed that is printed. All of them, and the power that goes again on the way back, are in
`tests/proofs/test_power_cuts.py`; the model of what a cut may leave is that of `tests/parts/cuts.py`.
"""

import os
import random
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from checkvalve import clock
from checkvalve.agent import enrol, identity
from checkvalve.agent.disk import files
from checkvalve.agent.disk.calls import Kernel
from checkvalve.agent.engine import reading
from checkvalve.agent.link.plane import Kept
from checkvalve.crypto import keys
from tests.agent.device import told
from tests.agent.test_enrol import ANOTHER, TOKEN, Meeting, meeting
from tests.parts import blackout, cut_stories
from tests.parts.cut_stories import STORIES, Cut
from tests.parts.cuts import Recorder, Tree, found

SEED = int.from_bytes(clock.entropy(4))
EACH = 30  # trees of a story
AGAIN = 10  # trees of a way back


@pytest.fixture
def directory() -> Iterator[Path]:
    """Lend a directory in memory: what is tried is what the agent asks for, not what a disk does with it."""
    with tempfile.TemporaryDirectory(prefix="checkvalve-cuts-", dir="/dev/shm") as name:
        yield Path(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", STORIES)
@told
async def test_wherever_the_power_goes_the_agent_starts_and_all_is_old_or_new(name: str, directory: Path) -> None:
    chance = random.Random(f"{SEED}{name}")
    cuts = await cut_stories.recorded(STORIES[name], directory)
    ends: Counter[str] = Counter()
    for cut in chance.sample(cuts.cuts, min(EACH, len(cuts.cuts))):
        ends[await cuts.come_back(cut)] += 1
    print(f"seed {SEED}: {cuts.calls} calls, {len(cuts.cuts)} trees, of which {ends.total()}: {dict(ends)}")
    assert len(cuts.cuts) > 15


@pytest.mark.slow
@told
async def test_the_power_may_go_again_while_the_agent_starts(directory: Path) -> None:
    chance = random.Random(f"{SEED} again")
    name = chance.choice(list(STORIES))
    cuts = await cut_stories.recorded(STORIES[name], directory)
    back = await cut_stories.again(cuts, chance.choice(cuts.cuts))
    print(f"seed {SEED}, {name}: {back.calls} calls, {len(back.cuts)} trees")
    for cut in chance.sample(back.cuts, min(AGAIN, len(back.cuts))):
        await back.come_back(cut)


@pytest.mark.slow
@told
async def test_what_ran_before_leaves_no_files_behind_if_the_power_goes_before_they_are_removed(
    directory: Path,
) -> None:
    cuts = await cut_stories.recorded(STORIES["back"], directory)
    lies = [cut for cut in cuts.cuts if _others(cut)]
    assert len(lies) > 10
    for cut in lies[::5]:
        await cuts.come_back(cut)  # which looks for them


def _others(cut: Cut) -> list[str]:
    """Return what lies ready for another attempt than the one that the pointer names."""
    return [name for name in cut.tree.files if name.startswith("files/") and cut.promise.active not in name]


@pytest.mark.slow
@told
async def test_an_agent_that_does_not_sync_is_caught(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Kernel, "sync", lambda *_: None)
    cuts = await cut_stories.recorded(STORIES["rotation"], directory)

    async def come_back() -> None:
        for cut in cuts.cuts:
            await cuts.come_back(cut)

    with pytest.raises(AssertionError, match="an event is gone whose writing had returned"):
        await come_back()


@pytest.fixture(scope="module")
def machine() -> Iterator[blackout.Machine]:
    """Lend a machine on which a release runs, on a disk of its own."""
    with tempfile.TemporaryDirectory(prefix="checkvalve-cut-") as name:
        made = blackout.Machine(Path(name))
        blackout.founded(made)
        yield made


@pytest.mark.slow
@pytest.mark.real_parts
@pytest.mark.timeout(300)
def test_the_power_of_a_real_machine_goes_and_all_is_old_or_new(machine: blackout.Machine) -> None:
    print(f"seed {SEED}")
    print(blackout.cut_once(machine, random.Random(SEED), 1))


@pytest.mark.slow
@pytest.mark.real_parts
@pytest.mark.timeout(300)
def test_an_image_that_was_being_loaded_when_the_power_went_is_loaded_anew(machine: blackout.Machine) -> None:
    assert blackout.cut_in_a_load(machine, 40) == b"", "the engine shows the image, and a file of it is empty"
    blackout.deployed(machine, 40)


@pytest.mark.parametrize(
    ("tags", "digests", "there"),
    [
        (["checkvalve/device:00"], None, True),
        (["web:1", "checkvalve/device:00-new"], None, True),
        (["<none>:<none>"], ["web@sha256:00"], True),  # pulled by its digest
        (["checkvalve/device:00-new"], None, False),
        (["localhost/checkvalve/device:00-new"], ["localhost/checkvalve/device@sha256:00"], False),  # Podman
        (["<none>:<none>"], ["<none>@<none>"], False),
        (None, None, False),
    ],
)
def test_an_image_is_there_if_somebody_names_it_otherwise_than_as_one_being_loaded(
    tags: list[str] | None, digests: list[str] | None, *, there: bool
) -> None:
    listed = [{"Id": "sha256:00", "RepoTags": tags, "RepoDigests": digests}]
    assert reading.whole(listed) == ({"sha256:00"} if there else set())


@told
async def test_a_device_whose_power_goes_while_it_joins_is_nobody_or_itself_and_joins_with_the_same_key(
    tmp_path: Path,
) -> None:
    left: dict[object, tuple[Tree, Kept]] = {}
    async with meeting(tmp_path) as met:
        (tmp_path / "disk").mkdir(exist_ok=True)
        await _joins(met, tmp_path / "disk", left)
        assert len(left) > 10
        for tree, met.plane.kept in left.values():
            tree.build(tmp_path / "disk")
            disk = files.take(tmp_path / "disk", reserve=0)
            who = identity.load(disk) or await enrol.join(disk, met.invited(), name="press")
            disk.close()
            assert {who.device} == set(met.plane.kept.members), "the plane knows one device, however often it asked"


@told
async def test_a_device_whose_power_goes_while_it_joins_anew_is_one_of_the_two_and_opens_what_runs(
    tmp_path: Path,
) -> None:
    left: dict[object, tuple[Tree, Kept]] = {}
    async with meeting(tmp_path) as met:
        disk = files.take(tmp_path / "disk", reserve=0)
        before = await enrol.join(disk, met.invited(), name="press")
        disk.append("journal", b"of the plane before")
        disk.close()
        (tmp_path / "disk").mkdir(exist_ok=True)
        await _joins(met, tmp_path / "disk", left)
        assert len(left) > 10
        for tree, met.plane.kept in left.values():
            tree.build(tmp_path / "disk")
            disk = files.take(tmp_path / "disk", reserve=0)
            who, owner = identity.load(disk), disk.read(identity.OWNER).decode()
            opening = [keys.spki(each.public_key()) for each in identity.opening(disk)]
            journals = [each for each in ("journal", enrol.SET_ASIDE) if disk.exists(each)]
            disk.close()
            assert who is not None
            assert owner == before.device
            assert who.device == before.device or len(met.plane.kept.members) == 2
            assert {keys.spki(each.key.public_key()) for each in (who, before)} <= set(opening)
            assert len(journals) == 1, "the journal of before is there once, under one name or the other"
            assert who.device == before.device or journals == [enrol.SET_ASIDE], "the new plane never sees the old one"


async def _joins(met: Meeting, folder: Path, left: dict[object, tuple[Tree, Kept]]) -> None:
    """Have a device join, anew if it has joined; take all that a cut may leave, with what the plane knows by then."""

    def look() -> None:
        for tree in recorder.platter.trees():
            left.setdefault((tree.digest, len(met.plane.kept.members)), (tree, met.plane.copied()))

    recorder = Recorder(folder, look)
    with recorder.recording():
        disk = files.take(folder, reserve=0)
        again = identity.load(disk) is not None
        await enrol.join(disk, met.invited(ANOTHER if again else TOKEN), name="press", again=again)
        disk.close()


# ---- What is recorded, and what a cut may leave of it. ----


def test_a_file_that_is_replaced_is_the_old_one_or_the_new_one(tmp_path: Path) -> None:
    disk = files.take(tmp_path / "disk", reserve=0)
    disk.replace("a/b", b"old")
    left = _left(tmp_path / "disk", lambda: disk.replace("a/b", b"new"))
    disk.close()
    assert {tree.files["a/b"][0] for tree in left} == {b"old", b"new"}
    assert {tree.files["a/b"][0] for tree in left[-1:]} == {b"new"}, "once it has returned, it is the new one"


def test_an_append_is_there_or_torn_and_then_there_for_good(tmp_path: Path) -> None:
    disk = files.take(tmp_path / "disk", reserve=0)
    disk.append("log", b"one.")
    left = _left(tmp_path / "disk", lambda: disk.append("log", b"two."))
    disk.close()
    assert {tree.files["log"][0] for tree in left} == {b"one.", b"one.tw", b"one.\0\0\0\0", b"one.two."}
    assert left[-1].files["log"][0] == b"one.two."


def test_who_renames_what_was_not_synced_may_find_nothing_in_it(tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    (folder / "a").write_bytes(b"old")

    def write() -> None:
        handle = os.open(folder / "b", os.O_WRONLY | os.O_CREAT, 0o600)
        os.write(handle, b"new!")
        os.close(handle)
        os.replace(folder / "b", folder / "a")  # noqa: PTH105 - as the recorder sees it

    left = {(tree.files.get("a", (None,))[0], "b" in tree.files) for tree in _left(folder, write)}
    assert left >= {
        (b"old", False),
        (b"old", True),
        (b"", False),
        (b"ne", False),
        (b"\0\0\0\0", False),
        (b"new!", False),
    }


def test_who_does_not_sync_the_folder_may_find_neither_name_or_both_removed_names_again(tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    for name in "ab":
        (folder / name).write_bytes(b"")

    def remove() -> None:
        for name in "ab":
            (folder / name).unlink()
        (folder / "c").mkdir(mode=0o700)

    left = {"".join(sorted([*tree.files, *tree.folders])) for tree in _left(folder, remove)}
    assert left == {"ab", "a", "b", "", "abc", "ac", "bc", "c"}


def test_a_write_that_goes_past_the_recorder_is_found(tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()

    def write() -> None:
        (folder / "a").write_bytes(b"")

    with pytest.raises(AssertionError, match="not recorded"):
        _left(folder, write)


def test_a_tree_is_built_as_it_was_found(tmp_path: Path) -> None:
    tree = Tree({"a/b": (b"1", 0o640), "c": (b"", 0o600)}, {"a": 0o700})
    tree.build(tmp_path / "one")
    tree.build(tmp_path / "one")
    assert found(tmp_path / "one") == tree


def _left(folder: Path, write: Callable[[], None]) -> list[Tree]:
    """Return all that a power cut may leave after each call of `write`, in order."""
    left: list[Tree] = []
    recorder = Recorder(folder, lambda: left.extend(recorder.platter.trees()))
    with recorder.recording():
        write()
    return left
