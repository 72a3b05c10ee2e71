# SPDX-License-Identifier: Apache-2.0
"""API tokens: bounded, labelled, their owner's alone, and gone with a revocation or with their owner."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkvalve.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from checkvalve.ids import TokenId
from checkvalve.server.audit.model import Actor
from checkvalve.server.db.database import Database
from checkvalve.server.identity import actions, queries, tokens, writes
from checkvalve.server.identity.model import Ended, Live, Token
from tests.conftest import NOON
from tests.server.identity import ground

MILLISECOND = timedelta(milliseconds=1)
PERSON = ground.anna()


def _found(database: Database, digest: str) -> Token | None:
    return database.read_now("token", queries.token, digest)


@pytest.mark.parametrize("ends", [MILLISECOND, timedelta(days=1), tokens.LONGEST])
def test_a_token_may_end_within_its_bounds(ends: timedelta) -> None:
    assert tokens.check(ground.made(PERSON, ends_at=NOON + ends), NOON).ends_at == NOON + ends


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"ends_at": NOON}, "token.ends"),
        ({"ends_at": NOON - timedelta(days=1)}, "token.ends"),
        ({"ends_at": NOON + tokens.LONGEST + MILLISECOND}, "token.ends"),
        ({"ends_at": datetime.max.replace(tzinfo=UTC)}, "token.ends"),
        ({"ends_at": datetime(2026, 12, 1)}, "token.ends"),  # noqa: DTZ001 - no zone is what is wrong with it
        ({"label": ""}, "token.label"),
        ({"label": " \t"}, "token.label"),
        ({"label": "x" * 101}, "token.label"),
        ({"label": "a" + " " * 500 + "b"}, "token.label"),
        ({"label": "a\nb"}, "token.label"),
        ({"label": "a\0b"}, "token.label"),
        ({"label": "a\u202eb"}, "token.label"),
        ({"label": "\ud800"}, "token.label"),
        ({"scope": ""}, "scope.path"),
        ({"scope": "/org"}, "scope.path"),
        ({"scope": "org/"}, "scope.path"),
        ({"scope": "//"}, "scope.path"),
        ({"scope": "/org/%/"}, "scope.path"),
        ({"scope": "/a" * 250 + "/"}, "scope.path"),
        ({"permissions": ()}, "token.permissions"),
        ({"permissions": ("rollout.read", "rollout")}, "token.permissions"),
        ({"permissions": ("rollout.read\n",)}, "token.permissions"),
        ({"permissions": tuple(f"a{'b' * n}.read" for n in range(201))}, "token.permissions"),
    ],
)
def test_a_token_that_may_not_be_is_refused_with_what_to_do(changes: dict[str, object], code: str) -> None:
    with pytest.raises(InvalidError) as refused:
        tokens.check(ground.made(PERSON, **changes), NOON)
    assert refused.value.code == code
    assert refused.value.remedy


def test_a_token_is_kept_tidy() -> None:
    token = tokens.check(ground.made(PERSON, label="  Backup ", permissions=("b.x", "a.x", "b.x")), NOON)
    assert (token.label, token.permissions) == ("Backup", ("a.x", "b.x"))
    assert tokens.check(token, NOON) == token


@given(after=st.timedeltas(timedelta(0), timedelta(days=900)))
def test_a_token_counts_until_just_before_its_end(after: timedelta) -> None:
    token = ground.made(PERSON, ends_at=NOON + timedelta(days=400))
    answer = tokens.judge(token, NOON + after)
    assert isinstance(answer, Live) == (after < timedelta(days=400))
    assert isinstance(tokens.judge(token, token.ends_at), Ended)


def test_a_use_is_worth_noting_the_first_time_and_then_once_a_minute() -> None:
    assert tokens.worth_noting(ground.made(PERSON), NOON)
    used = ground.made(PERSON, used_at=NOON)
    assert not tokens.worth_noting(used, NOON + tokens.NOTED_EVERY - MILLISECOND)
    assert tokens.worth_noting(used, NOON + tokens.NOTED_EVERY)


@pytest.mark.parametrize("permissions", [None, ("audit.read", "rollout.read")])
def test_a_token_reads_back_as_issued_and_its_entry_holds_no_digest(
    database: Database, permissions: tuple[str, ...] | None
) -> None:
    person = ground.added(database)
    token = ground.issued(database, person, "digest-1", permissions=permissions)
    assert _found(database, "digest-1") == token
    assert _found(database, "digest-2") is None
    entry = ground.latest(database)
    assert (entry.action, entry.subject, entry.scope) == ("token.issue", f"token:{token.id}", person.home)
    assert entry.facts == {
        "after": {
            "ends_at": "2026-12-03T12:00:00.000Z",
            "label": "Backup",
            "permissions": None if permissions is None else list(permissions),
            "person": person.id,
            "scope": "/org/",
        }
    }
    assert b"digest-1" not in entry.data


def test_a_token_refused_is_not_issued(database: Database) -> None:
    person = ground.added(database)
    with pytest.raises(InvalidError, match=r"^token\.ends"):
        ground.issued(database, person, "d", ends_at=NOON)
    assert _found(database, "d") is None
    assert [entry.action for entry in ground.record(database)] == ["person.create"]


def test_a_token_issues_no_tokens(database: Database) -> None:
    person = ground.added(database)
    act = ground.act(Actor("token", ground.fresh(), "Backup"))
    with pytest.raises(ForbiddenError, match=r"^token\.by_token"):
        database.write_now("issue", actions.issue_token, act, ground.made(person), "d")


def test_neither_a_disabled_person_nor_nobody_gets_a_token(database: Database) -> None:
    person = ground.added(database)
    database.write_now("disable", writes.disable, person.id, NOON)
    with pytest.raises(ForbiddenError, match=r"^person\.disabled"):
        ground.issued(database, person, "d")
    with pytest.raises(NotFoundError, match=r"^person\.not_found"):
        ground.issued(database, ground.anna(), "d")


def test_one_person_has_at_most_fifty_tokens_that_count(database: Database) -> None:
    anna, bo = ground.added(database), ground.added(database, login="bo")
    for number in range(tokens.MOST):
        token = ground.issued(database, anna, f"a{number}")
    with pytest.raises(ConflictError, match=r"^token\.many"):
        ground.issued(database, anna, "one more")
    ground.issued(database, bo, "another person's")
    database.write_now("revoke", actions.revoke_token, ground.act(), token.id, anna.id)
    ground.issued(database, anna, "in its place")
    act = ground.act(at=token.ends_at)  # all have ended by now
    later = ground.made(anna, ends_at=token.ends_at + timedelta(days=1))
    database.write_now("issue", actions.issue_token, act, later, "much later")


def test_a_revoked_token_is_gone_at_once_and_its_entry_says_what_it_was(database: Database) -> None:
    person = ground.added(database)
    token = ground.issued(database, person, "d")
    kept = ground.issued(database, person, "e")
    issue = ground.latest(database)
    database.write_now("revoke", actions.revoke_token, ground.act(), token.id, person.id)
    assert _found(database, "d") is None
    assert database.read_now("tokens", queries.tokens_of, person.id) == [kept]
    entry = ground.latest(database)
    assert (entry.action, entry.subject, entry.scope) == ("token.revoke", f"token:{token.id}", person.home)
    assert entry.facts == {"before": issue.facts["after"]}


def test_a_token_revoked_before_another_persons_or_none_at_all_is_one_answer(database: Database) -> None:
    anna, bo = ground.added(database), ground.added(database, login="bo")
    token = ground.issued(database, anna, "d")
    revoked = ground.issued(database, anna, "e")
    database.write_now("revoke", actions.revoke_token, ground.act(), revoked.id, anna.id)
    entries = len(ground.record(database))
    answers = set()
    for token_id, owner in ((token.id, bo), (revoked.id, anna), (TokenId("a\0b"), anna), (TokenId("\ud800"), anna)):
        with pytest.raises(NotFoundError) as refused:
            database.write_now("revoke", actions.revoke_token, ground.act(), token_id, owner.id)
        answers.add((refused.value.code, refused.value.sentence, refused.value.remedy))
    assert [code for code, _, _ in answers] == ["token.not_found"]
    assert _found(database, "d") == token
    assert len(ground.record(database)) == entries


def test_a_token_stops_with_its_owner_and_counts_again_with_them(database: Database) -> None:
    person = ground.added(database)
    token = ground.issued(database, person, "d")
    database.write_now("disable", writes.disable, person.id, NOON)
    assert _found(database, "d") is None
    assert database.read_now("tokens", queries.tokens_of, person.id) == [token]
    database.write_now("enable", writes.enable, person.id)
    assert _found(database, "d") == token


def test_a_use_is_noted_forward_only_and_leaves_no_entry(database: Database) -> None:
    person = ground.added(database)
    token = ground.issued(database, person, "d")
    entries = len(ground.record(database))
    for at in (NOON + timedelta(hours=1), NOON):
        database.write_now("used", writes.token_used, token.id, at)
        found = _found(database, "d")
        assert found is not None
        assert found.used_at == NOON + timedelta(hours=1)
    assert len(ground.record(database)) == entries
