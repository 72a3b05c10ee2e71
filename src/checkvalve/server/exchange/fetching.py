# SPDX-License-Identifier: Apache-2.0
"""What a device may fetch: metadata of what may run, the release that it is assigned, and that release's images.

Rules: 1. metadata is for every device: it is signed, and names digests only; 2. a release and its blobs are for the
device that is assigned it; for one that says that it runs it, which may have to rebuild it; and for one that was given
orders for it and has not ended, which may have begun before they were taken back. For any other they are as if they
were not there; 3. of an image there are the config and the layers: the manifest is provenance, and nothing a device
runs.
"""

import re
from collections.abc import Iterator
from functools import lru_cache

from checkvalve.crypto import metadata
from checkvalve.errors import NotFoundError
from checkvalve.ids import DeviceId
from checkvalve.protocol import workload
from checkvalve.server.access.model import Visibility
from checkvalve.server.blobs import store
from checkvalve.server.db.database import Tx
from checkvalve.server.fleet import queries as fleet_queries
from checkvalve.server.rollouts import queries as rollout_queries
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
    """Return the manifest with this digest (64 hex digits) if it is one for this device (rule 2).

    Raises `NotFoundError` (`release.not_found`).
    """
    found = [release for release in _releases(tx, device) if release.digest == f"sha256:{digest}"]
    if not found:
        raise NotFoundError(
            "release.not_found",
            "There is no such release, or not for this device.",
            "A device is given the release that it is ordered to run, and the one it runs.",
        )
    return found[0].manifest


def blob(tx: Tx, device: DeviceId, digest: str) -> None:
    """Refuse a blob that is of no release for this device (rules 2, 3); `NotFoundError` (`blob.not_found`)."""
    if not any(digest in _blobs(release.manifest) for release in _releases(tx, device)):
        raise store.absent(digest)


def _releases(tx: Tx, device: DeviceId) -> Iterator[Release]:
    assigned = fleet_queries.assignment(tx, device)
    if assigned is not None:
        yield supply_queries.release(tx, assigned.release)
    ordered = rollout_queries.ordered(tx, device)
    if ordered is not None:
        yield supply_queries.release(tx, ordered)
    runs = fleet_queries.device(tx, device)
    here = Visibility((f"/{runs.scope.split('/')[1]}/",))  # what another organisation has of the same digest is not its
    title = supply_queries.titles(tx, [runs.active], here).get(runs.active) if runs.active else None
    if title is not None:
        yield supply_queries.release(tx, title.id)


@lru_cache(maxsize=64)
def _blobs(manifest: bytes) -> frozenset[str]:
    images = workload.read(manifest).images.values()
    layers = {layer.digest for image in images for layer in image.layers}
    return frozenset(layers | {image.config for image in images})
