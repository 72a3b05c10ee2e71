# SPDX-License-Identifier: Apache-2.0
"""How does an assessment read? The lowest section first, each band as a shape and a word, each step with its place."""

from collections.abc import Collection, Iterator

from checkvalve.protocol import scorecard as said
from checkvalve.server.web import texts
from checkvalve.server.web.pages.release_view import plainly
from checkvalve.server.web.pages.view import Data

SHAPES = {"strong": "ok", "developing": "warn", "at_risk": "bad", "": "unknown"}
WORK = {"open": "unknown", "doing": "info", "done": "ok", "dropped": "unknown"}
_WIDE = 1_000  # units of a bar


def score(value: float | None) -> str:
    """Return a score without a needless digit, `-` for none."""
    return "-" if value is None else f"{value:g}"


def sentence(one: said.Assessment) -> str:
    """Return what a closed assessment came to: its lowest sections, by name."""
    found = _declared(one)
    lowest = [section for section in found.sections if section.id in found.lowest]
    names = [section.title for section in lowest]
    every = len(lowest) == len(found.sections) > 1
    return texts.say(
        "score.sentence.all" if every else "score.sentence.one" if len(lowest) == 1 else "score.sentence.many",
        lowest=texts.say("score.and").join([", ".join(names[:-1]), names[-1]] if names[1:] else names),
        band=_band(lowest[0].band),
        score=score(lowest[0].score),
        most=str(lowest[0].most),
    )


def detail(one: said.Assessment) -> str:
    """Return what is said below: the total, and what remains of it without data."""
    found = _declared(one)
    return texts.say(
        "score.detail",
        what=called(one),
        total=score(found.total),
        of=str(found.most),
        band=_band(found.band),
        defensible=score(one.defensible.total if one.defensible else None),
    )


def called(one: said.Assessment) -> str:
    """Return the title of an assessment, with its place where the title does not name it."""
    title = plainly(one.title)
    return title if one.where.rpartition("/")[2] in title else f"{one.where}, {title}"


def inferred(one: said.Assessment) -> str:
    """Return whose bands these are."""
    return texts.say("score.inferred" if _declared(one).inferred else "score.owned")


def sections(one: said.Assessment) -> list[Data]:
    """Return a row for each section."""
    return [
        {
            "id": each.id,
            "title": each.title,
            "score": texts.say("score.of", score=score(each.score), most=str(each.most)),
            "shape": SHAPES[each.band],
            "band": _band(each.band),
            "notes": ", ".join(_notes(each)),
            "bar": int(_WIDE * (each.score or 0) / each.most),
            "rest": _WIDE - int(_WIDE * (each.score or 0) / each.most),
        }
        for each in _declared(one).sections
    ]


def low(whole: said.Whole, planned: Collection[str]) -> list[Data]:
    """Return what each low section means, the lowest first, and its steps; `planned` are ids of those in the plan."""
    guide = {each.section: each for each in whole.guide}
    return [
        {
            "id": section.id,
            "head": texts.say(
                "score.low_head", title=section.title, score=score(section.score), most=str(section.most)
            ),
            "means": guide[section.id].low,
            "good": guide[section.id].good,
            "steps": [_step(step, planned) for step in guide[section.id].steps],
        }
        for section in sorted(_declared(whole.assessment).sections, key=lambda each: each.score or 0)
        if section.low
    ]


def gap(one: said.Gap) -> Data:
    """Return a row of the plan."""
    due = one.due.isoformat() if one.due else "-"
    return {
        "text": plainly(one.text),
        "where": one.where,
        "owner": plainly(one.owner) or "-",
        "due": texts.say("score.overdue", due=due) if one.overdue else due,
        "shape": "warn" if one.overdue else WORK[one.state],
        "state": texts.say(f"score.work.{one.state}"),
        "note": plainly(one.note),
    }


def rank(one: said.Assessment) -> tuple[float, float]:
    """Return where a result stands among others: the lowest section first, then the total."""
    found = _declared(one)
    return min((each.score or 0) / each.most for each in found.sections), found.total or 0


def site(where: str, one: said.Assessment | None) -> Data:
    """Return a place with its newest result, None where it has none."""
    if one is None:
        none = texts.say("sites.none")
        return {"where": where, "href": "", "shape": "unknown", "band": none, "score": "-", "lowest": "-", "at": ""}
    found, row = _declared(one), listed(one)
    kept = {key: row[key] for key in ("href", "score", "lowest", "shape")}
    return {"where": where, "band": _band(found.band), "at": one.ended_at or one.opened_at, **kept}


def listed(one: said.Assessment) -> Data:
    """Return an assessment in the list of all."""
    found = one.declared
    lowest = [section.title for section in found.sections if section.id in found.lowest] if found else []
    return {
        "id": one.id,
        "href": f"/compliance/assess/{one.id}/review",
        "title": plainly(one.title),
        "where": one.where,
        "state": texts.say(f"score.is.{one.state}"),
        "score": texts.say("score.of", score=score(found.total), most=str(found.most)) if found else "-",
        "shape": SHAPES[found.band if found else ""],
        "lowest": ", ".join(lowest) or "-",
        "ended_at": one.ended_at or one.opened_at,
        "why": plainly(one.why),
    }


def _step(step: said.Step, planned: Collection[str]) -> Data:
    return {
        "id": step.id,
        "text": step.text,
        "closes": texts.say("score.closes", ids=", ".join(step.closes)),
        "href": step.place,
        "guide": texts.say("score.guide", guide=step.guide),
        "until": step.until,
        "planned": step.id in planned,
    }


def _notes(section: said.Section) -> Iterator[str]:
    if section.low:
        yield texts.say("score.low")
    if section.not_sure:
        yield texts.count("score.unsure", section.not_sure)
    if section.not_applicable:
        yield texts.count("score.beside", section.not_applicable)


def _band(name: str) -> str:
    return texts.say(f"score.band.{name}")


def _declared(one: said.Assessment) -> said.Score:
    if one.declared is None:
        raise ValueError(one.id)  # whoever calls shows what was closed
    return one.declared
