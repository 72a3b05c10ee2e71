# SPDX-License-Identifier: Apache-2.0
"""How many of the devices that were declared are managed?

Rules: 1. a site has what its areas have; what an organisation declares, or has, without a site stands on a line of its
own; 2. legacy assets run no agent, and are never managed; 3. unknown is not zero: where nothing was declared there is
no share, and more managed than declared says so and is never more than all.
"""

from collections.abc import Iterable, Mapping

from checkvalve.server.estate.model import Cover, Declaration, Kind, Share, Totals

_SITE = 3  # slashes of `/ORG/SITE/`


def shares(declared: Iterable[Declaration], managed: Mapping[str, int]) -> list[Share]:
    """Return every place at which something was declared or is managed, by path.

    `managed` is how many devices of exactly a scope are enrolled and let in.
    """
    numbers: dict[str, dict[str, int]] = {}
    for one in declared:
        _add(numbers, one.scope, one.kind.value, one.number)
    for scope, number in managed.items():
        _add(numbers, scope, "managed", number)
    return [_share(place, numbers[place]) for place in sorted(numbers) if any(numbers[place].values())]


def site(scope: str) -> str:
    """Return the site that a scope lies in; an organisation, and the plane, are themselves (rule 1)."""
    parts = scope.split("/")
    return "/".join(parts[:_SITE]) + "/" if len(parts) > _SITE + 1 else scope


def judge(devices: int, managed: int) -> tuple[Cover, str]:
    """Return how `managed` devices stand to `devices` declared ones, and the sentence that says so (rule 3)."""
    if not devices:
        if not managed:
            return Cover.NOTHING, "no device declared"
        return Cover.UNDECLARED, f"{managed:,} managed, and none declared"
    said = f"managed {managed:,} of {devices:,} declared"
    if managed > devices:
        return Cover.MORE, f"{said}: more are enrolled than were declared"
    if managed == devices:
        return Cover.WHOLE, said
    return (Cover.PART if managed else Cover.NONE), said


def totals(shares: Iterable[Share]) -> Totals:
    """Return the sums."""
    every = list(shares)
    return Totals(
        devices=sum(one.devices for one in every),
        legacy=sum(one.legacy for one in every),
        managed=sum(one.managed for one in every),
        places=sum(bool(one.devices or one.legacy) for one in every),
    )


def _add(numbers: dict[str, dict[str, int]], scope: str, name: str, number: int) -> None:
    here = numbers.setdefault(site(scope), {Kind.DEVICE.value: 0, Kind.LEGACY.value: 0, "managed": 0})
    here[name] += number


def _share(place: str, numbers: Mapping[str, int]) -> Share:
    devices, managed = numbers[Kind.DEVICE.value], numbers["managed"]
    cover, reason = judge(devices, managed)
    return Share(place, devices, numbers[Kind.LEGACY.value], managed, cover, reason)
