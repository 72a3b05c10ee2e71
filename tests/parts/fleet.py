# SPDX-License-Identifier: Apache-2.0
"""Invites, devices and assignments as rows, for those whose subject is something else: no rule is asked."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from types import MappingProxyType

from checkvalve.crypto import keys, tokens
from checkvalve.ids import AttemptId, DeviceId, InviteId, PersonId, ReleaseId
from checkvalve.protocol.enrol import LinkClass
from checkvalve.server.db.database import Tx
from checkvalve.server.fleet import admit, writes
from checkvalve.server.fleet.model import Assignment, Device, Invite

_NONE: Mapping[str, object] = MappingProxyType({})


def invited(  # noqa: PLR0913 - one field each
    tx: Tx,
    new_id: Callable[[], str],
    scope: str,
    now: datetime,
    *,
    token: str = "",
    uses: int = 1,
    tags: Sequence[str] = (),
    link: LinkClass = LinkClass.REMOTE,
    observe: bool = False,
) -> Invite:
    """Put an invite into `scope` that ends in an hour, under the digest of `token` (any, if none is given)."""
    invite = Invite(
        id=InviteId(new_id()),
        scope=scope,
        tags=tuple(tags),
        link=link,
        observe=observe,
        uses=uses,
        used=0,
        made_by=PersonId(""),
        made_at=now,
        ends_at=now + timedelta(hours=1),
    )
    writes.add_invite(tx, invite, tokens.digest(token or invite.id))
    return invite


def joined(
    tx: Tx,
    new_id: Callable[[], str],
    invite: Invite,
    now: datetime,
    *,
    name: str = "",
    key: keys.PublicKey | None = None,
    changes: Mapping[str, object] = _NONE,
) -> Device:
    """Put a device in by `invite`, with a key that nobody has unless one is given; `changes` are fields of it."""
    public = key or keys.make().public_key()
    ident = DeviceId(new_id())
    device = admit.newcomer(
        invite,
        id=ident,
        name=name or ident,
        public=keys.dump_public(public),
        key=keys.fingerprint(public),
        machine="",
        capability=1,
        now=now,
    )
    device = replace(device, **changes)  # type: ignore[arg-type]
    writes.use_invite(tx, invite.id)
    writes.add_device(tx, device)
    return device


def assigned(
    tx: Tx,
    new_id: Callable[[], str],
    device: DeviceId,
    release: ReleaseId,
    now: datetime,
    *,
    target: str = "",
    by: str = "",
) -> Assignment:
    """Let a device run a release that is there (`tests.parts.stock`), as a new attempt."""
    attempt = AttemptId(new_id())
    assignment = Assignment(device, attempt, release, target or f"{release}.json", by or f"rollout:{new_id()}", now)
    writes.assign(tx, assignment)
    return assignment
