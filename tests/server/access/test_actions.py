# SPDX-License-Identifier: Apache-2.0
"""Changes of the tree and of rights: what is kept, what is refused, and one entry for each."""

import dataclasses
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from ipaddress import ip_network

import pytest
import sqlalchemy as sa

from checkvalve.errors import CheckvalveError, ConflictError, ForbiddenError, InvalidError, NotFoundError
from checkvalve.ids import BindingId, EntryId, PersonId, ScopeId
from checkvalve.server.access import actions, queries
from checkvalve.server.access.decide import decide
from checkvalve.server.access.model import STANDING, Binding, Permission, Scope, ScopeKind, Visibility
from checkvalve.server.audit import queries as audit_queries
from checkvalve.server.audit.model import Act, Actor, Entry
from checkvalve.server.db.database import Database
from checkvalve.server.identity import queries as identity_queries
from checkvalve.server.identity import writes as identity_writes
from checkvalve.server.identity.model import Person
from tests.conftest import NOON

NewId = Callable[[], str]
ADMIN = Actor("person", "admin", "Admin")
ALL = Visibility(("/",))


@pytest.fixture
def act(new_id: NewId) -> Callable[[], Act]:
    return lambda: Act(EntryId(new_id()), NOON, ADMIN)


@pytest.fixture
def site(database: Database, act: Callable[[], Act]) -> Scope:
    """Make Norra Water with the site Visby; return Visby."""
    norra = _make(database, act(), "norra", "/", ScopeKind.ORGANISATION, "Norra Water")
    return _make(database, act(), "visby", norra.path, ScopeKind.SITE, "Visby")


@pytest.fixture
def anna(database: Database) -> PersonId:
    return _person(database, "anna")


def _make(database: Database, act: Act, ident: str, parent: str, kind: ScopeKind, name: str) -> Scope:
    return database.write_now("create", actions.create_scope, act, ScopeId(ident), parent, kind, name)


def _person(database: Database, login: str) -> PersonId:
    person = Person(PersonId(login), login, login.title(), "/", NOON, None)
    database.write_now("person", identity_writes.add_person, person, "x")
    return person.id


def _entries(database: Database) -> list[Entry]:
    return database.read_now("entries", audit_queries.latest, sa.true(), limit=100)


def _allowed(database: Database, person: PersonId, permission: Permission, path: str) -> bool:
    principal = database.read_now("principal", queries.principal, person)
    return decide(principal, permission, path, NOON, STANDING).allow


def test_a_tree_grows_under_its_parents_and_each_step_is_recorded(
    database: Database, site: Scope, act: Callable[[], Act]
) -> None:
    area = _make(database, act(), "hall", site.path, ScopeKind.AREA, "Pump hall")
    inner = _make(database, act(), "pit", area.path, ScopeKind.AREA, "Pit")
    assert inner.path == "/norra/visby/hall/pit/"
    assert [node.name for node in database.read_now("list", queries.listed, ALL)] == [
        "Norra Water",
        "Visby",
        "Pump hall",
        "Pit",
    ]
    assert [entry.action for entry in _entries(database)] == ["scope.create"] * 4
    assert database.read_now("names", queries.names, inner.path) == ["Norra Water", "Visby", "Pump hall", "Pit"]


@pytest.mark.parametrize(
    ("parent", "kind", "name", "code"),
    [
        ("/", ScopeKind.SITE, "Visby", "scope.place"),
        ("/", ScopeKind.AREA, "Visby", "scope.place"),
        ("/norra/", ScopeKind.ORGANISATION, "Other", "scope.place"),
        ("/norra/", ScopeKind.SITE, "VISBY", "scope.name_taken"),
        ("/norra/", ScopeKind.SITE, " Visby ", "scope.name_taken"),
        ("/norra/", ScopeKind.SITE, "   ", "name.empty"),
        ("/norra/", ScopeKind.SITE, "x" * 101, "name.long"),
        ("/norra/", ScopeKind.SITE, "Vis\nby", "name.characters"),
        ("/norra/", ScopeKind.SITE, "Vis\u202eby", "name.characters"),
        ("/gone/", ScopeKind.SITE, "Visby", "scope.not_found"),
        ("/norra", ScopeKind.SITE, "Lule\u00e5", "scope.not_found"),
        ("", ScopeKind.SITE, "Lule\u00e5", "scope.not_found"),
    ],
)
@pytest.mark.usefixtures("site")
def test_a_node_that_may_not_stand_there_changes_nothing(
    database: Database, act: Callable[[], Act], parent: str, kind: ScopeKind, name: str, code: str
) -> None:
    before = _entries(database)
    with pytest.raises(CheckvalveError) as caught:
        _make(database, act(), "new", parent, kind, name)
    assert caught.value.code == code
    assert len(database.read_now("list", queries.listed, ALL)) == 2
    assert _entries(database) == before


def test_the_tree_has_a_bottom(database: Database, site: Scope, act: Callable[[], Act]) -> None:
    path = site.path
    for number in range(8):
        path = _make(database, act(), f"a{number}", path, ScopeKind.AREA, "x").path
    with pytest.raises(InvalidError) as caught:
        _make(database, act(), "one too many", path, ScopeKind.AREA, "x")
    assert caught.value.code == "scope.depth"


def test_a_renamed_site_keeps_its_path_and_the_entry_tells_both_names(
    database: Database, site: Scope, act: Callable[[], Act]
) -> None:
    renamed = database.write_now("rename", actions.rename_scope, act(), site.id, "Visby waterworks")
    assert (renamed.path, renamed.name) == (site.path, "Visby waterworks")
    assert _entries(database)[0].facts == {"after": {"name": "Visby waterworks"}, "before": {"name": "Visby"}}


def test_a_role_given_counts_and_a_role_taken_does_not(
    database: Database, site: Scope, anna: PersonId, act: Callable[[], Act]
) -> None:
    binding = Binding(BindingId("b1"), anna, "operator", site.path)
    assert not _allowed(database, anna, Permission.ROLLOUT_START, site.path)
    database.write_now("bind", actions.bind, act(), binding)
    assert _allowed(database, anna, Permission.ROLLOUT_START, site.path)
    assert not _allowed(database, anna, Permission.ROLLOUT_START, "/norra/")
    database.write_now("unbind", actions.unbind, act(), binding.id)
    assert not _allowed(database, anna, Permission.ROLLOUT_START, site.path)
    assert [entry.action for entry in _entries(database)[:2]] == ["binding.revoke", "binding.create"]
    with pytest.raises(NotFoundError):
        database.write_now("unbind", actions.unbind, act(), binding.id)


@pytest.mark.parametrize(
    ("changes", "kind", "code"),
    [
        ({"person": PersonId("admin")}, ForbiddenError, "binding.own"),
        ({"person": PersonId("nobody")}, NotFoundError, "person.not_found"),
        ({"role": "root"}, InvalidError, "binding.role"),
        ({"scope": "/gone/"}, NotFoundError, "scope.not_found"),
        ({"scope": "/norra/vis"}, NotFoundError, "scope.not_found"),
        ({"not_after": NOON}, InvalidError, "binding.bounds"),
        (
            {"not_before": NOON + timedelta(days=2), "not_after": NOON + timedelta(days=1)},
            InvalidError,
            "binding.bounds",
        ),
    ],
)
def test_a_binding_that_may_not_be_is_refused_by_name(
    database: Database,
    site: Scope,
    anna: PersonId,
    act: Callable[[], Act],
    changes: dict[str, object],
    kind: type[CheckvalveError],
    code: str,
) -> None:
    _person(database, "admin")
    wanted = dataclasses.replace(Binding(BindingId("b1"), anna, "operator", site.path), **changes)  # type: ignore[arg-type]
    before = _entries(database)
    with pytest.raises(kind) as caught:
        database.write_now("bind", actions.bind, act(), wanted)
    assert caught.value.code == code
    assert database.read_now("bindings", queries.bindings_of, ALL) == []
    assert _entries(database) == before


def test_the_same_binding_twice_is_a_conflict_another_network_is_not(
    database: Database, site: Scope, anna: PersonId, act: Callable[[], Act]
) -> None:
    binding = Binding(BindingId("b1"), anna, "viewer", site.path)
    database.write_now("bind", actions.bind, act(), binding)
    with pytest.raises(ConflictError) as caught:
        database.write_now("bind", actions.bind, act(), dataclasses.replace(binding, id=BindingId("b2")))
    assert caught.value.code == "binding.exists"
    narrow = dataclasses.replace(binding, id=BindingId("b3"), networks=(ip_network("10.0.0.0/8"),))
    database.write_now("bind", actions.bind, act(), narrow)
    kept = database.read_now("bindings", queries.bindings_of, ALL, anna)
    assert [(held.id, held.networks) for held in kept] == [("b1", ()), ("b3", (ip_network("10.0.0.0/8"),))]
    assert {(held.made_by, held.made_at) for held in kept} == {(ADMIN.id, NOON)}


def _administrators(database: Database, act: Callable[[], Act], *logins: str) -> list[Binding]:
    made = []
    for login in logins:
        binding = Binding(BindingId(f"of-{login}"), _person(database, login), "platform-admin", "/")
        made.append(database.write_now("bind", actions.bind, act(), binding))
    return made


def test_the_last_administrator_stays(database: Database, act: Callable[[], Act]) -> None:
    first, second = _administrators(database, act, "eva", "per")
    database.write_now("unbind", actions.unbind, act(), first.id)
    for attempt, argument in ((actions.unbind, second.id), (actions.disable_person, second.person)):
        with pytest.raises(ConflictError) as caught:
            database.write_now("last", attempt, act(), argument)  # type: ignore[arg-type]
        assert caught.value.code == "binding.last_administrator"


def test_an_administrator_whose_right_ends_is_not_enough(database: Database, act: Callable[[], Act]) -> None:
    (lasting,) = _administrators(database, act, "eva")
    ending = Binding(
        BindingId("e"), _person(database, "per"), "platform-admin", "/", not_after=NOON + timedelta(days=1)
    )
    database.write_now("bind", actions.bind, act(), ending)
    with pytest.raises(ConflictError):
        database.write_now("unbind", actions.unbind, act(), lasting.id)


def test_two_administrators_removing_each_other_leave_one(database: Database, act: Callable[[], Act]) -> None:
    for turn in range(5):
        pair = _administrators(database, act, f"eva{turn}", f"per{turn}")
        if turn:  # those of the turn before are out of the way
            for held in database.read_now("held", queries.holders, "platform-admin", "/"):
                if held not in pair:
                    database.write_now("unbind", actions.unbind, act(), held.id)
        with ThreadPoolExecutor(2) as pool:
            asked = [pool.submit(database.write_now, "unbind", actions.unbind, act(), one.id) for one in pair]
        failed = [future.exception() for future in asked if future.exception()]
        assert [error.code for error in failed if isinstance(error, ConflictError)] == ["binding.last_administrator"]
        assert len(database.read_now("held", queries.holders, "platform-admin", "/")) == 1


def test_a_disabled_person_has_no_rights_until_enabled_again(
    database: Database, site: Scope, anna: PersonId, act: Callable[[], Act]
) -> None:
    database.write_now("bind", actions.bind, act(), Binding(BindingId("b"), anna, "operator", site.path))
    database.write_now("disable", actions.disable_person, act(), anna)
    assert not _allowed(database, anna, Permission.ROLLOUT_START, site.path)
    assert database.read_now("person", identity_queries.person, anna).disabled_at == NOON
    database.write_now("enable", actions.enable_person, act(), anna)
    assert _allowed(database, anna, Permission.ROLLOUT_START, site.path)
    assert [entry.action for entry in _entries(database)[:2]] == ["person.enable", "person.disable"]
