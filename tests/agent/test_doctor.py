# SPDX-License-Identifier: Apache-2.0
"""The doctor names the layer that fails, in one sentence, on real sockets."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import web

from checkvalve import clock
from checkvalve.agent import checking, doctor, holds, policy
from checkvalve.agent.checking import Patient
from checkvalve.agent.disk.simulated import SimulatedDisk
from checkvalve.agent.doctor import Finding, Reached
from checkvalve.agent.link.tls import Patience
from checkvalve.agent.waiting import Said
from checkvalve.crypto import certificates, keys
from checkvalve.errors import ForbiddenError, UnauthenticatedError, UnavailableError
from checkvalve.protocol.exchange import Tag
from tests.agent.device import told
from tests.agent.plane import Estate, Listener, listening, served
from tests.crypto.world import NOON

QUICK = Patience(connect=0.6, answer=0.6, stall=0.6)


class Met:
    """A device that looks at its way to a plane."""

    def __init__(self, directory: Path, estate: Estate, listener: Listener) -> None:
        self.estate, self.listener = estate, listener
        self.patient = Patient(
            known=estate.device(),
            observes=False,
            data=directory,
            runtime=directory,
            engine=None,
            patience=QUICK,
            wall=lambda: int(NOON.timestamp() * 1000),
        )

    async def ways(self, *addresses: str, proxy: str = "", ahead: timedelta | None = None) -> list[Finding]:
        """Return what it finds of these addresses; the plane's own if none."""
        known = replace(self.patient.known, addresses=addresses or (self.listener.address,))
        wall = int((NOON + (ahead or timedelta())).timestamp() * 1000)
        found = await checking.look(replace(self.patient, known=known, proxy=proxy, wall=lambda: wall))
        return [each for each in found if each.layer in doctor.LAYERS]

    async def first(self, *addresses: str, proxy: str = "") -> Finding:
        """Return the first of it."""
        return (await self.ways(*addresses, proxy=proxy))[0]


@asynccontextmanager
async def meeting(directory: Path) -> AsyncIterator[Met]:
    estate = Estate()
    (directory / "plane").mkdir()
    async with served(estate.plane, directory / "plane") as listener:
        yield Met(directory, estate, listener)


def _pair(issuer: str) -> tuple[str, str]:
    """Return certificate and key of a proxy that opens TLS."""
    authority, own = keys.make(), keys.make()
    begin, end = NOON, NOON + timedelta(days=9)
    root = certificates.issue_authority(authority, issuer, not_before=begin, not_after=end, serial=5)
    leaf = certificates.issue_server(
        root, authority, own.public_key(), ("127.0.0.1",), not_before=begin, not_after=end, serial=6
    )
    return certificates.to_pem(leaf).decode(), keys.dump(own).decode()


@told
async def test_a_plane_that_answers_and_knows_the_device_is_well(tmp_path: Path) -> None:
    async with meeting(tmp_path) as met:
        found = await met.ways()
        assert [(each.layer, each.grade) for each in found] == [("plane", "well"), ("time", "well")]
        assert doctor.verdict(found) == (True, "All is well.")


@told
async def test_each_layer_that_fails_is_named(tmp_path: Path) -> None:
    async with meeting(tmp_path) as met, served(Estate(name="other").plane, tmp_path / "plane") as other:
        closed = await met.first("https://127.0.0.1:1")
        assert (closed.layer, "nothing listens there" in closed.sentence) == ("route", True)
        name = await met.first("https://no-such-plane.invalid:8443")
        assert (name.layer, "no-such-plane.invalid" in name.sentence) == ("name", True)
        pin = await met.first(other.address)
        assert (pin.layer, "it is not this device's: its pin is sha256:" in pin.sentence) == ("tls", True)
        pair = _pair("Werk 3 Inspection CA")
        async with served(met.estate.plane, tmp_path / "plane", pair=pair) as opener:
            opened = await met.first(opener.address)
            assert opened.layer == "tls"
            assert "issued by CN=Werk 3 Inspection CA" in opened.sentence
            assert opener.asked == ["/v1/plane"]  # asked who it is; nothing of the device's was sent
        assert {each.grade for each in (closed, name, pin, opened)} == {"bad"}


@told
async def test_packets_that_are_dropped_are_not_a_closed_port(tmp_path: Path) -> None:
    with socket.socket() as full:  # its queue is full: the kernel drops what else comes
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        others = [socket.socket() for _ in range(4)]
        for each in others:
            each.settimeout(0.0)
            each.connect_ex(full.getsockname())
        async with meeting(tmp_path) as met:
            found = await met.first(f"https://127.0.0.1:{full.getsockname()[1]}")
        for each in others:
            each.close()
    assert (found.layer, found.grade) == ("route", "bad")
    assert "does not answer" in found.sentence


Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], object]


def _says(head: bytes, body: bytes = b"") -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], object]:
    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1_000)
        writer.write(head + b"\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body)
        await writer.drain()

    return take


@told
async def test_a_proxy_that_asks_for_a_password_is_named_and_so_is_one_that_refuses(tmp_path: Path) -> None:
    async with meeting(tmp_path) as met:
        for head, words in ((b"HTTP/1.1 407 No", "does not take the name and"), (b"HTTP/1.1 403 No", "403")):
            async with listening(_says(head)) as number:  # type: ignore[arg-type]
                found = await met.first(proxy=f"http://user:hush@127.0.0.1:{number}")
                assert (found.layer, found.grade, words in found.sentence) == ("proxy", "bad", True)
                assert "hush" not in found.sentence
        async with listening(_says(b"HTTP/1.1 407 No")) as number:  # type: ignore[arg-type]
            found = await met.first(proxy=f"http://127.0.0.1:{number}")
            assert (found.layer, "and was given none (407)" in found.sentence) == ("proxy", True)
        found = await met.first(proxy="http://127.0.0.1:1")
        assert (found.layer, "cannot be reached" in found.sentence) == ("proxy", True)


@told
async def test_a_portal_that_speaks_without_tls_is_no_plane(tmp_path: Path) -> None:
    page = b"<html>Please sign in</html>"
    async with meeting(tmp_path) as met, listening(_says(b"HTTP/1.1 200 OK", page)) as number:  # type: ignore[arg-type]
        found = await met.first(f"https://127.0.0.1:{number}")
        assert (found.layer, found.grade) == ("tls", "bad")
        assert "without TLS: a portal" in found.sentence
        through = await met.first(proxy=f"http://127.0.0.1:{number}")  # it says 200, and then no TLS
        assert (through.layer, through.grade) == ("tls", "bad")


@told
async def test_who_holds_the_pinned_key_and_answers_otherwise_is_told(tmp_path: Path) -> None:
    async def page(_: web.Request) -> web.Response:
        return web.Response(text="<html>Please sign in</html>", content_type="text/html")

    async with meeting(tmp_path) as met:
        met.listener.instead = page
        found = await met.first()
        assert (found.layer, found.grade) == ("plane", "bad")
        assert "is not what a plane answers" in found.sentence


@told
async def test_one_address_that_leads_to_the_plane_is_enough(tmp_path: Path) -> None:
    async with meeting(tmp_path) as met:
        found = await met.ways("https://127.0.0.1:1", met.listener.address)
        assert [each.grade for each in found] == ["odd", "well", "well"]
        assert doctor.verdict(found)[0]


@told
async def test_a_clock_that_is_off_is_odd_and_does_not_stop_a_device(tmp_path: Path) -> None:
    async with meeting(tmp_path) as met:
        for ahead, words in ((timedelta(days=3650), "3650 days ahead"), (timedelta(minutes=-10), "10 minutes behind")):
            plane, time = await met.ways(ahead=ahead)
            assert (plane.grade, time.grade, words in time.sentence) == ("well", "odd", True)


@told
async def test_a_device_that_has_not_joined_sees_whether_the_pin_is_right(tmp_path: Path) -> None:
    async with meeting(tmp_path) as met:
        right = met.estate.plane.pin
        (found,) = await checking.before([met.listener.address], right)
        assert (found.grade, right in found.sentence) == ("well", True)
        (found,) = await checking.before([met.listener.address], "sha256:" + "0" * 64)
        assert (found.grade, found.layer, right in found.sentence) == ("bad", "tls", True)
        (found,) = await checking.before(["https://127.0.0.1:1"], "")
        assert (found.grade, found.layer) == ("bad", "route")
        pair = _pair("Werk 3 Inspection CA")  # what opens TLS may pass on what the plane says of itself
        async with served(met.estate.plane, tmp_path / "plane", pair=pair) as opener:
            (found,) = await checking.before([opener.address], right)
            assert (found.grade, found.layer, "Werk 3 Inspection CA" in found.sentence) == ("bad", "tls", True)
        async with listening(_says(b"HTTP/1.1 200 OK", b"<html>")) as number:  # type: ignore[arg-type]
            (found,) = await checking.before([f"https://127.0.0.1:{number}"], "")
            assert "a portal" in found.sentence


# ---- The judge. ----


def test_who_is_not_let_in_hears_it_in_the_planes_words() -> None:
    shut = ForbiddenError("device.quarantined", "This device is in quarantine.", "Ask Bo.")
    found = doctor.way(Reached("https://p:1", shut), "")
    assert (found.layer, found.grade, found.remedy) == ("trust", "bad", "Ask Bo.")
    assert found.sentence.endswith("This device is in quarantine.")
    late = UnauthenticatedError("device.certificate_expired", "The certificate ran out.", "It is renewed by itself.")
    assert doctor.way(Reached("https://p:1", late), "").grade == "odd"


def test_the_port_for_people_is_no_stranger_who_opens_tls() -> None:
    away = UnavailableError("link.stranger", "Somebody else answers.")
    port, proxy = (
        doctor.way(Reached("https://p:9443", away, issuer=issuer), "sha256:0")
        for issuer in ("CN=norra device CA", "CN=Werk 3 Inspection CA")
    )
    assert "https://p:9443 is a Checkvalve plane's port for people" in port.sentence
    assert "8443" in port.remedy
    assert "CN=Werk 3 Inspection CA" in proxy.sentence


def test_several_addresses_of_a_plane_are_told_apart() -> None:
    found = doctor.ways([Reached("https://a:8443", seconds=0.01), Reached("https://b:8443", seconds=0.02)], "")
    assert [each.sentence for each in found] == [
        "The plane answers at https://a:8443, and knows this device (10 ms).",
        "The plane answers at https://b:8443, and knows this device (20 ms).",
    ]


@pytest.mark.parametrize(
    ("free", "writable", "grade"),
    [(10 << 30, True, "well"), (100 << 20, True, "odd"), (1 << 20, True, "bad"), (10 << 30, False, "bad")],
)
def test_room_is_judged_by_what_a_release_needs(free: int, *, writable: bool, grade: str) -> None:
    assert doctor.room("/d", free, writable=writable).grade == grade


def test_an_engine_that_is_silent_is_bad_and_memory_that_is_none_is_odd() -> None:
    assert doctor.engine("docker 20.10").grade == "well"
    assert doctor.engine(UnavailableError("engine.unreachable", "It does not answer.")).grade == "bad"
    assert [doctor.memory("/run", kind).grade for kind in ("tmpfs", "ramfs", "ext4", "")] == [
        "well",
        "well",
        "odd",
        "odd",
    ]


def test_a_no_of_the_permit_is_as_it_should_be_and_no_answer_is_not() -> None:
    assert doctor.permit("the file /p", Said(yes=True)).grade == "well"
    assert doctor.permit("the file /p", Said(yes=False, code="permit.no", sentence="It says no.")).grade == "well"
    assert (
        doctor.permit("the file /p", Said(yes=False, code="permit.unreadable", sentence="It is gone.")).grade == "bad"
    )


def test_the_file_system_of_a_path_is_that_of_the_longest_mount() -> None:
    mounts = "/dev/sda / ext4 rw 0 0\ntmpfs /run tmpfs rw 0 0\nx /run/a\\040b ext4 rw 0 0\nbroken\n"
    paths = ("/run/x", "/running", "/", "/run/a b/c", "/run")
    assert [doctor.filesystem(mounts, each) for each in paths] == ["tmpfs", "ext4", "ext4", "ext4", "tmpfs"]
    assert doctor.filesystem("", "/run") == ""


def test_the_verdict_is_the_first_that_is_bad() -> None:
    well, odd, bad = (Finding("disk", "/", grade, grade, "Do.") for grade in ("well", "odd", "bad"))
    assert doctor.verdict([well, odd, bad]) == (False, "bad Do.")
    assert doctor.verdict([well, odd]) == (True, "odd Do.")
    assert doctor.verdict([]) == (True, "All is well.")


@told
async def test_a_policy_that_cannot_be_read_a_permit_and_tags_are_told(tmp_path: Path) -> None:
    disk = SimulatedDisk()
    assert await checking.rules(disk) == ()
    holds.hang(disk, Tag(id="0" * 26, name="Anna", reason="pump seal", at=1, by="device"))
    file = tmp_path / "permit"
    rules = {"permit": {"kind": "file", "path": str(file)}}
    disk.replace(policy.FILE, json.dumps(rules).encode())
    permit, tag = await checking.rules(disk)
    assert (permit.grade, tag.grade, "Anna: pump seal" in tag.sentence) == ("bad", "odd", True)
    file.write_text("yes\n")
    assert (await checking.rules(disk))[0].grade == "well"
    disk.replace(policy.FILE, b"{")
    disk.replace(holds.HERE, b"damaged")
    assert [each.grade for each in await checking.rules(disk)] == ["bad", "bad"]


def test_a_doctor_of_a_dead_plane_is_done_soon(tmp_path: Path) -> None:
    async def play() -> float:
        async with meeting(tmp_path) as met:
            began = clock.monotonic()
            await met.ways(*(f"https://127.0.0.{number}:1" for number in range(1, 9)))
            return clock.monotonic() - began

    assert asyncio.run(play()) < 5
