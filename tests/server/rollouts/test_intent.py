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
from checkvalve.server.rollouts.model import Intent, Plan
from tests.server.rollouts.world import RELEASE

GOOD = Intent(RELEASE, "site=visby and tag=press", 2, "MOC-12", "Valve firmware.", Plan(canary=2, step=20))

plain = st.text(st.characters(exclude_categories=["C"]), max_size=100)
intentions = st.builds(
    Intent,
    release=st.from_regex(r"\A[a-z][a-z0-9-]{0,20}@sha256:[0-9a-f]{64}\Z"),
    selector=st.sampled_from(["all", " site:\u00f6st ", "site:o\u0308st", "not tag=a", 'tag:a or device:"Filter 1"']),
    approvals=st.sampled_from([0, 1, 2]),
    change=plain.filter(lambda text: len(text.strip()) <= 50),
    note=plain,
    plan=st.builds(Plan, canary=st.integers(0, 5), step=st.integers(0, 10_000)),
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
        ("selector.syntax", replace(GOOD, selector="site=a and")),
        ("selector.term", replace(GOOD, selector="zone=a")),
        ("rollout.plan", replace(GOOD, plan=Plan(canary=-1))),
        ("rollout.plan", replace(GOOD, plan=Plan(canary=6))),
        ("rollout.plan", replace(GOOD, plan=Plan(canary=True))),
        ("rollout.plan", replace(GOOD, plan=Plan(step=-1))),
        ("rollout.plan", replace(GOOD, plan=Plan(step=10_001))),
        ("rollout.plan", replace(GOOD, plan=Plan(step=False))),
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
    longest = replace(GOOD, selector="site:" + "s" * 995, change="c" * 100, note="n" * 2_000)
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


@pytest.mark.slow
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
    "data", [b"", b"{}", b"[]", b'{"v":1}', b'{ "v": 1 }', intents.compose(GOOD).replace(b'"v":2', b'"v":3')]
)
def test_other_bytes_are_no_intent(data: bytes) -> None:
    with pytest.raises(InvalidError):
        Intent.read(data)


def test_a_voter_reads_what_would_happen_as_a_sentence() -> None:
    said = intents.sentence("Patch", GOOD)
    plan = "2 devices first, then the rest in waves of 20"
    means = "press-line@sha256:5e5e5e5e5e5e on site=visby and tag=press"
    assert said == f"Start rollout 'Patch': {means}, {plan}, under MOC-12."
    assert intents.sentence("Patch", replace(GOOD, change="")).endswith(f"tag=press, {plan}.")


def test_an_intent_of_before_there_were_plans_goes_by_the_usual_one() -> None:
    whole = canonical.loads(intents.compose(GOOD))
    assert isinstance(whole, dict)
    before = canonical.dumps({name: value for name, value in whole.items() if name != "plan"} | {"v": 1})
    assert Intent.read(before) == replace(GOOD, plan=Plan())
