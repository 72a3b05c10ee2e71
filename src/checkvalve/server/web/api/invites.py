# SPDX-License-Identifier: Apache-2.0
"""Invites: `/api/v1/invites`. The token is in the answer that makes one, and nowhere else (walk enrolment, 1)."""

import shlex
from collections.abc import Sequence
from datetime import timedelta

from litestar import Router, delete, get, post
from litestar.params import FromPath, JSONBody

from checkvalve.crypto import tokens
from checkvalve.ids import InviteId
from checkvalve.protocol import api, fleet
from checkvalve.server.access.model import ROOT, Permission
from checkvalve.server.audit.model import Act
from checkvalve.server.db.database import Tx
from checkvalve.server.fleet import actions as fleet_actions
from checkvalve.server.fleet import queries as fleet_queries
from checkvalve.server.fleet.model import Invite
from checkvalve.server.web.api import fleet_answers as answers
from checkvalve.server.web.api.paging import USUAL, Before, Limit, Within, last, stretch
from checkvalve.server.web.calls import Called, Place, in_scope, named
from checkvalve.server.web.plane import Plane


@get("/", opt={"permission": Permission.DEVICE_INVITE}, summary="Invites, newest first")
async def listed(
    call: Called, within: Within = ROOT, limit: Limit = USUAL, before: Before = ""
) -> api.Page[fleet.Invite]:
    """List invites, and what each is worth now; those that ended too."""
    now = call.plane.now()
    found = await call.ask(
        "invites",
        lambda tx, seen: fleet_queries.invites(tx, seen, limit=limit + 1, before=last(before)),
        scope=within,
    )
    return stretch(found, limit, lambda one: one.id, lambda one: answers.invite(one, now))


@post("/", opt={"permission": Permission.DEVICE_INVITE}, summary="Invite devices")
async def create(call: Called, data: JSONBody[fleet.NewInvite]) -> fleet.IssuedInvite:
    """Let devices join at a site or in an area; the token and the line to type are in this answer and nowhere else."""
    token = tokens.join_token(call.plane.entropy(tokens.ENTROPY))
    made_id = InviteId(call.plane.new_id())

    def make(tx: Tx, act: Act) -> Invite:
        invite = Invite(
            id=made_id,
            scope=data.scope,
            tags=data.tags,
            link=data.link,
            observe=data.observe,
            uses=data.uses,
            used=0,
            made_by=call.caller.person.id,
            made_at=act.at,
            ends_at=act.at + timedelta(minutes=data.minutes),
        )
        return fleet_actions.invite(tx, act, invite, tokens.digest(token))

    made = await call.act("device.invite", f"invite:{made_id}", in_scope(data.scope), make)
    return answers.issued(made, call.plane.now(), token, command(call.plane, token))


@delete("/{invite_id:str}", opt={"permission": Permission.DEVICE_INVITE}, summary="Revoke an invite")
async def revoke(call: Called, invite_id: FromPath[str]) -> None:
    """Take an invite back, at once. Devices that came by it stay."""
    await call.act(
        "device.revoke_invite",
        named("invite", invite_id),
        Place(_scope, invite_id),
        lambda tx, act: fleet_actions.revoke(tx, act, InviteId(invite_id)),
    )


def command(here: Plane, token: str) -> str:
    """Return the line that lets a device join: every address there is, since none is known to be reachable from it."""
    servers = [word for origin in here.device_origins for word in ("--server", origin)]
    return shlex.join(["checkvalve-agent", "join", *servers, "--token", token, "--ca-pin", here.ca_pin])


def _scope(tx: Tx, invite_id: str) -> Sequence[str]:
    return (fleet_queries.invite(tx, InviteId(invite_id)).scope,)


router = Router("/invites", route_handlers=[listed, create, revoke], tags=["devices"])
