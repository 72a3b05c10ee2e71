# SPDX-License-Identifier: Apache-2.0
"""How many bytes does this device lack to have a release fetched and loaded?

Rules: 1. a blob counts once, less what came of it already; 2. an image that the engine has needs nothing of it; 3. one
that it lacks needs its layers unpacked, those left out that the engine has of other images of ours; 4. while it is
loaded the engine keeps the archive besides: images are loaded one by one, so the largest counts; 5. how large a packed
layer becomes nobody says: it is taken for two and a half times as large; 6. a volume that is to be copied counts as
large as it was when the device asked the engine, or when it was copied last; one of which neither is known does not.
"""

from collections.abc import Collection, Iterable

from checkvalve.agent.budget import Means, Needed
from checkvalve.agent.situation import all_blobs
from checkvalve.agent.steps import Observed, Slot
from checkvalve.protocol.workload import Image, Layer

_PACKED = ("gzip", "gz", "zstd")


def needed(slot: Slot, held: Collection[str], means: Means, observed: Observed, known: Iterable[Slot | None]) -> Needed:
    """Return it. `held` are whole blobs, `known` slots whose images tell what layers the engine has."""
    parts, images = means.parts, observed.images
    blobs = all_blobs(slot.manifest)
    fetch = sum(max(0, size - parts.get(digest, 0)) for digest, size in blobs.items() if digest not in held)
    there = {
        layer.diff_id
        for each in known
        if each is not None
        for image in each.manifest.images.values()
        if image.config in images
        for layer in image.layers
    }
    lacking = [image for config, image in slot.manifest.images.items() if config not in images]
    new = {layer.diff_id: layer for image in lacking for layer in image.layers if layer.diff_id not in there}
    archive = max((_archive(image, there) for image in lacking), default=0)
    copy = sum(means.volumes.get(source, 0) for name, source in slot.copies.items() if name not in observed.volumes)
    return Needed(fetch, sum(map(_unpacked, new.values())) + archive, copy)


def _archive(image: Image, there: Collection[str]) -> int:
    return sum(layer.size for layer in image.layers if layer.diff_id not in there)


def _unpacked(layer: Layer) -> int:
    return layer.size * 5 // 2 if layer.media_type.endswith(_PACKED) else layer.size
