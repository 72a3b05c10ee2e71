# SPDX-License-Identifier: Apache-2.0
"""Reads a line of a GPIO chip through the kernel's character device (uAPI v2, Linux 5.10), without a library.

Rules: 1. it is read as it is: no direction, pull or edge is asked for, so nothing that it is wired to can move; 2. only
a line that is an input can be a permit: an output says what this machine drives; 3. what is no GPIO chip is not opened.
"""

import fcntl
import os
import stat
import struct
from collections.abc import Callable
from pathlib import Path

from checkvalve.agent.policy import Gpio
from checkvalve.agent.waiting import Said

# include/uapi/linux/gpio.h. Offsets: 64 u32; consumer: 32 bytes; line config: flags, num_attrs, 5 x padding, ten
# attributes of 24 bytes; then num_lines, event_buffer_size, 5 x padding, fd.
REQUEST = struct.Struct("=64I32sQI5I240xII5Ii")
INFO = struct.Struct("=32s32sIIQ160x4I")  # name, consumer, offset, num_attrs, flags, attributes, padding
VALUES = struct.Struct("=QQ")  # bits, mask
GET_INFO = 0xC100B405
GET_LINE = 0xC250B407
GET_VALUES = 0xC010B40E
INPUT = 1 << 2  # of the flags
CONSUMER = b"checkvalve permit"

Control = Callable[[int, int, bytearray], object]


def ask(permit: Gpio, control: Control = fcntl.ioctl, sys: Path = Path("/sys/dev/char")) -> Said:
    """Return what the line says. `control` is `ioctl`, `sys` where the kernel says of which kind a device is."""
    name = f"line {permit.line} of {permit.chip}"
    try:
        active = _read(permit, control, sys)
    except (OSError, ValueError, struct.error) as error:
        why = (error.strerror if isinstance(error, OSError) else "") or str(error)
        return Said(yes=False, code="permit.unreadable", sentence=f"The permit, {name}, cannot be read: {why}.")
    if not active:
        low = "low" if permit.active == "high" else "high"
        return Said(yes=False, code="permit.no", sentence=f"The permit says no: {name} is {low}.")
    return Said(yes=True)


def _read(permit: Gpio, control: Control, sys: Path) -> bool:
    chip = _opened(permit.chip, sys)
    try:
        info = bytearray(INFO.pack(b"", b"", permit.line, 0, 0, 0, 0, 0, 0))
        control(chip, GET_INFO, info)
        if not INFO.unpack(info)[4] & INPUT:  # rule 2
            message = "it is an output"
            raise ValueError(message)
        wanted = bytearray(REQUEST.pack(permit.line, *[0] * 63, CONSUMER, 0, 0, *[0] * 5, 1, 0, *[0] * 5, 0))
        control(chip, GET_LINE, wanted)
        line = REQUEST.unpack(wanted)[-1]
        if line <= 0:
            message = "the kernel gave no line"
            raise ValueError(message)
        try:
            values = bytearray(VALUES.pack(0, 1))
            control(line, GET_VALUES, values)
        finally:
            os.close(line)
        high = bool(VALUES.unpack(values)[0] & 1)
    finally:
        os.close(chip)
    return high == (permit.active == "high")


def _opened(path: str, sys: Path) -> int:
    """Return the open chip (rule 3)."""
    seen = Path(path).stat()
    kind = sys / f"{os.major(seen.st_rdev)}:{os.minor(seen.st_rdev)}" / "subsystem"
    if not stat.S_ISCHR(seen.st_mode) or not kind.is_symlink() or kind.readlink().name != "gpio":
        message = "it is no GPIO chip"
        raise ValueError(message)
    return os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
