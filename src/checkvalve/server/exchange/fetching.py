# SPDX-License-Identifier: Apache-2.0
"""What a device may fetch: metadata of what may run, the release that it is assigned, and that release's images.

Rules: 1. metadata is for every device: it is signed, and names digests only; 2. a release and its blobs are for the
device that is assigned it, and are as if they were not there for any other; 3. of an image there are the config and the
layers: the manifest is provenance, and nothing a device runs.
"""

import re
from functools import lru_cache

from checkvalve.crypto import metadata
from checkvalve.errors import NotFoundError
from checkvalve.ids import DeviceId
from checkvalve.protocol import workload
from checkvalve.server.blobs import store
from checkvalve.server.db.database import Tx
from checkvalve.server.fleet import queries as fleet_queries
from checkvalve.server.supply import queries as supply_queries
from checkvalve.server.supply.model import Release

_NUMBERED = re.compile(r"([1-9][0-9]{0,15})\.(root|targets|snapshot)\.json")


def file(tx: Tx, name: str) -> bytes:
    """Return a file of metadata: `timestamp.json`, `N.root.json`, `N.targets.json`, `N.snapshot.json` (rule 1).

    Raises `NotFoundError` (`trust.not_found`).
    """
    if name == f"{metadata.TIMESTAMP}.json":
        return supply_queries.file(tx, metadata.TIMESTAMP)
    found = _NUMBERED.fullmatch(name)
    if found is None:
        raise NotFoundError("trust.not_found", "There is no such file of metadata.", "Ask for timestamp.json first.")
    return supply_queries.file(tx, found[2], int(found[1]))


def manifest(tx: Tx, device: DeviceId, digest: str) -> bytes:
    """Return the manifest with this digest (64 hex digits) if the device is assigned it (rule 2).

    Raises `NotFoundError` (`release.not_found`).
    """
    release = _assigned(tx, device)
    if release is None or release.digest != f"sha256:{digest}":
        raise NotFoundError(
            "release.not_found",
            "There is no such release, or not for this device.",
            "A device is given the release that it is ordered to run.",
        )
    return release.manifest


def blob(tx: Tx, device: DeviceId, digest: str) -> None:
    """Refuse a blob that is none of the device's assigned release (rules 2, 3); `NotFoundError` (`blob.not_found`)."""
    release = _assigned(tx, device)
    if release is None or digest not in _blobs(release.manifest):
        raise store.absent(digest)


def _assigned(tx: Tx, device: DeviceId) -> Release | None:
    assigned = fleet_queries.assignment(tx, device)
    return None if assigned is None else supply_queries.release(tx, assigned.release)


@lru_cache(maxsize=64)
def _blobs(manifest: bytes) -> frozenset[str]:
    images = workload.read(manifest).images.values()
    layers = {layer.digest for image in images for layer in image.layers}
    return frozenset(layers | {image.config for image in images})
