# SPDX-License-Identifier: Apache-2.0
"""Reading a standard from its three files, strictly: a file that could be read in two ways is refused.

Errors name the file and the place in it, since whoever owns other bands edits these by hand.
"""

import tomllib
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import TypeVar

import msgspec

from checkvalve import lines
from checkvalve.errors import InvalidError
from checkvalve.server.scorecard import files
from checkvalve.server.scorecard.standard import Bands, Guidance, Guide, Question, Scheme, Section, Standard, Step

LARGEST = 256 << 10  # bytes of a file
LONGEST = 600  # characters of a text
POINTS = tuple("01234")
File = TypeVar("File", bound=msgspec.Struct)
MEND = "Mend the file, or take a copy of the one that is shipped and change its numbers."


def standard(questions: bytes, scheme: bytes, guide: bytes) -> Standard:
    """Return the standard of three TOML files.

    Raises `InvalidError`: `standard.file` (not TOML, too large, a key or type that is not known), `standard.bands`
    (bands that overlap or lie outside, totals that do not add up), `standard.ids` (doubled, or of nothing).
    """
    asked = _read(questions, "questions", files.Questions)
    sections = tuple(_section(each) for each in asked.section)
    ids = [section.id for section in sections] + [each.id for section in sections for each in section.questions]
    _once(ids, "questions")
    scored = _scheme(_read(scheme, "scheme", files.Scheme))
    _bands(scored, sections)
    guided = _guide(_read(guide, "guide", files.Guide))
    _known(guided, sections)
    documents = {"questions": questions, "scheme": scheme, "guide": guide}
    return Standard(asked.id, asked.version, sections, scored, guided, documents)


@lru_cache(maxsize=16)
def again(questions: bytes, scheme: bytes, guide: bytes) -> Standard:
    """Return the standard of files that were read before; as `standard`, which is slow, and the same for the same."""
    return standard(questions, scheme, guide)


def _read(content: bytes, name: str, shape: type[File]) -> File:
    if len(content) > LARGEST:
        raise _file(name, f"it is larger than {LARGEST >> 10} KiB")
    try:
        found = tomllib.loads(content.decode())
    except UnicodeDecodeError as error:
        raise _file(name, "it is not UTF-8") from error
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        raise _file(name, f"it is not TOML ({str(error)[:120]})") from error
    try:
        read = msgspec.convert(found, shape)
    except (msgspec.ValidationError, RecursionError) as error:
        raise _file(name, str(error)[:200]) from error
    for text in _texts(found):
        if not text or len(text) > LONGEST or not lines.plain(text):
            raise _file(name, f"a text is too long, or holds a character that cannot be seen: {text[:40]!r}")
    return read


def _texts(found: object) -> Iterator[str]:
    """Yield every text that has to say something; a place and an until may be empty."""
    if isinstance(found, dict):
        for key, value in found.items():
            yield from () if value == "" and key in ("place", "until") else _texts(value)
    elif isinstance(found, list):
        for value in found:
            yield from _texts(value)
    elif isinstance(found, str):
        yield found


def _section(each: files.Section) -> Section:
    if not each.question:
        raise _ids(f"section {each.id} asks nothing")
    return Section(each.id, each.title, tuple(_question(each.id, asked) for asked in each.question))


def _question(section: str, asked: files.Question) -> Question:
    if tuple(sorted(asked.answers)) != POINTS:
        raise _ids(f"question {asked.id} needs exactly one answer for each of 0 to 4")
    answers = {int(points): asked.answers[points] for points in POINTS}
    return Question(
        asked.id, section, asked.text, asked.why, asked.evidence, answers, asked.metric, tuple(asked.checks)
    )


def _scheme(read: files.Scheme) -> Scheme:
    return Scheme(
        id=read.id,
        version=read.version,
        inferred=read.inferred,
        inferred_why=read.inferred_why,
        points_max=read.points.max,
        audit_at=read.not_sure.audit_at,
        section_max=read.section.max,
        low_below=read.section.low_below,
        section_bands=Bands(read.section.strong, read.section.developing),
        total_max=read.total.max,
        total_bands=Bands(read.total.strong, read.total.developing),
        not_applicable_max=read.not_applicable.max_per_section,
    )


def _bands(scheme: Scheme, sections: tuple[Section, ...]) -> None:
    """Refuse numbers that would let one score be in two bands, in none, or beyond its maximum."""
    if scheme.points_max != int(POINTS[-1]):
        raise _band("an answer is worth 0 to 4 points: points.max has to be 4")
    for name, bands, most in (
        ("section", scheme.section_bands, scheme.section_max),
        ("total", scheme.total_bands, scheme.total_max),
    ):
        if not 0 < bands.developing < bands.strong <= most:
            raise _band(
                f"the bands of {name} overlap or lie outside: 0 < developing < strong <= max ({most}) has to hold"
            )
    if not 0 < scheme.low_below <= scheme.section_max:
        raise _band(f"section.low_below has to be from 1 to {scheme.section_max}")
    if scheme.total_max != scheme.section_max * len(sections):
        raise _band(
            f"total.max has to be {len(sections)} sections of section.max, {scheme.section_max * len(sections)}"
        )
    fewest = min(len(section.questions) for section in sections)
    if not 0 <= scheme.not_applicable_max < fewest:
        raise _band(f"not_applicable.max_per_section has to be from 0 to {fewest - 1}")
    if scheme.audit_at < 1:
        raise _band("not_sure.audit_at has to be 1 or more")


def _guide(read: files.Guide) -> Guide:
    sections = {each.id: _guidance(each) for each in read.section}
    _once([each.id for each in read.section], "guide")
    _once([step.id for each in read.section for step in each.step], "guide")
    return Guide(read.version, tuple(read.reading), read.not_sure, sections)


def _guidance(each: files.Guidance) -> Guidance:
    steps = tuple(_step(step) for step in each.step)
    return Guidance(each.id, each.low, tuple(each.at_risk), tuple(each.developing), tuple(each.good), steps)


def _step(step: files.Step) -> Step:
    if not step.place and not step.until:
        raise _ids(f"step {step.id} has neither a place nor a word on what to do until there is one")
    if step.place and not step.place.startswith("/"):
        raise _ids(f"the place of step {step.id} is no page of the plane")
    return Step(
        step.id, step.text, step.place, step.guide, step.until, tuple(step.closes), step.regulatory, step.leverage
    )


def _known(guide: Guide, sections: tuple[Section, ...]) -> None:
    """Refuse a guide that is not about these questions, or leaves one of them without a step."""
    if set(guide.sections) != {section.id for section in sections}:
        raise _ids("the sections of the guide are not those of the questions")
    for section in sections:
        asked = {question.id for question in section.questions}
        closed = {each for step in guide.sections[section.id].steps for each in step.closes}
        if asked != closed:
            raise _ids(
                f"the steps of section {section.id} do not close its questions: {', '.join(sorted(asked ^ closed))}"
            )


def _once(ids: Iterable[str], name: str) -> None:
    had: set[str] = set()
    for each in ids:
        if each in had:
            raise _ids(f"{each} stands twice in the {name}")
        had.add(each)


def _file(name: str, what: str) -> InvalidError:
    return InvalidError("standard.file", f"The {name} file of the scorecard cannot be read: {what}.", MEND)


def _band(what: str) -> InvalidError:
    return InvalidError("standard.bands", f"The scheme does not score every answer one way: {what}.", MEND)


def _ids(what: str) -> InvalidError:
    return InvalidError("standard.ids", f"The scorecard's files do not belong together: {what}.", MEND)
