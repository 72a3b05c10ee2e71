# SPDX-License-Identifier: Apache-2.0
"""What a device knows of its errands: those that are open, what was brought and not acknowledged yet, which have ended.

All of it is one small file, replaced whole; what an errand brings is a gzip file beside it (walk errand, 3 and 8).
Rules: 1. an errand is kept once, for as long as its id is among the open ones or the newest that ended; 2. its id is an
id, for it names a file; 3. what is written here is written before it is done (`begun`, `stage`), so that a start finds
out what may have been done; 4. a damaged file is begun anew empty: what was open is lost, and nobody hears of it from
this device; 5. so many at once, and one more is refused; 6. what was brought stays until the plane has acknowledged
what was said of it. Whether it was sent is not kept: it may be sent twice; 7. a device that has
joined anew is another one: what was brought for the plane before is for nobody.
"""

import contextlib
from collections.abc import Collection
from typing import Annotated, Literal, cast

import msgspec
from msgspec import Meta, Struct, structs

from checkvalve import canonical, ids
from checkvalve.agent.ports import Disk
from checkvalve.crypto import checked
from checkvalve.errors import CheckvalveError, ConflictError, InvalidError, NotFoundError
from checkvalve.protocol.errand import Bundle, Content, Item, Logs, Reboot, Restart
from checkvalve.protocol.measure import Hex, Wall

FILE = "errands.json"
FOLDER = "errands"
MOST = 32
MOST_ENDED = 64


class Open(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """An errand that has not ended. `begun` is 0 until then; `tries` counts how often it was begun.

    `boot` is the boot of the machine in which a reboot was begun, `stage` what is done next to the container of a
    restart, if it was cut short.
    """

    item: Logs | Restart | Bundle | Reboot
    begun: Wall = 0
    tries: Annotated[int, Meta(ge=0, le=1_000)] = 0
    boot: str = ""
    stage: Literal["", "stopping", "starting"] = ""


class Brought(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What an errand brought; `said` is the digest of what was signed about it (payload, hex)."""

    errand: str
    content: Content
    said: Hex


class _Kept(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """The file."""

    device: str
    open: tuple[Open, ...] = ()
    brought: tuple[Brought, ...] = ()
    ended: tuple[str, ...] = ()  # newest last
    v: Literal[1] = 1


class Errands:
    """The errands of a device. `trouble` says what was wrong with the file, in a sentence; empty if nothing."""

    def __init__(self, disk: Disk, device: str) -> None:
        self.trouble = ""
        self._disk = disk
        self._device = device
        self._sent: set[str] = set()
        self._kept = self._read()

    @property
    def open(self) -> tuple[Open, ...]:
        """Return those that have not ended, oldest first."""
        return self._kept.open

    @property
    def unsent(self) -> tuple[Brought, ...]:
        """Return what was brought, and not sent since the agent started, oldest first."""
        return tuple(each for each in self._kept.brought if each.errand not in self._sent)

    def knows(self, errand: str) -> bool:
        """Tell whether it is kept already, or ended lately (rule 1)."""
        return errand in self._kept.ended or any(each.item.id == errand for each in self._kept.open)

    def waits(self, errand: str) -> bool:
        """Tell whether what is signed about it has to wait: for its content, or until this file says that it ended."""
        still = (*(each.item.id for each in self._kept.open), *(each.errand for each in self.unsent))
        return errand in still

    def keep(self, item: Item) -> None:
        """Keep an errand that is not known.

        Raises `InvalidError` (`order.form`), `ConflictError` (`errand.many`), `UnavailableError` (`disk.…`).
        """
        if not ids.well_formed(item.id):
            raise InvalidError("order.form", "The name of the errand is not an id.", "This order is not taken.")
        if len(self._kept.open) >= MOST:
            raise ConflictError("errand.many", f"{MOST} small orders wait here already.", "Order it again later.")
        self._write(structs.replace(self._kept, open=(*self._kept.open, Open(item=item))))

    def change(self, changed: Open) -> None:
        """Have this be what is known of an open errand (rule 3); `UnavailableError` (`disk.full`, `disk.failed`)."""
        every = tuple(changed if each.item.id == changed.item.id else each for each in self._kept.open)
        self._write(structs.replace(self._kept, open=every))

    def end(self, errand: str, brought: Brought | None = None) -> None:
        """Have it be ended, and what it brought be sent; `UnavailableError` (`disk.full`, `disk.failed`)."""
        kept = self._kept
        self._write(
            structs.replace(
                kept,
                open=tuple(each for each in kept.open if each.item.id != errand),
                brought=kept.brought if brought is None else (*kept.brought, brought),
                ended=(*kept.ended, errand)[-MOST_ENDED:],
            )
        )

    def sent(self, errand: str) -> None:
        """Take note that the plane has what it brought."""
        self._sent.add(errand)

    def told(self, said: Collection[str]) -> None:
        """Let go of what belongs to these, which the plane has acknowledged (payload digests in hex; rule 6)."""
        self._drop([each for each in self._kept.brought if each.said in said])

    def give_up(self, errand: str) -> None:
        """Let go of what it brought: the plane does not want it, or it is gone."""
        self._drop([each for each in self._kept.brought if each.errand == errand])

    def begin_anew(self) -> None:
        """Have the file be whole again after damage (rule 4)."""
        self._write(self._kept)
        self.trouble = ""

    def sweep(self) -> None:
        """Have no files of what nothing is known of; those of errands that are open stay."""
        stay = {content(each.errand) for each in self._kept.brought} | {content(each.item.id) for each in self.open}
        for name in self._disk.names(FOLDER):
            if f"{FOLDER}/{name}" not in stay:
                self._disk.remove(f"{FOLDER}/{name}")

    def _drop(self, gone: Collection[Brought]) -> None:
        if not gone:
            return
        self._write(structs.replace(self._kept, brought=tuple(each for each in self._kept.brought if each not in gone)))
        for each in gone:
            self._sent.discard(each.errand)
            with contextlib.suppress(CheckvalveError):  # swept at the next start
                self._disk.remove(content(each.errand))

    def _read(self) -> _Kept:
        none = _Kept(device=self._device)
        try:
            found = msgspec.convert(canonical.loads(checked.read(self._disk.read(FILE))), _Kept)
        except NotFoundError:
            return none
        except (CheckvalveError, msgspec.ValidationError):
            self.trouble = f"The file of small orders ({FILE}) was damaged. What was open is lost: order it again."
            return none
        return found if found.device == self._device else none  # rule 7

    def _write(self, kept: _Kept) -> None:
        """Have the file say this, and only then go by it."""
        plain = cast("canonical.Json", msgspec.to_builtins(kept))
        self._disk.replace(FILE, checked.write(canonical.dumps(plain)))
        self._kept = kept


def content(errand: str) -> str:
    """Return the name of the file with what it brings."""
    return f"{FOLDER}/{errand}.gz"


def part(errand: str) -> str:
    """Return the name of that file while it is being written."""
    return f"{FOLDER}/{errand}.part"
