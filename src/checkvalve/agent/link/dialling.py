# SPDX-License-Identifier: Apache-2.0
"""By which way a device dials out, as people say it: an HTTP proxy with name and password, an address or an interface.

1. A proxy is `http://name:password@host:port`. Name and password go in UTF-8, to the proxy and nowhere else: no error
   and no sentence repeats what was typed, for it may hold them.
2. A source is a local IP address, or the name of a network interface. An address chooses who this device seems to be,
   and the routes of this device still choose the way; an interface chooses the way.
"""

import asyncio
import base64
import ipaddress
import socket
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from checkvalve.errors import InvalidError

PORT = 80  # of a proxy that is said without one
_INTERFACE = 15  # characters of a name at most (IFNAMSIZ)
_ENDS = (("", "", ""), ("/", "", ""))  # path, query and fragment of an address that is one


class Proxy(NamedTuple):
    """An HTTP proxy. `authorization` is what it is told of name and password, empty if there are none."""

    host: str
    port: int
    authorization: str = ""

    @property
    def readable(self) -> str:
        """Return its address, as people may read it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """Return its address, as libraries want it; without name and password."""
        return f"http://{self.readable}"

    @property
    def headers(self) -> dict[str, str]:
        """Return what is said to it alone."""
        return {"Proxy-Authorization": self.authorization} if self.authorization else {}


def proxy(text: str | None) -> Proxy | None:
    """Return the proxy that was typed, None if none was; `InvalidError` (`link.proxy`), which does not repeat it."""
    typed = (text or "").strip()
    if not typed:
        return None
    try:
        parts = urlsplit(typed if "://" in typed else f"http://{typed}")
        port, host = parts.port or PORT, parts.hostname or ""
        name, password = unquote(parts.username or "", errors="strict"), unquote(parts.password or "", errors="strict")
        sound = parts.scheme == "http" and bool(host) and (parts.path, parts.query, parts.fragment) in _ENDS
    except ValueError:
        sound = False
    if not sound:
        raise InvalidError(
            "link.proxy",
            "This is no address of an HTTP proxy.",
            "Say it so: http://host:port, or http://name:password@host:port. In name and password, / is %2F, # is %23, "
            "? is %3F, : is %3A, @ is %40 and % is %25.",
        )
    said = base64.b64encode(f"{name}:{password}".encode()).decode() if name or password else ""
    return Proxy(host, port, f"Basic {said}" if said else "")


def source(text: str | None) -> str:
    """Return the address or the name of an interface that was typed, tidied; `InvalidError` (`link.source`)."""
    typed = (text or "").strip()
    if typed and not is_address(typed) and (len(typed.encode()) > _INTERFACE or "/" in typed or " " in typed):
        raise InvalidError(
            "link.source",
            f"{typed!r} is neither an IP address nor the name of a network interface.",
            "Say one of this device's: --source 192.0.2.7, or --source eth1.",
        )
    return typed


def is_address(source: str) -> bool:
    """Tell whether a source is an IP address; else it is the name of an interface."""
    try:
        ipaddress.ip_address(source)
    except ValueError:
        return False
    return True


def factory(source: str) -> Callable[[tuple[Any, ...]], socket.socket] | None:
    """Return what makes the sockets to dial with, of what `getaddrinfo` says first: family, type, protocol.

    None where any socket will do. They raise `OSError` where there is no such interface.
    """
    if not source or is_address(source):
        return None

    def made(info: tuple[Any, ...]) -> socket.socket:
        opened = socket.socket(*info[:3])
        try:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, source.encode())
        except OSError:
            opened.close()
            raise
        return opened

    return made


async def connected(host: str, port: int, source: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Return a connection that was dialled from `source`; `OSError` where there is none to be had."""
    make = factory(source)
    if make is None:
        return await asyncio.open_connection(host, port, local_addr=(source, 0) if source else None)
    loop = asyncio.get_running_loop()
    failure = OSError("no address was found")
    for info in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        opened = make(info)
        try:
            opened.setblocking(False)  # noqa: FBT003 - its only argument
            await loop.sock_connect(opened, info[4])
        except OSError as error:
            opened.close()
            failure = error
            continue
        except BaseException:
            opened.close()
            raise
        return await asyncio.open_connection(sock=opened)
    raise failure
