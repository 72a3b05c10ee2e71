# SPDX-License-Identifier: Apache-2.0
"""The permit to change, as this machine asks it: whatever a file, a command or a line does, only a clear yes is one."""

import asyncio
import ctypes
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkvalve import canonical, clock
from checkvalve.agent import holds, local, policy
from checkvalve.agent.disk.simulated import SimulatedDisk
from checkvalve.agent.permits import gpio
from checkvalve.agent.permits.real import LARGEST, Real
from checkvalve.agent.policy import Command, File, Gpio, Permit, Policy
from checkvalve.agent.waiting import WAITS, Said
from checkvalve.errors import InvalidError
from checkvalve.protocol.exchange import State
from tests.agent import small
from tests.agent.device import Device, told
from tests.agent.living import living


def said(permit: Permit) -> Said:
    """Return what the machine answers, in the way the agent asks."""
    return asyncio.run(Real().ask(permit))


def script(folder: Path, text: str) -> str:
    """Return the path of a program of the shell."""
    file = folder / "permit.sh"
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o700)
    return str(file)


def lives(process: int) -> bool:
    """Tell whether a process is there and no zombie."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except OSError:
        return False


def gone(process: int) -> bool:
    """Wait until a process has ended; tell whether it has."""
    until = clock.monotonic() + 5
    while lives(process) and clock.monotonic() < until:
        os.sched_yield()
    return not lives(process)


# ---- The policy. ----


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "\ufeff{}",
        '{"permits": null}',
        '{"permit": "yes"}',
        '{"permit": {"kind": "flag", "path": "/x"}}',
        '{"permit": {"path": "/x"}}',
        '{"permit": {"kind": "file", "path": "x"}}',
        '{"permit": {"kind": "file", "path": "/x", "says": ""}}',
        '{"permit": {"kind": "file", "path": "/x", "say": "yes"}}',
        '{"permit": {"kind": "command", "argv": []}}',
        '{"permit": {"kind": "command", "argv": ["true"]}}',
        '{"permit": {"kind": "command", "argv": ["/bin/true"], "timeout_s": 0}}',
        '{"permit": {"kind": "command", "argv": ["/bin/true"], "timeout_s": NaN}}',
        '{"permit": {"kind": "command", "argv": ["/bin/true"], "timeout_s": 1e9}}',
        '{"permit": {"kind": "command", "argv": ["/bin/true\\u0000"]}}',
        '{"permit": {"kind": "gpio", "chip": "/dev/gpiochip0", "line": -1}}',
        '{"permit": {"kind": "gpio", "chip": "/dev/gpiochip0", "line": 1, "active": "off"}}',
        '{"permit": {"kind": "file", "path": "/x"}, "permit": null}',
        '{"window": "open"}',
        '{"on_failure": "hold"}',
        "[" * 10_000,
        '{"permit": {"kind": "file", "path": "/' + "x" * 20_000 + '"}}',
    ],
)
def test_what_is_not_exactly_a_policy_is_none(text: str) -> None:
    with pytest.raises(InvalidError) as caught:
        policy.parse(text.encode())
    assert caught.value.code == "policy.damaged"
    disk = SimulatedDisk()
    disk.replace(policy.FILE, text.encode())
    found = local.read(disk, Device().clock)
    assert not isinstance(found.policy, Policy)
    assert "Nothing is switched" in found.policy.sentence


@given(st.binary(max_size=200))
def test_garbage_is_never_a_policy_that_asks_for_less(data: bytes) -> None:
    try:
        found = policy.parse(data)
    except InvalidError:
        return
    assert found.permit is not None or found.window == "opened" or data.strip().startswith(b"{")


def test_each_kind_of_permit_can_be_written() -> None:
    for plain, permit in (
        ({"kind": "file", "path": "/run/p", "says": "go"}, File(path="/run/p", says="go")),
        ({"kind": "command", "argv": ["/bin/p", "x"], "timeout_s": 5}, Command(argv=("/bin/p", "x"), timeout_s=5.0)),
        ({"kind": "gpio", "chip": "/dev/gpiochip0", "line": 17}, Gpio(chip="/dev/gpiochip0", line=17)),
    ):
        text = canonical.dumps({"permit": plain, "window": "opened", "on_failure": "rollback"})  # type: ignore[dict-item]
        assert policy.parse(text) == Policy(permit=permit, window="opened")


def test_a_device_without_a_policy_asks_for_nothing() -> None:
    assert local.rules(SimulatedDisk()) == Policy()


def test_a_disk_that_does_not_give_the_policy_lets_nothing_be_switched() -> None:
    disk = SimulatedDisk()
    disk.replace(policy.FILE, b"{}")
    disk.replace(holds.HERE, b"")
    disk.fail()
    found = local.read(disk, Device().clock)
    assert not isinstance(found.policy, Policy)
    assert not isinstance(found.tags, tuple)


# ---- A file. ----


@pytest.mark.parametrize(
    ("text", "yes"),
    [
        (b"yes", True),
        (b" yes\n", True),
        (b"no", False),
        (b"YES", False),
        (b"yes\nno", False),
        (b"", False),
        (b"\0yes", False),
        (b"yes\0", False),
        (b"\xff\xfe", False),
        (b"yes" + b" " * LARGEST, False),
        (b"yesyes", False),
    ],
)
def test_a_file_says_yes_only_with_the_very_words(tmp_path: Path, text: bytes, *, yes: bool) -> None:
    (tmp_path / "permit").write_bytes(text)
    assert said(File(path=str(tmp_path / "permit"))).yes is yes


def _link(path: Path) -> None:
    path.with_name("real").write_text("yes")
    path.symlink_to("real")


def _loop(path: Path) -> None:
    path.symlink_to(path.name)


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, _link, _loop, str], ids=lambda make: make.__name__)
def test_what_is_no_file_of_its_own_says_no_and_holds_up_nobody(tmp_path: Path, make: Callable[[Path], Any]) -> None:
    make(tmp_path / "permit")
    begun = clock.monotonic()
    answer = said(File(path=str(tmp_path / "permit")))
    assert (answer.yes, answer.code) == (False, "permit.unreadable")
    assert clock.monotonic() - begun < 1


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/full", "/proc/self/mem", "/dev/tty", "/"])
def test_a_device_of_the_kernel_says_no(path: str) -> None:
    assert not said(File(path=path)).yes


# ---- A command. ----

NOES = {
    "it ends with something else": ("exit 3", "permit.no"),
    "it kills itself": ("kill -SEGV $$", "permit.no"),
    "it hangs": ("sleep 100", "permit.late"),
    "it hangs and will not be asked to end": ("trap '' TERM INT HUP; while :; do :; done", "permit.late"),
    "it writes without end": ("exec cat /dev/zero", "permit.late"),
    "it writes to the other output without end": ("exec cat /dev/zero >&2", "permit.late"),
    "it waits for somebody to type": ('read answer && test "$answer" = yes', "permit.no"),
    "it leads to nowhere": ("exec /nonexistent/permit", "permit.no"),
}


@pytest.mark.parametrize("what", NOES)
def test_a_command_says_no_if(tmp_path: Path, what: str) -> None:
    text, code = NOES[what]
    answer = said(Command(argv=(script(tmp_path, text),), timeout_s=0.3))
    assert (answer.yes, answer.code) == (False, code)


@pytest.mark.parametrize(
    ("text", "yes"),
    [
        ("echo go", True),
        ("printf ' go '", True),
        ("echo no", False),
        ("true", False),
        ("echo go; exit 1", False),
        ("echo go; echo go", False),
        ("echo go >&2", False),
        ("head -c 1000000000 /dev/zero", False),
        ("echo go; exec >&-; sleep 0.05", True),
        ("echo go; exec cat /dev/zero", False),
    ],
)
def test_a_command_of_which_words_are_wanted_says_exactly_these(tmp_path: Path, text: str, *, yes: bool) -> None:
    assert said(Command(argv=(script(tmp_path, text),), says="go")).yes is yes


def test_a_command_says_yes_by_ending_well() -> None:
    assert said(Command(argv=("/bin/true",))) == Said(yes=True)


@pytest.mark.parametrize("argv", [("/nonexistent/permit",), ("/etc/passwd",), ("/",), ("/bin/true/x",)])
def test_a_command_that_cannot_be_run_says_no(argv: tuple[str, ...]) -> None:
    answer = said(Command(argv=argv))
    assert (answer.yes, answer.code) == (False, "permit.unreadable")


def test_a_program_that_is_no_program_or_of_nobody_says_no(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"\x7fELF garbage")
    (tmp_path / "x").chmod(0o755)
    assert not said(Command(argv=(str(tmp_path / "x"),))).yes
    answer = said(Command(argv=("/bin/true",), user="nobody-of-that-name"))
    assert "no user nobody-of-that-name" in answer.sentence


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run a command as somebody else")
def test_a_command_runs_as_the_user_who_is_named() -> None:
    answer = said(Command(argv=("/bin/sh", "-c", "id -un; id -Gn"), user="nobody", says="nobody\nnogroup"))
    assert answer == Said(yes=True)


def test_a_command_finds_nothing_of_the_agents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "x")
    seen = tmp_path / "seen"
    text = f"{{ env | sort; pwd; ls /proc/$$/fd; cat; ps -o sid= -p $$; echo $$; }} > {seen}"
    assert said(Command(argv=(script(tmp_path, text),))).yes
    *names, session, process = seen.read_text().split()
    assert not any("SECRET" in each for each in names)
    assert "LANG=C.UTF-8" in names
    assert session == process


@pytest.mark.parametrize("end", ["exit 0", "sleep 100", "kill -KILL $$"])
def test_what_a_command_started_is_ended_with_it(tmp_path: Path, end: str) -> None:
    text = f"sleep 300 & echo $! > {tmp_path}/child; {end}"
    said(Command(argv=(script(tmp_path, text),), timeout_s=0.3, says="x"))
    assert gone(int((tmp_path / "child").read_text()))


def test_a_command_that_ends_well_when_its_time_is_over_said_nothing(tmp_path: Path) -> None:
    text = "trap 'exit 0' TERM; sleep 0.4 & wait; exit 0"
    answer = said(Command(argv=(script(tmp_path, text),), timeout_s=0.2))
    assert (answer.yes, answer.code) == (False, "permit.late")


def test_a_command_does_not_outlive_the_agent_that_ends(tmp_path: Path) -> None:
    permit = Command(
        argv=(
            script(
                tmp_path, f"echo $$ > {tmp_path}/child.new; mv {tmp_path}/child.new {tmp_path}/child; exec sleep 300"
            ),
        ),
        timeout_s=60,
    )

    async def asked() -> None:
        task = asyncio.create_task(Real().ask(permit))
        while not (tmp_path / "child").exists():  # noqa: ASYNC110  # what is waited for is a process
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(asked())
    assert gone(int((tmp_path / "child").read_text()))


def test_while_one_asking_has_not_ended_the_answer_is_no(tmp_path: Path) -> None:
    permits = Real()
    hanging = Command(argv=(script(tmp_path, "sleep 100"),), timeout_s=30)

    async def asked() -> Said:
        first = asyncio.create_task(permits.ask(hanging))
        await asyncio.sleep(0)
        second = await permits.ask(Command(argv=("/bin/true",)))
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        return second

    assert asyncio.run(asked()).code == "permit.late"


def test_nobody_waits_for_a_disk_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, permits = asyncio.Event(), Real()
    monkeypatch.setattr("checkvalve.agent.permits.real.GOOD", 0.1)
    monkeypatch.setattr("checkvalve.agent.permits.real.answered", lambda *_: asyncio.run(asked.wait()))
    answer = asyncio.run(permits.ask(File(path="/run/x")))
    assert (answer.yes, answer.code) == (False, "permit.late")


def test_a_fault_of_ours_is_a_no(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("checkvalve.agent.permits.command.ask", lambda *_: 1 / 0)
    answer = said(Command(argv=("/bin/true",)))
    assert (answer.yes, answer.code) == (False, "permit.unreadable")


# ---- A line. ----


class Kernel:
    """What a GPIO chip of the kernel answers. `opened` are the handles of lines that were given out."""

    def __init__(self, *, high: bool, flags: int = gpio.INPUT, refuses: int = 0) -> None:
        self.high, self.flags, self.refuses = high, flags, refuses
        self.opened: list[int] = []
        self.wanted: list[tuple[int, int]] = []  # line, flags

    def control(self, handle: int, request: int, data: bytearray) -> object:
        assert handle > 2
        if request == self.refuses:
            raise OSError(16, "Device or resource busy")
        match request:
            case gpio.GET_INFO:
                fields = list(gpio.INFO.unpack(data))
                fields[4] = self.flags
                data[:] = gpio.INFO.pack(*fields)
            case gpio.GET_LINE:
                request_fields = list(gpio.REQUEST.unpack(data))
                self.wanted.append((request_fields[0], request_fields[65]))
                self.opened.append(os.open("/dev/null", os.O_RDONLY))
                request_fields[-1] = self.opened[-1]
                data[:] = gpio.REQUEST.pack(*request_fields)
            case gpio.GET_VALUES:
                assert handle == self.opened[-1]
                data[:] = gpio.VALUES.pack(int(self.high), 1)
            case _:
                raise OSError(25, "Inappropriate ioctl for device")
        return 0


@pytest.fixture
def sys_folder(tmp_path: Path) -> Path:
    """Return a folder that says of /dev/null that it is a GPIO chip."""
    (tmp_path / "1:3").mkdir()
    (tmp_path / "1:3" / "subsystem").symlink_to("../../../bus/gpio")
    return tmp_path


@pytest.mark.parametrize("active", ["high", "low"])
@pytest.mark.parametrize("high", [False, True])
def test_a_line_is_read_as_it_is_and_let_go(sys_folder: Path, active: Literal["high", "low"], *, high: bool) -> None:
    kernel = Kernel(high=high)
    answer = gpio.ask(Gpio(chip="/dev/null", line=17, active=active), kernel.control, sys_folder)
    assert answer.yes is (high == (active == "high"))
    assert kernel.wanted == [(17, 0)], "neither direction nor pull is asked for"
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(kernel.opened[0])


@pytest.mark.parametrize("refuses", [gpio.GET_INFO, gpio.GET_LINE, gpio.GET_VALUES])
def test_a_line_that_cannot_be_read_says_no(sys_folder: Path, refuses: int) -> None:
    kernel = Kernel(high=True, refuses=refuses)
    answer = gpio.ask(Gpio(chip="/dev/null", line=1), kernel.control, sys_folder)
    assert (answer.yes, answer.code) == (False, "permit.unreadable")
    assert "busy" in answer.sentence


def test_an_output_is_no_permit(sys_folder: Path) -> None:
    kernel = Kernel(high=True, flags=1 << 3)
    assert "an output" in gpio.ask(Gpio(chip="/dev/null", line=1), kernel.control, sys_folder).sentence
    assert kernel.wanted == []


@pytest.mark.parametrize("chip", ["/dev/null", "/nonexistent", "/etc/passwd", "/"])
def test_what_is_no_chip_is_not_opened(chip: str) -> None:
    assert said(Gpio(chip=chip, line=1)).code == "permit.unreadable"


def test_what_is_said_to_the_kernel_has_the_form_of_its_header() -> None:
    u32, u64, char = ctypes.c_uint32, ctypes.c_uint64, ctypes.c_char

    class Attribute(ctypes.Structure):
        _fields_ = [("id", u32), ("padding", u32), ("value", u64)]

    class ConfigAttribute(ctypes.Structure):
        _fields_ = [("attr", Attribute), ("mask", u64)]

    class Config(ctypes.Structure):
        _fields_ = [("flags", u64), ("num_attrs", u32), ("padding", u32 * 5), ("attrs", ConfigAttribute * 10)]

    class Request(ctypes.Structure):
        _fields_ = [
            ("offsets", u32 * 64),
            ("consumer", char * 32),
            ("config", Config),
            ("num_lines", u32),
            ("event_buffer_size", u32),
            ("padding", u32 * 5),
            ("fd", ctypes.c_int32),
        ]

    class Info(ctypes.Structure):
        _fields_ = [
            ("name", char * 32),
            ("consumer", char * 32),
            ("offset", u32),
            ("num_attrs", u32),
            ("flags", u64),
            ("attrs", Attribute * 10),
            ("padding", u32 * 4),
        ]

    def number(nr: int, size: int) -> int:
        return 3 << 30 | size << 16 | 0xB4 << 8 | nr

    assert (gpio.REQUEST.size, gpio.INFO.size) == (ctypes.sizeof(Request), ctypes.sizeof(Info))
    assert number(0x05, ctypes.sizeof(Info)) == gpio.GET_INFO
    assert number(0x07, ctypes.sizeof(Request)) == gpio.GET_LINE
    assert number(0x0E, 16) == gpio.GET_VALUES
    wanted = Request.from_buffer_copy(gpio.REQUEST.pack(9, *[0] * 63, b"me", 4, 0, *[0] * 5, 1, 0, *[0] * 5, 7))
    assert (wanted.offsets[0], wanted.consumer, wanted.config.flags, wanted.num_lines, wanted.fd) == (9, b"me", 4, 1, 7)
    info = Info.from_buffer_copy(gpio.INFO.pack(b"n", b"c", 9, 0, 4, 0, 0, 0, 0))
    assert (info.offset, info.flags) == (9, 4)


# ---- A device whose permit misbehaves. ----


async def _never(device: Device, permit: Permit, before: Callable[[int], object] = str) -> None:
    """Have a release ordered on a device with this permit; assert that it waits for it, and goes on as it is."""
    good = small.quick(1)
    await device.deploy(good)
    device.disk.replace(policy.FILE, msgspec.json.encode(Policy(permit=permit)))
    attempt = device.order(small.quick(2))
    for turn in range(14):
        before(turn)
        await device.visit.turn()
        await device.clock.advance(max(await device.work.turn(), 0.01))
    states = [each.state for each in device.parts.journal.of(attempt) if each.kind == "state"]
    assert states[-1] in WAITS
    assert State.SWITCHING not in states
    assert device.runs == good.digest
    assert device.plane.reports[-1].status is None or device.plane.reports[-1].status.code.startswith("permit.")


ODD = {
    "hanging": "sleep 100",
    "crashing": "kill -SEGV $$",
    "slow": "sleep 0.4; exit 0",
    "garbled": "head -c 100000 /dev/urandom; exit 1",
    "flapping": 'if rm "$0.n"; then exit 1; else : > "$0.n"; fi',
}


@pytest.mark.slow
@pytest.mark.parametrize("how", ODD)
@told
async def test_a_permit_command_that_misbehaves_never_lets_it_switch(tmp_path: Path, how: str) -> None:
    device = Device()
    device.parts.permits = Real()
    await _never(device, Command(argv=(script(tmp_path, ODD[how]),), timeout_s=0.2))


@told
async def test_a_permit_command_that_is_deleted_never_lets_it_switch(tmp_path: Path) -> None:
    device = Device()
    device.parts.permits = Real()
    path = Path(script(tmp_path, "exit 1"))
    await _never(device, Command(argv=(str(path),)), lambda turn: path.unlink(missing_ok=True) if turn == 6 else None)


@told
async def test_a_permit_that_a_person_gives_at_last_lets_it_switch(tmp_path: Path) -> None:
    device = Device()
    device.parts.permits = Real()
    permit = tmp_path / "permit"
    await _never(device, File(path=str(permit)), lambda turn: permit.write_text("no") if turn == 6 else None)
    permit.write_text("yes\n")
    await device.drive(lambda: device.position.state is State.COMMITTED)
    await device.settle()
    assert device.runs == small.quick(2).digest
    assert device.plane.reports[-1].status is None or device.plane.reports[-1].status.code == ""


@pytest.mark.slow
@told
async def test_an_agent_that_is_killed_while_it_waits_goes_on_when_it_may(tmp_path: Path) -> None:
    given, permit = tmp_path / "line.json", tmp_path / "permit"
    argv = ["/bin/grep", "-qx", "yes", str(permit)]
    given.write_text(json.dumps({"permit": {"kind": "command", "argv": argv}}))
    async with living(tmp_path, "--engine", "simulated") as device:
        await device.join()
        assert (await device.call("policy", "set", str(given)))[0] == 0
        await device.begin()
        attempt = device.order(small.quick(1))
        await device.until(lambda: device.status().state == State.WAITING_PERMIT)
        await device.end(signal.SIGKILL)
        permit.write_text("yes")
        assert (await device.call("policy", "ask"))[0] == 0
        await device.begin()
        await device.until(lambda: device.told(attempt) is State.COMMITTED)
