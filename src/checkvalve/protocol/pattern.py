# SPDX-License-Identifier: Apache-2.0
r"""Has a text the form that a release asks for? In time that grows with the text only, whatever the pattern.

Plane and device ask it of every value, so a careless pattern must not hold either up: `re` goes back and tries again,
and takes for ever over `(a+)+b`. Here all ways through a pattern are walked at once (Thompson, 1968).

Rules: 1. a pattern is of the whole text; 2. it is written as for `re`: letters, `.`, `[…]`, `(…)`, `|`, `? * + {m,n}`,
and `\d \w \s` with their opposites, which are of ASCII here; what looks around, remembers or is lazy is refused;
3. it has at most 200 characters, and 1024 steps when its repetitions are written out.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from string import ascii_letters, digits

LONGEST = 200
MOST_STEPS = 1_024
DEEPEST = 20

Takes = Callable[[str], bool]
_CLASSES = {"d": frozenset(digits), "w": frozenset(ascii_letters + digits + "_"), "s": frozenset(" \t\n\r\f\v")}
_CONTROLS = {"t": "\t", "n": "\n", "r": "\r"}
_TIMES = {"?": (0, 1), "*": (0, None), "+": (1, None)}


class PatternError(ValueError):
    """The text is no pattern; its message is a sentence."""


@dataclass(slots=True)
class _Step:
    """Where one can be in a pattern: `takes` a letter to go on, or goes on without one."""

    takes: Takes | None = None
    then: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Form:
    """A pattern that can be asked."""

    steps: tuple[_Step, ...]
    begin: int
    end: int

    def fits(self, text: str) -> bool:
        """Tell whether the whole text has this form (rule 1)."""
        here = self._closed({self.begin})
        known: dict[tuple[frozenset[int], str], frozenset[int]] = {}
        for letter in text:
            there = known.get((here, letter))
            if there is None:
                there = known[here, letter] = self._closed(self._after(here, letter))
            if not there:
                return False
            here = there
        return self.end in here

    def _after(self, here: frozenset[int], letter: str) -> set[int]:
        steps = (self.steps[at] for at in here)
        return {then for step in steps if step.takes is not None and step.takes(letter) for then in step.then}

    def _closed(self, there: set[int]) -> frozenset[int]:
        """Return where one is without taking another letter."""
        left = list(there)
        while left:
            step = self.steps[left.pop()]
            if step.takes is None:
                left += [then for then in step.then if then not in there]
                there.update(step.then)
        return frozenset(there)


@lru_cache(maxsize=256)
def read(pattern: str) -> Form:
    """Return the form that a pattern is; `PatternError` with a sentence if it is none (rules 2 and 3)."""
    if len(pattern) > LONGEST:
        raise PatternError(f"It has more than {LONGEST} characters.")
    reading = _Reading(pattern)
    whole = reading.either(0)
    if reading.next:
        raise PatternError("It closes a parenthesis that it never opened.")
    making = _Making()
    begin, end = making.part(whole)
    return Form(tuple(making.steps), begin, end)


# ---- What a pattern is made of ----


@dataclass(frozen=True, slots=True)
class _Letter:
    takes: Takes


@dataclass(frozen=True, slots=True)
class _Row:
    parts: tuple["_Part", ...]


@dataclass(frozen=True, slots=True)
class _Either:
    parts: tuple["_Part", ...]


@dataclass(frozen=True, slots=True)
class _Times:
    part: "_Part"
    low: int
    high: int | None  # None: without end


_Part = _Letter | _Row | _Either | _Times


@dataclass(slots=True)
class _Making:
    """Makes the steps of what was read. Each part has one step where it begins, and one where it ends."""

    steps: list[_Step] = field(default_factory=list)

    def part(self, part: _Part) -> tuple[int, int]:
        match part:
            case _Letter(takes):
                end = self._step()
                return self._step(_Step(takes, [end])), end
            case _Row(parts):
                begin = end = self._step()
                for each in parts:
                    end = self._on(end, each)
                return begin, end
            case _Either(parts):
                begin, end = self._step(), self._step()
                for each in parts:
                    self.steps[self._on(begin, each)].then.append(end)
                return begin, end
            case _Times(each, low, high):
                return self._times(each, low, high)

    def _times(self, part: _Part, low: int, high: int | None) -> tuple[int, int]:
        begin = last = self._step()
        for _ in range(low):
            last = self._on(last, part)
        if high is None:
            again, behind = self._step(), self._step()
            self.steps[last].then += [again, behind]
            self.steps[self._on(again, part)].then += [again, behind]
            return begin, behind
        end = self._step()
        for _ in range(high - low):
            self.steps[last].then.append(end)
            last = self._on(last, part)
        self.steps[last].then.append(end)
        return begin, end

    def _on(self, at: int, part: _Part) -> int:
        """Put a part behind a step, and return where it ends."""
        begin, end = self.part(part)
        self.steps[at].then.append(begin)
        return end

    def _step(self, step: _Step | None = None) -> int:
        if len(self.steps) >= MOST_STEPS:
            raise PatternError("Its repetitions are too many, or too large.")
        self.steps.append(step or _Step())
        return len(self.steps) - 1


# ---- How it is written ----


@dataclass(slots=True)
class _Reading:
    """Reads a pattern from its beginning to its end."""

    pattern: str
    at: int = 0

    @property
    def next(self) -> str:
        """The letter that stands here; empty at the end."""
        return self.pattern[self.at : self.at + 1]

    def take(self) -> str:
        letter = self.next
        if not letter:
            raise PatternError("It ends where something must follow.")
        self.at += 1
        return letter

    def either(self, depth: int) -> _Part:
        if depth > DEEPEST:
            raise PatternError(f"It is nested more than {DEEPEST} deep.")
        rows = [self._row(depth)]
        while self.next == "|":
            self.at += 1
            rows.append(self._row(depth))
        return rows[0] if len(rows) == 1 else _Either(tuple(rows))

    def _row(self, depth: int) -> _Part:
        parts: list[_Part] = []
        while self.next not in ("", "|", ")"):
            parts.append(self._repeated(self._one(depth)))
        return _Row(tuple(parts))

    def _one(self, depth: int) -> _Part:
        letter = self.take()
        if letter == "(":
            if self.pattern.startswith("?:", self.at):
                self.at += 2
            elif self.next == "?":
                raise PatternError("A group begins with ( or (?: and with nothing else.")
            part = self.either(depth + 1)
            if self.next != ")":
                raise PatternError("A parenthesis is never closed.")
            self.at += 1
            return part
        if letter == "[":
            return _Letter(self._set())
        if letter == ".":
            return _Letter(lambda other: other != "\n")
        if letter == "\\":
            return _Letter(self._escaped())
        if letter in "^$":
            raise PatternError("It is of the whole text always: write it without ^ and $.")
        if letter in "*+?{":
            raise PatternError(f"Before {letter} stands nothing to repeat; for the letter itself, write \\{letter}.")
        return _Letter(letter.__eq__)

    def _repeated(self, part: _Part) -> _Part:
        if not self.next or self.next not in "*+?{":
            return part
        letter = self.take()
        low, high = self._counted() if letter == "{" else _TIMES[letter]
        if self.next and self.next in "*+?{":
            raise PatternError("Two repetitions follow each other; put the first into parentheses.")
        return _Times(part, low, high)

    def _counted(self) -> tuple[int, int | None]:
        text, closed, _ = self.pattern[self.at :].partition("}")
        first, comma, last = text.partition(",")
        written = [each for each in (first, last) if each]
        if not closed or not written or any(set(each) - set(digits) or len(each) > len("1024") for each in written):
            raise PatternError("A repetition is written {3}, {3,} or {3,5}; for the letter itself, write \\{.")
        self.at += len(text) + 1
        low = int(first or 0)
        high = int(last) if last else None if comma else low
        if high is not None and high < low:
            raise PatternError("A repetition ends below where it begins.")
        return low, high

    def _escaped(self) -> Takes:
        letter = self.take()
        if (known := _CLASSES.get(letter.lower())) is not None:
            return known.__contains__ if letter.islower() else lambda other: other not in known
        if letter in _CONTROLS:
            return _CONTROLS[letter].__eq__
        if letter.isalnum() or not letter.isascii():
            raise PatternError(f"\\{letter} is not taken.")
        return letter.__eq__

    def _set(self) -> Takes:
        """Read `[…]`, whose bracket has been taken."""
        opposite = self.next == "^"
        self.at += opposite
        parts: list[Takes] = []
        while self.next != "]" or not parts:
            letter = self.take()
            if letter == "[" or (letter == "]" and not parts):
                raise PatternError(f"For {letter} in brackets, write \\{letter}.")
            first = self._escaped() if letter == "\\" else letter.__eq__
            if self.next == "-" and self.pattern[self.at + 1 : self.at + 2] not in ("", "]"):
                self.at += 1
                parts.append(_range(letter, self.take()))
            else:
                parts.append(first)
        self.at += 1
        return lambda other: any(part(other) for part in parts) != opposite


def _range(low: str, high: str) -> Takes:
    if "\\" in (low, high) or "[" in (low, high) or high < low:
        raise PatternError("A range in brackets goes from one letter upward to another; for a hyphen, write \\-.")
    return lambda other: low <= other <= high
