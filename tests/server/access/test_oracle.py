# SPDX-License-Identifier: Apache-2.0
"""A second opinion: the same worlds, told to Cedar (another language, other authors), must get the same answers."""

import json
from datetime import datetime

import cedarpy
import pytest
from hypothesis import given, settings

from checkvalve.server.access.decide import decide
from checkvalve.server.access.model import Binding, Context, Permission, Principal
from tests.conftest import NOON
from tests.server.access import worlds


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _policies(principal: Principal) -> str:
    said = [_permit(principal, binding) for binding in principal.bindings if binding.role in principal.roles]
    ceiling = principal.ceiling
    said.append(f'forbid(principal, action, resource) unless {{ resource.path like "{ceiling.scope}*" }};')
    if ceiling.permissions is not None:
        actions = ", ".join(f'Action::"{permission}"' for permission in sorted(ceiling.permissions))
        said.append(f"forbid(principal, action, resource) unless {{ [{actions}].contains(action) }};")
    if principal.disabled:
        said.append("forbid(principal, action, resource);")
    return "\n".join(said)


def _permit(principal: Principal, binding: Binding) -> str:
    actions = ", ".join(f'Action::"{permission}"' for permission in sorted(principal.roles[binding.role].permissions))
    when = [f'resource.path like "{binding.scope}*"']
    if binding.not_before is not None:
        when.append(f"context.now >= {_milliseconds(binding.not_before)}")
    if binding.not_after is not None:
        when.append(f"context.now < {_milliseconds(binding.not_after)}")
    if binding.networks:
        ranges = " || ".join(f'context.address.isInRange(ip("{network}"))' for network in binding.networks)
        when.append(f"context has address && ({ranges})")
    return f"permit(principal, action in [{actions}], resource) when {{ {' && '.join(when)} }};"


def cedar_allows(principal: Principal, permission: Permission, scope: str, context: Context) -> bool:
    circumstances: dict[str, object] = {"now": _milliseconds(NOON)}
    if context.address is not None:
        circumstances["address"] = {"__extn": {"fn": "ip", "arg": str(context.address)}}
    request = {
        "principal": 'Person::"anna"',
        "action": f'Action::"{permission}"',
        "resource": 'Thing::"one"',
        "context": circumstances,
    }
    things = [{"uid": {"type": "Thing", "id": "one"}, "attrs": {"path": scope}, "parents": []}]
    answer = cedarpy.is_authorized(request, _policies(principal), json.dumps(things))
    assert not answer.diagnostics.errors, answer.diagnostics.errors
    return bool(answer.allowed)


@pytest.mark.slow
@settings(max_examples=1500)
@given(worlds.principals(), worlds.permissions, worlds.scopes, worlds.contexts)
def test_cedar_answers_the_same(principal: Principal, permission: Permission, scope: str, context: Context) -> None:
    expected = cedar_allows(principal, permission, scope, context)
    assert decide(principal, permission, scope, NOON, context).allow == expected
