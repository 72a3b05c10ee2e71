# SPDX-License-Identifier: Apache-2.0
"""May this invite be made, and may its token bring in one more device now?

Rules: 1. an invite leads into a site or an area, serves 1 to 1,000 devices and ends at most 7 days after it was made;
2. a token that is unknown, revoked, ended or used up gets one answer, so that nobody learns which tokens there are;
3. the same token with the same key again is the same device, and no new use, whatever became of the invite since: the
first answer may have been lost, and who holds the key is in already; 4. a key that is retired never joins again, and
one that came in with another invite does not come in twice; 5. a new device is what its invite says: place, tags, link
and whether it observes.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from checkvalve.errors import ConflictError, ForbiddenError, InvalidError
from checkvalve.ids import DeviceId
from checkvalve.server.access.model import ScopeKind
from checkvalve.server.fleet import naming, tags, trust
from checkvalve.server.fleet.model import INTERVALS, LIFETIMES, Device, Invite, Trust

MOST = 1_000
LONGEST = timedelta(days=7)
PLACES = frozenset({ScopeKind.SITE, ScopeKind.AREA})


@dataclass(frozen=True, slots=True)
class New:
    """A device that is not known yet may come in with this invite."""

    invite: Invite


@dataclass(frozen=True, slots=True)
class Again:
    """The device came in with this very invite before: it gets its answer again."""

    device: Device


def invitation(invite: Invite, kind: ScopeKind | None, now: datetime) -> Invite:
    """Return a new invite as it is kept (rule 1); `kind` is that of its scope, None for the plane.

    Raises `InvalidError` (`invite.scope`, `invite.uses`, `invite.ends`, `tag.form`, `tag.many`).
    """
    if kind not in PLACES:
        raise InvalidError(
            "invite.scope", "Devices stand in a site or an area.", "Name the site that the invite leads to."
        )
    if not 1 <= invite.uses <= MOST:
        raise InvalidError(
            "invite.uses", f"An invite serves 1 to {MOST} devices.", "Make several invites for more of them."
        )
    if not now < invite.ends_at <= now + LONGEST:
        raise InvalidError(
            "invite.ends",
            f"An invite ends after now, and within {LONGEST.days} days.",
            "Give it the time that the work on site takes, and make another one if it took longer.",
        )
    return replace(invite, tags=tags.check(invite.tags), used=0, made_at=now, revoked_at=None)


def is_open(invite: Invite, now: datetime) -> bool:
    """Tell whether the invite may bring in one more device now (rule 2)."""
    return invite.revoked_at is None and now < invite.ends_at and invite.used < invite.uses


def judge(invite: Invite | None, known: Device | None, now: datetime) -> New | Again:
    """Judge who joins: `invite` is that of its token, `known` the device that has its key.

    Raises `ForbiddenError` (`invite.refused`, `device.quarantined`, `device.retired`), `ConflictError`
    (`device.known`).
    """
    if invite is None:
        raise refused()
    if known is not None and known.invite == invite.id:
        trust.let_in(known.trust)
        return Again(known)
    if not is_open(invite, now):
        raise refused()
    if known is None:
        return New(invite)
    if known.trust is Trust.RETIRED:
        trust.let_in(known.trust)
    raise ConflictError(
        "device.known",
        "A device with this key has joined already, with another invite.",
        "If this is that device, it needs no invite: start its agent. If its disk was copied, remove the copy's "
        "directory of the agent before it joins.",
    )


def newcomer(
    invite: Invite,
    *,
    id: DeviceId,  # noqa: A002 - the field of Device
    name: str,
    public: bytes,
    key: str,
    machine: str,
    capability: int,
    now: datetime,
) -> Device:
    """Return the device that joins with `invite` now (rule 5); whether its name is free is for the caller to ask."""
    return Device(
        id=id,
        scope=invite.scope,
        name=naming.of_host(name),
        tags=invite.tags,
        trust=Trust.OBSERVE if invite.observe else Trust.ACCEPTED,
        trust_reason="",
        link=invite.link,
        interval=INTERVALS[invite.link],
        key=key,
        public=public,
        machine=machine,
        generation=1,
        pending=1,
        certificate_ends_at=now + LIFETIMES[invite.link],
        invite=invite.id,
        joined_at=now,
        changed_at=now,
        capability=capability,
    )


def refused() -> ForbiddenError:
    """Return the one answer to a token that brings in nobody (rule 2)."""
    return ForbiddenError(
        "invite.refused",
        "This token brings in no device.",
        "It is unknown, used up, ended or revoked. Ask for a new invite: `checkvalve device invite`.",
    )
