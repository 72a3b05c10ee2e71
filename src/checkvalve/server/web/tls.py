# SPDX-License-Identifier: Apache-2.0
"""What the two listeners speak: TLS 1.2 and 1.3, ECDHE on P-256, AES-GCM.

Python 3.11 has no call for the suites of TLS 1.3, nor for a list of groups: ChaCha20 stays on offer there unless the
OpenSSL configuration of the host says otherwise, and P-384 is not offered. A client that opens with another group is
asked again for P-256, which costs it one round trip.
"""

import ssl
from pathlib import Path
from typing import NoReturn

from checkvalve.errors import InvalidError

# X509_V_FLAG_NO_CHECK_TIME (x509_vfy.h), which `ssl` does not name: the plane judges validity itself, per request.
NO_CHECK_TIME = ssl.VerifyFlags(0x200000)

_SUITES_OF_TLS_1_2 = "ECDHE+AESGCM"
_GROUP = "prime256v1"


def operators_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Return the operators' side: no client certificate is asked for.

    `certificate` is a PEM file, leaf first, then its intermediates; `key` its unencrypted PEM key. Raises
    `InvalidError` (`tls.file`, `tls.certificate`): a replacement is known to be good before it takes effect.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_SUITES_OF_TLS_1_2)
    context.set_ecdh_curve(_GROUP)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE
    _load(context, certificate, key)
    return context


def devices_context(certificate: Path, key: Path, ca_pem: str) -> ssl.SSLContext:
    """Return the devices' side: a client certificate is optional (enrolment has none) and must be issued by `ca_pem`.

    An expired one completes the handshake. There is no resumption: every connection proves its key anew. Raises as
    `operators_context` does, and `InvalidError` (`tls.authority`) if `ca_pem` holds no certificate.
    """
    context = operators_context(certificate, key)
    context.verify_mode = ssl.CERT_OPTIONAL
    context.verify_flags |= NO_CHECK_TIME
    context.num_tickets = 0
    context.options |= ssl.OP_NO_TICKET
    try:
        context.load_verify_locations(cadata=ca_pem)
    except (ssl.SSLError, ValueError) as error:
        raise InvalidError(
            "tls.authority", "The device CA is not a certificate in PEM.", "Give the file that `checkvalve init` wrote."
        ) from error
    return context


def _load(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    try:
        context.load_cert_chain(certificate, key, _no_password)
    except ssl.SSLError as error:
        raise InvalidError(
            "tls.certificate",
            f"{certificate} and {key} are not a certificate and its key: {error.reason or 'unreadable'}.",
            "Give PEM files: the certificate first, then its intermediates; the key that belongs to it, unencrypted.",
        ) from error
    except OSError as error:
        raise InvalidError(
            "tls.file",
            f"{certificate} or {key} cannot be read: {error.strerror}.",
            "Check the paths, and that the account of the plane may read both.",
        ) from error


def _no_password() -> NoReturn:
    # Without this, OpenSSL would ask for the password on the terminal, and a service would hang.
    raise InvalidError("tls.certificate", "The key is encrypted.", "Give the key unencrypted, in a file of mode 0600.")
