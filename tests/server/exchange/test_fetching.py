# SPDX-License-Identifier: Apache-2.0
"""What a device may fetch: metadata, its release, that release's config and layers, and nothing else."""

from collections.abc import Callable
from datetime import datetime

import pytest
import sqlalchemy as sa

from checkvalve.crypto import trustset
from checkvalve.errors import NotFoundError
from checkvalve.ids import DeviceId
from checkvalve.protocol import workload
from checkvalve.protocol.exchange import State, Status
from checkvalve.server.db import schema
from checkvalve.server.db.database import Database
from checkvalve.server.exchange import fetching
from tests.parts import stock
from tests.parts.machine import Machine
from tests.server.exchange import world
from tests.server.exchange.world import World


@pytest.fixture
def here(database: Database, new_id: Callable[[], str], now: datetime) -> World:
    return world.started(database, new_id, now)


def file(here: World, name: str) -> bytes:
    return here.database.read_now("file", fetching.file, name)


def manifest(here: World, machine: Machine, digest: str) -> bytes:
    return here.database.read_now("manifest", fetching.manifest, DeviceId(machine.id), digest)


def blob(here: World, machine: Machine, digest: str) -> None:
    here.database.read_now("blob", fetching.blob, DeviceId(machine.id), digest)


def test_a_device_that_begins_with_the_root_it_was_given_comes_to_believe_all_the_rest(here: World) -> None:
    machine = Machine()
    trusted = trustset.begin(here.join(machine.join(here.token())).root.encode())
    release = here.made()
    here.published()
    trusted = trustset.with_timestamp(trusted, file(here, "timestamp.json"), here.now)
    take = {"snapshot": trustset.with_snapshot, "targets": trustset.with_targets}
    while (wanted := trustset.wanted(trusted)) is not None:
        role, version = wanted
        trusted = take[role](trusted, file(here, f"{version}.{role}.json"), here.now)
    assert trusted.targets is not None
    assert release.target.encode() in trusted.targets


@pytest.mark.parametrize(
    "name",
    [
        "",
        "root.json",
        "0.root.json",
        "01.root.json",
        "2.root.json",
        "1.timestamp.json",
        "1.root.json.",
        "../1.root.json",
        "1.root.json\n",
        "99999999999999999.root.json",
        "1.mirrors.json",
    ],
)
def test_a_file_that_is_not_there_has_one_answer(here: World, name: str) -> None:
    assert file(here, "1.root.json")
    here.refused("trust.not_found", file, here, name)


def test_a_device_fetches_the_release_it_is_assigned_and_no_other(here: World) -> None:
    machine, other = here.machine(), here.machine()
    mine, others = here.made(name="mine"), here.made(name="others")
    here.assign(machine, mine.id)
    here.assign(other, others.id)
    digest = mine.digest.removeprefix("sha256:")
    assert manifest(here, machine, digest) == mine.manifest
    here.refused("release.not_found", manifest, here, other, digest)
    here.refused("release.not_found", manifest, here, machine, others.digest.removeprefix("sha256:"))
    here.refused("release.not_found", manifest, here, machine, "x")
    here.unassign(machine)
    here.refused("release.not_found", manifest, here, machine, digest)


def test_a_device_fetches_config_and_layers_of_its_release_and_nothing_else(here: World) -> None:
    machine, other = here.machine(), here.machine()
    release = here.made()
    here.assign(machine, release.id)
    for image in workload.read(release.manifest).images.values():
        for digest in (image.config, *(layer.digest for layer in image.layers)):
            blob(here, machine, digest)
            with pytest.raises(NotFoundError) as refused:
                blob(here, other, digest)
            assert refused.value.code == "blob.not_found"
        with pytest.raises(NotFoundError):
            blob(here, machine, image.manifest)


def runs(here: World, machine: Machine, digest: str) -> None:
    """Let a device say that it runs the release with this digest."""
    machine.status = Status(state=State.COMMITTED, active=digest)
    here.visit(machine, machine.first())


def test_a_device_fetches_what_it_runs_to_rebuild_it_also_when_it_was_withdrawn(here: World) -> None:
    machine, other = here.machine(), here.machine()
    release = here.made()
    runs(here, machine, release.digest)
    digest = release.digest.removeprefix("sha256:")
    assert manifest(here, machine, digest) == release.manifest
    for image in workload.read(release.manifest).images.values():
        blob(here, machine, image.config)
    here.refused("release.not_found", manifest, here, other, digest)
    here.run(sa.update(schema.releases).values(state="withdrawn"))
    assert manifest(here, machine, digest) == release.manifest


def test_a_device_fetches_nothing_of_another_organisation_whatever_it_says_it_runs(here: World) -> None:
    machine = here.machine()
    foreign = "other-line@sha256:" + "ab" * 32
    stock.release(here.database, here.new_id(), foreign, here.now, scope=here.foreign)
    for digest in ("ab" * 32, "cd" * 32):
        runs(here, machine, f"sha256:{digest}")
        here.refused("release.not_found", manifest, here, machine, digest)
