# SPDX-License-Identifier: Apache-2.0
"""Sessions: what ends them, in the decision and in the database, and what the record says of it."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkvalve.errors import ForbiddenError, NotFoundError, StaleError
from checkvalve.ids import PersonId, SessionId
from checkvalve.server.audit.model import Actor
from checkvalve.server.db.database import Database
from checkvalve.server.identity import actions, queries, sessions, writes
from checkvalve.server.identity.model import Ended, Live, Session
from tests.conftest import NOON
from tests.server.identity import ground

MILLISECOND = timedelta(milliseconds=1)
PERSON = ground.anna()
spans = st.timedeltas(timedelta(0), timedelta(hours=14))


def _found(database: Database, digest: str) -> Session | None:
    return database.read_now("session", queries.session, digest)


@pytest.mark.parametrize(
    ("seen_after", "asked_after", "expected"),
    [
        (timedelta(0), timedelta(0), Live(NOON + sessions.IDLE)),
        (timedelta(0), sessions.IDLE - MILLISECOND, Live(NOON + sessions.IDLE)),
        (timedelta(hours=11, minutes=50), timedelta(hours=11, minutes=50), Live(NOON + sessions.ABSOLUTE)),
        (timedelta(minutes=1), timedelta(0), Live(NOON + sessions.IDLE + timedelta(minutes=1))),  # clock set back
    ],
)
def test_a_session_counts_while_used_and_says_until_when(
    seen_after: timedelta, asked_after: timedelta, expected: Live
) -> None:
    session = ground.opened(PERSON, seen_at=NOON + seen_after)
    assert sessions.judge(session, NOON + asked_after) == expected


@pytest.mark.parametrize(
    ("seen_after", "asked_after", "word"),
    [
        (timedelta(0), sessions.IDLE, "30 minutes"),
        (sessions.ABSOLUTE - MILLISECOND, sessions.ABSOLUTE, "12 hours"),
        (timedelta(0), timedelta(days=9), "12 hours"),
    ],
)
def test_a_session_ends_at_the_moment_of_its_limit_and_says_which(
    seen_after: timedelta, asked_after: timedelta, word: str
) -> None:
    session = ground.opened(PERSON, seen_at=NOON + seen_after)
    answer = sessions.judge(session, NOON + asked_after)
    assert isinstance(answer, Ended)
    assert word in answer.reason


def test_an_end_of_its_own_shortens_a_session_and_never_lengthens_it() -> None:
    short = ground.opened(PERSON, ends_at=NOON + timedelta(minutes=5))
    assert isinstance(sessions.judge(short, NOON + timedelta(minutes=5)), Ended)
    long = ground.opened(PERSON, ends_at=NOON + timedelta(days=9), seen_at=NOON + sessions.ABSOLUTE)
    assert isinstance(sessions.judge(long, NOON + sessions.ABSOLUTE), Ended)


@given(seen_after=spans, asked_after=spans, later=spans)
def test_what_ended_stays_ended(seen_after: timedelta, asked_after: timedelta, later: timedelta) -> None:
    session = ground.opened(PERSON, seen_at=NOON + seen_after)
    if isinstance(sessions.judge(session, NOON + asked_after), Ended):
        assert isinstance(sessions.judge(session, NOON + asked_after + later), Ended)


@given(seen_after=spans, more=spans, asked_after=spans)
def test_a_later_request_never_ends_a_session_sooner(
    seen_after: timedelta, more: timedelta, asked_after: timedelta
) -> None:
    now = NOON + asked_after
    before = sessions.judge(ground.opened(PERSON, seen_at=NOON + seen_after), now)
    after = sessions.judge(ground.opened(PERSON, seen_at=NOON + seen_after + more), now)
    if isinstance(before, Live):
        assert isinstance(after, Live)
        assert after.until >= before.until


@given(seen_after=spans, asked_after=spans)
def test_a_session_counts_until_just_before_the_moment_it_names(seen_after: timedelta, asked_after: timedelta) -> None:
    session = ground.opened(PERSON, seen_at=NOON + seen_after)
    answer = sessions.judge(session, NOON + asked_after)
    if isinstance(answer, Live):
        assert NOON + asked_after < answer.until
        assert isinstance(sessions.judge(session, answer.until), Ended)
        assert sessions.judge(session, answer.until - timedelta(microseconds=1)) == answer


def test_a_request_is_worth_noting_once_a_minute() -> None:
    session = ground.opened(PERSON)
    assert not sessions.worth_noting(session, NOON + sessions.NOTED_EVERY - MILLISECOND)
    assert sessions.worth_noting(session, NOON + sessions.NOTED_EVERY)


def test_a_session_is_found_by_its_digest_and_its_entry_holds_none(database: Database) -> None:
    person = ground.added(database)
    session = ground.signed_in(database, person, "d1")
    assert _found(database, "d1") == session
    assert _found(database, "d2") is None
    entry = ground.latest(database)
    assert (entry.action, entry.subject, entry.scope) == ("session.sign_in", f"session:{session.id}", person.home)
    assert entry.facts == {
        "address": "192.0.2.7",
        "agent": "Firefox",
        "ended": None,
        "ends_at": "2026-11-04T00:00:00.000Z",
        "person": person.id,
    }
    assert b"d1" not in entry.data.replace(session.id.encode(), b"").replace(person.id.encode(), b"")


def test_what_a_program_says_of_itself_is_cut_and_made_visible(database: Database) -> None:
    person = ground.added(database)
    session = ground.signed_in(database, person, "d", agent="curl\0\n\x1b[31m" + "x" * 9000, address="::1\0")
    assert session.agent.startswith("curl???[31mxxx")
    assert len(session.agent) == 300
    assert session.address == "::1?"
    assert _found(database, "d") == session


def test_no_session_is_opened_beyond_the_absolute_limit(database: Database) -> None:
    session = ground.signed_in(database, ground.added(database), "d", ends_at=NOON + timedelta(days=999))
    assert session.ends_at == NOON + sessions.ABSOLUTE


def test_a_disabled_person_does_not_sign_in(database: Database) -> None:
    person = ground.added(database)
    database.write_now("disable", writes.disable, person.id, NOON)
    with pytest.raises(ForbiddenError, match=r"^person\.disabled"):
        ground.signed_in(database, person, "d")
    assert _found(database, "d") is None
    assert [entry.action for entry in ground.record(database)] == ["person.create"]


def test_nobody_does_not_sign_in(database: Database) -> None:
    with pytest.raises(NotFoundError, match=r"^person\.not_found"):
        ground.signed_in(database, ground.anna(), "d")


def test_a_password_changed_since_it_was_compared_opens_no_session(database: Database) -> None:
    person = ground.added(database)
    act = ground.act(ground.as_actor(person))
    database.write_now("password", actions.set_password, ground.act(), person.id, "another")
    with pytest.raises(StaleError, match=r"^password\.changed"):
        database.write_now("sign in", actions.sign_in, act, ground.opened(person), "d", ground.STORED)
    database.write_now("sign in", actions.sign_in, act, ground.opened(person), "d", "another")
    assert _found(database, "d") is not None


def test_a_password_is_kept_anew_in_the_act_of_signing_in(database: Database) -> None:
    person = ground.added(database)
    before = len(ground.record(database))
    act, session = ground.act(ground.as_actor(person)), ground.opened(person)
    database.write_now("sign in", actions.sign_in, act, session, "d", ground.STORED, None, "stronger")
    assert database.read_now("password", queries.password, person.id) == "stronger"
    assert len(ground.record(database)) == before + 1
    assert ground.latest(database).facts["rehashed"] is True
    assert "stronger" not in ground.latest(database).data.decode()
    ground.signed_in(database, person, "d2")
    assert "rehashed" not in ground.latest(database).facts


@pytest.mark.parametrize("verified", [ground.STORED, None])
def test_a_password_is_not_kept_anew_in_place_of_one_that_was_not_verified(
    database: Database, verified: str | None
) -> None:
    person = ground.added(database)
    database.write_now("password", actions.set_password, ground.act(), person.id, "another")
    act, session = ground.act(ground.as_actor(person)), ground.opened(person)
    with pytest.raises(StaleError, match=r"^password\.changed"):
        database.write_now("sign in", actions.sign_in, act, session, "d", verified, None, "stronger")
    assert database.read_now("password", queries.password, person.id) == "another"
    assert _found(database, "d") is None


def test_signing_in_ends_the_session_the_browser_had_whoever_it_was_in_the_same_act(database: Database) -> None:
    anna, bo = ground.added(database), ground.added(database, id=PersonId(ground.fresh()), login="bo")
    earlier = ground.signed_in(database, anna, "d1")
    other = ground.signed_in(database, anna, "d2")
    act = ground.act(ground.as_actor(bo), NOON)
    session = ground.opened(bo, NOON)
    database.write_now("sign in", actions.sign_in, act, session, "d3", None, "d1")
    assert (_found(database, "d1"), _found(database, "d2")) == (None, other)
    entry = ground.latest(database)
    assert (entry.id, entry.facts["ended"]) == (act.id, earlier.id)


def test_disabling_ends_all_sessions_of_that_person_only(database: Database) -> None:
    anna, bo = ground.added(database), ground.added(database, login="bo")
    for digest, person in (("a1", anna), ("a2", anna), ("b1", bo)):
        ground.signed_in(database, person, digest)
    database.write_now("disable", writes.disable, anna.id, NOON)
    assert [_found(database, digest) is not None for digest in ("a1", "a2", "b1")] == [False, False, True]


def test_a_new_password_ends_the_other_sessions_and_keeps_the_one_it_came_from(database: Database) -> None:
    anna, bo = ground.added(database), ground.added(database, login="bo")
    here = ground.signed_in(database, anna, "a1")
    ground.signed_in(database, anna, "a2")
    others = ground.signed_in(database, bo, "b1")
    database.write_now("password", actions.set_password, ground.act(), anna.id, "new", here.id)
    assert database.read_now("sessions", queries.sessions_of, anna.id) == [here]
    assert ground.latest(database).facts["sessions_ended"] == 1
    database.write_now("password", actions.set_password, ground.act(), anna.id, "newer", others.id)
    assert database.read_now("sessions", queries.sessions_of, anna.id) == []
    assert _found(database, "b1") == others


def test_sessions_are_listed_newest_first(database: Database) -> None:
    person = ground.added(database)
    made = [ground.signed_in(database, person, digest) for digest in ("1", "2", "3")]
    assert database.read_now("sessions", queries.sessions_of, person.id) == made[::-1]


@pytest.mark.parametrize("after", [sessions.IDLE, sessions.ABSOLUTE])
def test_signing_in_forgets_what_ended_and_nothing_that_counts(database: Database, after: timedelta) -> None:
    person = ground.added(database)
    now = NOON + after
    ground.signed_in(database, person, "ended")
    used = ground.signed_in(database, person, "used", now - sessions.IDLE + MILLISECOND)
    new = ground.signed_in(database, person, "new", now)
    assert _found(database, "ended") is None
    assert database.read_now("sessions", queries.sessions_of, person.id) == [new, used]


def test_a_request_moves_the_time_of_last_use_forward_only_and_leaves_no_entry(database: Database) -> None:
    person = ground.added(database)
    session = ground.signed_in(database, person, "d")
    entries = len(ground.record(database))

    def seen(at: datetime) -> datetime | None:
        database.write_now("seen", writes.seen, session.id, at)
        found = _found(database, "d")
        return None if found is None else found.seen_at

    assert seen(NOON + timedelta(minutes=5)) == NOON + timedelta(minutes=5)
    assert seen(NOON) == NOON + timedelta(minutes=5)
    assert len(ground.record(database)) == entries


def test_signing_out_ends_the_session_at_once_and_leaves_one_entry(database: Database) -> None:
    person = ground.added(database)
    session = ground.signed_in(database, person, "d")
    other = ground.signed_in(database, person, "e")
    database.write_now("out", actions.sign_out, ground.act(ground.as_actor(person)), session.id)
    assert database.read_now("sessions", queries.sessions_of, person.id) == [other]
    entry = ground.latest(database)
    assert (entry.action, entry.subject, entry.scope) == ("session.sign_out", f"session:{session.id}", person.home)
    assert entry.facts == {"ended": True, "person": person.id}


def test_signing_out_twice_is_quiet_and_recorded_both_times(database: Database) -> None:
    person = ground.added(database)
    session = ground.signed_in(database, person, "d")
    for _ in range(2):
        database.write_now("out", actions.sign_out, ground.act(ground.as_actor(person)), session.id)
    second, first, *_ = ground.record(database)
    assert (first.facts["ended"], second.facts["ended"]) == (True, False)
    assert second.scope == person.home


def test_a_sign_out_whose_person_is_not_known_is_recorded_at_the_plane(database: Database) -> None:
    act = ground.act(Actor("token", ground.fresh(), "Backup"))
    database.write_now("out", actions.sign_out, act, SessionId(ground.fresh()))
    assert ground.latest(database).scope == "/"


def test_an_owner_ends_their_own_sessions_only(database: Database) -> None:
    anna, bo = ground.added(database), ground.added(database, login="bo")
    session = ground.signed_in(database, anna, "d")
    entries = len(ground.record(database))
    with pytest.raises(NotFoundError, match=r"^session\.not_found"):
        database.write_now("out", actions.sign_out, ground.act(ground.as_actor(bo)), session.id, bo.id)
    assert _found(database, "d") == session
    assert len(ground.record(database)) == entries
    database.write_now("out", actions.sign_out, ground.act(), session.id, anna.id)
    assert _found(database, "d") is None


@pytest.mark.parametrize("text", ["", "x", "a\0b", "\ud800", "9" * 26])
def test_what_is_no_id_signs_nobody_out_and_reaches_no_entry(database: Database, text: str) -> None:
    with pytest.raises(NotFoundError, match=r"^session\.not_found"):
        database.write_now("out", actions.sign_out, ground.act(), SessionId(text), PersonId(ground.fresh()))
    assert ground.record(database) == []
