# SPDX-License-Identifier: Apache-2.0
"""Two assessments side by side, honestly: what is not alike is said, and scored again where that can be."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

from checkvalve.server.scorecard import score
from checkvalve.server.scorecard.model import Said
from checkvalve.server.scorecard.score import Score
from checkvalve.server.scorecard.standard import Question, Standard


@dataclass(frozen=True, slots=True)
class Sheet:
    """One side. `answers` by question id; `sites` is what was there then, id path to name."""

    standard: Standard
    answers: Mapping[str, Said | None]
    score: Score
    sites: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Moved:
    """A section that is in both: `change` is None where one side has no score."""

    id: str
    title: str
    before: Fraction | None
    after: Fraction | None
    change: Fraction | None


@dataclass(frozen=True, slots=True)
class Answered:
    """A question of either side; a side that did not ask it has `asked` False there. `reworded`: not the same words."""

    id: str
    text: str
    before: Said | None
    after: Said | None
    asked: tuple[bool, bool]
    reworded: bool


@dataclass(frozen=True, slots=True)
class Comparison:
    """`rescored`: the earlier answers under the later scheme; None where that is the same, or cannot be."""

    sections: tuple[Moved, ...]
    questions: tuple[Answered, ...]
    rescored: Score | None
    notes: tuple[str, ...]


def compare(before: Sheet, after: Sheet) -> Comparison:
    """Return what changed from `before` to `after`; sections are under one scheme wherever there can be one."""
    rescored = _rescored(before, after)
    sections = _sections(before, after, rescored or before.score)
    questions = _questions(before.standard, after.standard, before, after)
    return Comparison(sections, questions, rescored, tuple(_notes(before, after, questions, rescored)))


def _rescored(before: Sheet, after: Sheet) -> Score | None:
    """Score the earlier answers anew, if the scheme is another one and fits the earlier questions."""
    if before.standard.digests["scheme"] == after.standard.digests["scheme"]:
        return None
    if len(before.standard.sections) != len(after.standard.sections):
        return None  # its total would not add up
    return score.of(replace(before.standard, scheme=after.standard.scheme), before.answers)


def _sections(before: Sheet, after: Sheet, under: Score) -> tuple[Moved, ...]:
    had = {each.id: each.score for each in under.sections}
    titles = {section.id: section.title for sheet in (before, after) for section in sheet.standard.sections}
    has = {each.id: each.score for each in after.score.sections}
    return tuple(_moved(ident, title, had.get(ident), has.get(ident)) for ident, title in titles.items())


def _moved(ident: str, title: str, before: Fraction | None, after: Fraction | None) -> Moved:
    change = None if before is None or after is None else after - before
    return Moved(ident, title, before, after, change)


def _questions(old: Standard, new: Standard, before: Sheet, after: Sheet) -> tuple[Answered, ...]:
    asked = {question.id: question for question in old.questions}
    asks = {question.id: question for question in new.questions}
    return tuple(
        Answered(
            id=ident,
            text=(asks.get(ident) or asked[ident]).text,
            before=before.answers.get(ident),
            after=after.answers.get(ident),
            asked=(ident in asked, ident in asks),
            reworded=ident in asked and ident in asks and _words(asked[ident]) != _words(asks[ident]),
        )
        for ident in asks | asked
    )


def _words(question: Question) -> tuple[str, tuple[str, ...]]:
    return question.text, tuple(question.answers.values())


def _notes(before: Sheet, after: Sheet, questions: Iterable[Answered], rescored: Score | None) -> Iterable[str]:
    old, new = before.standard.scheme, after.standard.scheme
    if before.standard.digests["scheme"] != after.standard.digests["scheme"]:
        how = (
            "the earlier answers are scored by the later one too" if rescored else "they cannot be scored by one scheme"
        )
        yield f"The scheme is another one ({old.id} {old.version}, then {new.id} {new.version}): {how}."
    reworded = [each.id for each in questions if each.reworded]
    if reworded:
        yield f"Asked in other words: {', '.join(reworded)}."
    for which, side in (("earlier", 1), ("later", 0)):
        alone = [each.id for each in questions if not each.asked[side]]
        if alone:
            yield f"Asked in the {which} one only: {', '.join(alone)}."
    yield from _sites(before.sites, after.sites)


def _sites(before: Mapping[str, str], after: Mapping[str, str]) -> Iterable[str]:
    for what, one, other in (("came", after, before), ("went", before, after)):
        names = sorted(name for path, name in one.items() if path not in other)
        if names:
            yield f"Sites that {what} in between: {', '.join(names)}."
