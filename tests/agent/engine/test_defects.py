# SPDX-License-Identifier: Apache-2.0
"""What others of this kind get wrong, each by its name, on a real engine: none of it may happen to a device of ours.

The list is that of the design. Many of these are laws that other tests hold to on a simulated engine, at every step and
in every order; here each is tried once where it would hurt.
"""

import asyncio
import contextlib
import signal
import sys
from pathlib import Path

import pytest
from msgspec import structs

from checkvalve import clock
from checkvalve.agent import identity, steps
from checkvalve.agent.disk.calls import LOCK
from checkvalve.agent.engine.docker import Docker
from checkvalve.errors import InvalidError
from checkvalve.protocol import workload
from checkvalve.protocol.exchange import State
from tests.agent.engine import benches, images
from tests.agent.engine.driven import POOL, SOON, Driven, beside, driven, wanted
from tests.agent.engine.images import Made
from tests.parts import docker

pytestmark = [pytest.mark.slow, pytest.mark.real_parts]

TAG = "plant/app:latest"
CRASH = "while [ ! -e /tmp/crash ]; do sleep 0.1; done; rm -r /tmp/crash; exit 3".replace("$", "$$")


@beside
async def test_a_rollback_never_reruns_a_mutable_tag_and_so_never_keeps_the_bad_image(
    daemon: docker.Engine, tmp_path: Path
) -> None:
    async with driven(daemon, tmp_path) as device:
        good, bad = tagged(images.pair(1)), tagged(images.exits(2))
        assert await device.deploy(good) is State.COMMITTED
        attempt = device.order(bad)
        await device.drive(lambda: device.position.state is State.VERIFYING)
        daemon.run("tag", bad.read.services["web"].image, TAG)  # the name means the bad image from now on
        daemon.run("rm", "-f", *device.names(good).values())  # and last known good has to be made anew
        await device.drive(lambda: device.ended(attempt))
        assert device.position.state is State.ROLLED_BACK
        await device.settled(good)
        for service, name in device.names(good).items():
            assert daemon.run("inspect", "-f", "{{.Image}}", name) == good.read.services[service].image
        assert daemon.run("exec", device.names(good)["web"], "cat", "/www/number") == "1"


@beside
async def test_one_crashed_service_or_a_three_second_crash_loop_is_never_a_success(
    daemon: docker.Engine, tmp_path: Path
) -> None:
    async with driven(daemon, tmp_path) as device:
        for bad in (images.exits(1), images.loops(2, seconds=3)):
            assert await device.deploy(bad) is State.ROLLED_BACK
            assert device.receipts[-1].code == "gate.exited"
            assert device.parts.slots.active is None
            await device.drive(lambda: device.there() == {})


@beside
async def test_a_oneshot_job_that_exits_0_is_never_counted_as_a_failure(daemon: docker.Engine, tmp_path: Path) -> None:
    async with driven(daemon, tmp_path) as device:
        good = images.oneshot(1)
        assert await device.deploy(good) is State.COMMITTED
        await device.settled(good)
        assert await device.deploy(images.oneshot(2, code=3)) is State.ROLLED_BACK
        await device.settled(good)
        looks = list[State]()
        await device.drive(lambda: len(looks) >= 5, each=lambda: looks.append(device.position.state))
        assert set(looks) == {State.ROLLED_BACK}
        assert device.parts.shared.trouble is None
        if "migrate" in device.names(good):
            assert daemon.run("logs", device.names(good)["migrate"]) == "migrated", "it ran once, not on the way back"


@beside
async def test_the_old_app_is_never_stopped_before_the_new_images_are_loaded(
    daemon: docker.Engine, tmp_path: Path
) -> None:
    async with driven(daemon, tmp_path) as device:
        old, new = images.pair(21), images.pair(22)
        assert await device.deploy(old) is State.COMMITTED
        await device.settled(old)
        since = clock.now().timestamp()
        before, names = device.lives(old), set(device.names(old).values())
        device.plane.knobs.cut = 100  # nothing of an image comes through
        attempt = device.order(new)
        await device.drive(lambda: device.position.state is State.FETCHING)
        turns = list[str]()
        await device.drive(lambda: len(turns) >= 5, each=lambda: turns.append(device.lives(old)))
        assert set(turns) == {before}
        device.plane.knobs.cut = None
        await device.drive(lambda: device.ended(attempt))
        assert device.position.state is State.COMMITTED
        happened = events(daemon, since)
        stopped = min(at for at, _, action, name in happened if action == "kill" and name in names)
        loaded = [at for at, kind, action, _ in happened if (kind, action) == ("image", "load")]
        made = [at for at, _, action, name in happened if action == "create" and name.startswith(f"{device.id}-")]
        assert loaded
        assert len(made) == 2
        assert max(loaded) < min(made)
        assert max(made) < stopped


@beside
async def test_a_start_that_fails_halfway_never_leaves_a_mix_of_old_and_new(
    daemon: docker.Engine, tmp_path: Path
) -> None:
    async with driven(daemon, tmp_path) as device:
        old, built = images.pair(1), images.image(2)
        broken = images.worker(built, after=("web",))
        broken = structs.replace(broken, command=("no-such-program",))
        new = images.release(built, {"web": images.web(built), "worker": broken}, number=2)
        assert await device.deploy(old) is State.COMMITTED
        seen = list[dict[str, tuple[str, ...]]]()
        assert await device.deploy(new, lambda: seen.append(device.running())) is State.ROLLED_BACK
        await device.settled(old)
        assert any(each.get("web") == (new.digest,) for each in seen), "the new one had begun"
        assert all(len(each) == 1 for one in seen for each in one.values()), "no service ever ran twice"
        assert all(len({release for each in one.values() for release in each}) <= 1 for one in seen), "nor beside old"


@beside
async def test_a_service_dropped_from_the_manifest_never_keeps_running(daemon: docker.Engine, tmp_path: Path) -> None:
    async with driven(daemon, tmp_path) as device:
        assert await device.deploy(always(1)) is State.COMMITTED
        assert set(device.running()) == {"web", "worker"}
        assert await device.deploy(images.good(2)) is State.COMMITTED
        assert device.running() == wanted(images.good(2)), "not for a moment after the commit"
        await device.settled(images.good(2))
        assert set(device.there()) == {"web"}


@beside
async def test_a_state_file_of_0_bytes_after_a_power_cut_never_stops_or_changes_what_runs(
    daemon: docker.Engine, tmp_path: Path
) -> None:
    async with driven(daemon, tmp_path) as device:
        assert await device.deploy(images.pair(1)) is State.COMMITTED
        assert await device.deploy(images.pair(2)) is State.COMMITTED
        await device.settled(images.pair(2))
        before = device.lives(images.pair(2))
        assert not [each for each in files(device) if each.stat().st_size == 0], "the agent itself leaves none"
        active = device.parts.slots.active
        assert active is not None
        others = [each for each in files(device) if active.attempt not in each.name]
        alone = [each for each in others if each.name in {"active", "journal"}]
        for paths in (*([each] for each in alone), [each for each in others if each not in alone]):
            await empty(device, *paths)
            assert device.lives(images.pair(2)) == before, paths
            assert device.running() == wanted(images.pair(2)), paths
        await device.end()
        path = device.directory / identity.FILE  # the one that nobody but a person can mend
        whole = path.read_bytes()
        path.write_bytes(b"")
        with pytest.raises(InvalidError, match=r"identity\.damaged"):
            device.begin()
        assert device.lives(images.pair(2)) == before
        path.write_bytes(whole)
        device.begin()
        assert await device.deploy(images.pair(3)) is State.COMMITTED
        await empty(device, device.directory / "slots" / f"{device.position.attempt}.manifest")
        await device.settled(images.pair(2))  # nobody knows any more what runs: last known good, whole, and no mix


@beside
async def test_a_state_file_of_0_bytes_in_the_only_slot_ends_nothing_that_runs(
    daemon: docker.Engine, tmp_path: Path
) -> None:
    async with driven(daemon, tmp_path) as device:
        assert await device.deploy(images.pair(1)) is State.COMMITTED
        await device.settled(images.pair(1))
        before = device.lives(images.pair(1))
        await empty(device, device.directory / "slots" / f"{device.position.attempt}.manifest")
        assert device.lives(images.pair(1)) == before
        trouble = device.parts.shared.trouble
        assert trouble is not None
        assert trouble.code == "slots.lost", "nobody knows any more what runs; that is told, and it goes on"
        assert await device.deploy(images.pair(2)) is State.COMMITTED
        await device.settled(images.pair(2))


@beside
async def test_last_good_is_never_saved_before_health_was_seen(daemon: docker.Engine, tmp_path: Path) -> None:
    async with driven(daemon, tmp_path) as device:
        pointer = device.directory / "active"
        seen = list[tuple[float, State, bool]]()
        look = lambda: seen.append((clock.monotonic(), device.position.state, pointer.exists()))  # noqa: E731
        assert await device.deploy(images.good(1), look) is State.COMMITTED
        watched = next(at for at, state, _ in seen if state is State.VERIFYING)
        there = next(at for at, _, exists in seen if exists)
        assert there - watched >= images.GATE.soak_ms / 1000, "while the first is watched there is no last known good"
        saved = pointer.read_bytes()
        attempt = device.order(images.unhealthy(2))
        await device.drive(lambda: device.position.state is State.VERIFYING)
        await device.end()  # whoever starts now must not take what was only started for what was good
        device.begin()
        said = set[bytes]()
        await device.drive(lambda: device.ended(attempt), each=lambda: said.add(pointer.read_bytes()))
        assert device.position.state is State.ROLLED_BACK
        assert said == {saved}
        await device.settled(images.good(1))


@beside
async def test_a_failed_first_deployment_never_removes_the_loader(daemon: docker.Engine, tmp_path: Path) -> None:
    async with driven(daemon, tmp_path) as device:
        bad, good = images.exits(31), images.good(32)
        image = next(iter(bad.read.images.values()))
        other = Docker(benches.new_device(), benches.opener(bad.blobs), socket=daemon.socket, pool=POOL)
        try:
            await other.do(steps.Load(image))
        finally:
            await other.close()
        loader = f"loader-{device.id}"
        with contextlib.ExitStack() as after:
            daemon.run("run", "-d", "--network", "none", "--name", loader, image.config, "sleep", "100000")
            after.callback(daemon.run, "rm", "-f", loader)
            before = daemon.run("inspect", "-f", "{{.Id}} {{.State.Running}} {{.State.StartedAt}}", loader)
            assert await device.deploy(bad) is State.ROLLED_BACK
            await device.drive(lambda: device.there() == {})
            assert device.parts.slots.active is None
            assert daemon.run("inspect", "-f", "{{.Id}} {{.State.Running}} {{.State.StartedAt}}", loader) == before
            assert await device.deploy(good) is State.COMMITTED, "and who loads releases goes on loading them"
            await device.settled(good)
            assert daemon.run("inspect", "-f", "{{.Id}} {{.State.Running}} {{.State.StartedAt}}", loader) == before


@beside
async def test_work_is_never_skipped_until_the_agent_restarts(daemon: docker.Engine, tmp_path: Path) -> None:
    async with driven(daemon, tmp_path) as device:
        assert await device.deploy(images.pair(1)) is State.COMMITTED
        restarted = asyncio.ensure_future(asyncio.to_thread(daemon.restart, how=signal.SIGKILL))
        assert await device.deploy(images.pair(2)) is State.COMMITTED, "the engine was away as the order came"
        await restarted
        assert await device.deploy(without_a_layer(3)) is State.REFUSED
        failed = device.order(images.exits(4))
        await device.drive(lambda: device.position.state is State.VERIFYING)
        last = device.order(images.pair(5))  # while another is being watched
        await device.drive(lambda: device.ended(last))
        assert device.position.ended[failed] is State.ROLLED_BACK
        assert device.position.state is State.COMMITTED
        daemon.run("rm", "-f", device.names(images.pair(5))["worker"])  # by somebody who did not know
        await device.drive(lambda: device.running() == wanted(images.pair(5)))
        assert [each.kind for each in device.events].count("boot") == 1


@beside
async def test_a_corrupt_journal_is_never_a_boot_loop(daemon: docker.Engine, tmp_path: Path) -> None:
    async with driven(daemon, tmp_path) as device:
        assert await device.deploy(images.pair(1)) is State.COMMITTED
        await device.settled(images.pair(1))
        before, path = device.lives(images.pair(1)), device.directory / "journal"
        await device.end()
        for spoiled in corrupted(path.read_bytes()):
            path.write_bytes(spoiled)
            device.begin()
            name = device.parts.journal.id
            await device.drive(lambda: any(key[1] == name for key in device.plane.kept.events) and device.rests)  # noqa: B023
            assert [each.code for each in device.events][-2:-1] == ["journal.lost"], spoiled[:80]
            assert device.lives(images.pair(1)) == before
            await device.end()
        path.write_bytes(b"\0" * 5_000)
        await outlives(device, path)
        device.begin()
        assert device.lives(images.pair(1)) == before
        assert await device.deploy(images.pair(2)) is State.COMMITTED


@beside
async def test_a_later_crash_is_never_left_unreported(daemon: docker.Engine, tmp_path: Path) -> None:
    async with driven(daemon, tmp_path) as device:
        built = images.image(41)
        services = {
            name: images.service(built, command=("sh", "-c", CRASH), restart=policy)
            for name, policy in (("again", "always"), ("once", "no"))
        }
        made = images.release(built, services)
        assert await device.deploy(made) is State.COMMITTED
        await device.settled(made)
        for service, code in (("again", "service.restarted"), ("once", "service.exited")):
            daemon.run("exec", device.names(made)[service], "mkdir", "/tmp/crash")
            await device.drive(lambda: any(each.code == code for each in device.events))  # noqa: B023
            (said,) = (each for each in device.events if each.code == code)
            assert said.facts["service"] == service
            assert service in said.reason
        assert said.facts["exit"] == 3
        (active,) = {each.active for each in device.plane.kept.statuses.values() if each.active}
        assert active == made.digest, "it is told, and is no reason to leave a release that people chose"


@beside
async def test_both_versions_never_run_after_the_daemon_restarts(daemon: docker.Engine, tmp_path: Path) -> None:
    async with driven(daemon, tmp_path) as device:
        old = always(1)
        assert await device.deploy(old) is State.COMMITTED
        for number, at in enumerate((State.SWITCHING, State.VERIFYING), 2):
            new = always(number)
            attempt = device.order(new)
            await device.drive(lambda: device.position.state is at and new.digest in releases(device))  # noqa: B023
            await device.end()
            daemon.restart(how=signal.SIGKILL)
            if at is State.VERIFYING:
                assert set(policies(daemon, device)) == {"no"}, "nothing for the engine to run by itself"
            assert all(len(each) == 1 for each in device.running().values())
            device.begin()
            await device.drive(
                lambda: device.ended(attempt),  # noqa: B023
                each=lambda: check(all(len(each) == 1 for each in device.running().values())),
            )
            assert device.position.state is State.ROLLED_BACK
            await device.settled(old)
        await device.end()
        daemon.restart(how=signal.SIGKILL)
        device.begin()
        await device.settled(old)


# ---- What they are made of. ----


def check(right: bool) -> None:  # noqa: FBT001
    assert right


def tagged(made: Made) -> Made:
    """Return the release with its images under a name that others have, too."""
    read = made.read
    named = {key: structs.replace(each, name=TAG) for key, each in read.images.items()}
    return Made(workload.write(structs.replace(read, images=named)), made.blobs)


def always(number: int) -> Made:
    """Return two services that an engine starts again whatever they ended of."""
    built = images.image(number)
    worker = images.worker(built, after=("web",), restart="always")
    return images.release(built, {"web": images.web(built, restart="always"), "worker": worker}, number=number)


def without_a_layer(number: int) -> Made:
    """Return a release one blob of which is not what it says, so that it can never be had."""
    made = images.pair(number)
    (image,) = made.read.images.values()
    return Made(made.manifest, {**made.blobs, image.layers[-1].digest: b"x" * image.layers[-1].size})


def events(daemon: docker.Engine, since: float) -> list[tuple[int, str, str, str]]:
    """Return what happened in the engine since then: nanoseconds, kind, action, name."""
    line = '{{.TimeNano}}\t{{.Type}}\t{{.Action}}\t{{index .Actor.Attributes "name"}}'
    until = f"{clock.now().timestamp():.6f}"
    said = daemon.run("events", "--since", f"{since:.6f}", "--until", until, "--format", line)
    found = [each.split("\t") for each in said.splitlines()]
    return [(int(at), kind, action, name) for at, kind, action, name in found]


def releases(device: Driven) -> set[str]:
    return {release for each in device.there().values() for release in each}


def policies(daemon: docker.Engine, device: Driven) -> list[str]:
    """Return the restart policies of all containers of a device."""
    found = daemon.run("ps", "-aq", "--filter", f"label={steps.DEVICE}={device.id}").split()
    return daemon.run("inspect", "-f", "{{.HostConfig.RestartPolicy.Name}}", *found).split()


async def empty(device: Driven, *paths: Path) -> None:
    """End the agent, empty files of its own, and start it again, until it has nothing to do."""
    await device.end()
    spoil(*paths)
    device.begin()
    booted = device.parts.journal.seq
    await device.drive(lambda: device.parts.journal.seq > booted and device.rests)


def spoil(*paths: Path) -> None:
    assert paths
    for path in paths:
        path.write_bytes(b"")


def files(device: Driven) -> list[Path]:
    """Return what the agent keeps, without what proves who it is, and without images."""
    kept = [each for each in sorted(device.directory.rglob("*")) if each.is_file()]
    never = {identity.FILE, "keys", "blobs", LOCK}
    return [each for each in kept if not never & set(each.relative_to(device.directory).parts)]


def corrupted(whole: bytes) -> list[bytes]:
    """Return a journal in some ways in which disks and people spoil one."""
    half = len(whole) // 2
    return [b"", whole[:half] + b"\0" * 600 + whole[half + 600 :], b"{}\n" * 40, whole[: half // 4] + whole[half:]]


async def outlives(device: Driven, path: Path) -> None:
    """Have a real agent, in a process of its own, start on a spoiled journal, and go on."""

    def written() -> bool:
        return b'"kind":"boot"' in path.read_bytes()

    words = ("run", "--data", str(device.directory), "--engine", "docker", "--socket", device.daemon.socket)
    with (device.directory.parent / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.agent.process", *words, "--pool", POOL, stdout=log, stderr=log
        )
    try:
        async with asyncio.timeout(SOON):
            while not written():
                assert process.returncode is None, (device.directory.parent / "log").read_text()
                await asyncio.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), SOON) == 0, (device.directory.parent / "log").read_text()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
