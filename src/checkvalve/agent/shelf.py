# SPDX-License-Identifier: Apache-2.0
"""What a device remembers of volumes: which ones were left behind, and how long the last copy of each took.

Rules: 1. it is for people, and a help to the plan: a file that is damaged begins anew, and nothing is dropped for it,
for what is not written down here is never dropped (`asides`); 2. a volume is written down once, by its name in the
engine.
"""

from collections.abc import Collection, Iterable
from typing import Annotated, Literal, cast

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from checkvalve import canonical
from checkvalve.agent.asides import Left, Stored
from checkvalve.agent.ports import Disk
from checkvalve.crypto import checked
from checkvalve.errors import InvalidError, NotFoundError
from checkvalve.protocol.exchange import MOST_VOLUMES, Copied

FILE = "volumes"


class Copy(Struct, kw_only=True, frozen=True):
    """A copy of a volume: into `name`, as the engine calls it, by which it is known whose attempt it was for."""

    name: str
    took: Copied


class _Kept(Struct, kw_only=True, frozen=True):
    left: Annotated[tuple[Left, ...], Meta(max_length=1_000)] = ()
    copies: Annotated[tuple[Copy, ...], Meta(max_length=1_000)] = ()
    v: Literal[1] = 1


class Shelf:
    """What one device remembers. What changes it raises `UnavailableError` (`disk.full`, `disk.failed`)."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._kept = _read(disk)

    @property
    def left(self) -> tuple[Left, ...]:
        """Return the volumes that were left behind, in the order of their coming."""
        return self._kept.left

    @property
    def copies(self) -> tuple[Copy, ...]:
        """Return the last copy of each volume."""
        return self._kept.copies

    @property
    def stored(self) -> dict[str, Stored]:
        """Return what is known of volumes, by their names in the engine."""
        took = {each.name: each.took for each in self._kept.copies}
        left = {each.name: each for each in self._kept.left}
        return {name: Stored(took.get(name), left.get(name)) for name in took.keys() | left.keys()}

    def took(self, name: str, took: Copied) -> None:
        """Keep how long a copy took, in the place of what the last one of that volume did."""
        others = [each for each in self._kept.copies if each.took.volume != took.volume]
        self._keep(replace(self._kept, copies=(*others, Copy(name=name, took=took))[-MOST_VOLUMES:]))

    def put(self, left: Iterable[Left]) -> None:
        """Write down what was left behind (rule 2)."""
        known = {each.name for each in self._kept.left}
        if fresh := [each for each in left if each.name not in known]:
            self._keep(replace(self._kept, left=(*self._kept.left, *fresh)))

    def gone(self, names: Collection[str]) -> None:
        """Forget volumes that are there no more."""
        stay = tuple(each for each in self._kept.left if each.name not in names)
        if stay != self._kept.left:
            self._keep(replace(self._kept, left=stay))

    def _keep(self, kept: _Kept) -> None:
        data = canonical.dumps(cast("canonical.Json", msgspec.to_builtins(kept)))
        self._disk.replace(FILE, checked.write(data))
        self._kept = kept


def _read(disk: Disk) -> _Kept:
    try:
        return msgspec.convert(canonical.loads(checked.read(disk.read(FILE))), _Kept)
    except (NotFoundError, InvalidError, msgspec.ValidationError):
        return _Kept()
