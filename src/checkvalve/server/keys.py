# SPDX-License-Identifier: Apache-2.0
"""The plane's keys and certificates as files of one directory, readable by the plane's account only.

`authority` is the device CA: it issues what devices show and what the plane's two listeners show, told apart by
extended key usage, and its fingerprint is the pin that a person types once. `online` signs TUF's snapshot and
timestamp; its public half is carried to the signers, who name it in their root of trust. `orders` signs what devices
are told, and the time; devices know it by its certificate. `values` locks the secrets in the database. Every file is
written whole or not at all; what exists is kept, so making them may be cut short and done again.
"""

import os
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from checkvalve.crypto import certificates, digests, keys, seal
from checkvalve.errors import InvalidError, NotFoundError

AUTHORITY_YEARS = 20
PLANE_DAYS = 730
ONLINE = "online.key"
ONLINE_PUBLIC = "online.pub"
VALUES = "values.key"
_BACKDATED = timedelta(days=1)  # clients whose clock is a little behind


@dataclass(frozen=True)
class Authority:
    """The device CA: certificate (DER), its key, and the pin people type."""

    certificate: bytes
    key: keys.PrivateKey

    @property
    def pin(self) -> str:
        """Return `sha256:` and 64 hex digits of the key's fingerprint."""
        return keys.fingerprint(self.key.public_key())


@dataclass(frozen=True)
class OrdersKey:
    """What signs orders and time: certificate (DER) and its key."""

    certificate: bytes
    key: keys.PrivateKey


@dataclass(frozen=True)
class Pair:
    """Paths of a PEM chain and its key, as TLS wants them."""

    certificate: Path
    key: Path


def make_authority(directory: Path, plane: str, now: datetime, entropy: bytes) -> Authority:
    """Return the authority in `directory`, made first where there is none. `entropy` are 16 bytes for its serial."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = directory / "authority.crt"
    key = _kept_key(directory / "authority.key")
    if not file.exists():
        until = now + timedelta(days=365 * AUTHORITY_YEARS)
        name = f"{plane} device CA"
        serial = certificates.serial(entropy)
        der = certificates.issue_authority(key, name, not_before=now - _BACKDATED, not_after=until, serial=serial)
        _write(file, certificates.to_pem(der), 0o644)
    return authority(directory)


def authority(directory: Path) -> Authority:
    """Return the authority.

    `NotFoundError` (`keys.missing`), `InvalidError` (`keys.pair`) if the two files do not belong.
    """
    try:
        key = keys.load((directory / "authority.key").read_bytes())
        der = certificates.from_pem((directory / "authority.crt").read_bytes())
    except FileNotFoundError as error:
        raise NotFoundError(
            "keys.missing", f"{error.filename} is missing.", "Restore the keys from the backup of this plane."
        ) from error
    if keys.spki(certificates.public_key(der)) != keys.spki(key.public_key()):
        raise InvalidError(
            "keys.pair", "authority.crt and authority.key do not belong together.", "Restore both from one backup."
        )
    return Authority(der, key)


def online(directory: Path) -> keys.PrivateKey:
    """Return the key in `online.key`, made first where there is none; `online.pub` is always its public half.

    `InvalidError` (`key.form`, `key.kind`) if the file holds no key of ours.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    public = directory / ONLINE_PUBLIC
    key = _kept_key(directory / ONLINE)
    pem = keys.dump_public(key.public_key())
    if not public.exists() or public.read_bytes() != pem:
        _write(public, pem, 0o644)
    return key


def orders(directory: Path, of: Authority, now: datetime, entropy: bytes) -> OrdersKey:
    """Return the key in `orders.key`, made first where there is none, with its certificate.

    The certificate is issued anew as `plane_pair` does; the key stays, so that devices that know the older one agree.
    `InvalidError` (`key.form`, `key.kind`, `certificate.form`) if a file holds something else.
    """
    file = directory / "orders.crt"
    key = _kept_key(directory / "orders.key")
    if not (file.exists() and _still_good(file.read_bytes(), of, key, now)):
        der = certificates.issue_orders(
            of.certificate,
            of.key,
            key.public_key(),
            not_before=now - _BACKDATED,
            not_after=now + timedelta(days=PLANE_DAYS),
            serial=certificates.serial(entropy),
        )
        _write(file, certificates.to_pem(der), 0o644)
    return OrdersKey(certificates.from_pem(file.read_bytes()), key)


def values(directory: Path, entropy: bytes) -> bytes:
    """Return the key in `values.key`, 32 bytes, made of `entropy` first where there is none.

    `InvalidError` (`key.form`) if the file holds something else. Where it is lost, so are the secrets that are set:
    whoever calls this has asked whether any are (`values.custody`).
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = directory / VALUES
    if not file.exists():
        descriptor, partial = tempfile.mkstemp(dir=directory, prefix=VALUES, suffix=".partial")  # of mode 0600
        with os.fdopen(descriptor, "wb") as out:
            out.write(entropy)
            out.flush()
            os.fsync(out.fileno())
        with suppress(FileExistsError):  # of two processes that start at once one makes it
            os.link(partial, file)
        Path(partial).unlink()
        _settle(directory)
    return _values(file)


def values_there(directory: Path) -> bytes | None:
    """Return the key in `values.key`, None where there is no such file; `InvalidError` (`key.form`)."""
    file = directory / VALUES
    return _values(file) if file.exists() else None


def values_anew(directory: Path, entropy: bytes) -> bytes:
    """Make another key in `values.key`; the file that is there is kept beside it, under a name of its own."""
    file = directory / VALUES
    if file.exists():
        mark = digests.sha256_hex(file.read_bytes())[:8]
        file.rename(directory / f"{VALUES}.{mark}.before")
    return values(directory, entropy)


def _values(file: Path) -> bytes:
    key = file.read_bytes()
    if len(key) != seal.KEY_SIZE:
        raise InvalidError(
            "key.form", f"{file} does not hold {seal.KEY_SIZE} bytes.", "Bring it back from the backup of this plane."
        )
    return key


def plane_pair(directory: Path, of: Authority, names: tuple[str, ...], now: datetime, entropy: bytes) -> Pair:
    """Return the listeners' certificate for `names`.

    It is issued anew when the names changed or two thirds of its life are over.
    """
    pair = Pair(directory / "plane.crt", directory / "plane.key")
    key = _kept_key(pair.key)
    if not (pair.certificate.exists() and _still_good(pair.certificate.read_bytes(), of, key, now, names)):
        until = now + timedelta(days=PLANE_DAYS)
        serial = certificates.serial(entropy)
        public = key.public_key()
        der = certificates.issue_server(
            of.certificate, of.key, public, names, not_before=now - _BACKDATED, not_after=until, serial=serial
        )
        chain = certificates.to_pem(der) + certificates.to_pem(of.certificate)
        _write(pair.certificate, chain, 0o644)
    return pair


def _kept_key(file: Path) -> keys.PrivateKey:
    if not file.exists():
        _write(file, keys.dump(keys.make()), 0o600)
    return keys.load(file.read_bytes())


def _still_good(pem: bytes, of: Authority, key: keys.PrivateKey, now: datetime, names: tuple[str, ...] = ()) -> bool:
    der = certificates.from_pem(pem)
    begins, ends = certificates.validity(der)
    return (
        certificates.issued_by(der, of.certificate)
        and keys.spki(certificates.public_key(der)) == keys.spki(key.public_key())
        and {_plain(name) for name in certificates.names(der)} == {_plain(name) for name in names}
        and begins <= now <= begins + (ends - begins) * 2 / 3
    )


def _plain(name: str) -> str:
    """Return an address in its short form and a name in lower case: as a certificate gives them back."""
    try:
        return str(ip_address(name))
    except ValueError:
        return name.lower()


def _write(file: Path, data: bytes, mode: int) -> None:
    partial = file.with_name(file.name + ".partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())
    partial.rename(file)
    _settle(file.parent)


def _settle(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
