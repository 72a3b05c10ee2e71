# SPDX-License-Identifier: Apache-2.0
"""The way to the plane, over real TLS: whom it believes, what it costs, and that every failure names its layer."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web

from checkvalve.agent.identity import Identity
from checkvalve.agent.link import tls
from checkvalve.agent.link.plane import Plane
from checkvalve.agent.link.simulated import Simulated
from checkvalve.agent.link.tls import Patience, Tls
from checkvalve.agent.ports import Link
from checkvalve.crypto import certificates, keys
from checkvalve.errors import (
    CheckvalveError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    ThrottledError,
    UnauthenticatedError,
    UnavailableError,
)
from checkvalve.protocol import values
from checkvalve.protocol.exchange import Report, State, Status
from checkvalve.protocol.time import read as read_time
from tests.agent.plane import Estate, Listener, Relay, listening, port, served
from tests.crypto.world import NOON

QUICK = Patience(connect=2.0, answer=0.3, stall=0.3)
BLOB = bytes(range(256)) * 1000
NAME = f"sha256:{'a' * 64}"
REPORT = Report(capability=1, journal="0" * 26, seq=0, generation=1, state="0" * 64, clock=1_793_707_200_000)
Serving = Callable[[web.Request], Coroutine[Any, Any, web.StreamResponse]]


def report(seq: int = 0) -> bytes:
    return msgspec.json.encode(msgspec.structs.replace(REPORT, seq=seq))


class Met:
    """A device, its plane, and a way between them."""

    def __init__(self, estate: Estate, device: Identity, listener: Listener, directory: Path) -> None:
        self.estate, self.device, self.listener, self.directory = estate, device, listener, directory
        self.plane = estate.plane
        self.link = self.dial()

    def dial(self, *addresses: str, proxy: str = "", source: str = "", patience: Patience = QUICK) -> Tls:
        found = addresses or (self.listener.address,)
        return Tls(found, self.device.ca, self.device.pair(), proxy=proxy, source=source, patience=patience)


@asynccontextmanager
async def meeting(directory: Path) -> AsyncIterator[Met]:
    estate = Estate()
    estate.plane.blobs = {NAME: BLOB}
    device = estate.device()
    estate.plane.kept.statuses["0" * 64] = Status(state=State.IDLE)  # so that it asks for none
    async with served(estate.plane, directory) as listener:
        met = Met(estate, device, listener, directory)
        try:
            yield met
        finally:
            await met.link.close()


def run(play: Coroutine[Any, Any, None]) -> None:
    asyncio.run(play)


async def refused(link: Tls, seq: int = 0) -> CheckvalveError:
    """Return what an exchange raises."""
    try:
        await link.exchange(report(seq), 0)
    except CheckvalveError as error:
        return error
    finally:
        await link.close()
    pytest.fail("there was an answer")


async def _into(link: Link, got: list[bytes]) -> None:
    async for piece in link.blob(NAME, 0):
        got.append(piece)  # noqa: PERF401 - what came before it broke off counts


async def whole(link: Link, offset: int = 0) -> bytes:
    return b"".join([piece async for piece in link.blob(NAME, offset)])


# ---- What it brings. ----


def test_an_idle_exchange_brings_the_signed_time_and_nothing_else(tmp_path: Path) -> None:
    async def play() -> None:
        async with meeting(tmp_path) as met:
            met.plane.next = 300
            replied = await met.link.exchange(report(), 0)
            assert (replied.answer, replied.next, replied.size) == (None, 300, 0)
            assert read_time(replied.time, met.device.orders_key()) == int(NOON.timestamp() * 1000)

    run(play())


def test_orders_come_until_they_are_accepted(tmp_path: Path) -> None:
    async def play() -> None:
        async with meeting(tmp_path) as met:
            sealed = met.plane.deploy(met.device.device, "0" * 26, "press/x.json")
            for _ in range(2):
                replied = await met.link.exchange(report(), 0)
                assert replied.answer is not None
                assert replied.answer.orders == sealed
            accepted = msgspec.structs.replace(REPORT, epoch=1, counter=1)
            assert (await met.link.exchange(msgspec.json.encode(accepted), 0)).answer is None

    run(play())


def test_metadata_comes_by_version_and_what_is_not_there_is_none(tmp_path: Path) -> None:
    async def play() -> None:
        async with meeting(tmp_path) as met:
            assert await met.link.metadata("timestamp", 0) == met.plane.metadata["timestamp.json"]
            assert await met.link.metadata("root", 1) == met.plane.root
            assert await met.link.metadata("root", 2) is None

    run(play())


def test_manifest_time_and_renewal_come_as_they_are(tmp_path: Path) -> None:
    async def play() -> None:
        async with meeting(tmp_path) as met:
            met.plane.manifests[NAME] = b"{}"
            assert await met.link.manifest(NAME) == b"{}"
            assert read_time(await met.link.time(), met.device.orders_key()) == int(NOON.timestamp() * 1000)
            with pytest.raises(NotFoundError):
                await met.link.manifest(f"sha256:{'b' * 64}")

    run(play())


def test_values_come_as_they_are_or_not_at_all(tmp_path: Path) -> None:
    async def play() -> None:
        async with meeting(tmp_path) as met:
            met.plane.values[NAME] = b"{}"
            ways: list[Link] = [met.link, Simulated(met.plane, met.device.device)]
            for way in ways:
                assert await way.values(NAME) == b"{}"
                with pytest.raises(NotFoundError):
                    await way.values(f"sha256:{'b' * 64}")
            met.plane.values[NAME] = b"x" * (values.LARGEST + 1)
            with pytest.raises(InvalidError):
                await met.link.values(NAME)

    run(play())


@pytest.mark.parametrize("offset", [0, 1, 100_000, len(BLOB) - 1, len(BLOB)])
def test_a_blob_is_gone_on_with_from_any_byte(tmp_path: Path, offset: int) -> None:
    async def play() -> None:
        async with meeting(tmp_path) as met:
            assert await whole(met.link, offset) == BLOB[offset:]

    run(play())


def test_a_plane_that_knows_no_ranges_is_skipped_through(tmp_path: Path) -> None:
    async def play() -> None:
        async with meeting(tmp_path) as met:
            met.listener.instead = _body(BLOB)
            assert await whole(met.link, 70_000) == BLOB[70_000:]

    run(play())


def test_another_part_of_a_blob_than_was_asked_for_is_not_taken(tmp_path: Path) -> None:
    async def play() -> None:
        async with meeting(tmp_path) as met:
            met.listener.instead = _body(BLOB[5:], 206, {"Content-Range": "bytes 5-9/10"})
            with pytest.raises(InvalidError) as caught:
                await whole(met.link, 7)
            assert caught.value.code == "link.answer"

    run(play())


def test_a_blob_that_breaks_off_or_stalls_is_a_failure_of_the_link(tmp_path: Path) -> None:
    async def play() -> None:
        async with meeting(tmp_path) as met:
            for stalls in (False, True):
                met.listener.instead = _half(stalls=stalls)
                got = list[bytes]()
                with pytest.raises(UnavailableError) as caught:
                    await _into(met.link, got)
                assert caught.value.code == "link.unreachable"
                assert b"".join(got) == BLOB[:1000]

    run(play())


def test_a_held_exchange_does_not_hold_up_a_blob(tmp_path: Path) -> None:
    async def play() -> None:
        async with meeting(tmp_path) as met:
            release = asyncio.Event()

            async def hold(request: web.Request) -> web.StreamResponse:
                if request.path == "/v1/exchange":
                    await release.wait()
                    return web.Response(status=204)
                return web.Response(body=BLOB)

            met.listener.instead = hold
            held = asyncio.ensure_future(met.link.exchange(report(), 55))
            assert await whole(met.link) == BLOB
            assert not held.done()
            release.set()
            assert (await held).answer is None

    run(play())


def test_a_wait_that_was_given_up_does_not_stand_in_the_way_of_the_next_report(tmp_path: Path) -> None:
    async def play() -> None:
        async with meeting(tmp_path) as met:
            arrived = asyncio.Event()

            async def hold(_: web.Request) -> web.StreamResponse:
                arrived.set()
                await asyncio.Event().wait()
                raise AssertionError

            met.listener.instead = hold
            held = asyncio.ensure_future(met.link.exchange(report(), 55))
            await arrived.wait()
            held.cancel()
            met.listener.instead = None
            assert (await met.link.exchange(report(), 0)).answer is None

    run(play())


# ---- Whom it believes. ----


def test_a_plane_whose_certificates_ran_out_long_ago_is_the_plane(tmp_path: Path) -> None:
    async def play() -> None:
        estate = Estate(lambda: NOON - timedelta(days=12_000))
        device = estate.device()
        async with served(estate.plane, tmp_path) as listener:
            link = Tls((listener.address,), device.ca, device.pair())
            assert await link.time()
            assert (await link.exchange(report(), 0)).time
            await link.close()

    run(play())


def test_another_authority_is_a_stranger_and_hears_nothing(tmp_path: Path) -> None:
    async def play() -> None:
        async with meeting(tmp_path) as met, served(Estate().plane, tmp_path) as stranger:
            error = await refused(met.dial(stranger.address))
            assert isinstance(error, UnavailableError)
            assert (error.code, error.facts["layer"]) == ("link.stranger", "tls")
            assert stranger.asked == []

    run(play())


def test_a_certificate_of_a_device_is_none_of_a_plane(tmp_path: Path) -> None:
    async def play() -> None:
        estate = Estate()
        device, thief = estate.device(), estate.device()
        orders = (certificates.to_pem(estate.plane.orders_certificate).decode(), _pem(estate.plane.orders_key))
        for pair in (thief.pair(), orders):
            async with served(estate.plane, tmp_path, pair=pair) as listener:
                error = await refused(Tls((listener.address,), device.ca, device.pair()))
                assert error.code == "link.stranger"
                assert "purpose" in error.sentence
                assert listener.asked == []

    run(play())


def test_a_key_that_is_not_the_certificates_is_found_before_dialling() -> None:
    device, other = Estate().device(), Estate().device()
    with pytest.raises(InvalidError) as caught:
        Tls(("https://127.0.0.1:1",), device.ca, (device.pair()[0], other.pair()[1]))
    assert caught.value.code == "link.certificate"
    with pytest.raises(InvalidError) as caught:
        Tls(("https://127.0.0.1:1",), "no certificate")
    assert caught.value.code == "link.authority"


# ---- What failed. ----


def test_a_name_that_nobody_knows_is_said_to_be_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async def play() -> None:
        async with meeting(tmp_path) as met:
            monkeypatch.setattr(socket, "getaddrinfo", unknown)
            error = await refused(met.dial("https://plane.invalid:8443"))
            assert error.facts["layer"] == "name"
            assert "plane.invalid" in error.sentence

    run(play())


def test_a_port_where_nothing_listens_is_said_to_be_one(tmp_path: Path) -> None:
    async def play() -> None:
        async with meeting(tmp_path) as met:
            error = await refused(met.dial("https://127.0.0.1:1"))
            assert error.facts["layer"] == "route"
            assert "nothing listens" in error.sentence

    run(play())


def test_silence_after_the_connection_is_said_to_be_some(tmp_path: Path) -> None:
    async def play() -> None:
        async with meeting(tmp_path) as met, listening(_silent) as number:
            patience = Patience(connect=0.2, answer=0.2)
            error = await refused(met.dial(f"https://127.0.0.1:{number}", patience=patience))
            assert error.code == "link.unreachable"
            assert "does not answer" in error.sentence

    run(play())


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x15\x03\x03\x00\x02\x02\x28"])
def test_a_handshake_that_fails_is_named_whether_or_not_there_was_an_alert(tmp_path: Path, said: bytes) -> None:
    async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(said)

    async def play() -> None:
        async with meeting(tmp_path) as met, listening(close) as number:
            error = await refused(met.dial(f"https://127.0.0.1:{number}"))
            assert (error.code, error.facts["layer"]) == ("link.unreachable", "tls")
            assert "handshake" in error.sentence

    run(play())


def test_an_answer_that_does_not_come_is_the_planes_failure(tmp_path: Path) -> None:
    async def late(_: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    async def play() -> None:
        async with meeting(tmp_path) as met:
            met.listener.instead = late
            error = await refused(met.dial())
            assert (error.code, error.facts["layer"]) == ("link.unreachable", "plane")
            assert "in time" in error.sentence

    run(play())


@pytest.mark.parametrize(
    ("body", "status", "headers"),
    [
        (b"<html>Welcome to the hotel</html>", 200, {"Content-Type": "text/html"}),
        (b"", 302, {"Location": "https://portal.example/"}),
        (b"<html>no</html>", 403, {"Content-Type": "text/html"}),
        (b" " * (tls.LARGEST_ANSWER + 1), 200, {}),
    ],
)
def test_what_is_no_answer_of_a_plane_is_said_to_be_none(
    tmp_path: Path, body: bytes, status: int, headers: dict[str, str]
) -> None:
    async def play() -> None:
        async with meeting(tmp_path) as met:
            met.listener.instead = _body(body, status, headers)
            error = await refused(met.dial())
            assert isinstance(error, InvalidError)
            assert error.code == "link.answer"
            assert "hotel" not in error.sentence
            assert met.listener.asked == ["/v1/exchange"]

    run(play())


@pytest.mark.parametrize(
    "error",
    [
        ForbiddenError("device.retired", "Gone.", "Go."),
        UnauthenticatedError("device.certificate_expired", "Old."),
        UnavailableError("plane.busy", "Busy."),
    ],
)
def test_a_refusal_of_the_plane_keeps_its_code_and_words(tmp_path: Path, error: CheckvalveError) -> None:
    async def play() -> None:
        async with meeting(tmp_path) as met:
            met.plane.knobs.refuses = error
            came = await refused(met.dial())
            assert type(came) is type(error)
            assert (came.code, came.sentence, came.remedy) == (error.code, error.sentence, error.remedy)

    run(play())


def test_a_device_that_is_told_to_wait_knows_how_long(tmp_path: Path) -> None:
    async def play() -> None:
        async with meeting(tmp_path) as met:
            met.plane.knobs.refuses = ThrottledError("exchange.throttled", "Slowly.", retry_after=17)
            came = await refused(met.dial())
            assert isinstance(came, ThrottledError)
            assert came.facts["retry_after"] == 17

    run(play())


# ---- By which way. ----


def test_the_first_address_that_answers_is_kept_until_it_fails(tmp_path: Path) -> None:
    async def play() -> None:
        async with meeting(tmp_path) as met, served(met.plane, tmp_path) as second:
            link = met.dial("https://127.0.0.1:1", met.listener.address, second.address)
            await link.exchange(report(), 0)
            await link.exchange(report(), 0)
            assert (len(met.listener.asked), len(second.asked)) == (2, 0)
            met.listener.instead = _body(b"", 503)
            with pytest.raises(UnavailableError):
                await link.exchange(report(), 0)
            await link.exchange(report(), 0)
            assert len(second.asked) == 1
            await link.close()

    run(play())


def test_who_had_to_leave_the_first_address_comes_back_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        async with meeting(tmp_path) as met, served(met.plane, tmp_path) as second:
            link = met.dial(met.listener.address, second.address)
            met.listener.instead = _body(b"", 503)
            with pytest.raises(UnavailableError):
                await link.exchange(report(), 0)
            met.listener.instead = None
            await link.exchange(report(), 0)
            assert len(second.asked) == 1
            monkeypatch.setattr(tls, "RETURN", 0.0)
            await link.exchange(report(), 0)
            assert (len(met.listener.asked), len(second.asked)) == (2, 1)
            await link.close()

    run(play())


def test_two_requests_that_find_the_first_address_dead_both_go_to_the_second(tmp_path: Path) -> None:
    async def play() -> None:
        async with meeting(tmp_path) as met:
            link = met.dial("https://127.0.0.1:1", met.listener.address)
            await asyncio.gather(*(link.time() for _ in range(3)), link.exchange(report(), 0))
            await link.close()

    run(play())


def test_a_stranger_at_one_address_does_not_keep_a_device_from_another(tmp_path: Path) -> None:
    async def play() -> None:
        async with meeting(tmp_path) as met, served(Estate().plane, tmp_path) as stranger:
            link = met.dial(stranger.address, met.listener.address)
            assert (await link.exchange(report(), 0)).answer is None
            await link.close()
            error = await refused(met.dial(stranger.address, "https://127.0.0.1:1"))
            assert error.code == "link.unreachable"
            assert "pinned" in error.sentence
            assert "nothing listens" in error.sentence

    run(play())


def test_a_proxy_lets_the_device_through_and_sees_nothing(tmp_path: Path) -> None:
    async def play() -> None:
        async with meeting(tmp_path) as met:
            seen = bytearray()
            async with listening(_proxy(port(met.listener.address), seen)) as number:
                link = met.dial(proxy=f"http://user:secret@127.0.0.1:{number}")
                assert (await link.exchange(report(), 0)).answer is None
                assert await whole(link) == BLOB
                await link.close()
            assert seen.startswith(b"CONNECT 127.0.0.1:")
            assert b"journal" not in seen

    run(play())


def test_a_proxy_that_does_not_let_through_is_named_without_its_password(tmp_path: Path) -> None:
    async def no(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")

    async def play() -> None:
        async with meeting(tmp_path) as met, listening(no) as number:
            error = await refused(met.dial(proxy=f"http://user:secret@127.0.0.1:{number}"))
            assert error.facts["layer"] == "proxy"
            assert f"127.0.0.1:{number}" in error.sentence
            assert "407" in error.sentence
            assert "secret" not in error.sentence
            error = await refused(met.dial(proxy="http://127.0.0.1:1"))
            assert error.facts["layer"] == "proxy"
            assert "nothing listens" in error.sentence

    run(play())


def test_a_device_dials_from_the_address_it_is_told_to(tmp_path: Path) -> None:
    async def play() -> None:
        async with meeting(tmp_path) as met:
            link = met.dial(source="127.0.0.9")
            await link.exchange(report(), 0)
            assert met.listener.peers[-1][0] == "127.0.0.9"
            await link.close()

    run(play())


def test_a_device_dials_by_the_interface_it_is_told_to(tmp_path: Path) -> None:
    async def play() -> None:
        async with meeting(tmp_path) as met:
            link = met.dial(source="lo")
            await link.exchange(report(), 0)
            await link.close()
            error = await refused(met.dial(source="nosuch0"))
            assert (error.facts["layer"], "no such device" in error.sentence) == ("route", True)

    run(play())


# ---- What it costs. ----


def test_exchanges_keep_one_connection_and_a_dropped_one_costs_no_report(tmp_path: Path) -> None:
    async def play() -> None:
        async with meeting(tmp_path) as met:
            relay = Relay(port(met.listener.address))
            async with listening(relay.take) as number:
                link = met.dial(f"https://127.0.0.1:{number}")
                for _ in range(3):
                    await link.exchange(report(), 0)
                assert relay.connections == 1
                relay.let_go()
                assert (await link.exchange(report(), 0)).answer is None
                assert relay.connections == 2
                await link.close()

    run(play())


def test_an_idle_exchange_costs_less_than_600_bytes_both_ways(tmp_path: Path) -> None:
    idle = msgspec.json.encode(
        msgspec.structs.replace(REPORT, seq=123_456, generation=123, epoch=12, counter=123_456, wait=55)
    )

    async def play() -> None:
        async with meeting(tmp_path) as met:
            met.plane.kept.members[met.device.device].known["0" * 26] = 123_456
            relay = Relay(port(met.listener.address))
            async with listening(relay.take) as number:
                link = met.dial(f"https://127.0.0.1:{number}")
                assert (await link.exchange(idle, 0)).answer is None
                before = relay.up + relay.down
                assert (await link.exchange(idle, 0)).answer is None
                assert relay.up + relay.down - before < 600
                await link.close()

    run(play())


# ---- Within the process. ----


def test_the_simulated_way_is_of_the_same_behaviour(tmp_path: Path) -> None:
    async def play() -> None:
        async with meeting(tmp_path) as met:
            met.plane.deploy(met.device.device, "0" * 26, "press/x.json")
            ways: list[Link] = [met.link, Simulated(met.plane, met.device.device)]
            replies = [await way.exchange(report(seq=2), 0) for way in ways]
            assert replies[0].answer == replies[1].answer
            assert replies[0].size == replies[1].size
            for way in ways:
                assert await way.metadata("root", 2) is None
                assert await whole(way, 100) == BLOB[100:]
                assert read_time(await way.time(), met.device.orders_key())
                with pytest.raises(NotFoundError):
                    _ = [piece async for piece in way.blob("sha256:" + "c" * 64, 0)]

    run(play())


def test_a_restored_plane_knows_less_and_counts_in_another_epoch() -> None:
    async def play() -> None:
        plane = Plane(lambda: NOON)
        device = plane.admit(keys.make().public_key()).device
        kept = plane.copied()
        first = plane.deploy(device, "0" * 26, "press/x.json")
        plane.restored(kept)
        assert (await Simulated(plane, device).exchange(report(), 0)).answer is not None  # asks for the status
        second = plane.deploy(device, "0" * 26, "press/x.json")
        assert b'"counter":1,' in first.payload
        assert b'"counter":1,' in second.payload
        assert b'"epoch":2,' in second.payload

    run(play())


def _pem(key: keys.PrivateKey) -> str:
    return keys.dump(key).decode()


def _body(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Serving:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, body=body, headers=headers)

    return answer


def _half(*, stalls: bool) -> Serving:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(len(BLOB))})
        await response.prepare(request)
        await response.write(BLOB[:1000])
        if stalls:
            await asyncio.Event().wait()
        assert request.transport is not None
        request.transport.close()
        return response

    return answer


async def _silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read(10)
    await asyncio.Event().wait()


def _proxy(
    number: int, seen: bytearray
) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]:
    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.extend(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await Relay(number).take(reader, writer)

    return take
