# SPDX-License-Identifier: Apache-2.0
"""An archive becomes blobs and images; where its bytes come from, and who may bring them, is not asked here."""

from dataclasses import dataclass, replace
from typing import BinaryIO

from checkvalve.errors import InvalidError
from checkvalve.server.blobs import archive, packing
from checkvalve.server.blobs.contents import Limits
from checkvalve.server.blobs.store import Blobs
from checkvalve.server.supply import archive as decisions
from checkvalve.server.supply.model import Found


@dataclass(frozen=True, slots=True)
class Brought:
    """What an archive brought: its images, what was left out, and the bytes of its images that are new on this disk."""

    found: tuple[Found, ...]
    skipped: tuple[str, ...]
    added: int
    known: int

    @property
    def sizes(self) -> dict[str, int]:
        """Return the bytes of each blob of its images."""
        parts = (blob for one in self.found for blob in (one.config, one.manifest, *one.layers))
        return {blob.digest: blob.size for blob in parts}


def bring(spooled: BinaryIO, blobs: Blobs, limits: Limits) -> Brought:
    """Store the images of the archive in `spooled`. It blocks for as long as the disk does: call it on a thread.

    Blobs of a refused archive are swept later. Raises `InvalidError` (`archive.*`, `image.*`) and `UnavailableError`
    (`blobs.full`, `blobs.failed`, `blobs.damaged`).
    """
    contents = archive.unpack(spooled, blobs, limits)
    images = decisions.images(contents)
    new = {item.digest for item in contents.items.values() if item.added}
    new |= {stored.digest for stored in map(blobs.put, images.texts.values()) if stored.added}
    _layers_are_right(images.found, blobs, limits)
    brought = Brought(images.found, images.skipped, 0, 0)
    added = sum(size for digest, size in brought.sizes.items() if digest in new)
    return replace(brought, added=added, known=sum(brought.sizes.values()) - added)


def _layers_are_right(found: tuple[Found, ...], blobs: Blobs, limits: Limits) -> None:
    """Compare each layer, unpacked, with the diff id that its image's config gives it."""
    unpacked: dict[str, str] = {}
    left = limits.unpacked
    for layer in (layer for image in found for layer in image.layers):
        if layer.digest not in unpacked:
            unpacked[layer.digest], size = packing.unpacked_digest(blobs, layer.digest, left)
            left -= size
        if unpacked[layer.digest] != layer.diff_id:
            raise InvalidError(
                "image.digest",
                f"Layer {layer.digest} is not the one that its image names ({layer.diff_id}).",
                "Make the archive anew.",
            )
