# SPDX-License-Identifier: Apache-2.0
"""The device's journal: what it was about to do, on disk before it did it.

The file is a head (journal id, and what follows from lines that are no longer there), then a line for each event:
canonical JSON of every field, chained by `prev`.

Rules: 1. an event is on disk when `write` returns, and if it is not, nothing has changed; 2. a torn last line was never
acted on, and is dropped; 3. a journal that is damaged elsewhere is set aside, and another begun, with a new id, so that
the plane hears of the loss: never a boot loop; 4. of the damaged one all that can be read counts still, that no order
is taken twice: accepted orders, ended attempts, oneshots that ran; 5. what runs is what the pointer of the slots says,
unless the last that can be read had touched containers: then that goes on, and is turned back; 6. above 1 MiB what the
plane keeps already goes, up to the current attempt, and above 4 MiB the oldest half whatever it is: the head has what
follows from it; 7. a reserve is kept for what must be written on a full disk. It is given up to end what was begun, and
nothing is begun without it.
"""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal, cast

import msgspec

from checkvalve import canonical
from checkvalve.agent.ports import Clock, Disk
from checkvalve.agent.recover import fold
from checkvalve.agent.steps import Position, Slot
from checkvalve.crypto import checked, digests
from checkvalve.errors import CheckvalveError, InvalidError, UnavailableError
from checkvalve.protocol.exchange import SWITCHED, Event, State

NAME = "journal"
RESERVE = "journal.reserve"
RESERVE_SIZE = 64 << 10  # bytes: some 200 events
ROTATED = 1 << 20  # bytes: rule 6
LARGEST = 4 << 20
MOST_SET_ASIDE = 3
LOST = "journal.lost"

# What ends something, or goes on with it (rule 7). Everything else begins something.
_ENDING = frozenset(
    {State.VERIFYING, State.COMMITTED, State.REFUSED, State.ROLLING_BACK, State.ROLLED_BACK, State.DEGRADED}
)
_Kind = Literal["boot", "order", "state", "note"]


@dataclass(frozen=True)
class _Head:
    """What the lines follow: number and hash of the last line that is not there, and the position after it."""

    journal: str
    seq: int = 0
    head: str = ""
    position: Position = field(default_factory=Position)


@dataclass(frozen=True)
class _Line:
    data: bytes  # without its line feed
    event: Event

    @property
    def size(self) -> int:
        return len(self.data) + 1


class Journal:
    """An open journal. `trouble` says what was wrong with it at this start, in a sentence; empty if nothing."""

    def __init__(self, disk: Disk, clock: Clock, head: _Head, lines: Sequence[_Line], size: int) -> None:
        self._disk = disk
        self._clock = clock
        self._head = head
        self._lines = list(lines)
        self._size = size
        self._known = 0
        self.trouble = ""
        self.position = _folded(head.position, self._lines)
        with contextlib.suppress(UnavailableError):
            self._have_reserve()

    @classmethod
    def open(cls, disk: Disk, clock: Clock, committed: Slot | None = None) -> "Journal":
        """Return the journal of this disk, begun anew if there is none or it is damaged (rules 2 to 5).

        `committed` is the slot that the pointer names. Raises `UnavailableError` (`disk.full`, `disk.failed`) if not
        even a new one can be written.
        """
        missing = not disk.exists(NAME)
        if missing and committed is None:
            head = _Head(clock.new_id())
            return cls(disk, clock, head, (), _store(disk, head, ()))
        data = b"" if missing else _data(disk)
        read = None if data is None else _read(data)
        if read is None:
            return _begun_anew(disk, clock, data, committed)
        head, lines, size = read  # what follows is torn off with the next `_append`
        return cls(disk, clock, head, lines, size)

    @property
    def id(self) -> str:
        """Return the journal's id, which a loss changes."""
        return self._head.journal

    @property
    def seq(self) -> int:
        """Return the number of the newest event; 0 if there never was one."""
        return self._head.seq + len(self._lines)

    @property
    def oldest(self) -> int:
        """Return the number of the oldest line that is still here; what is before it is gone for good."""
        return self._head.seq + 1

    @property
    def head(self) -> str:
        """Return the SHA-256 of the newest line in hex; empty if there never was one."""
        return digests.sha256_hex(self._lines[-1].data) if self._lines else self._head.head

    @property
    def committed(self) -> tuple[str, ...]:
        """Return the attempts that were committed, newest first, as far back as is known."""
        seen = [
            each.event.attempt
            for each in self._lines
            if each.event.kind == "state" and each.event.state is State.COMMITTED
        ]
        old = sorted(attempt for attempt, state in self.position.ended.items() if state is State.COMMITTED)
        return tuple(dict.fromkeys([*reversed(seen), *reversed(old)]))

    def write(
        self,
        kind: _Kind,
        *,
        attempt: str = "",
        state: State = State.IDLE,
        release: str = "",
        code: str = "",
        reason: str = "",
        facts: Mapping[str, str | int] | None = None,
    ) -> Event:
        """Write an event, and return it when it is on disk (rule 1). Texts are cut to what an event holds.

        Raises `UnavailableError` (`disk.full`, `disk.failed`), `InvalidError` (`journal.event`): nothing has changed.
        """
        line = _line(
            Event(
                seq=self.seq + 1,
                at=max(0, _milliseconds(self._clock.now())),
                kind=kind,
                attempt=attempt,
                state=state,
                release=release,
                code=_text(code, 100),
                reason=_text(reason, 1_000),
                facts=dict(facts or {}),
                prev=self.head,
            )
        )
        self._put(line, ends=kind in {"boot", "note"} or (kind == "state" and state in _ENDING))
        self._lines.append(line)
        self.position = fold(self.position, line.event)
        if self._size > ROTATED:
            self._rotate()
        return line.event

    def events(self, after: int, most: int) -> list[Event]:
        """Return at most `most` events that are still here, from the one that follows number `after` on."""
        begin = max(0, after - self._head.seq)
        return [each.event for each in self._lines[begin : begin + most]]

    def of(self, attempt: str) -> list[Event]:
        """Return what is still here of an attempt, oldest first."""
        return [each.event for each in self._lines if each.event.attempt == attempt]

    def known(self, seq: int) -> None:
        """Take note that the plane keeps all up to this number: it may go (rule 6)."""
        self._known = min(seq, self.seq)

    def _put(self, line: _Line, *, ends: bool) -> None:
        """Have the line on disk (rule 7)."""
        if not ends:
            self._have_reserve()
        try:
            self._append(line)
        except UnavailableError as error:
            if error.code != "disk.full" or not ends or not self._disk.exists(RESERVE):
                raise
            _make_room(self._disk)
            self._append(line)

    def _append(self, line: _Line) -> None:
        if self._disk.size(NAME) != self._size:  # there is a torn line (rule 2)
            self._size = _store(self._disk, self._head, self._lines)
        self._disk.append(NAME, line.data + b"\n")
        self._size += line.size

    def _have_reserve(self) -> None:
        if self._disk.size(RESERVE) != RESERVE_SIZE:
            self._disk.replace(RESERVE, b"\xff" * RESERVE_SIZE)

    def _rotate(self) -> None:
        """Let the oldest lines go (rule 6). If it fails it is tried again with the next event."""
        now = self.position.attempt
        first = next((each.event.seq for each in self._lines if now and each.event.attempt == now), self.seq + 1)
        gone = max(0, min(self._known, first - 1) - self._head.seq)
        if sum(each.size for each in self._lines[:gone]) < ROTATED // 2:
            if self._size <= LARGEST:
                return
            gone = max(gone, len(self._lines) // 2)
        last = self._lines[gone - 1]
        head = _Head(
            self.id, last.event.seq, digests.sha256_hex(last.data), _folded(self._head.position, self._lines[:gone])
        )
        with contextlib.suppress(UnavailableError):
            self._size = _store(self._disk, head, self._lines[gone:])
            self._head, self._lines = head, self._lines[gone:]


def _begun_anew(disk: Disk, clock: Clock, data: bytes | None, committed: Slot | None) -> Journal:
    """Set the damaged journal aside, and begin another (rules 3 to 5)."""
    salvaged = Position() if data is None else _salvaged(data)
    head = _Head(clock.new_id(), position=_after_loss(salvaged, committed))
    _set_aside(disk, data)
    try:
        size = _store(disk, head, ())
    except UnavailableError as error:
        if error.code != "disk.full":
            raise
        _make_room(disk)
        size = _store(disk, head, ())
    journal = Journal(disk, clock, head, (), size)
    journal.trouble = "The journal was damaged or missing. Another one was begun, with what could be read of it."
    with contextlib.suppress(UnavailableError):  # the new id tells the plane too
        position = head.position
        journal.write("note", attempt=position.attempt, state=position.state, code=LOST, reason=journal.trouble)
    return journal


def _after_loss(salvaged: Position, committed: Slot | None) -> Position:
    """Return where the device stands after a loss (rules 4 and 5)."""
    now = "" if committed is None else committed.attempt
    if salvaged.state in SWITCHED and salvaged.attempt != now:
        return salvaged
    kept = Position(epoch=salvaged.epoch, counter=salvaged.counter, ran=salvaged.ran, ended=salvaged.ended)
    if committed is None:
        return kept
    return replace(
        kept,
        state=State.COMMITTED,
        attempt=now,
        release=committed.release,
        target=committed.target,
        number=committed.number,
        ended={**salvaged.ended, now: State.COMMITTED},
    )


def _set_aside(disk: Disk, data: bytes | None) -> None:
    """Keep a copy for whoever looks into it; what cannot be read is only renamed. It may fail."""
    kept = _aside(disk)
    with contextlib.suppress(CheckvalveError):
        for number in kept[: max(0, len(kept) - MOST_SET_ASIDE + 1)]:
            disk.remove(f"{NAME}.{number}.bad")
        name = f"{NAME}.{max(kept, default=0) + 1}.bad"
        if data is None:
            disk.settle(NAME, name)
        elif data:
            disk.replace(name, data)  # not renamed: until the new one is there, the old one says what it can


def _aside(disk: Disk) -> list[int]:
    """Return the numbers of the journals that were set aside, the oldest first."""
    parts = [name.split(".") for name in disk.names("")]
    return sorted(
        int(each[1]) for each in parts if len(each) == 3 and (each[0], each[2]) == (NAME, "bad") and each[1].isdecimal()
    )


def _make_room(disk: Disk) -> None:
    """Give up the reserve, and what is only kept to be looked into."""
    disk.remove(RESERVE)
    for number in _aside(disk):
        disk.remove(f"{NAME}.{number}.bad")


def _data(disk: Disk) -> bytes | None:
    """Return what is in the file, None if the disk cannot read it any more."""
    try:
        return disk.read(NAME)
    except UnavailableError:
        return None


def _read(data: bytes) -> tuple[_Head, list[_Line], int] | None:
    """Return head, lines, and how many bytes of `data` they are; None if it is damaged before the last line."""
    first, _, rest = data.partition(b"\n")
    second, feed, rest = rest.partition(b"\n")
    head = _read_head(first + b"\n" + second)
    if head is None or not feed:
        return None
    lines: list[_Line] = []
    seq, prev, size = head.seq, head.head, len(data) - len(rest)
    pieces = rest.split(b"\n")
    whole, torn = pieces[:-1], pieces[-1]
    for index, piece in enumerate(whole):
        line = _read_line(piece)
        if line is None or line.event.seq != seq + 1 or line.event.prev != prev:
            # An append may have come to the disk with its end and without its beginning, which then reads as zeros.
            tail = index == len(whole) - 1 and not torn and b"\0" in piece
            return (head, lines, size) if tail else None
        lines.append(line)
        seq, prev, size = line.event.seq, digests.sha256_hex(piece), size + line.size
    return head, lines, size


def _salvaged(data: bytes) -> Position:
    """Return what follows from all that can be read, in whatever order it stands (rule 4)."""
    pieces = data.split(b"\n")
    head = _read_head(b"\n".join(pieces[:2]))
    return _folded(Position() if head is None else head.position, [line for line in map(_read_line, pieces) if line])


def _folded(position: Position, lines: Sequence[_Line]) -> Position:
    for line in lines:
        position = fold(position, line.event)
    return position


def _line(event: Event) -> _Line:
    plain: Any = msgspec.to_builtins(event)
    try:
        return _Line(canonical.dumps(plain), msgspec.convert(plain, Event))
    except (msgspec.ValidationError, InvalidError) as error:
        raise InvalidError("journal.event", f"This cannot be written to the journal: {error}.") from error


def _read_line(data: bytes) -> _Line | None:
    try:
        return _Line(data, msgspec.convert(canonical.loads(data), Event))
    except (msgspec.ValidationError, InvalidError):
        return None


def _store(disk: Disk, head: _Head, lines: Sequence[_Line]) -> int:
    """Have the file hold this; return how many bytes it is."""
    plain = msgspec.to_builtins(head)
    plain["position"]["ran"] = sorted(plain["position"]["ran"])
    first = checked.write(canonical.dumps(cast("canonical.Json", plain)))
    data = b"".join([first, b"\n", *(each.data + b"\n" for each in lines)])
    disk.replace(NAME, data)
    return len(data)


def _read_head(data: bytes) -> _Head | None:
    try:
        return msgspec.convert(canonical.loads(checked.read(data)), _Head)
    except (msgspec.ValidationError, InvalidError):
        return None


def _text(text: str, most: int) -> str:
    """Return what an event can hold of a text: an engine says what it likes, and a rollback must be written."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()[:most]


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
