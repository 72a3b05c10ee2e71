# SPDX-License-Identifier: Apache-2.0
"""What may be believed: our own rules, hostile bytes, and the same verdicts as python-tuf's client.

The cases of the public conformance suite are in `test_conformance`.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tuf.api.exceptions import EqualVersionNumberError, RepositoryError
from tuf.ngclient._internal.trusted_metadata_set import TrustedMetadataSet
from tuf.ngclient.config import EnvelopeType

from checkvalve.crypto import metadata, trustset
from checkvalve.crypto.metadata import ROOT, SNAPSHOT, TARGETS, TIMESTAMP
from checkvalve.crypto.trustset import Trusted
from checkvalve.errors import InvalidError
from tests.crypto.world import (
    EARLIER,
    KEYS,
    LATER,
    NOON,
    ORG,
    ROLES,
    SPARE,
    Client,
    Origin,
    client,
    public,
    repository,
    signed,
    target,
)

REPO = repository()
LINE = f"{ORG}/press"


def trusted(upto: str = TARGETS) -> Trusted:
    held = trustset.begin(REPO.roots[0])
    for role, step in (
        (TIMESTAMP, trustset.with_timestamp),
        (SNAPSHOT, trustset.with_snapshot),
        (TARGETS, trustset.with_targets),
    ):
        if role == upto:
            break
        held = step(held, REPO.files[role], NOON)
    return held


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(InvalidError) as caught:
        call()
    assert caught.value.sentence
    assert caught.value.remedy
    return caught.value.code


def test_a_step_before_its_turn_is_refused() -> None:
    bare = trustset.begin(REPO.roots[0])
    assert refused(lambda: trustset.with_snapshot(bare, REPO.files[SNAPSHOT], NOON)) == "metadata.order"
    assert refused(lambda: trustset.with_targets(bare, REPO.files[TARGETS], NOON)) == "metadata.order"
    half = trustset.with_timestamp(bare, REPO.files[TIMESTAMP], NOON)
    assert refused(lambda: trustset.with_targets(half, REPO.files[TARGETS], NOON)) == "metadata.order"


def test_targets_wait_for_the_snapshot_that_a_newer_timestamp_names() -> None:
    repo = repository()
    device = client(repo)
    device.refresh(repo)
    repo.publish_all()
    ahead = trustset.with_timestamp(device.trusted, repo.files[TIMESTAMP], NOON)
    assert trustset.wanted(ahead) == (SNAPSHOT, 2)
    assert refused(lambda: trustset.with_targets(ahead, repo.files[TARGETS], NOON)) == "metadata.order"


def test_a_file_of_another_role_is_refused() -> None:
    held = trusted()
    assert refused(lambda: trustset.begin(REPO.files[TARGETS])) == "metadata.role"
    assert refused(lambda: trustset.with_root(held, REPO.files[TARGETS])) == "metadata.role"
    assert refused(lambda: trustset.with_timestamp(held, REPO.files[SNAPSHOT], NOON)) == "metadata.role"
    assert refused(lambda: trustset.with_snapshot(held, REPO.files[TARGETS], NOON)) == "metadata.mismatch"
    assert refused(lambda: trustset.with_targets(held, REPO.files[SNAPSHOT], NOON)) == "metadata.mismatch"


def test_the_same_again_changes_nothing() -> None:
    held = trusted("")
    assert trustset.with_timestamp(held, REPO.files[TIMESTAMP], NOON) is held
    assert trustset.with_snapshot(held, REPO.files[SNAPSHOT], NOON) == held
    assert trustset.with_targets(held, REPO.files[TARGETS], NOON) == held
    assert trustset.wanted(held) is None


def test_the_same_timestamp_again_is_refused_once_it_has_expired() -> None:
    repo = repository()
    repo.expires[TIMESTAMP] = NOON + timedelta(days=1)
    repo.publish(TIMESTAMP)
    held = trustset.with_timestamp(trustset.begin(repo.roots[0]), repo.files[TIMESTAMP], NOON)
    late = NOON + timedelta(days=1)
    assert refused(lambda: trustset.with_timestamp(held, repo.files[TIMESTAMP], late)) == "metadata.expired"


def test_size_is_asked_before_a_hash_is_made() -> None:
    held, huge = trusted(""), b"[" * (metadata.LARGEST + 1)
    assert refused(lambda: trustset.begin(huge)) == "metadata.size"
    assert refused(lambda: trustset.with_root(held, huge)) == "metadata.size"
    for step in (trustset.with_timestamp, trustset.with_snapshot, trustset.with_targets):
        assert refused(lambda step=step: step(held, huge, NOON)) == "metadata.size"  # type: ignore[misc]


@pytest.mark.parametrize("version", [1, 3, 9])
def test_a_root_that_is_not_the_next_is_refused(version: int) -> None:
    repo = repository()
    repo.versions[ROOT] = version - 1
    repo.publish(ROOT)
    assert refused(lambda: trustset.with_root(trustset.begin(repo.roots[0]), repo.roots[-1])) == "metadata.gap"


def test_what_a_root_says_of_the_signatures_is_told() -> None:
    payload = metadata.payload(REPO.files[TIMESTAMP])
    with pytest.raises(InvalidError, match="0 right signatures; root 1 asks for 1"):
        trustset.with_timestamp(trusted(), signed(payload, 9), NOON)


def test_a_floor_only_rises() -> None:
    repo = repository()
    repo.floors = {LINE: 3}
    repo.publish_all()
    device = client(repo)
    assert device.refresh(repo) == ""
    for floors in ({LINE: 2}, {}, {"press": 3}):
        repo.floors = floors
        repo.publish_all()
        assert device.refresh(repo) == "metadata.floor"
        assert device.restarted().refresh(repo) == "metadata.floor"
    for floors in ({LINE: 3}, {LINE: 4, "other": 1}, {LINE: 4, "other": 2}):
        repo.floors = floors
        repo.publish_all()
        assert device.refresh(repo) == ""


def test_floors_hold_when_snapshot_keys_are_new_and_targets_may_go_back() -> None:
    repo = repository()
    repo.floors = {LINE: 3}
    repo.publish_all()
    device = client(repo)
    device.refresh(repo)
    repo.hold(SNAPSHOT, [6], 1, [6])
    repo.versions[TARGETS], repo.floors = 0, {}
    repo.publish(ROOT, TARGETS, SNAPSHOT, TIMESTAMP)
    assert device.refresh(repo) == "metadata.floor"


def test_new_targets_keys_free_from_a_floor_that_a_thief_set() -> None:
    repo = repository()
    repo.floors = {LINE: 2**53 - 1}
    repo.publish_all()
    device = client(repo)
    device.refresh(repo)
    repo.hold(TARGETS, [6], 1, [6])
    repo.floors = {LINE: 2}
    repo.publish(ROOT, TARGETS, SNAPSHOT, TIMESTAMP)
    assert device.refresh(repo) == ""


def test_targets_signed_anew_under_their_version_are_fetched_again() -> None:
    # A plane restored from a copy has people sign another list under a number that devices know.
    repo = repository()
    device = client(repo)
    device.refresh(repo)
    repo.targets = dict([target(2)])
    repo.publish(TARGETS, bump=False)
    repo.publish_online()
    assert device.refresh(repo) == ""
    assert device.trusted.targets == repo.files[TARGETS]


@pytest.mark.parametrize("role", ROLES)
def test_stale_names_what_has_expired(role: str) -> None:
    repo = Origin(expires={each: NOON + timedelta(days=30 if each == role else 60) for each in ROLES})
    repo.publish(ROOT, TARGETS, SNAPSHOT, TIMESTAMP)
    device = client(repo)
    assert device.refresh(repo) == ""
    assert trustset.stale(device.trusted, LATER - timedelta(seconds=1)) is None
    assert trustset.stale(device.trusted, LATER) == role
    assert trustset.stale(trustset.begin(repo.roots[0]), LATER) == (ROOT if role == ROOT else None)


@pytest.mark.parametrize("role", [ROOT, TIMESTAMP, SNAPSHOT])
def test_nothing_is_taken_below_what_has_expired(role: str) -> None:
    repo = Origin(expires={each: NOON + timedelta(days=30 if each == role else 60) for each in ROLES})
    repo.publish(ROOT, TARGETS, SNAPSHOT, TIMESTAMP)
    device = client(repo)
    device.refresh(repo)
    held = device.trusted
    assert refused(lambda: trustset.with_targets(held, repo.files[TARGETS], LATER)) == "metadata.expired"
    if role != SNAPSHOT:
        assert refused(lambda: trustset.with_snapshot(held, repo.files[SNAPSHOT], LATER)) == "metadata.expired"
    if role == ROOT:
        assert refused(lambda: trustset.with_timestamp(held, repo.files[TIMESTAMP], LATER)) == "metadata.expired"


def test_what_was_accepted_is_restored_at_any_time() -> None:
    repo = repository()
    device = client(repo)
    for _ in range(3):
        device.refresh(repo)
        assert device.restarted() == device
        repo.publish(ROOT, TARGETS, SNAPSHOT, TIMESTAMP)
    bare = trustset.begin(REPO.roots[0])
    assert trustset.restore(REPO.roots[0], None, None, None) == bare


def test_what_this_root_does_not_sign_is_not_restored() -> None:
    root, timestamp, snapshot, targets = (REPO.files[role] for role in ROLES)
    foreign = signed(metadata.payload(timestamp), 9)
    assert refused(lambda: trustset.restore(root, foreign, snapshot, targets)) == "metadata.signature"
    assert refused(lambda: trustset.restore(root, timestamp, targets, targets)) == "metadata.role"
    assert refused(lambda: trustset.restore(root, timestamp, b"", targets)) == "metadata.form"
    assert refused(lambda: trustset.restore(b"", timestamp, snapshot, targets)) == "metadata.form"


def test_a_lagging_file_goes_on_protecting_after_a_restart() -> None:
    repo = repository()
    device = client(repo)
    repo.publish_all()
    device.refresh(repo)
    repo.publish_all()
    ahead = Client(trustset.with_timestamp(device.trusted, repo.files[TIMESTAMP], NOON)).restarted()
    assert ahead.versions == (1, 3, 2, 2)
    repo.versions[TARGETS] = 0
    repo.publish_all()
    assert ahead.refresh(repo) == "metadata.rollback"


@given(st.binary(max_size=300))
def test_any_bytes_are_trusted_or_refused(data: bytes) -> None:
    held = trusted("")
    for step in (trustset.with_timestamp, trustset.with_snapshot, trustset.with_targets):
        with pytest.raises(InvalidError):
            step(held, data, NOON)
    with pytest.raises(InvalidError):
        trustset.begin(data)
    with pytest.raises(InvalidError):
        trustset.with_root(held, data)
    with pytest.raises(InvalidError):
        trustset.restore(held.root, data, None, None)


@given(st.sampled_from([ROOT, TIMESTAMP]), st.integers(0), st.integers(0, 255))
@settings(max_examples=400)
def test_one_changed_byte_is_refused_or_changes_nothing_that_was_signed(role: str, place: int, byte: int) -> None:
    file = bytearray(REPO.files[role])
    file[place % len(file)] = byte
    data = bytes(file)
    try:
        if role == ROOT:
            trustset.begin(data)
        else:
            trustset.with_timestamp(trusted(TIMESTAMP), data, NOON)
    except InvalidError:
        return
    assert metadata.payload(data) == metadata.payload(REPO.files[role])


@pytest.mark.parametrize("role", [SNAPSHOT, TARGETS])
def test_no_byte_can_be_changed_of_what_is_named_by_its_hash(role: str) -> None:
    held = trusted("")
    step = trustset.with_snapshot if role == SNAPSHOT else trustset.with_targets
    for place in range(0, len(REPO.files[role]), 7):
        file = bytearray(REPO.files[role])
        file[place] ^= 1
        assert refused(lambda data=bytes(file): step(held, data, NOON)) == "metadata.mismatch"  # type: ignore[misc]


def test_python_tufs_client_takes_a_root_that_people_made_and_all_below_it() -> None:
    root = metadata.new_root(
        version=1,
        expires=LATER,
        root=public(0, 1, 2),
        root_threshold=2,
        targets=public(3, 4),
        targets_threshold=2,
        online=SPARE.public_key(),
    )
    path, entry = target(4)
    listed = signed(metadata.new_targets(version=1, expires=LATER, targets={path: entry}, floors={LINE: 2}), 3, 4)

    def online(payload: bytes) -> bytes:
        return metadata.assemble(payload, [metadata.sign(payload, SPARE)])

    snapshot = online(metadata.new_snapshot(version=5, expires=LATER, targets_version=1, targets=listed))
    timestamp = online(metadata.new_timestamp(version=6, expires=LATER, snapshot_version=5, snapshot=snapshot))
    theirs = TrustedMetadataSet(signed(root, 2, 0), EnvelopeType.METADATA)
    theirs.reference_time = NOON
    theirs.update_timestamp(timestamp)
    theirs.update_snapshot(snapshot)
    found = theirs.update_targets(listed).targets[path]
    assert (found.length, found.hashes) == (entry.length, {"sha256": entry.sha256})
    ours = trustset.with_timestamp(trustset.begin(signed(root, 2, 0)), timestamp, NOON)
    ours = trustset.with_targets(trustset.with_snapshot(ours, snapshot, NOON), listed, NOON)
    assert (ours.root_version, ours.timestamp_version, ours.snapshot_version, ours.targets_version) == (1, 6, 5, 1)


@dataclass
class Theirs:
    """The workflow of python-tuf's `Updater.refresh`, over its own trust set, with its files in a dictionary."""

    files: dict[str, bytes] = field(default_factory=dict)

    def refresh(self, repository: Origin, now: datetime) -> bool:
        held = TrustedMetadataSet(self.files[ROOT], EnvelopeType.METADATA)
        held.reference_time = now
        try:
            while (data := repository.fetch(ROOT, held.root.version + 1)) is not None:
                held.update_root(data)
                self.files[ROOT] = data
            self._timestamp(held, repository)
            self._below(
                SNAPSHOT, repository, lambda data: held.update_snapshot(data, trusted=True), held.update_snapshot
            )
            self._below(TARGETS, repository, held.update_targets, held.update_targets)
        except RepositoryError:
            return False
        return True

    def _timestamp(self, held: TrustedMetadataSet, repository: Origin) -> None:
        if TIMESTAMP in self.files:
            with contextlib.suppress(RepositoryError):
                held.update_timestamp(self.files[TIMESTAMP])
        try:
            held.update_timestamp(repository.files[TIMESTAMP])
        except EqualVersionNumberError:
            return
        self.files[TIMESTAMP] = repository.files[TIMESTAMP]

    def _below(
        self,
        role: str,
        repository: Origin,
        local: Callable[[bytes], object],
        remote: Callable[[bytes], object],
    ) -> None:
        if role in self.files:
            try:
                local(self.files[role])
            except RepositoryError:
                pass
            else:
                return
        remote(repository.files[role])
        self.files[role] = repository.files[role]


STEPS = st.one_of(
    st.tuples(st.just("publish"), st.sampled_from([TARGETS, SNAPSHOT, TIMESTAMP]), st.sampled_from([1, 10, 10, -1])),
    st.tuples(st.just("all"), st.just(TARGETS), st.just(10)),
    st.tuples(st.just("online"), st.just(SNAPSHOT), st.just(10)),
    st.tuples(st.just("root"), st.sampled_from(["", "old", "new", "gap"]), st.just(1)),
    st.tuples(st.just("rotate"), st.sampled_from(ROLES), st.just(1)),
    st.tuples(st.just("expiry"), st.sampled_from(ROLES), st.sampled_from([-5, 1, 30])),
    st.tuples(st.just("thief"), st.sampled_from([TIMESTAMP, SNAPSHOT, TARGETS]), st.just(1)),
    st.tuples(st.just("replay"), st.sampled_from([TIMESTAMP, SNAPSHOT, TARGETS]), st.integers(0, 3)),
    st.tuples(st.just("wait"), st.just(""), st.sampled_from([1, 2])),
    st.tuples(st.just("refresh"), st.just(""), st.just(0)),
)


@dataclass
class History:
    """A repository that does as it is told. No version is ever given to two files: that is where we are stricter."""

    repo: Origin = field(default_factory=repository)
    made: dict[str, list[tuple[int, bytes]]] = field(default_factory=lambda: {role: [] for role in ROLES})
    used: dict[str, set[int]] = field(default_factory=lambda: {role: {1} for role in ROLES})
    now: datetime = NOON
    next_key: int = 4

    def publish(self, role: str, by: int) -> None:
        version = max(1, self.repo.versions[role] + by)
        while version in self.used[role]:
            version += 1
        self.used[role].add(version)
        self.repo.versions[role] = version
        self.repo.publish(role, bump=False)
        self.made[role].append((version, self.repo.files[role]))

    def root(self, sort: str) -> None:
        """Publish a root: a good one, or one that lacks the old or the new signatures, or leaves one out."""
        version, holder = self.repo.versions[ROOT], self.repo.holders[ROOT]
        before, signing = holder.named, holder.signing
        if sort in ("old", "new"):
            self.repo.hold(ROOT, [self.fresh()], 1, [])
            self.repo.holders[ROOT].signing = before if sort == "new" else self.repo.holders[ROOT].named
        self.repo.versions[ROOT] += sort == "gap"
        self.repo.publish(ROOT)
        if sort:  # a bad one is served for one refresh, and then was never there
            self.refresh_both()
            self.repo.roots.pop()
            self.repo.versions[ROOT] = version
            self.repo.hold(ROOT, before, 1, signing)

    def fresh(self) -> int:
        self.next_key += 1
        return self.next_key - 1

    def rotate(self, role: str) -> None:
        old, new = self.repo.holders[role].named, self.fresh()
        self.repo.hold(role, [new], 1, [*old, new] if role == ROOT else [new])
        self.repo.publish(ROOT)
        self.repo.holders[role].signing = [new]

    def step(self, kind: str, what: str, number: int) -> None:
        match kind:
            case "publish":
                self.publish(what, number)
            case "all" | "online":
                for role in (TARGETS, SNAPSHOT, TIMESTAMP)[kind == "online" :]:
                    self.publish(role, number)
            case "root":
                self.root(what)
            case "rotate":
                self.rotate(what)
            case "expiry":
                self.repo.expires[what] = self.now + timedelta(days=number)
            case "thief":
                holder = self.repo.holders[what]
                self.repo.hold(what, holder.named, 1, [39])
                self.publish(what, 10)
                self.repo.hold(what, holder.named, 1, holder.named)
            case "replay" if self.made[what]:
                version, file = self.made[what][number % len(self.made[what])]
                self.repo.versions[what], self.repo.files[what] = version, file
            case "wait":
                self.now += timedelta(days=number)
            case _:
                pass
        self.refresh_both()

    def refresh_both(self) -> None:
        ours = self.ours.refresh(self.repo, self.now)
        theirs = self.theirs.refresh(self.repo, self.now)
        assert (ours == "") == theirs, ours
        held = self.ours.trusted
        for role, file in zip(ROLES, (held.root, held.timestamp, held.snapshot, held.targets), strict=True):
            assert file is None or file == self.theirs.files[role]
        assert self.ours.restarted() == self.ours

    def __post_init__(self) -> None:
        self.ours = client(self.repo)
        self.theirs = Theirs({ROOT: self.repo.roots[0]})
        for role in (TARGETS, SNAPSHOT, TIMESTAMP):
            self.made[role].append((1, self.repo.files[role]))
        self.refresh_both()


@pytest.mark.slow
@given(st.lists(STEPS, min_size=1, max_size=14))
@settings(max_examples=150)
def test_any_history_ends_as_it_does_for_python_tufs_client(steps: list[tuple[str, str, int]]) -> None:
    history = History()
    for step in steps:
        history.step(*step)


def test_the_comparison_sees_both_verdicts() -> None:
    history = History()
    for step in (("expiry", TIMESTAMP, -5), ("online", SNAPSHOT, 10), ("rotate", ROOT, 1), ("root", "gap", 1)):
        history.step(*step)
    assert history.repo.expires[TIMESTAMP] == EARLIER
    assert history.ours.versions == (2, 1, 1, 1)
    assert len(KEYS) > history.next_key
