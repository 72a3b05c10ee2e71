# SPDX-License-Identifier: Apache-2.0
"""The cases of theupdateframework/tuf-conformance that are about refreshing top-level metadata, told anew.

=====================================================  ===============================================================
case                                                   here
=====================================================  ===============================================================
basic: basic_init_and_refresh, implicit_refresh        test_a_first_refresh_asks_for_each_file_once_and_trusts_it
basic: invalid_initial_root, unsigned_initial_root     test_a_first_root_that_is_damaged_or_not_signed_asks_for_nothing
basic: unsigned_metadata (4)                           test_an_unsigned_file_ends_the_refresh_at_that_file
basic: timestamp_content_changes, _eq_versions_check   test_a_timestamp_that_changed_under_its_version_is_not_taken
basic: basic_metadata_hash_support,                    test_targets_of_another_hash_are_refused
  new_targets_hash_mismatch
basic: new_targets_version_mismatch                    test_targets_that_no_snapshot_names_are_not_asked_for
basic: custom_fields                                   test_fields_that_nobody_knows_are_signed_with_the_rest
expiration: root_expired                               test_an_expired_last_root_is_kept_and_nothing_else_is_taken
expiration: timestamp_, snapshot_, targets_expired     test_an_expired_file_is_not_taken
expiration: expired_metadata                           test_expired_files_still_lead_to_newer_ones
keys: root_has_keys_but_not_snapshot,                  test_a_threshold_is_reached_by_keys_the_root_names_for_the_role
  snapshot_threshold
keys: wrong_hashing_algorithm                          test_a_key_with_a_strange_field_is_a_key
keys: duplicate_keys_root                              test_one_key_under_several_ids_does_not_count_twice
rollback: simple_snapshot_rollback                     test_a_snapshot_is_not_asked_for_when_it_is_there
rollback: new_timestamp_version_rollback               test_an_older_timestamp_is_refused
rollback: snapshot_rollback[with hashes]               test_a_timestamp_that_names_an_older_snapshot_is_refused
rollback: targets_rollback[with hashes]                test_a_snapshot_that_names_older_targets_is_refused
rollback: new_snapshot_version_mismatch                test_a_snapshot_of_another_version_than_named_is_refused
rollback: new_{timestamp,snapshot,targets}_            test_new_keys_recover_from_versions_far_ahead
  fast_forward_recovery (3)
key rotations: root_rotation (15)                      test_roots_follow_each_other_by_the_keys_of_both
key rotations: non_root_rotations (10)                 test_other_roles_follow_the_keys_of_the_root
=====================================================  ===============================================================

Left out: `snapshot_rollback[basic]` and `targets_rollback[basic]`, since files without hashes are refused outright
(`test_metadata`); `delegated_expiration`, `delegation_graphs`, `quoting_issues` and
`delegates_consistent_snapshot`, since we have no delegated roles; `file_download` and hash prefixes of targets, since
releases and blobs are fetched by digest; key types other than ECDSA P-256, since a root that names one is refused
(`test_metadata`); `static_repositories`, which use both; the self-tests of its own repository.
"""

import json
from dataclasses import dataclass
from datetime import timedelta

import pytest

from checkvalve.crypto import metadata, trustset
from checkvalve.crypto.metadata import ROOT, SNAPSHOT, TARGETS, TIMESTAMP
from checkvalve.errors import InvalidError
from tests.crypto.world import EARLIER, IDS, KEYS, NOON, Client, client, repository, signed, target


def test_a_first_refresh_asks_for_each_file_once_and_trusts_it() -> None:
    repo = repository()
    device = client(repo)
    assert device.refresh(repo) == ""
    assert repo.asked == [(ROOT, 2), (TIMESTAMP, 0), (SNAPSHOT, 1), (TARGETS, 1)]
    assert device.versions == (1, 1, 1, 1)
    assert device.refresh(repo) == ""
    assert repo.asked[4:] == [(ROOT, 2), (TIMESTAMP, 0)]


def test_a_first_root_that_is_damaged_or_not_signed_asks_for_nothing() -> None:
    repo = repository()
    damaged = json.loads(repo.roots[0])
    del damaged["signed"]["version"]
    with pytest.raises(InvalidError, match=r"metadata\.form"):
        trustset.begin(json.dumps(damaged).encode())
    foreign = json.loads(repo.roots[0])
    foreign["signatures"][0]["sig"] = metadata.sign(b"something else", KEYS[0]).signature
    with pytest.raises(InvalidError, match=r"metadata\.signature"):
        trustset.begin(json.dumps(foreign).encode())


@pytest.mark.parametrize(
    ("role", "versions"),
    [(ROOT, (1, 0, 0, 0)), (TIMESTAMP, (1, 0, 0, 0)), (SNAPSHOT, (1, 2, 0, 0)), (TARGETS, (1, 2, 2, 0))],
)
def test_an_unsigned_file_ends_the_refresh_at_that_file(role: str, versions: tuple[int, ...]) -> None:
    repo = repository()
    device = client(repo)
    repo.holders[role].signing.clear()
    repo.publish(*([ROOT] if role == ROOT else [TARGETS, SNAPSHOT, TIMESTAMP]))
    assert device.refresh(repo) == "metadata.signature"
    assert device.versions == versions


def test_a_timestamp_that_changed_under_its_version_is_not_taken() -> None:
    repo = repository()
    device = client(repo)
    device.refresh(repo)
    held = device.trusted.timestamp
    repo.publish(SNAPSHOT)
    repo.publish(TIMESTAMP, bump=False)
    assert device.refresh(repo) == ""
    assert device.trusted.timestamp == held
    assert repo.asked[-1] == (TIMESTAMP, 0)


def test_targets_of_another_hash_are_refused() -> None:
    repo = repository()
    device = client(repo)
    device.refresh(repo)
    repo.publish_all()
    repo.targets = dict([target(2)])
    repo.publish(TARGETS, bump=False)
    assert device.refresh(repo) == "metadata.mismatch"
    assert device.versions == (1, 2, 2, 1)


def test_targets_that_no_snapshot_names_are_not_asked_for() -> None:
    repo = repository()
    device = client(repo)
    device.refresh(repo)
    repo.publish(TARGETS)
    assert device.refresh(repo) == ""
    assert device.versions == (1, 1, 1, 1)
    assert repo.asked[-1] == (TIMESTAMP, 0)


def add_fields(value: dict[str, object]) -> None:
    held, roles = value["keys"], value["roles"]
    assert isinstance(held, dict)
    assert isinstance(roles, dict)
    value["custom-field"] = "value"
    held[IDS[0]]["extra-field"] = {"a": 1, "b": [True, None, "\u00e9\n"]}
    roles[ROOT]["another-field"] = "value"


def test_fields_that_nobody_knows_are_signed_with_the_rest() -> None:
    repo = repository()
    device = client(repo)
    repo.change = {ROOT: add_fields}
    repo.publish(ROOT)
    assert device.refresh(repo) == ""
    assert device.versions[0] == 2
    repo.publish(ROOT)
    repo.roots[-1] = repo.roots[-1].replace(b'"custom-field":"value"', b'"custom-field":"other"')
    assert device.refresh(repo) == "metadata.signature"


def test_an_expired_last_root_is_kept_and_nothing_else_is_taken() -> None:
    repo = repository()
    device = client(repo)
    device.refresh(repo)
    repo.publish(ROOT)
    device.refresh(repo)
    repo.expires[ROOT] = EARLIER
    repo.publish(ROOT, TARGETS, SNAPSHOT, TIMESTAMP)
    assert device.refresh(repo) == "metadata.expired"
    assert device.versions == (3, 1, 1, 1)
    repo.expires[ROOT] = NOON + timedelta(days=1)
    repo.publish(ROOT)
    assert device.refresh(repo) == ""
    assert device.versions == (4, 2, 2, 2)


@pytest.mark.parametrize(
    ("role", "versions"), [(TIMESTAMP, (1, 1, 1, 1)), (SNAPSHOT, (1, 2, 1, 1)), (TARGETS, (1, 2, 2, 1))]
)
def test_an_expired_file_is_not_taken(role: str, versions: tuple[int, ...]) -> None:
    repo = repository()
    device = client(repo)
    device.refresh(repo)
    repo.expires[role] = EARLIER
    repo.publish_all()
    assert device.refresh(repo) == "metadata.expired"
    assert device.versions == versions


def test_expired_files_still_lead_to_newer_ones() -> None:
    repo = repository()
    repo.expires[TIMESTAMP] = NOON + timedelta(days=7)
    repo.publish(TIMESTAMP)
    device = client(repo)
    assert device.refresh(repo) == ""
    later = NOON + timedelta(days=18)
    assert device.refresh(repo, later) == "metadata.expired"
    repo.expires[TIMESTAMP] = NOON + timedelta(days=21)
    repo.publish_all()
    assert device.restarted().refresh(repo, later) == ""
    device.refresh(repo, later)
    assert device.versions == (1, 3, 2, 2)
    repo.versions[TIMESTAMP] = 1
    repo.publish(TIMESTAMP)
    assert device.refresh(repo, NOON + timedelta(days=20)) == "metadata.rollback"


def test_a_threshold_is_reached_by_keys_the_root_names_for_the_role() -> None:
    repo = repository()
    device = client(repo)
    device.refresh(repo)
    repo.hold(SNAPSHOT, [2, 4, 5, 6, 7], 6, [2, 4, 5, 6, 7])
    repo.publish(ROOT, SNAPSHOT, TIMESTAMP)
    assert device.refresh(repo) == "metadata.signature"
    assert device.versions[0] == 2
    assert device.versions[2] == 0  # what was signed with one key is not believed under six
    repo.hold(SNAPSHOT, [2, 4, 5], 3, [2, 4, 0, 1, 3, 8])
    repo.publish(ROOT, SNAPSHOT, TIMESTAMP)
    assert device.refresh(repo) == "metadata.signature"
    repo.holders[SNAPSHOT].signing.append(5)
    repo.publish_online()
    assert device.refresh(repo) == ""
    assert device.versions[0] == 3


def add_hash_algorithm(value: dict[str, object]) -> None:
    held = value["keys"]
    assert isinstance(held, dict)
    held[IDS[2]]["keyid_hash_algorithms"] = ["md5"]


def test_a_key_with_a_strange_field_is_a_key() -> None:
    repo = repository()
    device = client(repo)
    repo.change = {ROOT: add_hash_algorithm}
    repo.publish(ROOT, TARGETS, SNAPSHOT, TIMESTAMP)
    assert device.refresh(repo) == ""
    assert device.versions == (2, 2, 2, 2)


def add_the_same_key_again(value: dict[str, object]) -> None:
    held, roles = value["keys"], value["roles"]
    assert isinstance(held, dict)
    assert isinstance(roles, dict)
    others = [f"{number:064x}" for number in range(5)]
    held.update(dict.fromkeys(others, held[IDS[2]]))
    roles[SNAPSHOT] = {"keyids": [IDS[2], *others], "threshold": 6}


def test_one_key_under_several_ids_does_not_count_twice() -> None:
    repo = repository()
    device = client(repo)
    device.refresh(repo)
    repo.publish(ROOT)
    from_json = json.loads(repo.roots[-1])
    add_the_same_key_again(from_json["signed"])
    with pytest.raises(InvalidError, match=r"metadata\.form"):
        trustset.with_root(device.trusted, json.dumps(from_json).encode())


def test_a_snapshot_is_not_asked_for_when_it_is_there() -> None:
    repo = repository()
    device = client(repo)
    old = repo.files[SNAPSHOT]
    repo.publish_online()
    device.refresh(repo)
    repo.files[SNAPSHOT] = old
    assert device.refresh(repo) == ""
    assert device.versions[2] == 2
    assert repo.asked[-1] == (TIMESTAMP, 0)


def test_an_older_timestamp_is_refused() -> None:
    repo = repository()
    device = client(repo)
    old = repo.files[TIMESTAMP]
    repo.publish(TIMESTAMP)
    device.refresh(repo)
    repo.files[TIMESTAMP] = old
    assert device.refresh(repo) == "metadata.rollback"
    assert device.versions[1] == 2
    assert repo.asked[-1] == (TIMESTAMP, 0)


def test_a_timestamp_that_names_an_older_snapshot_is_refused() -> None:
    repo = repository()
    device = client(repo)
    repo.publish_online()
    device.refresh(repo)
    repo.versions[SNAPSHOT] = 0
    repo.publish_online()
    assert device.refresh(repo) == "metadata.rollback"
    assert device.versions == (1, 2, 2, 1)
    assert repo.asked[-1] == (TIMESTAMP, 0)


def test_a_snapshot_that_names_older_targets_is_refused() -> None:
    repo = repository()
    device = client(repo)
    repo.publish_all()
    device.refresh(repo)
    repo.versions[TARGETS] = 0
    repo.publish_all()
    assert device.refresh(repo) == "metadata.rollback"
    assert device.versions == (1, 3, 2, 2)
    assert repo.asked[-1] == (SNAPSHOT, 3)


def test_a_snapshot_of_another_version_than_named_is_refused() -> None:
    repo = repository()
    device = client(repo)
    repo.publish(SNAPSHOT)
    assert device.refresh(repo) == "metadata.mismatch"
    repo.publish(SNAPSHOT)
    repo.versions[SNAPSHOT] = 1  # the right hash, and a version that is not the file's
    repo.publish(TIMESTAMP)
    assert device.refresh(repo) == "metadata.mismatch"
    assert device.versions == (1, 2, 0, 0)


@pytest.mark.parametrize(
    ("ahead", "renewed", "published"),
    [
        (TIMESTAMP, [TIMESTAMP], [TIMESTAMP]),
        (SNAPSHOT, [SNAPSHOT, TIMESTAMP], [SNAPSHOT, TIMESTAMP]),
        (TARGETS, [SNAPSHOT], [TARGETS, SNAPSHOT, TIMESTAMP]),
    ],
)
def test_new_keys_recover_from_versions_far_ahead(ahead: str, renewed: list[str], published: list[str]) -> None:
    repo = repository()
    device = client(repo)
    device.refresh(repo)
    repo.versions[ahead] = 99_998
    repo.publish(*published)
    assert device.refresh(repo) == ""
    assert max(device.versions) == 99_999
    repo.versions[ahead] = 1
    repo.publish(*published)
    assert device.refresh(repo) == "metadata.rollback"
    for number, role in enumerate(renewed, 6):
        repo.hold(role, [number], 1, [number])
    repo.publish(ROOT, *published)
    assert device.refresh(repo) == ""
    assert max(device.versions) < 10


@dataclass(frozen=True)
class Version:
    """A root, or what a root says of a role: keys by number, the threshold, who signed, and whether it is taken."""

    named: list[int]
    threshold: int
    signing: list[int]
    taken: bool = True


FIVE = [0, 1, 2, 3, 4]
ROOT_CASES = {
    "1 of 1, key changed": [Version([1], 1, [1]), Version([2], 1, [2, 1]), Version([2], 1, [2])],
    "1 of 1, key changed, strangers sign too": [
        Version([1], 1, [3, 1, 4]),
        Version([2], 1, [3, 2, 1, 4]),
        Version([2], 1, [3, 2, 4]),
    ],
    "3 of 5, others each time": [
        Version(FIVE, 3, [0, 2, 4]),
        Version(FIVE, 3, [0, 4, 1]),
        Version(FIVE, 3, [0, 1, 3]),
        Version(FIVE, 3, [0, 1, 3]),
    ],
    "3 of 5, one key changed": [Version(FIVE, 3, [0, 2, 4]), Version([0, 1, 3, 4, 5], 3, [0, 4, 1])],
    "3 of 5, one key changed by way of a root between": [
        Version(FIVE, 3, [0, 2, 4]),
        Version([0, 1, 3, 4, 5], 3, [0, 2, 4, 5]),
        Version([0, 1, 3, 4, 5], 3, [0, 4, 5]),
    ],
    "3 of 5, all keys changed by way of a root between": [
        Version(FIVE, 3, [0, 2, 4]),
        Version([5, 6, 7, 8, 9], 3, [0, 2, 4, 5, 6, 7]),
        Version([5, 6, 7, 8, 9], 3, [5, 6, 7]),
    ],
    "1 of 3 becomes 2 of 3": [Version([1, 2, 3], 1, [1]), Version([1, 2, 3], 2, [1, 2])],
    "2 of 3 becomes 1 of 3": [
        Version([1, 2, 3], 2, [1, 2]),
        Version([1, 2, 3], 1, [1, 2]),
        Version([1, 2, 3], 1, [1]),
    ],
    "1 of 1 becomes 2 of 2": [Version([1], 1, [1]), Version([1, 2], 2, [1, 2])],
    "not signed by the old key": [Version([1], 1, [1]), Version([2], 1, [2, 3, 4], taken=False)],
    "not signed by the new key": [Version([1], 1, [1]), Version([2], 1, [1, 3, 4], taken=False)],
    "not signed by 3 of the new": [
        Version(FIVE, 3, [0, 2, 4]),
        Version([0, 1, 3, 4, 5], 3, [0, 2, 4], taken=False),
    ],
    "not signed by 3 of the old": [
        Version(FIVE, 3, [0, 2, 4]),
        Version([0, 1, 3, 4, 5], 3, [0, 4, 5], taken=False),
    ],
    "1 of 3 becomes 2 of 3, and 1 signs": [Version([1, 2, 3], 1, [1]), Version([1, 2, 3], 2, [2], taken=False)],
    "2 of 3 becomes 1 of 3, and 1 signs": [Version([1, 2, 3], 2, [1, 2]), Version([1, 2, 3], 1, [1], taken=False)],
}


@pytest.mark.parametrize("case", ROOT_CASES.values(), ids=ROOT_CASES.keys())
def test_roots_follow_each_other_by_the_keys_of_both(case: list[Version]) -> None:
    repo = repository()
    repo.roots.clear()
    repo.versions[ROOT] = 0
    for version in case:
        repo.hold(ROOT, version.named, version.threshold, version.signing)
        repo.publish(ROOT)
    device = client(repo)
    taken = case[-1].taken
    assert device.refresh(repo) == ("" if taken else "metadata.signature")
    assert device.trusted.root == repo.roots[-1 if taken else -2]


ROLE_CASES = {
    "1 of 1, key changed": Version([8], 1, [8]),
    "1 of 1, strangers sign too": Version([7], 1, [9, 7, 10]),
    "1 of 1, not signed by the new key": Version([8], 1, [7, 9, 10], taken=False),
    "3 of 5, one signs that is not named": Version([5, 6, 8, 9, 10], 3, [5, 7, 9], taken=False),
    "2 sign where 3 are due": Version([5, 6, 8, 9, 10], 3, [5, 9], taken=False),
    "3 of 5": Version([5, 6, 7, 8, 9], 3, [5, 7, 9]),
    "3 of 5, others": Version([5, 6, 7, 8, 9], 3, [5, 9, 6]),
    "3 of 5, again others": Version([5, 6, 7, 8, 9], 3, [6, 7, 8]),
    "3 of 5, the last": Version([5, 6, 7, 8, 9], 3, [7, 8, 9]),
    "3 of 5, all": Version([5, 6, 7, 8, 9], 3, [5, 6, 7, 8, 9]),
}


@pytest.mark.parametrize("role", [TIMESTAMP, SNAPSHOT, TARGETS])
@pytest.mark.parametrize("case", ROLE_CASES.values(), ids=ROLE_CASES.keys())
def test_other_roles_follow_the_keys_of_the_root(role: str, case: Version) -> None:
    repo = repository()
    device = client(repo)
    device.refresh(repo)
    repo.hold(role, case.named, case.threshold, case.signing)
    repo.publish(ROOT, TARGETS, SNAPSHOT, TIMESTAMP)
    assert device.refresh(repo) == ("" if case.taken else "metadata.signature")
    held = {TIMESTAMP: device.trusted.timestamp, SNAPSHOT: device.trusted.snapshot, TARGETS: device.trusted.targets}
    assert held[role] == (repo.files[role] if case.taken else None)
    assert Client(device.restarted().trusted) == device


def test_a_file_that_another_signed_for_is_still_the_repositorys() -> None:
    # A signature by a key of another role counts for that role only.
    repo = repository()
    device = client(repo)
    device.refresh(repo)
    payload = metadata.payload(repo.files[TARGETS])
    repo.files[TARGETS] = signed(payload, 0, 1, 2)
    repo.publish_online()
    assert device.refresh(repo) == "metadata.signature"
