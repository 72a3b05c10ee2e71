# SPDX-License-Identifier: Apache-2.0
"""Images, releases and drafts of a plant, made without HTTP; the one key that signs for it; an archive to send."""

import functools
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from datetime import datetime, timedelta

from checkvalve import clock
from checkvalve.crypto import keys, metadata
from checkvalve.ids import DraftId, ImageId, ReleaseId
from checkvalve.server.supply import actions as supply_actions
from checkvalve.server.supply import draft as drafts
from checkvalve.server.supply import queries as supply_queries
from checkvalve.server.supply.composed import Asked
from checkvalve.server.supply.model import Draft, Image, Release
from tests.server.supply import world
from tests.server.web.plant import ONLINE, Plant, User

MASTER, SIGNER = keys.make(), keys.make()
NAME = "historian:2.4"


@functools.cache
def root(now: datetime) -> bytes:
    """Return a root of trust that one person signs with and one key of the plant's."""
    payload = metadata.new_root(
        version=1,
        expires=now + timedelta(days=365),
        root=[MASTER.public_key()],
        root_threshold=1,
        targets=[SIGNER.public_key()],
        targets_threshold=1,
        online=ONLINE.public_key(),
    )
    return metadata.assemble(payload, [metadata.sign(payload, MASTER)])


def source(plant: Plant) -> str:
    """Return a compose file that differs from every other."""
    return world.source("press-line", f"1.{plant.numbers()}", NAME).decode()


def trusted(plant: Plant) -> None:
    """Give the plane its root of trust, once."""
    if plant.db.read_now("anchor", supply_queries.anchor).root is None:
        plant.db.write_now("root", supply_actions.trust_root, plant.act(), root(plant.time), ONLINE)


def image(plant: Plant, scope: str, name: str = "") -> Image:
    """Import an image that no archive brought: its blobs are not there."""
    found = world.found(name or f"pump:{plant.numbers()}")
    ids = [ImageId(plant.new_id())]
    return plant.db.write_now("import", supply_actions.import_, plant.act(), scope, [found], ids)[0]


def ready(plant: Plant, scope: str) -> None:
    """Let a release of `source` be made in `scope`: a root, an image, and no draft that is open."""
    trusted(plant)
    image(plant, scope, NAME)
    there = plant.db.read_now("open", supply_queries.open_draft)
    if there is not None:
        plant.db.write_now("discard", supply_actions.discard, plant.act(), there.id)


def drafted(plant: Plant, org: str) -> tuple[Release, Draft]:
    """Return a release of an organisation, and the draft that it waits in."""
    scope, maker = plant.organisations[org], plant.users[org, "release-manager"]
    ready(plant, scope)
    made, draft = ReleaseId(plant.new_id()), DraftId(plant.new_id())
    act, text = plant.act(maker.actor), source(plant).encode()
    release = plant.db.write_now("create", supply_actions.create, act, made, draft, scope, Asked(text))
    return release, plant.db.read_now("draft", supply_queries.draft, draft)


def made(plant: Plant, text: bytes, scope: str) -> Release:
    """Make a release in the north; it waits in the draft that is open, or opens one."""
    release, draft = ReleaseId(plant.new_id()), DraftId(plant.new_id())
    act = plant.act(plant.users["north", "release-manager"].actor)
    return plant.db.write_now("create", supply_actions.create, act, release, draft, scope, Asked(text))


def waiting(plant: Plant, org: str) -> tuple[Release, Draft]:
    """Return what `drafted` made last, if it waits still; made anew it would cost those who only read."""
    there = plant.db.read_now("open", supply_queries.open_draft)
    if there is not None and there.scope == plant.organisations[org] and there.changes:
        return there.changes[0].release, there
    return drafted(plant, org)


def signature(draft: Draft, key: keys.PrivateKey = SIGNER) -> dict[str, str]:
    """Return what is sent to sign a draft."""
    given = metadata.sign(draft.payload, key)
    return {"digest": drafts.digest(draft), "keyid": given.keyid, "signature": given.signature}


def published(plant: Plant, org: str, by: User | None = None) -> Release:
    """Return a release that was signed."""
    release, draft = drafted(plant, org)
    act, digest = plant.act((by or plant.users[org, "release-manager"]).actor), drafts.digest(draft)
    given = metadata.sign(draft.payload, SIGNER)
    plant.db.write_now("sign", supply_actions.sign, act, draft.id, digest, given, ONLINE)
    return plant.db.read_now("release", supply_queries.release, release.id)


def archive(name: str = NAME, size: int = 0) -> bytes:
    """Return what `docker save` writes of an image of one layer, whose only file has `size` random bytes."""
    layer = _tar({"etc/motd": b"welcome\n", "data": clock.entropy(size)})
    rootfs = {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest()]}
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": rootfs}).encode()
    file = hashlib.sha256(config).hexdigest() + ".json"
    manifest = json.dumps([{"Config": file, "RepoTags": [name], "Layers": ["a/layer.tar"]}]).encode()
    return _tar({"a/layer.tar": layer, file: config, "manifest.json": manifest})


def _tar(files: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()
