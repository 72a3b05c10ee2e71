# SPDX-License-Identifier: Apache-2.0
"""An intent's form, its bytes and its digest."""

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkvalve import canonical
from checkvalve.errors import InvalidError
from checkvalve.protocol import rollout as protocol
from checkvalve.server.rollouts import intent as intents
from checkvalve.server.rollouts.model import Intent
from tests.server.rollouts.world import RELEASE

GOOD = Intent(RELEASE, "site=visby and tag=press", 2, "MOC-12", "Valve firmware.")

plain = st.text(st.characters(exclude_categories=["C"]), max_size=100)
intentions = st.builds(
    Intent,
    release=st.from_regex(r"\A[a-z][a-z0-9-]{0,20}@sha256:[0-9a-f]{64}\Z"),
    selector=plain.filter(lambda text: bool(text.strip())),
    approvals=st.sampled_from([0, 1, 2]),
    change=plain.filter(lambda text: len(text.strip()) <= 50),
    note=plain,
)


@pytest.mark.parametrize(
    ("code", "wrong"),
    [
        ("rollout.release", replace(GOOD, release="")),
        ("rollout.release", replace(GOOD, release="press-line")),
        ("rollout.release", replace(GOOD, release="press-line:2.4.1")),
        ("rollout.release", replace(GOOD, release="@sha256:" + "5e" * 32)),
        ("rollout.release", replace(GOOD, release=RELEASE[:-1])),
        ("rollout.release", replace(GOOD, release=RELEASE + "0")),
        ("rollout.release", replace(GOOD, release=RELEASE.upper())),
        ("rollout.release", replace(GOOD, release="press-line@sha256:" + "5E" * 32)),
        ("rollout.release", replace(GOOD, release="press-line@sha512:" + "5e" * 32)),
        ("rollout.release", replace(GOOD, release="press line@sha256:" + "5e" * 32)),
        ("rollout.release", replace(GOOD, release="../press@sha256:" + "5e" * 32)),
        ("rollout.release", replace(GOOD, release="press\n@sha256:" + "5e" * 32)),
        ("rollout.release", replace(GOOD, release="press-line@sha256:" + "\u0665e" * 32)),
        ("rollout.selector", replace(GOOD, selector="")),
        ("rollout.selector", replace(GOOD, selector=" \t ")),
        ("rollout.selector", replace(GOOD, selector="x" * 1_001)),
        ("rollout.selector", replace(GOOD, selector="site=a\x00b")),
        ("rollout.approvals", replace(GOOD, approvals=-1)),
        ("rollout.approvals", replace(GOOD, approvals=3)),
        ("rollout.approvals", replace(GOOD, approvals=True)),
        ("rollout.change", replace(GOOD, change="x" * 101)),
        ("rollout.change", replace(GOOD, change="MOC\r12")),
        ("rollout.note", replace(GOOD, note="x" * 2_001)),
        ("rollout.note", replace(GOOD, note="a\x1b[31mb")),
        ("rollout.note", replace(GOOD, note="a\u202eb")),
        ("rollout.note", replace(GOOD, note="a\nb")),
        ("rollout.note", replace(GOOD, note="a\ud800b")),
    ],
)
def test_a_wrong_intent_is_refused_with_its_code(code: str, wrong: Intent) -> None:
    with pytest.raises(InvalidError) as caught:
        intents.compose(wrong)
    assert caught.value.code == code
    assert caught.value.remedy


def test_the_longest_texts_are_taken() -> None:
    longest = replace(GOOD, selector="s" * 1_000, change="c" * 100, note="n" * 2_000)
    assert Intent.read(intents.compose(longest)) == longest


@pytest.mark.parametrize("name", ["", "  ", "x" * 101, "a\nb", "a\u200bb"])
def test_a_wrong_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidError, match=r"rollout\.name"):
        intents.name(name)


def test_a_name_and_texts_are_kept_in_one_form() -> None:
    assert intents.name(" Visby o\u0308st ") == "Visby \u00f6st"
    assert intents.compose(replace(GOOD, selector=f" {GOOD.selector} ")) == intents.compose(GOOD)


@given(intentions)
def test_an_intent_comes_back_from_its_bytes_and_makes_the_same_again(intent: Intent) -> None:
    data = intents.compose(intent)
    assert canonical.dumps(canonical.loads(data)) == data
    assert intents.compose(Intent.read(data)) == data


@given(intentions, intentions)
def test_different_intents_have_different_bytes(one: Intent, other: Intent) -> None:
    same = intents.compose(one) == intents.compose(other)
    assert same == (Intent.read(intents.compose(one)) == Intent.read(intents.compose(other)))


def test_the_digest_is_of_this_intent_as_this_rollout_under_this_name_in_this_scope() -> None:
    data = intents.compose(GOOD)
    digest = protocol.digest("r1", "/o/", "R", data)
    said = f'{{"intent":"{hashlib.sha256(data).hexdigest()}","name":"R","rollout":"r1","scope":"/o/","v":1}}'
    assert digest == hashlib.sha256(said.encode()).hexdigest()
    others = {
        protocol.digest("r2", "/o/", "R", data),
        protocol.digest("r1", "/o/s/", "R", data),
        protocol.digest("r1", "/o/", "S", data),
        protocol.digest("r1", "/o/", "R", intents.compose(replace(GOOD, note=""))),
    }
    assert len(others | {digest}) == 5


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[]", b'{"v":1}', b'{ "v": 1 }', intents.compose(GOOD).replace(b'"v":1', b'"v":2')]
)
def test_other_bytes_are_no_intent(data: bytes) -> None:
    with pytest.raises(InvalidError):
        Intent.read(data)


def test_a_voter_reads_what_would_happen_as_a_sentence() -> None:
    said = intents.sentence("Patch", GOOD)
    assert said == "Start rollout 'Patch': press-line@sha256:5e5e5e5e5e5e on site=visby and tag=press, under MOC-12."
    assert intents.sentence("Patch", replace(GOOD, change="")).endswith("tag=press.")
