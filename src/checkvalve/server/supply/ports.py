# SPDX-License-Identifier: Apache-2.0
"""Which ports of a service does the device open to others?

Rules: 1. a port of the host is always written out: one that the engine chose would be another after each restart;
2. a range is written out as its ports, equally many on both sides, at most 256 a service; 3. no port of the host is
published twice, and an address of its own does not hide from "all addresses"; 4. the order in the file means nothing;
5. values may fill the address, never a number: what a device opens to others stands in the release that people sign.
"""

import re
from collections.abc import Iterable, Iterator, Mapping

from checkvalve.protocol import filling, workload
from checkvalve.server.supply import addresses, keywords
from checkvalve.server.supply.document import Kind
from checkvalve.server.supply.place import Place
from checkvalve.server.supply.sentences import brief

MOST = 256
_FORM = 'Write it as "8080:80", "127.0.0.1:8080:80/udp" or "[::1]:8080:80", in quotes.'
_SHORT = re.compile(
    r"(?:(?P<address>\[[^\]]*\]|[^:\[\]]*):)?(?:(?P<published>[0-9-]*):)?(?P<target>[0-9-]+)(?:/(?P<protocol>[a-z]+))?\Z"
)
_RANGE = re.compile(r"([1-9][0-9]{0,4})(?:-([1-9][0-9]{0,4}))?\Z")
_EVERYWHERE = ("", "0.0.0.0", "::")  # noqa: S104 -- compared with, never bound


def ports(place: Place | None) -> tuple[workload.Port, ...]:
    """Return the ports of a service."""
    if place is None or not place.is_a(Kind.LIST, instead=_FORM):
        return ()
    found: set[tuple[str, int, int, str]] = set()
    for item in place.items():
        found.update(_long(item) if item.node.kind is Kind.MAP else _short(item))
        if len(found) > MOST:  # rule 2
            item.refuse("value", f"A service publishes at most {MOST} ports.", "Publish those that are needed.")
            return ()
    return tuple(
        workload.Port(
            target=target, published=published, address=address, protocol="udp" if protocol == "udp" else "tcp"
        )
        for address, published, target, protocol in sorted(found)
    )


def clashes(services: Mapping[str, tuple[workload.Port, ...]]) -> Iterator[tuple[str, workload.Port, str]]:
    """Yield `(service, port, other)` for every port of the host that another service, or the same, publishes too."""
    there: dict[tuple[int, str, int], dict[str, str]] = {}  # port, protocol, family -> address -> service
    for name, opened in services.items():
        for port in opened:
            for family in _families(port.address):
                others = there.setdefault((port.published, port.protocol, family), {})
                address = "" if port.address in _EVERYWHERE else port.address
                first = next(iter(others.values()), "") if address == "" else others.get("", others.get(address, ""))
                if first:  # rule 3
                    yield name, port, first
                    break
                others[address] = name


def _families(address: str) -> tuple[int, ...]:
    """Return where an address could meet another; one that values fill meets its own kind, and "all addresses"."""
    if "$" in address:
        return (0,)
    return (6,) if ":" in address else (4,) if address else (0, 4, 6)


def _short(item: Place) -> Iterable[tuple[str, int, int, str]]:
    text = item.template(words=True, instead=_FORM)
    if text is None:
        return ()
    parts = _SHORT.match(text)
    # `8080:80` fits as an address and a port, too: two parts are always ports.
    if parts is not None and parts["published"] is None and parts["address"] is not None:
        address, published = "", parts["address"]
    elif parts is not None:
        address, published = parts["address"] or "", parts["published"]
    else:
        _wrong(item, text)
        return ()
    return _spread(item, address.strip("[]"), published or "", parts["target"], parts["protocol"] or "tcp")


def _long(item: Place) -> Iterable[tuple[str, int, int, str]]:
    if not item.keys(keywords.PORT):
        return ()
    written = {
        key: below.template(words=True) if (below := item.at(key)) else ""
        for key in ("target", "published", "host_ip", "protocol")
    }
    if None in written.values():
        return ()
    if not written["target"]:
        item.refuse("missing", "The port has no target.", "Write the port inside the container as `target`.")
        return ()
    texts = {key: text or "" for key, text in written.items()}
    return _spread(item, texts["host_ip"], texts["published"], texts["target"], texts["protocol"] or "tcp")


def _spread(
    item: Place, address: str, published: str, target: str, protocol: str
) -> Iterable[tuple[str, int, int, str]]:
    """Return each port of a range for itself."""
    if not published:  # rule 1
        item.refuse("unsupported", "The device's own port is not said.", _FORM)
        return ()
    outside, inside = _range(published), _range(target)
    if outside is None or inside is None:
        _wrong(item, published if outside is None else target, "Ports go from 1 to 65535, ranges upward: 8000-8010.")
        return ()
    if len(outside) != len(inside) or len(outside) > MOST:  # rule 2
        item.refuse(
            "value", f"The two ranges are not of one length, or longer than {MOST}.", "Write as many on both sides."
        )
        return ()
    if protocol not in ("tcp", "udp"):
        item.refuse("value", f"{brief(protocol)} is no protocol here.", "Write tcp or udp.")
        return ()
    bound = _bound(item, address)
    if bound is None:
        return ()
    return [(bound, out, into, protocol) for out, into in zip(outside, inside, strict=True)]


def _bound(item: Place, address: str) -> str | None:
    """Return the address in its usual form, a template as it is."""
    said = item.known(address)
    usual = addresses.usual_form(said) if said else ""
    if said and not usual:
        instead = "Write an IPv4 address, or an IPv6 address in brackets."
        item.refuse("value", f"{brief(said)} is no address.", instead)
        return None
    return usual if said == address else address


def _wrong(item: Place, text: str, instead: str = _FORM) -> None:
    """Refuse what is no port, or no port yet (rule 5)."""
    if filling.names(text):
        item.refuse("variable", "The numbers of a port are fixed in a release; its address may be a variable.", instead)
    else:
        item.refuse("value", f"{brief(text) or 'Empty text'} is no port.", instead)


def _range(text: str) -> range | None:
    parts = _RANGE.match(text)
    if parts is None:
        return None
    first, last = int(parts[1]), int(parts[2] or parts[1])
    return range(first, last + 1) if first <= last <= 65_535 else None
