# SPDX-License-Identifier: Apache-2.0
"""What backs the answers of assessments: `/api/v1/evidence`, and files for `/api/v1/assessments/{id}/files`.

In order: walk scorecard, 5 to 8. Rules: 1. a file is sent as it is, as the body; what announces more than `LARGEST` is
refused before a byte of it is read, and what turns out to be more is let go as it comes; 2. its digest is computed as
it comes; where another one was announced nothing is kept; 3. it is answered as an attachment of no known kind, after
its digest was checked again.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import date
from typing import Annotated, Any
from urllib.parse import quote

from litestar import Request, Router, get, post
from litestar.exceptions import InternalServerException
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from litestar.response import Stream

from checkvalve.errors import CheckvalveError, InvalidError, NotFoundError, UnavailableError
from checkvalve.ids import AssessmentId, EvidenceId, PersonId
from checkvalve.protocol import api
from checkvalve.protocol import scorecard as forms
from checkvalve.server.access.model import Permission
from checkvalve.server.audit.model import Act
from checkvalve.server.blobs.store import Blobs, Stored
from checkvalve.server.db.database import Tx
from checkvalve.server.scorecard import actions, proof, queries
from checkvalve.server.scorecard.model import LARGEST, Evidence
from checkvalve.server.web import arrivals, contents
from checkvalve.server.web.api import scorecard_answers as answers
from checkvalve.server.web.api.images import closing
from checkvalve.server.web.calls import Call, Called, Place, named

FILES = frozenset(
    {
        "application/octet-stream",
        "application/pdf",
        "application/x-tar",
        "application/zip",
        "image/jpeg",
        "image/png",
    }
)
"""What the body of a file says it is, whatever it is kept as; a form of another site's page cannot say so."""
PIECE = 1 << 20
SPARE = 256 << 20  # bytes that stay free
EMPTY = "sha256:" + "0" * 64  # stands for a digest that is not known yet
SILENCE = 25.0  # seconds without a byte; the listener hangs up without a word after 30

Said = Annotated[str, QueryParameter(max_length=2_000, pattern=api.TEXT)]
_READ, _ANSWER = {"permission": Permission.SCORECARD_READ}, {"permission": Permission.SCORECARD_ANSWER}


@post(
    "/{assessment_id:str}/files",
    opt={**_ANSWER, "reads": FILES},
    request_max_body_size=None,  # rule 1
    exception_handlers={Exception: closing},
    summary="Back an answer with a file",
)
async def file(  # noqa: PLR0913 - what a form would say stands in the query, since the body is the file
    call: Called,
    request: Request[Any, Any, Any],
    assessment_id: FromPath[str],
    question: Said,
    name: Said,
    *,
    owner: Said = "",
    note: Said = "",
    digest: Said = "",
    period_from: FromQuery[date | None] = None,
    period_to: FromQuery[date | None] = None,
    expires: FromQuery[date | None] = None,
) -> forms.Whole:
    """Keep the file that is the body, at most 32 MiB; with `digest` only if it is that one."""
    about = forms.Link(
        question=question,
        name=name,
        link="",
        digest=digest,
        owner=owner,
        period_from=period_from,
        period_to=period_to,
        expires=expires,
        note=note,
    )
    return await brought(call, assessment_id, about, body(request), announced(request))


@get("/{evidence_id:str}/content", opt=_READ, summary="The file that backs an answer")
async def content(call: Called, evidence_id: FromPath[str]) -> Stream:
    """Answer with the file, after its digest was checked."""
    found = await call.ask(
        "evidence.content", lambda tx, seen: queries.evidence_one(tx, EvidenceId(evidence_id), seen)[0]
    )
    return await attached(call.plane.blobs, found)


@post("/{evidence_id:str}/remove", opt=_ANSWER, status_code=200, summary="Say that evidence backs no answer any more")
async def remove(call: Called, evidence_id: FromPath[str], data: JSONBody[forms.Why]) -> forms.Evidence:
    """Remove evidence from an open assessment, with a reason; what it was stays in the history."""
    return await removed(call, evidence_id, data.why)


async def brought(
    call: Call, assessment_id: str, about: forms.Link, pieces: AsyncIterator[bytes], size: int = 0
) -> forms.Whole:
    """Keep a file that comes in `pieces` and add it; `size` is what was announced, 0 for nothing.

    Raises what `scorecard.actions.add_evidence` does, `InvalidError` (`evidence.slow`, `evidence.broken_off`),
    `UnavailableError` (`blobs.full`, `blobs.failed`).
    """
    here, subject = Place(place_of, assessment_id), "evidence:?"
    wanted = of(call, assessment_id, about)

    def possible(tx: Tx) -> None:
        if size > LARGEST:
            raise proof.too_large()
        queries.addable(tx, replace(wanted, size=size or 1, digest=about.digest or EMPTY))

    await call.may("evidence.add", subject, here, possible)
    kept: Stored | CheckvalveError
    try:
        await asyncio.to_thread(_room, call.plane.blobs)
        kept = await _kept(call.plane.blobs, pieces, about.digest)
    except CheckvalveError as error:
        kept = error  # told within the act, so that it is recorded as any refusal is
    return await added(call, wanted, kept)


async def added(call: Call, wanted: Evidence, kept: Stored | CheckvalveError | None = None) -> forms.Whole:
    """Add evidence, of a file with what was kept of it. Raises what `scorecard.actions.add_evidence` does."""

    def do(tx: Tx, act: Act) -> forms.Whole:
        if isinstance(kept, CheckvalveError):
            raise kept
        whole = replace(wanted, digest=kept.digest, size=kept.size) if kept else wanted
        actions.add_evidence(tx, act, whole)
        return answers.whole(tx, queries.assessment(tx, wanted.assessment), act.at, call.plane.blobs)

    place = Place(place_of, wanted.assessment)
    return await call.act("evidence.add", named("assessment", wanted.assessment), place, do)


async def removed(call: Call, evidence_id: str, why: str) -> forms.Evidence:
    """Remove evidence. Raises what `scorecard.actions.remove_evidence` does."""

    def do(tx: Tx, act: Act) -> forms.Evidence:
        person = PersonId(call.caller.person.id)
        after = actions.remove_evidence(tx, act, EvidenceId(evidence_id), person, why)
        return answers.evidence(after, act.at.date(), call.plane.blobs)

    return await call.act("evidence.remove", named("evidence", evidence_id), Place(place, evidence_id), do)


async def attached(blobs: Blobs, found: Evidence) -> Stream:
    """Answer with a file (rule 3).

    Raises `ConflictError` (`evidence.elsewhere`, `evidence.damaged`), `UnavailableError` (`blobs.failed`).
    """
    digest = proof.file_of(found)
    try:
        size = await asyncio.to_thread(contents.size, blobs, digest, unpacked=False)
    except (NotFoundError, UnavailableError) as error:
        if error.code in ("errand.no_content", "blobs.damaged"):
            raise proof.damaged(found) from error
        raise
    plain = found.name.encode("ascii", "replace").decode().replace("?", "_")
    return Stream(
        contents.read(blobs, digest, unpacked=False),
        media_type="application/octet-stream",
        headers={
            "content-length": str(size),
            "content-disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(found.name, safe='')}",
            "x-content-type-options": "nosniff",
        },
    )


def of(call: Call, assessment_id: str, about: forms.Link) -> Evidence:
    """Return evidence of an assessment as it is to be added: neither where it is nor what is in it is known yet."""
    return Evidence(
        id=EvidenceId(call.plane.new_id()),
        assessment=AssessmentId(assessment_id),
        question=about.question,
        name=about.name,
        link="",
        digest="",
        size=0,
        period_from=about.period_from,
        period_to=about.period_to,
        owner=about.owner,
        expires=about.expires,
        note=about.note,
        added_by=PersonId(call.caller.person.id),
        added_at=call.plane.now(),
    )


def place(tx: Tx, evidence_id: str) -> Sequence[str]:
    """Return where the right to evidence is judged; `NotFoundError`."""
    return (queries.evidence_one(tx, EvidenceId(evidence_id))[1].scope,)


def place_of(tx: Tx, assessment_id: str) -> Sequence[str]:
    """Return where the right to an assessment is judged; `NotFoundError`."""
    return (queries.assessment(tx, AssessmentId(assessment_id)).scope,)


def announced(request: Request[Any, Any, Any]) -> int:
    """Return how many bytes the head of a request announces, 0 for none."""
    said = request.headers.get("content-length", "0")
    return int(said[:20]) if said.isascii() and said.isdigit() else 0


async def body(request: Request[Any, Any, Any]) -> AsyncIterator[bytes]:
    """Yield the body of a request; `InvalidError` (`evidence.slow`, `evidence.broken_off`)."""
    async with contextlib.aclosing(request.stream()) as stream:
        while True:
            try:
                async with asyncio.timeout(SILENCE):
                    came = await anext(stream, b"")
            except TimeoutError as error:
                sentence = f"For {SILENCE:.0f} seconds nothing came of the file."
                raise InvalidError("evidence.slow", sentence, "Send it again, over a steadier line.") from error
            except InternalServerException as error:  # the framework's word for a client that went away
                sentence = "The file was broken off before its end."
                raise InvalidError("evidence.broken_off", sentence, "Send it again.") from error
            if not came:
                return
            yield came


def _room(blobs: Blobs) -> None:
    """Leave room for what devices bring and for images: evidence is not what fills the disk."""
    if blobs.free() < LARGEST + SPARE:
        raise UnavailableError(
            "blobs.full",
            "The plane's disk has no room for a file.",
            "Free space there, or add the address and digest of where it is kept.",
        )


async def _kept(blobs: Blobs, pieces: AsyncIterator[bytes], stated: str) -> Stored:
    buffered = bytearray()
    async with arrivals.coming(blobs) as blob:
        async for came in pieces:
            buffered += came
            if blob.size + len(buffered) > LARGEST:
                raise proof.too_large()
            if len(buffered) >= PIECE:
                await arrivals.whole(blob.add, bytes(buffered))
                buffered.clear()
        await arrivals.whole(blob.add, bytes(buffered))
        if not blob.size:
            raise proof.empty()
        proof.same(stated, blob.digest)  # rule 2
        return await arrivals.whole(blob.keep)


router = Router("/evidence", route_handlers=[content, remove], tags=["scorecard"])
