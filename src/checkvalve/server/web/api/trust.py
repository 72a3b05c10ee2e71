# SPDX-License-Identifier: Apache-2.0
"""Whom devices believe: `/api/v1/trust`. It is what every device gets, so whoever is signed in may read it."""

import re

from litestar import Response, Router, get, post
from litestar.params import FromPath, JSONBody

from checkvalve.crypto import metadata
from checkvalve.errors import NotFoundError
from checkvalve.protocol import supply
from checkvalve.server.access.model import ROOT, Permission
from checkvalve.server.audit.model import Act
from checkvalve.server.db.database import Tx
from checkvalve.server.supply import actions as supply_actions
from checkvalve.server.supply import queries as supply_queries
from checkvalve.server.supply.model import Anchor
from checkvalve.server.web.api import supply_answers as answers
from checkvalve.server.web.auth import SIGNED_IN
from checkvalve.server.web.calls import Call, Called, in_scope

# As a TUF repository with consistent snapshots names them (TUF 1.0, section 6.2.1); the timestamp alone has no number.
_FILE = re.compile(
    rf"(?:([1-9][0-9]{{0,15}})\.)?({metadata.ROOT}|{metadata.TARGETS}|{metadata.SNAPSHOT}|{metadata.TIMESTAMP})\.json"
)


@get("/", opt={"permission": SIGNED_IN}, summary="Whom devices believe")
async def shown(call: Called) -> supply.Trust:
    """Answer with the roles, the age of each file, and the key that a root must name for this plane."""
    return _answer(call, await call.read("trust", supply_queries.anchor))


@get("/{file:str}", opt={"permission": SIGNED_IN}, summary="A file of metadata")
async def raw(call: Called, file: FromPath[str]) -> Response[bytes]:
    """Answer with a file as devices get it: `root.json` is the newest, `2.root.json` the second."""
    wanted = _FILE.fullmatch(file)
    if wanted is None:
        raise NotFoundError("trust.not_found", "There is no such file of metadata.", "GET /api/v1/trust lists them.")
    version = int(wanted[1]) if wanted[1] else None
    found = await call.read("trust file", lambda tx: supply_queries.file(tx, wanted[2], version))
    return Response(found, media_type="application/json")


@post("/root", opt={"permission": Permission.TRUST_MANAGE}, status_code=200, summary="Install a root of trust")
async def root(call: Called, data: JSONBody[supply.NewRoot]) -> supply.Trust:
    """Take the first root of trust, or the successor of the one there is."""
    online = call.plane.online

    def work(tx: Tx, act: Act) -> supply.Trust:
        return _answer(call, supply_actions.trust_root(tx, act, data.root.encode(), online))

    return await call.act("trust.root", "root:?", in_scope(ROOT), work)


def _answer(call: Call, anchor: Anchor) -> supply.Trust:
    return answers.trust(anchor, call.plane.online.public_key(), call.plane.now())


router = Router("/trust", route_handlers=[shown, raw, root], tags=["trust"])
