# SPDX-License-Identifier: Apache-2.0
"""Asks the permit that the policy names. Whatever happens, the answer comes in time, and is a no unless it is a yes.

Rules: 1. it is asked in a thread of its own, for a file may be on a disk that is gone and a command may not let itself
be killed; who asks waits no longer than the permit's time; 2. while one asking has not ended there is no other: the
answer is no; 3. a file is a regular one under its own name, of 4 KiB at most: no link, no pipe, no device.
"""

import asyncio
import contextlib
import os
import stat
import threading

from checkvalve.agent.permits import command, gpio
from checkvalve.agent.policy import Command, File, Gpio, Permit, words
from checkvalve.agent.waiting import GOOD, Said

LARGEST = 4096  # bytes of a file
MARGIN = 1.0  # seconds to kill a command and to hear of it


class Real:
    """`ports.Permits` of this machine."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    async def ask(self, permit: Permit) -> Said:
        """Return what it says now."""
        if self._thread is not None and self._thread.is_alive():  # rule 2
            return _late(permit, "has not answered yet since it was asked before")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Said] = loop.create_future()

        def give(said: Said) -> None:
            if not answer.done():
                answer.set_result(said)

        def run() -> None:
            said = answered(permit, self._stop)
            with contextlib.suppress(RuntimeError):  # the agent is going down: nobody wants to know
                loop.call_soon_threadsafe(give, said)

        limit = permit.timeout_s + MARGIN if isinstance(permit, Command) else GOOD
        self._thread = threading.Thread(target=run, name="permit", daemon=True)
        try:
            self._thread.start()
            async with asyncio.timeout(limit):
                return await answer
        except asyncio.CancelledError:  # the agent ends: a command must not outlive it
            self._stop.set()
            self._thread.join(MARGIN)
            raise
        except TimeoutError:
            return _late(permit, f"did not answer within {limit:g} s")
        except RuntimeError:
            return Said(
                yes=False, code="permit.unreadable", sentence="This host can start no thread to ask the permit."
            )


def answered(permit: Permit, stop: threading.Event) -> Said:
    """Return what a permit says; it may block, a command until `stop` is set. It raises for nothing."""
    try:
        match permit:
            case File():
                return _file(permit)
            case Command():
                return command.ask(permit, stop)
            case Gpio():
                return gpio.ask(permit)
    except Exception as error:  # noqa: BLE001  # whatever it was, it is no clear yes
        kind = type(error).__name__
        return Said(yes=False, code="permit.unreadable", sentence=f"The permit, {words(permit)}, met a fault: {kind}.")


def _file(permit: File) -> Said:
    try:
        handle = os.open(permit.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError as error:
        return _unreadable(permit, error.strerror or "it cannot be opened")
    try:
        seen = os.fstat(handle)
        if not stat.S_ISREG(seen.st_mode):  # rule 3
            return _unreadable(permit, "it is no regular file")
        data = os.read(handle, LARGEST + 1)
        if len(data) > LARGEST or seen.st_size > LARGEST:
            return _unreadable(permit, f"it is larger than {LARGEST} bytes")
    except OSError as error:
        return _unreadable(permit, error.strerror or "it cannot be read")
    finally:
        os.close(handle)
    if data.strip() == permit.says.encode():
        return Said(yes=True)
    return Said(yes=False, code="permit.no", sentence=f"The permit says no: {permit.path} does not say what is wanted.")


def _unreadable(permit: File, why: str) -> Said:
    return Said(yes=False, code="permit.unreadable", sentence=f"The permit file {permit.path} cannot be read: {why}.")


def _late(permit: Permit, why: str) -> Said:
    return Said(yes=False, code="permit.late", sentence=f"The permit, {words(permit)}, {why}.")
