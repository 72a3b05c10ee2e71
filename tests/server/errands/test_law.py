# SPDX-License-Identifier: Apache-2.0
"""Whatever is done, in whatever order: what a device is to be ordered is what waits for it."""

import itertools
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checkvalve import ids
from checkvalve.errors import ConflictError
from checkvalve.ids import ErrandId
from checkvalve.server.db.database import Database
from checkvalve.server.errands.model import Errand, Kind, State
from tests.conftest import NOON
from tests.server.errands.world import FILE, World

DEEDS = st.tuples(
    st.sampled_from(["order", "order", "order", "cancel", "give", "bring", "receive", "receive", "lose", "later"]),
    st.integers(0, 5),
    st.sampled_from(list(Kind)),
)


@pytest.fixture(scope="module")
def world(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    path = tmp_path_factory.mktemp("law") / "checkvalve.sqlite"
    shutil.copy(migrated, path)
    database = Database.open(f"sqlite:{path}", path.parent)
    numbers = itertools.count(1)
    yield World(database, lambda: ids.encode(1_793_707_200_000, next(numbers).to_bytes(10)), NOON)
    database.close()


def _done(world: World, deed: str, errand: Errand) -> None:
    """Do what may be refused; a refusal changes nothing."""
    deeds: dict[str, Callable[[Errand], object]] = {
        "bring": world.bring,
        "cancel": world.take_back,
        "give": world.given,
        "lose": world.lose,
        "receive": lambda one: world.hear(one, content=FILE),
    }
    with suppress(ConflictError):
        deeds[deed](errand)


@pytest.mark.slow
@settings(max_examples=25)
@given(st.lists(DEEDS, max_size=20))
def test_a_device_is_to_be_ordered_what_waits_for_it_and_evidence_is_never_lost(
    world: World, deeds: list[tuple[str, int, Kind]]
) -> None:
    devices = (world.able(), world.able())
    there: list[Errand] = []
    signed: dict[ErrandId, Errand] = {}
    for deed, which, kind in deeds:
        if deed == "order":
            with suppress(ConflictError):
                there.append(world.order(devices[which % 2], kind, lines=which + 1))
        elif deed == "later":
            world.later(minutes=15 * which)
        elif there:
            _done(world, deed, there[which % len(there)])
        states = {one.id: world.errand(one) for one in there}
        for device in devices:
            here = [ident for ident, one in states.items() if one.device == device.id and one.state is State.WAITING]
            assert world.to_order(device) == world.waiting(device) == sorted(here)
        signed |= {ident: one for ident, one in states.items() if one.digest and ident not in signed}
        assert all(states[ident] == one for ident, one in signed.items()), "the first word stays as it is"
