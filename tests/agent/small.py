# SPDX-License-Identifier: Apache-2.0
"""Releases of a few kilobytes, for devices whose engine is simulated: what they do is said in their environment."""

import functools
from collections.abc import Mapping
from typing import Any

from msgspec import structs

from checkvalve.protocol import workload
from checkvalve.protocol.workload import ExecProbe, Gate, Manifest, Mount, Volume
from tests.agent.engine.images import Built, Made, release, service
from tests.parts import archives

GATE = Gate(start_grace_ms=10_000, soak_ms=5_000)
SHORT = Gate(start_grace_ms=5_000, soak_ms=1_000)
PROBE = ExecProbe(command=("ready",), every_ms=1_000)


@functools.cache
def built(number: int) -> Built:
    """Return an image of one small layer."""
    hand = archives.Image(layers=[archives.layer(number=str(number).encode())])
    layer = hand.layers[0]
    said = workload.Image(
        config=hand.id,
        config_size=len(hand.config_bytes),
        manifest=archives.sha(hand.manifest_bytes),
        name=f"small:{number}",
        platform="linux/amd64",
        layers=(
            workload.Layer(
                digest=archives.sha(layer),
                size=len(layer),
                media_type="application/vnd.oci.image.layer.v1.tar",
                diff_id=archives.sha(layer),
            ),
        ),
    )
    return Built(said, {hand.id: hand.config_bytes, archives.sha(layer): layer})


def made(number: int, services: Mapping[str, str | dict[str, Any]], **more: Any) -> Made:  # noqa: ANN401
    """Return a release: each service by its words for the simulated engine, or by its fields, `simulate` among them."""
    image = built(number)
    said = {name: {"simulate": each} if isinstance(each, str) else each for name, each in services.items()}
    ready = {
        name: service(image, **({"restart": "always", "probes": (PROBE,)} | fields)) for name, fields in said.items()
    }
    return release(image, ready, number=number, **({"gate": GATE} | more))


def pair(number: int) -> Made:
    """Return two services that are well; `pump` starts after `web`."""
    return made(number, {"web": "", "pump": {"after": ("web",)}})


def quick(number: int) -> Made:
    """Return the same, that has proved itself after a second."""
    return remade(gated(pair(number), SHORT), pair(number))


def data(number: int) -> Made:
    """Return a service that writes its number into a volume of policy `snapshot`, and another into one to keep."""
    mounts = {"web": (Mount(volume="recipes", target="/data"),), "pump": (Mount(volume="counts", target="/data"),)}
    services = {name: {"simulate": f"write=number:{number}", "mounts": each} for name, each in mounts.items()}
    return made(number, services, volumes={"recipes": Volume(policy="snapshot"), "counts": Volume()})


def job(number: int) -> Made:
    """Return a job that ends well, and a service that starts after it."""
    return made(
        number, {"migrate": {"kind": "oneshot", "restart": "no", "simulate": "exit=0"}, "web": {"after": ("migrate",)}}
    )


def spoils(number: int) -> Made:
    """Return what writes as `data` does, and then exits."""
    read = data(number).read
    read.services["web"].environment["CHECKVALVE_SIMULATE"] += ";exit=1;after=2s"
    return remade(read, data(number))


def exits(number: int, after: float = 0) -> Made:
    """Return a release one service of which says why and exits with 1."""
    return made(number, {"web": "", "pump": f"exit=1;after={after}s;log=no recipe is there"})


def remade(manifest: Manifest, like: Made, size: int = 0) -> Made:
    """Return a release of this manifest, with the blobs of another; `size` is what its layers claim to have."""
    images = manifest.images
    if size:
        images = {
            key: structs.replace(each, layers=tuple(structs.replace(layer, size=size) for layer in each.layers))
            for key, each in images.items()
        }
    return Made(workload.write(structs.replace(manifest, images=images)), like.blobs)


def gated(made_: Made, gate: Gate) -> Manifest:
    """Return its manifest with another gate."""
    return structs.replace(made_.read, gate=gate)
