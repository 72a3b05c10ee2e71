# SPDX-License-Identifier: Apache-2.0
"""The clause and the questionnaire that come with the program, as texts to begin a draft from."""

import tomllib
from functools import cache
from importlib.resources import files

import msgspec

from checkvalve.server.suppliers.model import Kind


class Clause(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[clause]`."""

    title: str
    text: str


class Question(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One question, and what a good answer says."""

    text: str
    good: str


class Questionnaire(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[questionnaire]`."""

    title: str
    intro: str
    question: list[Question]


class File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """sovereignty.toml."""

    clause: Clause
    questionnaire: Questionnaire


@cache
def shipped() -> File:
    """Return the file that is shipped."""
    content = files(__package__).joinpath("data", "sovereignty.toml").read_bytes()
    return msgspec.convert(tomllib.loads(content.decode()), File)


def draft(kind: Kind) -> tuple[str, str]:
    """Return title and text of a first draft."""
    file = shipped()
    if kind is Kind.CLAUSE:
        return file.clause.title, file.clause.text.strip()
    asked = [f"{number}. {each.text}\n   {each.good}" for number, each in enumerate(file.questionnaire.question, 1)]
    return file.questionnaire.title, "\n\n".join([file.questionnaire.intro, *asked])
