# SPDX-License-Identifier: Apache-2.0
"""A small release that leaves something open, and what fills it on a simulated device.

`pump` does what its variable DOES says to the simulated engine; it finds a file `recipe` and a secret `pin`.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import structs

from checkvalve.agent.engine import play, simulation
from checkvalve.agent.identity import Identity
from checkvalve.crypto import seal
from checkvalve.protocol import values, workload
from checkvalve.protocol.declared import File, Placed, Secret, Variable
from checkvalve.protocol.values import Sealed, Values
from tests.agent import small
from tests.agent.device import Device
from tests.agent.engine.images import Made

SECRET = "7-plc-wachtwoord-7"  # planted; no file of a device but those in memory may hold it
RECIPE = Placed(name="recipe", target="/etc/recipe")
PIN = Placed(name="pin", target="/run/secrets/pin", mode=0o400)


def release(number: int, **more: Any) -> Made:  # noqa: ANN401 - fields of a manifest
    """Return the release; `DOES` has a default, the secret has none."""
    plain = small.quick(number)
    read = plain.read
    services = {
        "web": read.services["web"],
        "pump": structs.replace(
            read.services["pump"], environment={play.VARIABLE: "${DOES}"}, files=(RECIPE,), secrets=(PIN,)
        ),
    }
    open_: dict[str, Any] = {
        "variables": (Variable(name="DOES", default=""),),
        "files": (File(name="recipe", default="plain"),),
        "secrets": (Secret(name="pin"),),
    }
    manifest = structs.replace(read, services=services, v=2, **(open_ | more))
    return Made(workload.write(manifest), plain.blobs)


def without_secrets(number: int) -> Made:
    """Return the same with nothing in it that has no default."""
    read = release(number).read
    services = read.services | {"pump": structs.replace(read.services["pump"], secrets=())}
    manifest = structs.replace(read, services=services, secrets=())
    return Made(workload.write(manifest), small.quick(number).blobs)


def document(who: Identity, made: Made, *, secret: str | bytes = SECRET, version: int = 1, **texts: str) -> Values:
    """Return what fills it on a device: variables by upper-case names, files by lower-case ones, and the secret."""
    name = f"{version:026}"
    content = secret if isinstance(secret, bytes) else secret.encode()
    sealed = seal.seal(who.key.public_key(), content, values.context(who.device, "pin", name))
    return Values(
        device=who.device,
        release=made.digest,
        variables={name: text for name, text in texts.items() if name.isupper()},
        files={name: text for name, text in texts.items() if name.islower()},
        secrets={"pin": Sealed(version=name, data=sealed)},
    )


def order(device: Device, made: Made, number: int = 0, **texts: Any) -> str:  # noqa: ANN401 - as `document`
    """Have it ordered with values, and return the attempt."""
    digest = device.plane.fill(document(device.parts.identity, made, **texts))
    return device.order(made, number, values=digest)


async def deploy(device: Device, made: Made, number: int = 0, **texts: Any) -> str:  # noqa: ANN401 - as `document`
    """Have it ordered with values and brought as far as it goes, and return the attempt."""
    attempt = order(device, made, number, **texts)
    await device.drive(lambda: device.ended(attempt))
    return attempt


def found(device: Device) -> Mapping[str, simulation.Laid]:
    """Return what lies there for containers, by attempt."""
    with device.ground.world(device.clock.monotonic()) as world:
        return dict(world.laid)


def everything(device: Device) -> bytes:
    """Return all that a device keeps on its disk and in its engine, and all that it has told."""
    disk = b"".join(name.encode() + device.disk.read(name) for name in device.disk.memory.every())
    with device.ground.world(device.clock.monotonic()) as world:
        engine = repr(world).encode()
    told = b"".join(each.payload for each in device.plane.kept.receipts.values())
    reports = repr((device.plane.reports, device.events, device.parts)).encode()
    return disk + engine + told + reports
