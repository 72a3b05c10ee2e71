# SPDX-License-Identifier: Apache-2.0
"""What a device is given: made once for an attempt, with secrets that only it can open."""

import json
from collections.abc import Callable
from datetime import datetime

import pytest
import sqlalchemy as sa

from checkvalve.crypto import keys, seal
from checkvalve.errors import CheckvalveError, ConflictError, InvalidError, NotFoundError
from checkvalve.ids import DeviceId
from checkvalve.protocol import filling, values, workload
from checkvalve.server.db import schema
from checkvalve.server.db.database import Database, Tx
from checkvalve.server.fleet.model import Device
from checkvalve.server.supply.model import Release
from checkvalve.server.values import queries
from checkvalve.server.values.model import Document
from tests.parts import fleet
from tests.server.values.world import World, at, file, manifest, secret, variable

OWN = keys.make()


@pytest.fixture
def world(database: Database, new_id: Callable[[], str], now: datetime) -> World:
    return World(database, new_id, now)


@pytest.fixture
def release(world: World) -> Release:
    made = world.put(manifest())
    world.set(world.org, variable("PLC", "10.0.0.1"), secret("mqtt", "sesame"), file("tags.csv", "a,b\n"))
    return made


@pytest.fixture
def device(world: World) -> Device:
    def put(tx: Tx) -> Device:
        invite = fleet.invited(tx, world.new_id, world.site, world.now)
        return fleet.joined(tx, world.new_id, invite, world.now, key=OWN.public_key())

    return world.database.write_now("join", put)


def _binding(world: World, release: Release, device: Device) -> str:
    return json.dumps(world.one(release, device).binding)


def _read(world: World, device: DeviceId, digest: str) -> Document:
    return world.database.read_now("document", queries.document, device, digest)


def test_a_document_holds_what_was_bound_and_the_device_alone_opens_its_secrets(
    world: World, release: Release, device: Device
) -> None:
    made = world.document(release, device, _binding(world, release, device))
    assert made.digest == values.digest(made.document)
    said = values.read(made.document)
    assert (said.device, said.release) == (device.id, release.digest)
    assert (said.variables, said.files) == ({"PLC": "10.0.0.1"}, {"tags.csv": "a,b\n"})
    sealed = said.secrets["mqtt"]
    context = values.context(device.id, "mqtt", sealed.version)
    assert seal.open_(OWN, sealed.data, context) == b"sesame"
    with pytest.raises(InvalidError):
        seal.open_(keys.make(), sealed.data, context)
    assert filling.fill(workload.read(release.manifest), said.variables).services["press"].extra_hosts == {
        "plc": "10.0.0.1"
    }


def test_the_same_attempt_gets_the_same_bytes_and_another_one_others_that_mean_the_same(
    world: World, release: Release, device: Device
) -> None:
    binding, attempt = _binding(world, release, device), world.new_id()
    made = world.document(release, device, binding, attempt)
    world.set(world.org, variable("PLC", "10.0.0.2"))
    assert world.document(release, device, binding, attempt) == made
    other = world.document(release, device, binding)
    assert (other.identity, other.digest != made.digest) == (made.identity, True)


def test_what_was_bound_is_what_comes_whatever_was_set_or_taken_away_since(
    world: World, release: Release, device: Device
) -> None:
    binding = _binding(world, release, device)
    world.set(world.org, variable("PLC", "10.0.0.2"), secret("mqtt", None), file("tags.csv", None))
    said = values.read(world.document(release, device, binding).document)
    assert (said.variables["PLC"], list(said.secrets)) == ("10.0.0.1", ["mqtt"])


def test_a_rotated_secret_means_something_else_and_the_same_one_set_again_does_not(
    world: World, release: Release, device: Device
) -> None:
    before = world.one(release, device)
    world.set(world.org, secret("mqtt", "sesame"))
    assert world.one(release, device).identity == before.identity
    world.set(world.org, secret("mqtt", "open barley"))
    assert world.one(release, device).identity != before.identity


def test_without_secrets_another_attempt_gets_the_bytes_of_the_first(world: World, device: Device) -> None:
    release = world.put(manifest(secrets=(), services={"press": _with_file()}))
    world.set(world.org, variable("PLC", "10.0.0.1"))
    binding = _binding(world, release, device)
    assert world.document(release, device, binding) == world.document(release, device, binding)
    assert len(world.rows()["device_values"]) == 1


def test_nothing_set_gives_a_document_that_says_nothing(world: World, device: Device) -> None:
    release = world.put(manifest(variables=(), secrets=(), services={"press": _with_file()}))
    for binding in ("", "{}"):
        made = world.document(release, device, binding)
        assert (made.identity, values.read(made.document).files) == (values.NONE, {})


def test_what_the_release_does_not_declare_is_left_out(world: World, release: Release, device: Device) -> None:
    other = world.put(manifest("other", secrets=(), services={"press": _with_file()}))
    said = values.read(world.document(other, device, _binding(world, release, device)).document)
    assert (said.variables, said.secrets) == ({"PLC": "10.0.0.1"}, {})


def test_entries_that_are_gone_are_no_document(world: World, release: Release, device: Device) -> None:
    binding = json.loads(_binding(world, release, device))
    taken = world.set(world.org, variable("PLC", None))[0].id
    swapped = binding | {"variable/PLC": binding["secret/mqtt"]}
    for wrong in (binding | {"variable/PLC": world.new_id()}, binding | {"variable/PLC": taken}, swapped):
        with pytest.raises(ConflictError) as refused:
            world.document(release, device, json.dumps(wrong))
        assert refused.value.code == "values.gone"
    assert not world.rows()["device_values"]


def test_a_plane_that_lost_its_key_says_which_secret_does_not_open(
    world: World, release: Release, device: Device
) -> None:
    with pytest.raises(InvalidError) as refused:
        world.document(release, device, _binding(world, release, device), key=bytes(32))
    assert refused.value.code == "seal.closed"
    assert "mqtt" in refused.value.sentence
    assert not world.rows()["device_values"]


def test_a_locked_secret_moved_to_another_entry_does_not_open(world: World, release: Release, device: Device) -> None:
    entries = schema.value_entries.c
    mine = world.set(at(device), secret("mqtt", "mine"))[0]
    theirs = next(one for one in world.current() if one.place == world.org and one.key.name == "mqtt")
    stolen = world.database.read_now("stolen", Tx.scalar, sa.select(entries.content).where(entries.id == theirs.id))
    world.run(sa.update(schema.value_entries).where(entries.id == mine.id).values(content=stolen))
    with pytest.raises(InvalidError):
        world.document(release, device, _binding(world, release, device))


def test_a_document_is_found_by_its_digest_and_for_its_device_only(
    world: World, release: Release, device: Device
) -> None:
    made = world.document(release, device, _binding(world, release, device))
    assert _read(world, device.id, made.digest) == made
    stranger = world.stand()
    for ident, digest in ((stranger.id, made.digest), (device.id, "sha256:" + "0" * 64), (device.id, "\0"), ("x", "")):
        with pytest.raises(NotFoundError) as refused:
            _read(world, DeviceId(ident), digest)
        assert refused.value.code == "values.not_found"


def test_what_each_device_runs_with_is_told_by_its_meaning(world: World, release: Release, device: Device) -> None:
    made = world.document(release, device, _binding(world, release, device))
    runs, idle = world.now_runs(device, release, made), world.stand()
    lost = world.stand(given="sha256:" + "1" * 64)
    found = world.database.read_now("identities", queries.identities, [runs, idle, lost])
    assert found == {runs.id: made.identity, idle.id: "", lost.id: ""}


def test_every_error_of_a_document_holds_no_secret(world: World, release: Release, device: Device) -> None:
    binding = _binding(world, release, device)
    with pytest.raises(CheckvalveError) as refused:
        world.document(release, device, binding, key=bytes(32))
    assert "sesame" not in f"{refused.value.args} {refused.value.sentence} {refused.value.facts}"


def _with_file() -> workload.Service:
    press = manifest().services["press"]
    return workload.Service(image=press.image, files=press.files)
