# SPDX-License-Identifier: Apache-2.0
"""Networks of a simulated engine: what cannot be there twice, and what a start finds taken.

Rules, each as Docker does it: 1. two networks cannot have a subnet in common, nor an interface of the host; 2. one goes
unless a container on it runs; those that do not are on it no more, although one of its name may come; 3. addresses
and host ports are taken by who runs: containers that want the same may be there side by side, and not run.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from checkvalve.agent import exclusive
from checkvalve.agent.engine.simulation import Box, Plot, World
from checkvalve.agent.steps import Ground, MakeNetwork
from checkvalve.errors import ConflictError

_ALL = ("", "0.0.0.0", "::")  # noqa: S104 -- as a release says it; nothing listens here


def make(world: World, step: MakeNetwork, device: str) -> None:
    """Have a network; `ConflictError` (`engine.refused`) by rule 1."""
    if step.name in world.networks:
        return
    wanted = Plot(step.definition.subnet, step.definition.parent)
    for name, plot in world.plots.items():
        if wanted.subnet and exclusive.overlap(wanted.subnet, plot.subnet):
            words = "Pool overlaps with other one on this address space"
            raise ConflictError("engine.refused", f"The engine refused: {words}: {name}")
        if wanted.parent and wanted.parent == plot.parent:
            words = f"network {name} is already using parent interface {plot.parent}"
            raise ConflictError("engine.refused", f"The engine refused: {words}")
    world.networks[step.name] = device
    if wanted != Plot():
        world.plots[step.name] = wanted


def drop(world: World, name: str) -> None:
    """Have no such network; `ConflictError` (`engine.refused`) by rule 2."""
    on = [box for box in world.boxes.values() if name in box.networks]
    if any(box.status in ("running", "restarting") for box in on):
        raise ConflictError("engine.refused", f"The engine refused: network {name} has active endpoints")
    for box in on:
        box.off = tuple(sorted({*box.off, name}))
    del world.networks[name]
    world.plots.pop(name, None)


def grounds(world: World, device: str) -> frozenset[Ground]:
    """Return what networks of a device take."""
    return frozenset(
        Ground(name, (plot.subnet,) if plot.subnet else (), plot.parent)
        for name, plot in world.plots.items()
        if world.networks.get(name) == device
    )


def addresses(attached: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the addresses that a container has for its own, of its endpoints by network."""
    return tuple(
        f"{network} {address}"
        for network, endpoint in attached.items()
        for address in endpoint.get("IPAMConfig", {}).values()
    )


def taken(world: World, box: Box) -> str:
    """Return why a container cannot run now, "" if it can (rules 2 and 3)."""
    for name in box.networks:
        if name not in world.networks or name in box.off:
            return f"network {name} not found"
    others = [each for each in world.boxes.values() if each is not box and each.status == "running"]
    for other in others:
        for port in _shared(box.ports, other.ports):
            return f"port {port} is already allocated"
        for address in set(box.addresses) & set(other.addresses):
            return f"Address already in use: {address}"
    return ""


def _shared(mine: tuple[str, ...], theirs: tuple[str, ...]) -> Iterator[str]:
    """Yield those of `protocol address:port` that cannot be another's too."""
    there = [_port(each) for each in theirs]
    for each in mine:
        protocol, address, number = _port(each)
        for other, at, taken_number in there:
            if (protocol, number) == (other, taken_number) and (address == at or {address, at} & set(_ALL)):
                yield each
                break


def _port(text: str) -> tuple[str, str, str]:
    protocol, _, rest = text.partition(" ")
    address, _, number = rest.rpartition(":")
    return protocol, address, number
