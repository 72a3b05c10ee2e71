# SPDX-License-Identifier: Apache-2.0
"""A plant that imports images, makes releases and signs them two by two, all at once; and a device that looks on.

`Told` keeps what the plane acknowledged. Whoever works goes on until the plane is gone.
"""

import itertools
import random
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import httpx

from checkvalve import clock
from checkvalve.crypto import keys, metadata, trustset
from checkvalve.crypto.digests import sha256_hex
from checkvalve.demo.caller import Caller, RefusedError
from tests.parts import archives
from tests.parts.plane import PASSWORD, PlaneProcess

SIGNERS = ("rut", "nils")
LINES = ("press-line", "opc-bridge")
COMMON = "common:1"
# What people meet who work at once, each time by the rules: one draft at a time, taken as it is or not at all.
MEANT = frozenset({"draft.signed", "draft.digest", "draft.closed", "draft.twice", "image.busy"})
_NAP = 0.01  # between two looks at what others have to do first


@dataclass
class Told:
    """What was acknowledged, in all rounds; `refused` counts codes, `odd` tells of answers that nobody should get."""

    imports: dict[str, frozenset[str]] = field(default_factory=dict)  # name -> digests of its blobs
    releases: dict[str, int] = field(default_factory=dict)  # id -> number
    signatures: list[tuple[str, str]] = field(default_factory=list)  # draft, key id
    discarded: list[str] = field(default_factory=list)  # drafts
    published: int = 0  # highest version of the list
    refused: Counter[str] = field(default_factory=Counter)
    odd: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        """Return how many acts were acknowledged."""
        return len(self.imports) + len(self.releases) + len(self.signatures) + len(self.discarded)


@dataclass
class Plant:
    """A plane with a root of trust, two people who import, make and sign, and the device's own memory."""

    plane: PlaneProcess
    scope: str = ""
    signers: dict[str, keys.PrivateKey] = field(default_factory=lambda: {login: keys.make() for login in SIGNERS})
    root: bytes = b""
    device: trustset.Trusted | None = None
    told: Told = field(default_factory=Told)
    numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    def found(self) -> "Plant":
        """Make the place, the people, the root of trust and the image that all releases run; the plane runs."""
        admin = self.plane.caller()
        self.scope = admin.post("/api/v1/scopes", parent="/", kind="organisation", name="Norra Water")["path"]
        for login in SIGNERS:
            made = admin.post("/api/v1/people", login=login, name=login, home=self.scope, password=PASSWORD)
            admin.post("/api/v1/bindings", person=made["id"], role="release-manager", scope=self.scope)
        plane_key = keys.load_public(admin.get("/api/v1/trust")["plane_key"].encode())
        people = [key.public_key() for key in self.signers.values()]
        payload = metadata.new_root(
            version=1,
            expires=clock.now() + timedelta(days=365),
            root=people,
            root_threshold=2,
            targets=people,
            targets_threshold=2,
            online=plane_key,
        )
        self.root = metadata.assemble(payload, [metadata.sign(payload, key) for key in self.signers.values()])
        self.device = trustset.begin(self.root)
        admin.post("/api/v1/trust/root", root=self.root.decode())
        self.bring(self.plane.caller(SIGNERS[0]), COMMON, common())
        return self

    def bring(self, caller: Caller, name: str, image: archives.Image) -> None:
        """Import an archive, and keep what was acknowledged."""
        image.names = [name]
        head = {"Content-Type": "application/x-tar"}
        sent = caller._http.post(
            "/api/v1/images", params={"scope": self.scope}, content=archives.docker([image]), headers=head
        )
        answer = caller._said(sent).json()
        if [one["config"] for one in answer["images"]] != [image.id]:
            self.told.odd.append(f"import of {name}: {answer}")
        self.told.imports[name] = frozenset([image.id, *map(archives.sha, image.blobs)])

    def refresh(self, caller: Caller) -> trustset.Trusted:
        """Let the device fetch what it does not have; it remembers across kills, and raises if anything goes back."""
        assert self.device is not None
        self.device = refreshed(caller, self.device)
        return self.device


def refreshed(caller: Caller, trusted: trustset.Trusted) -> trustset.Trusted:
    """Return what a device believes after it fetched what the trust set tells it to."""
    now = clock.now()
    trusted = trustset.with_timestamp(trusted, caller.raw("/api/v1/trust/timestamp.json"), now)
    while wanted := trustset.wanted(trusted):
        role, version = wanted
        data = caller.raw(f"/api/v1/trust/{version}.{role}.json")
        step = trustset.with_snapshot if role == metadata.SNAPSHOT else trustset.with_targets
        trusted = step(trusted, data, now)
    return trusted


def common() -> archives.Image:
    """Return the image that everybody imports again and again."""
    return archives.Image(layers=[_base(0), _base(1)])


def _base(number: int) -> bytes:
    return archives.layer(base=random.Random(f"base {number}").randbytes(300_000))


def jobs(plant: Plant, mark: str) -> list[Callable[[], None]]:
    """Return who works in this round: two who import, one who makes, two who sign, and the device."""
    rut, nils = (plant.plane.caller(login) for login in SIGNERS)
    return [
        _until_dark(plant, lambda: _import(plant, rut, mark)),
        _until_dark(plant, lambda: _import(plant, nils, mark)),
        _until_dark(plant, lambda: _make(plant, rut, mark)),
        _until_dark(plant, lambda: _sign(plant, rut, plant.signers["rut"])),
        _until_dark(plant, lambda: _sign(plant, nils, plant.signers["nils"])),
        _until_dark(plant, lambda: _look(plant, nils)),
    ]


def _until_dark(plant: Plant, turn: Callable[[], None]) -> Callable[[], None]:
    def work() -> None:
        while True:
            try:
                turn()
            except RefusedError as error:
                plant.told.refused[error.code] += 1
                if error.code not in MEANT:
                    plant.told.odd.append(f"{error.status} {error.code}: {error.sentence}")
                _nap()
            except httpx.HTTPError:
                return  # the power went while it was asked: nothing was acknowledged

    return work


def _nap() -> None:
    threading.Event().wait(_NAP)


def _import(plant: Plant, caller: Caller, mark: str) -> None:
    """Bring an image of one's own on a layer that others have too; every fourth time the one that is there."""
    number = next(plant.numbers)
    chance = random.Random(f"{mark} {number}")
    own = archives.layer(app=chance.randbytes(chance.randint(1, 3_000_000)))
    image = common() if number % 4 == 0 else archives.Image(layers=[_base(number % 3), own])
    plant.bring(caller, f"app:{mark}.{number}", image)


def _make(plant: Plant, caller: Caller, mark: str) -> None:
    """Make a release; now and then give up what waits instead. Three changes are left for the signers."""
    number, waiting = next(plant.numbers), _open(caller)
    if waiting is not None and random.Random(f"discard {mark} {number}").random() < 0.05:
        caller.post(f"/api/v1/drafts/{waiting['id']}/discard")
        plant.told.discarded.append(waiting["id"])
        return
    if waiting is not None and len(waiting["changes"]) >= 3:
        _nap()
        return
    line = LINES[number % len(LINES)]
    source = f"name: {line}\nx-checkvalve: {{version: '{mark}.{number}'}}\nservices: {{web: {{image: {COMMON}}}}}\n"
    made = caller.post("/api/v1/releases", scope=plant.scope, source=source)
    plant.told.releases[made["id"]] = made["number"]


def _sign(plant: Plant, caller: Caller, key: keys.PrivateKey) -> None:
    """Sign the bytes that wait, if this key has not."""
    waiting, ours = _open(caller), metadata.keyid(key.public_key())
    if waiting is None or any(one["keyid"] == ours for one in waiting["signatures"]):
        _nap()
        return
    payload = caller.raw(f"/api/v1/drafts/{waiting['id']}/payload")
    given = metadata.sign(payload, key)
    said = {"digest": sha256_hex(payload), "keyid": given.keyid, "signature": given.signature}
    answer = caller.post(f"/api/v1/drafts/{waiting['id']}/signatures", **said)
    plant.told.signatures.append((waiting["id"], ours))
    if answer["state"] == "published":
        plant.told.published = max(plant.told.published, answer["version"])


def _look(plant: Plant, caller: Caller) -> None:
    """Fetch what devices fetch. It asks in any case, or it would never hear that the power went."""
    if plant.told.published:
        plant.refresh(caller)
    else:
        caller.get("/api/v1/trust")
    _nap()


def _open(caller: Caller) -> dict[str, Any] | None:
    """Return the draft that waits."""
    return next(iter(caller.get("/api/v1/drafts", state="open")["items"]), None)
