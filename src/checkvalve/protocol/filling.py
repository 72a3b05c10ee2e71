# SPDX-License-Identifier: Apache-2.0
"""What does a manifest say once its variables have values? Plane and device ask the same function.

Rules: 1. only templates are filled, and only in manifests of version 2: elsewhere `$` is a letter; 2. `${NAME}` is a
declared variable, `$$` a dollar sign, and anything else with a dollar sign is refused; 3. what is filled in is not
looked at again: a value with `${X}` in it is those letters; 4. what must be an address is one afterwards; 5. a bind's
path stays within what the release declares and allows, whatever the values say; 6. a fixed address lies in the subnet
of its network, and so do a network's gateway and range; 7. values give no two services one address, nor one port of the
device.
"""

import re
from collections.abc import Callable, Collection, Mapping
from ipaddress import ip_address, ip_network
from posixpath import normpath

from msgspec.structs import replace

from checkvalve.errors import InvalidError
from checkvalve.protocol import declared, reach
from checkvalve.protocol.reach import ENGINE_SOCKETS, Bind
from checkvalve.protocol.workload import Attachment, Manifest, Network, Port, Service

_DOLLAR = re.compile(r"\$(?:(\$)|\{([A-Za-z_][A-Za-z0-9_]{0,62})\})?")

Fill = Callable[[str], str]


def names(template: str) -> set[str]:
    """Return the variables that stand in a template; `InvalidError` (`values.template`) if it is none."""
    found = set[str]()
    for each in _DOLLAR.finditer(template):
        if each[1] is None and each[2] is None:
            raise InvalidError(
                "values.template",
                f"{template[each.start() : each.start() + 20]!r} is neither ${{NAME}} nor $$.",
                "Write ${NAME} for a variable, and $$ for a dollar sign.",
            )
        found |= {each[2]} - {None}
    return found


def literal(text: str) -> str:
    """Return the template that means exactly this text."""
    return text.replace("$", "$$")


def worded(template: str, values: Mapping[str, str]) -> str:
    """Return what a template says, `values` being those of all its names (rules 2 and 3)."""
    return _DOLLAR.sub(lambda each: "$" if each[1] else values[each[2]], template)


def variables(manifest: Manifest, given: Mapping[str, str]) -> dict[str, str]:
    """Return every declared variable with its value, given or default (rule 3).

    Raises `InvalidError`: `values.missing`, `values.misfit` (with the variable in the sentence).
    """
    found: dict[str, str] = {}
    for each in manifest.variables:
        value = given.get(each.name, each.default)
        if value is None:
            raise InvalidError("values.missing", f"The variable {each.name} has no value.", "Set one.")
        if why := declared.misfit(each, value):
            raise InvalidError("values.misfit", f"{value[:80]!r} is no value of {each.name}. {why}", "Correct it.")
        found[each.name] = value
    return found


def fill(manifest: Manifest, given: Mapping[str, str]) -> Manifest:
    """Return the manifest with literal texts; it is not one to be written down.

    Raises `InvalidError`: those of `variables`, `values.template`, `values.address`, `values.path` and `values.clash`.
    """
    if manifest.v == 1:  # rule 1
        return manifest
    values = variables(manifest, given)

    def filled(template: str) -> str:
        for name in names(template) - values.keys():
            raise InvalidError("values.template", f"The release does not declare {name}.", "Make the release anew.")
        return worded(template, values)

    services = {name: _service(one, filled, manifest) for name, one in manifest.services.items()}
    networks = {name: _network(one, filled) for name, one in manifest.networks.items()}
    for name, service in services.items():
        for at in service.networks:
            _inside(name, (at.ipv4, at.ipv6), networks[at.network].subnet)
    _apart(services)
    return replace(manifest, services=services, networks=networks)


def _apart(services: Mapping[str, Service]) -> None:
    """Refuse what two services have at once (rule 7); a port of all addresses is one of each."""
    addresses: dict[tuple[str, str], str] = {}
    ports: list[tuple[Port, str]] = []
    for name, service in sorted(services.items()):
        for at in service.networks:
            for address in filter(None, (at.ipv4, at.ipv6)):
                other = addresses.setdefault((at.network, address), name)
                if other != name:
                    raise _clash(f"{other} and {name} would both be {address} on the network {at.network}.")
        for port in service.ports:
            for there, other in ports:
                same = (there.published, there.protocol) == (port.published, port.protocol)
                if same and (there.address == port.address or "" in (there.address, port.address)):
                    raise _clash(f"{other} and {name} would both publish port {port.published}/{port.protocol}.")
            ports.append((port, name))


def _clash(sentence: str) -> InvalidError:
    return InvalidError("values.clash", sentence, "Give each a value of its own.")


def lifted(manifest: Manifest) -> Manifest:
    """Return the manifest of version 2 that says the same, so that two can be compared; it is not one to be written."""
    if manifest.v > 1:
        return manifest

    def each(texts: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return None if texts is None else tuple(literal(text) for text in texts)

    services = {
        name: replace(
            one,
            command=each(one.command),
            entrypoint=each(one.entrypoint),
            environment={key: literal(text) for key, text in one.environment.items()},
            hostname=literal(one.hostname),
        )
        for name, one in manifest.services.items()
    }
    return replace(manifest, services=services, v=2)


def _service(one: Service, filled: Fill, manifest: Manifest) -> Service:
    def each(texts: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return None if texts is None else tuple(filled(text) for text in texts)

    def values(texts: Mapping[str, str]) -> dict[str, str]:
        return {name: filled(text) for name, text in texts.items()}

    return replace(
        one,
        command=each(one.command),
        entrypoint=each(one.entrypoint),
        environment=values(one.environment),
        hostname=filled(one.hostname),
        networks=tuple(_attachment(at, filled) for at in one.networks),
        ports=tuple(_port(port, filled) for port in one.ports),
        devices=tuple(replace(device, source=_path(filled(device.source), ("/dev",))) for device in one.devices),
        binds=tuple(_bind(bind, filled, manifest) for bind in one.binds),
        extra_hosts={name: _address(filled(text)) for name, text in one.extra_hosts.items()},
        sysctls=values(one.sysctls),
    )


def _attachment(at: Attachment, filled: Fill) -> Attachment:
    return replace(at, ipv4=_address(filled(at.ipv4)), ipv6=_address(filled(at.ipv6)), mac=filled(at.mac))


def _port(port: Port, filled: Fill) -> Port:
    return replace(port, address=_address(filled(port.address)))


def _network(one: Network, filled: Fill) -> Network:
    subnet, gateway, given = (
        _subnet(filled(one.subnet)),
        _address(filled(one.gateway)),
        _subnet(filled(one.range)),
    )
    _inside("the network", (gateway, *given.split("/")[:1]), subnet)
    return replace(one, parent=filled(one.parent), subnet=subnet, gateway=gateway, range=given)


def _inside(whose: str, addresses: Collection[str], subnet: str) -> None:
    """Refuse an address outside its subnet (rule 6); one without any is the engine's to refuse."""
    for text in addresses:
        if text and subnet and ip_address(text) not in ip_network(subnet):
            words = f"{text} of {whose} is not in {subnet}, the subnet of its network."
            raise InvalidError("values.address", words, "Correct one of the two.")


def _bind(bind: Bind, filled: Fill, manifest: Manifest) -> Bind:
    """Return the bind with its path (rule 5)."""
    source = filled(bind.source)
    sockets = ENGINE_SOCKETS if "engine-socket" in manifest.allow else ()
    roots = ("/",) if source == "/" else (*(set(manifest.host_paths) - {"/"}), *sockets)
    needs = reach.needed(_path(source, roots))
    if needs is not None and needs not in manifest.allow:
        raise InvalidError("values.path", f"{source[:200]!r} needs {needs}, which is not allowed.", "Correct it.")
    return replace(bind, source=source)


def _path(text: str, within: Collection[str]) -> str:
    plain = text.startswith("/") and normpath(text) == text and not text.startswith("//")
    if not plain or not any(reach.within(text, root) for root in within):
        raise InvalidError(
            "values.path", f"{text[:200]!r} is not below what the release declares: {', '.join(within)}.", "Correct it."
        )
    return text


def _address(text: str) -> str:
    """Return the address in its usual form, "" as it is (rule 4)."""
    try:
        return str(ip_address(text)) if text else ""
    except ValueError as error:
        raise InvalidError("values.address", f"{text[:80]!r} is no IP address.", "Correct it.") from error


def _subnet(text: str) -> str:
    try:
        return str(ip_network(text)) if text else ""
    except ValueError as error:
        raise InvalidError("values.address", f"{text[:80]!r} is no network: {error}.", "Correct it.") from error
