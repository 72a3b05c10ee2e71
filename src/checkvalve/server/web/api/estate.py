# SPDX-License-Identifier: Apache-2.0
"""The declared estate: `/api/v1/estate`. A file is sent as it is, as the body, and taken whole or not at all."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Annotated, Any

from litestar import Request, Response, Router, get, post
from litestar.params import FromQuery, JSONBody, QueryParameter

from checkvalve.errors import CheckvalveError
from checkvalve.ids import DeclarationId
from checkvalve.protocol import api, estate
from checkvalve.server.access import decide
from checkvalve.server.access.model import ROOT, Permission, Visibility
from checkvalve.server.audit.compose import rfc3339
from checkvalve.server.audit.model import Act
from checkvalve.server.db.database import Tx
from checkvalve.server.estate import actions as estate_actions
from checkvalve.server.estate import csvs, managed
from checkvalve.server.estate import queries as estate_queries
from checkvalve.server.estate.model import Change, Changes, Declaration, File, Kind, Said, What
from checkvalve.server.estate.naming import Places
from checkvalve.server.identity import queries as identity_queries
from checkvalve.server.web.api.answers import time
from checkvalve.server.web.api.paging import USUAL, After, Before, Limit, Within, last, moment, stretch
from checkvalve.server.web.calls import Call, Called, Place, in_scope

TABLES = frozenset({csvs.MEDIA_TYPE, "application/octet-stream"})
"""What the body of an import says it is; a form of another site's page cannot say so."""
TOLD = 500  # changes that an answer names
_BODY = 2 * csvs.LARGEST  # bytes that are read, so that what is too large is told so in words
_READ, _DECLARE = {"permission": Permission.ESTATE_READ}, {"permission": Permission.ESTATE_DECLARE}

Moment = Annotated[
    datetime | None, QueryParameter(name="at", description="As it was declared then, RFC 3339 with its zone.")
]
ClassName = Annotated[str, QueryParameter(name="class", max_length=400, pattern=api.TEXT)]
Exactly = Annotated[
    str,
    QueryParameter(name="place", max_length=400, pattern=rf"({api.PATH})|^\Z", description="Declared exactly here."),
]
DryRun = Annotated[bool, QueryParameter(name="dry_run", description="Say what it would change, and change nothing.")]


@get("/", opt=_READ, summary="What is declared, and how much of it is managed")
async def listed(
    call: Called, *, within: Within = ROOT, at: Moment = None, limit: Limit = USUAL, after: After = ""
) -> estate.Estate:
    """Answer with sums, places, and the classes from `after` on, by place and class."""
    then = moment("at", at)

    def look(tx: Tx, seen: Visibility) -> estate.Estate:
        names, rows = estate_queries.places(tx, seen), estate_queries.now(tx, seen, at=then)
        shares = estate_queries.compare(tx, seen, rows, call.plane.now())
        ids = [row.id for row in rows]
        first = 0 if not after else ids.index(DeclarationId(after)) + 1 if after in ids else len(ids)
        here, totals = rows[first : first + limit], managed.totals(shares)
        return estate.Estate(
            totals=estate.Totals(
                devices=totals.devices, legacy=totals.legacy, managed=totals.managed, places=totals.places
            ),
            places=[
                estate.Share(
                    scope=one.scope,
                    where=names.called(one.scope),
                    devices=one.devices,
                    legacy=one.legacy,
                    managed=one.managed,
                    cover=one.cover.value,
                    reason=one.reason,
                )
                for one in shares
            ],
            items=_answered(tx, names, here),
            next=here[-1].id if len(rows) > first + limit else None,
            at=time(then),
        )

    return await call.ask("estate", look, scope=within)


@get("/history", opt=_READ, summary="Everything ever declared, newest first")
async def history(
    call: Called,
    *,
    within: Within = ROOT,
    place: Exactly = "",
    kind: FromQuery[Kind | None] = None,
    class_name: ClassName = "",
    limit: Limit = USUAL,
    before: Before = "",
) -> api.Page[estate.Declaration]:
    """List what was declared; with `place`, `kind` and `class` the history of one class."""

    def look(tx: Tx, seen: Visibility) -> list[estate.Declaration]:
        found = estate_queries.history(
            tx, seen, scope=place, kind=kind, class_name=class_name, limit=limit + 1, before=last(before)
        )
        return _answered(tx, estate_queries.places(tx, seen), found)

    return stretch(await call.ask("estate", look, scope=within), limit, lambda one: one.id, lambda one: one)


@get("/export", opt=_READ, summary="What is declared, as CSV")
async def export(call: Called, *, within: Within = ROOT) -> Response[bytes]:
    """Answer with a file that imports again and changes nothing."""
    data = await call.ask("estate", estate_queries.exported, scope=within)
    return attachment(data)


@post("/", opt=_DECLARE, summary="Declare one class")
async def declare(call: Called, data: JSONBody[estate.NewDeclaration]) -> estate.Changes:
    """Declare how many of a class there are at a place; the number 0 ends the class."""
    said = Said(data.scope, Kind(data.kind), data.class_name, data.number, data.note)
    changes, names = await declared(call, [said], data.scope)
    return _told(changes, names)


@post(
    "/import",
    opt={**_DECLARE, "reads": TABLES},
    request_max_body_size=_BODY,
    status_code=200,
    summary="Declare everything that a CSV file holds",
)
async def import_(
    call: Called, request: Request[Any, Any, Any], *, within: Within = ROOT, dry_run: DryRun = False
) -> estate.Changes:
    """Take the file that is the body, whole or not at all: `site,kind,class,number,note`.

    A class that it does not name stays; a second time it changes nothing. With `scope` every line is of a site in it.
    """
    said, changes, names = await checked(call, await request.body(), within)
    if not dry_run:
        changes, names = await declared(call, said, within)
    return _told(changes, names, dry_run=dry_run)


async def checked(call: Call, data: bytes, within: str) -> tuple[tuple[Said, ...], Changes, Places]:
    """Return what a file declares within a place, what that would change, and the names of places.

    A refusal is recorded. Raises what `csvs.read` does, `InvalidError` (`estate.file`), and what `Call.may` does.
    """
    read: File | CheckvalveError
    try:
        read = csvs.read(data)
    except CheckvalveError as error:
        read = error  # told where refusals are recorded, after the right was judged

    def check(tx: Tx) -> tuple[tuple[Said, ...], Changes, Places]:
        if isinstance(read, CheckvalveError):
            raise read
        seen = _reach(call, tx, within)
        said = estate_queries.of_file(tx, read, seen)
        return said, estate_queries.would(tx, said), estate_queries.places(tx, seen)

    return await call.may("estate.declare", "scope:?", _held(call, within), check)


async def declared(call: Call, said: Sequence[Said], within: str) -> tuple[Changes, Places]:
    """Declare all of it in one transaction, in which the right is judged at every place that it names.

    Raises what `estate.actions.declare` does.
    """
    paths = sorted({one.scope for one in said})

    def do(tx: Tx, act: Act) -> tuple[Changes, Places]:
        ids = [DeclarationId(call.plane.new_id()) for _ in said]
        changes = estate_actions.declare(tx, act, said, ids, within)
        return changes, estate_queries.places(tx, _reach(call, tx, within))

    match paths:
        case []:
            where = _held(call, within)
        case [only]:
            where = in_scope(only)
        case _:  # `checked` found them among those that the caller may declare at: they are no secret
            where = Place(lambda _tx, _ident: paths, ROOT, known=True)
    return await call.act("estate.declare", "scope:?", where, do)


def attachment(data: bytes) -> Response[bytes]:
    """Answer with a file to be kept."""
    headers = {"Content-Disposition": 'attachment; filename="estate.csv"', "X-Content-Type-Options": "nosniff"}
    return Response(data, media_type=csvs.MEDIA_TYPE, headers=headers)


def _held(call: Call, within: str) -> Place:
    """Return where the right to declare must be held; without a place, that it is held somewhere."""
    if within != ROOT:
        return in_scope(within)
    return Place(lambda tx, _: _reach(call, tx, ROOT).prefixes or (ROOT,), ROOT, known=True)


def _reach(call: Call, tx: Tx, within: str) -> Visibility:
    held = call.reach(tx).get(Permission.ESTATE_DECLARE)
    return decide.narrowed(held, within) if held else Visibility(())


def _answered(tx: Tx, names: Places, rows: Iterable[Declaration]) -> list[estate.Declaration]:
    here = list(rows)
    people = identity_queries.names(tx, (one.made_by for one in here))
    return [
        estate.Declaration(
            id=one.id,
            scope=one.scope,
            where=names.called(one.scope),
            kind=one.kind.value,
            class_name=one.class_name,
            number=one.number,
            note=one.note,
            made_by=one.made_by,
            made_by_name=people.get(one.made_by, ""),
            made_at=rfc3339(one.made_at),
        )
        for one in here
    ]


def _told(changes: Changes, names: Places, *, dry_run: bool = False) -> estate.Changes:
    return estate.Changes(
        dry_run=dry_run,
        added=changes.number(What.ADDED),
        changed=changes.number(What.CHANGED),
        ended=changes.number(What.ENDED),
        unchanged=changes.number(What.UNCHANGED),
        changes=[_change(one, names) for one in changes.real[:TOLD]],
    )


def _change(one: Change, names: Places) -> estate.Change:
    after = one.after
    return estate.Change(
        what=one.what.value,
        scope=after.scope,
        where=names.called(after.scope),
        kind=after.kind.value,
        class_name=after.class_name,
        number=after.number,
        note=after.note,
        before=one.before.number if one.before else None,
    )


router = Router("/estate", route_handlers=[listed, history, export, declare, import_], tags=["estate"])
