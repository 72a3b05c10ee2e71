# SPDX-License-Identifier: Apache-2.0
"""Metadata as it is written, signed and shown; and what is no metadata at all."""

import base64
import json
import warnings
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from hypothesis import given, settings
from hypothesis import strategies as st
from securesystemslib.signer import SSlibKey
from tuf.api.metadata import Metadata, Root

from checkvalve.crypto import keys, metadata
from checkvalve.crypto.metadata import ROOT, SNAPSHOT, TARGETS, TIMESTAMP, Role, Seen, Signature, Target
from checkvalve.errors import InvalidError
from tests.crypto.world import (
    IDS,
    KEYS,
    LATER,
    NOON,
    ORG,
    SPARE,
    public,
    repository,
    signed,
    target,
    with_signatures,
)

PATH, TARGET = target(1)
REPO = repository()
ROOT_PAYLOAD = metadata.new_root(
    version=1,
    expires=LATER,
    root=public(0, 1, 2),
    root_threshold=2,
    targets=public(3, 4),
    targets_threshold=2,
    online=SPARE.public_key(),
)
ROOT_FILE = signed(ROOT_PAYLOAD, 0, 1)
TARGETS_PAYLOAD = metadata.new_targets(
    version=7, expires=LATER, targets={PATH: TARGET}, floors={f"{ORG}/press": 1, "bare": 3}
)
TARGETS_FILE = signed(TARGETS_PAYLOAD, 3, 4)


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(InvalidError) as caught:
        call()
    assert caught.value.sentence
    assert caught.value.remedy
    return caught.value.code


def changed(file: bytes, change: Callable[[dict[str, Any]], object]) -> bytes:
    value = json.loads(file)
    change(value)
    return json.dumps(value).encode()


def test_a_root_names_people_and_the_planes_key() -> None:
    online = metadata.keyid(SPARE.public_key())
    assert metadata.roles(ROOT_FILE) == (
        Role(ROOT, 2, IDS[:3]),
        Role(SNAPSHOT, 1, (online,)),
        Role(TARGETS, 2, IDS[3:5]),
        Role(TIMESTAMP, 1, (online,)),
    )
    assert metadata.seen(ROOT_FILE) == metadata.seen(ROOT_PAYLOAD) == Seen(ROOT, 1, LATER)


@pytest.mark.parametrize(
    ("root", "root_threshold", "targets", "targets_threshold", "online"),
    [
        ([], 1, [3], 1, 9),
        ([0], 0, [3], 1, 9),
        ([0], 2, [3], 1, 9),
        ([0, 0], 2, [3], 1, 9),
        ([0], 1, [], 0, 9),
        ([0], 1, [3, 4], 3, 9),
        ([0], 1, [3], 1, 0),
        ([0], 1, [3], 1, 3),
    ],
)
def test_a_root_that_cannot_be_signed_or_that_the_plane_could_sign_is_not_made(
    root: list[int], root_threshold: int, targets: list[int], targets_threshold: int, online: int
) -> None:
    def make() -> bytes:
        return metadata.new_root(
            version=1,
            expires=LATER,
            root=public(*root),
            root_threshold=root_threshold,
            targets=public(*targets),
            targets_threshold=targets_threshold,
            online=KEYS[online].public_key(),
        )

    assert refused(make) == "metadata.keys"


def test_one_person_may_hold_a_key_for_both_roles() -> None:
    made = metadata.new_root(
        version=1,
        expires=LATER,
        root=public(0),
        root_threshold=1,
        targets=public(0),
        targets_threshold=1,
        online=SPARE.public_key(),
    )
    assert len(json.loads(signed(made, 0))["signed"]["keys"]) == 2


def test_targets_come_back_as_they_were_given() -> None:
    assert metadata.read_targets(TARGETS_PAYLOAD) == ({PATH: TARGET}, {f"{ORG}/press": 1, "bare": 3})
    empty = metadata.new_targets(version=1, expires=LATER, targets={}, floors={})
    assert metadata.read_targets(empty) == ({}, {})


def test_an_expiry_is_of_whole_seconds_in_utc() -> None:
    moment = datetime(2027, 1, 1, 14, 0, 0, 999_999, tzinfo=timezone(timedelta(hours=2)))
    made = metadata.new_targets(version=1, expires=moment, targets={}, floors={})
    assert metadata.seen(made).expires == datetime(2027, 1, 1, 12, 0, tzinfo=UTC)
    with pytest.raises(ValueError, match="aware"):
        metadata.new_targets(version=1, expires=moment.replace(tzinfo=None), targets={}, floors={})


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        ("../" + PATH, TARGET),
        ("/" + PATH, TARGET),
        (f"{ORG}/x/{PATH}", TARGET),
        (PATH.upper(), TARGET),
        (PATH + "\n", TARGET),
        (PATH.replace(".json", ".js"), TARGET),
        (f"{ORG}//{TARGET.sha256}.json", TARGET),
        (f"{TARGET.sha256}.json", TARGET),
        (f"press/{'0' * 64}.json", TARGET),
        (f"other/{TARGET.sha256}.json", TARGET),
        (PATH, replace(TARGET, sha256=TARGET.sha256.upper())),
        (PATH, replace(TARGET, sha256="")),
        (PATH, replace(TARGET, length=2**53)),
        (PATH, replace(TARGET, name="Press")),
        (PATH, replace(TARGET, name="")),
        (PATH, replace(TARGET, version="")),
        (PATH, replace(TARGET, version="1 2")),
        (PATH, replace(TARGET, version="v" * 64)),
        (PATH, replace(TARGET, number=0)),
        (PATH, replace(TARGET, number=True)),
    ],
)
def test_a_target_that_is_no_manifest_is_not_listed(path: str, wrong: Target) -> None:
    def make() -> bytes:
        return metadata.new_targets(version=1, expires=LATER, targets={path: wrong}, floors={})

    assert refused(make) == "metadata.form"


@pytest.mark.parametrize("floors", [{"a/b/c": 1}, {"": 1}, {"/": 1}, {"press": 0}, {"press": True}, {"Press": 1}])
def test_a_floor_that_is_no_number_of_a_line_is_not_set(floors: dict[str, int]) -> None:
    def make() -> bytes:
        return metadata.new_targets(version=1, expires=LATER, targets={}, floors=floors)

    assert refused(make) == "metadata.form"


@pytest.mark.slow
def test_more_targets_than_fit_with_their_signatures_are_not_listed() -> None:
    def listing(count: int) -> bytes:
        many = dict(target(number) for number in range(10_000, 10_000 + count))
        return metadata.new_targets(version=1, expires=LATER, targets=many, floors={})

    bare = len(listing(0))
    each = len(listing(1)) - bare + 1
    assert refused(lambda: listing((metadata.LARGEST - (32 << 10) - bare) // each)) == "metadata.size"
    assert len(listing((metadata.LARGEST - (65 << 10) - bare) // each)) < metadata.LARGEST - (64 << 10)


def test_a_version_follows_the_clock_and_never_goes_back() -> None:
    seconds = int(NOON.timestamp())
    assert metadata.following(0, NOON) == seconds
    assert metadata.following(seconds, NOON) == seconds + 1
    assert metadata.following(seconds + 99, datetime(1970, 1, 1, tzinfo=UTC)) == seconds + 100


def test_a_signature_counts_for_its_bytes_role_and_key() -> None:
    one, two, stranger = (metadata.sign(TARGETS_PAYLOAD, KEYS[number]) for number in (3, 4, 9))
    assert metadata.signs(ROOT_FILE, TARGETS, TARGETS_PAYLOAD, one)
    assert not metadata.signs(ROOT_FILE, ROOT, TARGETS_PAYLOAD, one)
    assert not metadata.signs(ROOT_FILE, TARGETS, TARGETS_PAYLOAD + b" ", one)
    assert not metadata.signs(ROOT_FILE, TARGETS, TARGETS_PAYLOAD, stranger)
    assert not metadata.signs(ROOT_FILE, TARGETS, TARGETS_PAYLOAD, Signature(two.keyid, one.signature))
    for wrong in ("", "zz", "00", "30", "\ud800", one.signature[:-2], one.signature + "00"):
        assert not metadata.signs(ROOT_FILE, TARGETS, TARGETS_PAYLOAD, Signature(one.keyid, wrong))
    assert metadata.signed_by(ROOT_FILE, TARGETS, TARGETS_PAYLOAD, [stranger, two, one, two]) == IDS[3:5]
    assert refused(lambda: metadata.signed_by(ROOT_FILE, "mirrors", TARGETS_PAYLOAD, [])) == "metadata.role"
    assert refused(lambda: metadata.signs(TARGETS_FILE, TARGETS, TARGETS_PAYLOAD, one)) == "metadata.role"


def test_a_file_holds_the_bytes_that_were_signed() -> None:
    assert metadata.payload(ROOT_FILE) == ROOT_PAYLOAD
    assert metadata.payload(TARGETS_FILE) == TARGETS_PAYLOAD
    held = metadata.signatures(TARGETS_FILE)
    assert {one.keyid for one in held} == set(IDS[3:5])
    assert metadata.assemble(TARGETS_PAYLOAD, reversed(held)) == TARGETS_FILE
    assert metadata.signed_by(ROOT_FILE, TARGETS, TARGETS_PAYLOAD, held) == IDS[3:5]


def test_of_two_signatures_by_one_key_the_later_counts() -> None:
    one, two = (metadata.sign(TARGETS_PAYLOAD, KEYS[3]) for _ in range(2))
    assert metadata.signatures(metadata.assemble(TARGETS_PAYLOAD, [one, two])) == (two,)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b'"text"',
        TARGETS_PAYLOAD[:-1],
        TARGETS_PAYLOAD + b" ",
        TARGETS_PAYLOAD.replace(b'"version":7', b'"version": 7'),
        TARGETS_PAYLOAD.replace(b'"version":7', b'"version":07'),
        TARGETS_PAYLOAD.replace(b'"version":7', b'"version":7.0'),
        TARGETS_PAYLOAD.replace(b'"version":7', b'"version":7,"version":7'),
        TARGETS_PAYLOAD.replace(b"targets", b"t\\u0061rgets"),
        TARGETS_PAYLOAD.replace(b"press", b"pr\xff"),
        TARGETS_FILE,
    ],
)
def test_bytes_that_are_not_canonical_are_not_put_into_a_file(payload: bytes) -> None:
    assert refused(lambda: metadata.assemble(payload, [])) == "metadata.form"
    assert refused(lambda: metadata.read_targets(payload)) == "metadata.form"


def test_a_signature_without_form_is_not_put_into_a_file() -> None:
    for wrong in (Signature("x", "00"), Signature(IDS[0], "xx"), Signature(IDS[0], "0" * 600), Signature("", "")):
        assert refused(lambda wrong=wrong: metadata.assemble(TARGETS_PAYLOAD, [wrong])) == "metadata.form"  # type: ignore[misc]


def test_a_place_kept_for_a_signature_is_no_signature() -> None:
    file = with_signatures(TARGETS_FILE, lambda held: [*held[:1], Signature(held[1].keyid, "")])
    assert len(metadata.signed_by(ROOT_FILE, TARGETS, TARGETS_PAYLOAD, metadata.signatures(file))) == 1


DEEP = b"[" * 100_000
HOSTILE = {
    "nothing": b"",
    "no text": b"\xff\xfe",
    "byte order mark": b"\xef\xbb\xbf" + TARGETS_FILE,
    "nested": DEEP,
    "nested object": b'{"signed":' * 5_000,
    "nested and closed": DEEP[:900] + b"]" * 900,
    "nested field": TARGETS_FILE.replace(b'"version":7', b'"a":' + b"[" * 60 + b"]" * 60 + b',"version":7'),
    "NaN": TARGETS_FILE.replace(b'"version":7', b'"version":NaN'),
    "infinity": TARGETS_FILE.replace(b'"version":7', b'"version":-Infinity'),
    "fraction": TARGETS_FILE.replace(b'"version":7', b'"version":7.5'),
    "exponent": TARGETS_FILE.replace(b'"version":7', b'"version":7e0'),
    "huge": TARGETS_FILE.replace(b'"version":7', b'"version":' + b"9" * 100_000),
    "large": TARGETS_FILE.replace(b'"version":7', b'"version":9007199254740992'),
    "true": TARGETS_FILE.replace(b'"version":7', b'"version":true'),
    "zero": TARGETS_FILE.replace(b'"version":7', b'"version":0'),
    "text": TARGETS_FILE.replace(b'"version":7', b'"version":"7"'),
    "twice": TARGETS_FILE.replace(b'"version":7', b'"version":7,"version":8'),
    "signed twice": TARGETS_FILE.replace(b'{"signatures"', b'{"signed":{},"signatures"'),
    "surrogate": TARGETS_FILE.replace(b'"version":7', b'"x":"\\ud800","version":7'),
    "a raw newline": TARGETS_FILE.replace(b'"version":7', b'"x":"\n","version":7'),
    "cut": TARGETS_FILE[:-1],
    "and more": TARGETS_FILE + b"x",
    "a number": b"12",
    "no signed": b'{"signatures":[]}',
    "signed list": b'{"signatures":[],"signed":[]}',
    "no type": b'{"signatures":[],"signed":{}}',
    "another type": TARGETS_FILE.replace(b'"_type":"targets"', b'"_type":"mirrors"'),
    "type list": TARGETS_FILE.replace(b'"_type":"targets"', b'"_type":[]'),
    "version 2 of TUF": TARGETS_FILE.replace(b'"spec_version":"1.', b'"spec_version":"2.'),
    "expires in another way": TARGETS_FILE.replace(b"2026-12-03T12:00:00Z", b"2026-12-3T12:00:00Z"),
    "expires in no year": TARGETS_FILE.replace(b"2026-12-03T12:00:00Z", b"0001-12-03T12:00:00Z"),
    "expires elsewhere": TARGETS_FILE.replace(b"2026-12-03T12:00:00Z", b"2026-12-03T12:00:00+02:00"),
    "signature twice": changed(TARGETS_FILE, lambda file: file["signatures"].__setitem__(0, file["signatures"][1])),
    "signature of no form": changed(TARGETS_FILE, lambda file: file["signatures"].__setitem__(0, 7)),
    "delegations": changed(TARGETS_FILE, lambda file: file["signed"].update(delegations={"keys": {}, "roles": []})),
    "floors list": changed(TARGETS_FILE, lambda file: file["signed"].update({metadata.FLOORS: []})),
    "floors text": changed(TARGETS_FILE, lambda file: file["signed"].update({metadata.FLOORS: {"press": "1"}})),
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
def test_what_is_no_metadata_is_refused_with_one_code(data: bytes) -> None:
    for call in (metadata.payload, metadata.signatures, metadata.seen, metadata.roles):
        assert refused(lambda call=call: call(data)) == "metadata.form"  # type: ignore[misc]


@pytest.mark.parametrize("size", [metadata.LARGEST + 1, metadata.LARGEST * 4])
def test_size_is_asked_before_anything_is_read(size: int) -> None:
    data = b"[" * size
    for call in (metadata.payload, metadata.seen, metadata.roles, metadata.read_targets):
        assert refused(lambda call=call: call(data)) == "metadata.size"  # type: ignore[misc]
    assert refused(lambda: metadata.assemble(data, [])) == "metadata.size"


def custom(value: object) -> bytes:
    return changed(TARGETS_FILE, lambda file: file["signed"]["targets"][PATH].update(custom=value))


@pytest.mark.parametrize(
    "value",
    [
        None,
        {},
        [],
        {"name": "press", "version": "1.1"},
        {"name": "press", "version": "1.1", "number": "1"},
        {"name": "press", "version": "1.1", "number": 1, "more": 1},
        {"name": "press", "version": 1, "number": 1},
        {"name": None, "version": "1.1", "number": 1},
    ],
)
def test_custom_fields_are_these_three(value: object) -> None:
    assert refused(lambda: metadata.payload(custom(value))) == "metadata.form"


@pytest.mark.parametrize(
    "said",
    [
        {"version": 1},
        {"version": 1, "length": 10},
        {"version": 1, "hashes": {"sha256": "0" * 64}},
        {"version": 1, "length": 10, "hashes": {}},
        {"version": 1, "length": 10, "hashes": {"sha512": "0" * 128}},
        {"version": 1, "length": 10, "hashes": {"sha256": "0" * 64, "md5": "0" * 32}},
        {"version": 1, "length": 10, "hashes": {"sha256": "0" * 63}},
        {"version": 1, "length": True, "hashes": {"sha256": "0" * 64}},
        {"version": True, "length": 10, "hashes": {"sha256": "0" * 64}},
        {"version": 0, "length": 10, "hashes": {"sha256": "0" * 64}},
    ],
)
@pytest.mark.parametrize(("role", "name"), [(TIMESTAMP, "snapshot.json"), (SNAPSHOT, "targets.json")])
def test_a_file_is_named_by_version_length_and_hash(role: str, name: str, said: dict[str, object]) -> None:
    file = changed(REPO.files[role], lambda file: file["signed"].update(meta={name: said}))
    assert refused(lambda: metadata.payload(file)) == "metadata.form"


def test_a_snapshot_lists_targets_and_nothing_else() -> None:
    meta = json.loads(REPO.files[SNAPSHOT])["signed"]["meta"]
    for names in ([], ["targets.json", "role1.json"], ["other.json"]):
        listed = dict.fromkeys(names, meta["targets.json"])
        file = changed(REPO.files[SNAPSHOT], lambda file, listed=listed: file["signed"].update(meta=listed))  # type: ignore[misc]
        assert refused(lambda file=file: metadata.payload(file)) == "metadata.form"  # type: ignore[misc]


def key_of(public: SSlibKey) -> tuple[str, dict[str, object]]:
    return public.keyid, public.to_dict()


def compressed(key: keys.PublicKey) -> str:
    """Return the same key in another form: its point compressed."""
    spki = bytearray(keys.spki(key))
    short = key.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint)
    head = bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200")
    assert len(spki) > len(head)
    loaded = serialization.load_der_public_key(head + short)
    assert isinstance(loaded, keys.PublicKey)
    assert keys.spki(loaded) == bytes(spki)
    return "-----BEGIN PUBLIC KEY-----\n" + base64.b64encode(head + short).decode() + "\n-----END PUBLIC KEY-----\n"


P256 = KEYS[0].public_key()
ENTRY = SSlibKey.from_crypto(P256).to_dict()
FOREIGN_KEYS = {
    "ed25519": key_of(SSlibKey.from_crypto(ed25519.Ed25519PrivateKey.generate().public_key())),
    "P-384": key_of(SSlibKey.from_crypto(ec.generate_private_key(ec.SECP384R1()).public_key())),
    "old name of the type": (IDS[0], ENTRY | {"keytype": "ecdsa-sha2-nistp256"}),
    "another scheme": (IDS[0], ENTRY | {"scheme": "ecdsa-sha2-nistp384"}),
    "unknown": (IDS[0], ENTRY | {"keytype": "x", "scheme": "y"}),
    "another id": ("0" * 64, ENTRY),
    "no PEM": (IDS[0], ENTRY | {"keyval": {"public": "x"}}),
    "P-384 as P-256": (
        IDS[0],
        ENTRY | {"keyval": {"public": keys.dump_public(ec.generate_private_key(ec.SECP384R1()).public_key()).decode()}},
    ),
    "the key in another form": (IDS[0], ENTRY | {"keyval": {"public": compressed(P256)}}),
    "the key with text before it": (IDS[0], ENTRY | {"keyval": {"public": "x\n" + keys.dump_public(P256).decode()}}),
    "no key": (IDS[0], {}),
}


@pytest.mark.parametrize(("keyid", "entry"), FOREIGN_KEYS.values(), ids=FOREIGN_KEYS.keys())
def test_a_root_with_a_key_of_another_kind_or_form_is_refused(keyid: str, entry: dict[str, object]) -> None:
    def put(file: dict[str, Any]) -> None:
        held = file["signed"]["keys"]
        held[keyid] = entry

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert refused(lambda: metadata.roles(changed(ROOT_FILE, put))) == "metadata.form"


@pytest.mark.parametrize(
    "role",
    [
        {"keyids": [IDS[0]], "threshold": True},
        {"keyids": [IDS[0]], "threshold": 0},
        {"keyids": [IDS[0], IDS[0]], "threshold": 1},
        {"keyids": IDS[0], "threshold": 1},
        {"keyids": [1], "threshold": 1},
        {"keyids": {}, "threshold": 1},
        {"keyids": [[]], "threshold": 1},
        {"threshold": 1},
    ],
)
def test_a_root_with_a_role_of_another_form_is_refused(role: dict[str, object]) -> None:
    def put(file: dict[str, Any]) -> None:
        roles = file["signed"]["roles"]
        roles[TARGETS] = role

    assert refused(lambda: metadata.roles(changed(ROOT_FILE, put))) == "metadata.form"


def test_a_root_with_thousands_of_keys_is_refused() -> None:
    def put(file: dict[str, Any]) -> None:
        held = file["signed"]["keys"]
        held.update({f"{number:064x}": ENTRY for number in range(5_000)})

    with pytest.raises(InvalidError, match="more than 256 keys"):
        metadata.roles(changed(ROOT_FILE, put))


def test_python_tuf_reads_and_verifies_what_we_write() -> None:
    root: Metadata[Root] = Metadata.from_bytes(ROOT_FILE)
    assert root.signed_bytes == ROOT_PAYLOAD
    root.signed.verify_delegate(ROOT, ROOT_PAYLOAD, root.signatures)
    listed: Metadata[Root] = Metadata.from_bytes(TARGETS_FILE)
    root.signed.verify_delegate(TARGETS, listed.signed_bytes, listed.signatures)
    assert root.to_bytes() == ROOT_FILE


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_metadata_or_are_refused(data: bytes) -> None:
    for call in (metadata.payload, metadata.seen, metadata.roles, metadata.read_targets):
        with pytest.raises(InvalidError):
            call(data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda below: st.lists(below, max_size=4) | st.dictionaries(st.text(max_size=8), below, max_size=4),
    max_leaves=8,
)


@given(st.sampled_from([ROOT_FILE, TARGETS_FILE, REPO.files[SNAPSHOT], REPO.files[TIMESTAMP]]), JSON, st.data())
def test_any_value_in_any_place_is_metadata_or_is_refused(file: bytes, value: object, data: st.DataObject) -> None:
    outer = {"": json.loads(file)}
    here: dict[str, object] | list[object] = outer
    at: str | int = ""
    while True:
        below = here[at]  # type: ignore[index]
        if not isinstance(below, dict | list) or not below or data.draw(st.booleans()):
            break
        here, at = below, data.draw(st.sampled_from(sorted(below) if isinstance(below, dict) else range(len(below))))
    here[at] = value  # type: ignore[index]
    try:
        payload = metadata.payload(json.dumps(outer[""]).encode())
    except InvalidError:
        return
    assert metadata.payload(metadata.assemble(payload, [])) == payload
    assert metadata.seen(payload).role in (ROOT, TARGETS, SNAPSHOT, TIMESTAMP)


names = st.from_regex(r"\A[a-z0-9]([a-z0-9._-]{0,20}[a-z0-9])?\Z")
entries = st.builds(
    Target,
    length=st.integers(0, 2**53 - 1),
    sha256=st.from_regex(r"\A[0-9a-f]{64}\Z"),
    name=names,
    version=st.from_regex(r"\A[A-Za-z0-9]([A-Za-z0-9._+-]{0,20}[A-Za-z0-9])?\Z"),
    number=st.integers(1, 2**53 - 1),
)


@settings(max_examples=30)
@given(
    st.lists(entries, max_size=5),
    st.dictionaries(names, st.integers(1, 2**53 - 1), max_size=5),
    st.integers(1, 2**53 - 1),
)
def test_every_list_comes_back_and_has_one_form(entries: list[Target], floors: dict[str, int], version: int) -> None:
    listed = {f"{ORG}/{entry.name}/{entry.sha256}.json": entry for entry in entries}
    made = metadata.new_targets(version=version, expires=LATER, targets=listed, floors=floors)
    assert metadata.read_targets(made) == (listed, floors)
    again = dict(reversed(listed.items()))
    assert metadata.new_targets(version=version, expires=LATER, targets=again, floors=floors) == made
    assert metadata.payload(signed(made, 3)) == made
    assert metadata.seen(made) == Seen(TARGETS, version, LATER)
