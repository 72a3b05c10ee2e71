# SPDX-License-Identifier: Apache-2.0
"""The programs that the demo's containers run: static ELF files of a few system calls, made here, byte by byte.

So an image needs no base, no compiler and no network. A program is a list of system calls with numbers or addresses of
its own data as arguments. It is one segment: headers, data, code; it needs no stack, no library and no shell.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Architecture = Literal["amd64", "arm64"]

MACHINES: dict[str, Architecture] = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
"""What this machine, or an engine, calls an architecture, and what an image does."""

_BASE = 0x400000  # where the file stands in memory
_HEADERS = 64 + 56  # bytes: the file's own header, and that of the only segment
_ELF_MACHINE = {"amd64": 62, "arm64": 183}
_SYSCALLS = {
    "amd64": {"write": 1, "rt_sigprocmask": 14, "nanosleep": 35, "rt_sigtimedwait": 128, "exit_group": 231},
    "arm64": {"write": 64, "nanosleep": 101, "exit_group": 94, "rt_sigprocmask": 135, "rt_sigtimedwait": 137},
}
_STDERR, _SIG_BLOCK = 2, 0
_SIGINT, _SIGTERM = 2, 15


@dataclass(frozen=True)
class Data:
    """An argument that is the address of these bytes."""

    content: bytes


@dataclass(frozen=True)
class Call:
    """A system call; `again`: it is made anew for as long as it fails."""

    name: str
    arguments: tuple[int | Data, ...]
    again: bool = False


def stays(architecture: Architecture, line: str = "") -> bytes:
    """Return a program that says `line` on stderr, if any, and waits for SIGTERM or SIGINT, and then ends with 0.

    The kernel drops signals that the first process of a container has no handler for, unless they are blocked: so they
    are blocked, and waited for.
    """
    signals = Data(struct.pack("<Q", 1 << (_SIGTERM - 1) | 1 << (_SIGINT - 1)))
    return _elf(
        architecture,
        (
            Call("rt_sigprocmask", (_SIG_BLOCK, signals, 0, 8)),
            *([_say(line)] if line else []),
            Call("rt_sigtimedwait", (signals, 0, 0, 8), again=True),  # it fails when the process is stopped and goes on
            Call("exit_group", (0,)),
        ),
    )


def ends(architecture: Architecture, code: int, seconds: int, line: str) -> bytes:
    """Return a program that waits so many seconds, says `line` on stderr, and ends with `code`."""
    return _elf(
        architecture,
        (
            Call("nanosleep", (Data(struct.pack("<QQ", seconds, 0)), 0)),
            _say(line),
            Call("exit_group", (code,)),
        ),
    )


def _say(line: str) -> Call:
    said = f"{line}\n".encode()
    return Call("write", (_STDERR, Data(said), len(said)))


def _elf(architecture: Architecture, calls: Sequence[Call]) -> bytes:
    data, addresses = b"", dict[bytes, int]()
    for each in (part for call in calls for part in call.arguments if isinstance(part, Data)):
        if each.content not in addresses:
            addresses[each.content] = _BASE + _HEADERS + len(data)
            data += each.content + bytes(-len(each.content) % 8)
    write = _amd64 if architecture == "amd64" else _arm64
    code = b""
    for call in calls:
        numbers = [part if isinstance(part, int) else addresses[part.content] for part in call.arguments]
        code += write(_SYSCALLS[architecture][call.name], numbers, again=call.again)
    entry, size = _BASE + _HEADERS + len(data), _HEADERS + len(data) + len(code)
    # Little-endian, 64 bits, version 1, System V; an executable with one program header and no sections.
    identity = b"\x7fELF" + bytes((2, 1, 1, 0)) + bytes(8)
    machine = _ELF_MACHINE[architecture]
    header = identity + struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, entry, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    # PT_LOAD, readable and executable, the whole file, on pages of 64 KiB, which some arm64 kernels have.
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, 0x10000)
    return header + segment + data + code


def _amd64(number: int, arguments: Sequence[int], *, again: bool) -> bytes:
    """Return `mov` of each argument to edi, esi, edx, r10d, of the number to eax, and `syscall`."""
    registers = (b"\xbf", b"\xbe", b"\xba", b"\x41\xba")
    code = b"".join(into + struct.pack("<I", each) for into, each in zip(registers, arguments, strict=False))
    code += b"\xb8" + struct.pack("<I", number) + b"\x0f\x05"
    if again:  # test eax, eax; js, back to the beginning
        code += b"\x85\xc0" + b"\x78" + struct.pack("<b", -len(code) - 4)
    return code


def _arm64(number: int, arguments: Sequence[int], *, again: bool) -> bytes:
    """Return `movz` and `movk` of each argument to x0 to x3, of the number to x8, and `svc #0`."""
    words = []
    for register, each in (*enumerate(arguments), (8, number)):
        words.append(0xD2800000 | (each & 0xFFFF) << 5 | register)  # movz: the lower half, the rest is zero
        words.append(0xF2A00000 | (each >> 16) << 5 | register)  # movk, lsl 16: the upper half
    words.append(0xD4000001)
    if again:  # tbnz x0, #63, back to the beginning: the sign says that it failed
        words.append(0xB7F80000 | (-len(words) & 0x3FFF) << 5)
    return struct.pack(f"<{len(words)}I", *words)
