# SPDX-License-Identifier: Apache-2.0
"""Which networks have to go before those of a slot can be made?

Where there are some, a switch is `stop-first` (walk attempt, 8): containers on them are stopped before the new ones
are whole. Rules: 1. two networks whose subnets overlap cannot exist at once, nor two on one interface of the host;
2. only a fixed subnet or an interface is ever in the way: the engine gives all others a subnet that is free; 3. what is
there already clashes with nothing, and what the slot itself needs never has to go for it; 4. it is asked of what the
engine shows, so that it holds for what nobody remembers, too. Static addresses, host ports and devices are taken as a
container starts: the old one does not run by then, in any switch.
"""

from ipaddress import IPv4Network, IPv6Network, ip_network

from checkvalve.agent.steps import Ground, Observed, Slot
from checkvalve.protocol.workload import Network


def in_the_way(slot: Slot, observed: Observed) -> dict[str, frozenset[str]]:
    """Return each network that the slot lacks and cannot have yet, by its name in the engine, with those that must go.

    A network that may be made at once is not in it.
    """
    own = {slot.network(name): network for name, network in slot.manifest.networks.items()}
    others = [each for each in observed.grounds if each.network in observed.networks - own.keys()]
    found = {
        name: frozenset(each.network for each in others if _clash(network, each))
        for name, network in own.items()
        if name not in observed.networks
    }
    return {name: clashing for name, clashing in found.items() if clashing}


def ground(name: str, network: Network) -> Ground:
    """Return what a network takes, as far as its definition says."""
    return Ground(name, (network.subnet,) if network.subnet else (), network.parent)


def overlap(first: str, second: str) -> bool:
    """Tell whether two subnets have an address in common; what is no subnet has none."""
    one, other = _read(first), _read(second)
    if isinstance(one, IPv4Network) and isinstance(other, IPv4Network):
        return one.overlaps(other)
    return isinstance(one, IPv6Network) and isinstance(other, IPv6Network) and one.overlaps(other)


def _clash(network: Network, there: Ground) -> bool:
    """Rules 1 and 2."""
    if network.parent and network.parent == there.parent:
        return True
    return bool(network.subnet) and any(overlap(network.subnet, each) for each in there.subnets)


def _read(text: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None
