# SPDX-License-Identifier: Apache-2.0
"""A service that dies after its commit is told of, counted, and not told of for ever."""

import asyncio
import itertools
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checkvalve.agent import crashes, loop
from checkvalve.agent.crashes import DAY, SELDOM, SOONEST, Crashes, Report
from checkvalve.agent.engine import reading, simulation
from checkvalve.agent.engine.watching import Ended, Watching
from checkvalve.agent.engine.wire import Wire
from checkvalve.agent.steps import Container, Observed
from checkvalve.protocol import exchange
from checkvalve.protocol.enrol import LinkClass
from checkvalve.protocol.exchange import Event, State, Status, Workload
from tests.agent import small, world
from tests.agent.device import Device, told

SLOT = world.slot(1, world.line("1"))


def box(**changes: object) -> Container:
    plain: dict[str, object] = {
        "id": "1",
        "name": SLOT.container("web"),
        "service": "web",
        "attempt": SLOT.attempt,
        "release": SLOT.release,
        "image": SLOT.manifest.services["web"].image,
        "state": "running",
        "policy": "always",
        "started": True,
        **changes,
    }
    return Container(**plain)  # type: ignore[arg-type]  # a test says what it needs


def seen(*boxes: Container, every: float = 1.0) -> Crashes:
    """Return what is known after these looks."""
    known = Crashes()
    for number, each in enumerate(boxes):
        known = crashes.look(known, SLOT, Observed((each,)), number * every, int(number * every * 1000))
    return known


def said(*boxes: Container) -> Report | None:
    found = crashes.due(seen(*boxes), 100.0)
    return found[0] if found else None


@pytest.mark.parametrize(
    ("after", "code", "words", "count"),
    [
        ({"restarts": 1, "state": "restarting", "exit_code": 139}, "restarted", "segmentation fault", 1),
        ({"restarts": 3}, "restarted", "3 times", 3),
        ({"restarts": 1, "state": "restarting", "exit_code": 137, "oom": True}, "restarted", "memory ran out", 1),
        ({"state": "exited", "exit_code": 143}, "stopped", "by hand or with the engine", 0),
        ({"state": "exited", "exit_code": 0, "policy": "unless-stopped"}, "stopped", "by hand", 0),
        ({"state": "exited", "exit_code": 1, "policy": "on-failure"}, "stopped", "by hand", 0),
        ({"state": "exited", "exit_code": 137, "policy": "no"}, "stopped", "by hand", 0),
        ({"state": "exited", "exit_code": 1, "policy": "no"}, "exited", "nothing starts it again", 1),
        ({"state": "exited", "exit_code": 0, "policy": "on-failure"}, "exited", "with code 0", 0),
        ({"state": "exited", "exit_code": 137, "policy": "no", "oom": True}, "exited", "memory ran out", 1),
        ({"health": "unhealthy"}, "unhealthy", "health check fails", 0),
    ],
)
def test_what_happened_is_said_in_words(after: dict[str, object], code: str, words: str, count: int) -> None:
    report = said(box(health="healthy"), box(**after))
    assert report is not None
    assert (report.code, report.service) == (f"service.{code}", "web")
    assert words in report.sentence
    assert report.facts.get("crashes", 0) == count
    assert seen(box(health="healthy"), box(**after)).died["web"].crashes == count


@pytest.mark.parametrize(
    "looks",
    [
        (box(restarts=17),),  # the first look is where it begins
        (box(restarts=17), box(id="2", restarts=0)),  # another container
        (box(restarts=17), box(id="2", restarts=3)),
        (box(state="exited"), box()),  # started again
        (box(health="starting"), box(health="unhealthy")),  # it never was healthy: the gate's word
        (box(), box(state="paused"), box()),
        (box(restarts=2), box(restarts=0)),  # started by hand: the engine counts anew
        (box(state="created"), box()),
    ],
)
def test_what_is_no_crash_is_not_told(looks: tuple[Container, ...]) -> None:
    assert said(*looks) is None


def test_a_oneshot_that_ends_has_done_its_work() -> None:
    slot = world.slot(1, world.manifest({"job": world.service("job", kind="oneshot")}, ["job"]))
    job = Container("1", slot.container("job"), "job", slot.attempt, slot.release, world.image("job").config, "running")
    known = crashes.look(Crashes(), slot, Observed((job,)), 0.0, 0)
    ended = replace(job, state="exited", exit_code=1)
    assert not crashes.due(crashes.look(known, slot, Observed((ended,)), 1.0, 0), 1.0)


@settings(max_examples=50, deadline=None)
@given(gaps=st.lists(st.floats(0.1, 2_000) | st.floats(3_000, 9_000), min_size=1, max_size=300))
def test_every_crash_is_counted_once_and_told_ever_more_seldom(gaps: list[float]) -> None:
    known, now, counted, notes = Crashes(), 0.0, 0, list[float]()
    known = crashes.look(known, SLOT, Observed((box(),)), now, 0)
    for number, gap in enumerate(gaps, 1):
        now += gap
        known = crashes.look(known, SLOT, Observed((box(restarts=number),)), now, int(now * 1000))
        for each in crashes.due(known, now):
            restarts = each.facts["restarts"]
            assert isinstance(restarts, int)
            counted += restarts
            notes.append(now)
            known = crashes.told(known, each.service, now)
    assert known.died["web"].crashes == len(gaps)
    assert counted + known.died["web"].untold == len(gaps)
    assert notes[0] == gaps[0]
    pauses = [later - before for before, later in itertools.pairwise(notes)]
    assert all(pause >= SOONEST for pause in pauses)
    quiet = sum(gap > SELDOM for gap in gaps)
    assert len(notes) <= 8 * (quiet + 1) + now / SELDOM  # at once, after a minute, two, four, … an hour


def test_a_day_without_a_crash_ends_the_count_and_a_new_release_begins_another() -> None:
    known = crashes.told(seen(box(), box(restarts=1)), "web", 1.0)
    later = crashes.look(known, SLOT, Observed((box(restarts=1),)), DAY, 0)
    assert later.died["web"].crashes == 1
    assert not crashes.look(later, SLOT, Observed((box(restarts=1),)), DAY + 2, 0).died
    assert not crashes.look(known, world.slot(2, world.line("2")), Observed(), 2.0, 0).died


def test_the_engine_says_that_memory_ran_out() -> None:
    plain = {"Id": "1", "Name": "/x", "State": {"Status": "exited", "ExitCode": 137, "OOMKilled": True}}
    assert reading.container(plain, {}).oom
    assert not reading.container({**plain, "State": {"Status": "exited", "ExitCode": 137}}, {}).oom


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\0\xff",
        b"[" * 100_000,
        b"7",
        b'{"Action": "die"}',
        b'{"Action": "die", "Actor": null}',
        b'{"Action": "die", "Actor": {"ID": "1", "Attributes": {"exitCode": "much"}}}',
        b'{"Action": "die", "Actor": {"ID": "1", "Attributes": []}}',
    ],
)
def test_news_that_cannot_be_read_are_none(line: bytes) -> None:
    watching = Watching(Wire("/nowhere"), "device")
    watching._take(line)
    assert watching.ended.get("1", Ended()).code in (None, 0)


def test_how_a_container_ended_is_kept_until_it_goes() -> None:
    watching = Watching(Wire("/nowhere"), "device")
    said = '{"Action": "%s", "Actor": {"ID": "1", "Attributes": {"exitCode": "%s"}}}'
    for action, code, kept in (("oom", "", None), ("die", "137", Ended(137, oom=True)), ("die", "3", Ended(3))):
        watching._take((said % (action, code)).encode())
        assert watching.ended.get("1") == kept
    watching._take((said % ("destroy", "")).encode())
    assert not watching.ended


def test_a_status_without_crashes_has_the_digest_that_it_had_before_there_were_any() -> None:
    plain = Workload(service="web", image="sha256:1", state="running", restarts=2)
    status = Status(state=State.COMMITTED, workloads=(plain,))
    old = msgspec.to_builtins(status)
    for name in ("values", "held", "window"):
        del old[name]
    for name in ("crashes", "since", "exit", "oom"):
        del old["workloads"][0][name]
    assert exchange.digest(msgspec.convert(old, Status)) == exchange.digest(status)
    crashed = msgspec.structs.replace(plain, crashes=1, exit=0)
    assert exchange.digest(Status(state=State.COMMITTED, workloads=(crashed,))) != exchange.digest(status)


# ---- A whole device. ----


async def _committed(device: Device, script: str = "") -> asyncio.Task[None]:
    """Have a release committed, its agent running, and one service of it behave so from then on."""
    attempt = device.order(small.pair(1))
    task = asyncio.create_task(loop.run(device.parts))
    while not (device.ended(attempt) and device.quiet):
        await device.clock.advance(0.5)
    with device.ground.world(device.clock.monotonic()) as there:
        pump = next(each for each in there.boxes.values() if each.service == "pump")
        pump.script = script
    device.engine._news.set()
    return task


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def notes(device: Device, code: str = "service.") -> list[Event]:
    return [each for each in device.events if each.kind == "note" and each.code.startswith(code)]


def pump(device: Device) -> Workload:
    status = next(each.status for each in reversed(device.plane.reports) if each.status)
    return next(each for each in status.workloads if each.service == "pump")


@told
async def test_a_service_that_crashes_hours_after_its_commit_is_told_at_once_and_counted() -> None:
    device = Device(link=LinkClass.REMOTE)
    task = await _committed(device)
    await device.clock.advance(5 * 3_600)
    assert not notes(device)
    with device.ground.world(device.clock.monotonic()) as there:
        box_ = next(each for each in there.boxes.values() if each.service == "pump")
        box_.script = "exit=139;after=20s"
        box_.since = device.clock.monotonic()
    device.engine._news.set()
    while not notes(device):
        await device.clock.advance(0.5)
    first = notes(device)[0]
    assert first.code == "service.restarted"
    assert first.facts["service"] == "pump"
    await device.clock.advance(3_600)
    assert 4 <= len(notes(device)) <= 7
    assert pump(device).crashes > 60
    assert pump(device).exit == 139
    assert pump(device).since == first.facts["since"]
    assert device.position.state is State.COMMITTED
    await _end(task)


@told
async def test_who_is_stopped_by_hand_is_told_and_started_again_and_has_not_crashed() -> None:
    device = Device(link=LinkClass.REMOTE)
    task = await _committed(device)
    with device.ground.world(device.clock.monotonic()) as there:
        simulation.stop(next(each for each in there.boxes.values() if each.service == "pump"), there.now)
    device.engine._news.set()
    while not notes(device):
        await device.clock.advance(0.5)
    assert [each.code for each in notes(device)] == ["service.stopped"]
    await device.clock.advance(60)
    assert device.at_rest
    assert pump(device).crashes == 0
    await _end(task)


@told
async def test_a_switch_is_no_crash() -> None:
    device = Device()
    await device.deploy(small.pair(1))
    await device.deploy(small.exits(2))
    await device.deploy(small.pair(3))
    await device.settle()
    assert not notes(device)


@told
async def test_a_crash_that_cannot_be_written_is_told_once_there_is_room() -> None:
    device = Device()
    await device.deploy(small.pair(1))
    await device.settle()
    device.disk.fail()
    with device.ground.world(device.clock.monotonic()) as there:
        box_ = next(each for each in there.boxes.values() if each.service == "pump")
        box_.restarts += 2
    for _ in range(5):
        await device.clock.advance(await device.work.turn())
    device.disk.fail(on=False)
    await device.drive(lambda: bool(notes(device)))
    assert notes(device)[0].facts["restarts"] == 2


@pytest.mark.slow
@told
async def test_a_loop_of_crashes_for_a_day_fills_neither_the_journal_nor_the_line() -> None:
    device = Device(link=LinkClass.ASYNC)
    known, device.plane.interval = device.parts.identity, 900
    device.parts.identity = replace(known, current=replace(known.current, interval=900))
    task = await _committed(device, "exit=1;after=5s")
    with device.ground.world(device.clock.monotonic()) as there:
        box_ = next(each for each in there.boxes.values() if each.service == "pump")
        box_.since = device.clock.monotonic()
    device.engine._news.set()
    reports, size = len(device.plane.reports), device.disk.size("journal")
    written, syncs = device.disk.memory.written, device.disk.memory.syncs
    for _ in range(24):
        await device.clock.advance(3_600)
    print(
        f"{pump(device).crashes} crashes, {len(notes(device))} notes, {len(device.plane.reports) - reports} reports, "
        f"journal {device.disk.size('journal') - size} B, written {device.disk.memory.written - written} B "
        f"in {device.disk.memory.syncs - syncs} syncs"
    )
    assert pump(device).crashes > 1_000
    assert len(notes(device)) <= 32
    assert device.disk.size("journal") - size < 32_000
    assert len(device.plane.reports) - reports < 250
    await _end(task)
