# SPDX-License-Identifier: Apache-2.0
"""The plane loses its power again and again, at other moments each time, and never loses or doubles a thing."""

import random
from pathlib import Path

import pytest

from tests.parts import kills, postgres
from tests.parts.plane import PlaneProcess
from tests.proofs import book

ROUNDS = 20


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_nothing_acknowledged_is_lost_or_doubled(engine: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    url = "sqlite:"
    if engine == "postgresql":
        cluster: postgres.Cluster = request.getfixturevalue("cluster")
        cluster.drop("proof_of_kills")
        cluster.sql("CREATE DATABASE proof_of_kills")
        url = cluster.url("proof_of_kills")
    plane = PlaneProcess(tmp_path / "plane", url)
    assert plane.init().returncode == 0
    try:
        plane.start()
        for number in book.rounds(f"plane killed while {kills.WORKERS} people work, {engine}", ROUNDS):
            count = random.Random(number).randint(1, 120)
            found = kills.killed_after(plane, f"round {number}", count)
            assert (found.lost, found.without_entry, found.doubled) == ([], [], []), (number, count)
    finally:
        plane.close()
