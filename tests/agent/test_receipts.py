# SPDX-License-Identifier: Apache-2.0
"""What a receipt says, and that it can always be written and sent."""

from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkvalve.agent.receipts import Teller, compose, tail
from checkvalve.agent.steps import Slot
from checkvalve.errors import InvalidError
from checkvalve.protocol import receipt
from checkvalve.protocol.exchange import Event, State
from checkvalve.protocol.receipt import LOG_BYTES, LOG_LINES, Seen
from tests.agent.world import DEVICE, attempt, image, line, slot

SLOT = slot(2, line("2"))
TELLER = Teller(
    device=DEVICE,
    agent="1.0",
    engine="simulated",
    journal="0jou000000000000000000jou0",
    head="ab" * 32,
    active=SLOT.release,
    at=2_000,
    offset=-5,
)
SEEN = Seen(service="web", image=image("web2").config, state="exited", exit=1, wrong="web exited with code 1")


def journal(*states: State, code: str = "gate.exited", reason: str = "web exited.") -> list[Event]:
    """Return the events of an attempt that went through these states, from number 7 on."""
    why = {State.ROLLING_BACK, State.ROLLED_BACK, State.REFUSED}
    return [
        Event(
            seq=7 + index,
            at=1_000 + index,
            kind="state",
            attempt=SLOT.attempt,
            state=state,
            release=SLOT.release,
            code=code if state in why else "",
            reason=reason if state in why else "",
            facts={"target": SLOT.target, "number": 2},
        )
        for index, state in enumerate(states)
    ]


GOOD = journal(State.OFFERED, State.FETCHING, State.STAGED, State.SWITCHING, State.VERIFYING, State.COMMITTED)
BAD = journal(State.OFFERED, State.STAGED, State.SWITCHING, State.ROLLING_BACK, State.ROLLED_BACK)


def test_a_receipt_tells_the_whole_way_and_names_the_lines_it_rests_on() -> None:
    told = compose(TELLER, GOOD, SLOT)
    assert [each.state for each in told.steps] == [each.state for each in GOOD]
    assert (told.first, told.last, told.head, told.journal) == (7, 12, TELLER.head, TELLER.journal)
    assert (told.attempt, told.release, told.target) == (attempt(2), SLOT.release, SLOT.target)
    assert (told.outcome, told.active, told.at, told.offset) == (State.COMMITTED, SLOT.release, 2_000, -5)
    assert receipt.read(receipt.write(told)) == told


def test_a_receipt_names_the_values_also_of_an_attempt_that_was_never_laid_out() -> None:
    digest = "sha256:" + "a" * 64
    assert compose(TELLER, GOOD, SLOT).values == ""
    assert compose(TELLER, GOOD, replace(SLOT, values=digest)).values == digest
    refused = journal(State.OFFERED, State.REFUSED)
    told = compose(TELLER, [msgspec.structs.replace(each, facts={"values": digest}) for each in refused], None)
    assert told.values == digest


def test_a_receipt_without_values_is_what_it_was_before_there_were_any() -> None:
    said = msgspec.json.decode(receipt.write(compose(TELLER, GOOD, SLOT)))
    assert "values" not in said


def test_a_refusal_before_anything_was_fetched_has_its_receipt_too() -> None:
    told = compose(TELLER, journal(State.OFFERED, State.REFUSED, code="fetch.space", reason="No room."), None)
    assert (told.outcome, told.code, told.reason) == (State.REFUSED, "fetch.space", "No room.")
    assert (told.release, told.target, told.data) == (SLOT.release, SLOT.target, {})


def test_a_release_that_was_never_fetched_is_named_by_its_target() -> None:
    (event,) = journal(State.REFUSED)
    assert compose(TELLER, [msgspec.structs.replace(event, release="")], None).release == SLOT.release


def test_a_degraded_device_tells_what_the_attempt_was_turned_back_for() -> None:
    told = compose(TELLER, journal(State.SWITCHING, State.ROLLING_BACK, State.DEGRADED), SLOT)
    assert (told.outcome, told.code) == (State.DEGRADED, "gate.exited")


def test_an_attempt_that_has_not_ended_has_nothing_to_tell() -> None:
    for events in ([], journal(State.OFFERED, State.SWITCHING)):
        with pytest.raises(InvalidError) as raised:
            compose(TELLER, events, SLOT)
        assert raised.value.code == "receipt.events"


def test_logs_are_those_of_services_that_failed_and_no_others() -> None:
    fine = Seen(service="db", image=image("db2").config, state="running")
    told = compose(TELLER, BAD, SLOT, (fine, SEEN), {"web": "it broke\n", "db": "a secret\n"})
    assert {each.service: each.logs for each in told.services} == {"db": "", "web": "it broke\n"}


def test_the_last_lines_of_a_log_are_kept() -> None:
    text = "".join(f"line {number}\n" for number in range(500))
    assert tail(text, LOG_BYTES).splitlines() == [f"line {number}" for number in range(500 - LOG_LINES, 500)]
    assert tail(text, 18) == "line 498\nline 499\n"


@given(st.text(st.characters(codec="utf-8"), max_size=200), st.integers(0, 100))
def test_a_log_is_cut_between_characters(text: str, most: int) -> None:
    kept = tail(text, most)
    assert len(kept.encode()) <= most
    assert text.endswith(kept)


@pytest.mark.parametrize("services", [1, 20, 100])
@pytest.mark.parametrize(
    "text", ["x" * 100, "\x01" * 100, "ä" * 100, '"\\' * 50], ids=["plain", "escaped", "wide", "quoted"]
)
def test_a_receipt_always_fits_however_much_there_is_to_say(services: int, text: str) -> None:
    seen = [
        Seen(
            service=f"s{number}",
            image=image("web2").config,
            state="exited",
            wrong="w" * 1_000,
            probes={"http:80/": "p" * 500},
        )
        for number in range(services)
    ]
    logs = {each.service: (text + "\n") * 400 for each in seen}
    told = compose(TELLER, BAD, SLOT, seen, logs)
    assert receipt.read(receipt.write(told)) == told
    assert len(told.services) == services
    if services < 20:
        assert all(each.logs for each in told.services)


def test_years_of_tries_leave_how_it_began_and_how_it_ended() -> None:
    many = journal(State.SWITCHING, State.ROLLING_BACK, *[State.DEGRADED] * 2_000, State.ROLLED_BACK)
    told = compose(TELLER, many, SLOT)
    assert len(told.steps) <= 500
    assert (told.steps[0].state, told.steps[-1].state) == (State.SWITCHING, State.ROLLED_BACK)
    assert receipt.read(receipt.write(told)) == told


@pytest.mark.parametrize(
    ("states", "copied", "said"),
    [
        ((State.OFFERED, State.REFUSED), False, "untouched"),
        ((State.SWITCHING, State.COMMITTED), False, "kept"),
        ((State.SWITCHING, State.COMMITTED), True, "copied before the switch"),
        ((State.SWITCHING, State.ROLLED_BACK), False, "not rolled back"),
        ((State.SWITCHING, State.ROLLED_BACK), True, "returned to before the switch"),
    ],
)
def test_it_says_what_became_of_the_data(states: tuple[State, ...], copied: bool, said: str) -> None:  # noqa: FBT001
    where: Slot = replace(SLOT, copies={SLOT.volumes["data"]: "before"} if copied else {})
    assert compose(TELLER, journal(*states), where).data == {"data": said}
