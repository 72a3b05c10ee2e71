# SPDX-License-Identifier: Apache-2.0
"""Where Podman answers otherwise than Docker: what Podman 4.3.1 said is played to the agent here, word for word.

Against a real Podman it is tried in `tests/proofs/test_podman.py`; a sample of what services have of their host, here.
"""

import asyncio
import json
import random
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from aiohttp import web

from checkvalve import clock
from checkvalve.agent import steps
from checkvalve.agent.engine import containers, host
from checkvalve.agent.engine.docker import Docker
from checkvalve.errors import CheckvalveError
from checkvalve.protocol.workload import Attachment, Network
from tests.agent.engine import hosts, images, test_host, test_networks
from tests.agent.engine.benches import RealBench, new_device, opener, slot
from tests.parts import podman

SEED = int.from_bytes(clock.entropy(4))

_VERSION = {
    "Components": [{"Name": "Podman Engine", "Version": "4.3.1"}, {"Name": "Conmon", "Version": "2.1.6"}],
    "Version": "4.3.1",
    "ApiVersion": "1.41",
    "MinAPIVersion": "1.24",
}
_TAKEN = {
    "cause": "that name is already in use",
    "message": 'container create: creating container storage: the container name "a" is already in use by 301ee0. '
    "You have to remove that container to be able to reuse that name: that name is already in use",
    "response": 500,
}
_HAD = {
    "cause": "volume already exists",
    "message": "adding volume to state: name d-data is in use: volume already exists",
    "response": 500,
}
_PAUSED = {
    "cause": "container state improper",
    "message": "container 692e81 is running or paused, refusing to clean up: container state improper",
    "response": 500,
}
_IDENTITY = "3" * 64


class Podman:
    """Has at most one container, and says what Podman says; `asked` is what changes something, `events` a query."""

    def __init__(self) -> None:
        self.container: dict[str, object] = {}
        self.volume: dict[str, object] = {}
        self.asked: list[str] = []
        self.events: list[str] = []
        self.status = "running"

    def made(self, name: str, labels: dict[str, str]) -> None:
        self.container = {"Id": _IDENTITY, "Name": f"/{name}", "Config": {"Labels": labels}}

    async def answer(self, request: web.Request) -> web.StreamResponse:
        path = request.path.removeprefix("/v1.41")
        if request.method != "GET":
            self.asked.append(f"{request.method} {path}".replace(_IDENTITY, "it"))
            return await self._changed(request, path)
        if path == "/events":
            self.events.append(request.query["filters"])
            answer = web.StreamResponse()
            await answer.prepare(request)
            return answer
        said = self._said(path)
        return web.json_response(said) if said is not None else web.json_response({"cause": "no such"}, status=404)

    def _said(self, path: str) -> object:
        if path == "/containers/json":
            labels = self.container["Config"]["Labels"] if self.container else {}  # type: ignore[index]
            return [{"Id": _IDENTITY, "Labels": labels}] if self.container else []
        if path.startswith("/containers/"):
            state = {"State": {"Status": self.status}, "HostConfig": {"RestartPolicy": {"Name": ""}}}
            return self.container | state if self.container else None
        if path.startswith("/volumes/"):
            return self.volume or None
        if path.startswith("/images/sha256:"):
            return {"Id": path.split("/")[2].removeprefix("sha256:")}
        known: dict[str, object] = {"/version": _VERSION, "/networks": [], "/volumes": {}, "/images/json": []}
        return known.get(path)

    async def _changed(self, request: web.Request, path: str) -> web.Response:
        if path == "/containers/create":
            if self.container:
                return web.json_response(_TAKEN, status=500)
            self.made(request.query["name"], (await request.json())["Labels"])
            return web.json_response({"Id": _IDENTITY, "Warnings": []}, status=201)
        if path == "/volumes/create":
            return web.json_response(_HAD, status=500)
        if path.endswith("/update"):
            return web.Response(text="Not Found\n", status=404)
        if path.endswith("/connect"):
            return web.Response(text="OK")
        if path.endswith("/stop") and self.status == "paused":
            return web.json_response(_PAUSED, status=500)
        self.status = "exited" if path.endswith("/stop") else "running"
        return web.Response(status=204)


Story = Callable[[Podman, Docker], Awaitable[None]]


def play(directory: Path, device: str, story: Story) -> None:
    """Run a story of an agent's engine that has this Podman before it."""

    async def whole() -> None:
        podman, socket = Podman(), directory / "podman.sock"
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", podman.answer)
        runner = web.AppRunner(application)
        await runner.setup()
        await web.UnixSite(runner, str(socket)).start()
        engine = Docker(device, opener({}), socket=f"unix://{socket}")
        try:
            await story(podman, engine)
        finally:
            await engine.close()
            await runner.cleanup()

    asyncio.run(whole())


def test_a_name_that_is_taken_is_looked_at_though_podman_answers_500(tmp_path: Path) -> None:
    device = new_device()
    of = slot(device, images.good(1))

    async def story(podman: Podman, engine: Docker) -> None:
        await engine.do(steps.Create(of, "web"))
        await engine.do(steps.Create(of, "web"))
        assert [each for each in podman.asked if "create" in each] == ["POST /containers/create"] * 2
        assert not [each for each in podman.asked if each.startswith("DELETE")]
        podman.made(of.container("web"), {})
        with pytest.raises(CheckvalveError) as raised:
            await engine.do(steps.Create(of, "web"))
        assert raised.value.code == "engine.foreign"

    play(tmp_path, device, story)


def test_a_policy_that_podman_cannot_change_is_remembered(tmp_path: Path) -> None:
    device = new_device()
    of = slot(device, images.good(1))

    async def story(podman: Podman, engine: Docker) -> None:
        await engine.do(steps.Create(of, "web"))
        assert [each.policy for each in (await engine.observe()).containers] == ["no"]
        await engine.do(steps.Policy(of.container("web"), "always"))
        assert [each.policy for each in (await engine.observe()).containers] == ["always"]
        podman.container = {}
        await engine.observe()
        with pytest.raises(CheckvalveError) as raised:
            await engine.do(steps.Policy(of.container("web"), "no"))
        assert raised.value.code == "engine.refused"

    play(tmp_path, device, story)


def test_a_container_is_put_on_its_second_network_though_podman_answers_no_json(tmp_path: Path) -> None:
    device, built = new_device(), images.image(1)
    on = (Attachment(network="front"), Attachment(network="back"))
    of = slot(
        device,
        images.release(
            built, {"web": images.service(built, networks=on)}, networks={"front": Network(), "back": Network()}
        ),
    )

    async def story(podman: Podman, engine: Docker) -> None:
        await engine.do(steps.Create(of, "web"))
        assert podman.asked[1:] == [f"POST /networks/{of.network('back')}/connect"]

    play(tmp_path, device, story)


def test_what_is_paused_is_let_go_on_before_it_is_stopped(tmp_path: Path) -> None:
    device = new_device()

    async def story(podman: Podman, engine: Docker) -> None:
        podman.made("web", {steps.DEVICE: device})
        podman.status = "paused"
        await engine.do(steps.Stop("web", 1_000))
        assert podman.asked == [f"POST /containers/it/{word}" for word in ("stop", "unpause", "stop")]
        assert podman.status == "exited"

    play(tmp_path, device, story)


def test_a_volume_that_another_ask_made_meanwhile_is_taken_as_it_is(tmp_path: Path) -> None:
    """Podman refuses one of two who ask at once: after a death in the middle of a step both of them are the agent."""
    device = new_device()

    async def story(podman: Podman, engine: Docker) -> None:
        foreign: dict[str, object] = {"Name": "d-data", "Labels": {}}
        for there, code in ((dict[str, object](), "engine.refused"), (foreign, "engine.foreign")):
            podman.volume = there
            with pytest.raises(CheckvalveError) as raised:
                await engine.do(steps.MakeVolume("d-data"))
            assert raised.value.code == code
        podman.volume = {"Name": "d-data", "Labels": {steps.DEVICE: device}}
        await engine.do(steps.MakeVolume("d-data"))
        assert podman.asked == ["POST /volumes/create"] * 3

    play(tmp_path, device, story)


def test_a_volume_that_is_to_be_a_copy_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    """Podman hands out all files as root's: a database would find its own data in the hands of another."""
    device, release = new_device(), images.data(1)
    of = slot(device, release, copies={"data": "source"})
    [target], [image] = of.volumes.values(), of.manifest.images

    async def story(podman: Podman, engine: Docker) -> None:
        for step in (steps.Create(of, "web"), steps.CopyVolume("source", target, image)):
            with pytest.raises(CheckvalveError, match="Podman copies no volume") as raised:
                await engine.do(step)
            assert raised.value.code == "engine.refused"
        assert podman.asked == []

    play(tmp_path, device, story)


def test_podman_is_asked_for_the_words_it_has_for_an_end(tmp_path: Path) -> None:
    async def story(podman: Podman, engine: Docker) -> None:
        await engine.changed()
        [filters] = [json.loads(each) for each in podman.events[:1]]
        assert {"die", "died", "destroy", "remove"} <= set(filters["event"])

    play(tmp_path, new_device(), story)


def test_logs_have_a_bound_in_podmans_own_format() -> None:
    of = slot(new_device(), images.good(1))
    assert containers.wanted(of, "web", podman=True).body["HostConfig"]["LogConfig"] == host.PODMAN_LOGS


# ---- On a real Podman, where there is one. ----


def what_a_service_has_of_its_host(real: RealBench) -> None:
    """Limits of processes are not among it: Podman sets others besides, which it may not everywhere."""
    folder = _folder(real)
    with hosts.ground(folder, str(folder)) as there:
        said, name = test_host.has_all_of_it(real, there, without=("ulimits",))
    assert said["id"].startswith("uid=1000 gid=1000 groups=20")
    real.docker.run("rm", "-f", name, name.replace("meter", "onhost"))


def what_is_not_there(real: RealBench) -> None:
    test_host.refuses_what_is_not_there(real, _folder(real))


def subnets(real: RealBench) -> None:
    test_networks.test_subnets_that_overlap_are_refused_and_shown_for_what_they_take(real)


def addresses_and_ports(real: RealBench) -> None:
    test_networks.test_one_address_and_one_port_are_taken_by_who_runs_and_not_by_who_is_there(real)


def networks_that_go(real: RealBench) -> None:
    test_networks.test_a_network_goes_unless_something_runs_on_it_and_who_was_on_it_is_seen_to_be_off(real)


def an_interface(real: RealBench) -> None:
    """Podman lets two networks have one; a switch that asks it for less still comes through."""
    test_networks.on_an_interface(real, alone=False)


def _folder(real: RealBench) -> Path:
    """Return a new folder that Podman sees, which has a memory of its own."""
    return Path(tempfile.mkdtemp(dir=real.docker.directory))


ALIKE: tuple[Callable[[RealBench], None], ...] = (
    what_a_service_has_of_its_host,
    what_is_not_there,
    subnets,
    addresses_and_ports,
    networks_that_go,
    an_interface,
)


@pytest.fixture(scope="module")
def real_podman() -> Iterator[RealBench]:
    """Lend a Podman in namespaces of its own."""
    with tempfile.TemporaryDirectory(prefix="checkvalve-podman-") as folder, podman.running(Path(folder)) as engine:
        yield RealBench(engine)


@pytest.mark.real_parts
@pytest.mark.slow
def test_what_a_service_has_of_its_host_it_has_on_podman_too(real_podman: RealBench) -> None:
    """Two of them, by a seed; all: tests/proofs/test_podman.py."""
    print(f"seed {SEED}")
    for each in random.Random(SEED).sample(ALIKE, 2):
        each(real_podman)
