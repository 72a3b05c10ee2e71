# SPDX-License-Identifier: Apache-2.0
"""Joining a plane, over real TLS: nothing is sent to a stranger, and whatever breaks, trying again is enough."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web

from checkvalve.agent import enrol, identity, journal
from checkvalve.agent.believed import Believed
from checkvalve.agent.disk.simulated import PowerCut, SimulatedDisk
from checkvalve.agent.enrol import Invitation, invitation
from checkvalve.agent.identity import Identity
from checkvalve.agent.link.plane import Plane
from checkvalve.agent.link.tls import Patience, Tls
from checkvalve.crypto import keys, tokens
from checkvalve.errors import CheckvalveError, ConflictError, ForbiddenError, InvalidError, UnavailableError
from checkvalve.protocol.time import read as read_time
from tests.agent.plane import Estate, Listener, about, served

TOKEN = tokens.join_token(b"\1" * 32)
ANOTHER = tokens.join_token(b"\2" * 32)


class Meeting:
    """A machine that is to become a device, and a plane that listens."""

    def __init__(self, estate: Estate, listener: Listener) -> None:
        self.estate, self.listener = estate, listener
        self.disk = SimulatedDisk()

    @property
    def plane(self) -> Plane:
        return self.estate.plane

    def invited(self, token: str = TOKEN, pin: str = "") -> Invitation:
        return invitation([self.listener.address], token, pin or self.plane.pin)

    async def join(self, invited: Invitation | None = None, *, again: bool = False) -> Identity:
        return await enrol.join(
            self.disk, invited or self.invited(), name="press", again=again, patience=Patience(2, 2, 2)
        )

    async def refused(self, invited: Invitation | None = None, *, again: bool = False) -> CheckvalveError:
        with pytest.raises(CheckvalveError) as caught:
            await self.join(invited, again=again)
        return caught.value


@asynccontextmanager
async def meeting(directory: Path) -> AsyncIterator[Meeting]:
    estate = Estate()
    estate.plane.tokens |= {TOKEN, ANOTHER}
    async with served(estate.plane, directory) as listener:
        yield Meeting(estate, listener)


def test_one_command_makes_a_device_that_can_speak_with_its_plane(tmp_path: Path) -> None:
    async def play() -> None:
        async with meeting(tmp_path) as met:
            made = await met.join()
            assert identity.load(met.disk) == made
            assert (made.plane, made.addresses) == ("plane", (met.listener.address,))
            assert met.listener.asked == ["/v1/plane", "/v1/join"]
            link = Tls(made.addresses, made.ca, made.pair())
            assert read_time(await link.time(), made.orders_key())
            believed = Believed(met.disk, made.root.encode(), 0.0)
            await believed.refresh(link, met.plane.moment())
            assert believed.trusted.targets_version == 1
            await link.close()

    asyncio.run(play())


def test_nothing_is_sent_to_a_plane_whose_authority_is_not_the_pinned_one(tmp_path: Path) -> None:
    async def play() -> None:
        async with meeting(tmp_path) as met:
            pin = Estate().plane.pin
            error = await met.refused(met.invited(pin=pin))
            assert isinstance(error, ForbiddenError)
            assert error.code == "link.pin"
            assert pin in error.sentence
            assert met.plane.pin in error.sentence
            assert met.listener.asked == ["/v1/plane"]
            assert met.disk.names(identity.KEYS) == []

    asyncio.run(play())


def test_a_stranger_that_shows_the_right_authority_does_not_get_the_token(tmp_path: Path) -> None:
    async def play() -> None:
        async with meeting(tmp_path) as met:
            stranger = Estate().plane
            stranger.authority, real = met.plane.authority, stranger.authority
            pair = Estate().plane.listener("plane")
            async with served(stranger, tmp_path, pair=pair) as listener:
                met.listener = listener
                error = await met.refused()
            assert isinstance(error, UnavailableError)
            assert error.code == "link.stranger"
            assert listener.asked == ["/v1/plane"]
            assert real != stranger.authority
            assert identity.load(met.disk) is None

    asyncio.run(play())


def test_a_token_that_lets_nobody_in_is_the_planes_refusal(tmp_path: Path) -> None:
    async def play() -> None:
        async with meeting(tmp_path) as met:
            error = await met.refused(met.invited(token=tokens.join_token(b"\3" * 32)))
            assert error.code == "invite.refused"
            assert identity.load(met.disk) is None

    asyncio.run(play())


def test_after_a_lost_answer_the_same_token_makes_the_same_device(tmp_path: Path) -> None:
    async def play() -> None:
        async with meeting(tmp_path) as met:

            async def lose(request: web.Request) -> web.StreamResponse:
                if request.path == "/v1/plane":
                    return await _again(request, met)
                met.plane.join(await request.read())
                assert request.transport is not None
                request.transport.close()
                return web.Response()

            met.listener.instead = lose
            assert isinstance(await met.refused(), UnavailableError)
            met.listener.instead = None
            made = await met.join()
            assert list(met.plane.kept.members) == [made.device]

    asyncio.run(play())


def test_after_a_power_cut_at_any_moment_joining_again_is_enough(tmp_path: Path) -> None:
    async def play() -> None:
        for at in range(60):
            async with meeting(tmp_path) as met:
                met.disk = SimulatedDisk(seed=at)
                met.disk.cut_after(at)
                try:
                    await met.join()
                except PowerCut:
                    met.disk.crash()
                else:
                    return
                if identity.load(met.disk) is None:
                    await met.join()
                made = identity.load(met.disk)
                assert made is not None
                assert made.device in met.plane.kept.members
        pytest.fail("joining does not end")

    asyncio.run(play())


def test_a_device_that_has_joined_says_so_and_joins_anew_only_if_told(tmp_path: Path) -> None:
    async def play() -> None:
        async with meeting(tmp_path) as met:
            first = await met.join()
            met.disk.replace(journal.NAME, b"what it did for the plane before")
            error = await met.refused(met.invited(ANOTHER))
            assert isinstance(error, ConflictError)
            assert error.code == "agent.joined"
            assert "plane" in error.sentence
            second = await met.join(met.invited(ANOTHER), again=True)
            assert second.device != first.device
            assert keys.spki(second.key.public_key()) != keys.spki(first.key.public_key())
            assert identity.load(met.disk) == second
            assert met.disk.names(identity.KEYS) == [second.key_name.partition("/")[2]]
            assert [keys.spki(each.public_key()) for each in identity.opening(met.disk)] == [
                keys.spki(each.key.public_key()) for each in (second, first)
            ], "secrets of what runs were sealed to the key of before"
            identity.forget_former(met.disk)
            assert len(identity.opening(met.disk)) == 1
            assert not met.disk.exists(journal.NAME)
            assert met.disk.exists(enrol.SET_ASIDE)
            assert identity.owner(met.disk, second) == first.device, "what runs here stays this device's own"

    asyncio.run(play())


def test_joining_anew_that_is_refused_leaves_the_device_as_it_was(tmp_path: Path) -> None:
    async def play() -> None:
        async with meeting(tmp_path) as met:
            first = await met.join()
            error = await met.refused(met.invited(tokens.join_token(b"\3" * 32)), again=True)
            assert error.code == "invite.refused"
            assert identity.load(met.disk) == first

    asyncio.run(play())


def test_a_device_whose_identity_is_damaged_can_join_anew(tmp_path: Path) -> None:
    async def play() -> None:
        async with meeting(tmp_path) as met:
            await met.join()
            met.disk.damage(identity.FILE, b"")
            assert (await met.refused()).code == "identity.damaged"
            assert await met.join(met.invited(ANOTHER), again=True) == identity.load(met.disk)

    asyncio.run(play())


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda other: {"authority": other.device().ca}, "another authority"),
        (lambda other: {"certificate": other.device().current.certificate}, "authority"),
        (lambda other: {"orders": other.device().current.orders}, "authority"),
        (lambda _: {"device": "0" * 26}, "another device"),
        (lambda _: {"root": "{}"}, "metadata"),
        (lambda _: {"authority": ""}, "not a certificate"),
    ],
)
def test_an_answer_that_does_not_hold_together_is_not_taken(tmp_path: Path, change: Any, why: str) -> None:  # noqa: ANN401
    async def play() -> None:
        async with meeting(tmp_path) as met:
            changes = change(Estate())

            async def lie(request: web.Request) -> web.StreamResponse:
                if request.path == "/v1/plane":
                    return await _again(request, met)
                came = met.plane.join(await request.read())
                return web.Response(status=201, body=msgspec.json.encode(msgspec.structs.replace(came, **changes)))

            met.listener.instead = lie
            error = await met.refused()
            assert isinstance(error, InvalidError)
            assert error.code == "join.answer"
            assert why in error.sentence
            assert identity.load(met.disk) is None

    asyncio.run(play())


def test_what_answers_in_another_form_is_no_plane(tmp_path: Path) -> None:
    async def portal(_: web.Request) -> web.StreamResponse:
        return web.Response(body=b"<html>", content_type="text/html")

    async def play() -> None:
        async with meeting(tmp_path) as met:
            met.listener.instead = portal
            assert (await met.refused()).code == "link.answer"

    asyncio.run(play())


def test_an_invite_to_observe_leaves_a_file_that_says_so(tmp_path: Path) -> None:
    async def play() -> None:
        async with meeting(tmp_path) as met:

            async def observing(request: web.Request) -> web.StreamResponse:
                if request.path == "/v1/plane":
                    return await _again(request, met)
                came = msgspec.structs.replace(met.plane.join(await request.read()), observe=True)
                return web.Response(status=201, body=msgspec.json.encode(came))

            met.listener.instead = observing
            await met.join()
            assert identity.observes(met.disk)

    asyncio.run(play())


# ---- What was typed. ----


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("plane.example", "https://plane.example:8443"),
        ("https://plane.example/", "https://plane.example:8443"),
        (" 10.0.0.7:9000 ", "https://10.0.0.7:9000"),
        ("https://[fd00::7]:443", "https://[fd00::7]:443"),
        ("fd00::7", "https://[fd00::7]:8443"),
    ],
)
def test_an_address_is_tidied(typed: str, meant: str) -> None:
    assert enrol.address(typed) == meant


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "http://plane.example",
        "https://plane:99999",
        "https://a/b",
        "https://u:p@a",
        "a b",
        "https://",
        f"{'a' * 70}.x",
    ],
)
def test_what_is_no_address_is_refused(typed: str) -> None:
    with pytest.raises(InvalidError) as caught:
        enrol.address(typed)
    assert caught.value.code == "join.address"


def test_a_mistyped_token_or_pin_is_found_before_dialling() -> None:
    pin = "sha256:" + "A1" * 32
    made = invitation(["a", "b", "a"], f" {TOKEN} ", pin)
    assert made.addresses == ("https://a:8443", "https://b:8443")
    assert made.pin == pin.lower()
    assert TOKEN not in repr(made)
    for token, ca_pin, code in ((TOKEN[:-1], pin, "join.token"), ("", pin, "join.token"), (TOKEN, "a1", "join.pin")):
        with pytest.raises(InvalidError) as caught:
            invitation(["a"], token, ca_pin)
        assert caught.value.code == code
    with pytest.raises(InvalidError):
        invitation([], TOKEN, pin)


def test_two_machines_have_two_digests_and_a_bridge_changes_none(tmp_path: Path) -> None:
    etc, devices = tmp_path / "etc", tmp_path / "net"
    etc.mkdir()
    assert enrol.machine(etc, devices) == ""
    (etc / "machine-id").write_text("1234\n")
    alone = enrol.machine(etc, devices)
    _card(devices / "eth0", "00:11:22:33:44:55", real=True)
    one = enrol.machine(etc, devices)
    _card(devices / "docker0", "02:42:00:00:00:01", real=False)
    assert enrol.machine(etc, devices) == one != alone
    _card(devices / "eth1", "00:11:22:33:44:56", real=True)
    assert enrol.machine(etc, devices) != one


def _card(path: Path, address: str, *, real: bool) -> None:
    path.mkdir(parents=True)
    (path / "address").write_text(address)
    if real:
        (path / "device").mkdir()


async def _again(request: web.Request, met: Meeting) -> web.StreamResponse:
    """Answer `/v1/plane` as the plane does."""
    assert request.path == "/v1/plane"
    return web.Response(body=msgspec.json.encode(about(met.plane)))
