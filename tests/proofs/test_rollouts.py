# SPDX-License-Identifier: Apache-2.0
"""The plane dies at every moment of a rollout there is, and of its devices and their receipts none counts twice."""

from collections.abc import Iterator

import pytest

from tests.parts import postgres, rolling, rollout_kills
from tests.parts.rolling import Fleet
from tests.parts.rollout_kills import MOMENTS
from tests.proofs import book

ROLES = ("operators", "devices")
AGAIN = 3  # rounds of each role


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def fleet(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Lend six devices of a plane on each database; in the end none of them has ever listened."""
    url = "sqlite:"
    if request.param == "postgresql":
        cluster: postgres.Cluster = request.getfixturevalue("cluster")
        cluster.sql("DROP DATABASE IF EXISTS proof_of_rollouts WITH (FORCE)")
        cluster.sql("CREATE DATABASE proof_of_rollouts")
        url = cluster.url("proof_of_rollouts")
    with rolling.lent(tmp_path_factory.mktemp("rollouts"), url) as lent:
        yield lent
        assert [each.heard for each in lent.agents if each.heard] == []


def test_a_plane_killed_at_each_moment_of_a_rollout_loses_no_count_and_doubles_none(fleet: Fleet) -> None:
    engine = fleet.estate.database.kind
    for number in book.rounds(f"plane killed at each moment of a rollout to six devices, {engine}", len(MOMENTS)):
        _held(fleet, MOMENTS[number])


def test_of_two_processes_either_may_die_during_a_rollout(fleet: Fleet) -> None:
    if fleet.estate.database.kind == "sqlite":
        return  # one writer: there are no two
    proof = "one of two processes killed during a rollout to six devices, postgresql"
    for number in book.rounds(proof, len(ROLES) * AGAIN):
        fleet.calm()
        rollout_kills.one_of_two(fleet, ROLES[number % len(ROLES)])


def _held(fleet: Fleet, moment: str) -> None:
    fleet.calm()
    try:
        rollout_kills.killed(fleet, moment)
    except BaseException as error:
        error.add_note(moment)
        raise
