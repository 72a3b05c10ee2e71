# SPDX-License-Identifier: Apache-2.0
"""Random walks over all that people and the plane do to what may run, beside a model that knows only the promises.

After each step: what the model allows was done and left one entry; what it forbids was refused and changed no row. A
device that asks after each step believes all it is given, and knows exactly the releases and floors of the model.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

import pytest

from checkvalve.crypto import keys, metadata, trustset
from checkvalve.errors import CheckvalveError
from checkvalve.ids import PersonId, ReleaseId
from checkvalve.server.db.database import Database
from checkvalve.server.supply import draft as drafts
from checkvalve.server.supply import queries
from checkvalve.server.supply.model import State
from tests.server.supply.world import World, found, source

STEPS = 120
NEEDED = 2


@dataclass
class Known:
    """What the model knows of one release."""

    scope: str
    line: str
    number: int
    version: str
    target: str
    state: State = State.DRAFTED


@dataclass
class Walk:
    """A world, the model, a device, and chance."""

    world: World
    chance: random.Random
    known: dict[ReleaseId, Known] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)
    floors: dict[str, int] = field(default_factory=dict)
    is_open: bool = False
    where: str = ""
    changes: list[tuple[str, ReleaseId]] = field(default_factory=list)
    signed: dict[PersonId, str] = field(default_factory=dict)  # who, with which key
    lists: int = 0
    roots: int = 1
    believed: bool = True  # the root's keys sign the published list
    device: trustset.Trusted | None = None
    done: list[str] = field(default_factory=list)

    def step(self) -> None:
        """Do one thing at random, then let the device ask."""
        kinds = [self.make, self.withdraw, self.floor, self.sign, self.discard, self.renew, self.root, self.time]
        self.chance.choices(kinds, [8, 4, 3, 16, 1, 1, 1, 3])[0]()
        self.ask()

    def make(self) -> None:
        """Make a release, sometimes of a version that is taken."""
        world = self.world
        scopes = [world.site, world.site, world.other, world.org, world.foreign, "/"]
        if self.is_open and self.chance.random() < 0.7:
            scopes = [one for one in scopes if one.strip("/").split("/")[0] == self.where]
        scope = self.chance.choice(scopes)
        organisation = scope.strip("/").split("/")[0]
        line = f"{organisation}/press-line".strip("/")
        last = self.numbers.get(line, 0)
        version = str(last if self.chance.random() < 0.1 else last + 1)
        taken = any(
            one.line == line and one.version == version and one.state is not State.DISCARDED
            for one in self.known.values()
        )
        allowed = not taken and self.joins(organisation)
        if self.tried(allowed, "make", world.made, source(version=version), scope):
            release = world.database.read_now("newest", lambda tx: queries.releases(tx, queries.EVERYWHERE, limit=1)[0])
            assert release.number == last + 1
            self.numbers[line] = last + 1
            self.known[release.id] = Known(scope, line, last + 1, version, release.target)
            self.joined(organisation, "add", release.id)

    def withdraw(self) -> None:
        """Ask for a withdrawal of any release."""
        if self.known:
            release, known = self.chance.choice(list(self.known.items())[-8:])
            asked = ("withdraw", release) in self.changes
            allowed = known.state is State.PUBLISHED and not asked and self.joins(_organisation(known))
            if self.tried(allowed, "withdraw", self.world.withdraw, release):
                self.joined(_organisation(known), "withdraw", release)

    def floor(self) -> None:
        """Ask for a floor at any release."""
        if self.known:
            release, known = self.chance.choice(list(self.known.items())[-8:])
            asked = [self.known[one].number for what, one in self.changes if what == "floor"]
            highest = max([self.floors.get(known.line, 0), *asked])
            allowed = known.state is State.PUBLISHED and known.number > highest and self.joins(_organisation(known))
            if self.tried(allowed, "floor", self.world.floor, release):
                self.joined(_organisation(known), "floor", release)

    def sign(self) -> None:
        """Sign the open draft, sometimes with the key of another."""
        if not self.is_open:
            return
        world, draft = self.world, self.world.open()
        person, other = self.chance.choice(list(world.signers)), self.chance.choice(list(world.signers))
        key = world.signers[person if self.chance.random() < 0.8 else other]
        keyid = metadata.keyid(key.public_key())
        valid = self.counting()
        allowed = keyid not in self.signed.values() and person not in valid
        assert drafts.digest(draft)
        if self.tried(allowed, "sign", world.sign, person, draft.id, key):
            # A person whose older key no longer counts may sign again; a name for it keeps both.
            if person in self.signed:
                self.signed[PersonId(f"{person} before {len(self.signed)}")] = self.signed[person]
            self.signed[person] = keyid
            if len(valid) + 1 >= NEEDED:
                self.publish()

    def discard(self) -> None:
        """Give the open draft up."""
        if self.is_open and self.tried(True, "discard", self.world.discard, self.world.open().id):  # noqa: FBT003
            for what, release in self.changes:
                if what == "add":
                    self.known[release].state = State.DISCARDED
            self.closed()

    def renew(self) -> None:
        """Open a draft without changes."""
        if self.tried(not self.is_open, "renew", self.world.renew):
            self.is_open, self.where = True, ""

    def root(self) -> None:
        """Give the plane its next root, and one signer in two a new key."""
        world = self.world
        for person in world.signers:
            if self.chance.random() < 0.5:
                world.signers[person] = keys.make()
        self.tried(True, "root", world.install, world.root(self.roots + 1))  # noqa: FBT003
        self.roots += 1
        listed = world.anchor().targets
        names = {metadata.keyid(key.public_key()) for key in world.signers.values()}
        given = metadata.signatures(listed) if listed else ()
        self.believed = sum(one.keyid in names for one in given) >= NEEDED

    def time(self) -> None:
        """Let time pass; the plane signs anew, once there is a list."""
        self.world.later(days=self.chance.choice([0.25, 1, 6, 10]))
        self.tried(self.lists > 0, "refresh", self.world.refresh)

    def ask(self) -> None:
        """Let the device ask for all that is new, as of the state that it kept."""
        world, anchor = self.world, self.world.anchor()
        trusted = self.device or trustset.begin(anchor.first_root or b"")
        for version in range(trusted.root_version + 1, self.roots + 1):
            trusted = trustset.with_root(trusted, world.database.read_now("root", queries.file, "root", version))
        if anchor.timestamp and anchor.snapshot and anchor.targets:
            if metadata.seen(anchor.timestamp).expires > world.now:
                trusted = trustset.with_timestamp(trusted, anchor.timestamp, world.now)
                trusted = trustset.with_snapshot(trusted, anchor.snapshot, world.now)
                if self.believed:
                    trusted = trustset.with_targets(trusted, anchor.targets, world.now)
            targets, floors = metadata.read_targets(metadata.payload(anchor.targets))
            published = {one.target for one in self.known.values() if one.state is State.PUBLISHED}
            assert (set(targets), floors) == (published, self.floors)
            assert (trusted.targets == anchor.targets) or not self.believed
            assert metadata.seen(anchor.targets).version == self.lists
        self.device = trusted

    def joins(self, organisation: str) -> bool:
        """Say whether the open draft takes a change of this organisation."""
        return not self.is_open or (self.where == organisation and not self.signed)

    def joined(self, organisation: str, what: str, release: ReleaseId) -> None:
        """Note a change."""
        self.is_open, self.where = True, organisation
        self.changes.append((what, release))

    def counting(self) -> set[PersonId]:
        """Return whose signature counts now."""
        names = {metadata.keyid(key.public_key()) for key in self.world.signers.values()}
        return {person for person, keyid in self.signed.items() if keyid in names}

    def publish(self) -> None:
        """Note that the draft was published."""
        for what, release in self.changes:
            known = self.known[release]
            if what == "floor":
                self.floors[known.line] = max(self.floors.get(known.line, 0), known.number)
            else:
                known.state = State.PUBLISHED if what == "add" else State.WITHDRAWN
        self.lists += 1
        self.believed = True
        self.done.append("publish")
        self.closed()

    def closed(self) -> None:
        """Note that no draft is open."""
        self.is_open, self.where, self.changes, self.signed = False, "", [], {}

    def tried(self, allowed: bool, what: str, function: Callable[..., object], *args: object) -> bool:  # noqa: FBT001
        """Do it and hold the plane to its promises; tell whether it was done."""
        rows, entries = self.world.rows(), len(self.world.entries())
        refusal = _refusal(function, *args)
        assert (refusal is None) == allowed, (what, refusal)
        if refusal is not None:
            assert self.world.rows() == rows
        assert len(self.world.entries()) == entries + allowed
        self.done.append(what if allowed else f"no {what}")
        return allowed


def _organisation(known: Known) -> str:
    return known.scope.strip("/").split("/")[0]


def _refusal(function: Callable[..., object], *args: object) -> CheckvalveError | None:
    try:
        function(*args)
    except CheckvalveError as error:
        return error
    return None


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_whatever_is_done_a_device_believes_it_and_only_what_is_promised_happens(
    database: Database, new_id: Callable[[], str], now: datetime, seed: int
) -> None:
    walk = Walk(World(database, new_id, now), random.Random(seed))
    walk.world.install(walk.world.root(days=3_000))
    walk.world.bring(found("historian:2.4"), scope="/")
    for _ in range(STEPS):
        walk.step()
    for release, known in walk.known.items():
        floor = walk.floors.get(known.line, 0)
        there = walk.world.release(release)
        assert (there.state, there.number, there.below_floor) == (known.state, known.number, known.number < floor)
    assert {"publish", "make", "sign", "no sign", "refresh"} <= set(walk.done)
