# SPDX-License-Identifier: Apache-2.0
"""Files and secrets on a real engine: a container finds them, a power cut brings them back, and nothing shows them."""

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import structs

from checkvalve.agent import steps
from checkvalve.crypto import seal
from checkvalve.protocol import values, workload
from checkvalve.protocol.declared import File, Placed, Secret, Variable
from checkvalve.protocol.exchange import State
from checkvalve.protocol.values import Sealed, Values
from checkvalve.protocol.workload import Gate
from tests.agent.engine import images
from tests.agent.engine.images import Made
from tests.agent.living import Living, living
from tests.parts import docker

pytestmark = [pytest.mark.slow, pytest.mark.real_parts]

POOL = "10.214.0.0/16"
SECRET = "7-plc-wachtwoord-7"
SAYS = "cat /etc/recipe; echo pin $(cat /run/secrets/pin) and $WORD; ls -ln /etc/recipe"
ENDS = "test $WORD != bad && exec sleep 100000"


@pytest.fixture(scope="module")
def engine() -> Iterator[docker.Engine]:
    """Lend a dockerd in namespaces of its own."""
    with tempfile.TemporaryDirectory(prefix="checkvalve-agent-") as directory, docker.running(Path(directory)) as lent:
        yield lent


@pytest.fixture
def memory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        yield Path(directory) / "secrets"


def release() -> Made:
    """Return one service that prints all it was given, and ends if its variable says `bad`."""
    built = images.image(1)
    speaks = images.service(
        built,
        command=("sh", "-c", f"{SAYS}; {ENDS}".replace("$", "$$")),
        environment={"WORD": "${WORD}"},
        files=(Placed(name="recipe", target="/etc/recipe", mode=0o640, gid=77),),
        secrets=(Placed(name="pin", target="/run/secrets/pin", mode=0o400),),
        restart="always",
    )
    plain = images.release(built, {"worker": images.worker(built)})
    manifest = structs.replace(
        plain.read,
        services={"worker": speaks},
        variables=(Variable(name="WORD"),),
        files=(File(name="recipe", default="plain\n"),),
        secrets=(Secret(name="pin"),),
        gate=Gate(start_grace_ms=5_000, soak_ms=1_000),
        v=2,
    )
    return Made(workload.write(manifest), plain.blobs)


def given(device: Living, made: Made, **more: str) -> str:
    """Have the plane keep values for the device, and return their digest."""
    key = device.plane.kept.members[device.device].public
    version = "0" * 26
    sealed = seal.seal(key, SECRET.encode(), values.context(device.device, "pin", version))
    return device.plane.fill(
        Values(
            device=device.device,
            release=made.digest,
            variables={"WORD": more.pop("word")},
            files=more,
            secrets={"pin": Sealed(version=version, data=sealed)},
        )
    )


@pytest.mark.timeout(240)
def test_files_and_secrets_on_a_real_engine(engine: docker.Engine, tmp_path: Path, memory: Path) -> None:
    async def story(device: Living) -> None:
        await device.begin()
        made = release()
        assert await device.deploy(made, given(device, made, word="one", recipe="two eggs\n")) is State.COMMITTED
        (name,) = _names(engine, device)
        said = engine.run("logs", name)
        assert f"two eggs\npin {SECRET} and one\n" in said
        assert "-rw-r-----    1 0        77" in said, "it is for whom the release says"
        assert SECRET not in engine.run("inspect", name)

        assert await device.deploy(made, given(device, made, word="bad")) is State.ROLLED_BACK
        (worker,) = device.receipts[-1].services
        assert "plain\npin [secret pin] and bad\n" in worker.logs
        await device.until(lambda: _names(engine, device) == [name])
        assert len(_files(memory)) == 2, "what does not run has nothing in memory: a secret, and the mark of its set"

        await asyncio.to_thread(engine.restart, power=True)
        shutil.rmtree(memory)
        await device.until(lambda: _names(engine, device) == [name], 120)
        await device.until(lambda: engine.run("logs", name).count(f"pin {SECRET} and one") >= 2)
        assert await device.end() == 0

        kept = _files(tmp_path)
        assert len(kept) > 5
        assert not [name for name, data in kept.items() if SECRET.encode() in data]

    async def whole() -> None:
        words = ("--engine", "docker", "--socket", engine.socket, "--pool", POOL, "--runtime", str(memory))
        async with living(tmp_path, *words) as device:
            await device.join()
            with contextlib.ExitStack() as after:
                after.callback(_clear, engine, device)
                await story(device)

    with engine.entered():
        asyncio.run(whole())


def _names(engine: docker.Engine, device: Living) -> list[str]:
    return engine.run("ps", "--filter", f"label={steps.DEVICE}={device.device}", "--format", "{{.Names}}").split()


def _files(folder: Path) -> dict[Path, bytes]:
    return {each: each.read_bytes() for each in folder.rglob("*") if each.is_file()}


def _clear(engine: docker.Engine, device: Living) -> None:
    found = engine.run("ps", "-aq", "--filter", f"label={steps.DEVICE}={device.device}").split()
    if found:
        engine.run("rm", "-f", *found)
