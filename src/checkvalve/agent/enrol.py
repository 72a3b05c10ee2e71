# SPDX-License-Identifier: Apache-2.0
"""How a device joins its plane (walk enrolment, 3 to 10): nothing is sent before it is known to whom.

1. What answers is asked for its authority's certificate without being believed. Its key must be the pinned one: people
   carried the pin here by another way. If it is not, nothing is sent.
2. The token goes over a new connection, which trusts that authority alone.
3. The key is made here and kept before anything is sent: if the answer is lost, trying again with the same token uses
   the same key, and the plane answers with the same device.
4. What comes back is judged before it counts: the certificate is for our key, from this authority; so is the one for
   orders; and the root of trust is one.
5. `identity.json` is written last: until then the device has not joined.
6. A device that has joined does so anew only if it is told. The old journal is set aside before: another plane counts
   its orders from another beginning.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from checkvalve import canonical
from checkvalve.agent import identity, journal
from checkvalve.agent.identity import Certified, Identity
from checkvalve.agent.link import dialling, tls
from checkvalve.agent.link.tls import Patience, Tls
from checkvalve.agent.ports import Disk
from checkvalve.crypto import certificates, digests, envelope, keys, tokens, trustset
from checkvalve.errors import CheckvalveError, ConflictError, ForbiddenError, InvalidError, NotFoundError
from checkvalve.protocol import enrol
from checkvalve.protocol.api import DevicePlane
from checkvalve.protocol.enrol import Join, Joined
from checkvalve.protocol.version import CAPABILITY

PORT = 8443
SET_ASIDE = "journal.before"  # of the plane before

_PIN = re.compile(r"(?:sha256:)?([0-9a-fA-F]{64})")
_HOST = re.compile(r"[\w.:%-]+")
_MOST_ADDRESSES = 16


@dataclass(frozen=True, kw_only=True)
class Invitation:
    """What a person typed: where the plane is, the token, and the pin of its authority (`sha256:` and 64 digits)."""

    addresses: tuple[str, ...]
    token: str = field(repr=False)
    pin: str
    proxy: str = field(default="", repr=False)
    source: str = ""


def invitation(servers: Sequence[str], token: str, ca_pin: str, *, proxy: str = "", source: str = "") -> Invitation:
    """Return what `--server` (several times), `--token` and `--ca-pin` say, tidied.

    Raises `InvalidError`: `join.address`, `join.token`, `join.pin`, `link.proxy`, `link.source`.
    """
    found = addresses(servers)
    pin = _PIN.fullmatch(ca_pin.strip())
    if pin is None:
        raise InvalidError(
            "join.pin",
            "This is no pin of an authority.",
            "Copy it from the page of the invite, or from `checkvalve init`: sha256: and 64 digits.",
        )
    if not tokens.join_well_formed(token.strip()):
        raise InvalidError(
            "join.token", "This token was mistyped or cut.", "Copy the whole of it: it begins with cvj_."
        )
    dialling.proxy(proxy)  # what is wrong with it is said before anything is sent
    return Invitation(
        addresses=found,
        token=token.strip(),
        pin=f"sha256:{pin[1].lower()}",
        proxy=proxy.strip(),
        source=dialling.source(source),
    )


def addresses(servers: Sequence[str]) -> tuple[str, ...]:
    """Return what `--server` says, several times or with commas, in its order; `InvalidError`: `join.address`."""
    found = dict.fromkeys(address(each) for given in servers for each in given.split(","))
    if not 1 <= len(found) <= _MOST_ADDRESSES:
        raise InvalidError(
            "join.address", f"{len(found)} addresses were given.", f"Give one to {_MOST_ADDRESSES}: --server."
        )
    return tuple(found)


def address(text: str) -> str:
    """Return `https://host:port` of what was typed; a port is 8443 if none is given. `InvalidError`: `join.address`."""
    typed = text.strip()
    if typed.count(":") > 1 and "://" not in typed and not typed.startswith("["):
        typed = f"[{typed}]"  # an IPv6 address as it is
    try:
        parts = urlsplit(typed if "://" in typed else f"https://{typed}")
        port = parts.port or PORT
        host = parts.hostname or ""
        sound = _HOST.fullmatch(host) is not None and bool(host.encode("idna"))
    except ValueError:  # a port, or a label of the name, that is out of bounds
        parts, host, port, sound = urlsplit(""), "", 0, False
    if (
        parts.scheme != "https"
        or not sound
        or parts.path not in ("", "/")
        or parts.query
        or parts.fragment
        or parts.username
    ):
        raise InvalidError(
            "join.address",
            f"{text!r} is no address of a plane.",
            f"Give a name or an IP address, and the port if it is not {PORT}: https://plane.example:{PORT}.",
        )
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


async def join(
    disk: Disk,
    invited: Invitation,
    *,
    name: str,
    machine: str = "",
    agent: str = "",
    again: bool = False,
    patience: Patience | None = None,
) -> Identity:
    """Have this device join, and return who it is.

    Raises `ConflictError` (`agent.joined`, and `trust.missing` of the plane), `ForbiddenError` (`link.pin`,
    `invite.refused`), `InvalidError` (`join.answer`, `link.answer`), `UnavailableError` (`link.unreachable`,
    `link.stranger`, `disk.…`), `ThrottledError`.
    """
    before = _joined_before(disk, again=again)
    ca = await _authority(invited, patience)  # rule 1
    key = _key(disk, before.key_name if before else "")  # rule 3
    link = Tls(invited.addresses, ca, proxy=invited.proxy, source=invited.source, patience=patience)  # rule 2
    asked = Join(
        token=invited.token,
        public=keys.dump_public(key.public_key()).decode(),
        name=name,
        machine=machine,
        agent=agent,
        capability=CAPABILITY,
    )
    sealed = envelope.seal(key, enrol.JOIN, canonical.dumps(msgspec.to_builtins(asked)))
    try:
        came = _joined(await link.join(envelope.write(sealed)))
    finally:
        await link.close()
    why = _wrong(came, ca, invited.pin, key)  # rule 4
    if why:
        raise _refused(why)
    made = _identity(came, invited, ca, key)
    if came.observe:
        disk.replace(identity.OBSERVE, identity.OBSERVING)
    if again and disk.exists(journal.NAME):  # rule 6
        disk.settle(journal.NAME, SET_ASIDE)
    if not disk.exists(identity.OWNER):
        disk.replace(identity.OWNER, made.device.encode())
    identity.save(disk, made)  # rule 5
    for other in disk.names(identity.KEYS):
        name = f"{identity.KEYS}/{other}"
        if before is not None and name == before.key_name != made.key_name:
            disk.settle(name, f"{identity.FORMER}/{other}")  # it may open secrets of what runs
        elif name != made.key_name:
            disk.remove(name)
    return made


def machine(etc: Path = Path("/etc"), devices: Path = Path("/sys/class/net")) -> str:
    """Return a digest of this machine: its id and its network cards. A copied disk in another machine has another."""
    parts = [_text(etc / "machine-id")]
    if devices.is_dir():
        cards = sorted(each for each in devices.iterdir() if (each / "device").exists())  # no bridges, no tunnels
        parts += [_text(each / "address") for each in cards]
    return digests.sha256_hex("\n".join(parts).encode()) if any(parts) else ""


def _joined_before(disk: Disk, *, again: bool) -> Identity | None:
    try:
        before = identity.load(disk)
    except InvalidError:
        if not again:
            raise
        return None
    if before is not None and not again:
        raise ConflictError(
            "agent.joined",
            f"This device has joined the plane {before.plane} already, as {before.device}.",
            "To leave that one for good, say so: checkvalve-agent join --again.",
        )
    return before


async def _authority(invited: Invitation, patience: Patience | None) -> str:
    """Return the certificate of the pinned authority (PEM), which the plane gives out itself (rule 1)."""
    said = await tls.introduced(invited.addresses, proxy=invited.proxy, source=invited.source, patience=patience)
    try:
        plane = msgspec.json.decode(said, type=DevicePlane)
        found = keys.fingerprint(certificates.public_key(certificates.from_pem(plane.ca.encode())))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, InvalidError) as error:
        raise InvalidError(
            "link.answer",
            f"What answers at {' or '.join(invited.addresses)} is no plane.",
            "Check the address, and that the port is the one for devices.",
        ) from error
    if found != invited.pin:
        raise ForbiddenError(
            "link.pin",
            f"The plane's authority has the fingerprint {found}, and {invited.pin} was pinned. Nothing was sent.",
            "Compare the pin with the page of the invite. If it is right, somebody else answers at this address.",
        )
    return plane.ca


def _key(disk: Disk, used: str) -> keys.PrivateKey:
    """Return the key to join with: one that an earlier try left, or a new one, which is on the disk already."""
    for name in disk.names(identity.KEYS):
        if f"{identity.KEYS}/{name}" == used:
            continue
        try:
            return keys.load(disk.read(f"{identity.KEYS}/{name}"))
        except (InvalidError, NotFoundError):
            continue  # damaged: joining removes it
    made = keys.make()
    disk.replace(identity.key_name(made), keys.dump(made))
    return made


def _joined(data: bytes) -> Joined:
    try:
        return msgspec.json.decode(data, type=Joined)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _refused("it cannot be read") from error


def _wrong(came: Joined, ca: str, pin: str, key: keys.PrivateKey) -> str:
    """Return why the answer is not taken (rule 4), empty if it is."""
    try:
        authority = certificates.public_key(certificates.from_pem(came.authority.encode()))
        trustset.begin(came.root.encode())
    except CheckvalveError as error:
        return error.sentence
    if keys.fingerprint(authority) != pin:
        return "it names another authority than the pinned one"
    return identity.wrong(came.certificate, came.orders, ca, device=came.device, key=key)


def _identity(came: Joined, invited: Invitation, ca: str, key: keys.PrivateKey) -> Identity:
    return Identity(
        device=came.device,
        plane=came.plane,
        addresses=invited.addresses,
        proxy=invited.proxy,
        source=invited.source,
        ca=ca,
        root=came.root,
        scope=came.scope,
        place=tuple(came.place),
        current=Certified(
            certificate=came.certificate,
            orders=came.orders,
            generation=came.generation,
            link=came.link,
            interval=came.interval,
        ),
        key_name=identity.key_name(key),
        key=key,
    )


def _refused(why: str) -> InvalidError:
    return InvalidError(
        "join.answer",
        f"The plane's answer is not taken: {why.rstrip('.')}.",
        "Try again; if it stays so, look whether plane and agent are of versions that know each other.",
    )


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
