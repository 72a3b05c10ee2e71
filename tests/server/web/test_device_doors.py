# SPDX-License-Identifier: Apache-2.0
"""What devices ask before and beside their exchanges: which plane it is, its time, joining, renewing, files."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import msgspec
import pytest

from checkvalve.crypto import certificates, tokens
from checkvalve.protocol import api, time
from checkvalve.protocol.enrol import Joined, Renewed
from checkvalve.protocol.version import CAPABILITY
from checkvalve.server.audit.model import Kind
from checkvalve.server.db.database import Database
from checkvalve.server.exchange.ground import milliseconds
from checkvalve.server.fleet.model import Trust
from checkvalve.server.web import joins
from tests.parts.machine import Machine
from tests.server.exchange import world
from tests.server.web.crossing import Crossing, problem


@pytest.fixture
def here(database: Database, new_id: Callable[[], str], now: datetime, tmp_path: Path) -> Crossing:
    return Crossing(world.started(database, new_id, now), tmp_path)


def test_whoever_asks_is_told_which_plane_this_is_and_may_check_it_against_the_pin(here: Crossing) -> None:
    async def tell() -> None:
        said = msgspec.json.decode((await here.ask("GET", "/v1/plane")).content, type=api.DevicePlane)
        authority = certificates.from_pem(said.ca.encode())
        assert said.ca_pin == here.plane.authority.pin
        assert certificates.issued_by(certificates.from_pem(said.orders.encode()), authority)
        assert said.capability == CAPABILITY

    here.story(tell)


def test_the_time_is_signed_once_a_second_and_is_that_of_the_plane(here: Crossing) -> None:
    async def tell() -> None:
        first = (await here.ask("GET", "/v1/time")).headers[time.HEADER]
        here.world.later(milliseconds=999)
        assert (await here.ask("GET", "/v1/time")).headers[time.HEADER] == first
        here.world.later(milliseconds=1)
        response = await here.ask("GET", "/v1/time")
        said = time.read(response.headers[time.HEADER], here.plane.orders.key.public_key())
        assert (response.status_code, said) == (204, milliseconds(here.world.now))

    here.story(tell)


def test_a_device_joins_reports_renews_and_reports_again(here: Crossing) -> None:
    machine, token = Machine(), here.world.token()

    async def tell() -> None:
        response = await here.ask("POST", "/v1/join", None, machine.join(token))
        assert response.status_code == 201
        machine.take(msgspec.json.decode(response.content, type=Joined))
        assert (await here.exchange(machine, machine.first())).status_code == 204
        here.world.later(days=2)
        assert problem(await here.exchange(machine, machine.report())) == (401, "device.certificate_expired")
        challenge = (await here.ask("GET", "/v1/time")).headers[time.HEADER]
        response = await here.ask("POST", "/v1/renew", machine, machine.renewal(challenge))
        assert response.status_code == 200
        renewed = msgspec.json.decode(response.content, type=Renewed)
        machine.certificate, machine.generation = renewed.certificate, renewed.generation
        assert (await here.exchange(machine, machine.report())).status_code == 204
        assert here.world.device(machine).generation == 2

    here.story(tell)


def test_a_device_renews_over_a_connection_without_a_certificate(here: Crossing) -> None:
    machine = here.world.machine()

    async def tell() -> None:
        assert (await here.ask("POST", "/v1/renew", None, machine.renewal(here.world.time))).status_code == 200

    here.story(tell)


def test_a_copy_that_renews_is_shut_out_at_once_and_so_is_the_other(here: Crossing) -> None:
    machine = here.world.machine()
    copy = Machine(key=machine.key, id=machine.id)
    machine.generation = here.world.renewed(machine.renewal(here.world.time)).generation
    here.world.visit(machine, machine.report())

    async def tell() -> None:
        here.world.later(minutes=1)
        said = await here.ask("POST", "/v1/renew", None, copy.renewal(here.world.time))
        assert problem(said) == (403, "device.quarantined")
        assert problem(await here.exchange(machine, machine.report())) == (403, "device.quarantined")
        assert here.world.device(machine).trust is Trust.QUARANTINED

    here.story(tell)


def test_a_plane_without_a_root_of_trust_lets_nobody_in(
    database: Database, new_id: Callable[[], str], now: datetime, tmp_path: Path
) -> None:
    here = Crossing(world.World(database, new_id, now), tmp_path)

    async def tell() -> None:
        assert problem(await here.ask("POST", "/v1/join", None, Machine().join(here.world.token()))) == (
            409,
            "trust.missing",
        )

    here.story(tell)


def test_refused_joins_are_recorded_but_cannot_fill_the_record(here: Crossing) -> None:
    async def tell() -> None:
        for _ in range(3 * joins.RECORDED):
            token = tokens.join_token(here.world.new_id().encode() + b"secret")
            assert problem(await here.ask("POST", "/v1/join", None, Machine().join(token))) == (403, "invite.refused")
        refused = [each for each in here.world.entries("device.join") if each.kind is Kind.REFUSED]
        assert len(refused) == joins.RECORDED
        assert refused[0].facts["code"] == "invite.refused"

    here.story(tell)


@pytest.mark.parametrize("path", ["/v1/join", "/v1/renew"])
def test_a_body_that_is_too_large_or_none_is_refused(here: Crossing, path: str) -> None:
    async def tell() -> None:
        assert (await here.ask("POST", path, None, b" " * 16_385)).status_code == 413
        for body in (b"", b"[]", b"\xff", b"[" * 16_000):
            assert problem(await here.ask("POST", path, None, body)) == (422, "envelope.form")

    here.story(tell)


def test_only_so_many_join_at_once(here: Crossing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joins, "AT_ONCE", 2)
    token = here.world.token(uses=9)

    async def tell() -> None:
        asked = (here.ask("POST", "/v1/join", None, Machine().join(token)) for _ in range(9))
        said = [response.status_code for response in await asyncio.gather(*asked)]
        assert set(said) == {201, 429}
        assert (await here.ask("POST", "/v1/join", None, Machine().join(token))).status_code == 201

    here.story(tell)


def test_a_device_fetches_what_its_orders_name(here: Crossing) -> None:
    machine = here.world.machine()
    release = here.world.made()
    here.world.published()
    here.world.assign(machine, release.id)

    async def tell() -> None:
        for name in ("timestamp.json", "1.root.json"):
            response = await here.ask("GET", f"/v1/metadata/{name}", machine)
            assert msgspec.json.decode(response.content)["signatures"]
        digest = release.digest.removeprefix("sha256:")
        response = await here.ask("GET", f"/v1/releases/{digest}", machine)
        assert response.content == release.manifest
        assert problem(await here.ask("GET", "/v1/metadata/9.root.json", machine)) == (404, "trust.not_found")
        assert problem(await here.ask("GET", f"/v1/releases/{'0' * 64}", machine)) == (404, "release.not_found")
        assert (await here.ask("GET", "/v1/metadata/..%2f..%2fetc", machine)).status_code == 404

    here.story(tell)
