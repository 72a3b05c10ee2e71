# SPDX-License-Identifier: Apache-2.0
"""Renewing: the key proves who it is, whatever became of the certificate; and a copy is found out."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa

from checkvalve.crypto import certificates
from checkvalve.protocol import enrol
from checkvalve.protocol.enrol import LinkClass
from checkvalve.server.audit.model import Kind
from checkvalve.server.db import schema
from checkvalve.server.db.database import Database
from checkvalve.server.fleet.model import LIFETIMES, Trust
from tests.parts.machine import Machine
from tests.server.exchange import world
from tests.server.exchange.world import World


@pytest.fixture
def here(database: Database, new_id: Callable[[], str], now: datetime) -> World:
    return world.started(database, new_id, now)


def test_a_certificate_is_followed_by_the_next_one_for_the_same_key_and_device(here: World) -> None:
    machine = here.machine()
    here.later(hours=16)
    renewed = here.renewed(machine.renewal(here.time))
    machine.certificate = renewed.certificate
    assert renewed.generation == 2
    assert certificates.device_id(machine.der) == machine.id
    assert certificates.validity(machine.der)[1] == here.now + timedelta(days=1)
    assert here.acts()[0] == "device.renew"


@pytest.mark.parametrize("link", LinkClass)
def test_two_thirds_of_a_certificate_are_two_thirds_of_the_time_it_may_be_used(here: World, link: LinkClass) -> None:
    machine = here.machine(link)
    begins, ends = certificates.validity(machine.der)
    due = begins + (ends - begins) * 2 / 3  # as agents reckon
    assert 0.64 < (due - here.now) / LIFETIMES[link] <= 2 / 3


@pytest.mark.parametrize("days", [0.5, 1, 2, 200, 400])
def test_a_device_that_lay_in_a_store_comes_back_by_itself(here: World, days: float) -> None:
    machine = here.machine()
    here.later(days=days)
    assert here.renewed(machine.renewal(here.time)).generation == 2


def test_after_four_hundred_days_it_has_to_be_invited_anew(here: World) -> None:
    machine = here.machine()
    here.later(days=402)
    here.refused("device.too_late", here.renewed, machine.renewal(here.time))


def test_an_answer_may_be_lost_any_number_of_times(here: World) -> None:
    machine = here.machine()
    for _ in range(5):
        here.later(minutes=1)
        assert here.renewed(machine.renewal(here.time)).generation == 2
    assert here.visit(machine, machine.report()).standing.trust is Trust.ACCEPTED


def test_both_certificates_count_until_the_device_names_the_new_one(here: World) -> None:
    machine = here.machine()
    here.renewed(machine.renewal(here.time))
    assert here.visit(machine, machine.report()).standing.generation == 1
    machine.generation = 2
    assert here.visit(machine, machine.report()).standing.generation == 2


def test_a_copy_that_renews_after_the_other_went_on_is_shut_out_and_said_why(here: World) -> None:
    machine = here.machine()
    copy = Machine(key=machine.key, id=machine.id)
    machine.generation = here.renewed(machine.renewal(here.time)).generation
    here.visit(machine, machine.report())
    here.later(minutes=1)
    with pytest.raises(Exception, match=r"device\.quarantined"):
        here.renewed(copy.renewal(here.time))
    device = here.device(machine)
    assert device.trust is Trust.QUARANTINED
    assert "copied" in device.trust_reason
    assert here.acts()[0] == "device.quarantine"
    here.refused("device.quarantined", here.renewed, machine.renewal(here.time))


def test_a_renewal_that_somebody_overheard_and_repeats_shuts_nobody_out(here: World) -> None:
    machine = here.machine()
    overheard = machine.renewal(here.time)
    here.later(seconds=1)
    machine.generation = here.renewed(overheard).generation
    here.visit(machine, machine.report())
    here.later(minutes=5)
    here.refused("renewal.stale", here.renewed, overheard)
    assert here.device(machine).trust is Trust.ACCEPTED


@pytest.mark.parametrize("minutes", [10, 11, 1_000, -11])
def test_a_challenge_is_good_for_ten_minutes(here: World, minutes: float) -> None:
    machine, challenge = here.machine(), here.time
    here.later(minutes=minutes)
    here.refused("renewal.stale", here.renewed, machine.renewal(challenge))


def test_a_time_that_this_plane_did_not_sign_is_no_challenge(here: World) -> None:
    machine = here.machine()
    here.refused("time.signature", here.renewed, machine.renewal("1793707200000;AAAA"))
    here.refused("time.form", here.renewed, machine.renewal("now"))


def test_without_the_devices_key_nobody_learns_whether_it_is_known_and_nobody_is_shut_out(here: World) -> None:
    machine, stranger = here.machine(), Machine()
    stranger.id = machine.id
    known = here.refused("device.unknown", here.renewed, stranger.renewal(here.time, generation=0))
    unknown = here.refused("device.unknown", here.renewed, stranger.renewal(here.time, device=here.new_id()))
    strange = here.refused("device.unknown", here.renewed, stranger.renewal(here.time, device="../x"))
    assert known.args == unknown.args == strange.args
    assert here.device(machine).trust is Trust.ACCEPTED


def test_a_signed_document_of_another_kind_renews_nothing(here: World) -> None:
    machine = here.machine()
    here.refused("renewal.form", here.renewed, machine.sealed(enrol.RENEWAL, b"[]"))
    here.refused("envelope.form", here.renewed, b"")
    here.refused("report.generation", here.renewed, machine.renewal(here.time, generation=2**53))
    here.refused("report.generation", here.renewed, machine.renewal(here.time, generation=-1))


@pytest.mark.parametrize(
    ("trust", "code"), [(Trust.QUARANTINED, "device.quarantined"), (Trust.RETIRED, "device.retired")]
)
def test_who_is_shut_out_renews_nothing(here: World, trust: Trust, code: str) -> None:
    machine = here.machine()
    here.run(sa.update(schema.devices).values(trust=trust.value))
    here.refused(code, here.renewed, machine.renewal(here.time))


def test_a_device_of_a_restored_plane_goes_on_with_the_generation_it_has(here: World) -> None:
    machine = here.machine(LinkClass.ASYNC)
    machine.generation = 7
    assert here.renewed(machine.renewal(here.time)).generation == 8
    assert here.acts(Kind.OUTCOME)[0] == "device.renew"
