# SPDX-License-Identifier: Apache-2.0
"""Making an invite from a form, and showing it: the line to type on a device is shown this once and kept by nobody."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from checkvalve.crypto import tokens
from checkvalve.ids import InviteId
from checkvalve.protocol.enrol import LinkClass
from checkvalve.server.access.model import Permission
from checkvalve.server.audit.model import Act
from checkvalve.server.db.database import Tx
from checkvalve.server.fleet import actions as fleet_actions
from checkvalve.server.fleet import admit
from checkvalve.server.fleet.model import Invite
from checkvalve.server.web import texts
from checkvalve.server.web.api.invites import command
from checkvalve.server.web.calls import Call, in_scope
from checkvalve.server.web.pages import times
from checkvalve.server.web.pages.view import Data, View, when

HOURS = (1, 8, 24, 72, 168)
DIGITS = 6  # of a number that a form may hold


@dataclass(frozen=True, slots=True)
class Made:
    """An invite and the line with its token."""

    invite: Invite
    command: str


async def make(call: Call, form: Mapping[str, str]) -> Made:
    """Make the invite that a form asks for; raises what `fleet.actions.invite` raises."""
    token = tokens.join_token(call.plane.entropy(tokens.ENTROPY))
    made_id, scope = InviteId(call.plane.new_id()), form.get("place", "")
    uses, hours = form.get("uses", ""), form.get("hours", "")

    def work(tx: Tx, act: Act) -> Invite:
        invite = Invite(
            id=made_id,
            scope=scope,
            tags=tags(form.get("tags", "")),
            link=LinkClass.ASYNC if form.get("link") == LinkClass.ASYNC else LinkClass.REMOTE,
            observe=form.get("observe") == "yes",
            uses=int(uses) if uses.isascii() and uses.isdigit() and len(uses) <= DIGITS else 0,
            used=0,
            made_by=call.caller.person.id,
            made_at=act.at,
            ends_at=act.at + timedelta(hours=int(hours) if hours in {str(each) for each in HOURS} else HOURS[0]),
        )
        return fleet_actions.invite(tx, act, invite, tokens.digest(token))

    made = await call.act("device.invite", f"invite:{made_id}", in_scope(scope), work)
    return Made(made, command(call.plane, token))


def tags(text: str) -> tuple[str, ...]:
    """Return tags as a form has them: with blanks or commas between."""
    return tuple(text.replace(",", " ").split())


def shown(view: View, made: Made) -> Data:
    """Return the invite with its line."""
    until = times.exact(made.invite.ends_at)
    return {
        "id": made.invite.id,
        "command": made.command,
        "words": texts.count("invite.once", made.invite.uses, where=view.where(made.invite.scope), until=until),
    }


def row(view: View, invite: Invite) -> Data:
    """Return one row of the open invites."""
    where = view.where(invite.scope)
    left = invite.uses - invite.used
    return {
        "id": invite.id,
        "scope": invite.scope,
        "where": where,
        "tags": list(invite.tags),
        "uses": invite.uses,
        "left": left,
        "left_words": texts.say("invite.left", left=f"{left:,}", n=f"{invite.uses:,}"),
        "observe": invite.observe,
        "made_by": view.person(invite.made_by),
        "made_at": when(invite.made_at),
        "ends_at": when(invite.ends_at),
        "revoke": texts.say("invite.revoke_what", where=where, when=times.relative(invite.made_at, view.now)),
    }


def places(view: View) -> list[Data]:
    """Return where the caller may invite devices to."""
    nodes = view.places(Permission.DEVICE_INVITE)
    return [
        {"value": node.path, "label": view.where(node.path)}
        for node in nodes
        if node.kind in admit.PLACES and node.path.startswith(view.scope)
    ]


def hours() -> list[Data]:
    """Return how long an invite may be good for."""
    return [
        {
            "value": str(each),
            "label": texts.count("invite.hours", each) if each <= 24 else texts.count("days", each // 24),
        }
        for each in HOURS
    ]


def links() -> list[Data]:
    """Return how devices may be linked."""
    return [{"value": each.value, "label": texts.say(f"invite.link_{each}")} for each in LinkClass]
