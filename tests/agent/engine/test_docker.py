# SPDX-License-Identifier: Apache-2.0
"""What only a real engine can show: that all a manifest says arrives, and how Docker is held to our rules."""

import asyncio
import contextlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from checkvalve.agent import steps
from checkvalve.agent.engine import archive, copying
from checkvalve.agent.engine.docker import Docker
from checkvalve.agent.engine.wire import Wire
from checkvalve.agent.steps import Slot
from checkvalve.errors import CheckvalveError, InvalidError
from checkvalve.protocol.workload import Attachment, Check, ExecProbe, Mount, Network, Port, Service, TcpProbe, Volume
from tests.agent.engine import images
from tests.agent.engine.benches import RealBench, all_of, made, made_of, new_device, opener, seen, slot, until

pytestmark = [pytest.mark.real_parts, pytest.mark.slow]


def inspected(real: RealBench, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(real.docker.run("container", "inspect", name))[0]
    return found


def test_everything_a_manifest_says_reaches_the_container(real: RealBench) -> None:
    device, built = new_device(), images.image(1)
    service = Service(
        image=built.image.config,
        command=("-c", "sleep 100000"),
        entrypoint=("sh",),
        environment={"A": "1", "EMPTY": ""},
        labels={"plant": "north"},
        user="1000:1000",
        working_dir="/tmp",
        hostname="historian",
        init=True,
        read_only=True,
        no_new_privileges=True,
        cap_drop=("ALL",),
        tmpfs=("/run",),
        stop_signal="SIGKILL",
        stop_grace_ms=1_500,
        check=Check(test=("CMD", "true"), interval_ms=1_000, timeout_ms=2_000, retries=4, start_period_ms=0),
        mounts=(Mount(volume="data", target="/data"), Mount(volume="shared", target="/shared", read_only=True)),
        networks=(Attachment(network="front", aliases=("hist",)), Attachment(network="back")),
        ports=(
            Port(target=80, published=18_180, address="127.0.0.1"),
            Port(target=53, published=18_153, protocol="udp"),
        ),
    )
    release = images.release(
        built,
        {"web": service},
        volumes={"data": Volume(), "shared": Volume()},
        networks={"front": Network(), "back": Network(internal=True)},
    )
    of = slot(device, release)

    async def story() -> None:
        engine = real.engine(device, release.blobs)
        await made(engine, of, start=True)
        assert (await seen(engine, of.container("web"))).state == "running"
        reached = "wget -qO- http://hist:80 || [ $(id -u) = 1000 ] && [ ! -w /shared ] && touch /run/x && [ -n $A ]"
        assert await engine.probe(of.container("web"), ExecProbe(command=("sh", "-c", reached))) == ""
        await engine.close()

    real.run(story)
    said = inspected(real, of.container("web"))
    config, host = said["Config"], said["HostConfig"]
    assert (config["Entrypoint"], config["Cmd"]) == (["sh"], ["-c", "sleep 100000"])
    assert {"A=1", "EMPTY=", "PATH=/bin"} <= set(config["Env"])
    assert config["Labels"]["plant"] == "north"
    assert {config["Labels"][name] for name in (steps.DEVICE, steps.SERVICE, steps.ATTEMPT, steps.RELEASE)} == {
        device,
        "web",
        of.attempt,
        of.release,
    }
    assert (config["User"], config["WorkingDir"], config["Hostname"]) == ("1000:1000", "/tmp", "historian")
    assert (config["StopSignal"], config["StopTimeout"]) == ("SIGKILL", 2)
    assert config["Healthcheck"] == {
        "Test": ["CMD", "true"],
        "Interval": 1_000_000_000,
        "Timeout": 2_000_000_000,
        "StartPeriod": 1_000_000,
        "Retries": 4,
    }
    assert (host["Init"], host["ReadonlyRootfs"], host["CapDrop"]) == (True, True, ["ALL"])
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["Tmpfs"] == {"/run": ""}
    assert host["RestartPolicy"]["Name"] == "no"
    assert host["LogConfig"] == {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "3"}}
    assert host["PortBindings"] == {
        "80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "18180"}],
        "53/udp": [{"HostIp": "", "HostPort": "18153"}],
    }
    assert {(each["Name"], each["Destination"], each["RW"]) for each in said["Mounts"]} == {
        (of.volumes["data"], "/data", True),
        (of.volumes["shared"], "/shared", False),
    }
    attached = said["NetworkSettings"]["Networks"]
    assert set(attached) == {of.network("front"), of.network("back")}
    assert {"web", "hist"} <= set(attached[of.network("front")]["Aliases"])
    assert "web" in attached[of.network("back")]["Aliases"]
    assert all(each["IPAddress"].startswith("10.213.") for each in attached.values())
    real.docker.run("rm", "-f", of.container("web"))


@pytest.mark.parametrize(
    ("command", "entrypoint", "wanted"),
    [
        (None, None, (["/bin/echo"], ["own"])),
        (("said",), None, (["/bin/echo"], ["said"])),
        ((), None, (["/bin/echo"], None)),
        (("true",), (), (None, ["true"])),
        (None, ("true",), (["true"], None)),
    ],
)
def test_command_and_entrypoint_mean_what_compose_means(
    real: RealBench,
    command: tuple[str, ...] | None,
    entrypoint: tuple[str, ...] | None,
    wanted: tuple[list[str] | None, list[str] | None],
) -> None:
    device = new_device()
    own = (("www/own", b"1"),)
    built = images.image(1, files=own, entrypoint=("/bin/echo",), command=("own",))
    release = images.release(built, {"job": images.service(built, command=command, entrypoint=entrypoint)})
    of = slot(device, release)

    async def story() -> None:
        engine = real.engine(device, release.blobs)
        await made(engine, of, start=True)
        await engine.close()

    real.run(story)
    config = inspected(real, of.container("job"))["Config"]
    assert (config["Entrypoint"] or None, config["Cmd"] or None) == wanted


def test_services_reach_each_other_by_name(real: RealBench) -> None:
    device, release = new_device(), images.pair(3)
    of = slot(device, release)
    ask = ExecProbe(command=("sh", "-c", f"[ $(wget -qO- http://web:{images.PORT}/number) = 3 ]"))

    async def story() -> None:
        engine = real.engine(device, release.blobs)
        await made(engine, of, start=True)
        async with asyncio.timeout(10):
            while await engine.probe(of.container("worker"), ask):  # noqa: ASYNC110 -- the container listens soon
                await asyncio.sleep(0.05)
        wrong = await engine.probe(of.container("worker"), ExecProbe(command=("sh", "-c", "echo no recipe; exit 3")))
        assert wrong == "sh ended with 3: no recipe."
        slow = await engine.probe(of.container("worker"), ExecProbe(command=("sleep", "5"), timeout_ms=200))
        assert slow == "It did not answer within 0.2 s."
        nothing = await engine.probe(of.container("worker"), ExecProbe(command=("nothing",)))
        assert "nothing" in nothing
        await all_of(engine, *(steps.Remove(of.container(name)) for name in of.manifest.services))
        await engine.close()

    real.run(story)


def test_layers_that_the_engine_holds_are_not_read_again(real: RealBench) -> None:
    first, second = images.image(31), images.image(32)
    shared = first.image.layers[0].digest
    assert shared == second.image.layers[0].digest
    rest = {digest: data for digest, data in second.blobs.items() if digest != shared}

    async def story() -> None:
        engine = real.engine(new_device(), {**first.blobs, **rest})
        await engine.do(steps.Load(first.image))
        await engine.close()
        engine = real.engine(new_device(), rest)
        await engine.do(steps.Load(second.image))
        assert second.image.config in (await engine.observe()).images
        await engine.close()

    real.run(story)


def test_a_layer_packed_with_zstd_is_refused_with_what_to_do_about_it(real: RealBench) -> None:
    built = images.image(33, "zstd")

    async def story() -> None:
        engine = real.engine(new_device(), built.blobs)
        if (await engine.about()).words.split()[1] >= "23":
            pytest.skip("this engine unpacks zstd")
        with pytest.raises(InvalidError, match="packed with zstd") as raised:
            await engine.do(steps.Load(built.image))
        assert (raised.value.code, "gzip" in raised.value.remedy) == ("engine.load", True)
        assert built.image.config not in (await engine.observe()).images
        await engine.close()

    real.run(story)


def test_an_archive_of_blobs_is_what_docker_itself_loads(real: RealBench) -> None:
    built = images.image(34)
    path = real.docker.directory / "archive.tar"
    path.write_bytes(b"".join(archive.pieces(built.image, "checkvalve/x:1", opener(built.blobs))))
    real.docker.run("load", "-i", str(path))
    assert real.docker.image_id("checkvalve/x:1") == built.image.config


def test_an_engine_that_is_away_is_unreachable_and_then_there_again(real: RealBench) -> None:
    device, release = new_device(), images.good(4)
    of = slot(device, release)

    async def code(engine: Docker) -> str:
        try:
            await engine.observe()
        except CheckvalveError as error:
            return error.code
        return ""

    async def story() -> None:
        nobody = Docker(device, opener({}), socket="unix:///nowhere.sock")
        assert await code(nobody) == "engine.unreachable"
        await nobody.close()
        engine = real.engine(device, release.blobs)
        await made(engine, of, start=True)
        await engine.do(steps.Policy(of.container("web"), "always"))
        await engine.changed()
        restarted = asyncio.create_task(asyncio.to_thread(real.restart, power=True))
        heard = asyncio.create_task(engine.changed())
        found = []
        while not restarted.done():
            found.append(await code(engine))
            await asyncio.sleep(0.05)
        await restarted
        assert set(found) <= {"", "engine.unreachable"}  # a question may also wait until it is there again
        async with asyncio.timeout(20):
            await heard
        await until(engine, lambda seen: seen.containers[0].state == "running")
        await engine.do(steps.Remove(of.container("web")))
        await engine.close()

    real.run(story)


def test_what_is_no_engine_is_unreachable(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("s") / "sock"

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
        await writer.drain()
        writer.close()

    async def story() -> None:
        async with await asyncio.start_unix_server(answer, path):
            engine = Docker("d", opener({}), socket=f"unix://{path}")
            with pytest.raises(CheckvalveError, match="is no engine") as raised:
                await engine.about()
            assert raised.value.code == "engine.unreachable"
            await engine.close()

    asyncio.run(story())


def test_a_copy_keeps_owners_modes_links_and_large_files(real: RealBench) -> None:
    device, release = new_device(), images.data(5)
    of = slot(device, release)
    source, target, [image] = of.volumes["data"], f"{device}-copy", list(of.manifest.images)
    script = (
        "cd /v; mkdir -p deep/er; echo x >deep/er/file; chmod 640 deep/er/file; chown 7:8 deep/er/file; chmod 700 deep;"
        "ln -s deep/er/file soft; ln deep/er/file hard; chmod 751 .; chown 9:9 .; cat /bin/busybox >>big; echo >.hidden"
    )

    def shell(volume: str, script: str) -> str:
        return real.docker.run("run", "--rm", "-v", f"{volume}:/v", image, "/bin/busybox", "sh", "-c", script)

    async def before() -> None:
        engine = real.engine(device, release.blobs)
        await all_of(engine, *(step for step in made_of(of) if not isinstance(step, steps.Create)))
        await engine.close()

    async def copy() -> None:
        engine = real.engine(device, release.blobs)
        await engine.do(steps.CopyVolume(source, target, image))
        await engine.close()

    real.run(before)
    shell(source, script)
    real.run(copy)
    stat = "cd /v; /bin/busybox stat -c '%n %a %u:%g %h %F %s' . .hidden big deep deep/er deep/er/file hard soft"
    assert shell(target, stat).replace("  ", " ") == shell(source, stat).replace("  ", " ")
    assert shell(target, "cd /v; /bin/busybox sha256sum big deep/er/file; /bin/busybox readlink soft") == shell(
        source, "cd /v; /bin/busybox sha256sum big deep/er/file; /bin/busybox readlink soft"
    )
    assert target not in real.docker.run("ps", "-a", "--format", "{{.Names}}")


def test_a_copy_that_was_cut_short_leaves_nothing_of_itself(real: RealBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The carrier breaks off in the middle; what was made to use the copy is made again."""
    device, release = new_device(), images.data(6)
    old = slot(device, release)
    new = slot(device, release, copies={"data": old.volumes["data"]})
    source, target, [image] = old.volumes["data"], new.volumes["data"], list(old.manifest.images)
    carry = copying._carry

    async def halfway(wire: Wire, device: str, step: steps.CopyVolume, image: str) -> None:
        await carry(wire, device, step, image)
        raise asyncio.CancelledError

    async def before() -> None:
        engine = real.engine(device, release.blobs)
        await made(engine, old)
        await made(engine, new)
        await engine.close()

    async def cut() -> None:
        engine = real.engine(device, release.blobs)
        monkeypatch.setattr(copying, "_carry", halfway)
        with contextlib.suppress(asyncio.CancelledError):
            await engine.do(steps.CopyVolume(source, target, image))
        assert (await engine.observe()).volumes == {source}
        monkeypatch.undo()
        await engine.close()

    async def again() -> None:
        engine = real.engine(device, release.blobs)
        await engine.do(steps.CopyVolume(source, target, image))
        await engine.do(steps.Create(new, "web"))
        found = await engine.observe()
        assert found.volumes == {source, target}
        assert set(found.of(new.attempt)) == {"web"}
        await engine.close()

    real.run(before)
    real.put(source, image, {"gone": "1", "stays": "1"})
    real.run(cut)
    real.docker.run("run", "--rm", "-v", f"{source}:/v", image, "/bin/busybox", "rm", "/v/gone")
    real.run(again)
    assert real.files(target, image) == {"stays": "1"}


def test_a_half_copy_that_was_used_is_never_thrown_away(real: RealBench) -> None:
    device, release = new_device(), images.data(7)
    old = slot(device, release)
    new = slot(device, release, copies={"data": old.volumes["data"]})
    source, target, [image] = old.volumes["data"], new.volumes["data"], list(old.manifest.images)

    async def story() -> None:
        engine = real.engine(device, release.blobs)
        await made(engine, old)
        await made(engine, new, start=True)
        real.docker.run("volume", "create", "--label", f"{steps.DEVICE}={device}", copying.mark(target, "begun"))
        with pytest.raises(CheckvalveError, match="has used it since"):
            await engine.do(steps.CopyVolume(source, target, image))
        assert (await seen(engine, new.container("web"))).state == "running"
        await engine.do(steps.Remove(new.container("web")))
        await engine.close()

    real.run(story)
    assert real.files(target, image) == {"number": "7"}


def test_a_paused_container_can_be_stopped_and_started(real: RealBench) -> None:
    device, release = new_device(), images.good(8)
    of = slot(device, release)
    web = of.container("web")

    async def story() -> None:
        engine = real.engine(device, release.blobs)
        await made(engine, of, start=True)
        real.docker.run("pause", web)
        await until(engine, lambda found: found.containers[0].state == "paused")
        await engine.do(steps.Stop(web, 1_000))
        assert (await seen(engine, web)).state == "exited"
        await engine.do(steps.Start(web))
        real.docker.run("pause", web)
        await until(engine, lambda found: found.containers[0].state == "paused")
        await engine.do(steps.Start(web))
        await until(engine, lambda found: found.containers[0].state == "running")
        await engine.do(steps.Remove(web))
        await engine.close()

    real.run(story)


def test_an_internal_network_and_none_at_all_can_be_probed_or_say_so(real: RealBench) -> None:
    device, built = new_device(), images.image(9)
    services = {
        "in": images.web(built, networks=(Attachment(network="back"),)),
        "alone": images.web(built, networks=()),
    }
    release = images.release(built, services, networks={"back": Network(internal=True)})
    of = slot(device, release)

    async def story() -> None:
        engine = real.engine(device, release.blobs)
        await made(engine, of, start=True)
        async with asyncio.timeout(10):
            while await engine.probe(of.container("in"), TcpProbe(port=images.PORT)):  # noqa: ASYNC110 -- it listens soon
                await asyncio.sleep(0.05)
        assert "on no network" in await engine.probe(of.container("alone"), TcpProbe(port=images.PORT))
        await all_of(engine, *(steps.Remove(of.container(name)) for name in services))
        await engine.close()

    real.run(story)
    assert of.network("back") in real.docker.run("network", "ls", "--format", "{{.Name}}")


def test_many_devices_make_their_networks_at_once(real: RealBench) -> None:
    """Each chooses a subnet of one pool; two that choose the same do not stay without one."""
    of: dict[str, Slot] = {device: slot(device, images.good(1)) for device in (new_device() for _ in range(6))}

    async def story() -> None:
        engines = {device: real.engine(device, {}) for device in of}
        step = {device: steps.MakeNetwork(each.network("default"), internal=False) for device, each in of.items()}
        await asyncio.gather(*(engine.do(step[device]) for device, engine in engines.items() for _ in range(2)))
        for device, engine in engines.items():
            assert (await engine.observe()).networks == {step[device].name}
            await engine.do(steps.DropNetwork(step[device].name))
            await engine.close()

    real.run(story)


def test_a_log_of_any_length_is_kept_within_the_bound(real: RealBench) -> None:
    device, built = new_device(), images.image(1)
    noisy = "i=0; while [ $i -lt 3000 ]; do echo line $i $i $i; i=$((i+1)); done; echo last >&2; cat /bin/busybox"
    release = images.release(built, {"web": images.service(built, command=("sh", "-c", noisy))})
    of = slot(device, release)

    async def story() -> None:
        engine = real.engine(device, release.blobs)
        await made(engine, of, start=True)
        await until(engine, lambda found: found.containers[0].state == "exited")
        text = await engine.logs(of.container("web"), 200, 4_096)
        assert 0 < len(text.encode()) <= 4_096
        assert "\0" not in text
        await engine.do(steps.Remove(of.container("web")))
        await engine.close()

    real.run(story)


def test_a_program_inside_is_where_the_containers_are(real: RealBench) -> None:
    with real.docker.inside("readlink", "/proc/self/ns/net", output=subprocess.PIPE) as program:
        assert program.communicate()[0].decode().strip() == real.docker.namespace
    assert program.returncode == 0
    with real.docker.entered():
        assert str(Path("/proc/thread-self/ns/net").readlink()) == real.docker.namespace
    assert str(Path("/proc/thread-self/ns/net").readlink()) != real.docker.namespace
