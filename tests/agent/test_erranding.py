# SPDX-License-Identifier: Apache-2.0
"""What may be begun of errands: decisions alone."""

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkvalve.agent import erranding, waiting
from checkvalve.agent.erranding import End, Standing, Teller
from checkvalve.agent.policy import File, Policy
from checkvalve.agent.steps import Failure
from checkvalve.agent.waiting import Due, Go, Local, Pause, Permitted, Said
from checkvalve.protocol import errand
from checkvalve.protocol.errand import LARGEST_CONTENT, Content, Item
from checkvalve.protocol.exchange import SWITCHED, Event, State, Tag
from tests.parts import errands

WELL = Standing(
    floor=1, state=State.COMMITTED, local=Local(), services={"web"}, jobs={"job"}, here={"web", "job"}, room=1 << 30
)
TAG = Tag(id="01jd0000000000000000000001", name="Anna", reason="pump seal", at=1, by="plane", where="Visby")
DAMAGED = Failure("hold.damaged", "The file of lock-out tags is damaged, so one may hang.")
LOGS, RESTART, BUNDLE, REBOOT = errands.logs(1), errands.restart(2, "web"), errands.bundle(3), errands.reboot(4)
PERMIT = File(path="/run/line/permit")


@pytest.mark.parametrize("item", [LOGS, RESTART, BUNDLE, REBOOT], ids=erranding.kind)
@pytest.mark.parametrize(
    ("wrong", "codes"),
    [
        ({}, ("", "", "", "")),
        ({"floor": errands.NEVER + 1, "observes": True}, ("errand.late",) * 4),
        ({"observes": True, "local": Local(tags=(TAG,))}, ("device.observes",) * 4),
        ({"local": Local(tags=(TAG,))}, ("", "hold.hung", "", "hold.hung")),
        ({"local": Local(tags=DAMAGED)}, ("", "hold.damaged", "", "hold.damaged")),
        ({"here": {"pump"}}, ("", "errand.service", "", "")),
        ({"here": set()}, ("errand.service", "errand.service", "", "")),
        ({"room": LARGEST_CONTENT - 1}, ("disk.full", "", "disk.full", "")),
        ({"unable": "It runs in a container."}, ("", "", "", "reboot.unable")),
    ],
    ids=["well", "late", "observes", "held", "damaged", "other", "nothing", "full", "unable"],
)
def test_an_errand_is_begun_only_where_nothing_is_against_it(
    item: Item, wrong: dict[str, Any], codes: tuple[str, ...]
) -> None:
    found = erranding.judge(item, dataclasses.replace(WELL, **wrong))
    assert (found.code if found else "") == codes[[LOGS, RESTART, BUNDLE, REBOOT].index(item)]


@pytest.mark.parametrize("state", SWITCHED)
def test_nothing_that_changes_the_device_is_begun_while_a_switch_is_under_way(state: State) -> None:
    standing = dataclasses.replace(WELL, state=state)
    found = [erranding.judge(each, standing) for each in (LOGS, RESTART, BUNDLE, REBOOT)]
    assert [each.code if each else "" for each in found] == ["", "errand.busy", "", "errand.busy"]


def test_a_reboot_asks_twice_and_takes_every_no_at_once() -> None:
    asking, no = Local(policy=Policy(permit=PERMIT)), Said(yes=False, code="permit.no", sentence="No.")
    yes = Said(yes=True)
    assert erranding.may_reboot(Local(), None, 10.0) == Go()
    assert erranding.may_reboot(asking, None, 10.0) == Due(PERMIT)
    first = waiting.heard(PERMIT, yes, 10.0, 10.1, None)
    assert isinstance(erranding.may_reboot(asking, first, 10.1), Pause)
    assert erranding.may_reboot(asking, first, 11.1) == Due(PERMIT)
    again = waiting.heard(PERMIT, yes, 11.1, 11.2, first)
    assert erranding.may_reboot(asking, again, 11.2) == Go()
    late = waiting.heard(PERMIT, yes, 10.0, 13.0, None)
    for answer, code in ((Permitted(PERMIT, no, 10.0), "permit.no"), (late, "permit.late")):
        found = erranding.may_reboot(asking, answer, 13.0)
        assert isinstance(found, Failure)
        assert found.code == code
    for local, code in (
        (Local(tags=(TAG,)), "hold.hung"),
        (Local(policy=Policy(window="opened")), "window.closed"),
        (Local(policy=Policy(window="opened"), ends=200.0), "window.short"),
        (Local(policy=Failure("policy.damaged", "It is none.")), "policy.damaged"),
    ):
        found = erranding.may_reboot(local, None, 10.0)
        assert isinstance(found, Failure)
        assert found.code == code


@given(
    st.sampled_from(["done", "refused", "failed"]),
    st.text(max_size=1_000).filter(lambda text: "\0" not in text and text.isprintable()),
    st.integers(0, 2**53 - 1),
    st.none() | st.integers(-(2**53) + 1, 2**53 - 1),
    st.none() | st.integers(0, LARGEST_CONTENT),
)
def test_what_is_signed_of_an_errand_follows_from_the_journal_alone(
    outcome: str, reason: str, begun: int, offset: int | None, size: int | None
) -> None:
    content = None if size is None else Content(digest=f"sha256:{'0' * 64}", size=size)
    code = "" if outcome == "done" else "errand.busy"
    facts = erranding.ending(LOGS, End(outcome, code, reason, content), begun, "0.3.0", offset)
    event = Event(seq=7, at=5, kind="note", code=code or erranding.DONE, reason=reason, facts=facts)
    said = erranding.done(event, LOGS, Teller("d" * 26, "j" * 26, "0" * 64))
    assert errand.read(errand.write(said)) == said
    assert (said.outcome, said.code, said.reason, said.begun) == (outcome, code, reason, begun)
    assert (said.offset, said.content, said.errand, said.agent) == (offset, content, LOGS.id, "0.3.0")
    assert erranding.ended([event], LOGS.id) == event
    assert erranding.ended([event], BUNDLE.id) is None
