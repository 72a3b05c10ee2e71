# SPDX-License-Identifier: Apache-2.0
"""The operators' application as it is built, on a database that nobody asks: for those who enumerate its routes."""

import tempfile
from pathlib import Path

from litestar import Litestar

from checkvalve import clock
from checkvalve.crypto import keys
from checkvalve.server.blobs.store import Blobs
from checkvalve.server.db.database import Database
from checkvalve.server.web import app, pages
from checkvalve.server.web.plane import Plane
from tests.parts import keyring


def nowhere() -> Litestar:
    """Return the application with API and pages."""
    with tempfile.TemporaryDirectory() as directory:
        database = Database.open("sqlite:", Path(directory))
        database.close()
        authority, orders = keyring.plane(clock.now())
        here = Plane(
            db=database,
            name="docs",
            version="0",
            ca_pem=b"",
            ca_pin="",
            origins=("https://localhost:9443",),
            blobs=Blobs(Path(directory)),
            online=keys.make(),
            authority=authority,
            orders=orders,
            values=bytes(32),
        )
    return app.application(here, pages.handlers)
