# SPDX-License-Identifier: Apache-2.0
"""The plane loses its power while images come, releases are made and people sign; what it acknowledged is there."""

import random
from pathlib import Path

import pytest

from tests.parts import postgres, supply_kills
from tests.parts.plane import PlaneProcess
from tests.parts.supply_work import Plant
from tests.proofs import book

ROUNDS = 20


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_no_release_is_lost_doubled_or_published_by_half(
    engine: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = "sqlite:"
    if engine == "postgresql":
        cluster: postgres.Cluster = request.getfixturevalue("cluster")
        cluster.drop("proof_of_supply")
        cluster.sql("CREATE DATABASE proof_of_supply")
        url = cluster.url("proof_of_supply")
    plane = PlaneProcess(tmp_path / "plane", url)
    assert plane.init().returncode == 0
    try:
        plant = Plant(plane.start()).found()
        for number in book.rounds(f"plane killed while releases are made and signed, {engine}", ROUNDS):
            found = supply_kills.killed(plant, f"r{number}", random.Random(number))
            assert found.wrong == [], number
    finally:
        plane.close()
