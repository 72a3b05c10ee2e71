# SPDX-License-Identifier: Apache-2.0
"""What a person at the cabinet can have done, on a simulated device, through the real socket."""

from pathlib import Path

import pytest

from checkvalve.agent import holds, identity
from checkvalve.agent.cabinet import asked
from checkvalve.agent.cabinet.asked import Back, Hang, Lift, Logs, Open
from checkvalve.errors import CheckvalveError, ConflictError, ForbiddenError, InvalidError, NotFoundError
from checkvalve.protocol.exchange import State, Tag
from tests.agent import filled, small
from tests.agent.cabinet import STATUS, opened
from tests.agent.device import Device, told

HANG = Hang(reason="pump seal is open", number="4711", name="Anna")


async def _two(device: Device) -> None:
    """Have the second release run, and the first before it."""
    assert await device.deploy(small.quick(1)) is State.COMMITTED
    assert await device.deploy(small.quick(2)) is State.COMMITTED


@told
async def test_back_returns_to_the_release_before_without_a_plane(tmp_path: Path) -> None:
    device = Device()
    await _two(device)
    async with opened(device, tmp_path) as cabinet:
        dry = await cabinet.ask(Back(dry=True))
        assert (dry["release"], dry["from"], dry["attempt"]) == (
            small.quick(1).digest,
            small.quick(2).digest,
            "",
        )
        assert cabinet.notes() == []
        said = await cabinet.ask(Back())
    assert said["attempt"] > device.parts.slots.active.attempt  # type: ignore[union-attr]  # ids are in order of time
    await device.drive(lambda: device.position.attempt == said["attempt"] and device.at_rest, visits=False)
    await device.drive(lambda: device.position.state is State.COMMITTED, visits=False)
    assert device.runs == small.quick(1).digest
    (note,) = cabinet.notes()
    assert (note.code, note.facts["who"] != "") == ("cabinet.back", True)
    await device.settle()
    (receipt,) = [each for each in device.receipts if each.attempt == said["attempt"]]
    assert (receipt.outcome, receipt.release) == (State.COMMITTED, small.quick(1).digest)
    codes = [each.code for each in device.events]
    assert "cabinet.back" in codes  # the plane has the line


@told
async def test_what_was_gone_back_from_can_be_gone_back_to(tmp_path: Path) -> None:
    device = Device()
    await _two(device)
    async with opened(device, tmp_path) as cabinet:
        for number in (1, 2):
            attempt = (await cabinet.ask(Back()))["attempt"]
            await device.drive(lambda attempt=attempt: device.ended(attempt))  # type: ignore[misc]
            assert device.runs == small.quick(number).digest


@told
async def test_a_return_by_hand_that_is_cut_short_is_rolled_back_as_any_attempt(tmp_path: Path) -> None:
    device = Device()
    await _two(device)
    async with opened(device, tmp_path) as cabinet:
        attempt = (await cabinet.ask(Back()))["attempt"]
        await device.drive(lambda: device.position.state is State.VERIFYING)
        busy = await cabinet.refused(Back())
        device.kill()  # the agent restarts before it has proved itself
    await device.drive(lambda: device.ended(attempt))
    assert (busy.code, device.position.state) == ("back.busy", State.ROLLED_BACK)
    assert device.runs == small.quick(2).digest


@pytest.mark.parametrize("operations", range(1, 9))
def test_a_power_cut_while_going_back_leaves_the_one_or_the_other_and_says_so(tmp_path: Path, operations: int) -> None:
    @told
    async def play() -> None:
        device = Device(seed=operations)
        await _two(device)
        await device.settle()
        async with opened(device, tmp_path) as cabinet:
            device.disk.cut_after(operations)
            try:
                await cabinet.ask(Back())
            except CheckvalveError as error:
                assert error.code in {"disk.failed", "cabinet.answer"}  # noqa: PT017
        device.crash()
        await device.settle()
        assert device.position.state is State.COMMITTED
        went = [each for each in device.receipts if each.attempt == device.position.attempt]
        assert [each.release for each in went] == [device.runs]

    play()


@told
async def test_back_goes_with_the_values_it_ran_with(tmp_path: Path) -> None:
    device = Device()
    one = filled.release(1)
    await filled.deploy(device, one, recipe="first")
    first = device.parts.slots.active
    assert first is not None
    await filled.deploy(device, one, recipe="second")
    async with opened(device, tmp_path) as cabinet:
        said = await cabinet.ask(Back())
    assert said["values"] == first.values
    await device.drive(lambda: device.ended(said["attempt"]))
    now = device.parts.slots.active
    assert now is not None
    assert (now.values, now.given) == (first.values, first.given)


@told
async def test_back_needs_something_to_go_back_to_that_may_still_run(tmp_path: Path) -> None:
    device = Device()
    async with opened(device, tmp_path) as cabinet:
        assert (await cabinet.refused(Back())).code == "back.nothing"
        await device.deploy(small.quick(1))
        assert (await cabinet.refused(Back())).code == "back.nothing"
        await device.deploy(small.quick(2))
        device.disk.replace(identity.OBSERVE, identity.OBSERVING)
        error = await cabinet.refused(Back())
        assert (type(error), error.code) == (ForbiddenError, "device.observes")
        device.disk.remove(identity.OBSERVE)
        first = device.parts.slots.previous
        assert first is not None
        line = first.target.rpartition("/")[0]
        device.estate.origin.floors[line] = 2
        device.estate.publish("targets", "snapshot", "timestamp")
        await device.parts.believed.refresh(device.parts.link, device.parts.believed.floor.at(device.clock.monotonic()))
        error = await cabinet.refused(Back())
        assert (type(error), error.code) == (ConflictError, "release.below_floor")
        del device.estate.origin.targets[first.target]
        device.estate.publish("targets", "snapshot", "timestamp")
        await device.parts.believed.refresh(device.parts.link, device.parts.believed.floor.at(device.clock.monotonic()))
        error = await cabinet.refused(Back())
        assert (type(error), error.code) == (InvalidError, "release.not_listed")
    assert cabinet.notes() == []
    assert device.runs == small.quick(2).digest


@told
async def test_back_takes_the_place_of_an_order_that_waits_and_the_plane_hears_of_it(tmp_path: Path) -> None:
    device = Device()
    await _two(device)
    async with opened(device, tmp_path) as cabinet:
        await cabinet.ask(HANG)
        ordered = device.order(small.quick(3))
        await device.drive(lambda: device.position.state is State.HELD)
        attempt = (await cabinet.ask(Back()))["attempt"]
        await device.drive(lambda: device.position.attempt == attempt and device.position.state is State.HELD)
        assert device.runs == small.quick(2).digest  # a tag holds what is done by hand, too
        (tag,) = (await cabinet.ask(STATUS))["held"]
        await cabinet.ask(Lift(id=tag["id"]))
        await device.drive(lambda: device.ended(attempt))
    assert device.runs == small.quick(1).digest
    assert [each.code for each in device.receipts if each.attempt == ordered] == ["deploy.superseded"]


@told
async def test_a_tag_is_hung_seen_reported_and_lifted(tmp_path: Path) -> None:
    device = Device()
    async with opened(device, tmp_path) as cabinet:
        tag = await cabinet.ask(HANG)
        assert (tag["name"], tag["reason"], tag["number"], tag["by"]) == ("Anna", "pump seal is open", "4711", "device")
        assert (await cabinet.ask(STATUS))["held"] == [tag]
        await device.drive(lambda: device.quiet)
        assert (await cabinet.refused(Lift(id="0" * 26))).code == "hold.not_found"
        assert [each["id"] for each in await cabinet.ask(Lift(id=tag["id"]))] == [tag["id"]]
        assert (await cabinet.ask(STATUS))["held"] == []
        assert isinstance(await cabinet.refused(Lift()), NotFoundError)
    assert [each.code for each in cabinet.notes()] == ["cabinet.hold", "cabinet.release_hold"]


@told
async def test_who_hung_a_tag_is_who_asked_unless_a_name_is_given(tmp_path: Path) -> None:
    device = Device()
    async with opened(device, tmp_path) as cabinet:
        tag = await cabinet.ask(Hang(reason="cable"))
        assert tag["name"] == cabinet.notes()[0].facts["who"] != ""
        await cabinet.ask(Hang(reason="valve"))
        assert (await cabinet.refused(Lift())).code == "hold.not_found"  # which of the two?
        assert len(await cabinet.ask(Lift(all=True))) == 2


@told
async def test_a_tag_of_the_plane_is_seen_here_and_not_lifted_here(tmp_path: Path) -> None:
    device = Device()
    tag = Tag(id="0" * 26, name="Bo", reason="audit", at=1, by="plane", where="Visby")

    holds.told(device.disk, [tag])
    async with opened(device, tmp_path) as cabinet:
        assert [each["name"] for each in (await cabinet.ask(STATUS))["held"]] == ["Bo"]
        error = await cabinet.refused(Lift(id=tag.id))
        assert (type(error), error.code) == (ForbiddenError, "hold.plane")
        assert (await cabinet.refused(Lift())).code == "hold.not_found"
        assert await cabinet.ask(Lift(all=True)) == []
    assert holds.plane(device.disk) == (tag,)


@told
async def test_a_window_is_opened_and_closed_by_hand(tmp_path: Path) -> None:
    device = Device()
    async with opened(device, tmp_path) as cabinet:
        await cabinet.ask(Open(minutes=45))
        await device.clock.advance(60)
        assert (await cabinet.ask(STATUS))["window"] == 44 * 60
        await cabinet.ask(asked.Close())
        assert (await cabinet.ask(STATUS))["window"] == 0
        assert (await cabinet.raw(b'{"do":"window-open","minutes":481}\n')).count(b"cabinet.form") == 1
    assert [each.code for each in cabinet.notes()] == ["cabinet.window_open", "cabinet.window_close"]


@told
async def test_an_act_is_in_the_journal_before_it_is_done(tmp_path: Path) -> None:
    device = Device()
    async with opened(device, tmp_path) as cabinet:
        device.disk.fail()  # no line can be written: nothing is done
        assert (await cabinet.refused(HANG)).code == "disk.failed"
        device.disk.fail(on=False)
        assert (await cabinet.ask(STATUS))["held"] == []
    assert cabinet.notes() == []


@told
async def test_an_act_that_could_not_be_done_says_so_in_the_journal(tmp_path: Path) -> None:
    device = Device()
    async with opened(device, tmp_path) as cabinet:
        for _ in range(16):
            await cabinet.ask(HANG)
        assert (await cabinet.refused(HANG)).code == "hold.too_many"
    assert [each.code for each in cabinet.notes()][-2:] == ["cabinet.hold", "hold.too_many"]


@told
async def test_status_says_what_runs_what_waits_and_when_the_plane_was_met(tmp_path: Path) -> None:
    device = Device()
    await _two(device)
    await device.settle()
    async with opened(device, tmp_path) as cabinet:
        said = await cabinet.ask(STATUS)
        assert said["state"] == "committed"
        assert said["names"][said["active"]] == "historian 2"
        assert [(each["service"], each["state"]) for each in said["live"]["services"]] == [
            ("pump", "running"),
            ("web", "running"),
        ]
        assert (said["live"]["contact"] is None, said["live"]["silent"]) == (False, "")
        device.plane.knobs.refuses = ForbiddenError("device.quarantined", "It is shut out.")
        await device.visit.turn()
        assert (await cabinet.ask(STATUS))["live"]["silent"] == "It is shut out."
        await cabinet.ask(HANG)
        device.plane.knobs.refuses = None
        device.order(small.quick(3))
        await device.drive(lambda: device.position.state is State.HELD)
        assert "pump seal is open" in (await cabinet.ask(STATUS))["waits"]


@told
async def test_logs_come_by_service_and_without_secrets(tmp_path: Path) -> None:
    device = Device()
    made = filled.release(1)
    await filled.deploy(device, made, DOES=f"log=the pin is {filled.SECRET}")
    async with opened(device, tmp_path) as cabinet:
        _, parts = await cabinet.parts(Logs(service="pump"))
        text = "".join(each["text"] for each in parts)
        assert "the pin is [secret pin]" in text
        assert filled.SECRET not in text
        assert {each["service"] for each in parts} == {"pump"}
        error = await cabinet.refused(Logs(service="nobody"))
        assert (error.code, "pump, web" in error.remedy) == ("logs.service", True)


@pytest.mark.parametrize("service", ["", "pump"])
def test_logs_of_what_is_gone_are_none(tmp_path: Path, service: str) -> None:
    @told
    async def play() -> None:
        async with opened(Device(), tmp_path) as cabinet:
            assert (await cabinet.refused(Logs(service=service))).code == "logs.service"

    play()


@told
async def test_an_agent_of_another_directory_does_nothing(tmp_path: Path) -> None:
    async with opened(Device(), tmp_path) as cabinet:
        error = await cabinet.refused(Hang(reason="cable", data="/var/lib/checkvalve-agent"))
        assert error.code == "cabinet.elsewhere"
        assert cabinet.notes() == []
        await cabinet.ask(Hang(reason="cable", data=str(cabinet.data)))
