# SPDX-License-Identifier: Apache-2.0
"""Releases: `/api/v1/releases`. Making, withdrawing and floors are drafts until people have signed them."""

from collections.abc import Callable, Sequence
from typing import Annotated

from litestar import Response, Router, get, post
from litestar.params import FromPath, JSONBody, QueryParameter

from checkvalve.ids import DraftId, ReleaseId, well_formed
from checkvalve.protocol import api, supply, workload
from checkvalve.server.access.model import ROOT, Permission, Visibility
from checkvalve.server.audit.model import Act
from checkvalve.server.db.database import Tx
from checkvalve.server.supply import actions as supply_actions
from checkvalve.server.supply import difference, standing
from checkvalve.server.supply import queries as supply_queries
from checkvalve.server.supply.composed import Asked, Prepared
from checkvalve.server.supply.model import Draft, Release, State
from checkvalve.server.web.api import supply_answers as answers
from checkvalve.server.web.api.paging import USUAL, Before, Limit, Within, Word, last, stretch
from checkvalve.server.web.calls import NO_ID, Call, Called, Place, in_scope, named


@get("/", opt={"permission": Permission.RELEASE_READ}, summary="Releases, newest first")
async def listed(
    call: Called,
    within: Within = ROOT,
    name: Word = "",
    in_state: Annotated[State | None, QueryParameter(name="state")] = None,
    limit: Limit = USUAL,
    before: Before = "",
) -> api.Page[supply.Release]:
    """List releases, of one name and state or of all."""
    found = await call.ask(
        "releases",
        lambda tx, seen: supply_queries.releases(
            tx, seen, limit=limit + 1, before=last(before), name=name, state=in_state
        ),
        scope=within,
    )
    return stretch(found, limit, lambda one: one.id, answers.release)


@get("/{release_id:str}", opt={"permission": Permission.RELEASE_READ}, summary="A release")
async def one(call: Called, release_id: FromPath[str]) -> supply.Release:
    """Answer with one release."""
    return answers.release(await _found(call, release_id))


@get("/{release_id:str}/manifest", opt={"permission": Permission.RELEASE_READ}, summary="A release's final bytes")
async def manifest(call: Called, release_id: FromPath[str]) -> Response[bytes]:
    """Answer with the bytes whose SHA-256 is the release's digest."""
    return Response((await _found(call, release_id)).manifest, media_type="application/json")


@get("/{release_id:str}/source", opt={"permission": Permission.RELEASE_READ}, summary="A release's compose file")
async def source(call: Called, release_id: FromPath[str]) -> Response[bytes]:
    """Answer with the compose file that it was made of."""
    return Response((await _found(call, release_id)).source, media_type="application/yaml")


@get("/{release_id:str}/differences", opt={"permission": Permission.RELEASE_READ}, summary="What a release changes")
async def differences(call: Called, release_id: FromPath[str]) -> list[supply.Difference]:
    """Answer with what differs from the one before it in its line that you may see; all of it, if there is none."""
    wanted = _id(release_id)

    def both(tx: Tx, seen: Visibility) -> tuple[Release | None, Release]:
        release = supply_queries.release(tx, wanted, seen)
        return supply_queries.previous(tx, release, seen), release

    before, after = await call.ask("differences", both)
    known = None if before is None else workload.read(before.manifest)
    return [answers.difference(each) for each in difference.between(known, workload.read(after.manifest))]


@post("/", opt={"permission": Permission.RELEASE_CREATE}, summary="Make a release")
async def create(call: Called, data: JSONBody[supply.NewRelease]) -> supply.Release:
    """Make a release of a compose file; it waits in the open draft until it is signed."""
    made_id, draft_id = ReleaseId(call.plane.new_id()), DraftId(call.plane.new_id())
    subject, place = f"release:{made_id}", in_scope(data.scope)

    def right(tx: Tx) -> None:
        standing.right(supply_queries.prepared(tx, data.scope, _asked(data)))

    # What is wrong everywhere is slow to tell: it is told from a snapshot, while others write.
    await call.may("release.create", subject, place, right)
    made = await call.act(
        "release.create",
        subject,
        place,
        lambda tx, act: supply_actions.create(tx, act, made_id, draft_id, data.scope, _asked(data)),
    )
    return answers.release(made)


@post("/check", opt={"permission": Permission.RELEASE_CREATE}, status_code=200, summary="Check a compose file")
async def check(call: Called, data: JSONBody[supply.NewRelease]) -> supply.Checked:
    """Answer with what a compose file would become, or with all that is wrong with it. Nothing changes."""

    def become(tx: Tx) -> Prepared:
        seen = call.reach(tx).get(Permission.RELEASE_READ, Visibility(()))
        return supply_queries.prepared(tx, data.scope, _asked(data), seen)

    prepared = await call.may("release.check", "release:?", in_scope(data.scope), become)
    return answers.checked(prepared)


@post("/{release_id:str}/withdraw", opt={"permission": Permission.RELEASE_CREATE}, status_code=200, summary="Withdraw")
async def withdraw(call: Called, release_id: FromPath[str], data: JSONBody[supply.NewWithdrawal]) -> supply.Draft:
    """Draft that a release may not be taken any more."""
    return await _change(call, "release.withdraw", release_id, data.reason, supply_actions.withdraw)


@post("/{release_id:str}/floor", opt={"permission": Permission.RELEASE_CREATE}, status_code=200, summary="Set a floor")
async def floor(call: Called, release_id: FromPath[str], data: JSONBody[supply.NewFloor]) -> supply.Draft:
    """Draft that nothing older than a release may be taken any more. Once published, it is for ever."""
    return await _change(call, "release.floor", release_id, data.reason, supply_actions.floor)


async def _change(
    call: Call, action: str, release_id: str, reason: str, change: Callable[[Tx, Act, DraftId, ReleaseId, str], Draft]
) -> supply.Draft:
    draft_id = DraftId(call.plane.new_id())

    def work(tx: Tx, act: Act) -> supply.Draft:
        made = change(tx, act, draft_id, ReleaseId(release_id), reason)
        return answers.draft(made, supply_queries.anchor(tx).root)

    return await call.act(action, named("release", release_id), Place(_scope, release_id), work)


def _asked(data: supply.NewRelease) -> Asked:
    return Asked(data.source.encode(), data.name, data.version, data.profiles, data.engine)


async def _found(call: Call, release_id: str) -> Release:
    wanted = _id(release_id)
    return await call.ask("release", lambda tx, seen: supply_queries.release(tx, wanted, seen))


def _id(release_id: str) -> ReleaseId:
    return ReleaseId(release_id if well_formed(release_id) else NO_ID)


def _scope(tx: Tx, release_id: str) -> Sequence[str]:
    return (supply_queries.release(tx, ReleaseId(release_id)).scope,)


router = Router(
    "/releases",
    route_handlers=[listed, one, manifest, source, differences, create, check, withdraw, floor],
    tags=["releases"],
)
