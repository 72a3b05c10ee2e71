# SPDX-License-Identifier: Apache-2.0
"""Joining: what a device needs, what it is given, and that a refused one changes nothing."""

from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec
import pytest
import sqlalchemy as sa

from checkvalve.crypto import certificates, envelope, keys, trustset
from checkvalve.protocol import enrol
from checkvalve.protocol.enrol import Join, LinkClass
from checkvalve.server.db import schema
from checkvalve.server.db.database import Database
from checkvalve.server.fleet.model import Trust
from tests.parts.machine import Machine
from tests.server.exchange import world
from tests.server.exchange.world import PLANE, World


@pytest.fixture
def here(database: Database, new_id: Callable[[], str], now: datetime) -> World:
    return world.started(database, new_id, now)


def test_a_device_is_given_all_that_it_needs_to_believe_this_plane_and_no_other(here: World) -> None:
    machine, token = Machine(), here.token()
    joined = here.join(machine.join(token, "pump-7"))
    machine.take(joined)
    authority = certificates.from_pem(joined.authority.encode())
    assert certificates.issued_by(machine.der, authority)
    assert certificates.device_id(machine.der) == joined.device
    assert keys.spki(certificates.public_key(machine.der)) == keys.spki(machine.key.public_key())
    orders = certificates.from_pem(joined.orders.encode())
    assert certificates.is_orders(orders)
    assert certificates.issued_by(orders, authority)
    assert trustset.begin(joined.root.encode()).root_version == 1
    assert (joined.plane, joined.scope, joined.generation) == (PLANE, here.site, 1)
    assert len(joined.place) == 2
    device = here.device(machine)
    assert (device.name, device.trust, device.key) == ("pump-7", Trust.ACCEPTED, machine.fingerprint)
    assert here.acts()[0] == "device.join"
    assert here.entries()[0].actor.id == device.id


@pytest.mark.parametrize(("link", "days", "interval"), [(LinkClass.REMOTE, 1, 60), (LinkClass.ASYNC, 30, 900)])
def test_a_certificate_lives_as_long_as_its_link_asks_for(
    here: World, link: LinkClass, days: int, interval: int
) -> None:
    machine = Machine()
    joined = here.join(machine.join(here.token(link=link)))
    _, ends = certificates.validity(machine.take(joined).der)
    assert ends == here.now + timedelta(days=days)
    assert (joined.link, joined.interval) == (link, interval)


def test_whether_it_observes_is_what_the_invite_said(here: World) -> None:
    machine = Machine()
    assert here.join(machine.join(here.token(observe=True))).observe
    assert here.join(Machine().join(here.token())).observe is False


def test_the_same_token_with_the_same_key_is_the_same_device_and_no_second_use(here: World) -> None:
    machine, token = Machine(), here.token(uses=2)
    first = here.join(machine.join(token))
    rows = here.rows()
    again = here.join(machine.join(token))
    assert (again.device, again.generation, again.root) == (first.device, first.generation, first.root)
    assert here.rows() == rows
    assert here.invite_of(token).used == 1


def test_an_answer_that_was_lost_is_given_again_when_the_token_is_used_up_and_over(here: World) -> None:
    machine, token = Machine(), here.token()
    first = here.join(machine.join(token))
    here.later(hours=2)
    assert here.join(machine.join(token)).device == first.device


def test_a_device_that_joins_again_after_its_certificate_went_on_elsewhere_is_found_out(here: World) -> None:
    machine, token = Machine(), here.token()
    machine.take(here.join(machine.join(token)))
    machine.generation = here.renewed(machine.renewal(here.time)).generation
    here.visit(machine, machine.first())
    copy = Machine(key=machine.key)
    copy.take(here.join(copy.join(token)))
    assert here.visit(copy, copy.first()).standing.trust is Trust.QUARANTINED


def test_of_two_devices_that_show_the_last_use_one_comes_in(here: World) -> None:
    token = here.token()
    here.join(Machine().join(token))
    here.refused("invite.refused", here.join, Machine().join(token))


def _unknown(here: World) -> bytes:
    del here
    return Machine().join("cvj_" + "a" * 49)


def _mistyped(here: World) -> bytes:
    return Machine().join(here.token()[:-1] + "~")


def _ended(here: World) -> bytes:
    token = here.token()
    here.later(hours=2)
    return Machine().join(token)


def _revoked(here: World) -> bytes:
    token = here.token()
    invite = here.invite_of(token).id
    here.run(sa.update(schema.invites).where(schema.invites.c.id == invite).values(revoked_at=here.now))
    return Machine().join(token)


def _another_key_signs(here: World) -> bytes:
    join = msgspec.json.decode(envelope.read(Machine().join(here.token())).payload, type=Join)
    return Machine().sealed(enrol.JOIN, msgspec.json.encode(join))


def _renewal_as_join(here: World) -> bytes:
    machine = Machine()
    return machine.sealed(enrol.RENEWAL, envelope.read(machine.join(here.token())).payload)


def _known_with_another_invite(here: World) -> bytes:
    machine = Machine()
    here.join(machine.join(here.token()))
    return machine.join(here.token())


def _no_root(here: World) -> bytes:
    here.run(sa.delete(schema.trust))
    return Machine().join(here.token())


BAD: dict[str, tuple[Callable[[World], bytes], str]] = {
    "unknown token": (_unknown, "invite.refused"),
    "mistyped token": (_mistyped, "invite.refused"),
    "ended token": (_ended, "invite.refused"),
    "revoked token": (_revoked, "invite.refused"),
    "signed by another key": (_another_key_signs, "envelope.signature"),
    "a document of another kind": (_renewal_as_join, "envelope.kind"),
    "known already": (_known_with_another_invite, "device.known"),
    "no root of trust": (_no_root, "trust.missing"),
    "no JSON": (lambda _: b"\x00", "envelope.form"),
    "no envelope": (lambda _: b"{}", "envelope.form"),
    "nested a thousand deep": (lambda _: b'{"payload":' + b"[" * 100_000, "envelope.form"),
    "no join": (lambda _: Machine().sealed(enrol.JOIN, b"{}"), "join.form"),
    "a field too much": (lambda _: _more(), "join.form"),
    "a name with NUL": (lambda _: Machine().sealed(enrol.JOIN, _named("a\x00b")), "join.form"),
    "a key that is none": (lambda _: Machine().join("t", public="-----BEGIN"), "key.form"),
}


def _more() -> bytes:
    machine = Machine()
    payload = envelope.read(machine.join("t")).payload
    return machine.sealed(enrol.JOIN, payload[:-1] + b',"more":1}')


def _named(name: str) -> bytes:
    payload = envelope.read(Machine().join("t", name="NAME")).payload
    return payload.replace(b"NAME", name.encode("unicode_escape").replace(b"\\x00", b"\\u0000"))


@pytest.mark.parametrize("case", BAD)
def test_a_join_that_is_wrong_is_refused_with_its_own_code_and_changes_nothing(here: World, case: str) -> None:
    make, code = BAD[case]
    data = make(here)
    here.refused(code, here.join, data)


def test_a_key_that_was_retired_never_comes_in_again(here: World) -> None:
    machine, token = Machine(), here.token()
    machine.take(here.join(machine.join(token)))
    here.run(sa.update(schema.devices).values(trust=Trust.RETIRED.value))
    here.refused("device.retired", here.join, machine.join(token))
    here.refused("device.retired", here.join, machine.join(here.token()))
