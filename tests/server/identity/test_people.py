# SPDX-License-Identifier: Apache-2.0
"""People: made, renamed, shut out and let in again, each with its one entry, on both engines."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from checkvalve.errors import CheckvalveError, ConflictError, InvalidError, NotFoundError
from checkvalve.ids import PersonId
from checkvalve.server.db.database import Database
from checkvalve.server.db.schema import people
from checkvalve.server.identity import actions, queries, writes
from checkvalve.server.identity.model import Person
from tests.conftest import NOON
from tests.server.identity import ground

NOT_IDS = ("", "nobody", "a\0b", "\ud800", "x" * 10_000)


def test_a_person_reads_back_as_made_and_is_found_by_any_spelling_of_the_login(database: Database) -> None:
    person = ground.added(database, login=" Anna.Ek@Plant ", name="  Anna E\u0301k ")
    assert (person.login, person.name) == ("anna.ek@plant", "Anna \u00c9k")
    assert database.read_now("person", queries.person, person.id) == person
    for spelling in ("anna.ek@plant", "ANNA.EK@PLANT", " anna.ek@plant\n"):
        assert database.read_now("by login", queries.by_login, spelling) == (person, ground.STORED)


def test_the_entry_of_a_new_person_says_who_and_stands_at_their_home(database: Database) -> None:
    person = ground.added(database)
    (entry,) = ground.record(database)
    assert (entry.action, entry.subject, entry.scope) == ("person.create", f"person:{person.id}", "/org/visby/")
    assert entry.facts == {"after": {"home": "/org/visby/", "login": "anna", "name": "Anna Ek"}}


@pytest.mark.parametrize("login", ["anna", "ANNA", "Anna "])
def test_a_login_is_taken_in_any_spelling_and_by_a_disabled_person_too(database: Database, login: str) -> None:
    person = ground.added(database)
    database.write_now("disable", writes.disable, person.id, NOON)
    with pytest.raises(ConflictError, match=r"^login\.taken"):
        ground.added(database, login=login)
    assert len(ground.record(database)) == 1


def test_of_many_who_make_the_same_login_at_once_one_succeeds(database: Database) -> None:
    def attempt(person: Person) -> str:
        try:
            database.write_now("create", actions.create_person, ground.act(), person, ground.STORED)
        except CheckvalveError as error:
            return error.code
        return "made"

    with ThreadPoolExecutor(6) as pool:
        outcomes = sorted(pool.map(attempt, [ground.anna() for _ in range(6)]))
    assert outcomes == ["login.taken"] * 5 + ["made"]
    assert len(ground.record(database)) == 1


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"login": "a"}, "login.short"),
        ({"login": "a\0b"}, "login.characters"),
        ({"name": " "}, "name.empty"),
        ({"name": "Anna\nEk"}, "name.characters"),
        ({"home": "visby"}, "scope.path"),
    ],
)
def test_what_may_not_be_kept_is_refused_and_changes_nothing(
    database: Database, changes: dict[str, str], code: str
) -> None:
    with pytest.raises(InvalidError) as refused:
        ground.added(database, **changes)
    assert refused.value.code == code
    assert refused.value.remedy
    assert ground.record(database) == []
    assert database.read_now("people", queries.people, sa.true()) == []


@pytest.mark.parametrize("text", NOT_IDS)
def test_what_nobody_can_be_called_finds_nobody(database: Database, text: str) -> None:
    assert database.read_now("by login", queries.by_login, text) is None
    assert database.read_now("home", queries.home, text) is None
    with pytest.raises(NotFoundError, match=r"^person\.not_found"):
        database.read_now("person", queries.person, PersonId(text))


def test_a_list_holds_those_one_may_see_by_login_page_by_page(database: Database) -> None:
    for login, home in (("cleo", "/org/"), ("anna", "/org/visby/"), ("bo", "/other/")):
        ground.added(database, login=login, home=home)
    seen = people.c.home.startswith("/org/")
    assert [person.login for person in database.read_now("people", queries.people, seen)] == ["anna", "cleo"]
    (first,) = database.read_now("people", queries.people, sa.true(), limit=1)
    rest = database.read_now("people", queries.people, sa.true(), limit=5, after=first.login)
    assert [first.login, *(person.login for person in rest)] == ["anna", "bo", "cleo"]


def test_another_name_is_recorded_beside_the_one_before(database: Database) -> None:
    person = ground.added(database)
    renamed = database.write_now("rename", actions.rename_person, ground.act(), person.id, "Anna Berg ")
    assert renamed.name == "Anna Berg"
    assert database.read_now("person", queries.person, person.id) == renamed
    entry = ground.latest(database)
    assert (entry.action, entry.subject, entry.scope) == ("person.rename", f"person:{person.id}", person.home)
    assert entry.facts == {"after": {"name": "Anna Berg"}, "before": {"name": "Anna Ek"}}


def test_changes_of_nobody_are_refused(database: Database) -> None:
    nobody = PersonId(ground.fresh())
    with pytest.raises(NotFoundError, match=r"^person\.not_found"):
        database.write_now("rename", actions.rename_person, ground.act(), nobody, "Anna")
    with pytest.raises(NotFoundError, match=r"^person\.not_found"):
        database.write_now("password", actions.set_password, ground.act(), nobody, ground.STORED)


def test_a_new_password_is_kept_and_its_entry_holds_none(database: Database) -> None:
    person = ground.added(database)
    database.write_now("password", actions.set_password, ground.act(), person.id, "another stored form")
    assert database.read_now("password", queries.password, person.id) == "another stored form"
    entry = ground.latest(database)
    assert (entry.action, entry.subject, entry.scope) == ("person.set_password", f"person:{person.id}", person.home)
    assert entry.facts == {"login": "anna", "sessions_ended": 0}
    assert b"another stored form" not in entry.data


def test_a_person_disabled_twice_keeps_the_first_date_and_is_let_in_again(database: Database) -> None:
    person = ground.added(database)
    later = NOON.replace(hour=13)
    database.write_now("disable", writes.disable, person.id, NOON)
    database.write_now("disable", writes.disable, person.id, later)
    assert database.read_now("person", queries.person, person.id).disabled_at == NOON
    database.write_now("enable", writes.enable, person.id)
    assert database.read_now("person", queries.person, person.id) == person
