# SPDX-License-Identifier: Apache-2.0
"""Slots and their pointer: one commit, always to something whole, and a way on from every damage."""

from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkvalve import canonical
from checkvalve.agent.disk.simulated import PowerCut, SimulatedDisk
from checkvalve.agent.slots import Slots
from checkvalve.agent.steps import Slot
from checkvalve.crypto import checked
from checkvalve.errors import CheckvalveError
from checkvalve.protocol import values, workload
from checkvalve.protocol.declared import Variable
from checkvalve.protocol.values import Values
from checkvalve.protocol.workload import Image, Manifest, Service, Volume

A, B, C, D = (f"0{name}" * 13 for name in "abcd")
CONFIG = "sha256:" + "2" * 64
IMAGE = Image(config=CONFIG, config_size=1, manifest=CONFIG, name="pump", platform="linux/amd64", layers=())


def manifest(version: str, **volumes: str) -> bytes:
    return workload.write(
        Manifest(
            name="pump",
            version=version,
            services={"pump": Service(image=CONFIG)},
            images={CONFIG: IMAGE},
            volumes={
                name: Volume(policy="snapshot" if policy == "snapshot" else "keep") for name, policy in volumes.items()
            },
        )
    )


def install(slots: Slots, attempt: str, version: str = "1", **volumes: str) -> Slot:
    slots.stage(attempt, f"org/pump/{version}.json", int(version), manifest(version, **volumes))
    slots.commit(attempt)
    assert slots.active is not None
    return slots.active


def opened(disk: SimulatedDisk, committed: tuple[str, ...] = ()) -> Slots:
    slots = Slots(disk, "device")
    slots.recall(committed)
    return slots


def names(slots: Slots) -> tuple[str, str]:
    return tuple("" if slot is None else slot.attempt for slot in (slots.active, slots.previous))  # type: ignore[return-value]


def code(call: Callable[[], object]) -> str:
    with pytest.raises(CheckvalveError) as caught:
        call()
    assert caught.value.remedy
    return caught.value.code


@pytest.fixture
def disk() -> SimulatedDisk:
    return SimulatedDisk()


@pytest.fixture
def two(disk: SimulatedDisk) -> SimulatedDisk:
    """Return a disk on which A was committed, and then B."""
    slots = opened(disk)
    install(slots, A)
    install(slots, B, "2")
    return disk


def test_a_new_device_has_no_slots_and_no_trouble(disk: SimulatedDisk) -> None:
    slots = opened(disk)
    assert (slots.active, slots.previous, slots.staged(A), slots.trouble) == (None, None, None, "")


def test_a_slot_comes_back_from_the_disk_as_it_was_laid_out(disk: SimulatedDisk) -> None:
    made = opened(disk).stage(A, "org/pump/1.json", 7, manifest("1", data="keep"))
    disk.crash()
    assert opened(disk).staged(A) == made
    assert made.release == workload.digest(manifest("1", data="keep"))
    assert (made.device, made.number, made.target) == ("device", 7, "org/pump/1.json")


def test_what_is_staged_is_not_active_before_it_is_committed(disk: SimulatedDisk) -> None:
    slots = opened(disk)
    slots.stage(A, "t", 1, manifest("1"))
    assert names(slots) == ("", "")
    slots.commit(A)
    slots.commit(A)
    assert names(slots) == (A, "")
    install(slots, B, "2")
    assert names(slots) == names(opened(disk)) == (B, A)


def test_a_volume_to_keep_keeps_its_name_and_one_to_snapshot_is_copied(disk: SimulatedDisk) -> None:
    slots = opened(disk)
    first = install(slots, A, "1", data="keep", state="snapshot", log="snapshot")
    assert first.volumes == {"data": "device-data", "state": f"device-state-{A[-8:]}", "log": f"device-log-{A[-8:]}"}
    assert first.copies == {}
    second = install(slots, B, "2", data="snapshot", state="snapshot", log="keep", new="snapshot")
    own = B[-8:]
    assert second.volumes == {
        "data": f"device-data-{own}",
        "state": f"device-state-{own}",
        "log": f"device-log-{A[-8:]}",
        "new": f"device-new-{own}",
    }
    assert second.copies == {
        f"device-data-{own}": "device-data",
        f"device-state-{own}": f"device-state-{A[-8:]}",
    }


def test_staging_again_leaves_the_same(disk: SimulatedDisk) -> None:
    slots = opened(disk)
    assert slots.stage(A, "t", 1, manifest("1")) == slots.stage(A, "t", 1, manifest("1"))
    assert slots.stage(A, "t", 2, manifest("2")).number == 2, "before the switch an attempt may be laid out anew"


def test_what_is_installed_is_never_written_again(two: SimulatedDisk) -> None:
    slots = opened(two)
    before = slots.active
    assert slots.stage(B, "elsewhere", 9, manifest("2")) == before
    assert code(lambda: slots.stage(B, "t", 3, manifest("3"))) == "slot.taken"
    assert code(lambda: slots.stage(A, "t", 3, manifest("3"))) == "slot.taken"
    assert opened(two).active == before


@pytest.mark.parametrize("attempt", ["", "../../etc", "a/b", "x" * 26, "0A" * 13])
def test_an_attempt_that_is_no_id_names_no_file(disk: SimulatedDisk, attempt: str) -> None:
    slots = opened(disk)
    assert code(lambda: slots.stage(attempt, "t", 1, manifest("1"))) == "slot.attempt"
    assert slots.staged(attempt) is None
    assert code(lambda: slots.commit(attempt)) == "slot.missing"


def test_bytes_that_are_no_manifest_are_not_laid_out(disk: SimulatedDisk) -> None:
    slots = opened(disk)
    assert code(lambda: slots.stage(A, "t", 1, b"{}")) == "manifest.form"
    assert slots.staged(A) is None


def test_only_what_is_whole_on_the_disk_is_committed(two: SimulatedDisk) -> None:
    slots = opened(two)
    slots.stage(C, "t", 3, manifest("3"))
    two.damage(f"slots/{C}.manifest", manifest("4"))
    assert code(lambda: slots.commit(C)) == "slot.damaged"
    assert code(lambda: slots.commit(D)) == "slot.missing"
    assert names(slots) == names(opened(two)) == (B, A)


def test_only_active_previous_and_what_is_asked_for_stay(two: SimulatedDisk) -> None:
    slots = opened(two)
    install(slots, C, "3")
    slots.stage(D, "t", 4, manifest("4"))
    slots.forget({D})
    assert [slots.staged(each) is not None for each in (A, B, C, D)] == [False, True, True, True]
    slots.forget()
    assert sorted(two.names("slots")) == sorted(f"{each}{kind}" for each in (B, C) for kind in (".json", ".manifest"))
    assert slots.staged(D) is None


# ---- Values ----


def filled(version: str, **more: Variable) -> bytes:
    return workload.write(
        Manifest(
            name="pump",
            version=version,
            services={"pump": Service(image=CONFIG, environment={"RATE": "${RATE}"})},
            images={CONFIG: IMAGE},
            variables=(more.get("rate", Variable(name="RATE")),),
            v=2,
        )
    )


def document(manifest_: bytes, rate: str) -> bytes:
    made = Values(device="d", release=workload.digest(manifest_), variables={"RATE": rate}, files={}, secrets={})
    return values.write(made)


def rate(slot: Slot | None) -> str:
    assert slot is not None
    return slot.manifest.services["pump"].environment["RATE"]


@pytest.fixture
def valued(disk: SimulatedDisk) -> SimulatedDisk:
    """Return a disk on which one release was committed as A, and then with other values as B."""
    slots = opened(disk)
    for attempt, said in ((A, "5"), (B, "7")):
        slots.stage(attempt, "t", 1, filled("1"), document(filled("1"), said))
        slots.commit(attempt)
    return disk


def test_a_slot_is_its_release_filled_and_comes_back_so(disk: SimulatedDisk) -> None:
    data = document(filled("1"), "5")
    made = opened(disk).stage(A, "t", 1, filled("1"), data)
    disk.crash()
    found = opened(disk).staged(A)
    assert found == made
    assert (rate(found), made.values, made.release) == ("5", values.digest(data), workload.digest(filled("1")))
    assert made.given == values.read(data)


def test_one_release_has_its_own_values_in_each_slot(valued: SimulatedDisk) -> None:
    slots = opened(valued)
    assert (rate(slots.active), rate(slots.previous)) == ("7", "5")


def test_what_is_here_is_given_out_as_it_came(valued: SimulatedDisk) -> None:
    slots, data = opened(valued), document(filled("1"), "5")
    assert slots.manifest(workload.digest(filled("1"))) == filled("1")
    assert slots.document(values.digest(data)) == data
    assert slots.manifest("sha256:" + "0" * 64) is None
    assert slots.document("sha256:" + "0" * 64) is None
    assert slots.document("") is None
    for name in valued.names("slots"):
        valued.damage(f"slots/{name}", b"rubbish")
    assert slots.manifest(workload.digest(filled("1"))) is None
    assert slots.document(values.digest(data)) is None


def test_values_of_an_installed_attempt_are_not_changed(valued: SimulatedDisk) -> None:
    slots = opened(valued)
    assert rate(slots.stage(B, "t", 1, filled("1"), document(filled("1"), "7"))) == "7"
    assert code(lambda: slots.stage(B, "t", 1, filled("1"), document(filled("1"), "9"))) == "slot.taken"
    assert rate(opened(valued).active) == "7"


@pytest.mark.parametrize("data", [b"", b"{}", document(filled("1"), "9")])
def test_damaged_values_are_a_damaged_slot(valued: SimulatedDisk, data: bytes) -> None:
    valued.damage(f"slots/{B}.values", data)
    slots = opened(valued, (B, A))
    assert (names(slots), rate(slots.active)) == ((A, ""), "5")
    valued.remove(f"slots/{A}.values")
    assert names(opened(valued, (B, A))) == ("", "")


def test_values_go_with_their_slot(valued: SimulatedDisk) -> None:
    slots = opened(valued)
    install(slots, C, "3")
    slots.forget()
    assert sorted(name for name in valued.names("slots") if name.endswith(".values")) == [f"{B}.values"]


def test_values_that_do_not_fill_a_release_are_not_laid_out(disk: SimulatedDisk) -> None:
    slots, bad = opened(disk), filled("1", rate=Variable(name="RATE", kind="number"))
    assert code(lambda: slots.stage(A, "t", 1, bad, document(bad, "fast"))) == "values.misfit"
    assert code(lambda: slots.stage(A, "t", 1, bad)) == "values.missing"
    assert slots.staged(A) is None


def test_a_slot_of_an_agent_that_knew_no_values_is_still_one(disk: SimulatedDisk) -> None:
    slots = opened(disk)
    install(slots, A)
    name = f"slots/{A}.json"
    stored = canonical.loads(checked.read(disk.read(name)))
    assert isinstance(stored, dict)
    del stored["values"]
    disk.damage(name, checked.write(canonical.dumps(stored)))
    found = opened(disk).active
    assert found is not None
    assert (found.attempt, found.values, found.given) == (A, "", None)


# ---- Damage ----


@pytest.mark.parametrize("data", [b"", b"\0" * 80, b"{}"])
def test_a_damaged_pointer_falls_back_on_what_the_journal_says_was_committed(two: SimulatedDisk, data: bytes) -> None:
    two.damage("active", data)
    slots = opened(two, (B, A))
    assert names(slots) == (B, A)
    assert slots.trouble
    again = opened(two)
    assert (names(again), again.trouble) == ((B, A), ""), "it was mended"


def test_a_pointer_that_is_gone_is_a_damaged_one_if_something_was_committed(two: SimulatedDisk) -> None:
    two.remove("active")
    slots = opened(two, (B, A))
    assert names(slots) == (B, A)
    assert slots.trouble


def test_a_damaged_active_slot_falls_back_on_the_one_before(two: SimulatedDisk) -> None:
    two.damage(f"slots/{B}.manifest", b"")
    for committed in ((B, A), ()):
        slots = opened(two, committed)
        assert names(slots) == (A, "")
    two.remove("active")
    assert names(opened(two, (B, A))) == (A, "")


def test_a_damaged_previous_slot_leaves_the_active_one(two: SimulatedDisk) -> None:
    two.damage(f"slots/{A}.json", b"rubbish")
    slots = opened(two, (B, A))
    assert names(slots) == (B, "")
    assert A in slots.trouble


def test_slots_of_another_device_are_not_ours(two: SimulatedDisk) -> None:
    slots = Slots(two, "another")
    slots.recall((B, A))
    assert names(slots) == ("", "")
    assert slots.trouble


def test_a_bad_sector_in_a_slot_is_a_damaged_slot(two: SimulatedDisk) -> None:
    two.memory.unreadable.add(f"slots/{B}.json")
    assert names(opened(two, (B, A))) == (A, "")


def test_nothing_that_can_be_mended_is_a_device_with_no_slots(two: SimulatedDisk) -> None:
    for name in two.names("slots"):
        two.damage(f"slots/{name}", b"")
    slots = opened(two, (B, A))
    assert names(slots) == ("", "")
    assert slots.trouble
    install(slots, C, "3")
    assert names(opened(two)) == (C, "")


def test_what_cannot_be_mended_on_a_full_disk_is_known_all_the_same(two: SimulatedDisk) -> None:
    two.damage("active", b"")
    two.full_after(0)
    assert names(opened(two, (B, A))) == (B, A)


@given(
    st.sampled_from(["active", *(f"slots/{each}{kind}" for each in (A, B) for kind in (".json", ".manifest"))]),
    st.data(),
)
def test_no_damage_to_one_file_leaves_a_device_without_its_release(name: str, data: st.DataObject) -> None:
    disk = SimulatedDisk()
    slots = opened(disk)
    install(slots, A)
    install(slots, B, "2")
    whole = disk.read(name)
    at = data.draw(st.integers(0, len(whole)))
    disk.damage(name, whole[:at] + data.draw(st.binary(max_size=20)) + whole[at + data.draw(st.integers(0, 20)) :])
    found = opened(disk, (B, A))
    assert found.active is not None
    assert workload.digest(workload.write(found.active.manifest)) == found.active.release


# ---- The power cut, at every operation ----


def script(slots: Slots) -> Iterator[tuple[str, str]]:
    """Take a step, and give the pointer as it is after it."""
    for before, attempt, version in (("", A, "1"), (A, B, "2"), (B, C, "3")):
        slots.stage(attempt, "t", int(version), manifest(version))
        yield names(slots)
        slots.commit(attempt)
        yield (attempt, before)
        slots.forget()
        yield (attempt, before)


def test_after_a_power_cut_at_any_operation_the_pointer_names_what_it_did_before_or_after_and_that_is_whole() -> None:
    measured = SimulatedDisk()
    states = [("", ""), *script(opened(measured))]
    for cut in range(measured.operations):
        for seed in range(4):
            disk = SimulatedDisk(seed)
            disk.cut_after(cut)
            done = 0
            try:
                for _ in script(opened(disk)):
                    done += 1
            except PowerCut:
                disk.crash()
            slots = opened(disk)
            assert slots.trouble == ""
            assert names(slots) in states[done : done + 2]
            install(slots, D, "4")
            assert names(opened(disk))[0] == D
