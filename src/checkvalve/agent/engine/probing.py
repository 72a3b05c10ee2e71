# SPDX-License-Identifier: Apache-2.0
"""Asks a container whether it is well: over its own address, or by a command inside it.

The agent dials the container itself, so that a probe needs no port published, no other image and no shell; what is on
the host's network is dialled at 127.0.0.1. "" is a pass, anything else is why not, in a sentence.
"""

import asyncio
import contextlib
from collections.abc import Collection, Mapping
from typing import Any

import aiohttp
from yarl import URL

from checkvalve.agent.engine import reading, streams
from checkvalve.agent.engine.wire import RefusedError, Wire
from checkvalve.errors import UnavailableError
from checkvalve.protocol.workload import ExecProbe, HttpProbe, Probe, TcpProbe

_SHOWN = 300  # characters of what a command said
_BYTES = 4096


async def run(wire: Wire, container: str, probe: ExecProbe) -> str:
    """Return "" or why not, of a command in a container by its id."""
    try:
        async with asyncio.timeout(probe.timeout_ms / 1_000):
            return await _exec(wire, container, probe)
    except TimeoutError:
        return _late(probe)
    except RefusedError as error:
        return error.sentence


async def dial(said: Mapping[str, Any], hidden: Collection[str], probe: HttpProbe | TcpProbe) -> str:
    """Return "" or why not, of a port of a container by its inspection.

    `hidden` are networks whose addresses a device reaches from anywhere but itself.
    """
    if said and reading.container(said, {}).state != "running":
        return "It is not running."
    address = reading.address(said, hidden)
    if not address:
        return "It is on no network, so nothing can reach its port."
    try:
        async with asyncio.timeout(probe.timeout_ms / 1_000):
            why = await (_http(address, probe) if isinstance(probe, HttpProbe) else _tcp(address, probe))
    except TimeoutError:
        why = _late(probe)
    unseen = why and set(reading.on(said)) <= set(hidden)
    return f"{why} A device does not reach what it has on macvlan or ipvlan: probe it by a command." if unseen else why


def _late(probe: Probe) -> str:
    return f"It did not answer within {probe.timeout_ms / 1_000:g} s."


async def _http(address: str, probe: HttpProbe) -> str:
    host = f"[{address}]" if ":" in address else address
    url = URL(f"http://{host}:{probe.port}{probe.path}", encoded=True)
    try:
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session,
            session.get(url, allow_redirects=False) as answer,
        ):
            status = answer.status
    except (aiohttp.ClientError, OSError, ValueError) as error:
        if isinstance(error, TimeoutError):
            raise
        return f"Port {probe.port} gave no answer: {_why(error)}."
    return "" if status == probe.status else f"{probe.path} answered with {status}, not {probe.status}."


async def _tcp(address: str, probe: TcpProbe) -> str:
    try:
        _, writer = await asyncio.open_connection(address, probe.port)
    except OSError as error:
        if isinstance(error, TimeoutError):
            raise
        return f"Port {probe.port} took no connection: {_why(error)}."
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return ""


async def _exec(wire: Wire, container: str, probe: ExecProbe) -> str:
    body = {"Cmd": list(probe.command), "AttachStdout": True, "AttachStderr": True}
    made = await wire.call("POST", f"/containers/{container}/exec", body=body)
    started = {"Detach": False, "Tty": False}
    tail = streams.Tail(_BYTES)
    async with wire.open("POST", f"/exec/{made['Id']}/start", body=started, seconds=None) as answer:
        async for piece in answer.content.iter_any():
            tail.add(piece)
    ended = await wire.call("GET", f"/exec/{made['Id']}/json")
    code = ended.get("ExitCode")
    if code == 0:
        return ""
    if code is None:
        raise UnavailableError("engine.unreachable", "The engine lost sight of a command.", "It is tried again.")
    said = " ".join(tail.text(_BYTES).split())[-_SHOWN:]
    return f"{probe.command[0]} ended with {code}{f': {said}' if said else ''}."


def _why(error: Exception) -> str:
    """Return a reason without addresses, which differ with every container."""
    inner = getattr(error, "os_error", None) or error
    return str(getattr(inner, "strerror", None) or inner or type(error).__name__).lower()[:_SHOWN]
