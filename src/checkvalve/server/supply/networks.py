# SPDX-License-Identifier: Apache-2.0
"""Which networks is a service on?

Rules: 1. without a word it is on `default`, which every file has, as in compose; 2. the order in the file means
nothing, so attachments are kept in the order of their names, and aliases in theirs.
"""

import re
from collections.abc import Collection

from checkvalve.protocol import workload
from checkvalve.server.supply import keywords
from checkvalve.server.supply.document import Kind
from checkvalve.server.supply.place import Place
from checkvalve.server.supply.sentences import brief
from checkvalve.server.supply.storage import named

DEFAULT = "default"
HOST = re.compile(
    r"(?=.{1,253}\Z)[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*\Z"
)
HOST_FORM = "Use letters, digits and `-`, with dots between."


def networks(place: Place | None) -> dict[str, workload.Network]:
    """Return the networks that the release declares."""
    if place is None or not place.is_a(Kind.MAP, instead="Write the name of each network, and a colon."):
        return {}
    return {key: _network(below) for key, below in place.entries() if named(below, key)}


def _network(place: Place) -> workload.Network:
    if place.empty or not place.keys(keywords.NETWORK):
        return workload.Network()
    driver, internal = place.at("driver"), place.at("internal")
    if driver is not None and driver.text() not in (None, "bridge"):
        driver.refuse("unsupported", "Networks of a release are bridges.", "Write `driver: bridge`, or take it out.")
    return workload.Network(internal=bool(internal.boolean()) if internal else False)


def attachments(place: Place | None, declared: Collection[str]) -> tuple[workload.Attachment, ...]:
    """Return the networks of a service with its aliases there."""
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
            found[key] = workload.Attachment(network=key, aliases=_aliases(item))
    return tuple(found[key] for key in sorted(found)) or alone


def _written(place: Place) -> list[tuple[str, Place]]:
    if place.node.kind is Kind.MAP:
        return list(place.entries())
    return [(key, item) for item in place.items() if (key := item.text()) is not None]


def _aliases(place: Place) -> tuple[str, ...]:
    if place.node.kind in (Kind.TEXT, Kind.NULL) or not place.keys(keywords.ATTACHMENT):
        return ()
    aliases = place.at("aliases")
    texts = aliases.each(lambda item: item.matching(HOST, "name of a host", HOST_FORM)) if aliases else None
    return tuple(sorted(set(texts or ())))
