# SPDX-License-Identifier: Apache-2.0
"""What may a release do on a device, beyond its own containers, and what of that cannot be there twice?

Signers, pages and commands show these lists. Rules: 1. what is listed is what the services say, and whatever the
release allows besides: values may make use of it; 2. grave is what hands over the device, or could: it comes first;
3. where a value says which device or path it is, it counts as the worst that it could be; 4. what cannot be there twice
is told of the release that comes, since what only the old one had has gone by then: the old containers are stopped
before the new ones start.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from checkvalve.protocol import reach
from checkvalve.protocol.reach import Bind, Device
from checkvalve.protocol.workload import Manifest, Service

Kind = Literal[
    "privileged",
    "host-root",
    "engine-socket",
    "host-network",
    "capability",
    "device",
    "host-path",
    "interface",
    "sysctl",
    "group",
]
KINDS: tuple[Kind, ...] = get_args(Kind)

# Each of these is enough to become root of the device, or to take it down.
_CAPABILITIES = frozenset(
    "ALL BPF CHECKPOINT_RESTORE DAC_READ_SEARCH MAC_ADMIN MAC_OVERRIDE NET_ADMIN PERFMON SYS_ADMIN SYS_BOOT SYS_MODULE "
    "SYS_PTRACE SYS_RAWIO SYS_TIME".split()
)
# Memory, ports of the processor, and whole disks; a name goes on after these letters.
_DEVICES = tuple(
    f"/dev/{name}"
    for name in "mem kmem port sd hd vd xvd nvme mmcblk mapper dm- disk block loop md mtd mtdblock ubi watchdog".split()
)
_WRITTEN = ("/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/lib64", "/proc", "/root", "/sbin", "/sys", "/usr")
_RULED = (
    "/run/dbus",
    "/run/systemd",
    "/var/lib/containerd",
    "/var/lib/containers",
    "/var/lib/checkvalve-agent",
    "/var/lib/docker",
    "/var/run/dbus",
)


@dataclass(frozen=True, slots=True)
class Right:
    """One right. `what` is as compose writes it, and empty where the kind says all; no `service`: any of them."""

    kind: Kind
    what: str
    service: str
    grave: bool


def rights(manifest: Manifest) -> tuple[Right, ...]:
    """Return what the release may do on a device, the grave first; nothing if it has its containers only."""
    found = [
        *(right for name, one in manifest.services.items() for right in _of(name, one, manifest)),
        *_interfaces(manifest),
    ]
    used = {right.kind for right in found}
    found += [Right(kind, "", "", grave=True) for kind in manifest.allow if kind not in used]  # rule 1
    return tuple(sorted(found, key=lambda one: (not one.grave, KINDS.index(one.kind), one.service, one.what)))


def exclusive(manifest: Manifest) -> tuple[str, ...]:
    """Return why old and new cannot run side by side, a sentence each; nothing if they can (rule 4)."""
    return tuple(dict.fromkeys(_sentences(manifest)))


def _of(name: str, service: Service, manifest: Manifest) -> Iterator[Right]:
    if service.privileged:
        yield Right("privileged", "", name, grave=True)
    if service.host_network:
        yield Right("host-network", "", name, grave=True)
    for capability in service.cap_add:
        yield Right("capability", capability, name, grave=capability in _CAPABILITIES)
    for device in service.devices:
        said = f"{device.source}:{device.target}:{device.rights}"
        yield Right("device", said, name, grave=_grave_device(device))
    for bind in service.binds:
        yield _bind(name, bind, manifest)
    for key, value in service.sysctls.items():
        yield Right("sysctl", f"{key}={value}", name, grave=False)
    for group in service.group_add:
        yield Right("group", group, name, grave=group in ("0", "root", "disk", "docker"))


def _interfaces(manifest: Manifest) -> Iterator[Right]:
    for name, network in manifest.networks.items():
        if network.driver == "bridge":
            continue
        on = [service for service, one in manifest.services.items() if any(at.network == name for at in one.networks)]
        for service in on:
            yield Right("interface", f"{network.parent} ({network.driver} {name})", service, grave=False)


def _grave_device(device: Device) -> bool:
    known, whole = _known(device.source)
    if whole:
        return any(known.startswith(root) or reach.within(root, known) for root in _DEVICES)
    return any(known.startswith(root) or root.startswith(known) for root in _DEVICES)  # rule 3


def _bind(service: str, bind: Bind, manifest: Manifest) -> Right:
    said = f"{bind.source}:{bind.target}" + (":ro" if bind.read_only else "")
    known, whole = _known(bind.source)
    needed = [reach.needed(known)] if whole else _possible(known, manifest)
    for kind in needed:
        if kind == "host-root" or kind == "engine-socket":  # noqa: PLR1714 -- so that the type is narrowed
            return Right(kind, said, service, grave=True)
    roots = _RULED if bind.read_only else (*_WRITTEN, *_RULED)
    if whole:
        grave = any(reach.within(known, root) or reach.within(root, known) for root in roots)
    else:
        paths = [path for path in manifest.host_paths if path.startswith(known) or known.startswith(path)]
        grave = any(reach.within(path, root) or reach.within(root, path) for path in paths for root in roots)
    return Right("host-path", said, service, grave=grave)


def _possible(known: str, manifest: Manifest) -> list[reach.Allowed]:
    """Return what a path that begins so could come to need, of what the release allows (rule 3)."""
    could: list[reach.Allowed] = []
    if "host-root" in manifest.allow and (known in ("", "/") or known.startswith("/proc")):
        could.append("host-root")
    sockets = reach.ENGINE_SOCKETS
    if "engine-socket" in manifest.allow and any(one.startswith(known) or known.startswith(one) for one in sockets):
        could.append("engine-socket")
    return could


def _known(template: str) -> tuple[str, bool]:
    """Return a template's text up to its first variable, and whether that is all of it."""
    pieces = template.split("$$")
    known: list[str] = []
    for piece in pieces:
        before, dollar, _ = piece.partition("$")
        known.append(before)
        if dollar:
            return "$".join(known), False
    return "$".join(known), True


def _sentences(manifest: Manifest) -> Iterator[str]:
    for name, network in sorted(manifest.networks.items()):
        if network.subnet:
            yield f"The network {name} has the fixed subnet {network.subnet}."
    for name, service in sorted(manifest.services.items()):
        if service.host_network:
            yield f"The service {name} is on the device's own network."
        yield from _addresses(name, service)
        for port in service.ports:
            address = f" on {port.address}" if port.address else ""
            yield f"The service {name} publishes port {port.published}/{port.protocol} of the device{address}."
        for device in service.devices:
            yield f"The service {name} uses the device {device.source}."


def _addresses(name: str, service: Service) -> Iterator[str]:
    for at in service.networks:
        for address in (at.ipv4, at.ipv6, at.mac):
            if address:
                yield f"The service {name} has the fixed address {address} on {at.network}."
