# SPDX-License-Identifier: Apache-2.0
"""Devices, members and rollouts as values, for tests of decisions: no database has seen them."""

from dataclasses import replace
from datetime import datetime, timedelta

from checkvalve.ids import AttemptId, DeviceId, InviteId, PersonId, ReleaseId, RolloutId
from checkvalve.protocol.enrol import LinkClass
from checkvalve.server.fleet.model import Device, Trust
from checkvalve.server.rollouts import intent
from checkvalve.server.rollouts.model import Intent, Member, Outcome, Rollout, Seat, State
from checkvalve.server.supply.model import Release
from checkvalve.server.supply.model import State as Standing
from tests.conftest import NOON

NEW, OLD = "sha256:" + "5e" * 32, "sha256:" + "0d" * 32
RELEASE = f"press-line@{NEW}"


def device(name: str = "press", scope: str = "/o/s/", seen_at: datetime | None = NOON, **changes: object) -> Device:
    """Return an accepted device that runs `OLD`."""
    made = Device(
        id=DeviceId(name),
        scope=scope,
        name=name,
        tags=(),
        trust=Trust.ACCEPTED,
        trust_reason="",
        link=LinkClass.REMOTE,
        interval=60,
        key=name,
        public=b"",
        machine="",
        generation=1,
        pending=1,
        certificate_ends_at=NOON + timedelta(days=1),
        invite=InviteId("i"),
        joined_at=NOON,
        changed_at=NOON,
        seen_at=seen_at,
        active=OLD,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def seat(outcome: Outcome = Outcome.OPEN, *, before: str = OLD, ordered: bool = False, **changes: object) -> Seat:
    """Return a device that was to take the new release, in attempt `a`; `changes` are fields of the device."""
    on = device(**changes)  # type: ignore[arg-type]
    member = Member(RolloutId("r"), on.id, 0, AttemptId("a"), ReleaseId("new"), "t", before, outcome)
    return Seat(member, on, ordered)


def rollout(state: State = State.STARTED, **changes: object) -> Rollout:
    """Return a rollout, started at noon unless it is a draft or was only proposed."""
    data = intent.compose(Intent(RELEASE, "all", 0))
    began = None if state in {State.DRAFT, State.PROPOSED} else NOON
    made = Rollout(
        RolloutId("r"), "/o/", "Patch", data, state, None, PersonId("ann"), NOON, NOON, began, wave=0, waves=1
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def release(ident: str = "old", digest: str = OLD) -> Release:
    """Return a release."""
    return Release(
        id=ReleaseId(ident),
        scope="/o/",
        name="press-line",
        version="1",
        number=1,
        digest=digest,
        manifest=b"",
        source=b"",
        size=1,
        state=Standing.PUBLISHED,
        made_by=PersonId("ann"),
        made_at=NOON,
        changed_at=NOON,
    )


def with_values(one: Seat, *, binding: str, given_before: str) -> Seat:
    """Return the seat of a device whose release is filled in one way, and was in another before."""
    return replace(one, member=replace(one.member, binding=binding, given_before=given_before))
