# SPDX-License-Identifier: Apache-2.0
"""The keys that decide what may run: `keys make|init|sign|show`. None of these asks a plane or needs a network.

Rules: 1. a private key is written to its own file and nowhere else, sealed unless somebody says not to; 2. nothing is
overwritten; 3. a root keeps what the root before had, but for what is said.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from checkvalve import clock
from checkvalve.cli import files, output, passphrases, roots, trustview
from checkvalve.cli.failures import UsageError
from checkvalve.cli.files import New
from checkvalve.cli.invocation import Invocation, noun, verb
from checkvalve.cli.passphrases import Asked
from checkvalve.crypto import keyfile, keys, metadata, trustset
from checkvalve.crypto.keys import PrivateKey, PublicKey
from checkvalve.errors import InvalidError

Out = Annotated[str, typer.Option(metavar="DIR", help="Folder to write to; made if it is not there.")]
KeyFile = Annotated[str, typer.Option("--key", metavar="FILE", help="Your own key file, NAME.key.")]
Previous = Annotated[str, typer.Option(metavar="FILE", help="The root of trust that this one follows.")]
Pubs = Annotated[list[str], typer.Option(metavar="PUB", help="NAME.pub of who holds such a key; may be said again.")]
Threshold = Annotated[int, typer.Option(min=0, max=100, metavar="N", help="How many of them must sign; 0: as it was.")]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


def register(app: typer.Typer) -> None:
    """Add the noun."""
    group = noun(app, "keys", "Keys that decide what may run; away from the plane, without a network.")
    verb(group, "make", "checkvalve keys make anna --out keys")(make)
    verb(group, "init", "checkvalve keys init --plane-key online.pub --out keys")(init)
    verb(group, "sign", "checkvalve keys sign root.json --key anna.key")(sign)
    verb(group, "show", "checkvalve keys show root.json")(show)


def make(
    run: Invocation,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose it is; the files are called so.")],
    *,
    out: Out = ".",
    passphrase_file: passphrases.File = "",
    no_passphrase: passphrases.None_ = False,
) -> None:
    """Make a key of your own: NAME.key, which nobody else gets, and NAME.pub, to hand over."""
    if not _NAME.fullmatch(name):
        raise UsageError("key.name", f"{name!r} is no name of a key.", "Use letters, digits, dots and dashes: anna.")
    folder, key = Path(out), keys.make()
    files.absent(*_paths(folder, name))
    phrase = Asked(passphrase_file, none=no_passphrase).new(f"{name}.key")
    files.make(_written(folder, name, key, phrase))
    key_path, public_path = _paths(folder, name)
    told = trustview.Key("private key", name, metadata.keyid(key.public_key()), sealed=bool(phrase))

    def tell() -> None:
        output.say(f"Made {key_path}  {told.keyid}")
        output.say(f"Keep it, and a copy elsewhere. Hand over only {public_path}.")

    trustview.answer(run, told, tell, told.keyid)


@dataclass(frozen=True)
class _Plan:
    """A root to write: the keys of each role, and those of them that are made for it."""

    version: int
    online: PublicKey
    root: roots.Keys
    targets: roots.Keys
    made: Mapping[str, PrivateKey]

    def file(self, days: int) -> bytes:
        """Return root.json, signed with the root key that was made, if one was."""
        payload = metadata.new_root(
            version=self.version,
            expires=clock.now().replace(microsecond=0) + timedelta(days=days),
            root=self.root.public,
            root_threshold=self.root.threshold,
            targets=self.targets.public,
            targets_threshold=self.targets.threshold,
            online=self.online,
        )
        signed = [metadata.sign(payload, self.made[metadata.ROOT])] if metadata.ROOT in self.made else []
        return metadata.assemble(payload, signed)


def init(  # noqa: PLR0913 - one option each, and they belong to one deed
    run: Invocation,
    *,
    plane_key: Annotated[
        str, typer.Option(metavar="FILE", help="The plane's public key: `trust plane-key`, or keys/online.pub there.")
    ] = "",
    out: Out = ".",
    root: Pubs = [],  # noqa: B006
    root_threshold: Threshold = 0,
    targets: Pubs = [],  # noqa: B006
    targets_threshold: Threshold = 0,
    days: Annotated[int, typer.Option(min=1, max=3650, help="How long it is good.")] = 365,
    previous: Previous = "",
    passphrase_file: passphrases.File = "",
    no_passphrase: passphrases.None_ = False,
) -> None:
    """Write a root of trust: who decides what may run, and which plane hands it out.

    Without --root and --targets it makes a key for each. With --previous it keeps whatever is not said, and is
    written as N.root.json.
    """
    before = files.read(previous, metadata.LARGEST) if previous else None
    plan = _plan(before, plane_key, (root, root_threshold), (targets, targets_threshold))
    folder = Path(out)
    path = folder / ("root.json" if plan.version == 1 else f"{plan.version}.root.json")
    files.absent(path, *(each for name in plan.made for each in _paths(folder, name)))
    names = " and ".join(f"{name}.key" for name in plan.made)
    phrase = Asked(passphrase_file, none=no_passphrase).new(names) if plan.made else ""
    written: dict[Path, New] = {}
    for name, key in plan.made.items():
        written |= _written(folder, name, key, phrase)
    data = plan.file(days)
    files.make({**written, path: New(data)})
    told = roots.told(data, before)

    def tell() -> None:
        for each in written:
            output.say(f"Made {each}")
        output.say(f"Made {path}  version {told.version}, until {told.expires[:10]}")
        trustview.onward(told, str(path), previous)

    trustview.answer(run, told, tell, str(path))


def sign(
    run: Invocation,
    file: Annotated[str, typer.Argument(metavar="ROOT.JSON", help="A root of trust that waits for signatures.")],
    *,
    key: KeyFile,
    previous: Previous = "",
    passphrase_file: passphrases.File = "",
) -> None:
    """Add your signature to a root of trust; look at it first with `keys show`."""
    data = files.read(file, metadata.LARGEST)
    before = files.read(previous, metadata.LARGEST) if previous else None
    told = roots.told(data, before)
    sealed = files.read(key, keyfile.LARGEST)
    whose = keyfile.described(sealed)
    if all(whose.keyid not in asks.keyids for asks in told.asks):
        raise InvalidError(
            "key.foreign",
            f"{whose.name} is no root key of {file}.",
            "If it is one of the root before, give that with --previous FILE."
            if told.version > 1 and before is None
            else "Sign with a key that `checkvalve keys show` lists under root.",
        )
    if any(whose.keyid in asks.signed for asks in told.asks):
        output.note(f"{whose.name} has signed {file} already; it stays as it is.")
    else:
        private = opened(sealed, key, passphrase_file)
        payload = metadata.payload(data)
        added = metadata.assemble(payload, [*metadata.signatures(data), metadata.sign(payload, private)])
        files.replace(Path(file), added)
        told = roots.told(added, before)

    def tell() -> None:
        output.say(f"{whose.name} has signed {file}.")
        trustview.onward(told, file, previous)

    trustview.answer(run, told, tell, whose.keyid)


def show(
    run: Invocation,
    file: Annotated[str, typer.Argument(metavar="FILE", help="A key, a public key, or a root of trust.")],
    *,
    previous: Previous = "",
) -> None:
    """Tell what a file is: whose key, or which root, signed by whom, and who is missing."""
    data = files.read(file, metadata.LARGEST)
    before = files.read(previous, metadata.LARGEST) if previous else None
    told = trustview.what(data, before)

    def tell() -> None:
        if isinstance(told, trustview.Key):
            output.fields(trustview.key_pairs(told))
        else:
            trustview.root(told, output.say)
            trustview.onward(told, file, previous)

    trustview.answer(run, told, tell, told.keyid if isinstance(told, trustview.Key) else str(told.version))


def opened(sealed: bytes, file: str, passphrase_file: str) -> PrivateKey:
    """Return the key of a key file, asking for its passphrase if it has one; `InvalidError` (`key.passphrase`)."""
    whose = keyfile.described(sealed)
    if not whose.sealed and files.shared(file):
        output.note(f"{file} is not sealed, and others on this machine can read it: chmod 600 {file}")
    return keyfile.open_(sealed, Asked(passphrase_file).known(file) if whose.sealed else "")


def _plan(
    before: bytes | None, plane_key: str, root: tuple[Sequence[str], int], targets: tuple[Sequence[str], int]
) -> _Plan:
    kept: Mapping[str, roots.Keys] = {}
    version = 1
    if before is not None:
        trustset.begin(before)  # a root that was never signed is followed by none
        kept, version = roots.of_role(before), metadata.seen(before).version + 1
    made: dict[str, PrivateKey] = {}
    chosen: dict[str, roots.Keys] = {}
    for name, (given, threshold) in ((metadata.ROOT, root), (metadata.TARGETS, targets)):
        public = tuple(_public(each) for each in given)
        if not public and name in kept:
            public = kept[name].public
        elif not public:
            made[name] = keys.make()
            public = (made[name].public_key(),)
        needed = threshold or (kept[name].threshold if name in kept and not given else 1)
        chosen[name] = _whole(name, roots.Keys(public, needed))
    if plane_key:
        online = _public(plane_key)
    elif metadata.TIMESTAMP in kept:
        online = kept[metadata.TIMESTAMP].public[0]
    else:
        raise UsageError(
            "key.plane",
            "For which plane this root is to be is not said.",
            "Give --plane-key online.pub: `checkvalve trust plane-key` prints it, and it is keys/online.pub there.",
        )
    if metadata.keyid(online) in {metadata.keyid(one) for each in chosen.values() for one in each.public}:
        raise UsageError(
            "key.plane",
            "The plane's own key cannot be one of those that decide over it.",
            "Give people's keys as --root and --targets, and the plane's as --plane-key.",
        )
    return _Plan(version, online, chosen[metadata.ROOT], chosen[metadata.TARGETS], made)


def _whole(name: str, wanted: roots.Keys) -> roots.Keys:
    """Refuse a role that its keys could never fill."""
    if len({metadata.keyid(one) for one in wanted.public}) < len(wanted.public):
        raise UsageError("key.twice", f"A key is named twice for {name}.", "Name each person's key once.")
    if wanted.threshold > len(wanted.public):
        raise UsageError(
            "key.threshold",
            f"{wanted.threshold} signatures of {len(wanted.public)} keys for {name} can never be had.",
            f"Give more --{name} PUB, or a smaller --{name}-threshold.",
        )
    return wanted


def _public(file: str) -> PublicKey:
    data = files.read(file, keyfile.LARGEST)
    return keys.load_public(data) if trustview.is_pem(data) else keyfile.read_public(data).key


def _paths(folder: Path, name: str) -> tuple[Path, Path]:
    return folder / f"{name}.key", folder / f"{name}.pub"


def _written(folder: Path, name: str, key: PrivateKey, phrase: str) -> dict[Path, New]:
    sealed = keyfile.seal(key, name, phrase, clock.entropy(keyfile.SALT_SIZE), clock.entropy(keyfile.NONCE_SIZE))
    own, public = _paths(folder, name)
    return {own: New(sealed, files.SECRET), public: New(keyfile.public(name, key.public_key()))}
