# SPDX-License-Identifier: Apache-2.0
"""What people type for a scope, a person, a moment."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from checkvalve import ids
from checkvalve.cli import names, times
from checkvalve.cli.failures import UsageError
from checkvalve.cli.names import Scopes
from checkvalve.errors import ConflictError, NotFoundError
from checkvalve.protocol.api import Person, Scope

NOW = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)


def ident(number: int) -> str:
    return ids.encode(1, number.to_bytes(10))


def scope(name: str, number: int, parent: str = "/") -> Scope:
    path = f"{parent}{ident(number)}/"
    return Scope(id=ident(number), path=path, parent=parent, kind="site", name=name, made_at="2026-11-03T12:00:00.000Z")


NORRA = scope("Norra Water", 1)
SODRA = scope("Södra", 2)
VISBY = scope("Visby", 3, NORRA.path)
OTHER_VISBY = scope("Visby", 4, SODRA.path)
PUMPS = scope("Pumps", 5, VISBY.path)
TOP = scope("Pumps", 6)
SLASHED = scope("A/B", 7, SODRA.path)
TREE = Scopes.of([NORRA, SODRA, VISBY, OTHER_VISBY, PUMPS, TOP, SLASHED])


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("Norra Water", NORRA),
        ("norra water/VISBY", VISBY),
        ("SÖDRA/visby", OTHER_VISBY),
        ("So\u0308dra", SODRA),
        ("visby/pumps", PUMPS),
        ("Pumps", TOP),
        ("a/b", SLASHED),
        ("/Norra Water/Visby/", VISBY),
        (VISBY.path, VISBY),
        (VISBY.id, VISBY),
    ],
)
def test_a_name_means_one_scope(typed: str, meant: Scope) -> None:
    assert TREE.path(typed) == meant.path


def test_a_name_may_be_of_one_kind_of_scope_only() -> None:
    area = msgspec.structs.replace(VISBY, kind="area", id=ident(9), path=f"{NORRA.path}{ident(9)}/")
    tree = Scopes.of([NORRA, VISBY, area])
    assert tree.path("Visby", "site") == VISBY.path
    with pytest.raises(ConflictError):
        tree.path("Visby")
    with pytest.raises(NotFoundError, match="No area that you may see"):
        tree.path("Norra Water", "area")


def test_the_plane_itself_is_a_slash() -> None:
    assert TREE.path("/") == "/"


def test_a_name_of_several_scopes_lists_them() -> None:
    with pytest.raises(ConflictError) as caught:
        TREE.path("visby")
    assert VISBY.path in caught.value.remedy
    assert "Södra/Visby" in caught.value.remedy


def test_an_unknown_name_lists_what_there_is() -> None:
    with pytest.raises(NotFoundError) as caught:
        TREE.path("Visbi")
    assert "Norra Water/Visby" in caught.value.remedy


def test_among_many_names_the_near_ones_are_listed() -> None:
    many = Scopes.of([scope(f"Station {number}", number) for number in range(10, 90)])
    with pytest.raises(NotFoundError) as caught:
        many.path("Statoin 42")
    assert "Station 42" in caught.value.remedy
    assert caught.value.remedy.count("\n") <= 11


def test_a_scope_whose_upper_nodes_are_not_seen_is_called_by_what_is_seen() -> None:
    part = Scopes.of([VISBY, PUMPS])
    assert part.called(PUMPS.path) == "Visby/Pumps"
    assert part.called(NORRA.path) == NORRA.path


@example(["/"])
@example(["a/", "/a", "a"])
@example(["Pump 1/2", "Pump 1", "2"])
@given(
    st.lists(st.text(st.characters(categories=("L", "N", "P", "Zs")), min_size=1, max_size=8), min_size=1, max_size=8)
)
def test_a_scope_is_found_by_what_it_is_called_or_it_is_ambiguous(called: list[str]) -> None:
    nodes = [scope(name.strip() or "x", number) for number, name in enumerate(called, 1)]
    tree = Scopes.of(nodes)
    for node in nodes:
        try:
            assert tree.path(tree.called(node.path)) == node.path
        except ConflictError:
            continue
        except NotFoundError:
            assert node.name.strip("/").strip() != node.name


def test_a_person_is_found_by_login_or_id() -> None:
    people = [
        Person(id=ident(number), login=login, name=login, home="/", made_at="", disabled_at=None)
        for number, login in enumerate(["anna", "bo"], 1)
    ]
    assert names.person(" Anna ", people).login == "anna"
    assert names.person(ident(2), people).login == "bo"
    with pytest.raises(NotFoundError, match=r"person\.unknown"):
        names.person("carl", people)


@pytest.mark.parametrize(
    ("read", "typed", "meant"),
    [
        (times.before, "12h", NOW - timedelta(hours=12)),
        (times.after, "7d", NOW + timedelta(days=7)),
        (times.after, "2026-11-05", datetime(2026, 11, 5, tzinfo=UTC)),
        (times.before, "2026-11-01T10:00:00Z", datetime(2026, 11, 1, 10, tzinfo=UTC)),
        (times.before, "2026-11-01T10:00:00+01:00", datetime(2026, 11, 1, 9, tzinfo=UTC)),
    ],
)
def test_a_moment_is_named_or_counted_from_now(
    read: Callable[[str, datetime], datetime], typed: str, meant: datetime
) -> None:
    assert read(typed, NOW) == meant


@pytest.mark.parametrize("typed", ["", "soon", "7", "7y", "-1d", "2026-13-01"])
def test_what_is_no_moment_is_refused(typed: str) -> None:
    with pytest.raises(UsageError, match=r"cli\.time"):
        times.after(typed, NOW)
