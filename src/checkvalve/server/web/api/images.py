# SPDX-License-Identifier: Apache-2.0
"""Images: `/api/v1/images`. An archive is sent as it is, as the body (walk release, 4 to 7)."""

from collections.abc import Sequence
from typing import Any

from litestar import Request, Response, Router, delete, get, post
from litestar.params import FromPath

from checkvalve.errors import CheckvalveError
from checkvalve.ids import ImageId, well_formed
from checkvalve.protocol import api, supply
from checkvalve.server.access.model import ROOT, Permission
from checkvalve.server.audit.model import Act
from checkvalve.server.blobs.contents import Limits
from checkvalve.server.db.database import Tx
from checkvalve.server.supply import actions as supply_actions
from checkvalve.server.supply import queries as supply_queries
from checkvalve.server.web import problems, uploads
from checkvalve.server.web.api import supply_answers as answers
from checkvalve.server.web.api.paging import USUAL, Before, Limit, Within, Word, last, stretch
from checkvalve.server.web.calls import NO_ID, Called, Place, in_scope, named

ARCHIVES = frozenset({"application/octet-stream", "application/x-tar"})
"""What the body of an import says it is; a form of another site's page cannot say so."""


def closing(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Refuse, and hang up: a client that is told no would otherwise send the rest of its gigabytes first."""
    answer = problems.answer(request, error)
    answer.headers["connection"] = "close"
    return answer


@get("/", opt={"permission": Permission.RELEASE_READ}, summary="Images, newest first")
async def listed(
    call: Called, within: Within = ROOT, name: Word = "", limit: Limit = USUAL, before: Before = ""
) -> api.Page[supply.Image]:
    """List images; `name` is that of an image, as `historian:2.4`."""
    found = await call.ask(
        "images",
        lambda tx, seen: supply_queries.images(tx, seen, limit=limit + 1, before=last(before), name=name),
        scope=within,
    )
    return stretch(found, limit, lambda one: one.id, answers.image)


@get("/{image_id:str}", opt={"permission": Permission.RELEASE_READ}, summary="An image")
async def one(call: Called, image_id: FromPath[str]) -> supply.Image:
    """Answer with one image."""
    wanted = ImageId(image_id if well_formed(image_id) else NO_ID)
    return answers.image(await call.ask("image", lambda tx, seen: supply_queries.image(tx, wanted, seen)))


@post(
    "/",
    opt={"permission": Permission.RELEASE_CREATE, "reads": ARCHIVES},
    request_max_body_size=None,  # the setting `largest_archive` limits it: `imports` counts
    exception_handlers={Exception: closing},
    summary="Import the images of an archive",
)
async def import_(call: Called, request: Request[Any, Any, Any], within: Within) -> supply.Imported:
    """Take the archive that is the body: `docker save`, or OCI; plain, gzip or zstd. `scope` says whose it becomes."""
    here, place, subject = call.plane, in_scope(within), "image:?"
    limits = Limits(total=here.imports.largest)
    await call.may("image.import", subject, place, lambda _: None)
    brought: uploads.Brought | CheckvalveError
    try:
        brought = await here.imports.take(request, here.blobs, lambda spool: uploads.bring(spool, here.blobs, limits))
    except CheckvalveError as error:
        brought = error  # told within the act, so that it is recorded as any refusal is

    def record(tx: Tx, act: Act) -> supply.Imported:
        if isinstance(brought, CheckvalveError):
            raise brought
        ids, sizes = [ImageId(here.new_id()) for _ in brought.found], brought.sizes
        known = supply_queries.held(tx, within, sizes)  # not what the disk has: it is everybody's
        made = supply_actions.import_(tx, act, within, brought.found, ids)
        skipped = list(brought.skipped)
        images = [answers.image(each) for each in made]
        both = sum(sizes.values())
        added = both - sum(sizes[digest] for digest in known)
        return supply.Imported(images=images, added=added, known=both - added, skipped=skipped)

    return await call.act("image.import", subject, place, record)


@delete("/{image_id:str}", opt={"permission": Permission.RELEASE_CREATE}, status_code=200, summary="Remove an image")
async def remove(call: Called, image_id: FromPath[str]) -> supply.Image:
    """Forget an image that no release runs; what only it needed is gone from the disk a day later."""
    removed = await call.act(
        "image.remove",
        named("image", image_id),
        Place(_scope, image_id),
        lambda tx, act: supply_actions.remove(tx, act, ImageId(image_id)),
    )
    return answers.image(removed)


def _scope(tx: Tx, image_id: str) -> Sequence[str]:
    return (supply_queries.image(tx, ImageId(image_id)).scope,)


router = Router("/images", route_handlers=[listed, one, import_, remove], tags=["images"])
