# SPDX-License-Identifier: Apache-2.0
"""What stands at one place of a compose file, and is it what may stand there?

Rules: 1. a reader that finds something wrong adds a problem with line and path and returns None, so that all problems
of a file are told at once; 2. compose would fill `$X` from the machine it runs on; nothing fills it here: only where a
value may stand (`template`) it is a variable, and one that the file declares; elsewhere it is refused, and `$$` is a
dollar sign as in compose; 3. text is taken as text: a number or `true` without quotes is one only where compose makes
it one, and only if it can be written in one way; 4. a template is checked as what its variables' defaults make of it,
as far as they have any.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

from checkvalve.protocol import filling
from checkvalve.server.supply import durations
from checkvalve.server.supply.composed import MOST_PROBLEMS, Findings, Problem
from checkvalve.server.supply.document import Kind, Node
from checkvalve.server.supply.sentences import brief, joined, nearest

LONGEST = 32_768  # characters, as in `workload.Text`
_DOLLAR = re.compile(r"\$(\$|\{[^}]*\}?|[A-Za-z_][A-Za-z0-9_]*)?")
_NAME = re.compile(r"\$(?:([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)\})\Z")
_DEFAULTED = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*):?[-?+]")
_STANDS = (
    "Variables stand in command, entrypoint, environment, hostname, addresses, interfaces, devices, sources of binds, "
    "extra_hosts and sysctls. Write the value itself here; a dollar sign is written $$."
)
_SURROGATE = re.compile("[\ud800-\udfff]")
_INTEGER = re.compile(r"(?:0|-?[1-9][0-9]{0,14})\Z")
_DECIMAL = re.compile(r"-?[0-9]+\.[0-9]+\Z")


@dataclass(frozen=True, slots=True)
class Place:
    """A node, where it stands, and where to report."""

    node: Node
    path: str
    line: int
    found: Findings

    def refuse(self, code: str, sentence: str, instead: str) -> None:
        """Add a problem at this place (rule 1); `code` without its first word."""
        self.found.problems.append(Problem(self.line, self.path, f"compose.{code}", sentence, instead))

    @property
    def empty(self) -> bool:
        """Whether nothing is written here: `key:` alone."""
        return self.node.kind is Kind.NULL

    def at(self, key: str) -> "Place | None":
        """Return what stands below `key`, if it is there and not empty."""
        entry = self.node.entries.get(key)
        return None if entry is None or entry[1].kind is Kind.NULL else self._below(key, *entry)

    def entries(self) -> Iterator[tuple[str, "Place"]]:
        """Yield every name of a mapping with its place."""
        for key, (line, node) in self.node.entries.items():
            yield key, self._below(key, line, node)

    def items(self) -> Iterator["Place"]:
        """Yield the places of a list."""
        for index, node in enumerate(self.node.items):
            yield self._below(str(index), node.line, node)

    def _below(self, name: str, line: int, node: Node) -> "Place":
        return Place(node, joined(self.path, name), line, self.found)

    def is_a(self, *kinds: Kind, instead: str) -> bool:
        """Tell whether it is of one of these kinds; if not, say so."""
        if self.node.kind in kinds:
            return True
        wanted = " or ".join(kinds)
        if self.node.kind is Kind.TEXT and self._filled() is None:
            return False
        self.refuse("type", f"Here stands {self.node.kind}; it takes {wanted}.", instead)
        return False

    def keys(self, table: Mapping[str, str]) -> bool:
        """Check the names of a mapping: a sentence in `table` says what to write instead, an empty one takes it."""
        if not self.is_a(Kind.MAP, instead=f"Write one of: {', '.join(sorted(k for k in table if not table[k]))}."):
            return False
        for key, place in self.entries():
            known = table.get(key)
            if known:
                place.refuse("unsupported", f"A release cannot say `{brief(key)}`.", known)
            elif known is None and not key.startswith("x-"):
                place.refuse(
                    "unknown", f"Compose knows no `{brief(key)}` here.", place.near(key, table) or "Take it out."
                )
        return True

    def near(self, word: str, known: Collection[str]) -> str:
        """Return `Did you mean …?`, or nothing; also when so much is wrong that nobody will read it."""
        return nearest(word, known) if len(self.found.problems) < MOST_PROBLEMS else ""

    def text(self, *, instead: str = "", longest: int = LONGEST) -> str | None:
        """Return the text that stands here, of at most `longest` characters."""
        if self.node.kind in (Kind.NUMBER, Kind.BOOLEAN) and len(self.node.text) <= LONGEST:
            instead = instead or f"Put it in quotes: '{brief(self.node.text)}'."
        if not self.is_a(Kind.TEXT, instead=instead or "Write text."):
            return None
        return self._filled(longest)

    def template(self, *, words: bool = False, instead: str = "") -> str | None:
        """Return the template that stands here (rule 2): `${NAME}` is a declared variable, `$$` a dollar sign.

        It is as `text`; with `words` as `word`, so that a number or `true` is taken, too. A literal text with a dollar
        sign comes back with `$$`: `filling.names(it)` are its variables, `known(it)` what it is if nobody sets them.
        """
        taken = self.node.kind is Kind.NUMBER and _one_way(self.node.text)
        if words and (taken or (self.node.kind is Kind.BOOLEAN and self.node.text in ("true", "false"))):
            return self.node.text
        if self.node.kind is not Kind.TEXT:
            return self.text(instead=instead)
        if not self._fits(LONGEST):
            return None
        text = self.node.text
        wrong = next((dollar[0] for dollar in _DOLLAR.finditer(text) if not self._variable(dollar[0])), None)
        if wrong is not None:
            return None
        template = _DOLLAR.sub(lambda dollar: _written(dollar[0]), text)
        if len(template) > LONGEST:
            self.refuse("value", f"A text has at most {LONGEST} characters.", "Shorten it.")
            return None
        self.found.used.update(filling.names(template))
        return template

    def known(self, template: str) -> str | None:
        """Return what a template says if all its variables have a default, else None (rule 4)."""
        said = {name: self.found.variables.get(name) for name in filling.names(template)}
        return None if None in said.values() else filling.worded(template, {name: v or "" for name, v in said.items()})

    def _variable(self, dollar: str) -> bool:
        """Tell whether a dollar sign with what follows is `$$` or a declared variable; if not, say so."""
        named = _NAME.match(dollar)
        name = None if named is None else named[1] or named[2]
        if dollar == "$$" or name in self.found.variables:
            return True
        if name is not None:
            near = self.near(name, self.found.variables)
            words = f"The variable {brief(name)} is not declared."
            self.refuse("variable", words, f"{near} Declare it below `x-checkvalve.variables`.".strip())
        elif (told := _DEFAULTED.match(dollar)) is not None:
            words = f"{brief(dollar)} is no variable alone."
            instead = f"Write ${{{brief(told[1])}}}, and its default below `x-checkvalve.variables`."
            self.refuse("variable", words, instead)
        else:
            instead = "Write ${NAME} for a variable; a dollar sign is written $$."
            self.refuse("variable", f"{brief(dollar)} is no variable.", instead)
        return False

    def word(self, *, instead: str = "") -> str | None:
        """Return text, or a number or `true` as the text that compose makes of it (rule 3)."""
        if self.node.kind is Kind.BOOLEAN and self.node.text in ("true", "false"):
            return self.node.text
        if self.node.kind is Kind.NUMBER and _one_way(self.node.text):
            return self.node.text
        return self.text(instead=instead)

    def matching(self, pattern: re.Pattern[str], what: str, instead: str) -> str | None:
        """Return text of a form; `what` says what it is not."""
        text = self.word(instead=instead)
        if text is None:
            return None
        if pattern.match(text) is None:
            self.refuse("value", f"{brief(text) or 'Empty text'} is no {what}.", instead)
            return None
        return text

    def shaped(self, pattern: re.Pattern[str], what: str, instead: str) -> str | None:
        """Return a template whose text has a form, as far as it is known (rule 4); `what` says what it is not."""
        template = self.template(words=True, instead=instead)
        if template is None:
            return None
        said = self.known(template)
        if said is not None and pattern.match(said) is None:
            self.refuse("value", f"{brief(said) or 'Empty text'} is no {what}.", instead)
            return None
        return template

    def boolean(self) -> bool | None:
        """Return true or false."""
        if not self.is_a(Kind.BOOLEAN, instead="Write true or false, without quotes."):
            return None
        return self.node.text.lower() == "true"

    def whole(self, low: int, high: int) -> int | None:
        """Return a whole number between `low` and `high`."""
        between = f"Write a whole number from {low} to {high}."
        if not self.is_a(Kind.NUMBER, Kind.TEXT, instead=between):
            return None
        text = self.node.text if self.node.kind is Kind.NUMBER else self._filled()
        if text is None:
            return None
        if _INTEGER.match(text) and low <= int(text) <= high:
            return int(text)
        self.refuse("value", f"{brief(text) or 'Empty text'} is not taken here.", between)
        return None

    def duration(self, low: int, high: int) -> int | None:
        """Return the milliseconds of a duration between `low` and `high`."""
        between = f"Write it with its unit, from {durations.shown(low)} to {durations.shown(high)}; for example 1m30s."
        text = self.node.text if self.node.kind is Kind.NUMBER else self.text(instead=between)
        if text is None:
            return None
        value = durations.read(text)
        if value is None or not low <= value <= high:
            self.refuse("value", f"{brief(text) or 'Empty text'} is no duration that is taken here.", between)
            return None
        return value

    def choice(self, values: Collection[str]) -> str | None:
        """Return one of `values`."""
        one = f"Write one of: {', '.join(values)}."
        text = self.text(instead=one)
        if text is not None and text not in values:
            self.refuse("value", f"{brief(text) or 'Empty text'} is not taken here.", one)
            return None
        return text

    def texts(self, *, single: bool = False) -> list[str] | None:
        """Return a list of texts; with `single` a text alone is a list of one."""
        if single and self.node.kind is Kind.TEXT:
            text = self.text()
            return None if text is None else [text]
        return self.each(Place.text)

    def each(self, read: Callable[["Place"], str | None]) -> list[str] | None:
        """Return what `read` makes of every item of a list; None if one of them is wrong."""
        if not self.is_a(Kind.LIST, instead="Write a list: `- ` and the text, one a line."):
            return None
        texts = [read(item) for item in self.items()]
        whole = [text for text in texts if text is not None]
        return whole if len(whole) == len(texts) else None

    def _filled(self, longest: int = LONGEST) -> str | None:
        """Return the text with `$$` as a dollar sign (rule 2)."""
        if not self._fits(longest):
            return None
        for dollar in _DOLLAR.finditer(self.node.text):
            if dollar.group(1) != "$":
                self.refuse("variable", f"Nothing fills {brief(dollar.group())} here.", _STANDS)
                return None
        return self.node.text.replace("$$", "$")

    def _fits(self, longest: int) -> bool:
        text = self.node.text
        if len(text) > longest or "\0" in text or not encodes(text):
            self.refuse("value", f"A text has at most {longest} characters, and no U+0000.", "Shorten it.")
            return False
        return True


def _written(dollar: str) -> str:
    """Return a dollar sign with what follows as a manifest writes it."""
    return dollar if dollar == "$$" else "${" + dollar.strip("${}") + "}"


def _one_way(text: str) -> bool:
    """Tell whether a number reads the same in YAML 1.1, in YAML 1.2 and in compose's own words."""
    if _INTEGER.match(text):
        return True
    if len(text) > 15 or _DECIMAL.match(text) is None:  # `.inf` and `.nan` are numbers of YAML, too
        return False
    return not text.endswith(".0") and text == repr(float(text))


def encodes(text: str) -> bool:
    """Tell whether UTF-8 can write it: a lone surrogate has no bytes."""
    return _SURROGATE.search(text) is None
