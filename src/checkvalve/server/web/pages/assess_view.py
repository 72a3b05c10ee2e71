# SPDX-License-Identifier: Apache-2.0
"""How do a question, what people said to it, and what backs it read?"""

from collections.abc import Collection, Iterable, Mapping

from checkvalve.protocol import scorecard as said
from checkvalve.server.web import texts
from checkvalve.server.web.pages import render
from checkvalve.server.web.pages.release_view import plainly
from checkvalve.server.web.pages.view import Data

STANDING = {"unanswered": "unknown", "agreed": "ok", "differ": "warn", "decided": "info"}
WORTH = {"held": "ok", "linked": "info", "expired": "warn", "removed": "unknown", "damaged": "bad"}
VALUES = ("0", "1", "2", "3", "4", "not_sure", "not_applicable")


def word(value: str | None) -> str:
    """Return an answer as people say it."""
    return texts.say(f"assess.said.{value or ''}")


def mine(whole: said.Whole, me: str) -> Mapping[str, said.Reply]:
    """Return what one person says now, by question."""
    newest = {one.question: one for one in whole.replies if one.person == me}  # oldest first: the last counts
    return {question: one for question, one in newest.items() if one.said is not None}


def words(whole: said.Whole, question: str) -> list[said.Reply]:
    """Return what each person says to a question now, oldest first."""
    newest: dict[str, said.Reply] = {}
    for one in whole.replies:
        if one.question == question:
            newest.pop(one.person, None)
            newest[one.person] = one
    return [one for one in newest.values() if one.said is not None]


def left(whole: said.Whole, done: Collection[str], here: str) -> str:
    """Return the next question after `here` that is not in `done`, from the first one again; "" for none."""
    ids = [each.id for each in whole.questions]
    at = ids.index(here) if here in ids else -1
    return next((each for each in ids[at + 1 :] + ids[: max(at, 0)] if each not in done), "")


def title(whole: said.Whole, section: str) -> str:
    """Return what a section is called."""
    found = whole.assessment.declared
    return next((each.title for each in found.sections if each.id == section), section) if found else section


def row(whole: said.Whole, asked: said.Asked, href: str) -> Data:
    """Return a question with what counts and who said what."""
    answer = next(each for each in whole.answers if each.question == asked.id)
    settled = next((one for one in reversed(whole.decisions) if one.question == asked.id and one.counts), None)
    return {
        "id": asked.id,
        "text": asked.text,
        "href": href,
        "standing": answer.standing,
        "shape": STANDING[answer.standing],
        "said": word(answer.said),
        "means": asked.answers.get(answer.said or "", ""),
        "reason": plainly(answer.reason),
        "words": [_word(one) for one in words(whole, asked.id)],
        "decided": texts.say("review.by", name=plainly(settled.name)) if settled else "",
        "decided_why": plainly(settled.comment) if settled else "",
        "data": answer.claim_reason,
        "options": [{"value": value, "label": _option(asked, value)} for value in VALUES],
    }


def evidence(whole: said.Whole, rows: Iterable[said.Evidence]) -> list[Data]:
    """Return what backs answers, as rows."""
    going = whole.assessment.state == "open"
    return [
        {
            "id": one.id,
            "name": plainly(one.name),
            "question": one.question,
            "owner": plainly(one.owner) or "-",
            "period": _period(one),
            "digest": one.digest.removeprefix("sha256:"),
            "size": _size(one.size) if one.size else "",
            "link": plainly(one.link),
            "href": render.link(f"/compliance/evidence/{one.id}") if not one.link else "",
            "shape": WORTH[one.state],
            "state": texts.say(f"evidence.is.{one.state}"),
            "note": plainly(one.removed_why or one.note),
            "may_remove": going and one.state != "removed",
        }
        for one in rows
    ]


def _word(one: said.Reply) -> Data:
    return {
        "text": texts.say("review.word", name=plainly(one.name), said=word(one.said)),
        "comment": plainly(one.comment or one.reason),
        "at": one.at,
    }


def _option(asked: said.Asked, value: str) -> str:
    return f"{value}: {asked.answers[value]}" if value in asked.answers else word(value)


def _period(one: said.Evidence) -> str:
    told = []
    if one.period_from and one.period_to:
        told.append(texts.say("evidence.between", first=str(one.period_from), last=str(one.period_to)))
    elif one.period_from:
        told.append(texts.say("evidence.since", first=str(one.period_from)))
    elif one.period_to:
        told.append(texts.say("evidence.until", last=str(one.period_to)))
    if one.expires:
        told.append(texts.say("evidence.good", date=str(one.expires)))
    return ", ".join(told) or texts.say("evidence.always")


def _size(size: int) -> str:
    for unit, step in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size >= step:
            return f"{size / step:.1f} {unit}"
    return f"{size} B"
