# SPDX-License-Identifier: Apache-2.0
"""Volumes on a real engine: a switch that fails leaves two, and each is taken away whole without disturbing anybody."""

import asyncio
import io
import json
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from checkvalve.protocol.exchange import State
from checkvalve.protocol.workload import Gate, Mount, Volume
from tests.agent.engine import images
from tests.agent.engine.images import Made
from tests.agent.living import Living, living
from tests.parts import docker

pytestmark = [pytest.mark.slow, pytest.mark.real_parts]

POOL = "10.215.0.0/16"
SIZE = 8  # MiB: more than lies in buffers on its way
FILLS = f"test -e /data/large || busybox head -c {SIZE << 20} /dev/urandom >/data/large; ln -sf large /data/link; "
OWNED = "chown 77:88 /data/large; chmod 640 /data/large; "


@pytest.fixture
def engine() -> Iterator[docker.Engine]:
    """Lend a dockerd in namespaces of its own."""
    with tempfile.TemporaryDirectory(prefix="checkvalve-agent-") as directory, docker.running(Path(directory)) as lent:
        yield lent


def release(number: int, ends: str = "exec sleep 100000") -> Made:
    """Return a service that fills its volume, writes its number into it, and goes on as `ends` says."""
    built = images.image(number)
    line = f"{FILLS}{OWNED}echo {number} >/data/number; {ends}"
    service = images.service(
        built, command=("sh", "-c", line), mounts=(Mount(volume="data", target="/data"),), restart="always"
    )
    gate = Gate(start_grace_ms=10_000, soak_ms=1_500)
    return images.release(
        built, {"pump": service}, number=number, gate=gate, volumes={"data": Volume(policy="snapshot")}
    )


@pytest.mark.timeout(240)
def test_what_a_failed_switch_wrote_is_set_aside_and_each_volume_is_taken_away(
    engine: docker.Engine, tmp_path: Path
) -> None:
    async def story(device: Living) -> None:
        await device.begin()
        assert await device.deploy(release(1)) is State.COMMITTED
        hexes = engine.build("small", {"a": b"b"}).removeprefix("sha256:")
        engine.run("tag", "small", f"checkvalve/{device.device}:{hexes}-new")  # as a load that was cut short leaves it
        engine.run("rmi", "small")
        assert await device.deploy(release(2, ends="sleep 1; exit 1")) is State.ROLLED_BACK
        await device.until(lambda: "-new" not in engine.run("images", "--format", "{{.Tag}}"))
        listed = await _listed(device)
        (active,) = [each for each in listed if each["uses"] == ["active"]]
        (aside,) = [each for each in listed if each["uses"] == ["set aside"]]
        assert {each["volume"] for each in listed} == {"data"}
        assert min(each["size"] for each in listed) >= SIZE << 20
        assert f"set aside as {aside['name']}, {SIZE}." in device.receipts[-1].data["data"]

        with _begun(device, engine, "export", "data", "--output", "-") as process:  # nobody reads on: it waits
            assert process.stdout is not None
            first = await asyncio.to_thread(process.stdout.read, 1 << 20)
            (name,) = engine.run("ps", "--format", "{{.Names}}").split()
            await asyncio.to_thread(engine.run, "restart", "-t", "0", name)
            rest = await asyncio.to_thread(process.stdout.read)
            assert process.wait() == 0
        running = _read(first + rest)
        assert running["number"] == b"1\n"
        assert len(running["large"]) == SIZE << 20

        out = tmp_path / "aside.tar"
        assert (await _said(device, engine, "export", "data", "--set-aside", "--output", str(out)))[0] == 0
        failed = _read(await asyncio.to_thread(out.read_bytes))
        assert failed["number"] == b"2\n"
        assert failed["large"] == running["large"]

        await device.end()
        straight = tmp_path / "straight.tar"
        assert (await _said(device, engine, "export", aside["name"], "--output", str(straight)))[0] == 0
        assert straight.read_bytes() == out.read_bytes()
        await device.begin()
        await device.until((device.data / "agent.sock").is_socket)
        code, said, err = await _said(device, engine, "drop", "data", "--yes")
        assert code == 0, said + err
        assert {each["name"] for each in await _listed(device)} >= {active["name"]}
        assert aside["name"] not in engine.run("volume", "ls", "-q").split()
        assert not [each for each in engine.run("ps", "-a", "--format", "{{.Names}}").split() if "reader" in each]

    async def whole() -> None:
        words = ("--engine", "docker", "--socket", engine.socket, "--pool", POOL, "--runtime", str(tmp_path / "run"))
        async with living(tmp_path, *words) as device:
            await device.join()
            await story(device)

    with engine.entered():
        asyncio.run(whole())


def _words(device: Living, engine: docker.Engine, *words: str) -> list[str]:
    where = ["--data", str(device.data), "--engine", "docker", "--socket", engine.socket]
    return [sys.executable, "-c", "from checkvalve.main import agent; agent()", "volume", *words, *where]


def _begun(device: Living, engine: docker.Engine, *words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(_words(device, engine, *words), stdout=subprocess.PIPE)


async def _said(device: Living, engine: docker.Engine, *words: str) -> tuple[int, str, str]:
    ran = await asyncio.to_thread(
        subprocess.run, _words(device, engine, *words), capture_output=True, check=False, timeout=100
    )
    return ran.returncode, ran.stdout.decode(), ran.stderr.decode()


async def _listed(device: Living) -> list[dict[str, Any]]:
    code, said, err = await device.call("volume", "list", "--json")
    assert code == 0, err
    found: list[dict[str, Any]] = json.loads(said)
    return found


def _read(data: bytes) -> dict[str, bytes]:
    """Return the files of a tar, with owners, modes and links as the program left them."""
    with tarfile.open(fileobj=io.BytesIO(data)) as found:
        large, link = found.getmember("data/large"), found.getmember("data/link")
        assert (large.uid, large.gid, large.mode & 0o7777) == (77, 88, 0o640)
        assert (link.issym(), link.linkname) == (True, "large")
        files = {each.name.removeprefix("data/"): found.extractfile(each) for each in found if each.isfile()}
        return {name: file.read() for name, file in files.items() if file is not None}
