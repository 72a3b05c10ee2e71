# SPDX-License-Identifier: Apache-2.0
"""What counts where several people answered: what they agree on, or what was settled and nobody has contradicted since.

Rows are never changed, so the same rows read up to a time say what counted then.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from checkvalve.server.scorecard.model import Decision, Reply, Said


class Standing(StrEnum):
    """How a question stands."""

    UNANSWERED = "unanswered"
    AGREED = "agreed"
    DIFFER = "differ"
    DECIDED = "decided"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What counts for one question. `said` is None while nobody answered, and where people differ.

    `words` are what each person says now, oldest first; `decision` is what was settled, if that counts.
    """

    standing: Standing
    said: Said | None
    reason: str
    words: tuple[Reply, ...]
    decision: Decision | None = None


def outcome(questions: Iterable[str], replies: Iterable[Reply], decisions: Iterable[Decision]) -> Mapping[str, Outcome]:
    """Return what counts for each of `questions`. A decision counts until somebody later says something else."""
    words, settled = _words(replies), _newest(decisions)
    return {question: _one(words.get(question, ()), settled.get(question)) for question in questions}


def _one(words: tuple[Reply, ...], decision: Decision | None) -> Outcome:
    if decision is not None and not any(_contradicts(word, decision) for word in words):
        return Outcome(Standing.DECIDED, decision.said, decision.reason, words, decision)
    if not words:
        return Outcome(Standing.UNANSWERED, None, "", ())
    newest = words[-1]
    if any(word.said is not newest.said for word in words):
        return Outcome(Standing.DIFFER, None, "", words)
    return Outcome(Standing.AGREED, newest.said, newest.reason, words)


def _contradicts(word: Reply, decision: Decision) -> bool:
    return word.said is not decision.said and (word.at, str(word.id)) > (decision.at, str(decision.id))


def _words(replies: Iterable[Reply]) -> Mapping[str, tuple[Reply, ...]]:
    """Return what each person says now: their newest word, if they did not take it back."""
    newest: dict[tuple[str, str], Reply] = {}
    for reply in sorted(replies, key=lambda each: (each.at, each.id)):
        newest.pop((reply.question, reply.person), None)
        newest[reply.question, reply.person] = reply
    by_question: dict[str, list[Reply]] = {}
    for reply in newest.values():
        if reply.said is not None:
            by_question.setdefault(reply.question, []).append(reply)
    return {question: tuple(words) for question, words in by_question.items()}


def _newest(decisions: Iterable[Decision]) -> Mapping[str, Decision]:
    return {decision.question: decision for decision in sorted(decisions, key=lambda each: (each.at, each.id))}
