# SPDX-License-Identifier: Apache-2.0
"""An assessment in words: the headline, its sections, what is low and what closes it, and one question to answer."""

from collections.abc import Iterable, Iterator

from checkvalve.cli import output
from checkvalve.protocol import scorecard as forms

WIDTH = 20  # signs of a bar
BANDS = {"strong": "Strong", "developing": "Developing", "at_risk": "At Risk", "": "no score yet"}
WORDS = {"not_sure": "Not Sure", "not_applicable": "does not apply", None: "-"}
STANDING = {"unanswered": "not answered", "agreed": "", "differ": "people differ", "decided": "settled"}


def score(value: float | None) -> str:
    """Return a score without a needless digit, `-` for none."""
    return "-" if value is None else f"{value:g}"


def said(value: str | None) -> str:
    """Return an answer as people say it."""
    return WORDS.get(value, value or "-")


def headline(one: forms.Assessment) -> str:
    """Return what an assessment comes to in a sentence that names the lowest sections first."""
    found = one.declared
    if found is None or found.total is None:
        return f"{one.where}: {one.answered} of {one.asked} questions are answered; there is no score yet."
    lowest = [section for section in found.sections if section.id in found.lowest]
    names = " and ".join(section.title for section in lowest)
    verb = "is" if len(lowest) == 1 else "are"
    worst = f"{names} {verb} {BANDS[lowest[0].band]} with {score(lowest[0].score)} of {lowest[0].most}"
    return f"{worst}. In all {score(found.total)} of {found.most}: {BANDS[found.band]}."


def sections(found: forms.Score) -> list[tuple[str, str, str, str, str]]:
    """Return a row for each section: title, bar, score, band, remarks."""
    return [
        (each.title, _bar(each), f"{score(each.score)} of {each.most}", BANDS[each.band], _remarks(each))
        for each in found.sections
    ]


def low(whole: forms.Whole) -> Iterator[str]:
    """Yield what the low sections mean, and the steps that close them, as lines."""
    found = whole.assessment.declared
    for section in found.sections if found else ():
        guidance = next((each for each in whole.guide if each.section == section.id), None)
        if section.low and guidance is not None:
            yield ""
            yield f"{section.title}: {score(section.score)} of {section.most} is low. {guidance.low}"
            yield from (f"  good: {each}" for each in guidance.good)
            for number, step in enumerate(guidance.steps, 1):
                yield f"  {number}. {step.text} ({step.id}: {', '.join(step.closes)})"
                yield f"     {_where(step)}"


def question(asked: forms.Asked, at: int, of: int) -> Iterator[str]:
    """Yield one question as lines."""
    yield f"{asked.id}, {at} of {of}: {asked.text}"
    yield f"  {asked.why}"
    yield from (f"  {points}  {text}" for points, text in sorted(asked.answers.items(), reverse=True))


def answers(whole: forms.Whole) -> Iterable[tuple[str, str, str, str]]:
    """Return a row for each question: id, answer, how it stands, text."""
    texts = {asked.id: asked.text for asked in whole.questions}
    return [
        (each.question, said(each.said), STANDING[each.standing] or "-", texts[each.question]) for each in whole.answers
    ]


def told(whole: forms.Whole) -> None:
    """Print an assessment: the headline first, then what it rests on."""
    one = whole.assessment
    output.say(headline(one))
    if whole.banner:
        output.say(f"INTERNAL AUDIT FIRST. {whole.banner}")
    if one.declared is not None:
        output.table(("SECTION", "", "SCORE", "BAND", "REMARKS"), sections(one.declared))
        if one.declared.inferred:
            output.note("The bands are the project's own reading; nobody has published official ones.")
    if one.defensible is not None and one.defensible.total is not None:
        output.note(
            f"Declared answers only: nothing is measured yet. What can be defended without data: "
            f"{score(one.defensible.total)} of {one.defensible.most}."
        )
    for line in low(whole):
        output.say(line)


def _bar(section: forms.Section) -> str:
    full = int(WIDTH * (section.score or 0) / section.most)
    return "#" * full + "." * (WIDTH - full)


def _remarks(section: forms.Section) -> str:
    told = [
        "low" if section.low else "",
        f"{section.not_sure} Not Sure" if section.not_sure else "",
        f"{section.not_applicable} do not apply" if section.not_applicable else "",
        f"missing {', '.join(section.missing)}" if section.missing else "",
        "too much does not apply" if section.too_many_not_applicable else "",
    ]
    return "; ".join(each for each in told if each) or "-"


def _where(step: forms.Step) -> str:
    return f"page {step.place}, {step.guide}" if step.place else f"{step.until} ({step.guide})"
