# SPDX-License-Identifier: Apache-2.0
"""What an archive held, as values: which content had which name, and the small texts that say what it is."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """What an archive may hold. `total` counts its bytes, and again those of it without an outer compression.

    `unpacked` counts the bytes of all layers without their compression.
    """

    total: int
    members: int = 100_000
    text: int = 4 << 20
    texts: int = 64 << 20

    @property
    def unpacked(self) -> int:
        """Layers are packed to a half or a third; what claims more than a quarter is made to fill a disk."""
        return 4 * self.total


@dataclass(frozen=True, slots=True)
class Item:
    """The content of one member. `packing` is what its first bytes say: nothing, gzip, zstd, xz or bzip2."""

    digest: str
    size: int
    packing: str = ""
    added: bool = False


@dataclass(frozen=True, slots=True)
class Contents:
    """Members by normalised name, links followed; `texts`, by digest, are those that may be JSON and are short."""

    items: Mapping[str, Item]
    texts: Mapping[str, bytes]
