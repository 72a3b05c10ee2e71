# SPDX-License-Identifier: Apache-2.0
"""A plane with two organisations, on each engine."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from checkvalve.server.db.database import Database
from tests.server.web.plant import Plant


@pytest.fixture
def plant(database: Database, now: datetime, tmp_path: Path) -> Iterator[Plant]:
    """Return a plane with two organisations, `north` and `south`, and a person for each role in each."""
    plant = Plant(database, now, tmp_path).build()
    yield plant
    plant.close()
