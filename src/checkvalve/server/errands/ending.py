# SPDX-License-Identifier: Apache-2.0
"""What becomes of an errand, and of the file that it brings?

Rules: 1. one that waits may be cancelled; if it was signed before, the device may do it all the same, and the row says
so; 2. one of which nothing was heard is lost, some time after it could be begun; 3. what the device signed ends an
errand, also one that was given up here: evidence counts more than what was assumed, and the row says that it was so.
The first word stays; 4. a word that names a file waits for the file while the errand waits; 5. a file may come until
the word has come, and one of an errand that was cancelled may not: nobody wants it; 6. an errand has one file, and a
file that is not the one the device signed is none; 7. a file is kept for some time after the end.
"""

from dataclasses import replace
from datetime import datetime

from checkvalve import lines as texts
from checkvalve.errors import ConflictError, ForbiddenError, InvalidError
from checkvalve.protocol.errand import LARGEST_CONTENT, Done
from checkvalve.server.errands.decide import LONGEST_WHY
from checkvalve.server.errands.model import BRINGS, KEPT, SILENT, Errand, State

CANCELLED, LOST = "errand.cancelled", "errand.lost"


def cancelled(errand: Errand, why: str, at: datetime) -> Errand:
    """Return the errand as it is once it was cancelled (rule 1).

    Raises `ConflictError` (`errand.ended`), `InvalidError` (`errand.why`).
    """
    _waits(errand)
    tidy = texts.tidy(why, LONGEST_WHY)
    if len(tidy) > LONGEST_WHY or not texts.plain(tidy):
        raise InvalidError(
            "errand.why",
            f"The reason is one line of at most {LONGEST_WHY} characters, without control characters.",
            "Say it in a few words.",
        )
    may = "" if errand.given_at is None else "It was in orders for the device before: it may be done all the same."
    return replace(
        errand, state=State.CANCELLED, ended_at=at, code=CANCELLED, reason=" ".join(filter(None, (tidy, may)))
    )


def overdue(errand: Errand, now: datetime) -> bool:
    """Tell whether nothing was heard of an errand for so long that nothing is expected any more (rule 2)."""
    return errand.state is State.WAITING and errand.until + SILENT <= now


def lost(errand: Errand, at: datetime) -> Errand:
    """Return the errand as it is once it is lost (rule 2); `ConflictError` (`errand.ended`, `errand.early`)."""
    _waits(errand)
    if not overdue(errand, at):
        raise ConflictError("errand.early", "The device may still say what came of it.", "Wait until it has come.")
    why = "The device did not come for it in time."
    if errand.given_at is not None:
        why = "It was in orders for the device, and nothing was heard of it since: it may have been done."
    return replace(errand, state=State.LOST, ended_at=at, code=LOST, reason=why)


def ended(errand: Errand, said: Done, *, by: str, digest: str, envelope: bytes, at: datetime) -> Errand:
    """Return the errand as it is by the word of device `by`, whose signature was verified (rules 3, 6).

    `digest` is of its payload, `envelope` its final bytes. Raises `ForbiddenError` (`errand.foreign`),
    `InvalidError` (`errand.kind`), `ConflictError` (`errand.twice`).
    """
    if not errand.device == said.device == by:
        raise ForbiddenError("errand.foreign", "It speaks of another device.", "A device speaks for itself only.")
    if said.kind != errand.kind.value:
        raise InvalidError(
            "errand.kind", f"It speaks of {said.kind}, and what was ordered is {errand.kind.value}.", "Order it again."
        )
    if errand.digest:
        raise ConflictError(
            "errand.twice",
            f"Its device said before how this errand ended; this word says: {said.outcome}.",
            "The first word stays.",
        )
    brought = said.content is not None and said.content.digest == errand.content
    return replace(
        errand,
        state=State(said.outcome),
        ended_at=at,
        code=said.code,
        reason=_reason(errand, said, brought=brought),
        content=errand.content if brought else "",
        size=errand.size if brought else 0,
        digest=digest,
        envelope=envelope,
    )


def lacks(errand: Errand, said: Done) -> bool:
    """Tell whether the device's word is to come again, after the file that it names (rule 4)."""
    return said.content is not None and errand.state is State.WAITING and errand.kind in BRINGS and not errand.content


def brings(errand: Errand, digest: str, size: int) -> Errand:
    """Return the errand with the file that came (rules 5, 6); the same file again changes nothing.

    Raises `ConflictError` (`errand.ended`, `errand.content`), `InvalidError` (`errand.size`).
    """
    open_for(errand)
    if errand.content not in {"", digest}:
        raise ConflictError("errand.content", "Another file came of this errand before.", "The first one stays.")
    if not 0 <= size <= LARGEST_CONTENT:
        raise InvalidError("errand.size", f"What an errand brings has at most {LARGEST_CONTENT} bytes.", "Bring less.")
    return replace(errand, content=digest, size=size)


def open_for(errand: Errand) -> None:
    """Refuse a file that may not come (rule 5); `ConflictError` (`errand.ended`, `errand.content`)."""
    if errand.kind not in BRINGS:
        raise ConflictError("errand.content", f"A {errand.kind.value} brings no file.", "Nothing is left to do.")
    if errand.state not in {State.WAITING, State.LOST}:
        raise _over()


def kept_until(errand: Errand) -> datetime | None:
    """Return until when its file is kept (rule 7); None if there is none, or the errand has not ended."""
    return errand.ended_at + KEPT if errand.content and errand.ended_at is not None else None


def kept(errand: Errand, now: datetime) -> bool:
    """Tell whether its file is there to be read: the device has signed it, and its time is not over (rules 6, 7)."""
    until = kept_until(errand)
    return bool(errand.digest) and until is not None and now < until


def _waits(errand: Errand) -> None:
    if errand.state is not State.WAITING:
        raise _over()


def _over() -> ConflictError:
    return ConflictError("errand.ended", "This small order has come to its end.", "Look at what came of it.")


def _reason(errand: Errand, said: Done, *, brought: bool) -> str:
    parts = [said.reason]
    if errand.state is State.CANCELLED:
        parts.append("It was cancelled before the device's word came.")
    if errand.state is State.LOST:
        parts.append("It was taken for lost before the device's word came.")
    if said.content is not None and not brought:
        parts.append("The file that it brought did not come.")
    return " ".join(filter(None, parts))
