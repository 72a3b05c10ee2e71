# SPDX-License-Identifier: Apache-2.0
"""Errands on a device: each is run once, told once, and what it brings comes before the word on it.

Where an agent dies or the power goes is sampled by a seed that is printed; all places are in `tests/proofs`.
"""

import gzip
import random
from typing import Any

import pytest
from msgspec import structs

from checkvalve import clock
from checkvalve.agent import holds, identity, policy
from checkvalve.agent.errands import FILE, content
from checkvalve.agent.permits.simulated import NO, YES, Simulated
from checkvalve.errors import ConflictError, InvalidError, NotFoundError, UnavailableError
from checkvalve.protocol.exchange import State, Tag
from tests.agent import filled, small
from tests.agent.device import Device, told
from tests.parts import errands
from tests.parts.errands import Sent, sent

SEED = int.from_bytes(clock.entropy(4))
EACH = 4  # writings of some 140 at which it is cut
TAG = Tag(id="01jd0000000000000000000001", name="Anna", reason="pump seal", at=1, by="device")
POLICY = b'{"permit": {"kind": "file", "path": "/run/line/permit"}}'


@told
async def test_errands_are_run_one_after_the_other_and_each_is_told_once() -> None:
    story = await sent(DOES=f"log=the pin is {filled.SECRET}")
    story.order(errands.logs(1), errands.restart(2), errands.bundle(3), errands.reboot(4))
    await story.told(1, 2, 3, 4)
    assert [(each.kind, each.outcome) for each in story.dones] == [
        ("logs", "done"),
        ("restart", "done"),
        ("bundle", "done"),
        ("reboot", "done"),
    ]
    assert story.content(1) == "pump | the pin is [secret pin]\n"
    assert filled.SECRET not in story.content(3)
    assert story.done(2).reason == "pump was restarted, and runs."
    assert story.machine.reboots == 1
    assert story.codes() == ["errand.taken"] * 4 + ["errand.begun", "errand.done"] * 4
    assert story.done(4).begun < story.done(4).at
    await story.until(lambda: story.device.quiet)
    assert not story.device.disk.names("errands"), "what was acknowledged is let go of"


@pytest.mark.slow
@pytest.mark.parametrize("how", ["power", "kill"])
@told
async def test_wherever_it_is_cut_short_each_errand_has_one_word_and_the_machine_goes_down_once(how: str) -> None:
    chance = random.Random(f"{SEED}{how}")
    print(f"seed {SEED}")
    back = Device.crash if how == "power" else Device.kill
    for place in chance.sample(range(130), EACH):
        assert await errands.at_each_writing(back, SEED % 1_000, [place]) == 1
    assert await errands.at_each_step(back, after=chance.random() < 0.5, places=[chance.randrange(2)]) == 1


@told
async def test_an_errand_that_is_ordered_again_passes_without_a_word_also_if_the_file_of_errands_was_lost() -> None:
    story = await sent()
    story.order(errands.reboot(1))
    await story.told(1)
    events = len(story.device.events)
    story.order(errands.reboot(1), errands.logs(2))
    await story.told(2)
    assert len([each for each in story.device.events[events:] if each.facts.get("errand") == errands.name(1)]) == 0

    story.device.disk.damage(FILE, b"nobody wrote this")
    await story.back(Device.kill)
    story.order(errands.reboot(1), errands.logs(2), errands.restart(3))
    await story.told(3)
    assert story.machine.reboots == 1
    assert [each.code for each in story.device.events].count("errands.damaged") == 1
    assert len(story.dones) == 3


@told
async def test_a_device_that_observes_is_held_or_busy_refuses_and_says_why() -> None:
    story = await sent()
    device = story.device
    device.disk.replace(identity.OBSERVE, identity.OBSERVING)
    story.order(errands.logs(1), errands.reboot(2))
    await story.told(1, 2)
    device.disk.remove(identity.OBSERVE)

    holds.hang(device.disk, TAG)
    story.order(errands.restart(3), errands.reboot(4), errands.logs(5))
    await story.told(3, 4, 5)
    holds.lift(device.disk, TAG.id)

    attempt = device.order(small.pair(2), 2)
    await story.until(lambda: device.position.state is State.VERIFYING)
    story.order(errands.restart(6), errands.reboot(7), errands.logs(8))
    await story.told(6, 7, 8)
    await story.until(lambda: device.ended(attempt))
    assert device.position.state is State.COMMITTED, "what was refused disturbed no gate"

    assert {each: (story.done(each).outcome, story.done(each).code) for each in range(1, 9)} == {
        1: ("refused", "device.observes"),
        2: ("refused", "device.observes"),
        3: ("refused", "hold.hung"),
        4: ("refused", "hold.hung"),
        5: ("done", ""),
        6: ("refused", "errand.busy"),
        7: ("refused", "errand.busy"),
        8: ("done", ""),
    }
    assert story.done(3).reason == "Held by Anna: pump seal."
    assert story.done(3).begun == 0
    assert story.machine.reboots == 0


@told
async def test_a_restart_that_was_cut_short_stops_nothing_once_a_tag_hangs() -> None:
    story = await sent()
    device = story.device
    device.steps.cut_at = device.steps.taken + 1  # the power goes when the container is about to be stopped
    story.order(errands.restart(1))
    with pytest.raises(BaseExceptionGroup):
        await story.told(1)
    device.steps.cut_at = None
    holds.hang(device.disk, TAG)
    taken = device.steps.taken
    await story.back(Device.kill)
    await story.told(1)
    assert (story.done(1).outcome, story.done(1).code) == ("failed", "errand.cut")
    assert "a lock-out tag hangs" in story.done(1).reason
    assert device.steps.taken == taken, "what runs was left alone"


@told
async def test_a_reboot_takes_a_clear_yes_of_the_permit_now_and_waits_for_none() -> None:
    story = await sent()
    parts, disk = story.device.parts, story.device.disk
    disk.replace(policy.FILE, POLICY)
    for number, answers in enumerate(([NO], [YES, NO]), 1):
        parts.permits = Simulated(answers)
        story.order(errands.reboot(number), errands.restart(10 + number))
        await story.told(number, 10 + number)
        assert (story.done(number).outcome, story.done(number).code) == ("refused", "permit.no")
        assert story.done(10 + number).outcome == "done", "a restart asks no permit"
        assert parts.permits.asked == len(answers)
    disk.replace(policy.FILE, b'{"window": "opened"}')
    story.order(errands.reboot(3))
    await story.told(3)
    assert story.done(3).reason == "No window is open on this device. A reboot needs one of 5 min."
    disk.replace(policy.FILE, POLICY)
    parts.permits = Simulated([YES, YES])
    story.order(errands.reboot(4))
    await story.told(4)
    assert story.done(4).outcome == "done"
    assert story.machine.reboots == 1


@told
async def test_a_reboot_that_cannot_be_fails_or_comes_to_nothing_is_told_so() -> None:
    story = await sent()
    story.machine.cannot = "The agent runs in a container here."
    story.order(errands.reboot(1))
    await story.told(1)
    story.machine.cannot = ""
    story.machine.fails = UnavailableError("reboot.failed", "systemctl ended with 1: Access denied.")
    story.order(errands.reboot(2))
    await story.told(2)

    class Deaf(type(story.machine)):  # type: ignore[misc]  # a machine that hears it, and goes on
        async def reboot(self) -> None:
            self.heard = True

    story.device.parts.host = Deaf(cannot="")
    story.order(errands.reboot(3), errands.logs(4))
    begun = story.device.clock.monotonic()
    await story.told(3, 4)
    assert story.device.clock.monotonic() - begun >= 300
    said = [(story.done(each).outcome, story.done(each).code, story.done(each).reason) for each in (1, 2, 3)]
    assert said == [
        ("refused", "reboot.unable", "The agent runs in a container here."),
        ("failed", "reboot.failed", "systemctl ended with 1: Access denied."),
        ("failed", "reboot.nothing", "The machine was told to start anew, and did not go down."),
    ]
    assert story.done(4).begun >= story.done(3).at, "nothing is begun on a machine that is about to go down"


@told
async def test_a_restart_says_what_became_of_the_container_and_which_services_there_are() -> None:
    story = await sent(small.made(1, {"web": "", "job": {"kind": "oneshot", "restart": "no", "simulate": "exit=0"}}))
    with story.device.ground.world(story.device.clock.monotonic()) as world:
        web = next(each for each in world.boxes.values() if each.service == "web")
        before = web.since
    story.order(errands.restart(1, "web"), errands.restart(2, "job"), errands.restart(3, "pump"), errands.logs(4))
    await story.told(1, 2, 3, 4)
    assert web.since > before
    assert story.done(2).reason == "job is a job that runs once a release. Services that are here: web."
    assert story.done(3).reason == "There is no container of pump here. Services that are here: web."
    with story.device.ground.world(story.device.clock.monotonic()) as world:
        web.script = "refuse"
    story.order(errands.restart(5, "web"))
    await story.told(5)
    assert (story.done(5).outcome, story.done(5).code) == ("failed", "engine.refused")
    with story.device.ground.world(story.device.clock.monotonic()) as world:
        assert world.boxes[web.name].status != "running"
        web.script = "exit=3"
        web.policy = "no"
    story.order(errands.restart(6, "web"))
    await story.told(6)
    assert (story.done(6).outcome, story.done(6).code) == ("failed", "restart.ended")


@told
async def test_what_cannot_be_sent_holds_up_nothing_but_its_own_word() -> None:
    story = await sent()
    device, closed = story.device, story.device.plane.closed
    for number in range(1, 6):
        closed[errands.name(number)] = UnavailableError("blobs.full", "The plane's disk is full.")
    story.order(*(errands.logs(number) for number in range(1, 6)))
    await story.until(lambda: len(device.parts.errands.unsent) == 5)
    attempt = device.order(small.quick(2), 2)
    await story.until(lambda: device.ended(attempt))
    story.order(errands.restart(6))
    await story.told(6)
    assert [each.kind for each in story.dones] == ["restart"], "five words wait, and what comes after them does not"

    await story.back(Device.kill)
    del closed[errands.name(1)]
    closed[errands.name(2)] = NotFoundError("errand.not_found", "There is no such errand of this device.")
    closed[errands.name(3)] = ConflictError("errand.ended", "The errand is over.")
    closed[errands.name(4)] = InvalidError("errand.digest", "What came is not what its digest says.")
    device.disk.remove(content(errands.name(5)))
    del closed[errands.name(5)]
    await story.told(1, 2, 3, 4, 5)
    assert list(device.plane.kept.contents) == [errands.name(1)]
    assert all(story.done(each).content is not None for each in range(1, 6)), "the word says what it brought"


@told
async def test_an_answer_that_is_lost_after_a_content_was_taken_costs_nothing_but_sending_it_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    story = await sent(DOES="log=well")
    put, sent_at = story.device.parts.link.put, list[float]()

    async def lossy(*words: Any) -> None:  # noqa: ANN401
        sent_at.append(story.device.clock.monotonic())
        await put(*words)
        if len(sent_at) < 3:
            raise UnavailableError("link.unreachable", "The connection broke off.")

    monkeypatch.setattr(story.device.parts.link, "put", lossy)
    story.order(errands.logs(1))
    await story.told(1)
    assert story.content(1) == "pump | well\n"
    assert len(sent_at) == 3
    assert sent_at[2] - sent_at[1] >= 1, "it is not sent again at once"


@told
async def test_logs_are_bounded_the_newest_are_kept_and_each_line_names_its_service() -> None:
    story = await sent(small.pair(1))
    with story.device.ground.world(story.device.clock.monotonic()) as world:
        for box in world.boxes.values():
            box.log = [f"{number:04} {'x' * 10_000}" for number in range(1_000)]
    story.order(errands.logs(1, lines=10_000), errands.logs(2, service="web", lines=2))
    await story.told(1, 2)
    lines = story.content(1).splitlines()
    assert 7 << 20 < len(story.content(1)) <= 8 << 20
    assert {line[:6] for line in lines} == {"pump |", "web | "}
    assert [line[6:10] for line in lines if line.startswith("web")][-1] == "0999"
    assert [line[:10] for line in story.content(2).splitlines()] == ["web | 0998", "web | 0999"]


@told
async def test_nothing_is_brought_where_the_disk_has_no_room_to_spare() -> None:
    story = await sent()
    story.device.disk.full_after(20 << 20)  # one in twenty stays free, whatever comes
    story.order(errands.logs(1), errands.bundle(2), errands.restart(3))
    await story.told(1, 2, 3)
    assert [story.done(each).code for each in (1, 2, 3)] == ["disk.full", "disk.full", ""]
    words = "What this brings takes up to 20 MiB, and 18 MiB may be written on this device's disk."
    assert story.done(1).reason == words


@told
async def test_what_a_hostile_or_late_order_asks_for_is_not_done() -> None:
    story = await sent()
    story.order(structs.replace(errands.bundle(1), id="../../etc/passwd"))
    await story.until(lambda: "order.form" in [each.code for each in story.device.events])
    story.order(structs.replace(errands.logs(2), until=1))
    await story.told(2)
    assert story.done(2).code == "errand.late"
    story.device.disk.fail()
    with pytest.raises(UnavailableError):
        story.device.parts.errands.keep(errands.logs(3))
    story.device.disk.fail(on=False)
    assert not story.device.parts.errands.knows(errands.name(3)), "what could not be written is not known"
    for number in range(10, 42):
        story.device.parts.errands.keep(errands.logs(number))
    story.order(errands.logs(50))
    await story.until(lambda: "errand.many" in [each.code for each in story.device.events])


@told
async def test_an_engine_that_stays_silent_is_asked_some_times_and_then_it_has_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    story = await sent()
    asked = 0

    async def silent(*_: object) -> str:
        nonlocal asked
        asked += 1
        raise UnavailableError("engine.unreachable", "The engine does not answer.")

    monkeypatch.setattr(story.device.engine, "logs", silent)
    story.order(errands.logs(1), errands.restart(2))
    await story.told(1, 2)
    assert (story.done(1).outcome, story.done(1).code, asked) == ("failed", "engine.unreachable", 3)
    assert story.done(2).outcome == "done"
    assert not story.device.disk.names("errands")


def test_what_is_not_acknowledged_is_sent_again_and_not_to_another_plane() -> None:
    story = Sent(Device())
    kept = story.device.parts.errands
    kept.keep(errands.logs(1))
    story.device.disk.replace(content(errands.name(1)), gzip.compress(b""))
    assert kept.waits(errands.name(1))
    again = type(kept)(story.device.disk, story.device.id)
    assert again.open == kept.open
    other = type(kept)(story.device.disk, "01jd0000000000000000000009")
    assert (other.open, other.unsent, other.trouble) == ((), (), "")
    other.sweep()
    assert not story.device.disk.names("errands")
