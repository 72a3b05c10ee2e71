# SPDX-License-Identifier: Apache-2.0
"""Entries: final bytes from the first day, whatever names and facts they have to carry."""

from datetime import timedelta

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from checkvalve import canonical
from checkvalve.canonical import Json
from checkvalve.crypto import merkle
from checkvalve.errors import ForbiddenError, NotFoundError, UnavailableError
from checkvalve.ids import EntryId
from checkvalve.server.audit import actions, queries, writes
from checkvalve.server.audit.compose import LARGEST, compose
from checkvalve.server.audit.model import PLANE, Act, Actor, Kind
from checkvalve.server.db import schema
from checkvalve.server.db.database import Database, Tx
from tests.conftest import NOON

ANNA = Actor("person", "01anna", "Anna")
EVERYTHING = sa.true()


def _act(number: int = 1, **changes: object) -> Act:
    values = {"id": EntryId(f"{number:026}"), "at": NOON + timedelta(seconds=number), "actor": ANNA, **changes}
    return Act(**values)  # type: ignore[arg-type]


def _record(database: Database, number: int, action: str = "scope.create", scope: str = "/a/", **facts: Json) -> None:
    database.write_now("record", writes.record, _act(number), action, f"scope:{number}", scope, facts)


def test_an_entry_reads_back_as_it_was_said(database: Database) -> None:
    act = _act(request="req-1", reason="MoC 4711", bindings=("b1",), address="192.0.2.7")
    database.write_now("record", writes.record, act, "scope.create", "scope:x", "/a/", {"after": {"name": "Visby"}})
    entry = database.read_now("entry", queries.entry, EVERYTHING, act.id)
    assert (entry.id, entry.at, entry.kind, entry.actor) == (act.id, act.at, Kind.OUTCOME, ANNA)
    assert (entry.action, entry.subject, entry.scope) == ("scope.create", "scope:x", "/a/")
    assert (entry.request, entry.reason, entry.bindings) == ("req-1", "MoC 4711", ("b1",))
    assert entry.facts == {"after": {"name": "Visby"}}
    assert canonical.dumps(canonical.loads(entry.data)) == entry.data
    assert entry.leaf_hash == merkle.leaf_hash(entry.data)


def test_the_bytes_of_an_entry_are_these_for_ever() -> None:
    act = _act(request="r", reason="why", bindings=("b",), address="::1")
    assert compose(act, Kind.OUTCOME, "a.b", "s:1", "/", {"n": 1}) == (
        b'{"action":"a.b","actor":{"id":"01anna","kind":"person","name":"Anna"},"address":"::1",'
        b'"at":"2026-11-03T12:00:01.000Z","bindings":["b"],"facts":{"n":1},"id":"00000000000000000000000001",'
        b'"kind":"outcome","reason":"why","request":"r","scope":"/","subject":"s:1","v":1}'
    )


def test_one_act_leaves_one_entry_and_a_second_is_impossible(database: Database) -> None:
    def twice(tx: Tx) -> None:
        for _ in range(2):
            writes.record(tx, _act(1), "scope.create", "scope:1", "/", {})

    with pytest.raises((sa.exc.IntegrityError, UnavailableError)):
        database.write_now("twice", twice)
    assert database.read_now("all", queries.latest, EVERYTHING, limit=10) == []


def test_a_refusal_is_recorded_with_its_code(database: Database) -> None:
    error = ForbiddenError("access.denied", "No role here holds rollout.start.")
    database.write_now("refuse", actions.refuse, _act(1), "rollout.start", "rollout:1", "/a/", error)
    (entry,) = database.read_now("all", queries.latest, EVERYTHING, limit=10)
    assert entry.kind is Kind.REFUSED
    assert entry.facts == {"code": "access.denied", "sentence": "No role here holds rollout.start."}


def test_the_record_is_paged_newest_first_without_gap_or_double(database: Database) -> None:
    for number in range(25):
        _record(database, number)
    seen: list[str] = []
    while page := database.read_now("page", queries.latest, EVERYTHING, limit=10, before=seen[-1] if seen else ""):
        seen += [entry.id for entry in page]
    assert seen == [f"{number:026}" for number in reversed(range(25))]


def test_filters_narrow_the_record(database: Database) -> None:
    _record(database, 1, "scope.create", "/a/")
    _record(database, 2, "scope.rename", "/b/")
    _record(database, 3, "rollout.start", "/a/")

    def ids(**filters: object) -> list[int]:
        return [int(e.id) for e in database.read_now("page", queries.latest, EVERYTHING, limit=9, **filters)]  # type: ignore[arg-type]

    assert ids(action="scope.") == [2, 1]
    assert ids(action="rollout.start") == [3]
    assert ids(action="%") == []
    assert ids(subject="scope:2") == [2]
    assert ids(actor="somebody") == []
    assert ids(since=NOON + timedelta(seconds=2)) == [3, 2]


def test_an_entry_of_another_scope_is_as_absent_as_one_that_never_was(database: Database) -> None:
    _record(database, 1, scope="/other/")
    only_mine = schema.entries.c.scope == "/mine/"
    said = []
    for number in (1, 2):
        with pytest.raises(NotFoundError) as caught:
            database.read_now("entry", queries.entry, only_mine, EntryId(f"{number:026}"))
        said.append((caught.value.code, caught.value.sentence, caught.value.remedy))
    assert said[0] == said[1]


texts = st.text()  # lone surrogates and control characters included
facts = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=15,
)


@given(texts, texts, texts, st.dictionaries(texts, facts, max_size=4))
def test_recording_never_fails_for_what_came_from_outside(
    name: str, reason: str, subject: str, said: dict[str, Json]
) -> None:
    act = _act(actor=Actor("person", "x", name), reason=reason, address=name)
    data = compose(act, Kind.OUTCOME, "a.b", subject, "/", said)
    assert len(data) <= LARGEST
    assert b"\n" not in data
    canonical.loads(data)


def test_a_subject_that_no_column_can_hold_is_recorded_all_the_same(database: Database) -> None:
    database.write_now("record", writes.record, _act(), "a.b", "login:x\0\ud800", "/", {})
    (entry,) = database.read_now("all", queries.latest, EVERYTHING, limit=1)
    assert entry.subject == "login:x\0?"


def test_facts_too_large_for_an_entry_give_way_to_their_digest() -> None:
    data = compose(_act(), Kind.OUTCOME, "a.b", "s:1", "/", {"text": "x" * 100_000})
    entry = canonical.loads(data)
    assert isinstance(entry, dict)
    assert entry["facts"]["too_large"]["bytes"] == 100_011


def test_thousands_of_bindings_still_make_an_entry() -> None:
    act = _act(bindings=tuple(f"{number:026}" for number in range(3000)))
    entry = canonical.loads(compose(act, Kind.OUTCOME, "a.b", "s:1", "/", {"text": "x" * 100_000}))
    assert isinstance(entry, dict)
    assert entry["bindings"][0].startswith("3000 bindings, sha256 ")


def test_the_plane_acts_under_its_own_name() -> None:
    assert (PLANE.kind, PLANE.id) == ("plane", "plane")
