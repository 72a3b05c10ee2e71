# SPDX-License-Identifier: Apache-2.0
"""Is this text one YAML document, and what stands on which line of it?

Rules: 1. scalars are read by the core schema of YAML 1.2, as compose reads them: `22:22`, `yes` and `on` are text;
2. an alias counts as much as what it stands for, and a document has at most 20 000 nodes and a million characters, 32
deep: it is read as a stream of events, so that a small file that unfolds into a large one ends where it crosses the
line; 3. a name stands
in a mapping once; `<<` takes over what is not named beside it; 4. no tag makes anything but text, a list or a mapping.
"""

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NoReturn

import yaml
from yaml import events

from checkvalve.protocol import workload
from checkvalve.server.supply.composed import Findings, Problem
from checkvalve.server.supply.sentences import brief, joined

MOST_NODES = 20_000
MOST_TEXT = 1 << 20
DEEPEST = 32

_LOADER = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
# YAML 1.2, 5.1: what may stand in a stream; anything else would reach the parser's own wording without a line.
_FOREIGN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# YAML 1.2, 10.3.2.
_NULL = re.compile(r"(?:null|Null|NULL|~|)\Z")
_BOOLEAN = re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z")
_NUMBER = re.compile(
    r"(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+|[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z"
)
_YAML = "tag:yaml.org,2002:"
_SCALAR_TAGS = ("!", _YAML + "str", _YAML + "merge")
_OTHER_TAGS = ("!", _YAML + "map", _YAML + "seq")


class Kind(StrEnum):
    """What a node is."""

    TEXT = "text"
    NUMBER = "a number"
    BOOLEAN = "true or false"
    NULL = "nothing"
    LIST = "a list"
    MAP = "a mapping"


@dataclass(slots=True)
class Node:
    """One node, built from below; an alias is the very node it stands for. `text` is a scalar's text as written."""

    line: int
    kind: Kind
    text: str = ""
    items: list["Node"] = field(default_factory=list)
    entries: dict[str, tuple[int, "Node"]] = field(default_factory=dict)  # name -> line of the name, value
    size: int = 1
    letters: int = 0
    depth: int = 1


@dataclass(slots=True)
class _Open:
    """A list or mapping that has not ended yet, and the name in it that waits for its value."""

    node: Node
    path: str
    name: str | None = None
    name_line: int = 0
    waits: bool = False
    merged: list[Node] = field(default_factory=list)


class _StopError(Exception):
    """The rest of the text is not read."""


def read(source: bytes, found: Findings) -> Node | None:
    """Return the document's node, or None if there is none to look into; what is wrong goes to `found`.

    Codes: `compose.size`, `compose.syntax`, `compose.bomb`, `compose.duplicate`, `compose.tag`, `compose.type`.
    """
    text = _text(source, found)
    if text is None:
        return None
    building = _Building(found)
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            building.take(event)
    except _StopError:
        return None
    except (yaml.YAMLError, ValueError) as error:  # without libyaml, PyYAML lets an impossible \\U through
        found.problems.append(_unreadable(error, text))
        return None
    if building.root is None:
        _syntax(found, 1, "The file is empty.", "Write at least one service, below `services:`.")
    return building.root


def _text(source: bytes, found: Findings) -> str | None:
    if len(source) > workload.LARGEST:
        found.problems.append(
            Problem(
                1,
                "",
                "compose.size",
                f"The file has {len(source)} bytes; {workload.LARGEST} is the most.",
                "Divide it into several releases.",
            )
        )
        return None
    try:
        text = source.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        _syntax(found, source.count(b"\n", 0, error.start) + 1, "The file is not UTF-8.", "Save it as UTF-8.")
        return None
    foreign = _FOREIGN.search(text)
    if foreign:
        line = text.count("\n", 0, foreign.start()) + 1
        named = f"The character U+{ord(foreign.group()):04X} may not stand in YAML."
        _syntax(found, line, named, "Take it out; in quotes, write it as an escape.")
        return None
    return text


class _Building:
    """Turns events into nodes without going deeper than the text does, and stops at the bounds (rule 2)."""

    def __init__(self, found: Findings) -> None:
        self.root: Node | None = None
        self._found = found
        self._open: list[_Open] = []
        self._anchors: dict[str, Node | None] = {}  # None: not finished yet
        self._names: list[str | None] = []  # the anchor of each open node
        self._documents = 0
        self._size = 0
        self._letters = 0

    def take(self, event: yaml.Event) -> None:
        """Take the next event of the text."""
        line = event.start_mark.line + 1 if event.start_mark else 1
        match event:
            case events.DocumentStartEvent():
                self._documents += 1
                if self._documents > 1:
                    _syntax(self._found, line, "The file holds several documents.", "Keep one; take out the `---`.")
                    raise _StopError
            case events.AliasEvent():
                self._alias(event.anchor or "", line)
            case events.ScalarEvent():
                node = self._scalar(event, line)
                self._count(line, node)
                self._put(node, event.anchor)
            case events.MappingStartEvent() | events.SequenceStartEvent():
                self._begin(event, line)
            case events.MappingEndEvent() | events.SequenceEndEvent():
                self._end()
            case _:
                pass

    def _begin(self, event: events.MappingStartEvent | events.SequenceStartEvent, line: int) -> None:
        node = Node(line, Kind.MAP if isinstance(event, events.MappingStartEvent) else Kind.LIST)
        self._count(line, node)
        self._tag(event.tag, line, _OTHER_TAGS)
        self._open.append(_Open(node, self._here()))
        self._names.append(event.anchor)
        if event.anchor is not None:
            self._anchors[event.anchor] = None

    def _end(self) -> None:
        ended = self._open.pop()
        for other in ended.merged:  # rule 3: what is nearer counts more
            for name, entry in other.entries.items():
                if name not in ended.node.entries:
                    self._count(entry[0], entry[1])
                    _grow(ended.node, entry[1])
                    ended.node.entries[name] = entry
        self._put(ended.node, self._names.pop())

    def _alias(self, anchor: str, line: int) -> None:
        node = self._anchors.get(anchor, _UNKNOWN)
        if node is _UNKNOWN:
            _syntax(
                self._found,
                line,
                f"The alias *{brief(anchor)} stands for nothing.",
                f"Define it before: `&{brief(anchor)}`.",
            )
            raise _StopError
        if node is None:
            self._bomb(line, f"The alias *{brief(anchor)} contains itself.")
        self._count(line, node)
        self._put(node, None)

    def _scalar(self, event: events.ScalarEvent, line: int) -> Node:
        plain = event.implicit[0] and event.tag is None
        self._tag(event.tag, line, _SCALAR_TAGS)
        return Node(line, _kind(event.value) if plain else Kind.TEXT, event.value, letters=len(event.value))

    def _put(self, node: Node, anchor: str | None) -> None:
        if anchor is not None:
            self._anchors[anchor] = node
        if not self._open:
            self.root = node
            return
        inner = self._open[-1]
        if inner.node.kind is Kind.LIST:
            inner.node.items.append(node)
            _grow(inner.node, node)
        elif not inner.waits:
            self._name(inner, node)
        else:
            self._value(inner, node)
            inner.waits = False

    def _name(self, inner: _Open, node: Node) -> None:
        inner.waits, inner.name, inner.name_line = True, node.text, node.line
        if node.kind is not Kind.TEXT:
            inner.name = None
            words = f"A name is text, and this one is {node.kind}."
            instead = f"Put it in quotes: '{brief(node.text)}'." if node.text else "Write a name."
            self._found.problems.append(Problem(node.line, inner.path, "compose.type", words, instead))
        elif node.text in inner.node.entries or (node.text == "<<" and inner.merged):
            inner.name = None
            path = joined(inner.path, node.text)
            first = inner.node.entries.get(node.text, (inner.merged[0].line if inner.merged else 0, node))[0]
            words = f"{brief(node.text)} stands here twice; the first time on line {first}."
            self._found.problems.append(Problem(node.line, path, "compose.duplicate", words, "Keep one of them."))

    def _value(self, inner: _Open, node: Node) -> None:
        if inner.name == "<<":
            others = node.items if node.kind is Kind.LIST else [node]
            if any(other.kind is not Kind.MAP for other in others):
                words = "`<<` takes over mappings, and this is none."
                self._found.problems.append(
                    Problem(
                        node.line, joined(inner.path, "<<"), "compose.type", words, "Name a mapping: `<<: *anchor`."
                    )
                )
                others = []
            inner.merged.extend(others)
        elif inner.name is not None:
            inner.node.entries[inner.name] = (inner.name_line, node)
            _grow(inner.node, node)

    def _here(self) -> str:
        """Return the path of the node that begins now."""
        if not self._open:
            return ""
        inner = self._open[-1]
        return joined(inner.path, inner.name or "" if inner.node.kind is Kind.MAP else str(len(inner.node.items)))

    def _count(self, line: int, node: Node) -> None:
        self._size += node.size
        self._letters += node.letters
        if self._size > MOST_NODES:
            self._bomb(line, f"With what its aliases stand for, the file has more than {MOST_NODES} values.")
        if self._letters > MOST_TEXT:
            self._bomb(line, f"With what its aliases stand for, the file has more than {MOST_TEXT} characters.")
        if len(self._open) + node.depth > DEEPEST:
            self._bomb(line, f"The file is nested more than {DEEPEST} deep.")

    def _bomb(self, line: int, sentence: str) -> NoReturn:
        self._found.problems.append(Problem(line, "", "compose.bomb", sentence, "Write it out, and simpler."))
        raise _StopError

    def _tag(self, tag: str | None, line: int, good: tuple[str, ...]) -> None:
        if tag is not None and tag not in good:  # rule 4
            words = f"The tag {brief(tag.replace(_YAML, '!!'))} is not taken: a file makes no objects."
            self._found.problems.append(
                Problem(line, self._here(), "compose.tag", words, "Write the value without it.")
            )


_UNKNOWN = Node(0, Kind.NULL)


def _grow(node: Node, by: Node) -> None:
    node.size += by.size
    node.letters += by.letters
    node.depth = max(node.depth, by.depth + 1)


def _kind(text: str) -> Kind:
    """Return what an unquoted scalar is (rule 1)."""
    for pattern, kind in ((_NULL, Kind.NULL), (_BOOLEAN, Kind.BOOLEAN), (_NUMBER, Kind.NUMBER)):
        if pattern.match(text):
            return kind
    return Kind.TEXT


def _syntax(found: Findings, line: int, sentence: str, instead: str) -> None:
    found.problems.append(Problem(line, "", "compose.syntax", sentence, instead))


def _unreadable(error: Exception, text: str) -> Problem:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    line = mark.line + 1 if mark is not None else 1
    said = " ".join(filter(None, (getattr(error, "context", None), getattr(error, "problem", None)))) or "not readable"
    rows = text.splitlines()
    there = rows[line - 1] if line <= len(rows) else ""
    tab = "\t" in there[: len(there) - len(there.lstrip())]
    instead = "Indent with spaces, not tabs." if tab else "Correct the YAML here, or in the line before."
    return Problem(line, "", "compose.syntax", f"The file is not YAML: {brief(said, 200)}.", instead)
