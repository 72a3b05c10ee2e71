# SPDX-License-Identifier: Apache-2.0
"""Exchanges: what an idle device costs, who is let in, what wakes one that waits, and what no body can do."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from checkvalve import clock
from checkvalve.crypto import certificates, envelope
from checkvalve.errors import UnavailableError
from checkvalve.ids import DeviceId
from checkvalve.protocol import exchange
from checkvalve.protocol.exchange import LARGEST_REPORT, Report, State, Status
from checkvalve.server.db import schema
from checkvalve.server.db.database import Database
from checkvalve.server.exchange import due
from checkvalve.server.fleet import queries as fleet_queries
from checkvalve.server.fleet.model import Trust
from checkvalve.server.tasks import seen
from checkvalve.server.web import presence
from tests.parts.machine import Machine
from tests.server.exchange import world
from tests.server.web.crossing import Crossing, answer, problem, until

DAY = 86_400


@pytest.fixture
def here(database: Database, new_id: Callable[[], str], now: datetime, tmp_path: Path) -> Crossing:
    return Crossing(world.started(database, new_id, now), tmp_path)


def trust(here: Crossing, machine: Machine) -> Trust:
    return here.world.database.read_now("device", fleet_queries.device, DeviceId(machine.id)).trust


# Idle


def test_a_device_with_nothing_to_say_is_answered_from_memory_without_a_body(
    here: Crossing, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = here.world.machine()

    async def tell() -> None:
        monkeypatch.setattr(here.plane.db, "write", None)
        for _ in range(3):
            response = await here.exchange(machine, machine.report())
            assert (response.status_code, response.content) == (204, b"")
            assert set(response.headers) == {"checkvalve-time"}

    here.story(tell)


@pytest.mark.slow
def test_the_plane_answers_fifteen_thousand_idle_devices_a_second_on_one_core(here: Crossing) -> None:
    machines = [here.world.machine() for _ in range(4)]
    bodies = [(here.shown(machine), msgspec.json.encode(machine.report())) for machine in machines]
    said: list[int] = []

    async def send(message: dict[str, Any]) -> None:
        said.append(message.get("status", 0))

    async def one(shown: Callable[..., Any], body: bytes) -> None:
        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        scope = {"type": "http", "method": "POST", "path": "/v1/exchange", "headers": []}
        await shown(scope, receive, send)

    async def tell() -> None:
        begun = clock.monotonic()
        for shown, body in itertools.islice(itertools.cycle(bodies), 6_000):
            await one(shown, body)
        assert set(said) == {204, 0}
        assert 6_000 / (clock.monotonic() - begun) > 15_000

    here.story(tell)


def test_when_devices_were_seen_is_gathered_and_written_later(here: Crossing) -> None:
    machine = here.world.machine()

    async def tell() -> None:
        here.world.later(minutes=5)
        await here.exchange(machine, machine.report())
        assert here.world.device(machine).seen_at != here.world.now
        await seen.run(here.plane.db, here.plane.presence.seen, here.plane.presence.unseen)
        assert here.world.device(machine).seen_at == here.world.now

    here.story(tell)


def test_an_idle_device_does_not_notice_that_the_database_is_away(
    here: Crossing, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = here.world.machine()

    async def away(*_: object, **__: object) -> None:
        raise UnavailableError("database.unavailable", "The database did not take this.", "Look at it.")

    async def tell() -> None:
        monkeypatch.setattr(here.plane.db, "write", away)
        monkeypatch.setattr(here.plane.db, "read", away)
        assert (await here.exchange(machine, machine.report())).status_code == 204
        response = await here.exchange(machine, machine.report(events=machine.events(State.IDLE)))
        assert problem(response) == (503, "database.unavailable")
        assert response.headers["retry-after"]
        monkeypatch.setattr(presence, "FRESH", 0.0)
        assert problem(await here.exchange(machine, machine.report(seq=0))) == (503, "database.unavailable")

    here.story(tell)


# Who is let in


def _expired(here: Crossing, machine: Machine) -> None:
    del machine
    here.world.later(seconds=DAY + 1)


def _foreign_key(here: Crossing, machine: Machine) -> None:
    other = Machine()
    authority = here.plane.authority
    der = certificates.issue_device(
        authority.certificate,
        authority.key,
        other.key.public_key(),
        machine.id,
        not_before=here.world.now,
        not_after=here.world.device(machine).certificate_ends_at,
        serial=7,
    )
    machine.certificate = certificates.to_pem(der).decode()


def _never_joined(here: Crossing, machine: Machine) -> None:
    machine.id = here.world.new_id()
    _foreign_key_of = here.world.machine()
    here.world.run(sa.delete(schema.devices).where(schema.devices.c.id == _foreign_key_of.id))
    machine.certificate = _foreign_key_of.certificate


def _orders_certificate(here: Crossing, machine: Machine) -> None:
    machine.certificate = certificates.to_pem(here.plane.orders.certificate).decode()


SHUT_OUT: dict[str, tuple[Callable[[Crossing, Machine], None], tuple[int, str]]] = {
    "quarantined": (lambda here, machine: here.shut_out(machine), (403, "device.quarantined")),
    "retired": (lambda here, machine: here.shut_out(machine, "retire"), (403, "device.retired")),
    "its certificate has run out": (_expired, (401, "device.certificate_expired")),
    "another key of its id": (_foreign_key, (403, "device.unknown")),
    "an id that nobody has": (_never_joined, (403, "device.unknown")),
    "a certificate that is no device's": (_orders_certificate, (401, "certificate.device")),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", SHUT_OUT)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/exchange"),
        ("GET", "/v1/blobs/sha256:" + "0" * 64),
        ("GET", "/v1/metadata/timestamp.json"),
        ("GET", "/v1/releases/" + "0" * 64),
    ],
)
def test_who_is_not_let_in_is_told_why_everywhere_at_the_next_request(
    here: Crossing, case: str, method: str, path: str
) -> None:
    machine = here.world.machine()
    body = msgspec.json.encode(machine.report(events=machine.events(State.IDLE)))
    prepare, said = SHUT_OUT[case]

    async def tell() -> None:
        assert problem(await here.ask(method, path)) == (401, "device.no_certificate")
        assert (await here.exchange(machine, machine.report(seq=0))).status_code == 204
        prepare(here, machine)
        await here.plane.presence.stir()
        rows = here.world.rows()
        response = await here.ask(method, path, machine, body if method == "POST" else b"")
        assert problem(response) == said
        assert here.world.rows() == rows
        if "exchange" in path or "blobs" in path:
            assert response.headers["connection"] == "close"

    here.story(tell)


def test_a_device_that_is_accepted_again_goes_on(here: Crossing) -> None:
    machine = here.world.machine()

    async def tell() -> None:
        here.shut_out(machine)
        await here.plane.presence.stir()
        assert (await here.exchange(machine, machine.report())).status_code == 403
        here.shut_out(machine, "accept")
        await here.plane.presence.stir()
        assert (await here.exchange(machine, machine.report())).status_code == 204

    here.story(tell)


def test_a_device_that_another_process_let_in_this_second_is_known(here: Crossing) -> None:
    async def tell() -> None:
        machine = here.world.machine()
        assert (await here.exchange(machine, machine.report())).status_code == 204

    here.story(tell)


def test_a_copy_is_shut_out_and_told_so_and_so_is_the_one_that_went_on(here: Crossing) -> None:
    machine = here.world.machine()
    old = machine.report()
    machine.generation = here.world.renewed(machine.renewal(here.world.time)).generation

    async def tell() -> None:
        held = asyncio.create_task(here.exchange(machine, machine.report(wait=55)))
        await until(lambda: _held(here, machine))
        assert problem(await here.exchange(machine, old)) == (403, "device.quarantined")
        assert problem(await held) == (403, "device.quarantined")

    here.story(tell)
    assert trust(here, machine) is Trust.QUARANTINED


# Waiting


def _held(here: Crossing, machine: Machine) -> bool:
    slot = here.plane.presence.of(machine.id)
    return slot is not None and slot.poll is not None


def test_orders_reach_a_device_that_waits_at_once(here: Crossing) -> None:
    machine = here.world.machine()

    async def tell() -> None:
        held = asyncio.create_task(here.exchange(machine, machine.report(wait=55)))
        await until(lambda: _held(here, machine))
        here.world.assign(machine)
        begun = clock.monotonic()
        await here.plane.presence.stir()
        given = answer(await held)
        assert clock.monotonic() - begun < 5
        assert given.orders is not None
        envelope.unseal(given.orders, exchange.ORDERS, here.plane.orders.key.public_key())

    here.story(tell)


def test_an_errand_reaches_a_device_that_waits_at_once_and_while_it_works_it_is_answered_from_memory(
    here: Crossing, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = here.world.machine()

    async def tell() -> None:
        held = asyncio.create_task(here.exchange(machine, machine.report(wait=55)))
        await until(lambda: _held(here, machine))
        here.world.errand(machine)
        await here.plane.presence.stir()
        assert answer(await held).orders is not None
        took = machine.report(epoch=1, counter=1)
        assert (await here.exchange(machine, took)).status_code == 204
        monkeypatch.setattr(here.plane.db, "write", None)
        for _ in range(3):
            assert (await here.exchange(machine, took)).status_code == 204

    here.story(tell)


def test_orders_reach_it_within_a_second_where_another_process_decided(here: Crossing) -> None:
    machine = here.world.machine()

    async def tell() -> None:
        held = asyncio.create_task(here.exchange(machine, machine.report(wait=55)))
        await until(lambda: _held(here, machine))
        here.world.assign(machine)  # nobody stirs
        assert answer(await held).orders is not None

    here.story(tell)


def test_orders_that_were_lost_come_again_to_a_device_that_waits(
    here: Crossing, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = here.world.machine()
    monkeypatch.setattr(due, "SOONEST", 0.2)

    async def tell() -> None:
        here.world.assign(machine)
        await here.plane.presence.stir()
        lost = answer(await here.exchange(machine, machine.report())).orders
        for _ in range(2):
            begun = clock.monotonic()
            assert answer(await here.exchange(machine, machine.report(wait=55))).orders == lost
            assert 0.1 < clock.monotonic() - begun < 10

    here.story(tell)


def test_orders_that_a_device_does_not_take_are_not_given_with_each_report(here: Crossing) -> None:
    machine = here.world.machine()

    async def tell() -> None:
        here.world.assign(machine)
        await here.plane.presence.stir()
        assert answer(await here.exchange(machine, machine.report())).orders is not None
        assert (await here.exchange(machine, machine.report())).status_code == 204
        told = answer(await here.exchange(machine, machine.report(events=machine.events(State.IDLE))))
        assert (told.orders, told.known) == (None, 1)
        other = here.world.assign(machine)
        await here.plane.presence.stir()
        assert answer(await here.exchange(machine, machine.report())).orders is not None
        machine.status = Status(state=State.OFFERED, attempt=other.attempt)
        assert (await here.exchange(machine, machine.first(epoch=1, counter=2))).status_code == 204

    here.story(tell)


@pytest.mark.parametrize(("how", "code"), [("quarantine", "device.quarantined"), ("retire", "device.retired")])
def test_a_device_that_waits_is_shut_out_at_once(here: Crossing, how: str, code: str) -> None:
    machine = here.world.machine()

    async def tell() -> None:
        held = asyncio.create_task(here.exchange(machine, machine.report(wait=55)))
        await until(lambda: _held(here, machine))
        here.shut_out(machine, how)
        await here.plane.presence.stir()
        async with asyncio.timeout(5):
            response = await held
        assert problem(response) == (403, code)
        assert response.headers["connection"] == "close"

    here.story(tell)


def test_a_plane_that_stops_lets_everybody_go(here: Crossing) -> None:
    machine = here.world.machine()

    async def tell() -> None:
        async with here.watching() as stop:
            held = asyncio.create_task(here.exchange(machine, machine.report(wait=55)))
            await until(lambda: _held(here, machine))
            stop.set()
            async with asyncio.timeout(5):
                assert (await held).status_code == 204

    asyncio.run(tell())


@pytest.mark.slow
def test_a_device_waits_as_long_as_it_asks_to(here: Crossing) -> None:
    machine = here.world.machine()

    async def tell() -> None:
        begun = clock.monotonic()
        assert (await here.exchange(machine, machine.report(wait=1))).status_code == 204
        assert 0.9 < clock.monotonic() - begun < 5

    here.story(tell)


def test_a_newer_poll_takes_the_place_of_one_whose_connection_may_be_gone(here: Crossing) -> None:
    machine = here.world.machine()

    async def tell() -> None:
        first = asyncio.create_task(here.exchange(machine, machine.report(wait=55)))
        await until(lambda: _held(here, machine))
        second = asyncio.create_task(here.exchange(machine, machine.report(wait=55)))
        response = await first
        assert (response.status_code, response.headers["checkvalve-next"]) == (204, "60")
        await until(lambda: _held(here, machine))
        here.world.assign(machine)
        await here.plane.presence.stir()
        assert answer(await second).orders is not None

    here.story(tell)


def test_a_poll_left_behind_by_a_device_that_renewed_meanwhile_makes_no_copy_of_it(here: Crossing) -> None:
    machine = here.world.machine()

    async def tell() -> None:
        left = asyncio.create_task(here.exchange(machine, machine.report(wait=55)))
        await until(lambda: _held(here, machine))
        machine.generation = here.world.renewed(machine.renewal(here.world.time)).generation
        here.world.visit(machine, machine.report())  # by another process
        here.world.assign(machine)
        await here.plane.presence.stir()
        assert (await left).status_code == 204

    here.story(tell)
    assert trust(here, machine) is Trust.ACCEPTED


# Too much, and nonsense


def test_a_device_that_reports_too_often_is_told_to_wait_and_others_are_not(here: Crossing) -> None:
    machine, other = here.world.machine(), here.world.machine()

    async def tell() -> None:
        for _ in range(presence.BURST + 1):
            machine.status = Status(state=State.IDLE, link=str(here.world.new_id()))
            response = await here.exchange(machine, machine.first())
        while response.status_code != 429:
            machine.status = Status(state=State.IDLE, link=str(here.world.new_id()))
            response = await here.exchange(machine, machine.first())
        assert problem(response) == (429, "device.too_often")
        assert int(response.headers["retry-after"]) >= 1
        assert (await here.exchange(other, other.report(seq=1))).status_code == 200

    here.story(tell)


def test_one_device_cannot_fill_the_memory_of_the_plane(here: Crossing) -> None:
    machine, other = here.world.machine(), here.world.machine()

    async def halfway() -> AsyncIterator[bytes]:
        yield b"{"
        await go_on.wait()
        yield b"}"

    async def tell() -> None:
        running = [
            asyncio.create_task(here.ask("POST", "/v1/exchange", machine, halfway())) for _ in range(presence.READING)
        ]
        slot = here.plane.presence.of(machine.id)
        assert slot is not None
        await until(lambda: slot.reading == presence.READING)
        assert problem(await here.exchange(machine, machine.report())) == (429, "device.too_often")
        assert (await here.exchange(other, other.report())).status_code == 204
        go_on.set()
        assert {(await one).status_code for one in running} == {400}
        assert (await here.exchange(machine, machine.report())).status_code == 204

    go_on = asyncio.Event()
    here.story(tell)


async def _endless(sent: list[int]) -> AsyncIterator[bytes]:
    while True:
        sent.append(1)
        yield b" " * 65_536


def test_a_body_is_refused_while_it_comes(here: Crossing) -> None:
    machine = here.world.machine()
    sent: list[int] = []

    async def tell() -> None:
        response = await here.ask("POST", "/v1/exchange", machine, _endless(sent))
        assert problem(response) == (413, "request.too_large")
        assert response.headers["connection"] == "close"
        assert len(sent) <= LARGEST_REPORT // 65_536 + 2

    here.story(tell)


NONSENSE: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "request.malformed"),
    "no JSON": (b"\x00\xff", "request.malformed"),
    "half of it": (b'{"capability":2', "request.malformed"),
    "no UTF-8": (b'{"journal":"\xff"}', "request.malformed"),
    "nested deep": (b'{"x":' + b"[" * 200_000 + b"]" * 200_000 + b"}", "request.nesting"),
    "no report": (b"{}", "request.invalid"),
    "a list": (b"[]", "request.invalid"),
    "NUL": (b'{"capability":2,"journal":"a\\u0000"}', "request.invalid"),
    "a number too large": (b'{"capability":2,"journal":"a","seq":1e400}', "request.invalid"),
}


@pytest.mark.parametrize("case", NONSENSE)
def test_nonsense_is_refused_and_changes_nothing(here: Crossing, case: str) -> None:
    machine = here.world.machine()
    body, code = NONSENSE[case]

    async def tell() -> None:
        rows = here.world.rows()
        assert problem(await here.ask("POST", "/v1/exchange", machine, body)) == (400, code)
        assert here.world.rows() == rows
        assert (await here.exchange(machine, machine.report())).status_code == 204

    here.story(tell)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.fixed_dictionaries(
        {},
        optional={
            "seq": st.integers(0, 2**53),
            "generation": st.integers(1, 2**53),
            "state": st.text(max_size=70),
            "journal": st.text(max_size=110),
            "epoch": st.integers(-1, 2**53),
            "counter": st.integers(0, 2**64),
            "clock": st.integers(0, 2**53),
            "capability": st.integers(0, 2**40),
            "wait": st.just(0),
            "events": st.lists(
                st.fixed_dictionaries(
                    {"seq": st.integers(1, 3), "at": st.integers(0, 2**53), "kind": st.just("note")},
                    optional={
                        "attempt": st.text(max_size=27),
                        "code": st.text(max_size=20),
                        "facts": st.dictionaries(st.text(max_size=5), st.integers(0, 2**60) | st.text(max_size=5)),
                    },
                ),
                max_size=3,
            ),
        },
    )
)
def test_no_report_of_any_content_is_a_defect_of_the_plane(here: Crossing, changes: dict[str, Any]) -> None:
    machine = here.world.machine()
    said = msgspec.to_builtins(machine.report(), order="deterministic") | changes

    async def tell() -> None:
        response = await here.ask("POST", "/v1/exchange", machine, msgspec.json.encode(said))
        assert response.status_code in {200, 204, 400, 422}, response.text

    here.story(tell)


def test_a_report_in_the_words_of_a_newer_agent_is_understood_as_far_as_it_goes(here: Crossing) -> None:
    machine = here.world.machine()
    said = msgspec.to_builtins(machine.report()) | {"capability": 9, "weather": {"rain": True}}

    async def tell() -> None:
        response = await here.ask("POST", "/v1/exchange", machine, msgspec.json.encode(said))
        assert response.status_code == 204

    here.story(tell)


def test_only_reports_are_taken_at_this_address(here: Crossing) -> None:
    machine = here.world.machine()

    async def tell() -> None:
        for method in ("GET", "PUT", "HEAD", "DELETE"):
            response = await here.ask(method, "/v1/exchange", machine)
            assert (response.status_code, response.headers["allow"]) == (405, "POST")
        assert problem(await here.ask("POST", "/v1/exchange/", machine)) == (404, "route.not_found")

    here.story(tell)


def test_a_report_that_comes_twice_at_once_leaves_what_one_leaves(here: Crossing) -> None:
    machine = here.world.machine()
    report = machine.report(events=machine.events(State.OFFERED, State.FETCHING), receipts=(machine.receipt("a"),))

    async def send(report: Report) -> httpx.Response:
        return await here.exchange(machine, report)

    async def tell() -> None:
        said = [answer(one) for one in await asyncio.gather(*(send(report) for _ in range(4)))]
        assert all(one == said[0] for one in said)

    here.story(tell)
    assert len(here.world.entries("device.receipt")) == 1
    assert len(here.world.database.read_now("lines", fleet_queries.lines, DeviceId(machine.id))) == 2
