# SPDX-License-Identifier: Apache-2.0
"""Making invites, listing them, and taking them away."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from checkvalve.crypto import tokens
from checkvalve.errors import InvalidError, NotFoundError
from checkvalve.ids import InviteId
from checkvalve.protocol.enrol import LinkClass
from checkvalve.server.access.model import ScopeKind, Visibility
from checkvalve.server.db.database import Database
from checkvalve.server.fleet import admit, queries
from tests.conftest import NOON
from tests.server.fleet.world import BY, World


@pytest.fixture
def world(database: Database, new_id: Callable[[], str], now: datetime) -> World:
    return World(database, new_id, now)


def test_an_invite_leads_into_a_site_or_an_area(world: World) -> None:
    for scope in (world.site, world.area):
        made = world.invite(world.asked(scope, tags=("press", "line=3"), uses=20, link=LinkClass.ASYNC, observe=True))
        assert world.database.read_now("invite", queries.invite, made.id) == made
        assert (made.scope, made.tags, made.uses, made.used) == (scope, ("line=3", "press"), 20, 0)
        assert (made.link, made.observe, made.made_by) == (LinkClass.ASYNC, True, BY)
        assert world.by_token(made.id) == made


def test_an_invite_leads_neither_to_the_plane_nor_to_an_organisation_nor_nowhere(world: World) -> None:
    world.refused("invite.scope", world.invite, world.asked("/"))
    world.refused("invite.scope", world.invite, world.asked(world.org))
    world.refused("scope.not_found", world.invite, world.asked(f"{world.org}{world.new_id()}/"))


@pytest.mark.parametrize(("uses", "fine"), [(0, False), (1, True), (1_000, True), (1_001, False), (-1, False)])
def test_an_invite_serves_up_to_a_thousand_devices(world: World, uses: int, *, fine: bool) -> None:
    asked = world.asked(uses=uses)
    if fine:
        assert world.invite(asked).uses == uses
    else:
        world.refused("invite.uses", world.invite, asked)


@pytest.mark.parametrize(
    ("lasts", "fine"),
    [
        (timedelta(0), False),
        (timedelta(minutes=-1), False),
        (timedelta(milliseconds=1), True),
        (timedelta(days=7), True),
        (timedelta(days=7, milliseconds=1), False),
    ],
)
def test_an_invite_ends_within_a_week(world: World, lasts: timedelta, *, fine: bool) -> None:
    asked = world.asked(lasts=lasts)
    if fine:
        assert world.invite(asked).ends_at == world.now + lasts
    else:
        world.refused("invite.ends", world.invite, asked)


def test_an_invite_with_a_tag_that_is_none_is_refused(world: World) -> None:
    world.refused("tag.form", world.invite, world.asked(tags=["Press"]))


def test_an_invite_is_made_now_and_by_who_acts_whatever_was_asked(world: World) -> None:
    asked = replace(world.asked(), used=5, made_at=NOON - timedelta(days=9), revoked_at=NOON, made_by="x")  # type: ignore[arg-type]
    made = world.invite(asked)
    assert (made.used, made.made_at, made.revoked_at, made.made_by) == (0, NOON, None, BY)


def test_the_record_tells_of_an_invite_and_not_of_its_token(world: World) -> None:
    made = world.invite(world.asked(tags=["press"]))
    [entry] = world.entries()
    assert (entry.action, entry.subject, entry.scope) == ("device.invite", f"invite:{made.id}", world.site)
    assert entry.facts["after"] == {
        "ends_at": "2026-11-03T13:00:00.000Z",
        "link": "remote",
        "observe": False,
        "scope": world.site,
        "tags": ["press"],
        "used": 0,
        "uses": 1,
    }
    assert tokens.digest(made.id).encode() not in entry.data


def test_a_revoked_invite_stays_in_the_list_and_is_revoked_once(world: World) -> None:
    made = world.invite()
    assert world.revoke(made.id).revoked_at == world.now
    assert world.database.read_now("invite", queries.invite, made.id).revoked_at == world.now
    assert [entry.action for entry in world.entries()] == ["device.revoke_invite", "device.invite"]
    world.refused("invite.revoked", world.revoke, made.id)


@pytest.mark.parametrize("ident", ["", "x", "0" * 26, "a\0b", "\ud800", "0" * 400])
def test_an_invite_that_is_not_there_is_not_found(world: World, ident: str) -> None:
    with pytest.raises(NotFoundError) as caught:
        world.database.read_now("invite", queries.invite, InviteId(ident))
    assert caught.value.code == "invite.not_found"


def test_invites_are_listed_newest_first_where_they_may_be_seen(world: World) -> None:
    made = [world.invite(world.asked(scope)) for scope in (world.site, world.area, world.other, world.foreign)]

    def listed(where: str, **more: object) -> list[str]:
        seen = Visibility((where,))
        return [one.id for one in world.database.read_now("list", queries.invites, seen, **more)]  # type: ignore[arg-type]

    assert listed("/") == [one.id for one in reversed(made)]
    assert listed(world.site) == [made[1].id, made[0].id]
    assert listed(world.org, scope=world.area) == [made[1].id]
    assert listed("/", limit=2) == [made[3].id, made[2].id]
    assert listed("/", before=made[2].id) == [made[1].id, made[0].id]
    with pytest.raises(NotFoundError):
        world.database.read_now("invite", queries.invite, made[3].id, Visibility((world.org,)))


def test_an_invite_is_open_until_its_end_or_its_last_use(world: World) -> None:
    invite = world.asked(uses=2)
    assert admit.is_open(invite, NOON)
    assert admit.is_open(replace(invite, used=1), invite.ends_at - timedelta(milliseconds=1))
    assert not admit.is_open(invite, invite.ends_at)
    assert not admit.is_open(replace(invite, used=2), NOON)
    assert not admit.is_open(replace(invite, revoked_at=NOON), NOON)


@pytest.mark.parametrize("kind", [None, ScopeKind.ORGANISATION])
def test_the_decision_knows_the_places_of_devices(world: World, kind: ScopeKind | None) -> None:
    with pytest.raises(InvalidError):
        admit.invitation(world.asked(), kind, NOON)
