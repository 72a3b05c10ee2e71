# SPDX-License-Identifier: Apache-2.0
"""A small TUF repository and a client of it: what tests of metadata play with.

The repository is honest until a test turns its knobs: versions, expiries, who signs. The client does what a device
will: roots one by one until there is none, the timestamp, then whatever `wanted` names, keeping each step that was
accepted.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from checkvalve.crypto import digests, keys, metadata, metafile, strictjson, trustset
from checkvalve.crypto.metadata import ROOT, SNAPSHOT, TARGETS, TIMESTAMP, Signature, Target
from checkvalve.errors import InvalidError

NOON = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)
LATER = NOON + timedelta(days=30)
EARLIER = NOON - timedelta(days=5)
KEYS = tuple(keys.make() for _ in range(40))
IDS = tuple(metadata.keyid(key.public_key()) for key in KEYS)
ROLES = (ROOT, TIMESTAMP, SNAPSHOT, TARGETS)
ORG = "01jd0000000000000000000000"


def public(*numbers: int) -> list[keys.PublicKey]:
    """Return the public halves of these test keys."""
    return [KEYS[number].public_key() for number in numbers]


def signed(payload: bytes, *numbers: int) -> bytes:
    """Return the file of a payload, signed with these test keys."""
    return metadata.assemble(payload, [metadata.sign(payload, KEYS[number]) for number in numbers])


def target(number: int, name: str = "press") -> tuple[str, Target]:
    """Return the path and the entry of a release of this number."""
    sha256 = digests.sha256_hex(f"{name} {number}".encode())
    return f"{ORG}/{name}/{sha256}.json", Target(100 + number, sha256, name, f"1.{number}", number)


def rewritten(payload: bytes, change: Callable[[dict[str, object]], object]) -> bytes:
    """Return the canonical bytes of a payload that was changed as plain JSON."""
    value = strictjson.loads(payload, raw_controls=True)
    assert isinstance(value, dict)
    change(value)
    return metafile.canonical(value)


@dataclass
class Held:
    """Who signs for a role: what the root says of it, and who does sign."""

    named: list[int]
    threshold: int = 1
    signing: list[int] = field(default_factory=list)


@dataclass
class Origin:
    """The newest of each role is at the end of its list; roots are fetched by number."""

    holders: dict[str, Held] = field(
        default_factory=lambda: {role: Held([number], 1, [number]) for number, role in enumerate(ROLES)}
    )
    versions: dict[str, int] = field(default_factory=lambda: dict.fromkeys(ROLES, 0))
    expires: dict[str, datetime] = field(default_factory=lambda: dict.fromkeys(ROLES, LATER))
    targets: dict[str, Target] = field(default_factory=lambda: dict([target(1)]))
    floors: dict[str, int] = field(default_factory=dict)
    change: Mapping[str, Callable[[dict[str, object]], object]] = field(default_factory=dict)
    roots: list[bytes] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[tuple[str, int]] = field(default_factory=list)

    def publish(self, *roles: str, bump: bool = True) -> None:
        """Make these roles anew and sign them, in the order given."""
        for role in roles:
            self.versions[role] += bump
            holder = self.holders[role]
            payload = self._payload(role)
            file = signed(rewritten(payload, self.change.get(role, lambda _: None)), *holder.signing)
            if role == ROOT:
                self.roots.append(file)
            self.files[role] = file

    def publish_online(self, *, bump: bool = True) -> None:
        """Make snapshot and timestamp anew, as a plane does."""
        self.publish(SNAPSHOT, TIMESTAMP, bump=bump)

    def publish_all(self) -> None:
        """Make targets and all above them anew."""
        self.publish(TARGETS, SNAPSHOT, TIMESTAMP)

    def hold(self, role: str, named: Iterable[int], threshold: int, signing: Iterable[int]) -> None:
        """Name keys for a role from the next root on, and let these sign."""
        self.holders[role] = Held(list(named), threshold, list(signing))

    def fetch(self, role: str, version: int) -> bytes | None:
        """Return the file, as a device asks for it."""
        self.asked.append((role, version))
        if role == ROOT:
            return self.roots[version - 1] if version <= len(self.roots) else None
        return self.files[role]

    def _payload(self, role: str) -> bytes:
        version, expires = self.versions[role], self.expires[role]
        if role == ROOT:
            return self._root()
        if role == TARGETS:
            return metadata.new_targets(version=version, expires=expires, targets=self.targets, floors=self.floors)
        if role == SNAPSHOT:
            return metadata.new_snapshot(
                version=version,
                expires=expires,
                targets_version=self.versions[TARGETS],
                targets=self.files[TARGETS],
            )
        return metadata.new_timestamp(
            version=version, expires=expires, snapshot_version=self.versions[SNAPSHOT], snapshot=self.files[SNAPSHOT]
        )

    def _root(self) -> bytes:
        # By hand beyond what `new_root` makes: roles with keys of their own, thresholds out of reach.
        every = sorted({number for holder in self.holders.values() for number in holder.named})
        made = metadata.new_root(
            version=self.versions[ROOT],
            expires=self.expires[ROOT],
            root=public(*every),
            root_threshold=1,
            targets=public(*every),
            targets_threshold=1,
            online=SPARE.public_key(),
        )

        def roles(value: dict[str, object]) -> None:
            named = {
                role: {"keyids": [IDS[number] for number in holder.named], "threshold": holder.threshold}
                for role, holder in self.holders.items()
            }
            held = value["keys"]
            assert isinstance(held, dict)
            value.update(roles=named, keys={keyid: key for keyid, key in held.items() if keyid in IDS})

        return rewritten(made, roles)


SPARE = keys.make()


def repository() -> Origin:
    """Return one that published version 1 of everything."""
    made = Origin()
    made.publish(ROOT, TARGETS, SNAPSHOT, TIMESTAMP)
    return made


@dataclass
class Client:
    """A device: what it trusts, and nothing else."""

    trusted: trustset.Trusted

    def refresh(self, repository: Origin, now: datetime = NOON) -> str:
        """Ask for all that is new; return the code of the refusal that ended it, or nothing."""
        try:
            while (data := repository.fetch(ROOT, self.trusted.root_version + 1)) is not None:
                self.trusted = trustset.with_root(self.trusted, data)
            timestamp = repository.fetch(TIMESTAMP, 0)
            assert timestamp is not None
            self.trusted = trustset.with_timestamp(self.trusted, timestamp, now)
            while (due := trustset.wanted(self.trusted)) is not None:
                file = repository.fetch(*due)
                assert file is not None
                step = trustset.with_snapshot if due[0] == SNAPSHOT else trustset.with_targets
                self.trusted = step(self.trusted, file, now)
        except InvalidError as error:
            return error.code
        return "" if trustset.stale(self.trusted, now) is None else "metadata.expired"

    @property
    def versions(self) -> tuple[int, int, int, int]:
        """Return the versions of root, timestamp, snapshot and targets that are trusted."""
        held = self.trusted
        return held.root_version, held.timestamp_version, held.snapshot_version, held.targets_version

    def restarted(self) -> "Client":
        """Return the device after a restart: from its files alone."""
        held = self.trusted
        return replace(self, trusted=trustset.restore(held.root, held.timestamp, held.snapshot, held.targets))


def client(repository: Origin) -> Client:
    """Return a device that has the repository's first root pinned."""
    return Client(trustset.begin(repository.roots[0]))


def with_signatures(file: bytes, change: Callable[[tuple[Signature, ...]], Iterable[Signature]]) -> bytes:
    """Return the file with other signatures, right or wrong."""
    return metafile.write(metadata.payload(file), change(metadata.signatures(file)))
