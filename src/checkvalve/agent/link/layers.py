# SPDX-License-Identifier: Apache-2.0
"""Why did the plane not answer, or what did it answer instead? Every failure of the link as one sentence.

1. The sentence names the layer that failed, from the near end to the far one: name, route, proxy, TLS, plane. It is
   what `doctor` says, and `facts["layer"]` holds it as a word.
2. A certificate that is not from the pinned authority is `link.stranger`: somebody else answers at this address.
   Another address may still lead to the plane.
3. A refusal in the plane's own form keeps the plane's code, sentence and remedy.
4. What is neither is `link.answer`: a portal or a proxy speaks in words of its own, which are not shown.
"""

import asyncio
import os
import ssl
from collections.abc import Mapping
from typing import NamedTuple

import aiohttp

from checkvalve.errors import (
    CheckvalveError,
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    StaleError,
    ThrottledError,
    UnauthenticatedError,
    UnavailableError,
)
from checkvalve.protocol import problem

LONGEST_PAUSE = 3_600  # seconds that a plane may ask a device to stay away

# A host that took the connection and lets go of it during the handshake says so with one of these, or with nothing.
_LET_GO = (ConnectionResetError, ConnectionAbortedError, BrokenPipeError, EOFError)
_KINDS: Mapping[int, type[CheckvalveError]] = {
    401: UnauthenticatedError,
    403: ForbiddenError,
    404: NotFoundError,
    408: UnavailableError,
    409: ConflictError,
    412: StaleError,
}

_NAMED = "Say both with the proxy: --proxy http://name:password@host:port, as the proxy's people gave them."


class Way(NamedTuple):
    """Where was dialled, and through what, as people may read it: without a password.

    `named`: the proxy was given a name and a password.
    """

    address: str
    proxy: str = ""
    named: bool = False


def unreachable(error: Exception, way: Way) -> UnavailableError:
    """Return what kept the plane from answering at an address (rules 1 and 2): `link.unreachable`, `link.stranger`."""
    match error:
        case aiohttp.ClientConnectorError():
            return _unconnected(error, way)
        case aiohttp.ClientHttpProxyError():
            return _failed("proxy", _shut(error.status, way), _NAMED if error.status == 407 else "")
        case aiohttp.ClientResponseError():
            return _failed("proxy", f"What the proxy {way.proxy} answered is not what an HTTP proxy answers.")
        case aiohttp.ConnectionTimeoutError():
            through = f" through the proxy {way.proxy}" if way.proxy else ""
            sentence = f"{way.address} does not answer{through}: it is off, or something on the way drops the packets."
            return _failed("route", sentence)
        case asyncio.TimeoutError():
            return _failed("plane", f"The plane at {way.address} was reached, and did not answer in time.")
        case _ if isinstance(error.__cause__, ssl.SSLError):
            return _no_handshake(error.__cause__.reason or "", way)
        case _:
            return _failed("plane", f"The connection to {way.address} broke off before the answer was whole.")


def proxys(error: Exception) -> bool:
    """Tell whether it is about an answer of the proxy's own."""
    asked = error.request_info.method if isinstance(error, aiohttp.ClientResponseError) else ""
    return isinstance(error, aiohttp.ClientHttpProxyError) or asked == "CONNECT"


def together(failures: list[UnavailableError]) -> UnavailableError:
    """Return one failure for the addresses that were tried, at least one; `link.stranger` only if all are strangers."""
    if len(failures) == 1:
        return failures[0]
    other = next((each for each in failures if each.code != "link.stranger"), failures[0])
    sentence = " ".join(dict.fromkeys(each.sentence for each in failures))
    return UnavailableError(other.code, sentence, other.remedy, **other.facts)


def refused(status: int, headers: Mapping[str, str], body: bytes, way: Way) -> CheckvalveError:
    """Return what an answer that is no success says (rules 3 and 4)."""
    said = problem.decode(body)
    if said is None:
        if status >= 500:
            return _failed("plane", f"The plane at {way.address} has trouble of its own ({status}).")
        return strange(f"it is an answer {status} in another form", way)
    kind = _KINDS.get(status, UnavailableError if status >= 500 else InvalidError)
    if status == 429:
        kind = ThrottledError
    refusal = kind(said.code, said.detail, said.remedy)
    refusal.facts = dict(said.facts)
    pause = headers.get("Retry-After", "")
    if pause.isascii() and pause.isdigit() and len(pause) < 10:
        refusal.facts["retry_after"] = min(int(pause), LONGEST_PAUSE)
    elif status == 429:
        refusal.facts["retry_after"] = 60
    return refusal


def strange(why: str, way: Way) -> InvalidError:
    """Return that what came is no answer of a plane (`link.answer`)."""
    return InvalidError(
        "link.answer",
        f"What {way.address} answered is not what a plane answers: {why}.",
        "Check the address, and whether something in between answers in the plane's place.",
        layer="plane",
    )


def _unconnected(error: aiohttp.ClientConnectorError, way: Way) -> UnavailableError:
    match error:
        case aiohttp.ClientConnectorDNSError():
            return _failed("name", f"No address can be found for the name {error.host}.")
        case aiohttp.ClientProxyConnectionError():
            return _failed("proxy", f"The proxy {way.proxy} cannot be reached: {_why(error.os_error)}.")
        case aiohttp.ClientConnectorCertificateError():
            return _stranger(error.certificate_error, way)
        case aiohttp.ClientConnectorSSLError():
            return _no_handshake(getattr(error.os_error, "reason", "") or "", way)
        case _ if isinstance(error.os_error, _LET_GO):
            return _no_handshake("", way)
        case _:
            return _failed("route", f"There is no way to {way.address}: {_why(error.os_error)}.")


def _stranger(error: Exception, way: Way) -> UnavailableError:
    why = getattr(error, "verify_message", "") or "it cannot be verified"
    return UnavailableError(
        "link.stranger",
        f"TLS: what answers at {way.address} is not this device's plane; its certificate is not from the authority "
        f"that joining pinned, or not for a plane ({why}).",
        "Check the address, and whether something in between opens TLS connections. Nothing was sent.",
        layer="tls",
    )


def _no_handshake(reason: str, way: Way) -> UnavailableError:
    said = f" ({reason.replace('_', ' ').lower()})" if reason else ""
    return _failed("tls", f"TLS: {way.address} was reached, and the handshake with it failed{said}.")


def _failed(layer: str, sentence: str, remedy: str = "") -> UnavailableError:
    remedies = {
        "name": "Check the name and the device's name servers, or give the plane's IP address.",
        "route": "Check address, port, cable, routes and firewalls between this device and the plane.",
        "proxy": "Check the proxy's address, and whether it lets this device through to the plane's port.",
        "tls": "Check whether the plane's port for devices answers there, and nothing in between that opens TLS.",
        "plane": "It is tried again by itself. If it lasts, look at the plane.",
    }
    return UnavailableError("link.unreachable", sentence, remedy or remedies[layer], layer=layer)


def _shut(status: int, way: Way) -> str:
    """Return what a proxy's refusal means."""
    if status == 407 and way.named:
        return f"The proxy {way.proxy} does not take the name and the password that it was given (407)."
    if status == 407:
        return f"The proxy {way.proxy} asks for a name and a password, and was given none (407)."
    return f"The proxy {way.proxy} does not let through to {way.address}: {status}."


def _why(error: OSError) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there"
    # By its number: what libraries make of it names addresses and calls, and no reason.
    return os.strerror(error.errno).lower() if error.errno else "it cannot be reached"
