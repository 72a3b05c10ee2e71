# SPDX-License-Identifier: Apache-2.0
"""Are these blobs the image that the release names? The simulated engine looks at them as a real one does."""

import json
import zlib
from collections.abc import Callable

from checkvalve.agent.ports import OpenBlob
from checkvalve.crypto import digests
from checkvalve.errors import InvalidError
from checkvalve.protocol.workload import Image

_PIECE = 1 << 20


def verify(image: Image, open_blob: OpenBlob) -> None:
    """Return if all fits; `InvalidError` (`engine.load`), and what `open_blob` raises."""
    identity, config = _hashed(image.config, open_blob, bytes)
    right = identity == image.config and _diff_ids(config) == [layer.diff_id for layer in image.layers]
    for layer in image.layers:
        right = right and _hashed(layer.digest, open_blob, bytes)[0] == layer.digest
        if layer.media_type.endswith("zstd"):
            continue  # unpacking it needs more than a device has
        unpack = zlib.decompressobj(wbits=31).decompress if layer.media_type.endswith("gzip") else bytes
        right = right and _hashed(layer.digest, open_blob, unpack)[0] == layer.diff_id
    if not right:
        raise InvalidError(
            "engine.load", f"The image {image.name} was not loaded: its blobs are not what the release says."
        )


def _diff_ids(config: bytes) -> object:
    try:
        return json.loads(config)["rootfs"]["diff_ids"]
    except (ValueError, KeyError, TypeError):
        return None


def _hashed(digest: str, open_blob: OpenBlob, unpack: Callable[[bytes], bytes]) -> tuple[str, bytes]:
    """Return the digest of a blob, unpacked or not, and its first piece; no digest if it cannot be unpacked."""
    running, first = digests.Running(), b""
    with open_blob(digest) as file:
        while piece := file.read(_PIECE):
            first = first or piece
            try:
                running.update(unpack(piece))
            except zlib.error:
                return "", first
    return f"sha256:{running.hexdigest()}", first
