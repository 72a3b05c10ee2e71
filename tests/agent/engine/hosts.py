# SPDX-License-Identifier: Apache-2.0
"""A release that uses what a device has, for real engines, and what a shell inside it says of that."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from msgspec.structs import replace as replace_

from checkvalve.agent.engine.docker import Docker
from checkvalve.agent.laying.folders import Folders, in_memory
from checkvalve.agent.steps import Slot
from checkvalve.crypto import keys, seal
from checkvalve.protocol import values
from checkvalve.protocol.declared import File, Placed, Secret
from checkvalve.protocol.reach import Bind, Device, Limits, Log, Ulimit
from checkvalve.protocol.values import Sealed, Values
from checkvalve.protocol.workload import Attachment, Network, Service
from tests.agent.engine import images
from tests.agent.engine.benches import RealBench, opener

SUBNET, ADDRESS, MAC = "10.20.30.0/24", "10.20.30.77", "02:42:0a:14:1e:4d"
SECRET = "7-plc-wachtwoord-7"
MEGA = 1 << 20


class _Anywhere(Folders):
    """Lays secrets out on a disk too: Podman's tests have no memory in common with this process."""

    def _check_memory(self) -> None:
        pass


@dataclass(frozen=True)
class Ground:
    """What stands in for a device's hardware: a device with a name by-id, and folders."""

    serial: Path  # a symbolic link, as those below /dev/serial/by-id; nothing can be written there: it is always full
    data: Path
    files: Path
    runtime: Path
    key: keys.PrivateKey

    def engine(self, real: RealBench, device: str, made: images.Made) -> Docker:
        """Return an engine that lays out."""
        kind = Folders if in_memory(self.runtime) else _Anywhere
        laying = kind(self.files, self.runtime, lambda: [self.key])
        return Docker(device, opener(made.blobs), socket=real.docker.socket, pool="10.213.0.0/16", laying=laying)


@contextlib.contextmanager
def ground(folder: Path, memory: str = "/dev/shm") -> Iterator[Ground]:
    """Lend one whose folders are in `folder`, and whose secrets are below `memory`."""
    serial, data = folder / "usb-meter-if00", folder / "data"
    serial.symlink_to("/dev/full")
    data.mkdir()
    (data / "plant").write_text("north\n")
    runtime = Path(tempfile.mkdtemp(dir=memory, prefix="checkvalve-"))
    try:
        yield Ground(serial, data, folder / "files", runtime, keys.make())
    finally:
        shutil.rmtree(runtime)


def filled(of: Slot, made: images.Made, there: Ground) -> Slot:
    """Return the slot with a secret for its device."""
    name = "1" * 26
    data = seal.seal(there.key.public_key(), SECRET.encode(), values.context(of.device, "pin", name))
    given = Values(
        device=of.device, release=made.digest, variables={}, files={"recipe": "mix: 3\n"},
        secrets={"pin": Sealed(version=name, data=data)},
    )  # fmt: skip
    return replace(of, given=given)


def service(built: images.Built, there: Ground) -> Service:
    """Return a service with all of it."""
    return images.service(
        built,
        command=("sh", "-c", "id; echo $PLANT; exec sleep 100000"),
        user="1000:1000",
        networks=(Attachment(network="plant", ipv4=ADDRESS, mac=MAC), Attachment(network="default")),
        devices=(Device(source=str(there.serial), target="/dev/meter", rights="rw"),),
        binds=(
            Bind(source=str(there.data), target="/data"),
            Bind(source=str(there.data / "plant"), target="/plant", read_only=True),
        ),
        cap_drop=("ALL",),
        cap_add=("NET_ADMIN",),
        group_add=("20",),
        extra_hosts={"plc": "10.20.30.9"},
        sysctls={"net.ipv4.ip_unprivileged_port_start": "79"},
        ulimits={"nofile": Ulimit(soft=1_111, hard=2_222), "core": Ulimit(soft=-1, hard=-1)},
        limits=Limits(memory=64 * MEGA, reserved=32 * MEGA, cpus=500, cpuset="0", pids=64, shm=8 * MEGA),
        tmpfs=("/scratch:size=64k,mode=1777", "/plain"),
        log=Log(size=MEGA, files=2),
        files=(Placed(name="recipe", target="/etc/recipe"),),
        secrets=(Placed(name="pin", target="/run/secrets/pin", mode=0o400, uid=1000, gid=1000),),
    )


def onhost(built: images.Built) -> Service:
    """Return a web server on the host's own network."""
    return images.web(built, networks=(), host_network=True, log=Log(driver="none"))


def release(built: images.Built, services: dict[str, Service], number: int = 1, **more: Any) -> images.Made:  # noqa: ANN401
    """Return a release of version 2."""
    return images.release(built, services, number=number, v=2, **more)


def placed(number: int, subnet: str, *, good: bool = True) -> images.Made:
    """Return a web server at `.9` of a network with this subnet, and one beside it that is on another network."""
    built = images.image(number)
    address = subnet.partition("/")[0].rpartition(".")[0] + ".9"
    how: dict[str, Any] = {"networks": (Attachment(network="plant", ipv4=address),)}
    how |= {} if good else {"command": ("sh", "-c", "exit 3")}
    services = {"web": images.web(built, **how), "worker": images.worker(built, after=("web",))}
    networks = {"plant": Network(subnet=subnet), "default": Network()}
    return release(built, services, number, networks=networks)


def opened(built: images.Built, there: Ground, number: int = 1, *, without: tuple[str, ...] = ()) -> images.Made:
    """Return the release of both services; `without` some fields of the first."""
    plain = Service(image=built.image.config)
    meter = replace_(service(built, there), **{name: getattr(plain, name) for name in without})
    return release(
        built,
        {"meter": meter, "onhost": onhost(built)},
        number,
        networks={"plant": Network(subnet=SUBNET, gateway="10.20.30.1", range="10.20.30.128/25"), "default": Network()},
        files=(File(name="recipe"),),
        secrets=(Secret(name="pin"),),
        host_paths=(str(there.data),),
    )
