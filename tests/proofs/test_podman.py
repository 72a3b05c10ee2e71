# SPDX-License-Identifier: Apache-2.0
"""What the agent does on Docker it does on Podman; and where Podman is another thing, how it ends.

Nothing installs Podman: `apt-get install --no-install-recommends podman crun netavark aardvark-dns iptables`.
"""

import asyncio
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from checkvalve.agent import steps
from checkvalve.protocol.exchange import State
from tests.agent import test_real
from tests.agent.engine import images, test_contract, test_docker
from tests.agent.engine import test_podman as of_hosts
from tests.agent.engine.benches import RealBench, made, made_of, new_device, seen, slot
from tests.agent.living import Living
from tests.parts import podman
from tests.parts.podman import Podman

pytestmark = [pytest.mark.slow, pytest.mark.real_parts]

# Not among these: health (systemd keeps its times, and there is none here), copies of volumes, and policies that the
# engine itself acts upon.
ALIKE: tuple[Callable[[RealBench], None], ...] = (
    test_contract.test_what_was_made_is_seen,
    test_contract.test_two_devices_on_one_engine_do_not_see_each_other,
    test_contract.test_what_is_not_ours_is_never_touched,
    *(
        partial(test_contract.test_blobs_with_wrong_bytes_are_refused_and_nothing_is_held, packing=packing, index=index)
        for packing in ("gzip", "")
        for index in range(3)
    ),
    partial(test_contract.test_an_image_is_loaded_however_its_layers_are_packed, packing="gzip"),
    partial(test_contract.test_an_image_is_loaded_however_its_layers_are_packed, packing=""),
    test_contract.test_logs_are_the_last_lines_within_the_bound,
    test_contract.test_probes_pass_or_say_why_not,
    test_contract.test_a_container_with_another_content_is_made_anew,
    test_contract.test_a_container_that_runs_for_another_attempt_is_not_replaced,
    test_contract.test_an_image_is_dropped_once_nothing_uses_it,
    test_contract.test_a_change_is_heard_of,
    test_contract.test_containers_that_others_remove_meanwhile_do_no_harm,
    test_docker.test_services_reach_each_other_by_name,
    test_docker.test_layers_that_the_engine_holds_are_not_read_again,
    test_docker.test_a_paused_container_can_be_stopped_and_started,
)


@pytest.fixture(scope="module")
def engine() -> Iterator[Podman]:
    """Lend a Podman in namespaces of its own."""
    with tempfile.TemporaryDirectory(prefix="checkvalve-podman-") as directory, podman.running(Path(directory)) as lent:
        yield lent


@pytest.fixture
def bench(engine: Podman) -> RealBench:
    """Lend it as the tests of engines want it."""
    return RealBench(engine)


@pytest.mark.parametrize("alike", ALIKE, ids=lambda each: str(getattr(each, "func", each).__name__)[5:])
def test_podman_is_to_the_agent_what_docker_is(bench: RealBench, alike: Callable[[RealBench], None]) -> None:
    alike(bench)


@pytest.mark.parametrize("alike", of_hosts.ALIKE, ids=lambda each: str(each.__name__))
def test_what_a_service_has_of_its_host_it_has_on_podman_too(
    bench: RealBench, alike: Callable[[RealBench], None]
) -> None:
    alike(bench)


@pytest.mark.parametrize("after", [0.0, 0.001, 0.005, 0.02, 0.1])
def test_a_step_that_was_cut_short_on_podman_is_taken_again_to_the_same_end(bench: RealBench, after: float) -> None:
    device, release = new_device(), images.data(int(after * 1000) + 10)
    of = slot(device, release)
    web, ended = of.container("web"), (steps.Remove(of.container("web")), steps.DropNetwork(of.network("default")))

    async def story() -> None:
        engine = bench.engine(device, release.blobs)

        async def cut(step: steps.Step) -> None:
            task = asyncio.create_task(engine.do(step))
            await asyncio.sleep(after)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await engine.do(step)

        for step in (*made_of(of), steps.Start(web), steps.Policy(web, "always")):
            await cut(step)
        found = await seen(engine, web)
        assert (found.state, found.policy) == ("running", "always")
        await cut(steps.Stop(web, 1_000))
        assert (await seen(engine, web)).state == "exited"
        for step in ended:
            await cut(step)
        left = await engine.observe()
        assert not left.containers
        assert not left.networks
        assert left.volumes == set(of.volumes.values())
        await engine.close()

    bench.run(story)


def test_a_service_without_an_entrypoint_runs_its_command_alone_on_podman(bench: RealBench) -> None:
    device, built = new_device(), images.image(41, entrypoint=("/bin/false",))
    release = images.release(built, {"job": images.service(built, command=("true",), entrypoint=())})
    of = slot(device, release)

    async def story() -> None:
        engine = bench.engine(device, release.blobs)
        await made(engine, of, start=True)
        async with asyncio.timeout(20):
            while (found := await seen(engine, of.container("job"))).state != "exited":  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert found.exit_code == 0
        await engine.close()

    bench.run(story)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "story",
    [
        test_real.test_a_patch_and_a_bad_patch_on_a_real_engine,
        test_real.test_an_agent_killed_after_some_record_comes_back_to_old_or_new,
        test_real.test_both_versions_running_after_the_daemon_restarts,
    ],
    ids=lambda each: str(each.__name__)[5:],
)
def test_a_whole_agent_on_podman_ends_in_old_or_new(
    engine: Podman, tmp_path: Path, story: Callable[[Podman, Path], None]
) -> None:
    story(engine, tmp_path)


def test_a_service_that_ends_on_podman_is_started_again_by_the_agent(engine: Podman, tmp_path: Path) -> None:
    async def story(device: Living) -> None:
        await device.begin()
        assert await device.deploy(images.pair(1)) is State.COMMITTED
        for _ in range(2):
            engine.run("kill", *engine.run("ps", "-q", "--filter", f"label={steps.SERVICE}=worker").split())
            await device.until(lambda: test_real._running(engine, device) == test_real._all_of(images.pair(1)))
        await device.end()
        engine.run("kill", *engine.run("ps", "-q").split())
        await device.begin()
        await device.until(lambda: test_real._running(engine, device) == test_real._all_of(images.pair(1)))

    test_real._run(engine, tmp_path, story)


def test_a_release_that_needs_a_copy_is_refused_on_podman_while_the_old_one_runs_on(
    engine: Podman, tmp_path: Path
) -> None:
    async def story(device: Living) -> None:
        await device.begin()
        assert await device.deploy(images.data(1)) is State.COMMITTED
        ran = engine.run("ps", "-q", "--filter", f"label={steps.DEVICE}={device.device}")
        began = engine.run("inspect", "--format", "{{.State.StartedAt}}", ran)
        assert await device.deploy(images.data(2)) is State.ROLLED_BACK
        assert device.receipts[-1].code == "engine.refused"
        assert "Podman copies no volume" in device.receipts[-1].reason
        assert engine.run("inspect", "--format", "{{.State.StartedAt}}", ran) == began
        assert test_real._running(engine, device) == test_real._all_of(images.data(1))

    test_real._run(engine, tmp_path, story)
