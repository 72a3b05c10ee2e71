# SPDX-License-Identifier: Apache-2.0
"""Keys and roots of trust as people read them: whose they are, who signed, who is missing, and what comes next."""

from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from checkvalve.cli import output, roots, times
from checkvalve.cli.invocation import Invocation
from checkvalve.cli.roots import Root
from checkvalve.crypto import keyfile, keys, metadata
from checkvalve.errors import InvalidError


class Key(msgspec.Struct, frozen=True):
    """What a file says of a key; `sealed` is None of a public one."""

    kind: str
    name: str
    keyid: str
    sealed: bool | None = None


def is_pem(data: bytes) -> bool:
    """Tell whether this is a key as other programs write it."""
    return data.lstrip().startswith(b"-----BEGIN")


def what(data: bytes, previous: bytes | None) -> Key | Root:
    """Return what this file is; `InvalidError` (`key.file`, `key.form`, `metadata.*`) if it is none in order."""
    if is_pem(data):
        return Key("public key", "", metadata.keyid(keys.load_public(data)))
    if b'"signed"' in data:
        return roots.told(data, previous)
    try:
        sealed = keyfile.described(data)
        return Key("private key", sealed.name, sealed.keyid, sealed=sealed.sealed)
    except InvalidError as error:
        try:
            public = keyfile.read_public(data)
        except InvalidError:
            raise error from None
        return Key("public key", public.name, public.keyid)


def key_pairs(key: Key) -> list[tuple[str, str]]:
    """Return what to show of a key."""
    kept = {None: "", True: "sealed with a passphrase", False: "NOT sealed: whoever has this file can sign"}
    return [("what", key.kind), ("name", key.name), ("key id", key.keyid), ("kept", kept[key.sealed])]


def root(told: Root, tell: Callable[[str], None]) -> None:
    """Tell what a root of trust says, and who has signed it."""
    pairs = [("what", f"root of trust, version {told.version}"), ("expires", times.short(told.expires))]
    for role in told.roles:
        pairs.append((role.name, f"{role.threshold} of {len(role.keyids)} must sign"))
        pairs += [("", each) for each in role.keyids]
    for asks in told.asks:
        whose = "signed" if asks.version == told.version else f"as after {asks.version}"
        pairs.append((whose, f"{len(asks.signed)} of {asks.threshold} needed"))
        pairs += [("", f"{each}  {'has signed' if each in asks.signed else 'may sign'}") for each in asks.keyids]
    width = max(len(name) for name, _ in pairs)
    for name, value in pairs:
        tell(f"{name.ljust(width)}  {value}")


def onward(told: Root, file: str, previous: str) -> None:
    """Say who has still to sign, and what to type next."""
    if told.complete:
        output.say(f"It is signed by all it needs. Next: checkvalve trust install {file}")
        return
    for asks in told.asks:
        if asks.missing:
            who = "its root keys" if asks.version == told.version else f"the root keys of version {asks.version}"
            output.say(f"Signatures still to come from {who}: {asks.missing}")
    if told.version > 1 and len(told.asks) == 1:
        output.say(
            f"The root keys of version {told.version - 1} sign as well; --previous FILE shows whose are missing."
        )
    more = f" --previous {previous}" if previous else " --previous FILE" if told.version > 1 else ""
    output.say(f"Next: checkvalve keys sign {file} --key NAME.key{more}")


def answer(run: Invocation, told: msgspec.Struct, tell: Callable[[], None], brief: str) -> None:
    """Print what this machine itself found out, in the form that was asked for."""
    if run.flags.as_json:
        output.json(msgspec.json.encode(told))
    elif run.flags.quiet:
        output.say(brief)
    else:
        tell()


def in_words(moment: str, now: datetime) -> str:
    """Return how far away a moment of the plane is: `in 12 days`, `2 hours ago`."""
    try:
        found = datetime.fromisoformat(moment)
    except ValueError:
        return moment
    seconds = (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() - now.timestamp()
    for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if abs(seconds) >= length:
            count = int(abs(seconds) // length)
            text = f"{count} {unit}{'' if count == 1 else 's'}"
            return f"in {text}" if seconds > 0 else f"{text} ago"
    return "now"
