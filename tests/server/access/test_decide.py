# SPDX-License-Identifier: Apache-2.0
"""The decision: a table by hand, and laws over random worlds."""

import dataclasses
from datetime import datetime, timedelta
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkvalve.ids import BindingId, PersonId
from checkvalve.server.access import roles
from checkvalve.server.access.decide import decide, knows_of, narrowed, visible
from checkvalve.server.access.model import STANDING, Binding, Ceiling, Context, Permission, Principal
from tests.conftest import NOON
from tests.server.access import worlds

# Written by hand from what each role is for; one row a role, in the order of `Permission`.
TABLE = {
    #                     scope  person audit rollout  release  device                 estate
    #                        access    approval              trust                value    scorecard      supplier
    "viewer":            "x  .  .  .  .  .  .  x  .  x  .  .  x  .  .  .  x  .  .  .  .  .  x  .  x  .  x  .  .  x  .",
    "operator":          "x  .  .  .  .  .  .  x  .  x  x  x  x  .  .  .  x  x  x  x  x  x  x  x  x  x  x  x  .  x  .",
    "release-manager":   "x  .  .  .  .  .  .  x  .  x  x  .  x  x  x  .  x  .  .  .  .  .  x  .  x  .  x  .  .  x  .",
    "access-approver":   "x  .  x  .  x  .  .  x  x  x  .  .  x  .  .  .  x  .  .  .  .  .  x  .  x  .  x  .  .  x  .",
    "security-analyst":  "x  .  .  .  .  .  x  x  .  x  .  .  x  .  .  .  x  .  .  .  .  .  x  .  x  .  x  x  .  x  .",
    "compliance-officer":"x  .  .  .  .  .  x  x  .  x  .  .  x  .  .  .  x  .  .  .  .  .  x  .  x  x  x  x  x  x  x",
    "auditor":           "x  .  x  .  x  .  x  x  .  x  .  .  x  .  .  .  x  .  .  .  .  .  x  .  x  .  x  .  .  x  .",
    "platform-admin":    "x  x  x  x  x  x  x  x  .  x  .  .  x  .  .  x  x  x  x  .  .  .  x  .  x  x  x  x  x  x  x",
}  # fmt: skip

HERE = Context(ip_address("10.1.2.3"))


def _anna(*bindings: Binding, **changes: object) -> Principal:
    return dataclasses.replace(Principal(PersonId("anna"), bindings, roles.BUILT_IN), **changes)  # type: ignore[arg-type]


def _binding(role: str = "operator", scope: str = "/a/", **changes: object) -> Binding:
    return dataclasses.replace(Binding(BindingId("one"), PersonId("anna"), role, scope), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("role", roles.BUILT_IN)
def test_each_role_allows_what_the_table_says_at_and_below_its_scope_only(role: str) -> None:
    expected = dict(zip(Permission, TABLE[role].split(), strict=True))
    principal = _anna(_binding(role, "/a/"))
    for permission in Permission:
        for path, below in (
            ("/", False),
            ("/a/", True),
            ("/a/b/", True),
            ("/a/b/c/", True),
            ("/ab/", False),
            ("/f/", False),
        ):
            answer = decide(principal, permission, path, NOON, HERE)
            assert answer.allow == (expected[permission] == "x" and below), (role, permission, path)


def test_there_are_eight_roles_and_each_permission_is_held_by_one() -> None:
    assert set(roles.BUILT_IN) == set(TABLE)
    assert frozenset().union(*(role.permissions for role in roles.BUILT_IN.values())) == set(Permission)


def test_no_role_both_hands_out_rights_and_approves() -> None:
    for role in roles.BUILT_IN.values():
        assert not {Permission.ACCESS_MANAGE, Permission.APPROVAL_VOTE} <= role.permissions


@pytest.mark.parametrize(
    ("binding", "reason"),
    [
        (_binding(not_before=NOON + timedelta(milliseconds=1)), "operator in /a/ is not valid yet."),
        (_binding(not_after=NOON), "operator in /a/ has expired."),
        (_binding(networks=(ip_network("192.0.2.0/24"),)), "operator in /a/ is not valid from this address."),
        (_binding("viewer"), "No role here holds rollout.start."),
    ],
)
def test_a_refusal_says_which_binding_nearly_held(binding: Binding, reason: str) -> None:
    answer = decide(_anna(binding), Permission.ROLLOUT_START, "/a/b/", NOON, HERE)
    assert (answer.allow, answer.reasons) == (False, (reason,))


def test_a_binding_holds_from_its_first_moment_until_just_before_its_end() -> None:
    binding = _binding(not_before=NOON, not_after=NOON + timedelta(minutes=1))
    holds = [
        decide(_anna(binding), Permission.ROLLOUT_START, "/a/", moment, HERE).allow
        for moment in (
            NOON - timedelta(milliseconds=1),
            NOON,
            NOON + timedelta(seconds=59),
            NOON + timedelta(minutes=1),
        )
    ]
    assert holds == [False, True, True, False]


@pytest.mark.parametrize(
    ("ceiling", "scope", "reason"),
    [
        (Ceiling("/a/b/"), "/a/", "The token does not reach this scope."),
        (Ceiling("/", frozenset({Permission.ROLLOUT_READ})), "/a/", "The token does not carry rollout.start."),
        (Ceiling("/", frozenset()), "/a/", "The token does not carry rollout.start."),
    ],
)
def test_a_token_that_reaches_or_carries_less_is_told_so(ceiling: Ceiling, scope: str, reason: str) -> None:
    principal = _anna(_binding(), ceiling=ceiling)
    assert decide(principal, Permission.ROLLOUT_START, scope, NOON, HERE).reasons == (reason,)
    assert (
        visible(principal, Permission.ROLLOUT_READ, NOON, HERE).prefixes
        == {
            "/a/b/": ("/a/b/",),
            "/": ("/a/",) if ceiling.permissions else (),
        }[ceiling.scope]
    )


def test_asked_of_the_right_itself_a_network_does_not_matter() -> None:
    binding = _binding(networks=(ip_network("192.0.2.0/24"),))
    assert decide(_anna(binding), Permission.ROLLOUT_START, "/a/", NOON, STANDING).allow


def test_an_allowed_answer_names_the_binding_it_rests_on() -> None:
    assert decide(_anna(_binding()), Permission.ROLLOUT_START, "/a/", NOON, HERE).bindings == ("one",)


@given(worlds.principals(), worlds.permissions, worlds.scopes, worlds.contexts)
def test_a_list_shows_exactly_what_the_decision_allows(
    principal: Principal, permission: Permission, scope: str, context: Context
) -> None:
    prefixes = visible(principal, permission, NOON, context).prefixes
    assert (
        any(scope.startswith(prefix) for prefix in prefixes)
        == decide(principal, permission, scope, NOON, context).allow
    )
    assert not any(one != other and one.startswith(other) for one in prefixes for other in prefixes)


@given(worlds.principals(), worlds.permissions, worlds.scopes, worlds.scopes, worlds.contexts)
def test_a_list_narrowed_to_a_scope_shows_what_it_showed_there_and_nothing_else(
    principal: Principal, permission: Permission, scope: str, place: str, context: Context
) -> None:
    seen = visible(principal, permission, NOON, context)
    here = narrowed(seen, scope)
    assert place.startswith(here.prefixes) == (place.startswith(seen.prefixes) and place.startswith(scope))
    assert narrowed(here, scope) == here


@given(worlds.principals(), worlds.permissions, worlds.scopes, worlds.contexts, st.data())
def test_a_role_taken_away_never_grants(
    principal: Principal, permission: Permission, scope: str, context: Context, data: st.DataObject
) -> None:
    kept = tuple(binding for binding in principal.bindings if data.draw(st.booleans()))
    fewer = dataclasses.replace(principal, bindings=kept)
    if decide(fewer, permission, scope, NOON, context).allow:
        assert decide(principal, permission, scope, NOON, context).allow


@given(worlds.principals(), worlds.permissions, worlds.scopes, worlds.contexts, worlds.ceilings)
def test_a_ceiling_only_takes_away(
    principal: Principal, permission: Permission, scope: str, context: Context, ceiling: Ceiling
) -> None:
    free = dataclasses.replace(principal, ceiling=Ceiling())
    under = dataclasses.replace(principal, ceiling=ceiling)
    if decide(under, permission, scope, NOON, context).allow:
        assert decide(free, permission, scope, NOON, context).allow
        assert scope.startswith(ceiling.scope)


@given(worlds.principals(), worlds.permissions, worlds.contexts)
def test_what_is_allowed_above_is_allowed_below(principal: Principal, permission: Permission, context: Context) -> None:
    if decide(principal, permission, "/a/b/", NOON, context).allow:
        assert decide(principal, permission, "/a/b/c/", NOON, context).allow


@given(worlds.principals(), worlds.scopes, worlds.contexts, st.datetimes())
def test_a_disabled_person_has_no_rights_and_knows_of_nothing(
    principal: Principal, scope: str, context: Context, moment: datetime
) -> None:
    out = dataclasses.replace(principal, disabled=True)
    at = moment.replace(tzinfo=NOON.tzinfo)
    assert not any(decide(out, permission, scope, at, context).allow for permission in Permission)
    assert not knows_of(out, scope, at, context)


@given(worlds.principals(), worlds.scopes, worlds.contexts)
def test_who_is_allowed_anything_here_knows_of_the_place(principal: Principal, scope: str, context: Context) -> None:
    anything = any(decide(principal, permission, scope, NOON, context).allow for permission in Permission)
    assert knows_of(principal, scope, NOON, context) == anything
