# SPDX-License-Identifier: Apache-2.0
"""Roles, and who holds which where: `/api/v1/roles`, `/api/v1/bindings`."""

from collections.abc import Sequence
from datetime import UTC, datetime
from ipaddress import ip_network

from litestar import Router, delete, get, post
from litestar.params import FromPath, JSONBody

from checkvalve.errors import InvalidError
from checkvalve.ids import BindingId, PersonId
from checkvalve.protocol import api
from checkvalve.server.access import actions as access_actions
from checkvalve.server.access import queries as access_queries
from checkvalve.server.access import roles as access_roles
from checkvalve.server.access.model import ROOT, Binding, Network, Origin, Permission
from checkvalve.server.audit.model import Act
from checkvalve.server.db.database import Tx
from checkvalve.server.web.api import answers
from checkvalve.server.web.api.paging import USUAL, After, Limit, Within, Word, stretch
from checkvalve.server.web.auth import SIGNED_IN
from checkvalve.server.web.calls import Called, Place, in_scope, named


@get("/roles", opt={"permission": SIGNED_IN}, summary="Roles")
async def roles() -> api.Page[api.Role]:
    """List the roles there are, and what each may do."""
    return api.Page(items=[answers.role(role) for role in access_roles.BUILT_IN.values()])


@get("/bindings", opt={"permission": Permission.ACCESS_READ}, summary="Who holds which role where, oldest first")
async def listed(
    call: Called, within: Within = ROOT, person: Word = "", limit: Limit = USUAL, after: After = ""
) -> api.Page[api.Binding]:
    """List the bindings in the places one may see; `person` is an id."""
    whose = PersonId(person) if person else None
    found = await call.ask(
        "bindings",
        lambda tx, seen: access_queries.bindings_of(tx, seen, whose, limit=limit + 1, after=after),
        scope=within,
    )
    return stretch(found, limit, lambda one: one.id, answers.binding)


@post("/bindings", opt={"permission": Permission.ACCESS_MANAGE}, summary="Give a role")
async def create(call: Called, data: JSONBody[api.NewBinding]) -> api.Binding:
    """Give a role to a person in a scope."""
    made_id = BindingId(call.plane.new_id())

    def make(tx: Tx, act: Act) -> Binding:
        binding = Binding(
            id=made_id,
            person=PersonId(data.person),
            role=data.role,
            scope=data.scope,
            not_before=_utc(data.not_before),
            not_after=_utc(data.not_after),
            networks=tuple(_network(text) for text in data.networks),
            origin=Origin.MANUAL,
            made_by=act.actor.id,
            made_at=act.at,
        )
        return access_actions.bind(tx, act, binding)

    return answers.binding(await call.act("binding.create", f"binding:{made_id}", in_scope(data.scope), make))


@delete("/bindings/{binding_id:str}", opt={"permission": Permission.ACCESS_MANAGE}, summary="Take a role away")
async def revoke(call: Called, binding_id: FromPath[str]) -> None:
    """Take a binding away, at once and for every open page and token."""
    await call.act(
        "binding.revoke",
        named("binding", binding_id),
        Place(_scope, binding_id),
        lambda tx, act: access_actions.unbind(tx, act, BindingId(binding_id)),
    )


def _scope(tx: Tx, binding_id: str) -> Sequence[str]:
    return (access_queries.binding(tx, BindingId(binding_id)).scope,)


def _network(text: str) -> Network:
    try:
        return ip_network(text)
    except ValueError as error:
        raise InvalidError(
            "binding.network", f"{text[:50]!r} is not a network.", "Write it as 192.0.2.0/24, without host bits."
        ) from error


def _utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.astimezone(UTC)


router = Router("/", route_handlers=[roles, listed, create, revoke], tags=["access"])
