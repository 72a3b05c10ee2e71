# SPDX-License-Identifier: Apache-2.0
"""Tiny releases that a real engine runs and the simulated one knows how to play: a manifest, and the blobs it names.

All are made of one busybox in a layer that they share, the same bytes every time; `number` is in what a release serves,
so that any two numbers are two images. `CHECKVALVE_SIMULATE` in an environment says to the simulated engine what the
command does on a real one.
"""

import functools
import io
import platform
import tarfile
from dataclasses import dataclass
from typing import Any, NamedTuple

from checkvalve.protocol import workload
from checkvalve.protocol.workload import Attachment, Check, Gate, HttpProbe, Manifest, Mount, Network, Service, Volume
from tests.parts import archives
from tests.parts.docker import BUSYBOX

PORT = 8080
GATE = Gate(start_grace_ms=10_000, soak_ms=1_000)
ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
_APPLETS = "sh httpd sleep echo cat true false ls stat mkdir chmod chown ln wget id".split()
_SERVE = ("httpd", "-f", "-p", str(PORT), "-h", "/www")
_LISTENS = f"listen={PORT}"


class Made(NamedTuple):
    """A release: its manifest's bytes, and the blobs (configs, layers) by digest."""

    manifest: bytes
    blobs: dict[str, bytes]

    @property
    def digest(self) -> str:
        """Return what names the release."""
        return workload.digest(self.manifest)

    @property
    def read(self) -> Manifest:
        """Return what it says."""
        return workload.read(self.manifest)


@dataclass(frozen=True)
class Built:
    """An image as a release names it, and its blobs."""

    image: workload.Image
    blobs: dict[str, bytes]


def hand(
    number: int,
    packing: str = "gzip",
    *,
    names: tuple[str, ...] = (),
    files: tuple[tuple[str, bytes], ...] = (),
    entrypoint: tuple[str, ...] = (),
    command: tuple[str, ...] = _SERVE,
) -> archives.Image:
    """Return, as an archive holds it, an image that serves `number`, unless another command is said."""
    own = [("www/index.html", f"{number}\n".encode()), ("www/number", str(number).encode()), *files]
    layers = [_busybox(), archives.tar(archives.file(name, data) for name, data in own)]
    config: dict[str, object] = {"Cmd": list(command), "Env": ["PATH=/bin"]}
    if entrypoint:
        config["Entrypoint"] = list(entrypoint)
    return archives.Image(
        layers=layers,
        names=list(names),
        packing=packing,
        config={"architecture": ARCHITECTURE, "config": config},
    )


@functools.cache
def image(
    number: int,
    packing: str = "gzip",
    *,
    files: tuple[tuple[str, bytes], ...] = (),
    entrypoint: tuple[str, ...] = (),
    command: tuple[str, ...] = _SERVE,
) -> Built:
    """Return an image that serves `number`, unless another command is said; `files` are added to it."""
    made = hand(number, packing, files=files, entrypoint=entrypoint, command=command)
    suffix = f"+{packing}" if packing else ""
    described = tuple(
        workload.Layer(
            digest=archives.sha(blob),
            size=len(blob),
            media_type="application/vnd.oci.image.layer.v1.tar" + suffix,
            diff_id=archives.sha(layer),
        )
        for layer, blob in zip(made.layers, made.blobs, strict=True)
    )
    said = workload.Image(
        config=made.id,
        config_size=len(made.config_bytes),
        manifest=archives.sha(made.manifest_bytes),
        name=f"web:{number}",
        platform=f"linux/{ARCHITECTURE}",
        layers=described,
    )
    return Built(said, {archives.sha(data): data for data in (made.config_bytes, *made.blobs)})


def service(built: Built, simulate: str = "", **more: Any) -> Service:  # noqa: ANN401 -- fields of a service
    """Return a service of an image: on network `default`, killed when it is stopped, as busybox ignores the rest."""
    plain: dict[str, Any] = {
        "networks": (Attachment(network="default"),),
        "stop_signal": "SIGKILL",
        "stop_grace_ms": 1_000,
        "environment": {"CHECKVALVE_SIMULATE": simulate} if simulate else {},
    }
    return Service(image=built.image.config, **(plain | more))


def release(
    built: Built | tuple[Built, ...],
    services: dict[str, Service],
    *,
    number: int = 1,
    gate: Gate = GATE,
    **more: object,
) -> Made:
    """Return a release of services of these images."""
    all_ = built if isinstance(built, tuple) else (built,)
    networks = more.pop("networks", {"default": Network()})
    manifest = Manifest(
        name="historian",
        version=str(number),
        services=services,
        images={each.image.config: each.image for each in all_},
        networks=networks,  # type: ignore[arg-type]
        gate=gate,
        **more,  # type: ignore[arg-type]
    )
    return Made(workload.write(manifest), {digest: data for each in all_ for digest, data in each.blobs.items()})


def web(built: Built, **more: Any) -> Service:  # noqa: ANN401 -- fields of a service
    """Return what serves its number on `PORT`, with a probe on it."""
    return service(built, _LISTENS, probes=(HttpProbe(port=PORT, every_ms=200, timeout_ms=2_000),), **more)


def worker(built: Built, **more: Any) -> Service:  # noqa: ANN401 -- fields of a service
    """Return what does nothing for long."""
    return service(built, command=("sleep", "100000"), **more)


def good(number: int) -> Made:
    """Return a web server that is well."""
    built = image(number)
    return release(built, {"web": web(built)}, number=number)


def pair(number: int) -> Made:
    """Return two services that are well: `worker` starts after `web`."""
    built = image(number)
    return release(built, {"web": web(built), "worker": worker(built, after=("web",))}, number=number)


def data(number: int) -> Made:
    """Return a web server with a volume `data` of policy `snapshot`, into which it writes its number as it starts."""
    built = image(number)
    line = f"echo {number} >/data/number; exec {' '.join(_SERVE)}"
    served = web(built, command=("sh", "-c", line), mounts=(Mount(volume="data", target="/data"),))
    served.environment["CHECKVALVE_SIMULATE"] = f"{_LISTENS};write=number:{number}"
    return release(built, {"web": served}, number=number, volumes={"data": Volume(policy="snapshot")})


def exits(number: int) -> Made:
    """Return a service that says why and exits with 1 at once, beside one that is well."""
    built = image(number)
    line = "echo no recipe is there >&2; exit 1"
    wrong = service(built, "exit=1;log=no recipe is there", command=("sh", "-c", line))
    return release(built, {"web": web(built), "worker": wrong}, number=number)


def loops(number: int, *, seconds: int = 3) -> Made:
    """Return a service that exits with 1 after some seconds, each time it is started, and is restarted always."""
    built = image(number)
    wrong = service(
        built, f"exit=1;after={seconds}s", command=("sh", "-c", f"sleep {seconds}; exit 1"), restart="always"
    )
    gate = Gate(start_grace_ms=10_000, soak_ms=(seconds + 2) * 1_000)
    return release(built, {"web": web(built), "worker": wrong}, number=number, gate=gate)


def unhealthy(number: int) -> Made:
    """Return a service that runs and that its own check calls unhealthy."""
    built = image(number)
    check = Check(test=("CMD", "false"), interval_ms=200, timeout_ms=1_000, retries=2)
    wrong = service(built, "unhealthy", command=("sleep", "100000"), check=check)
    return release(built, {"web": wrong}, number=number, gate=Gate(start_grace_ms=2_000, soak_ms=1_000))


def deaf(number: int) -> Made:
    """Return a service that runs, and whose port takes no connection."""
    built = image(number)
    probe = HttpProbe(port=PORT, every_ms=200, timeout_ms=1_000)
    wrong = service(built, "deaf", command=("sleep", "100000"), probes=(probe,))
    return release(built, {"web": wrong}, number=number, gate=Gate(start_grace_ms=2_000, soak_ms=1_000))


def oneshot(number: int, code: int = 0) -> Made:
    """Return a job that ends with `code` and should with 0, and a web server that starts after it."""
    built = image(number)
    job = service(
        built, f"exit={code}", command=("sh", "-c", f"echo migrated; exit {code}"), kind="oneshot", restart="no"
    )
    return release(built, {"migrate": job, "web": web(built, after=("migrate",))}, number=number)


@functools.cache
def _busybox() -> bytes:
    program = BUSYBOX.read_bytes() if BUSYBOX.exists() else b"busybox is not on this machine"
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for folder, mode in (("bin", 0o755), ("tmp", 0o1777), ("etc", 0o755)):
            info, _ = archives.other(folder, tarfile.DIRTYPE)
            info.mode = mode
            archive.addfile(info)
        info, _ = archives.file("bin/busybox", program)
        info.mode = 0o755
        archive.addfile(info, io.BytesIO(program))
        for name in _APPLETS:
            archive.addfile(archives.other(f"bin/{name}", tarfile.SYMTYPE, "busybox")[0])
    return out.getvalue()
