# SPDX-License-Identifier: Apache-2.0
"""The tree: `/api/v1/scopes`."""

from litestar import Router, get, patch, post
from litestar.params import FromPath, JSONBody

from checkvalve.ids import ScopeId
from checkvalve.protocol import api
from checkvalve.server.access import actions as access_actions
from checkvalve.server.access import queries as access_queries
from checkvalve.server.access.model import ROOT, Permission, ScopeKind
from checkvalve.server.web.api import answers
from checkvalve.server.web.api.paging import Within
from checkvalve.server.web.calls import Called, in_scope, named, scope


@get("/", opt={"permission": Permission.SCOPE_READ}, summary="The tree")
async def listed(call: Called, within: Within = ROOT) -> api.Page[api.Scope]:
    """List the nodes one may see, all of them, each after the node above it."""
    found = await call.ask("scopes", access_queries.listed, scope=within)
    return api.Page(items=[answers.scope(one) for one in found])


@post("/", opt={"permission": Permission.SCOPE_MANAGE}, summary="Make a node")
async def create(call: Called, data: JSONBody[api.NewScope]) -> api.Scope:
    """Make an organisation, a site or an area."""
    made_id = ScopeId(call.plane.new_id())
    made = await call.act(
        "scope.create",
        f"scope:{made_id}",
        in_scope(data.parent),
        lambda tx, act: access_actions.create_scope(tx, act, made_id, data.parent, ScopeKind(data.kind), data.name),
    )
    return answers.scope(made)


@patch("/{scope_id:str}", opt={"permission": Permission.SCOPE_MANAGE}, summary="Rename a node")
async def rename(call: Called, scope_id: FromPath[str], data: JSONBody[api.ScopeName]) -> api.Scope:
    """Give a node another name; its path stays."""
    after = await call.act(
        "scope.rename",
        named("scope", scope_id),
        scope(scope_id),
        lambda tx, act: access_actions.rename_scope(tx, act, ScopeId(scope_id), data.name),
    )
    return answers.scope(after)


router = Router("/scopes", route_handlers=[listed, create, rename], tags=["scopes"])
