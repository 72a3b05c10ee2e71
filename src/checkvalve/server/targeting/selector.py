# SPDX-License-Identifier: Apache-2.0
"""Which devices does this text mean?

    selector = both { "or" both }
    both     = one { ["and"] one }
    one      = "not" one | "(" selector ")" | "all" | term
    term     = ("site" | "area" | "tag" | "device" | "runs") (":" | "=") (word | '"' any characters '"')

Rules: 1. names are compared without regard to case; a site or an area means all that lies below it; 2. a device is
named by its name or its id, and what it runs by the name of that release, or as NAME@VERSION; 3. `not` binds closest,
then `and`, which may be left out, then `or`; 4. what cannot be read is refused with the place where it goes wrong, and
nothing is guessed; 5. a text nests at most `DEEPEST` times.
"""

import re
from dataclasses import dataclass
from typing import assert_never

from checkvalve import lines
from checkvalve.errors import InvalidError
from checkvalve.server.targeting.model import And, Every, Expr, Facts, Key, Not, Or, Term

DEEPEST = 20
MOST = 200  # pieces: `matches` asks each device for each of them
EXAMPLE = 'site:Visby and (tag:pump or device:"Filter 1")'

_PIECE = re.compile(
    r'\s*(?:(?P<mark>[()])|(?P<key>[A-Za-z]+)[:=](?:"(?P<quoted>[^"]*)"|(?P<bare>[^\s()":]+))|(?P<word>[^\s()":=]+))'
)


@dataclass(frozen=True, slots=True)
class _Piece:
    """A mark, a word, or a term; `at` is where it begins."""

    at: int
    mark: str = ""
    word: str = ""
    term: Term | None = None


def parse(text: str) -> Expr:
    """Return what `text` says.

    Raises `InvalidError` (`selector.syntax`, `selector.term`, `selector.long`); its fact `at` is the character, from 0.
    """
    pieces = _pieces(text)
    if not pieces:
        raise _wrong("selector.syntax", 0, "The selector is empty.")
    found, end = _either(pieces, 0, 0, len(text))
    if end < len(pieces):
        raise _wrong("selector.syntax", pieces[end].at, "This closing parenthesis has no opening one.")
    return found


def matches(expr: Expr, facts: Facts) -> bool:
    """Tell whether `expr` means the device with these facts."""
    match expr:
        case Every():
            return True
        case Term():
            return _is(expr, facts)
        case Not(of):
            return not matches(of, facts)
        case And(left, right):
            return matches(left, facts) and matches(right, facts)
        case Or(left, right):
            return matches(left, facts) or matches(right, facts)
        case never:
            assert_never(never)


def terms(expr: Expr) -> list[Term]:
    """Return the terms of `expr`, in the order they stand."""
    match expr:
        case Every():
            return []
        case Term():
            return [expr]
        case Not(of):
            return terms(of)
        case And(left, right) | Or(left, right):
            return terms(left) + terms(right)
        case never:
            assert_never(never)


def said(expr: Expr) -> str:
    """Return `expr` as a text that `parse` reads as the same, if it is of `MOST` pieces at most."""
    match expr:
        case Every():
            return "all"
        case Term(key, value):
            return f'{key}:"{value}"'
        case Not(of):
            return f"not {_inside(of)}"
        case And(left, right):
            return f"{said(left) if isinstance(left, And) else _inside(left)} and {_inside(right)}"
        case Or(left, right):  # a long chain leans to the left, and nests nowhere
            return f"{said(left)} or {said(right) if isinstance(right, And) else _inside(right)}"
        case never:
            assert_never(never)


def _inside(expr: Expr) -> str:
    return f"({said(expr)})" if isinstance(expr, And | Or) else said(expr)


def _is(term: Term, facts: Facts) -> bool:
    value = lines.folded(term.value)
    match term.key:
        case Key.SITE:
            return value in facts.sites
        case Key.AREA:
            return value in facts.areas
        case Key.TAG:  # which are lower case, and so are ids
            return value in facts.tags
        case Key.DEVICE:
            return value in (facts.name, facts.id)
        case Key.RUNS:
            return value in facts.runs
        case never:
            assert_never(never)


def _pieces(text: str) -> list[_Piece]:
    found: list[_Piece] = []
    at = 0
    while text[at:].strip():
        piece = _PIECE.match(text, at)
        if piece is None:
            raise _wrong("selector.syntax", at + len(text[at:]) - len(text[at:].lstrip()), "This cannot be read.")
        found.append(_piece(piece))
        if len(found) > MOST:
            raise InvalidError("selector.long", f"A selector has at most {MOST} pieces.", "Give the devices a tag.")
        at = piece.end()
    return found


def _piece(found: re.Match[str]) -> _Piece:
    at = found.start() + len(found[0]) - len(found[0].lstrip())
    if found["key"] is None:
        return _Piece(at, mark=found["mark"] or "", word=(found["word"] or "").lower())
    key, value = found["key"].lower(), found["bare"] if found["quoted"] is None else found["quoted"].strip()
    if key not in set(Key):
        raise _wrong("selector.term", at, f"{key!r} is nothing to select by.")
    if not value:
        raise _wrong("selector.term", at, f"After {key!r} stands no value.")
    return _Piece(at, term=Term(Key(key), value, at))


def _either(pieces: list[_Piece], index: int, depth: int, length: int) -> tuple[Expr, int]:
    found, index = _both(pieces, index, depth, length)
    while index < len(pieces) and pieces[index].word == "or":
        other, index = _both(pieces, index + 1, depth, length)
        found = Or(found, other)
    return found, index


def _both(pieces: list[_Piece], index: int, depth: int, length: int) -> tuple[Expr, int]:
    found, index = _one(pieces, index, depth, length)
    while index < len(pieces) and pieces[index].word != "or" and pieces[index].mark != ")":
        other, index = _one(pieces, index + (pieces[index].word == "and"), depth, length)
        found = And(found, other)
    return found, index


def _one(pieces: list[_Piece], index: int, depth: int, length: int) -> tuple[Expr, int]:
    if index >= len(pieces):
        raise _wrong("selector.syntax", length, "The selector ends too early.")
    piece = pieces[index]
    if depth > DEEPEST:
        raise _wrong("selector.long", piece.at, f"A selector nests at most {DEEPEST} times.")
    if piece.term is not None:
        return piece.term, index + 1
    if piece.word == "all":
        return Every(), index + 1
    if piece.word == "not":
        found, index = _one(pieces, index + 1, depth + 1, length)
        return Not(found), index
    if piece.mark == "(":
        found, index = _either(pieces, index + 1, depth + 1, length)
        if index >= len(pieces):
            raise _wrong("selector.syntax", piece.at, "This parenthesis is not closed.")
        return found, index + 1
    what = (
        f"{piece.word!r} stands alone." if piece.word not in {"", "and", "or"} else "Something is missing before this."
    )
    raise _wrong("selector.syntax", piece.at, what)


def _wrong(code: str, at: int, sentence: str) -> InvalidError:
    remedy = f"Write all, or terms like {EXAMPLE}."
    return InvalidError(code, f"{sentence[:-1]}, at character {at + 1}.", remedy, at=at)
