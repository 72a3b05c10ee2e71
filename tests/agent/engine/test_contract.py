# SPDX-License-Identifier: Apache-2.0
"""What every engine does alike: the simulated one is held to a real Docker here."""

import asyncio
from dataclasses import replace

import msgspec
import pytest

from checkvalve.agent import steps
from checkvalve.agent.ports import Engine
from checkvalve.agent.steps import Container, Observed
from checkvalve.errors import CheckvalveError
from checkvalve.protocol.workload import Check, ExecProbe, HttpProbe, Port, TcpProbe
from tests.agent.engine import images
from tests.agent.engine.benches import Bench, all_of, made, made_of, new_attempt, new_device, seen, slot, until


async def code_of(engine: Engine, step: steps.Step) -> str:
    with pytest.raises(CheckvalveError) as raised:
        await engine.do(step)
    return raised.value.code


def plain(found: Observed) -> list[tuple[str, str, str]]:
    return [(each.service, each.state, each.policy) for each in found.containers]


def test_what_was_made_is_seen(bench: Bench) -> None:
    device, release = new_device(), images.pair(1)
    of = slot(device, release)
    engine = bench.engine(device, release.blobs)

    async def story() -> None:
        await made(engine, of)
        found = await engine.observe()
        assert plain(found) == [("web", "created", "no"), ("worker", "created", "no")]
        assert {(each.attempt, each.release, each.started) for each in found.containers} == {
            (of.attempt, release.digest, False)
        }
        assert {each.image for each in found.containers} == set(of.manifest.images)
        assert {each.name for each in found.containers} == {of.container("web"), of.container("worker")}
        assert set(of.manifest.images) <= found.images
        assert found.networks == {of.network("default")}
        await engine.do(steps.Start(of.container("web")))
        await engine.do(steps.Policy(of.container("web"), "unless-stopped"))
        web = await seen(engine, of.container("web"))
        assert (web.state, web.policy, web.started, web.restarts) == ("running", "unless-stopped", True, 0)
        await engine.close()

    bench.run(story)


def test_every_step_may_be_taken_twice(bench: Bench) -> None:
    device, release = new_device(), images.data(1)
    of = slot(device, release)
    engine = bench.engine(device, release.blobs)
    web, [image] = of.container("web"), list(of.manifest.images)
    done: list[steps.Step] = [
        *made_of(of),
        steps.Start(web),
        steps.Policy(web, "always"),
        steps.Stop(web, 1_000),
        steps.CopyVolume(of.volumes["data"], f"{device}-copy", image),
        steps.Remove(web),
        steps.DropNetwork(of.network("default")),
        steps.DropImage(image),
    ]

    async def story() -> None:
        for step in done:
            await engine.do(step)
            first = await engine.observe()
            await engine.do(step)
            assert await engine.observe() == first
        assert first.containers == ()
        assert first.networks == frozenset()
        assert first.volumes == {of.volumes["data"], f"{device}-copy"}
        await engine.close()

    bench.run(story)


@pytest.mark.slow
@pytest.mark.timeout(300)  # each step waits until the engine has let go of the one before, and of a copy for the disk
@pytest.mark.parametrize("after", [0.0, 0.001, 0.005, 0.02, 0.1])
def test_a_step_that_was_cut_short_is_taken_again_to_the_same_end(bench: Bench, after: float) -> None:
    device, release = new_device(), images.data(int(after * 1000) + 10)
    of = slot(device, release)
    engine = bench.engine(device, release.blobs)
    web, [image] = of.container("web"), list(of.manifest.images)

    async def cut(step: steps.Step) -> None:
        task = asyncio.create_task(engine.do(step))
        await asyncio.sleep(after)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await engine.do(step)

    async def story() -> None:
        for step in made_of(of):
            await cut(step)
        found = await engine.observe()
        assert plain(found) == [("web", "created", "no")]
        assert image in found.images
        assert found.volumes == set(of.volumes.values())
        await cut(steps.Start(web))
        assert (await seen(engine, web)).state == "running"
        await cut(steps.Policy(web, "unless-stopped"))
        await cut(steps.Stop(web, 1_000))
        assert (await seen(engine, web)).state == "exited"
        await cut(steps.CopyVolume(of.volumes["data"], f"{device}-copy", image))
        await cut(steps.Remove(web))
        await cut(steps.DropNetwork(of.network("default")))
        found = await engine.observe()
        assert (found.containers, found.networks) == ((), frozenset())
        assert found.volumes == {of.volumes["data"], f"{device}-copy"}
        await engine.close()

    bench.run(story)
    assert bench.files(f"{device}-copy", image) == {"number": str(of.manifest.version)}


def test_two_devices_on_one_engine_do_not_see_each_other(bench: Bench) -> None:
    ours, theirs, release = new_device(), new_device(), images.data(1)
    one, other = slot(ours, release), slot(theirs, release)

    async def story() -> None:
        engine, neighbour = bench.engine(ours, release.blobs), bench.engine(theirs, release.blobs)
        await made(engine, one)
        found = await neighbour.observe()
        assert (found.containers, found.networks, found.volumes) == ((), frozenset(), frozenset())
        await made(neighbour, other, start=True)
        for step in (steps.Stop(other.container("web"), 0), steps.Remove(other.container("web"))):
            assert await code_of(engine, step) == "engine.foreign"
        assert (await seen(neighbour, other.container("web"))).state == "running"
        assert [each.name for each in (await engine.observe()).containers] == [one.container("web")]
        await engine.do(steps.Remove(one.container("web")))
        await engine.do(steps.DropImage(next(iter(one.manifest.images))))
        assert set(other.manifest.images) <= (await neighbour.observe()).images
        await neighbour.do(steps.Remove(other.container("web")))
        await engine.close()
        await neighbour.close()

    bench.run(story)


def test_what_is_not_ours_is_never_touched(bench: Bench) -> None:
    device, release = new_device(), images.pair(1)
    of = slot(device, release)
    engine = bench.engine(device, release.blobs)
    web, [image] = of.container("web"), list(of.manifest.images)

    async def load() -> None:
        await all_of(engine, *(step for step in made_of(of) if not isinstance(step, steps.Create)))
        await engine.close()

    async def story() -> None:
        for step in (
            steps.Create(of, "web"),
            steps.Policy(web, "always"),
            steps.Stop(web, 0),
            steps.Start(web),
            steps.Remove(web),
            steps.MakeNetwork(web, internal=False),
            steps.DropNetwork(web),
            steps.MakeVolume(web),
        ):
            assert await code_of(engine, step) == "engine.foreign"
        found = await engine.observe()
        assert web not in {each.name for each in found.containers} | found.networks | found.volumes
        await engine.close()

    bench.run(load)
    bench.foreign(web, image)
    bench.run(story)
    assert bench.foreign_runs(web)


@pytest.mark.parametrize("index", [0, 1, 2])
@pytest.mark.parametrize("packing", ["gzip", ""])
def test_blobs_with_wrong_bytes_are_refused_and_nothing_is_held(bench: Bench, index: int, packing: str) -> None:
    """The config, a layer that other images have too, and one of its own."""
    built = images.image(1_000 + index, packing)
    digest = [built.image.config, *(layer.digest for layer in built.image.layers)][index]
    right = built.blobs[digest]
    wrong = {"other": b"{}", "turned": bytes([right[0] ^ 1]) + right[1:], "longer": right + b"more", "gone": b""}

    async def load(data: bytes, *, there: bool) -> str:
        blobs = {key: value for key, value in (built.blobs | {digest: data}).items() if there or key != digest}
        engine = bench.engine(new_device(), blobs)
        try:
            await engine.do(steps.Load(built.image))
        except CheckvalveError as error:
            assert built.image.config not in (await engine.observe()).images
            return error.code
        else:
            await engine.do(steps.DropImage(built.image.config))
            return ""
        finally:
            await engine.close()

    async def story() -> None:
        codes = [await load(data, there=True) for data in wrong.values()]
        missing = await load(b"", there=False)
        # A real engine that has the shared layer is not given it, and holds the right one.
        held = bench.real and index == 1 and not codes[0]
        assert codes == ["" if held else "engine.load"] * len(wrong)
        assert missing == ("" if held else "blob.missing")

    bench.run(story)


@pytest.mark.parametrize("packing", ["gzip", ""])
def test_an_image_is_loaded_however_its_layers_are_packed(bench: Bench, packing: str) -> None:
    built = images.image(1_100 + len(packing), packing)

    async def story() -> None:
        engine = bench.engine(new_device(), built.blobs)
        await engine.do(steps.Load(built.image))
        assert built.image.config in (await engine.observe()).images
        await engine.close()

    bench.run(story)


def test_a_stopped_container_that_restarts_always_runs_again_after_the_daemon_restarts(bench: Bench) -> None:
    """Why a policy is set to `no` before the stop: else both versions run after a restart of the daemon."""
    device, release = new_device(), images.pair(1)
    of = slot(device, release)
    policies = {"kept": "always", "taken": "no", "stopped": "unless-stopped", "on": "unless-stopped"}
    slots = {name: slot(device, release) for name in policies}
    volume = f"{device}-before"
    del of

    async def before() -> None:
        engine = bench.engine(device, release.blobs)
        for name, each in slots.items():
            await made(engine, each, start=True)
            await engine.do(steps.Policy(each.container("web"), "always" if name == "taken" else policies[name]))
            if name == "taken":
                await engine.do(steps.Policy(each.container("web"), "no"))
            if name != "on":
                await engine.do(steps.Stop(each.container("web"), 1_000))
        await engine.do(steps.MakeVolume(volume))
        await engine.close()

    async def after() -> None:
        engine = bench.engine(device, release.blobs)
        await engine.do(steps.MakeVolume(volume))  # Docker does not say any more whose it is, unless it is asked for it
        found = await until(engine, lambda seen: sum(each.state == "running" for each in seen.containers) >= 2)
        by_name = {each.name: each.state for each in found.containers}
        assert {name: by_name[each.container("web")] for name, each in slots.items()} == {
            "kept": "running",
            "taken": "exited",
            "stopped": "exited",
            "on": "running",
        }
        assert {by_name[each.container("worker")] for each in slots.values()} == {"exited"}
        for each in found.containers:
            await engine.do(steps.Remove(each.name))
        await engine.close()

    bench.run(before)
    bench.restart(power=False)
    bench.run(after)


def test_logs_are_the_last_lines_within_the_bound(bench: Bench) -> None:
    device, built = new_device(), images.image(1)
    service = images.service(built, "log=last words;exit=3", command=("sh", "-c", "echo last words; exit 3"))
    release = images.release(built, {"web": service})
    of = slot(device, release)

    async def story() -> None:
        engine = bench.engine(device, release.blobs)
        await made(engine, of, start=True)
        found = await until(engine, lambda seen: seen.containers[0].state == "exited")
        assert found.containers[0].exit_code == 3
        assert await engine.logs(of.container("web"), 10, 1_000) == "last words\n"
        assert await engine.logs(of.container("web"), 10, 7) == " words\n"
        assert await engine.logs(of.container("web"), 0, 1_000) == ""
        assert await engine.logs("nobody", 10, 1_000) == ""
        assert await engine.logs(of.container("web"), 10, 1_000, 3_600) == "last words\n"
        followed = "".join([piece async for piece in engine.follow(of.container("web"), 10)])
        assert followed == "last words\n"  # and it ends, for the container has
        assert [piece async for piece in engine.follow("nobody", 10) if piece] == []
        inspected = await engine.inspect(of.container("web"))
        assert inspected["Name"].lstrip("/") == of.container("web")
        assert await engine.inspect("nobody") == {}
        await engine.close()

    bench.run(story)


def test_probes_pass_or_say_why_not(bench: Bench) -> None:
    device, built = new_device(), images.image(1)
    play = f"listen={images.PORT};exec=0"
    release = images.release(built, {"web": images.service(built, play)})
    of = slot(device, release)
    web = of.container("web")

    async def story() -> None:
        engine = bench.engine(device, release.blobs)
        await made(engine, of)
        assert await engine.probe(web, TcpProbe(port=images.PORT)) == "It is not running."
        await engine.do(steps.Start(web))
        async with asyncio.timeout(10):
            while await engine.probe(web, TcpProbe(port=images.PORT)):  # noqa: ASYNC110 -- the container listens soon
                await asyncio.sleep(0.05)
        assert await engine.probe(web, HttpProbe(port=images.PORT)) == ""
        assert await engine.probe(web, ExecProbe(command=("true",))) == ""
        assert "answered with 200, not 418" in await engine.probe(web, HttpProbe(port=images.PORT, status=418))
        assert await engine.probe(web, HttpProbe(port=81)) != ""
        assert "Port 81 took no connection" in await engine.probe(web, TcpProbe(port=81))
        assert await engine.probe(f"{device}-nobody", TcpProbe(port=81)) == "There is no such container."
        await engine.do(steps.Remove(web))
        await engine.close()

    bench.run(story)


def test_a_container_in_a_crash_loop_is_counted_and_can_be_stopped(bench: Bench) -> None:
    device, release = new_device(), images.loops(1, seconds=0)
    of = slot(device, release)
    worker = of.container("worker")

    def looping(found: Observed) -> bool:
        return any(each.service == "worker" and each.restarts >= 2 for each in found.containers)

    async def story() -> None:
        engine = bench.engine(device, release.blobs)
        await made(engine, of)
        await engine.do(steps.Policy(worker, "always"))
        await engine.do(steps.Start(worker))
        await until(engine, looping)
        await engine.do(steps.Policy(worker, "no"))
        await engine.do(steps.Stop(worker, 1_000))
        stopped = await seen(engine, worker)
        assert (stopped.state, stopped.exit_code) == ("exited", 1)
        await asyncio.sleep(0.3)
        assert await seen(engine, worker) == stopped
        await engine.close()

    bench.run(story)


def test_health_is_what_the_engine_says(bench: Bench) -> None:
    device, sick = new_device(), images.unhealthy(1)
    built = images.image(1)
    well = replace_check(images.unhealthy(1), "true")
    first, second = slot(device, sick), slot(device, well)

    async def story() -> None:
        engine = bench.engine(device, {**sick.blobs, **built.blobs})
        await made(engine, first, start=True)
        assert (await seen(engine, first.container("web"))).health == "starting"
        await until(engine, lambda found: found.containers[0].health == "unhealthy")
        await engine.do(steps.Remove(first.container("web")))
        await made(engine, second, start=True)
        await until(engine, lambda found: found.containers[0].health == "healthy")
        await engine.do(steps.Remove(second.container("web")))
        await engine.close()

    bench.run(story)


def replace_check(made: images.Made, command: str) -> images.Made:
    manifest = made.read
    check = Check(test=("CMD", command), interval_ms=200, timeout_ms=1_000)
    service = msgspec.structs.replace(manifest.services["web"], check=check, environment={})
    return images.release(images.image(1), {"web": service})


def test_a_copy_of_a_volume_is_whole_or_not_there(bench: Bench) -> None:
    device, release = new_device(), images.data(1)
    old = slot(device, release)
    new = slot(device, release, copies={"data": old.volumes["data"]})
    source, target, [image] = old.volumes["data"], new.volumes["data"], list(old.manifest.images)

    async def before() -> None:
        engine = bench.engine(device, release.blobs)
        await made(engine, old)
        await made(engine, new)
        assert (await engine.observe()).volumes == {source}  # its container is there, the copy is not
        await engine.close()

    async def copied() -> None:
        engine = bench.engine(device, release.blobs)
        await engine.do(steps.CopyVolume(source, target, image))
        assert (await engine.observe()).volumes == {source, target}
        await engine.do(steps.Start(new.container("web")))
        await until(engine, lambda found: any(each.state == "running" for each in found.containers))
        await engine.do(steps.Remove(new.container("web")))
        await engine.do(steps.CopyVolume(source, target, image))  # whole already: what was written since stays
        await engine.close()

    bench.run(before)
    bench.put(source, image, {"recipe": "7"})
    bench.run(copied)
    assert bench.files(source, image) == {"recipe": "7"}
    assert bench.files(target, image)["recipe"] == "7"


def test_a_container_with_another_content_is_made_anew(bench: Bench) -> None:
    device, first, second = new_device(), images.good(1), images.good(2)
    attempt = new_attempt()
    one, other = slot(device, first, attempt=attempt), slot(device, second, attempt=attempt)

    async def story() -> None:
        engine = bench.engine(device, {**first.blobs, **second.blobs})
        await made(engine, one)
        before = await seen(engine, one.container("web"))
        await made(engine, one)
        assert await seen(engine, one.container("web")) == before
        await made(engine, other)
        after = await seen(engine, one.container("web"))
        assert (after.image, after.id != before.id) == (*other.manifest.images, True)
        await engine.close()

    bench.run(story)


def test_a_container_that_runs_for_another_attempt_is_not_replaced(bench: Bench) -> None:
    device, release = new_device(), images.good(1)
    one = slot(device, release, attempt=new_attempt("samename"))
    other = replace(one, attempt="0" * 18 + "samename")

    async def story() -> None:
        engine = bench.engine(device, release.blobs)
        await made(engine, one, start=True)
        assert await code_of(engine, steps.Create(other, "web")) == "engine.refused"
        assert (await seen(engine, one.container("web"))).state == "running"
        await engine.do(steps.Stop(one.container("web"), 0))
        await engine.do(steps.Create(other, "web"))
        assert (await seen(engine, one.container("web"))).attempt == other.attempt
        await engine.close()

    bench.run(story)


def test_what_cannot_be_started_is_refused_in_the_engines_words(bench: Bench) -> None:
    device, built = new_device(), images.image(1)
    taken = {"ports": (Port(target=images.PORT, published=18_080),)}
    services = {name: images.web(built, **taken) for name in ("one", "two")}
    release = images.release(built, services)
    of = slot(device, release)

    async def story() -> None:
        engine = bench.engine(device, release.blobs)
        await made(engine, of)
        await engine.do(steps.Start(of.container("one")))
        with pytest.raises(CheckvalveError, match="already allocated") as raised:
            await engine.do(steps.Start(of.container("two")))
        assert raised.value.code == "engine.refused"
        assert not (await seen(engine, of.container("two"))).started
        assert await code_of(engine, steps.Start(f"{device}-nobody")) == "engine.refused"
        assert await code_of(engine, steps.Policy(f"{device}-nobody", "no")) == "engine.refused"
        assert await code_of(engine, steps.DropNetwork(of.network("default"))) == "engine.refused"
        for name in services:
            await engine.do(steps.Remove(of.container(name)))
        await engine.close()

    bench.run(story)


def test_an_image_is_dropped_once_nothing_uses_it(bench: Bench) -> None:
    device, release = new_device(), images.good(777)
    of = slot(device, release)
    [image] = of.manifest.images

    async def story() -> None:
        engine = bench.engine(device, release.blobs)
        await made(engine, of)
        await engine.do(steps.DropImage(image))
        assert image in (await engine.observe()).images
        await engine.do(steps.Remove(of.container("web")))
        await engine.do(steps.DropImage(image))
        assert image not in (await engine.observe()).images
        assert await code_of(engine, steps.Create(of, "web")) == "engine.refused"
        await engine.close()

    bench.run(story)


def test_a_change_is_heard_of(bench: Bench) -> None:
    device, release = new_device(), images.good(1)
    of = slot(device, release)

    async def story() -> None:
        engine = bench.engine(device, release.blobs)
        await made(engine, of)
        async with asyncio.timeout(20):
            await engine.changed()  # it begins to listen
            heard = asyncio.create_task(engine.changed())
            await asyncio.sleep(0)
            await engine.do(steps.Start(of.container("web")))
            await heard
            await engine.do(steps.Remove(of.container("web")))
            await engine.changed()  # what happened while nobody waited is not lost
        await engine.close()

    bench.run(story)


def test_it_says_what_it_is(bench: Bench) -> None:
    async def story() -> None:
        engine = bench.engine(new_device(), {})
        about = await engine.about()
        assert about.kind in ("docker", "simulated")
        assert about.words.startswith(about.kind)
        await engine.close()

    bench.run(story)


def test_containers_that_others_remove_meanwhile_do_no_harm(bench: Bench) -> None:
    device, release = new_device(), images.pair(1)
    of = slot(device, release)

    async def story() -> None:
        engine, other = bench.engine(device, release.blobs), bench.engine(device, release.blobs)
        await made(engine, of, start=True)
        await engine.observe()
        for name in ("web", "worker"):
            await other.do(steps.Remove(of.container(name)))
        await engine.do(steps.Stop(of.container("web"), 0))
        await engine.do(steps.Remove(of.container("worker")))
        assert await code_of(engine, steps.Start(of.container("web"))) == "engine.refused"
        await engine.do(steps.Create(of, "web"))
        found: tuple[Container, ...] = (await engine.observe()).containers
        assert [(each.service, each.state) for each in found] == [("web", "created")]
        await engine.close()
        await other.close()

    bench.run(story)
