# SPDX-License-Identifier: Apache-2.0
"""The decision alone, for a person with many bindings."""

from collections.abc import Iterator
from datetime import UTC, datetime

from checkvalve.ids import BindingId, PersonId
from checkvalve.server.access import roles
from checkvalve.server.access.decide import decide, visible
from checkvalve.server.access.model import STANDING, Binding, Permission, Principal
from tests.bench.measure import Measure, median_of, seconds

NOW = datetime(2026, 11, 3, 12, tzinfo=UTC)
TIMES = 20_000


def measures() -> Iterator[Measure]:
    """Measure with 100 bindings, none of which is the one that allows but the last."""
    bindings = tuple(
        Binding(BindingId(f"{number}"), PersonId("anna"), "operator", f"/org/site{number}/") for number in range(100)
    )
    principal = Principal(PersonId("anna"), bindings, roles.BUILT_IN)
    principal.by_permission  # noqa: B018 - the index is built once a request

    def once() -> float:
        return seconds(lambda: [_last(principal) for _ in range(TIMES)]) / TIMES * 1e6

    yield Measure(
        "decide, 100 bindings, the last one allows", median_of(5, once), "us", "<= 20", f"median of 5 runs of {TIMES}"
    )
    yield Measure(
        "visible, 100 bindings",
        median_of(5, lambda: seconds(lambda: visible(principal, Permission.ROLLOUT_READ, NOW, STANDING)) * 1e6),
        "us",
        "",
        "median of 5",
    )


def _last(principal: Principal) -> bool:
    return decide(principal, Permission.ROLLOUT_START, "/org/site99/area/", NOW, STANDING).allow
