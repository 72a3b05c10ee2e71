# SPDX-License-Identifier: Apache-2.0
"""The devices that a selector means, as they are now."""

from collections.abc import Iterable

from checkvalve import lines
from checkvalve.ids import DeviceId
from checkvalve.server.access import queries as access_queries
from checkvalve.server.access.model import ScopeKind, Visibility
from checkvalve.server.db.database import Tx
from checkvalve.server.fleet import queries as fleet_queries
from checkvalve.server.fleet.model import Device
from checkvalve.server.supply import queries as supply_queries
from checkvalve.server.supply.model import Title
from checkvalve.server.supply.queries import EVERYWHERE
from checkvalve.server.targeting import selector
from checkvalve.server.targeting.model import Expr, Facts, Key, Term


def select(tx: Tx, scope: str, expr: Expr) -> list[Device]:
    """Return the devices at or below `scope` that `expr` means, by name; those retired are none."""
    found = fleet_queries.devices(tx, Visibility((scope,)), limit=None, retired=False)
    known = _Known(tx, scope, expr, found)
    return [device for device in found if selector.matches(expr, known.facts(device))]


def unknown(tx: Tx, scope: str, expr: Expr) -> list[Term]:
    """Return the terms that no site, area, tag, device or release that runs at or below `scope` answers to.

    That is most times a slip of a pen.
    """
    found = fleet_queries.devices(tx, Visibility((scope,)), limit=None, retired=False)
    known = _Known(tx, scope, expr, found)
    facts = [known.facts(device) for device in found]
    return [
        term
        for term in selector.terms(expr)
        if not known.named(term) and not any(selector.matches(term, each) for each in facts)
    ]


class _Known:
    """The names of the sites and areas at, below and above a scope, and of what devices run, if that is asked."""

    def __init__(self, tx: Tx, scope: str, expr: Expr, devices: Iterable[Device]) -> None:
        parts = scope.strip("/").split("/")
        above = ["/" + "/".join(parts[: index + 1]) + "/" for index in range(len(parts))]
        nodes = [
            *access_queries.listed(tx, Visibility((scope,))),
            *filter(None, (access_queries.at(tx, path) for path in above[:-1])),
        ]
        self._nodes = {node.path: (node.kind, lines.folded(node.name)) for node in nodes}
        self._known: dict[str, tuple[frozenset[str], frozenset[str]]] = {}
        asked = any(term.key is Key.RUNS for term in selector.terms(expr))
        refs = sorted({device.active for device in devices if device.active}) if asked else []
        titles = supply_queries.titles(tx, refs, EVERYWHERE)
        self._runs = {ref: _names(title) for ref, title in titles.items()}

    def facts(self, device: Device) -> Facts:
        """Return what may be asked of a device."""
        sites, areas = self._of(device.scope)
        runs = self._runs.get(device.active, frozenset())
        return Facts(DeviceId(device.id), lines.folded(device.name), sites, areas, frozenset(device.tags), runs)

    def named(self, term: Term) -> bool:
        """Tell whether a site or an area has the name that `term` asks for."""
        kinds = {Key.SITE: ScopeKind.SITE, Key.AREA: ScopeKind.AREA}
        return (kinds.get(term.key), lines.folded(term.value)) in self._nodes.values()

    def _of(self, scope: str) -> tuple[frozenset[str], frozenset[str]]:
        if scope not in self._known:
            above = [found for path, found in self._nodes.items() if scope.startswith(path)]
            self._known[scope] = (
                frozenset(name for kind, name in above if kind is ScopeKind.SITE),
                frozenset(name for kind, name in above if kind is ScopeKind.AREA),
            )
        return self._known[scope]


def _names(title: Title) -> frozenset[str]:
    return frozenset(map(lines.folded, (title.name, f"{title.name}@{title.version}")))
