# SPDX-License-Identifier: Apache-2.0
"""Has every fixed address its place in a network, and no other the same?

Rules: 1. an address that values fill is checked as far as it is known: what has no default yet is checked when it is
filled; 2. a fixed address needs a network with a subnet, and lies in it; 3. the engine keeps the network's own address,
of IPv4 the last one, and the gateway's, which is the first unless the network says another; 4. nothing on a network has
the address, or the hardware's address, of another.
"""

from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from checkvalve.protocol import workload
from checkvalve.server.supply.place import Place
from checkvalve.server.supply.sentences import brief

Subnet = IPv4Network | IPv6Network
_V6 = 6


def address(place: Place, version: int) -> str | None:
    """Return the template of an address of IPv4, of IPv6, or (0) of any; a literal one in its usual form."""
    example = "fd00::5" if version == _V6 else "10.20.0.5"
    template = place.template(instead=f"Write an address, as {example}.")
    if template is None:
        return None
    said = place.known(template)
    if said is None or (said == "" and template):
        return template
    usual = usual_form(said)
    if not usual or version not in (0, ip_address(usual).version):
        what = f"no address of IPv{version}" if version else "no address"
        place.refuse("value", f"{brief(said) or 'Empty text'} is {what}.", f"Write one, as {example}.")
        return None
    return usual if said == template else template


def usual_form(text: str) -> str:
    """Return an address as everybody writes it; empty if the text is none, or is one of a single interface."""
    try:
        return "" if "%" in text else str(ip_address(text))
    except ValueError:
        return ""


def subnet(place: Place) -> str | None:
    """Return the template of a network, a literal one in its usual form."""
    form = "Write its first address and its length, as 10.20.0.0/24."
    template = place.template(instead=form)
    if template is None:
        return None
    said = place.known(template)
    if said is None or (said == "" and template):
        return template
    known = _subnet(said)
    if known is None or known.is_loopback or known.is_multicast or known.prefixlen == 0:
        place.refuse(
            "value", f"{brief(said) or 'Empty text'} is no network for containers. {_meant(said)}".strip(), form
        )
        return None
    return str(known) if said == template else template


def _meant(text: str) -> str:
    """Return the network that somebody meant who wrote an address of it."""
    if "/" not in text or _subnet(text) is not None:
        return ""
    try:
        return f"The network of this address is {ip_network(text, strict=False)}."
    except ValueError:
        return ""


def of(place: Place, network: workload.Network) -> Subnet | None:
    """Return a network's subnet, as far as it is known."""
    return _subnet(place.known(network.subnet) or "")


def _subnet(text: str) -> Subnet | None:
    try:
        return ip_network(text) if "/" in text else None
    except ValueError:
        return None


def check(place: Place, services: Mapping[str, workload.Service], networks: Mapping[str, workload.Network]) -> None:
    """Refuse addresses that cannot be; `place` is that of all services."""
    taken: dict[tuple[str, str], str] = {}  # network, address -> service
    for name, below in place.entries():
        for at in services[name].networks if name in services else ():
            written = below.at("networks")
            here = written.at(at.network) if written is not None else None
            network = networks.get(at.network, workload.Network())
            if here is None:
                continue
            for key, template in (("ipv4_address", at.ipv4), ("ipv6_address", at.ipv6), ("mac_address", at.mac)):
                item = here.at(key)
                if item is None or not template:
                    continue
                if key == "mac_address":
                    _mac(item, network)
                else:
                    _within(item, template, at.network, network)
                _alone(item, template, (at.network, name), taken)


def _within(item: Place, template: str, called: str, network: workload.Network) -> None:
    """Check one fixed address of a service (rules 2 and 3)."""
    if not network.subnet:
        words = f"The network {brief(called)} has no subnet, so nothing on it has a fixed address."
        item.refuse("value", words, f"Write `ipam: {{config: [{{subnet: …}}]}}` below `networks.{brief(called)}`.")
        return
    around, said = of(item, network), usual_form(item.known(template) or "")
    if around is None or not said:
        return
    fixed, gateway = ip_address(said), usual_form(item.known(network.gateway) or "")
    if fixed not in around:
        item.refuse("value", f"{said} is not in {around}, the subnet of {brief(called)}.", "Write an address in it.")
    elif gateway == said or (not network.gateway and fixed == around.network_address + 1):
        words = f"{said} is the gateway's in {brief(called)}."
        item.refuse("value", words, "Write another, or another `gateway` for the network.")
    elif around.prefixlen < around.max_prefixlen - 1 and fixed in _kept(around):
        item.refuse("value", f"{said} is no address of its own in {around}.", "Write another.")


def _kept(around: Subnet) -> tuple[object, ...]:
    """Return the addresses that belong to a subnet itself; IPv6 has no broadcast."""
    return (around.network_address, around.broadcast_address)[: 1 if around.version == _V6 else 2]


def _mac(item: Place, network: workload.Network) -> None:
    if network.driver == "ipvlan":
        words = "On ipvlan everything has the hardware's address of the interface."
        item.refuse("value", words, "Take it out, or write `driver: macvlan`.")


def _alone(item: Place, template: str, where: tuple[str, str], taken: dict[tuple[str, str], str]) -> None:
    """Refuse what another service has (rule 4)."""
    network, name = where
    other = taken.setdefault((network, item.known(template) or template), name)
    if other != name:
        words = f"{brief(other)} has {brief(template)} on {brief(network)} already."
        item.refuse("value", words, "Write another.")
