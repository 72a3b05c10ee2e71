# SPDX-License-Identifier: Apache-2.0
"""A company's own certificates: a root that its machines know, an authority below it, and one for a plane."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from checkvalve import clock

ROOT, BETWEEN = "Norra Root CA", "Norra Issuing CA 2"


@dataclass(frozen=True)
class Company:
    """Files in PEM: the root; the chain, leaf first and then the authority in between; the leaf's key."""

    root: Path
    chain: Path
    key: Path


def issued(directory: Path, names: Sequence[str]) -> Company:
    """Write the files of a certificate for these names and IP addresses."""
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(3)]
    root = _signed(ROOT, keys[0], ROOT, keys[0], 1)
    between = _signed(BETWEEN, keys[1], ROOT, keys[0], 0)
    leaf = _signed(names[0], keys[2], BETWEEN, keys[1], None, names)
    made = Company(directory / "root.pem", directory / "plane.pem", directory / "plane.key")
    made.root.write_bytes(root)
    made.chain.write_bytes(leaf + between)
    made.key.touch(0o600)
    made.key.write_bytes(keys[2].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return made


def _signed(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: str,
    by: ec.EllipticCurvePrivateKey,
    below: int | None,
    names: Sequence[str] = (),
) -> bytes:
    """Return a certificate (PEM); `below` is how many authorities may stand below it, None for a leaf."""
    now, public = clock.now(), key.public_key()
    builder = x509.CertificateBuilder(_name(issuer), _name(name), public, x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=30))
    builder = builder.add_extension(x509.BasicConstraints(ca=below is not None, path_length=below), critical=True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    above = x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key())
    builder = builder.add_extension(above, critical=False)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([_alternative(each) for each in names]), False)  # noqa: FBT003
    return builder.sign(by, hashes.SHA256()).public_bytes(Encoding.PEM)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
