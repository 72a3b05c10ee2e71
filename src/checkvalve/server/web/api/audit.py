# SPDX-License-Identifier: Apache-2.0
"""The record: `/api/v1/audit`."""

from datetime import datetime

from litestar import Response, Router, get
from litestar.params import FromPath, FromQuery

from checkvalve.ids import EntryId, well_formed
from checkvalve.protocol import api
from checkvalve.server.access import queries as access_queries
from checkvalve.server.access.model import ROOT, Permission
from checkvalve.server.audit import queries as audit_queries
from checkvalve.server.audit.model import Entry
from checkvalve.server.web.api import answers
from checkvalve.server.web.api.paging import USUAL, Limit, Within, Word, moment, stretch
from checkvalve.server.web.calls import NO_ID, Call, Called


@get("/", opt={"permission": Permission.AUDIT_READ}, summary="Entries, newest first")
async def listed(
    call: Called,
    within: Within = ROOT,
    limit: Limit = USUAL,
    before: Word = "",
    action: Word = "",
    subject: Word = "",
    actor: Word = "",
    since: FromQuery[datetime | None] = None,
) -> api.Page[api.Entry]:
    """List entries; `action` is a beginning (`rollout.`), the other words are whole, `before` is the last id had."""
    first = moment("since", since)
    found = await call.ask(
        "audit",
        lambda tx, seen: audit_queries.latest(
            tx,
            access_queries.entries_within(seen),
            limit=limit + 1,
            before=before,
            action=action,
            subject=subject,
            actor=actor,
            since=first,
        ),
        scope=within,
    )
    return stretch(found, limit, lambda one: one.id, answers.entry)


@get("/{entry_id:str}", opt={"permission": Permission.AUDIT_READ}, summary="An entry")
async def one(call: Called, entry_id: FromPath[str]) -> api.Entry:
    """Answer with one entry."""
    return answers.entry(await _found(call, entry_id))


@get("/{entry_id:str}/raw", opt={"permission": Permission.AUDIT_READ}, summary="An entry's final bytes")
async def raw(call: Called, entry_id: FromPath[str]) -> Response[bytes]:
    """Answer with the bytes that were recorded: SHA-256 of a zero byte and these is the entry's `leaf_hash`."""
    found = await _found(call, entry_id)
    return Response(found.data, media_type="application/json")


async def _found(call: Call, entry_id: str) -> Entry:
    wanted = EntryId(entry_id if well_formed(entry_id) else NO_ID)
    within = access_queries.entries_within
    return await call.ask("entry", lambda tx, seen: audit_queries.entry(tx, within(seen), wanted))


router = Router("/audit", route_handlers=[listed, one, raw], tags=["audit"])
