# SPDX-License-Identifier: Apache-2.0
"""Which networks does a release have, and which is a service on?

Rules: 1. without a word a service is on `default`, which every file has, as in compose; 2. the order in the file means
nothing, so attachments are kept in the order of their names, and aliases in theirs; 3. macvlan and ipvlan lie on an
interface of the device, which has to be named: without one the engine makes a network that leads nowhere; 4. two
networks of a release share no subnet and no interface: the engine refuses the second.
"""

import re
from collections.abc import Collection, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_address
from itertools import combinations
from typing import Literal, cast

from checkvalve.protocol import workload
from checkvalve.server.supply import addresses, keywords
from checkvalve.server.supply.document import Kind
from checkvalve.server.supply.place import Place
from checkvalve.server.supply.sentences import brief
from checkvalve.server.supply.storage import named

DEFAULT = "default"
HOST = re.compile(
    r"(?=.{1,253}\Z)[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*\Z"
)
HOST_FORM = "Use letters, digits and `-`, with dots between."
Driver = Literal["bridge", "macvlan", "ipvlan"]
_DRIVERS = ("bridge", "macvlan", "ipvlan")
_INTERFACE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,14}\Z")
_MAC = re.compile(r"[0-9A-Fa-f][02468ACEace](:[0-9A-Fa-f]{2}){5}\Z")
_MAC_FORM = "Write six pairs, the first of one machine only, as 02:42:0a:14:00:05."
_PARENT = "Write `driver_opts: {parent: eth0}`."


def networks(place: Place | None) -> dict[str, workload.Network]:
    """Return the networks that the release declares."""
    if place is None or not place.is_a(Kind.MAP, instead="Write the name of each network, and a colon."):
        return {}
    found = {key: _network(below) for key, below in place.entries() if named(below, key)}
    _apart(place, found)
    return found


def _network(place: Place) -> workload.Network:
    if place.empty or not place.keys(keywords.NETWORK):
        return workload.Network()
    said, internal = place.at("driver"), place.at("internal")
    driver = cast("Driver", (said.choice(_DRIVERS) if said else None) or "bridge")
    around, gateway, given = _ipam(place.at("ipam"))
    return workload.Network(
        internal=bool(internal.boolean()) if internal else False,
        driver=driver,
        parent=_parent(place, driver),
        subnet=around,
        gateway=gateway,
        range=given,
    )


def _parent(place: Place, driver: Driver) -> str:
    """Return the interface that a network lies on (rule 3)."""
    options = place.at("driver_opts")
    at = options.at("parent") if options is not None and options.keys(keywords.NETWORK_OPTIONS) else None
    if driver == "bridge":
        if at is not None:
            at.refuse("value", "A bridge lies on no interface.", "Write `driver: macvlan`, or take it out.")
        return ""
    if at is None:
        place.refuse("missing", f"A network of {driver} names the interface that it lies on.", _PARENT)
        return ""
    return at.shaped(_INTERFACE, "name of an interface", "Write it as `ip link` shows it, as eth0 or eth0.20.") or ""


def _ipam(place: Place | None) -> tuple[str, str, str]:
    """Return a network's subnet, its gateway and what of it the engine may give."""
    nothing = ("", "", "")
    if place is None or not place.keys(keywords.IPAM):
        return nothing
    driver, config = place.at("driver"), place.at("config")
    if driver is not None and driver.text() not in (None, "default"):
        driver.refuse("unsupported", "Addresses come from the engine.", "Write `driver: default`, or take it out.")
    if config is None or not config.is_a(Kind.LIST, instead="Write a list of one: `- subnet: 10.20.0.0/24`."):
        return nothing
    items = list(config.items())
    if len(items) > 1:
        items[1].refuse("unsupported", "A network has one subnet.", "Declare a second network for the second subnet.")
    return _config(items[0]) if items and items[0].keys(keywords.SUBNET) else nothing


def _config(place: Place) -> tuple[str, str, str]:
    at, gateway, given = place.at("subnet"), place.at("gateway"), place.at("ip_range")
    subnet = addresses.subnet(at) if at is not None else None
    for other in (gateway, given):
        if at is None and other is not None:
            other.refuse("missing", "This is of a subnet, and none is written.", "Write `subnet:` beside it.")
    if subnet is None:
        return ("", "", "")
    around = addresses.of(place, workload.Network(subnet=subnet))
    return subnet, _gateway(gateway, around), _range(given, around)


def _gateway(place: Place | None, around: addresses.Subnet | None) -> str:
    if place is None:
        return ""
    template = addresses.address(place, around.version if around is not None else 0)
    said = addresses.usual_form(place.known(template) or "") if template else ""
    if around is not None and said and ip_address(said) not in around:
        place.refuse("value", f"{said} is not in {around}.", "Write an address of the subnet.")
    return template or ""


def _range(place: Place | None, around: addresses.Subnet | None) -> str:
    if place is None:
        return ""
    template = addresses.subnet(place)
    inner = addresses.of(place, workload.Network(subnet=template)) if template else None
    if around is not None and inner is not None and not _inside(inner, around):
        place.refuse("value", f"{inner} is not in {around}.", "Write a part of the subnet.")
    return template or ""


def _inside(inner: addresses.Subnet, around: addresses.Subnet) -> bool:
    match inner, around:
        case (IPv4Network(), IPv4Network()) | (IPv6Network(), IPv6Network()):
            return inner.subnet_of(around)  # type: ignore[arg-type]  # both are of one version
        case _:
            return False


def _apart(place: Place, found: Mapping[str, workload.Network]) -> None:
    """Refuse what two networks cannot both have (rule 4)."""
    places = dict(place.entries())
    for (first, one), (second, other) in combinations(found.items(), 2):
        here, there = addresses.of(place, one), addresses.of(place, other)
        same = one.subnet and one.subnet == other.subnet
        if same or (here is not None and there is not None and here.overlaps(there)):
            words = f"{brief(first)} has addresses of {there or brief(other.subnet)} already."
            places[second].refuse("value", words, "Write a subnet that no other network has.")
        elif one.parent and (place.known(one.parent) or one.parent) == (place.known(other.parent) or other.parent):
            words = f"{brief(first)} lies on {brief(other.parent)} already."
            instead = "Put all services onto one network; or name a VLAN of the interface, as eth0.20."
            places[second].refuse("value", words, instead)


def attachments(place: Place | None, declared: Collection[str]) -> tuple[workload.Attachment, ...]:
    """Return the networks of a service with its aliases and fixed addresses there."""
    alone = (workload.Attachment(network=DEFAULT),)  # rule 1
    if place is None or not place.is_a(Kind.LIST, Kind.MAP, instead="Write a list of network names."):
        return alone
    found: dict[str, workload.Attachment] = {}
    for key, item in _written(place):
        if key in found:
            item.refuse("duplicate", f"The network {brief(key)} stands here twice.", "Keep one of them.")
        elif key != DEFAULT and key not in declared:
            item.refuse("reference", f"No network {brief(key)} is declared.", f"Add `{brief(key)}:` below `networks`.")
        else:
            found[key] = _attachment(key, item)
    return tuple(found[key] for key in sorted(found)) or alone


def _written(place: Place) -> list[tuple[str, Place]]:
    if place.node.kind is Kind.MAP:
        return list(place.entries())
    return [(key, item) for item in place.items() if (key := item.text()) is not None]


def _attachment(network: str, place: Place) -> workload.Attachment:
    if place.node.kind in (Kind.TEXT, Kind.NULL) or not place.keys(keywords.ATTACHMENT):
        return workload.Attachment(network=network)
    aliases, four, six, mac = (place.at(f"{key}") for key in ("aliases", "ipv4_address", "ipv6_address", "mac_address"))
    texts = aliases.each(lambda item: item.matching(HOST, "name of a host", HOST_FORM)) if aliases else None
    hardware = mac.shaped(_MAC, "address of hardware", _MAC_FORM) if mac else None
    return workload.Attachment(
        network=network,
        aliases=tuple(sorted(set(texts or ()))),
        ipv4=(addresses.address(four, 4) or "") if four else "",
        ipv6=(addresses.address(six, 6) or "") if six else "",
        mac=hardware if hardware and "$" in hardware else (hardware or "").lower(),
    )
