# SPDX-License-Identifier: Apache-2.0
"""Roots of trust, what the plane signs by itself, and that a device believes all of it, in the order it came."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa
from securesystemslib.formats import encode_canonical

from checkvalve.crypto import keys, metadata, trustset
from checkvalve.server.db import schema
from checkvalve.server.db.database import Database
from checkvalve.server.supply import queries
from checkvalve.server.supply.model import Anchor
from tests.server.supply.world import World, found, source


@pytest.fixture
def plant(database: Database, new_id: Callable[[], str], now: datetime) -> World:
    plant = World(database, new_id, now)
    plant.bring(found("historian:2.4"))
    return plant


def _versions(anchor: Anchor) -> list[int]:
    files = (anchor.root, anchor.targets, anchor.snapshot, anchor.timestamp)
    return [metadata.seen(file).version if file else 0 for file in files]


def _believed(plant: World) -> trustset.Trusted:
    """Return what a device believes that pinned the first root and asks now."""
    anchor = plant.anchor()
    trusted = trustset.begin(anchor.first_root or b"")
    for version in range(trusted.root_version + 1, metadata.seen(anchor.root or b"").version + 1):
        trusted = trustset.with_root(trusted, plant.database.read_now("root", queries.file, metadata.ROOT, version))
    trusted = trustset.with_timestamp(trusted, anchor.timestamp or b"", plant.now)
    trusted = trustset.with_snapshot(trusted, anchor.snapshot or b"", plant.now)
    return trustset.with_targets(trusted, anchor.targets or b"", plant.now)


def test_the_first_root_is_kept_as_it_came_and_named_in_the_record(plant: World) -> None:
    root = plant.root()
    assert plant.install(root) == plant.anchor() == Anchor(first_root=root, root=root)
    assert plant.database.read_now("file", queries.file, metadata.ROOT, 1) == root
    entry = plant.entries("trust.root")[0]
    assert (entry.subject, entry.scope, entry.facts["before"]) == ("root:1", "/", None)
    assert json.dumps(entry.facts["roles"]).count(metadata.keyid(plant.online.public_key())) == 2
    signers = plant.database.read_now("signers", queries.signers)
    assert (signers.threshold, len(signers.keyids)) == (2, 3)


def test_a_plane_without_a_root_has_nothing_to_hand_out(plant: World) -> None:
    assert plant.anchor() == Anchor()
    read = plant.database.read_now
    plant.refused("trust.not_found", read, "file", queries.file, metadata.ROOT, None)
    plant.refused("trust.none", read, "signers", queries.signers)
    plant.refused("trust.none", plant.refresh)
    assert not read("due", queries.due, plant.now)


def test_a_root_for_another_plane_is_refused_and_both_keys_are_named(plant: World) -> None:
    other = keys.make()
    error = plant.refused("trust.not_this_plane", plant.install, plant.root(online=other))
    assert metadata.keyid(other.public_key()) in error.remedy
    assert metadata.keyid(plant.online.public_key()) in error.remedy


@pytest.mark.parametrize("role", ["snapshot", "timestamp"])
def test_a_root_that_gives_the_plane_s_roles_to_others_too_is_refused(plant: World, role: str) -> None:
    said = json.loads(plant.root())["signed"]
    said["roles"][role]["keyids"].append(said["roles"]["targets"]["keyids"][0])
    payload = str(encode_canonical(said)).encode()
    root = metadata.assemble(payload, [metadata.sign(payload, key) for key in plant.masters])
    plant.refused("trust.not_this_plane", plant.install, root)


def test_a_root_that_is_none_or_not_signed_or_has_run_out_is_refused(plant: World) -> None:
    payload = metadata.payload(plant.root())
    for code, root in (
        ("metadata.form", b""),
        ("metadata.form", b"{}"),
        ("metadata.form", plant.root()[:-9]),
        ("metadata.form", b"[" * 100_000),
        ("metadata.size", b" " * (metadata.LARGEST + 1)),
        ("metadata.signature", metadata.assemble(payload, [])),
        ("metadata.signature", plant.root(by=plant.masters[:1])),
        ("metadata.signature", plant.root(by=[keys.make(), keys.make()])),
        ("trust.expired", plant.root(days=0)),
    ):
        plant.refused(code, plant.install, root)


def test_a_root_is_followed_by_the_next_one_only(plant: World) -> None:
    plant.install()
    root = plant.anchor().root
    plant.refused("trust.same", plant.install, root)
    plant.refused("metadata.gap", plant.install, plant.root(1, days=300))
    plant.refused("metadata.gap", plant.install, plant.root(3))
    plant.refused("metadata.signature", plant.install, plant.root(2, by=[keys.make(), plant.masters[0]]))
    plant.refused("trust.expired", plant.install, plant.root(2, days=-1))
    plant.refused("trust.not_this_plane", plant.install, plant.root(2, online=keys.make()))
    second = plant.root(2)
    plant.install(second)
    assert plant.anchor() == Anchor(first_root=root, root=second)


def test_a_new_root_may_name_new_masters(plant: World) -> None:
    plant.install()
    old, plant.masters = plant.masters, [keys.make(), keys.make()]
    plant.refused("metadata.signature", plant.install, plant.root(2))
    plant.install(plant.root(2, by=[*old, *plant.masters]))
    assert _versions(plant.anchor())[0] == 2


def test_what_is_published_is_believed_by_a_device(plant: World) -> None:
    plant.install()
    plant.made(source())
    plant.published()
    unix = int(plant.now.timestamp())
    assert _versions(plant.anchor()) == [1, 1, unix, unix]
    assert _believed(plant).targets == plant.anchor().targets
    snapshot, timestamp = (metadata.seen(file or b"") for file in (plant.anchor().snapshot, plant.anchor().timestamp))
    assert (snapshot.expires - plant.now, timestamp.expires - plant.now) == (timedelta(days=30), timedelta(days=7))


def test_a_new_root_signs_anew_what_the_plane_signs(plant: World) -> None:
    plant.install()
    plant.made(source())
    plant.published()
    before = plant.anchor()
    plant.install(plant.root(2))
    unix = int(plant.now.timestamp())
    assert _versions(plant.anchor()) == [2, 1, unix + 1, unix + 1]
    assert plant.anchor().first_root == before.root
    _believed(plant)


def test_with_other_signers_the_list_is_believed_again_once_they_have_signed_it(plant: World) -> None:
    plant.install()
    plant.made(source())
    plant.published()
    people = list(plant.signers)
    plant.signers = {person: keys.make() for person in people}
    plant.install(plant.root(2))
    with pytest.raises(Exception, match=r"metadata\.signature"):
        _believed(plant)
    plant.refresh()
    plant.renew()
    plant.published()
    assert _believed(plant).targets_version == 2


def test_a_plane_that_lost_its_key_goes_on_with_a_new_one(plant: World) -> None:
    plant.install()
    plant.made(source())
    plant.published()
    plant.online = keys.make()
    plant.made(source(version="2"))
    draft, (first, second, _) = plant.open().id, plant.signers
    plant.refused("trust.not_this_plane", plant.refresh)
    plant.sign(first, draft)
    plant.refused("trust.not_this_plane", plant.sign, second, draft)
    plant.install(plant.root(2))
    plant.sign(second, draft)
    assert _believed(plant).targets_version == 2


def test_snapshot_and_timestamp_are_signed_anew_each_day(plant: World) -> None:
    def due() -> bool:
        return plant.database.read_now("due", queries.due, plant.now)

    plant.install()
    plant.refused("trust.empty", plant.refresh)
    assert not due()
    plant.made(source())
    plant.published()
    assert not due()
    plant.later(days=1)
    assert due()
    plant.refresh()
    assert not due()
    unix = int(plant.now.timestamp())
    assert _versions(plant.anchor()) == [1, 1, unix, unix]
    _believed(plant)
    entry = plant.entries("trust.refresh")[0]
    assert (entry.actor.kind, entry.scope) == ("plane", "/")
    assert entry.facts == {"after": {"snapshot": unix, "timestamp": unix}}


def test_a_clock_that_was_set_back_lowers_no_version(plant: World) -> None:
    plant.install()
    plant.made(source())
    plant.published()
    before = _versions(plant.anchor())
    plant.later(days=-3)
    assert plant.database.read_now("due", queries.due, plant.now)
    plant.refresh()
    assert _versions(plant.anchor()) == [1, 1, before[2] + 1, before[3] + 1]
    assert not plant.database.read_now("due", queries.due, plant.now)


def test_with_a_root_that_has_run_out_nothing_is_signed(plant: World) -> None:
    plant.install(plant.root(days=10))
    plant.made(source())
    draft, (first, second, _) = plant.open().id, plant.signers
    plant.sign(first, draft)
    plant.later(days=10)
    plant.refused("trust.expired", plant.sign, second, draft)
    plant.install(plant.root(2))
    plant.sign(second, draft)
    plant.later(days=365)
    plant.refused("trust.expired", plant.refresh)
    assert not plant.database.read_now("due", queries.due, plant.now)


def test_old_snapshots_and_timestamps_go_and_roots_and_lists_stay(plant: World) -> None:
    plant.install()
    plant.made(source())
    plant.published()
    first = plant.anchor()
    old = metadata.seen(first.timestamp or b"").version
    plant.later(days=31)
    plant.renew()
    plant.published()
    plant.refresh()
    read = plant.database.read_now
    for role in (metadata.SNAPSHOT, metadata.TIMESTAMP):
        plant.refused("trust.not_found", read, "file", queries.file, role, old)
        assert read("file", queries.file, role, None) == getattr(plant.anchor(), role)
        assert read("file", queries.file, role, int(plant.now.timestamp()))
    assert read("file", queries.file, metadata.TARGETS, 1) == first.targets
    assert read("file", queries.file, metadata.TARGETS, None) == plant.anchor().targets
    plant.refused("trust.not_found", read, "file", queries.file, "mirrors", None)


def test_the_plane_never_hands_out_what_a_device_would_refuse(plant: World) -> None:
    plant.install()
    plant.made(source())
    plant.published()
    # A timestamp from the future, as by a half-restored database: what follows would look like going back.
    payload = metadata.new_timestamp(
        version=9_999_999_999,
        expires=plant.now + timedelta(days=7),
        snapshot_version=9_999_999_999,
        snapshot=plant.anchor().snapshot or b"",
    )
    file = metadata.assemble(payload, [metadata.sign(payload, plant.online)])
    values = {"role": "timestamp", "version": 9_999_999_999, "data": file, "made_at": plant.now}
    plant.run(sa.insert(schema.trust).values(values))
    plant.made(source(version="2"))
    draft, (first, second, _) = plant.open().id, plant.signers
    plant.sign(first, draft)
    rows = plant.rows()
    for do in (plant.refresh, lambda: plant.sign(second, draft)):
        with pytest.raises(RuntimeError, match=r"metadata\.rollback"):
            do()
        assert plant.rows() == rows
