# SPDX-License-Identifier: Apache-2.0
"""Writes what an errand brings into a gzip file on the device: words of containers, or a support bundle.

Rules: 1. words are read service after service, the newest of each, so that no more than one is in memory; each is at
most `OF_ONE` bytes, and all of them `OF_ALL`; 2. they are masked by every secret of the device before anything is cut
off or written, and every line has its service; 3. the same words make the same bytes; 4. the file has its name only
once it is whole and on the platter; what was cut short is begun anew.
"""

import asyncio
import contextlib
import zlib
from collections.abc import Iterator
from typing import Self

from checkvalve.agent import bundling, errands
from checkvalve.agent.hidden import Hidden
from checkvalve.agent.parts import Parts
from checkvalve.agent.ports import Disk
from checkvalve.agent.steps import Container
from checkvalve.crypto import digests
from checkvalve.errors import CheckvalveError
from checkvalve.protocol.errand import Content, Logs

OF_ONE, OF_ALL = 4 << 20, 16 << 20  # bytes of text, with the names of services before each line
_PIECE = 1 << 20
_GZIP = 31  # window bits of zlib's largest window, in a gzip file


async def logs(parts: Parts, item: Logs) -> Content:
    """Have the file of these words; `UnavailableError` (`engine.unreachable`, `disk.full`, `disk.failed`)."""
    secrets = bundling.secrets(parts)
    found = containers(parts, item.service)
    most = min(OF_ONE, OF_ALL // max(1, len(found)))
    with _File(parts.disk, item.id) as file:
        packer = zlib.compressobj(wbits=_GZIP)
        for each in found:
            said = await parts.engine.logs(each.name, item.lines, OF_ONE, item.since)
            lines = await asyncio.to_thread(_lines, each.service, said, secrets, most)
            del said
            file.add(await asyncio.to_thread(packer.compress, lines))
        file.add(packer.flush())
        return file.content()


async def bundle(parts: Parts, errand: str) -> Content:
    """Have the file of a support bundle; `UnavailableError` (`disk.full`, `disk.failed`)."""
    data = await bundling.made(parts, parts.place)
    with _File(parts.disk, errand) as file:
        for at in range(0, len(data), _PIECE):
            file.add(data[at : at + _PIECE])
        return file.content()


def containers(parts: Parts, service: str = "") -> list[Container]:
    """Return those of what runs and of an attempt under way, in order; of one service, or of all."""
    observed, active = parts.shared.observed, parts.slots.active
    attempts = {parts.journal.position.attempt, active.attempt if active else ""}
    there = sorted(observed.containers, key=lambda each: (each.service, each.name)) if observed else []
    return [each for each in there if each.attempt in attempts and service in ("", each.service)]


class _File:
    """A file that is written, and named once it is whole (rule 4)."""

    def __init__(self, disk: Disk, errand: str) -> None:
        self._disk, self._errand = disk, errand
        self._sum = digests.Running()

    def __enter__(self) -> Self:
        self._disk.remove(errands.part(self._errand))
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(CheckvalveError):
            self._disk.remove(errands.part(self._errand))

    def add(self, data: bytes) -> None:
        """Write what comes next."""
        if data:
            self._disk.extend(errands.part(self._errand), self._sum.size, data)
            self._sum.update(data)

    def content(self) -> Content:
        """Name the file, and return what it is."""
        self._disk.settle(errands.part(self._errand), errands.content(self._errand))
        return Content(digest=f"sha256:{self._sum.hexdigest()}", size=self._sum.size)


def _lines(service: str, said: str, secrets: Hidden, most: int) -> bytes:
    """Return the newest lines, at most `most` bytes of them, each with its service (rules 1 and 2)."""
    kept: list[bytes] = []
    for line in _newest(secrets.mask(said, cut=True)):
        made = f"{service} | {line}\n".encode()
        most -= len(made)
        if most < 0:
            break
        kept.append(made)
    return b"".join(reversed(kept))


def _newest(text: str) -> Iterator[str]:
    """Yield the lines of a text, the last one first, without what would end one elsewhere."""
    for line in reversed(text.split("\n")):
        if line:
            yield line.replace("\r", "")
