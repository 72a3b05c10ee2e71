# SPDX-License-Identifier: Apache-2.0
"""How do values of the rooms read as answers of the API? The forms are `protocol.api`; what is not there stays in."""

from datetime import datetime
from typing import assert_never

from checkvalve.protocol import api
from checkvalve.server.access.model import Binding, Role, Scope
from checkvalve.server.approvals.model import (
    Approval,
    Approved,
    Expired,
    Rejected,
    Standing,
    Used,
    Vote,
    Waiting,
    Withdrawn,
)
from checkvalve.server.audit.compose import rfc3339
from checkvalve.server.audit.model import Entry
from checkvalve.server.identity.model import Person, Session, Token


def time(moment: datetime | None) -> str | None:
    """Return a moment that may be missing."""
    return None if moment is None else rfc3339(moment)


def person(value: Person) -> api.Person:
    """Answer with a person."""
    return api.Person(
        id=value.id,
        login=value.login,
        name=value.name,
        home=value.home,
        made_at=rfc3339(value.made_at),
        disabled_at=time(value.disabled_at),
    )


def session(value: Session, this: str) -> api.Session:
    """Answer with a session; `this` is the id of the caller's own."""
    return api.Session(
        id=value.id,
        address=value.address,
        agent=value.agent,
        made_at=rfc3339(value.made_at),
        seen_at=rfc3339(value.seen_at),
        ends_at=rfc3339(value.ends_at),
        this=value.id == this,
    )


def token(value: Token) -> api.Token:
    """Answer with an API token."""
    return api.Token(
        id=value.id,
        label=value.label,
        scope=value.scope,
        permissions=None if value.permissions is None else list(value.permissions),
        made_at=rfc3339(value.made_at),
        ends_at=rfc3339(value.ends_at),
        used_at=time(value.used_at),
    )


def binding(value: Binding) -> api.Binding:
    """Answer with a binding."""
    return api.Binding(
        id=value.id,
        person=value.person,
        role=value.role,
        scope=value.scope,
        not_before=time(value.not_before),
        not_after=time(value.not_after),
        networks=[str(network) for network in value.networks],
        origin=value.origin,
        made_by=value.made_by,
        made_at=time(value.made_at),
    )


def scope(value: Scope) -> api.Scope:
    """Answer with a node of the tree."""
    return api.Scope(
        id=value.id,
        path=value.path,
        parent=value.parent,
        kind=value.kind.value,
        name=value.name,
        made_at=rfc3339(value.made_at),
    )


def role(value: Role) -> api.Role:
    """Answer with a role."""
    return api.Role(name=value.name, sentence=value.sentence, permissions=sorted(value.permissions))


def entry(value: Entry) -> api.Entry:
    """Answer with an entry of the record."""
    return api.Entry(
        id=value.id,
        at=rfc3339(value.at),
        kind=value.kind.value,
        action=value.action,
        actor=api.Actor(kind=value.actor.kind, id=value.actor.id, name=value.actor.name),
        subject=value.subject,
        scope=value.scope,
        request=value.request,
        reason=value.reason,
        bindings=list(value.bindings),
        facts=dict(value.facts),
        leaf_hash=value.leaf_hash.hex(),
    )


def standing(value: Standing) -> api.Standing:
    """Answer with how an approval stands."""
    match value:
        case Waiting(have, needed):
            return api.Standing(state="waiting", have=have, needed=needed)
        case Approved(by):
            return api.Standing(state="approved", by=list(by))
        case Rejected(by, note):
            return api.Standing(state="rejected", by=[by], note=note)
        case Expired():
            return api.Standing(state="expired")
        case Used():
            return api.Standing(state="used")
        case Withdrawn():
            return api.Standing(state="withdrawn")
        case _:
            assert_never(value)


def approval(value: Approval, stands: Standing, votes: list[Vote]) -> api.Approval:
    """Answer with an approval."""
    return api.Approval(
        id=value.id,
        scope=value.scope,
        subject=value.subject,
        sentence=value.sentence,
        digest=value.digest,
        needed=value.needed,
        requester=value.requester,
        made_at=rfc3339(value.made_at),
        expires_at=rfc3339(value.expires_at),
        used_at=time(value.used_at),
        withdrawn_at=time(value.withdrawn_at),
        standing=standing(stands),
        votes=[
            api.Vote(person=one.person, choice=one.choice.value, note=one.note, at=rfc3339(one.at)) for one in votes
        ],
    )
