# SPDX-License-Identifier: Apache-2.0
"""A person's signing key as a file they keep: JSON with the public half in the clear and the private half sealed.

Rules: 1. the passphrase gives a key by PBKDF2-HMAC-SHA-256 (NIST SP 800-132), whose rounds stand in the file, and are
refused where they would be too few to protect or too many to wait for; 2. that seals the private half with AES-256-GCM
(NIST SP 800-38D), bound to all that the file says beside it, so that no other name or public half can be put on it;
3. an empty passphrase leaves it plain, and the file says so; 4. what was opened is held against the public half;
5. the key id is that of the public half. Salt and nonce are fresh entropy, each used once, and come from the caller.
"""

import base64
import hashlib
import json
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from checkvalve import canonical, lines
from checkvalve.crypto import keys, metadata, strictjson
from checkvalve.errors import CheckvalveError, InvalidError

VERSION = 1
ROUNDS = 600_000
SALT_SIZE = 16
NONCE_SIZE = 12
LARGEST = 64 << 10
LONGEST_NAME = 100
LONGEST_PASSPHRASE = 1024

_FEWEST_ROUNDS, _MOST_ROUNDS = 100_000, 10_000_000
_KDF, _CIPHER = "pbkdf2-sha256", "aes-256-gcm"


@dataclass(frozen=True)
class KeyFile:
    """What a key file says without its passphrase. `public` is held against the private half only by `open_`."""

    name: str
    keyid: str
    public: keys.PublicKey
    sealed: bool


@dataclass(frozen=True)
class PublicFile:
    """The public half, which a person hands to whoever makes the root."""

    name: str
    keyid: str
    key: keys.PublicKey


@dataclass(frozen=True)
class _Sealing:
    rounds: int
    salt: bytes
    nonce: bytes


def seal(key: keys.PrivateKey, name: str, passphrase: str, salt: bytes, nonce: bytes, *, rounds: int = ROUNDS) -> bytes:
    """Return the file: write it with mode 0600. `salt`: 16 bytes or more; `nonce`: 12; both fresh.

    Raises `InvalidError`: `key.name`, `key.passphrase` (too long, or not text).
    """
    if len(salt) < SALT_SIZE or len(nonce) != NONCE_SIZE or not _FEWEST_ROUNDS <= rounds <= _MOST_ROUNDS:
        message = f"a key file takes {SALT_SIZE} bytes of salt, {NONCE_SIZE} of nonce, and enough rounds"
        raise ValueError(message)
    said: dict[str, canonical.Json] = {**_public(name, key.public_key()), "sealed": bool(passphrase)}
    if not passphrase:  # rule 3
        return _written({**said, "key": keys.dump(key).decode()})
    said["kdf"] = {"name": _KDF, "rounds": rounds, "salt": base64.b64encode(salt).decode()}
    said["cipher"] = {"name": _CIPHER, "nonce": base64.b64encode(nonce).decode()}
    box = AESGCM(_derive(passphrase, _Sealing(rounds, salt, nonce)))
    hidden = box.encrypt(nonce, keys.dump(key), canonical.dumps(said))  # rule 2
    return _written({**said, "key": base64.b64encode(hidden).decode()})


def open_(data: bytes, passphrase: str) -> keys.PrivateKey:
    """Return the private key. It takes some tenths of a second; a passphrase that is not needed is not looked at.

    Raises `InvalidError`: `key.file`; `key.passphrase` for a wrong one, or a file that somebody changed.
    """
    said = _read(data)
    public, hidden = _described(said), _text(said, "key")
    pem = _unsealed(said, hidden, passphrase) if public.sealed else hidden.encode()
    try:
        key = keys.load(pem)
    except CheckvalveError as error:
        raise _damaged("it holds no key that we can read") from error
    if keys.spki(key.public_key()) != keys.spki(public.public):  # rule 4
        raise _damaged("its two halves do not belong together")
    return key


def described(data: bytes) -> KeyFile:
    """Return what the file says of itself; `InvalidError` (`key.file`)."""
    return _described(_read(data))


def public(name: str, key: keys.PublicKey) -> bytes:
    """Return the file of the public half; `InvalidError` (`key.name`)."""
    return _written(_public(name, key))


def read_public(data: bytes) -> PublicFile:
    """Return what a file of a public half says; `InvalidError` (`key.file`), also for a whole key file.

    A whole one is refused, so that nobody gets used to sending private keys about.
    """
    said = _read(data)
    if said.keys() != {"v", "name", "keyid", "public"}:
        raise _damaged("it is not the public half alone")
    return PublicFile(*_identity(said))


def _public(name: str, key: keys.PublicKey) -> dict[str, canonical.Json]:
    if not _named(name):
        raise InvalidError(
            "key.name", f"A key has a name of 1 to {LONGEST_NAME} plain characters.", "Name its owner and its use."
        )
    return {
        "v": VERSION,
        "name": name,
        "keyid": metadata.keyid(key),
        "public": keys.dump_public(key).decode(),
    }


def _named(name: str) -> bool:
    return 0 < len(name) <= LONGEST_NAME and lines.plain(name) and lines.tidy(name, LONGEST_NAME) == name


def _written(said: Mapping[str, canonical.Json]) -> bytes:
    return json.dumps(said, ensure_ascii=False, indent=2).encode() + b"\n"


def _read(data: bytes) -> dict[str, object]:
    if len(data) > LARGEST:
        raise _damaged(f"it is longer than {LARGEST} bytes")
    try:
        said = strictjson.loads(data)
    except ValueError as error:
        raise _damaged(str(error)) from error
    if not isinstance(said, dict) or said.get("v") != VERSION or said["v"] is True:
        raise _damaged("it is of no version that we know")
    return said


def _text(said: Mapping[str, object], field: str) -> str:
    value = said.get(field)
    if not isinstance(value, str):
        raise _damaged(f"its field {field!r} is not text")
    return value


def _identity(said: Mapping[str, object]) -> tuple[str, str, keys.PublicKey]:
    name, keyid = _text(said, "name"), _text(said, "keyid")
    try:
        key = keys.load_public(_text(said, "public").encode())
    except CheckvalveError as error:
        raise _damaged("its public half is not an ECDSA key on curve P-256") from error
    if not _named(name) or metadata.keyid(key) != keyid:  # rule 5
        raise _damaged("its name or key id is not that of a key")
    return name, keyid, key


def _described(said: Mapping[str, object]) -> KeyFile:
    plain = {"v", "name", "keyid", "public", "sealed", "key"}
    match said.get("sealed"):
        case True if said.keys() == plain | {"kdf", "cipher"}:
            return KeyFile(*_identity(said), sealed=True)
        case False if said.keys() == plain:
            return KeyFile(*_identity(said), sealed=False)
        case _:
            raise _damaged("its fields are not those of a key file")


def _unsealed(said: Mapping[str, object], hidden: str, passphrase: str) -> bytes:
    if not passphrase:
        raise InvalidError("key.passphrase", "The key is sealed with a passphrase.", "Give the passphrase.")
    sealing = _sealing(said)
    bound = canonical.dumps(cast("canonical.Json", {name: value for name, value in said.items() if name != "key"}))
    try:
        box = AESGCM(_derive(passphrase, sealing))
        return box.decrypt(sealing.nonce, base64.b64decode(hidden, validate=True), bound)
    except ValueError as error:
        raise _damaged("the sealed half is not base 64") from error
    except InvalidTag as error:
        raise InvalidError(
            "key.passphrase",
            "This is not the passphrase of the key, or the file was changed.",
            "Type it again; if you are sure of it, take the file from your other copy.",
        ) from error


def _sealing(said: Mapping[str, object]) -> _Sealing:
    match said["kdf"], said["cipher"]:
        case (
            {"name": "pbkdf2-sha256", "rounds": int() as rounds, "salt": str() as salt, **more},
            {"name": "aes-256-gcm", "nonce": str() as nonce, **other},
        ) if not more and not other:
            pass
        case _:
            raise _damaged("it is sealed in a way that we do not know")
    try:
        sealing = _Sealing(rounds, base64.b64decode(salt, validate=True), base64.b64decode(nonce, validate=True))
    except ValueError as error:
        raise _damaged("salt or nonce is not base 64") from error
    if len(sealing.salt) < SALT_SIZE or len(sealing.nonce) != NONCE_SIZE:
        raise _damaged("salt or nonce has not the size it must have")
    if not _FEWEST_ROUNDS <= rounds <= _MOST_ROUNDS:  # rule 1
        raise _damaged(f"{rounds} rounds are not between {_FEWEST_ROUNDS} and {_MOST_ROUNDS}")
    return sealing


def _derive(passphrase: str, sealing: _Sealing) -> bytes:
    # Normalised (NIST SP 800-63B, 3.1.1.2), so that two keyboards that compose an accent differently give one key.
    try:
        plain = unicodedata.normalize("NFKC", passphrase[: LONGEST_PASSPHRASE + 1]).encode()
    except UnicodeEncodeError as error:
        raise InvalidError("key.passphrase", "The passphrase is not text.", "Type it anew.") from error
    if len(passphrase) > LONGEST_PASSPHRASE or len(plain) > LONGEST_PASSPHRASE:
        raise InvalidError(
            "key.passphrase", f"The passphrase is longer than {LONGEST_PASSPHRASE} bytes.", "Choose a shorter one."
        )
    return hashlib.pbkdf2_hmac("sha256", plain, sealing.salt, sealing.rounds, 32)


def _damaged(why: str) -> InvalidError:
    return InvalidError("key.file", f"This is not a key file in order: {why}.", "Take it from your other copy.")
