# SPDX-License-Identifier: Apache-2.0
"""What may be said, settled, added and planned, and how it is kept."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime

from checkvalve import lines
from checkvalve.errors import CheckvalveError, ConflictError, InvalidError
from checkvalve.ids import PersonId
from checkvalve.server.scorecard.model import (
    LONGEST_NAME,
    LONGEST_TEXT,
    LONGEST_TITLE,
    Assessment,
    Gap,
    Said,
    State,
    Work,
)
from checkvalve.server.scorecard.reconcile import Outcome, Standing
from checkvalve.server.scorecard.score import Score
from checkvalve.server.scorecard.standard import Standard, Step

ENDED = (Work.DONE, Work.DROPPED)


def title(text: str, otherwise: str) -> str:
    """Return the title as it is kept, `otherwise` for none; `InvalidError` (`assessment.title`)."""
    return _line("assessment.title", "A title", text, LONGEST_TITLE) or otherwise


def why(text: str) -> str:
    """Return why an assessment is given up; `InvalidError` (`assessment.why`)."""
    return _said("assessment.why", "Why it is given up", text)


def still_open(assessment: Assessment) -> None:
    """Refuse what comes too late; `ConflictError` (`assessment.ended`)."""
    if assessment.state is not State.OPEN:
        raise ConflictError(
            "assessment.ended",
            f"This assessment is {assessment.state.value}, and stays as it was.",
            "Begin a new one; it can be compared with this one.",
        )


def said(text: str | None) -> Said | None:
    """Return what somebody says; `InvalidError` (`reply.said`)."""
    try:
        return None if text is None else Said(text)
    except ValueError:
        raise _no_answer() from None


def settled(text: str) -> Said:
    """Return what somebody settles; `InvalidError` (`reply.said`)."""
    try:
        return Said(text)
    except ValueError:
        raise _no_answer() from None


def reason(said: Said | None, text: str) -> str:
    """Return the reason as it is kept: what does not apply has one; `InvalidError` (`reply.reason`)."""
    tidy = _line("reply.reason", "A reason", text, LONGEST_TEXT)
    if said is Said.NOT_APPLICABLE and not tidy:
        raise InvalidError(
            "reply.reason",
            "What does not apply has a reason: it leaves the score, and somebody will ask why.",
            "Say in a sentence why this does not apply here.",
        )
    return tidy


def comment(text: str) -> str:
    """Return a comment as it is kept; `InvalidError` (`reply.comment`)."""
    return _line("reply.comment", "A comment", text, LONGEST_TEXT)


def needed(outcome: Outcome) -> None:
    """Refuse to settle what nobody differs on; `ConflictError` (`decision.needless`)."""
    if outcome.standing not in (Standing.DIFFER, Standing.DECIDED):
        raise ConflictError(
            "decision.needless",
            "Nobody says anything different here: there is nothing to settle.",
            "If you think otherwise, answer the question yourself.",
        )


def finished(outcome: Mapping[str, Outcome], score: Score) -> None:
    """Refuse to close what has no result yet, with all that is in the way.

    Raises `ConflictError` (`assessment.unfinished`).
    """
    differ = [question for question, each in outcome.items() if each.standing is Standing.DIFFER]
    missing = [question for question in score.missing if question not in differ]
    many = [section.id for section in score.sections if section.too_many]
    told = [
        f"{what}: {', '.join(ids)}"
        for what, ids in (
            ("not answered", missing),
            ("people differ", differ),
            ("too much does not apply in", many),
        )
        if ids
    ]
    if told:
        raise ConflictError(
            "assessment.unfinished",
            f"There is no result yet: {'; '.join(told)}.",
            "Answer what is missing (Not Sure is an answer), settle what differs, then close it.",
        )


def step(standard: Standard, step_id: str) -> tuple[str, Step]:
    """Return a step of the guide with its section; `InvalidError` (`gap.step`)."""
    for section, guidance in standard.guide.sections.items():
        for each in guidance.steps:
            if each.id == step_id:
                return section, each
    raise InvalidError("gap.step", "The guide has no such step.", "Name a step of the guide, or write one of your own.")


def section(standard: Standard, section_id: str) -> str:
    """Return the section of a step of one's own; `InvalidError` (`gap.step`)."""
    ids = [each.id for each in standard.sections]
    if section_id not in ids:
        raise InvalidError("gap.step", "There is no such section.", f"Name one of {', '.join(ids)}.")
    return section_id


def text(text: str) -> str:
    """Return what is to be done as it is kept; `InvalidError` (`gap.text`)."""
    return _said("gap.text", "What is to be done", text)


def work(text: str | None) -> Work | None:
    """Return how far a step is said to be; `InvalidError` (`gap.state`)."""
    try:
        return None if text is None else Work(text)
    except ValueError:
        raise InvalidError("gap.state", "A step is open, doing, done or dropped.", "Name one of the four.") from None


def owner(text: str) -> str:
    """Return who does it as it is kept, "" of nobody yet; `InvalidError` (`gap.owner`)."""
    return _line("gap.owner", "An owner", text, LONGEST_NAME)


def changed(
    gap: Gap,
    *,
    owner_is: str | None,
    due: date | None,
    no_due: bool,
    state: Work | None,
    note: str | None,
    by: PersonId,
    at: datetime,
) -> Gap:
    """Return a gap as it is after a change; None stays as it is. Also what has ended may be taken up again.

    Raises `InvalidError` (`gap.owner`, `gap.note`), `ConflictError` (`gap.ended`: nothing but its state may change).
    """
    now = gap.state if state is None else state
    if gap.state in ENDED and now in ENDED and (owner_is, due, no_due, note) != (None, None, False, None):
        raise ConflictError("gap.ended", f"This step is {gap.state.value}.", "Set it back to open first.")
    kept = gap.note if note is None else _line("gap.note", "A note", note, LONGEST_TEXT)
    if now is Work.DROPPED and not kept:
        raise InvalidError(
            "gap.note",
            "Whoever drops a step says why: somebody will ask.",
            "Say in a sentence why this is not going to be done.",
        )
    return replace(
        gap,
        owner=gap.owner if owner_is is None else owner(owner_is),
        due=None if no_due else due or gap.due,
        state=now,
        note=kept,
        changed_by=by,
        changed_at=at,
    )


def _no_answer() -> InvalidError:
    return InvalidError(
        "reply.said", "That is no answer.", "Answer 0, 1, 2, 3, 4, not_sure, or not_applicable with a reason."
    )


def _said(code: str, what: str, text: str) -> str:
    tidy = _line(code, what, text, LONGEST_TEXT)
    if not tidy:
        raise _invalid(code, f"{what} is missing.")
    return tidy


def _line(code: str, what: str, text: str, longest: int) -> str:
    tidy = lines.tidy(text, longest)
    if len(tidy) > longest or not lines.plain(tidy):
        raise _invalid(code, f"{what} is one line of at most {longest} characters, without control characters.")
    return tidy


def _invalid(code: str, sentence: str) -> CheckvalveError:
    return InvalidError(code, sentence, "Say it in a sentence.")
