# SPDX-License-Identifier: Apache-2.0
"""The socket at the cabinet: who gets in, and that nobody who misuses it disturbs anything."""

import asyncio
import contextlib
import grp
import json
import os
import shutil
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from checkvalve import clock
from checkvalve.agent import loop
from checkvalve.agent.cabinet import asked, asking, peer
from checkvalve.agent.cabinet.answers import MOST_ACTS
from checkvalve.agent.cabinet.asked import Hang, Logs
from checkvalve.agent.cabinet.door import MOST, Door
from checkvalve.errors import CheckvalveError, ForbiddenError, UnavailableError
from tests.agent import living, small
from tests.agent.cabinet import SOON, STATUS, opened
from tests.agent.device import Device, told


def _said(data: bytes) -> list[Any]:
    return [json.loads(each) for each in data.splitlines()]


@told
async def test_the_socket_is_for_its_owner_and_group_and_is_no_port(tmp_path: Path) -> None:
    before = living.sockets(os.getpid())
    async with opened(Device(), tmp_path) as cabinet:
        found = cabinet.path.stat()
        assert stat.S_ISSOCK(found.st_mode)
        assert stat.S_IMODE(found.st_mode) == 0o660
        assert stat.S_IMODE(cabinet.path.parent.stat().st_mode) == 0o750
        assert living.sockets(os.getpid()) == before
    assert not cabinet.path.exists()


@told
async def test_a_folder_that_was_there_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir(mode=0o711)
    async with opened(Device(), tmp_path) as cabinet:
        assert stat.S_IMODE(cabinet.path.parent.stat().st_mode) == 0o711


@told
async def test_a_socket_that_nobody_answers_at_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "run" / "agent.sock"))
    async with opened(Device(), tmp_path) as cabinet:
        await asyncio.sleep(0)
        assert (await cabinet.ask(STATUS))["state"] == "idle"


@told
async def test_the_socket_of_an_agent_that_lives_is_left_to_it(tmp_path: Path) -> None:
    async with opened(Device(), tmp_path) as cabinet:
        second = Door(cabinet.path, tmp_path)
        with pytest.raises(CheckvalveError) as caught:
            await second.listen(Device().parts)
        assert caught.value.code == "cabinet.taken"
        assert (await cabinet.ask(STATUS))["state"] == "idle"


@told
async def test_a_path_that_no_socket_can_have_is_said(tmp_path: Path) -> None:
    with pytest.raises(CheckvalveError) as caught:
        await Door(tmp_path / ("x" * 120) / "agent.sock", tmp_path).listen(Device().parts)
    assert caught.value.code == "cabinet.path"


@told
async def test_the_work_goes_on_where_no_socket_can_be_had(tmp_path: Path) -> None:
    device = Device()
    file = tmp_path / "file"
    file.write_text("")
    running = asyncio.ensure_future(loop.run(device.parts, Door(file / "agent.sock", tmp_path)))
    async with asyncio.timeout(SOON):
        while not device.plane.reports:
            await asyncio.sleep(0.005)
            await device.clock.advance(1)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@told
async def test_garbage_is_answered_with_an_error_and_the_next_line_counts(tmp_path: Path) -> None:
    async with opened(Device(), tmp_path) as cabinet:
        lines = [
            b"nonsense",
            b"{}",
            b'{"do":"reboot"}',
            b'{"do":"status","more":1}',
            b"[" * 5_000,
            b"\xff\xfe",
            b"null",
        ]
        came = _said(await cabinet.raw(b"\n".join([*lines, b'{"do":"status"}', b""])))
        assert [each["error"]["code"] for each in came[:-1]] == ["cabinet.form"] * len(lines)
        assert came[-1]["done"]["state"] == "idle"


@told
async def test_a_request_without_end_is_cut_off(tmp_path: Path) -> None:
    async with opened(Device(), tmp_path) as cabinet:
        (said,) = _said(await cabinet.raw(b"x" * (asked.LARGEST + 10)))
        assert said["error"]["code"] == "cabinet.size"
        assert (await cabinet.ask(STATUS))["state"] == "idle"


@told
async def test_who_says_nothing_is_let_go_of_and_eight_are_the_most(tmp_path: Path) -> None:
    async with opened(Device(), tmp_path, patience=2) as cabinet:
        silent = [await asyncio.open_unix_connection(str(cabinet.path)) for _ in range(MOST)]
        error = await cabinet.refused(STATUS)
        assert error.code == "cabinet.busy"
        for reader, writer in silent:
            with contextlib.suppress(ConnectionError):
                assert await asyncio.wait_for(reader.read(), SOON) == b""
            writer.close()
        assert (await cabinet.ask(STATUS))["state"] == "idle"


@told
async def test_who_asks_and_does_not_read_holds_up_nobody(tmp_path: Path) -> None:
    device = Device()
    await device.deploy(small.made(1, {"web": "log=" + "x" * 200}))
    async with opened(device, tmp_path, patience=0.3) as cabinet:
        stuck = [await asyncio.open_unix_connection(str(cabinet.path)) for _ in range(3)]
        for _, writer in stuck:
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            writer.write(asked.write(STATUS) * 40)
        began = clock.monotonic()
        await device.deploy(small.quick(2))  # the work goes on meanwhile
        assert (await cabinet.ask(STATUS))["state"] == "committed"
        assert clock.monotonic() - began < SOON
        for _, writer in stuck:
            writer.transport.abort()


@told
async def test_a_client_that_goes_in_the_middle_of_its_request_leaves_nothing(tmp_path: Path) -> None:
    async with opened(Device(), tmp_path) as cabinet:
        for data in (b"", b'{"do":', b'{"do":"hold","reason":"x"}'):
            _, writer = await asyncio.open_unix_connection(str(cabinet.path))
            writer.write(data)
            writer.transport.abort()
        assert (await cabinet.ask(STATUS))["held"] == []  # a line that has no end is no request


@told
async def test_a_follower_that_goes_frees_its_place(tmp_path: Path) -> None:
    device = Device()
    await device.deploy(small.quick(1))
    await device.settle()
    async with opened(device, tmp_path) as cabinet:
        for _ in range(MOST + 2):
            _, writer = await asyncio.open_unix_connection(str(cabinet.path))
            writer.write(asked.write(Logs(follow=True)))
            await writer.drain()
            await asyncio.sleep(0.01)
            writer.transport.abort()
            async with asyncio.timeout(SOON):
                while cabinet.door.open:
                    await device.clock.advance(1)
                    await asyncio.sleep(0.002)


@told
async def test_acts_that_come_faster_than_anybody_types_are_refused(tmp_path: Path) -> None:
    device = Device()
    async with opened(device, tmp_path) as cabinet:
        came = _said(await cabinet.raw(b'{"do":"window-close"}\n' * (MOST_ACTS + 3)))
        assert [each["error"]["code"] for each in came if "error" in each] == ["cabinet.throttled"] * 3
        assert (await cabinet.ask(STATUS))["state"] == "idle"
        await device.clock.advance(61)
        await cabinet.ask(Hang(reason="cable"))


@told
async def test_the_kernel_says_who_asks(tmp_path: Path) -> None:
    async with opened(Device(), tmp_path) as cabinet:
        await cabinet.ask(Hang(reason="cable"))
        (note,) = cabinet.notes()
        assert str(note.facts["who"]).startswith(peer.name(os.getuid()))


def test_who_became_root_is_named_by_who_signed_in(tmp_path: Path) -> None:
    one, other = socket.socketpair()
    with one, other:
        (tmp_path / str(os.getpid())).mkdir()
        file = tmp_path / str(os.getpid()) / "loginuid"
        for text, name in (("4294967295", "root"), ("0", "root"), ("nonsense", "root"), ("64999", "root (uid 64999)")):
            file.write_text(text)
            if os.getuid() == 0:
                assert peer.of(one, tmp_path) == name
    assert peer.name(2**32 - 2) == f"uid {2**32 - 2}"


def test_no_agent_and_no_right_are_two_things(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError) as caught:
        asking.ask(tmp_path / "none", STATUS)
    assert caught.value.code == "cabinet.closed"
    if os.getuid():
        with socket.socket(socket.AF_UNIX) as line:
            line.bind(str(tmp_path / "s"))
            (tmp_path / "s").chmod(0)
            with pytest.raises(ForbiddenError):
                asking.ask(tmp_path / "s", STATUS)


@pytest.mark.parametrize("answer", [b"", b"nonsense\n", b"[1]\n", b'{"part": 1}\n', b'{"error": 7}\n', b'{"done"'])
def test_an_answer_that_is_none_is_an_error(tmp_path: Path, answer: bytes) -> None:
    async def play() -> None:
        async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readline()
            writer.write(answer)
            writer.close()

        server = await asyncio.start_unix_server(take, str(tmp_path / "s"))
        with pytest.raises(CheckvalveError):
            await asyncio.to_thread(asking.ask, tmp_path / "s", STATUS)
        server.close()

    asyncio.run(play())


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.binary(max_size=200), max_size=4))
def test_no_bytes_end_the_agent_or_change_the_device(tmp_path: Path, lines: list[bytes]) -> None:
    async def play() -> None:
        async with opened(Device(), tmp_path) as cabinet:
            await cabinet.raw(b"\n".join(lines) + b"\n")
            assert (await cabinet.ask(STATUS))["events"] == 0

    asyncio.run(play())


_CONNECTS = (
    "import socket, sys; s = socket.socket(1); s.connect(sys.argv[1]); s.sendall(sys.argv[2].encode()); s.recv(9)"
)
_PYTHON = shutil.which("python3", path="/usr/bin:/bin")


@pytest.fixture
def reachable() -> Iterator[Path]:
    """Lend a directory that other users reach."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.mark.skipif(os.getuid() != 0 or _PYTHON is None, reason="needs root, and a Python that others may run")
@told
async def test_members_of_the_group_get_in_with_their_own_name_and_others_do_not(reachable: Path) -> None:
    assert _PYTHON is not None
    line = asked.write(Hang(reason="cable")).decode()
    async with opened(Device(), reachable, group="daemon") as cabinet:
        assert cabinet.path.stat().st_gid == cabinet.path.parent.stat().st_gid == grp.getgrnam("daemon").gr_gid
        codes = []
        for group in ("nogroup", "daemon"):
            who: dict[str, Any] = {"user": "nobody", "group": group, "extra_groups": []}
            words = (_PYTHON, "-I", "-c", _CONNECTS, str(cabinet.path), line)
            process = await asyncio.create_subprocess_exec(*words, **who, stderr=asyncio.subprocess.DEVNULL)
            codes.append(await asyncio.wait_for(process.wait(), SOON))
        assert codes == [1, 0]
        assert [each.facts["who"] for each in cabinet.notes()] == ["nobody"]
