# SPDX-License-Identifier: Apache-2.0
"""Who answers where the plane should? Asked by `doctor` only, after TLS failed: nothing that is heard is believed.

Nothing of the device goes over these connections, neither its certificate nor its name.
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import msgspec

from checkvalve.agent.link import contexts, dialling, tls
from checkvalve.agent.link.tls import Patience
from checkvalve.crypto import certificates, keys
from checkvalve.errors import CheckvalveError
from checkvalve.protocol.api import DevicePlane

_SAID = 4_096  # bytes of a plain answer


@dataclass(frozen=True, slots=True)
class Stranger:
    """What was seen. `issuer` is of its certificate, `pin` of the authority that a Checkvalve plane says it has.

    `plain`: it speaks HTTP without TLS, as portals do.
    """

    issuer: str = ""
    pin: str = ""
    plain: bool = False


async def look(address: str, proxy: str = "", source: str = "", patience: Patience | None = None) -> Stranger:
    """Return who answers at `https://host:port`. It raises for nothing: what cannot be seen is empty."""
    patience = patience or Patience()
    shown = await _certificate(address, proxy, source, patience)
    if not shown:
        return Stranger(plain=not proxy and await _plain(address, source, patience))
    try:
        issuer = certificates.issuer(shown)
    except CheckvalveError:
        issuer = "a certificate that cannot be read"
    return Stranger(issuer=issuer, pin=await _pin(shown, address, proxy, source, patience))


async def _certificate(address: str, proxy: str, source: str, patience: Patience) -> bytes:
    """Return the certificate (DER) that is shown there, empty if TLS comes to nothing."""
    try:
        async with asyncio.timeout(2 * patience.connect), _dialled(address, proxy, source) as (_, writer):
            await writer.start_tls(contexts.unverified())
            found: ssl.SSLObject = writer.get_extra_info("ssl_object")
            return found.getpeercert(binary_form=True) or b""
    except (OSError, EOFError, ValueError, ssl.SSLError):
        return b""


@contextlib.asynccontextmanager
async def _dialled(
    address: str, proxy: str, source: str
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Lend a connection to where TLS would begin, through the proxy if there is one."""
    there, by = urlsplit(address), dialling.proxy(proxy)
    host, port = (by.host, by.port) if by else (there.hostname or "", there.port or 443)
    reader, writer = await dialling.connected(host, port, dialling.source(source))
    try:
        if by:
            await _connect(reader, writer, there.netloc, by.headers)
        yield reader, writer
    finally:
        writer.transport.abort()


async def _connect(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, to: str, headers: Mapping[str, str]
) -> None:
    """Have the proxy let through; `OSError` if it does not."""
    said = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    writer.write(f"CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n{said}\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    if head.split(b" ", 2)[1:2] != [b"200"]:
        message = "the proxy does not let through"
        raise ConnectionError(message)


async def _plain(address: str, source: str, patience: Patience) -> bool:
    """Tell whether HTTP is spoken there without TLS."""
    try:
        async with asyncio.timeout(patience.connect), _dialled(address, "", source) as (reader, writer):
            writer.write(f"GET / HTTP/1.0\r\nHost: {urlsplit(address).netloc}\r\n\r\n".encode())
            return (await reader.read(_SAID)).startswith(b"HTTP/")
    except (OSError, EOFError, ValueError):
        return False


async def _pin(shown: bytes, address: str, proxy: str, source: str, patience: Patience) -> str:
    """Return the pin of the plane that answers there, empty if it is none: its own authority issued what it shows."""
    try:
        said = await tls.introduced((address,), proxy=proxy or None, source=source or None, patience=patience)
        about = msgspec.json.decode(said, type=DevicePlane)
        authority = certificates.from_pem(about.ca.encode())
        if certificates.issued_by(shown, authority):
            return keys.fingerprint(certificates.public_key(authority))
    except (CheckvalveError, msgspec.DecodeError, UnicodeError, RecursionError):
        pass
    return ""
