# SPDX-License-Identifier: Apache-2.0
"""X.509 certificates (RFC 5280): issued under the device CA, and read. A certificate is its DER bytes everywhere.

One self-signed P-256 root issues three kinds of leaf: a listener's (serverAuth; DNS and IP names), a device's
(clientAuth; the one name `URI:checkvalve:device:<id>`), and that of the key which signs orders and time
(documentSigning, RFC 9336; the one name `URI:checkvalve:orders`). None can pass for another, nor issue anything: a leaf
without any purpose would be good for all, so each has one. Whether a certificate is valid *now* is not asked here: the
reader compares `validity` with a time it trusts.
"""

import hashlib
import ipaddress
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import cast

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from checkvalve import ids
from checkvalve.crypto import keys
from checkvalve.errors import InvalidError

DEVICE_PREFIX = "checkvalve:device:"
ORDERS = "checkvalve:orders"
DOCUMENT_SIGNING = x509.ObjectIdentifier("1.3.6.1.5.5.7.3.36")  # RFC 9336: neither side of TLS takes it for its own

_COMMON_NAME_LONGEST = 64  # RFC 5280, ub-common-name
_UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)


def serial(entropy: bytes) -> int:
    """Return a serial number of 16 bytes of entropy: positive and below 2**127 (RFC 5280, 4.1.2.2)."""
    if len(entropy) != 16:
        message = "a serial number takes 16 bytes of entropy"
        raise ValueError(message)
    return int.from_bytes(entropy) >> 1 or 1


def issue_authority(
    key: keys.PrivateKey, name: str, *, not_before: datetime, not_after: datetime, serial: int
) -> bytes:
    """Return a self-signed root called `name` that may issue leaves only. Times are aware, and cut to whole seconds."""
    subject = _common_name(name)
    builder = _builder(subject, subject, key.public_key(), not_before, not_after, serial)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(authority=True), critical=True)
    return _signed(builder, key)


def issue_server(
    ca: bytes,
    ca_key: keys.PrivateKey,
    public: keys.PublicKey,
    names: Sequence[str],
    *,
    not_before: datetime,
    not_after: datetime,
    serial: int,
) -> bytes:
    """Return a listener's certificate for `names`, at least one: host names in ASCII form, and IP addresses.

    Raises `InvalidError`: `certificate.name` for a name no certificate can hold.
    """
    if not names:
        raise InvalidError("certificate.name", "A certificate needs a name.", "Name the host or its IP address.")
    alternatives = [_server_name(name) for name in names]
    builder = _leaf(ca, ca_key, names[0], public, not_before, not_after, serial)
    builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    return _signed(builder, ca_key)


def issue_device(
    ca: bytes,
    ca_key: keys.PrivateKey,
    public: keys.PublicKey,
    device: str,
    *,
    not_before: datetime,
    not_after: datetime,
    serial: int,
) -> bytes:
    """Return the client certificate of the device with this id; `InvalidError` (`certificate.device`) for no id."""
    if not ids.well_formed(device):
        raise _no_device()
    builder = _leaf(ca, ca_key, device, public, not_before, not_after, serial)
    name = x509.UniformResourceIdentifier(DEVICE_PREFIX + device)
    builder = builder.add_extension(x509.SubjectAlternativeName([name]), critical=False)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
    return _signed(builder, ca_key)


def issue_orders(
    ca: bytes,
    ca_key: keys.PrivateKey,
    public: keys.PublicKey,
    *,
    not_before: datetime,
    not_after: datetime,
    serial: int,
) -> bytes:
    """Return the certificate of the key with which a plane signs orders and time: good for neither end of TLS."""
    builder = _leaf(ca, ca_key, ORDERS, public, not_before, not_after, serial)
    name = x509.UniformResourceIdentifier(ORDERS)
    builder = builder.add_extension(x509.SubjectAlternativeName([name]), critical=False)
    builder = builder.add_extension(x509.ExtendedKeyUsage([DOCUMENT_SIGNING]), critical=False)
    return _signed(builder, ca_key)


def to_pem(der: bytes) -> bytes:
    """Return the certificate as PEM; `InvalidError` (`certificate.form`) if it is none."""
    return _read(der).public_bytes(serialization.Encoding.PEM)


def from_pem(pem: bytes) -> bytes:
    """Return the DER bytes of the first certificate in `pem`; `InvalidError` (`certificate.form`) if there is none."""
    try:
        return x509.load_pem_x509_certificate(pem).public_bytes(serialization.Encoding.DER)
    except _UNREADABLE as error:
        raise _unreadable() from error


def fingerprint(der: bytes) -> str:
    """Return `sha256:<64 hex digits>` of the certificate; `InvalidError` (`certificate.form`) if it is none."""
    _read(der)
    return "sha256:" + hashlib.sha256(der).hexdigest()


def public_key(der: bytes) -> keys.PublicKey:
    """Return the certified key; `InvalidError` (`certificate.form`, `key.kind`)."""
    try:
        key = _read(der).public_key()
    except _UNREADABLE as error:
        raise _unreadable() from error
    return keys.only_p256(key)


def validity(der: bytes) -> tuple[datetime, datetime]:
    """Return the first and the last moment of validity, in UTC; `InvalidError` (`certificate.form`)."""
    certificate = _read(der)
    return _moment(certificate, "not_valid_before"), _moment(certificate, "not_valid_after")


def names(der: bytes) -> tuple[str, ...]:
    """Return the DNS names and IP addresses, in the certificate's order; `InvalidError` (`certificate.form`)."""
    found = _alternatives(der)
    return tuple(str(name.value) for name in found if isinstance(name, x509.DNSName | x509.IPAddress))


def issuer(der: bytes) -> str:
    """Return who issued it, as people write it (RFC 4514); `InvalidError` (`certificate.form`)."""
    try:
        return _read(der).issuer.rfc4514_string()
    except _UNREADABLE as error:
        raise _unreadable() from error


def device_id(der: bytes) -> str:
    """Return the device's id; `InvalidError` (`certificate.form`, or `certificate.device`: it does not name one)."""
    uris = [name.value for name in _alternatives(der) if isinstance(name, x509.UniformResourceIdentifier)]
    if len(uris) != 1 or not uris[0].startswith(DEVICE_PREFIX):
        raise _no_device()
    device = uris[0].removeprefix(DEVICE_PREFIX)
    if not ids.well_formed(device):
        raise _no_device()
    return device


def is_orders(der: bytes) -> bool:
    """Tell whether the certificate is one of a key that signs orders; `InvalidError` (`certificate.form`).

    It says nothing of who issued it, nor of time.
    """
    found = _alternatives(der)
    return [name.value for name in found] == [ORDERS] and isinstance(found[0], x509.UniformResourceIdentifier)


def issued_by(der: bytes, ca: bytes) -> bool:
    """Tell whether `ca`'s key signed this certificate in its name; `InvalidError` (`certificate.form`, `key.kind`).

    It says nothing of time or purpose.
    """
    certificate, issuer = _read(der), _read(ca)
    return certificate.issuer == issuer.subject and keys.verify(
        public_key(ca), certificate.signature, certificate.tbs_certificate_bytes
    )


def _read(der: bytes) -> x509.Certificate:
    try:
        return x509.load_der_x509_certificate(der)
    except _UNREADABLE as error:
        raise _unreadable() from error


def _moment(certificate: x509.Certificate, name: str) -> datetime:
    """Return a moment of validity: `cryptography` 42 calls the aware ones `…_utc`, and warns about the naive ones."""
    aware = getattr(certificate, name + "_utc", None)
    return cast("datetime", aware or getattr(certificate, name).replace(tzinfo=UTC))


def _alternatives(der: bytes) -> list[x509.GeneralName]:
    try:
        return list(_read(der).extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        return []
    except _UNREADABLE as error:
        raise _unreadable() from error


def _common_name(name: str) -> x509.Name:
    # Read by people only: names that count are in subjectAltName.
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:_COMMON_NAME_LONGEST])])


def _server_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        pass
    if not name.isascii() or not name or any(char.isspace() or not char.isprintable() for char in name):
        raise InvalidError(
            "certificate.name",
            f"{name!r} cannot stand in a certificate.",
            "Give a host name in its ASCII form, or an IP address.",
        )
    return x509.DNSName(name)


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _key_identifier(public: keys.PublicKey) -> bytes:
    # RFC 7093, section 2, method 2, cut to 160 bits: the usual method is SHA-1, which FIPS-only mode may refuse.
    return hashlib.sha256(keys.spki(public)).digest()[:20]


def _builder(
    issuer: x509.Name,
    subject: x509.Name,
    public: keys.PublicKey,
    not_before: datetime,
    not_after: datetime,
    serial: int,
) -> x509.CertificateBuilder:
    if not_before.tzinfo is None or not_after.tzinfo is None:
        message = "validity is given in aware time"
        raise ValueError(message)
    builder = x509.CertificateBuilder(issuer, subject, public, serial)
    builder = builder.not_valid_before(not_before.astimezone(UTC).replace(microsecond=0))
    builder = builder.not_valid_after(not_after.astimezone(UTC).replace(microsecond=0))
    identifier = x509.SubjectKeyIdentifier(_key_identifier(public))
    return builder.add_extension(identifier, critical=False)


def _leaf(
    ca: bytes,
    ca_key: keys.PrivateKey,
    name: str,
    public: keys.PublicKey,
    not_before: datetime,
    not_after: datetime,
    serial: int,
) -> x509.CertificateBuilder:
    issuer = _read(ca).subject
    builder = _builder(issuer, _common_name(name), keys.only_p256(public), not_before, not_after, serial)
    identifier = x509.AuthorityKeyIdentifier(_key_identifier(ca_key.public_key()), None, None)
    builder = builder.add_extension(identifier, critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    return builder.add_extension(_usage(authority=False), critical=True)


def _signed(builder: x509.CertificateBuilder, key: keys.PrivateKey) -> bytes:
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def _unreadable() -> InvalidError:
    return InvalidError("certificate.form", "This is not a certificate we can read.", "Give one X.509 certificate.")


def _no_device() -> InvalidError:
    return InvalidError(
        "certificate.device", "The certificate names no device.", "Use the one the device enrolled with."
    )
