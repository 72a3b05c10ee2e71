# SPDX-License-Identifier: Apache-2.0
"""Standards and answers for tests, made from the shipped files."""

from collections.abc import Mapping

from checkvalve.server.scorecard import reading, shipped
from checkvalve.server.scorecard.model import Said
from checkvalve.server.scorecard.standard import Standard

SECTIONS = ("PM", "AA", "AI", "RE", "OR")
WORDS = {
    **{str(points): Said(str(points)) for points in range(5)},
    "?": Said.NOT_SURE,
    "x": Said.NOT_APPLICABLE,
    "-": None,
}


def document(kind: str, *changes: tuple[str, str]) -> bytes:
    """Return a shipped file with parts of its text replaced, each of which is there."""
    text = shipped.shipped().documents[kind].decode()
    for before, after in changes:
        assert before in text, before
        text = text.replace(before, after, 1)
    return text.encode()


def standard(**documents: bytes) -> Standard:
    """Return the shipped standard with other files."""
    all_three = {**shipped.shipped().documents, **documents}
    return reading.standard(all_three["questions"], all_three["scheme"], all_three["guide"])


def answers(**sections: str) -> Mapping[str, Said | None]:
    """Return answers, five signs a section: 0 to 4, ? not sure, x not applicable, - nothing yet; the rest is 4."""
    said = dict.fromkeys(SECTIONS, "44444") | sections
    return {f"{name}{at}": WORDS[sign] for name, signs in said.items() for at, sign in enumerate(signs, 1)}
