# SPDX-License-Identifier: Apache-2.0
"""Whom TLS believes on a device: the authority that joining pinned, and nobody else of the host.

1. The plane's certificate is from that authority, and is for a server.
2. Its *name* is not asked for: any address may lead to the plane, by name, by number or through a forwarding of ports,
   and the authority issues certificates for servers to its own plane only.
3. Its *time* is not asked for (OpenSSL's own check is off): this device may stand at 1970.
4. The device's key is in no file: OpenSSL takes it from one in memory.
"""

import os
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from checkvalve.errors import InvalidError

# X509_V_FLAG_NO_CHECK_TIME (x509_vfy.h), which `ssl` does not name.
NO_CHECK_TIME = ssl.VerifyFlags(0x200000)

_SUITES_OF_TLS_1_2 = "ECDHE+AESGCM"
_GROUP = "prime256v1"
_DESCRIPTORS = Path("/proc/self/fd")


def pinned(ca: str, pair: tuple[str, str] | None) -> ssl.SSLContext:
    """Return the device's side: `ca` is the authority's certificate, `pair` the device's own and its key (PEM).

    Raises `InvalidError` (`link.authority`, `link.certificate`).
    """
    context = _context()
    context.verify_flags |= NO_CHECK_TIME  # rule 3
    try:
        context.load_verify_locations(cadata=ca)
    except (ssl.SSLError, ValueError) as error:
        raise InvalidError(
            "link.authority", "The plane's authority is no certificate in PEM.", "Join anew: it came with joining."
        ) from error
    if pair is not None:
        try:
            with _file("\n".join(pair)) as name:
                context.load_cert_chain(name, password=_no_password)
        except (ssl.SSLError, ValueError) as error:
            raise InvalidError(
                "link.certificate", "This device's certificate and key do not belong together.", "Join anew."
            ) from error
    return context


def unverified() -> ssl.SSLContext:
    """Return the side of one that believes nobody: what it hears must be held against a pin."""
    context = _context()
    context.verify_mode = ssl.CERT_NONE
    return context


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_SUITES_OF_TLS_1_2)
    context.set_ecdh_curve(_GROUP)  # what the plane takes: no second round trip
    context.check_hostname = False  # rule 2
    return context


@contextmanager
def _file(text: str) -> Iterator[str]:
    """Give the text a name, for OpenSSL reads keys from files only: one in memory, or one that is gone at once."""
    if _DESCRIPTORS.is_dir():
        with os.fdopen(os.memfd_create("checkvalve"), "wb") as file:
            file.write(text.encode())
            file.flush()
            yield str(_DESCRIPTORS / str(file.fileno()))
        return
    with tempfile.NamedTemporaryFile() as file:  # mode 0600
        file.write(text.encode())
        file.flush()
        yield file.name


def _no_password() -> str:
    return ""  # else OpenSSL asks on the terminal
