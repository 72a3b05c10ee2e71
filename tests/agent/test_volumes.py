# SPDX-License-Identifier: Apache-2.0
"""Volumes in the hands of people: what a failed release wrote is kept, within a bound, and can be taken away."""

import asyncio
import base64
import contextlib
import gzip
import io
import tarfile
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkvalve import canonical
from checkvalve.agent import asides, main, volumes
from checkvalve.agent.asides import Left
from checkvalve.agent.budget import MIB, Budget, Room
from checkvalve.agent.cabinet import asking
from checkvalve.agent.cabinet.asked import Drop, Export, Volumes
from checkvalve.agent.commands import sink
from checkvalve.agent.disk.simulated import PowerCut
from checkvalve.agent.engine.ground import Ground
from checkvalve.agent.engine.simulation import Bucket
from checkvalve.agent.shelf import FILE
from checkvalve.agent.steps import Observed, Slot
from checkvalve.crypto import digests
from checkvalve.errors import CheckvalveError, ConflictError, NotFoundError, UnavailableError
from checkvalve.protocol import exchange
from checkvalve.protocol.exchange import State
from tests.agent import small, world
from tests.agent.cabinet import Cabinet, opened
from tests.agent.device import Device, told

BEFORE = "state attempt release code reason active previous observe agent engine link workloads listeners".split()
LARGE = Room(disk=0, free=8 << 30, whole=16 << 30)


async def _failed() -> Device:
    """Return a device that has gone back from a release which had written into its copy."""
    device = Device()
    assert await device.deploy(small.data(1)) is State.COMMITTED
    assert await device.deploy(small.spoils(2)) is State.ROLLED_BACK
    await device.settle()
    return device


def _tar(data: bytes) -> dict[str, str]:
    with tarfile.open(fileobj=io.BytesIO(data)) as found:
        files = {each.name: found.extractfile(each) for each in found if each.isfile()}
        return {name: file.read().decode() for name, file in files.items() if file is not None}


def _notes(device: Device, code: str) -> list[str]:
    return [each.reason for each in device.parts.journal.events(0, 10_000) if each.code == code]


def _told(device: Device) -> exchange.Status:
    """Return the status that the plane had last."""
    return next(each.status for each in reversed(device.plane.reports) if each.status)


# ---- What is kept, and what goes. ----


@told
async def test_what_a_failed_release_wrote_is_set_aside_and_told_by_name_size_and_moment() -> None:
    device = await _failed()
    (left,) = device.parts.shelf.left
    active = device.parts.slots.active
    assert active is not None
    assert device.engine.files(left.name) == {"number": "2"}
    assert device.engine.files(active.volumes["recipes"]) == {"number": "1"}
    said = device.receipts[-1].data["recipes"]
    assert said.startswith(
        f"returned to before the switch; what the release wrote is set aside as {left.name}, 1 KiB, 20"
    )
    status = _told(device)
    assert [(each.volume, each.name, each.size) for each in status.aside] == [("recipes", left.name, 1)]
    assert [(each.volume, each.size) for each in status.copied] == [("recipes", 1)]


@told
async def test_only_the_newest_set_aside_copy_of_a_volume_stays() -> None:
    device = await _failed()
    (older,) = device.parts.shelf.left
    assert await device.deploy(small.spoils(3)) is State.ROLLED_BACK
    await device.settle()
    (left,) = device.parts.shelf.left
    assert device.engine.files(left.name) == {"number": "3"}
    with device.ground.world(device.clock.monotonic()) as engine:
        assert older.name not in engine.volumes
    assert len(_notes(device, "volume.dropped")) == 1


@told
async def test_a_copy_of_a_release_before_the_last_one_goes_and_that_of_the_last_one_stays() -> None:
    device = Device()
    names = []
    for number in (1, 2, 3):
        assert await device.deploy(small.data(number)) is State.COMMITTED
        await device.settle()
        assert device.parts.slots.active is not None
        names.append(device.parts.slots.active.volumes["recipes"])
    with device.ground.world(device.clock.monotonic()) as engine:
        there = {name for name in engine.volumes if "recipes" in name}
    assert there == set(names[1:])
    assert device.receipts[-1].data["recipes"] == "copied before the switch (1 KiB in 0.0 s)"
    assert device.parts.shelf.left == ()


@pytest.mark.parametrize("operations", range(1, 24, 4))
def test_a_device_that_loses_its_power_at_any_write_after_a_failed_switch_still_has_all_data(operations: int) -> None:
    @told
    async def play() -> None:
        device = Device(seed=operations)
        assert await device.deploy(small.data(1)) is State.COMMITTED
        await device.settle()
        attempt = device.order(small.spoils(2))
        await device.drive(lambda: device.position.state is State.ROLLING_BACK)
        device.disk.cut_after(operations)
        with contextlib.suppress(PowerCut, AssertionError):
            await device.drive(lambda: device.ended(attempt), turns=60)
        device.crash()
        await device.drive(lambda: device.ended(attempt))
        await device.settle()
        (left,) = device.parts.shelf.left
        active = device.parts.slots.active
        assert active is not None
        assert device.engine.files(left.name) == {"number": "2"}
        assert device.engine.files(active.volumes["recipes"]) == {"number": "1"}

    play()


@told
async def test_a_record_that_is_damaged_begins_anew_and_nothing_is_dropped_for_it() -> None:
    device = await _failed()
    (left,) = device.parts.shelf.left
    for data in (b"", b"{}", b"\0" * 100, device.disk.read(FILE)[:-1]):
        device.disk.damage(FILE, data)
        device.kill()
        assert device.parts.shelf.left == ()
        await device.settle()
        assert device.engine.files(left.name) == {"number": "2"}


@told
async def test_an_image_whose_load_was_cut_short_is_swept() -> None:
    device = Device()
    assert await device.deploy(small.pair(1)) is State.COMMITTED
    active = device.parts.slots.active
    assert active is not None
    (own,) = active.manifest.images
    with device.ground.world(device.clock.monotonic()) as engine:
        engine.begun = {"sha256:" + "a" * 64: [device.id, "another"], own: [device.id]}
    await device.settle()
    with device.ground.world(device.clock.monotonic()) as engine:
        assert engine.begun == {"sha256:" + "a" * 64: ["another"]}
        assert own in engine.images
    assert device.at_rest


@told
async def test_a_copy_that_was_cut_short_and_that_nothing_uses_is_swept_with_its_marks() -> None:
    device = Device()
    assert await device.deploy(small.data(1)) is State.COMMITTED
    with device.ground.world(device.clock.monotonic()) as engine:
        for name, owner in (("half", device.id), ("another", "stranger")):
            engine.volumes[name] = Bucket(owner, {"number": "7"}, "begun")
    await device.settle()
    with device.ground.world(device.clock.monotonic()) as engine:
        assert {"half", "another"} & engine.volumes.keys() == {"another"}


@told
async def test_a_copy_for_which_there_is_no_room_refuses_the_release_and_changes_nothing() -> None:
    device = Device()
    assert await device.deploy(small.data(1)) is State.COMMITTED
    await device.settle()
    active = device.parts.slots.active
    assert active is not None
    with device.ground.world(device.clock.monotonic()) as engine:
        engine.volumes[active.volumes["recipes"]].files["large"] = "x" * (3 * MIB)
    device.disk.full_after(2 * MIB)
    assert await device.deploy(small.data(2)) is State.REFUSED
    assert device.receipts[-1].code == "disk.full"
    assert "of it for copies of volumes" in device.receipts[-1].reason
    assert device.at_rest


def _left(volume: str, number: int, *, failed: bool) -> Left:
    return Left(volume=volume, name=f"d-{volume}-{number}", attempt="", release="", at=number, failed=failed)


LEFTS = st.lists(
    st.builds(_left, st.sampled_from(["data", "logs"]), st.integers(0, 30), failed=st.booleans()),
    unique_by=lambda each: each.name,
)


@given(LEFTS, st.sets(st.sampled_from([f"d-{volume}-{number}" for volume in ("data", "logs") for number in range(31)])))
def test_nothing_goes_that_is_used_or_unknown_and_the_newest_set_aside_copy_stays(
    lefts: list[Left], used: set[str]
) -> None:
    lefts = sorted(lefts, key=lambda each: each.at)
    there = {each.name for each in lefts} | {"d-other"} | used
    slot = replace(world.slot(1, world.line("1")), volumes={name: name for name in used})
    gone = {
        each.name for each in asides.surplus(lefts, Observed(volumes=frozenset(there)), (slot, None), Budget(), LARGE)
    }
    assert not gone & used
    assert gone <= {each.name for each in lefts}
    for volume in ("data", "logs"):
        kept = [each.name for each in lefts if each.volume == volume and each.name not in gone | used]
        failed = [each.name for each in lefts if each.volume == volume and each.failed and each.name not in used]
        assert kept == failed[-1:]


def test_where_the_disk_lacks_what_has_to_stay_free_the_oldest_goes_and_says_so() -> None:
    lefts = [_left("data", 1, failed=True), _left("logs", 2, failed=True)]
    tight = Room(disk=0, free=100 * MIB, whole=16 << 30)
    (step,) = asides.surplus(
        lefts, Observed(volumes=frozenset({"d-data-1", "d-logs-2"})), (), Budget(headroom_mib=200), tight
    )
    assert step.name == "d-data-1"
    assert "100 MiB are free" in step.why
    assert asides.surplus(lefts, Observed(volumes=frozenset({"d-data-1"})), (), Budget(headroom_mib=50), tight) == ()


def test_what_is_told_of_volumes_since_capability_4_is_left_out_of_the_digest_where_it_says_nothing() -> None:
    plain = exchange.Status(state=State.IDLE)
    said = exchange.Aside(volume="data", name="d-data-1", size=None, at=1)
    before = {name: each for name, each in msgspec.to_builtins(plain).items() if name in BEFORE}
    assert exchange.digest(plain) == digests.sha256_hex(canonical.dumps(before))
    assert exchange.digest(plain) != exchange.digest(exchange.Status(state=State.IDLE, aside=(said,)))


# ---- Which one is meant. ----


def _listed() -> list[volumes.Volume]:
    old = world.slot(1, world.line("1"))
    new = replace(world.slot(2, world.line("2")), volumes={"data": "d-data-2"})
    lefts = [_left("data", 7, failed=True), _left("data", 9, failed=True)]
    there = {*old.volumes.values(), "d-data-2", "d-data-7", "d-data-9", "d-strange"}
    slots: dict[str, Slot | None] = {"active": new, "staged": None, "previous": old}
    return volumes.listed(there, slots, lefts, {"d-data-2": 5})


def test_a_volume_is_meant_by_its_name_and_the_running_one_comes_first() -> None:
    found = _listed()
    assert volumes.meant(found, "data", aside=False).name == "d-data-2"
    assert volumes.meant(found, "data", aside=True).name == "d-data-9"
    assert volumes.meant(found, "d-data-7", aside=False).name == "d-data-7"
    assert volumes.meant(found, "d-strange", aside=False).uses == ()
    assert volumes.meant(found, "data", aside=False).services == ("db",)
    for name, aside in (("nothing", False), ("logs", True), ("d-data-2", True)):
        with pytest.raises(NotFoundError) as refused:
            volumes.meant(found, name, aside=aside)
        assert refused.value.code == "volume.not_found"


def test_what_an_installed_release_uses_is_not_dropped() -> None:
    found = _listed()
    assert volumes.droppable(found, "data").name == "d-data-9"
    assert volumes.droppable(found, "d-strange").name == "d-strange"
    for name in ("d-data-2", f"{world.DEVICE}-data"):
        with pytest.raises(ConflictError) as refused:
            volumes.droppable(found, name)
        assert refused.value.code == "volume.used"


# ---- At the cabinet. ----


@told
async def test_a_copy_is_taken_while_the_service_runs_and_the_journal_says_who_and_how_much(tmp_path: Path) -> None:
    device = await _failed()
    async with opened(device, tmp_path) as cabinet:
        assert [each["uses"] for each in await cabinet.ask(Volumes())] == [["active"], ["active"], ["set aside"]]
        for aside, number in ((False, "1"), (True, "2")):
            said, (head, *pieces) = await cabinet.parts(Export(name="recipes", aside=aside))
            data = b"".join(base64.b64decode(each) for each in pieces)
            assert said == {"size": len(data)}
            assert head["size"] == 1
            assert _tar(data) == {"recipes/number": number}
        refused = await cabinet.refused(Export(name="counts", aside=True))
        assert refused.code == "volume.not_found"
        notes = [each for each in cabinet.notes() if each.code == "cabinet.volume_export"]
        assert [each.facts.get("size") for each in notes] == [None, len(data), None, len(data)]
        assert device.at_rest


@told
async def test_a_volume_of_a_release_that_is_installed_is_not_dropped_and_one_set_aside_is(tmp_path: Path) -> None:
    device = await _failed()
    (left,) = device.parts.shelf.left
    active = device.parts.slots.active
    assert active is not None
    async with opened(device, tmp_path) as cabinet:
        assert (await cabinet.refused(Drop(name=active.volumes["recipes"]))).code == "volume.used"
        assert (await cabinet.refused(Drop(name="counts"))).code == "volume.not_found"
        assert (await cabinet.ask(Drop(name="recipes", dry=True)))["name"] == left.name
        assert device.engine.files(left.name) == {"number": "2"}
        await cabinet.ask(Drop(name="recipes"))
        assert (await cabinet.refused(Drop(name="recipes"))).code == "volume.not_found"
        assert [each.code for each in cabinet.notes()] == ["cabinet.volume_drop"]
    await device.settle()
    assert device.parts.shelf.left == ()
    assert _told(device).aside == ()


# ---- What is typed. ----


async def _typed(cabinet: Cabinet, *words: str) -> int:
    where = ("--data", str(cabinet.data), "--socket-path", str(cabinet.path), "--engine", "simulated")
    return await asyncio.to_thread(main.run, [*words, *where])


@pytest.mark.parametrize("agent", ["running", "dead"])
def test_a_volume_is_taken_away_with_the_agent_and_without_it(
    agent: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    @told
    async def play() -> None:
        device = await _failed()
        async with opened(device, tmp_path) as cabinet:
            if agent == "dead":
                _laid_down(device, cabinet.data)
                cabinet.path = tmp_path / "nobody.sock"
            assert await _typed(cabinet, "volume", "list") == 0
            out = capsys.readouterr().out
            assert "recipes: 1 KiB, snapshot; active\n" in out
            assert "recipes: 1 KiB, snapshot; set aside since 2026-11-03" in out
            plain, packed = tmp_path / "a.tar", tmp_path / "b.tar.gz"
            assert await _typed(cabinet, "volume", "export", "recipes", "--output", str(plain)) == 0
            assert "no picture of one moment" in capsys.readouterr().out
            assert await _typed(cabinet, "volume", "export", "recipes", "--set-aside", "--output", str(packed)) == 0
            assert "no picture" not in capsys.readouterr().out
            assert _tar(plain.read_bytes()) == {"recipes/number": "1"}
            assert _tar(gzip.decompress(packed.read_bytes())) == {"recipes/number": "2"}
            assert plain.stat().st_mode & 0o777 == 0o600
            before = plain.read_bytes()
            assert await _typed(cabinet, "volume", "export", "recipes", "--output", str(plain)) == 1
            assert "volume.file" in capsys.readouterr().err
            assert plain.read_bytes() == before
            assert await _typed(cabinet, "volume", "export", "nothing", "--output", str(tmp_path / "c.tar")) == 1
            assert "volume.not_found" in capsys.readouterr().err
            assert await _typed(cabinet, "volume", "drop", "recipes", "--yes") == (0 if agent == "running" else 4)
            assert _files(tmp_path) == ["a.tar", "b.tar.gz"]
            if agent == "dead":
                journal = (cabinet.data / "journal").read_text()
                assert journal.count('"code":"cabinet.volume_export"') == 4

    play()


def _laid_down(device: Device, folder: Path) -> None:
    """Have the files of a device, and of its engine, in a folder."""
    for name in device.disk.memory.every():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(device.disk.read(name))
    path = folder / main.SIMULATED
    with Ground(path).world(device.clock.monotonic()) as there, device.ground.world(device.clock.monotonic()) as lives:
        for field in lives.__struct_fields__:
            setattr(there, field, getattr(lives, field))


def _files(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir() if each.is_file())


PIECES = (b"x" * 700, b"x" * 324, bytes(512), bytes(512))


def _taken(path: Path, fault: str) -> None:
    """Take a tar to a file while something goes wrong."""
    with sink.Sink(path, packed=False) as into:
        into.expect((1 << 60) if fault == "no room" else 2_048)
        for piece in PIECES[: -1 if fault == "short" else None]:
            into.write(piece)
            assert not path.exists()
        if fault == "interrupted":
            raise KeyboardInterrupt
        if fault == "there meanwhile":
            path.write_text("another's")
        into.done()


@pytest.mark.parametrize("fault", ["short", "interrupted", "no room", "there meanwhile"])
def test_nothing_is_left_of_a_copy_that_was_not_whole(fault: str, tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    expected: type[BaseException] = KeyboardInterrupt if fault == "interrupted" else CheckvalveError
    with pytest.raises(expected):
        _taken(path, fault)
    assert _files(tmp_path) == (["a.tar"] if fault == "there meanwhile" else [])


@told
async def test_who_leaves_in_the_middle_is_noted_and_the_volume_can_be_taken_again(tmp_path: Path) -> None:
    device = await _failed()

    gone = asyncio.Event()

    async def endless(*_: str, **__: str) -> AsyncIterator[bytes]:
        try:
            while True:
                yield bytes(1 << 20)
                await asyncio.sleep(0)
        finally:
            asyncio.get_running_loop().call_soon(gone.set)

    device.engine.export = endless  # type: ignore[method-assign]
    async with opened(device, tmp_path) as cabinet:
        device.parts.shared.reading.add("another")

        def leave(part: Any) -> None:  # noqa: ANN401  # JSON
            if isinstance(part, str):
                raise UnavailableError("volume.room", "The stick is full.")

        from_here = Export(name="recipes")
        with pytest.raises(UnavailableError):
            await asyncio.to_thread(asking.ask, cabinet.path, from_here, leave)
        await asyncio.wait_for(gone.wait(), 20)
        assert device.parts.shared.reading == {"another"}
        device.parts.shared.reading.add(next(each.name for each in device.parts.shelf.left))
        assert (await cabinet.refused(Drop(name="recipes"))).code == "volume.busy"
        assert "broke off" in _notes(device, "cabinet.volume_export")[-1]
        with pytest.raises(UnavailableError):
            await asyncio.to_thread(asking.ask, cabinet.path, from_here, leave)
