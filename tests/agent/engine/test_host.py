# SPDX-License-Identifier: Apache-2.0
"""What a service has of the device it runs on, as it finds that itself inside a real container."""

import asyncio
import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from checkvalve.agent import steps
from checkvalve.errors import CheckvalveError
from checkvalve.protocol.reach import Bind, Device, Log
from checkvalve.protocol.workload import HttpProbe, Service, TcpProbe
from tests.agent.engine import hosts, images
from tests.agent.engine.benches import SOON, RealBench, made, new_device, seen, slot, until
from tests.agent.engine.hosts import Ground

pytestmark = [pytest.mark.real_parts, pytest.mark.slow]

# Each line of the answer is a question and what a shell says to it.
ASK = r"""
exec 2>&1
say() { echo "$1: $(eval "$2" 2>&1 | busybox tr '\n' ' ')"; }
say id id
say capabilities 'busybox grep CapBnd /proc/self/status | busybox cut -f2'
say sysctl 'cat /proc/sys/net/ipv4/ip_unprivileged_port_start'
say files 'echo $(ulimit -n) $(ulimit -Hn)'
say hosts 'busybox grep plc /etc/hosts | busybox tr "\t" " "'
say scratch 'busybox mount | busybox grep -o "/scratch.*size=64k"'
say shm 'busybox mount | busybox grep -o "/dev/shm .*size=8192k" | busybox grep -o size=.*'
say recipe 'cat /etc/recipe; echo x >/etc/recipe'
say pin 'cat /run/secrets/pin; ls -ln /run/secrets/pin | busybox cut -c1-10'
say kept 'busybox mount | busybox grep " /run/secrets/pin " | busybox cut -d" " -f5'
say plant 'cat /plant; echo x >/plant'
say data 'cat /data/plant; busybox touch /data/x && echo written'
say meter 'echo x >/dev/meter'
say address 'busybox ip -4 -o addr | busybox grep -o "10.20.30.[0-9]*/24"'
say hardware 'busybox ip -o link | busybox grep -o 02:42:0a:14:1e:4d'
say limits 'cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes pids/pids.max cpuset/cpuset.cpus'
"""


def asked(real: RealBench, container: str) -> dict[str, str]:
    """Return what a shell in a container says."""
    said = real.docker.run("exec", container, "sh", "-c", ASK)
    return {key: value.strip() for key, _, value in (line.partition(": ") for line in said.splitlines())}


def has_all_of_it(real: RealBench, there: Ground, *, without: tuple[str, ...] = ()) -> tuple[dict[str, str], str]:
    """Run the release that has all of it, and return what it says and its container's name; `without` some fields."""
    there.data.chmod(0o777)
    device, built = new_device(), images.image(1)
    release = hosts.opened(built, there, without=without)
    of = hosts.filled(slot(device, release), release, there)

    async def story() -> None:
        engine = there.engine(real, device, release)
        await engine.do(steps.Lay(of))
        await made(engine, of, start=True)
        assert (await seen(engine, of.container("meter"))).state == "running"
        for probe in (HttpProbe(port=images.PORT), TcpProbe(port=images.PORT)):
            async with asyncio.timeout(SOON):
                while await engine.probe(of.container("onhost"), probe):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
        assert await engine.logs(of.container("onhost"), 10, 1_000) == ""  # nothing is kept, and that is no failure
        async with asyncio.timeout(SOON):
            while "uid=1000" not in await engine.logs(of.container("meter"), 10, 1_000):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        await engine.close()

    real.run(story)
    said = asked(real, of.container("meter"))
    onhost = json.loads(real.docker.run("container", "inspect", of.container("onhost")))[0]
    assert onhost["HostConfig"]["NetworkMode"] == "host"
    assert said["capabilities"] == "0000000000001000"
    assert said["sysctl"] == "79"
    assert said["hosts"] == "10.20.30.9 plc"
    assert said["scratch"].endswith("size=64k")
    assert said["shm"] == "size=8192k"
    assert said["recipe"].startswith("mix: 3 ")
    assert said["recipe"].endswith("can't create /etc/recipe: Read-only file system")
    assert said["pin"] == f"{hosts.SECRET}-r--------"
    assert said["plant"].startswith("north ")
    assert said["plant"].endswith("can't create /plant: Read-only file system")
    assert said["data"] == "north written"
    assert (there.data / "x").exists()
    assert said["meter"].endswith("No space left on device")
    assert (said["address"], said["hardware"]) == (f"{hosts.ADDRESS}/24", hosts.MAC)
    if Path("/sys/fs/cgroup/memory").exists():  # else the kernel shows it elsewhere
        assert said["limits"] == f"{64 * hosts.MEGA} 64 0"
    return said, of.container("meter")


def test_all_that_a_service_has_of_its_host_is_seen_inside_of_it(real: RealBench, tmp_path: Path) -> None:
    with hosts.ground(tmp_path) as there:
        said, name = has_all_of_it(real, there)
    assert said["id"] == "uid=1000 gid=1000 groups=20,1000"
    assert said["files"] == "1111 2222"
    assert said["kept"] == "tmpfs"
    host = json.loads(real.docker.run("container", "inspect", name))[0]["HostConfig"]
    assert host["LogConfig"] == {"Type": "json-file", "Config": {"max-size": str(hosts.MEGA), "max-file": "2"}}
    assert (host["NanoCpus"], host["MemoryReservation"]) == (500_000_000, 32 * hosts.MEGA)
    assert {"Name": "core", "Soft": -1, "Hard": -1} in host["Ulimits"]
    real.docker.run("rm", "-f", name, name.replace("meter", "onhost"))


def refuses_what_is_not_there(real: RealBench, folder: Path) -> None:
    """Ask for a device and for a path that are not there, and for some that are."""
    device, built = new_device(), images.image(1)
    gone = folder / "not" / "there"
    plain = images.service(built, networks=(), command=("sleep", "1000"))

    async def story() -> None:
        engine = real.engine(device, built.blobs)
        await engine.do(steps.Load(built.image))

        async def create(service: Service) -> None:
            release = hosts.release(built, {"web": service}, host_paths=(str(folder),))
            of = slot(device, release)
            await engine.do(steps.Create(of, "web"))
            await engine.do(steps.Remove(of.container("web")))

        here, there = Device(source="/dev/zero", target="/dev/a"), Device(source="/dev/none", target="/dev/b")
        for wrong, path in (
            (replace(plain, devices=(here, there)), "/dev/none"),
            (replace(plain, binds=(Bind(source=str(gone), target="/x"),)), str(gone)),
        ):
            with pytest.raises(CheckvalveError, match=f"web needs {path} of this device") as raised:
                await create(wrong)
            assert raised.value.code == "engine.refused"
        assert not gone.parent.exists()  # nobody has made it
        socket = real.docker.directory / "docker.sock"
        binds = [Bind(source=str(each), target=f"/{at}") for at, each in enumerate((folder, socket))]
        await create(replace(plain, devices=(here,), binds=(binds[0],)))
        await engine.close()

    real.run(story)


def test_what_is_not_on_the_host_is_refused_as_the_container_is_made(real: RealBench, tmp_path: Path) -> None:
    """And not as it starts: the old one still runs then."""
    refuses_what_is_not_there(real, tmp_path)


@pytest.mark.parametrize("log", [Log(driver="local", files=1, size=hosts.MEGA), Log(driver="local")])
def test_a_log_of_docker_s_own_form_is_kept_and_read(real: RealBench, log: Log) -> None:
    device, built = new_device(), images.image(1)
    release = hosts.release(built, {"web": images.service(built, networks=(), command=("echo", "said"), log=log)})
    of = slot(device, release)

    async def story() -> None:
        engine = real.engine(device, release.blobs)
        await made(engine, of, start=True)
        await until(engine, lambda seen: seen.of(of.attempt)["web"].state == "exited")  # then all of it was said
        assert await engine.logs(of.container("web"), 10, 1_000) == "said\n"
        await engine.do(steps.Remove(of.container("web")))
        await engine.close()

    real.run(story)
