# SPDX-License-Identifier: Apache-2.0
"""A small organisation with people, roles, a device and rollouts in a real database, for tests of these and others.

Rows of other rooms are put in as they are, so that a test may make any state, those that no action makes included.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ParamSpec

import pytest
import sqlalchemy as sa

from checkvalve.errors import CheckvalveError
from checkvalve.ids import ApprovalId, DeviceId, EntryId, PersonId, RolloutId
from checkvalve.protocol.exchange import State
from checkvalve.server.approvals import actions as approval_actions
from checkvalve.server.approvals import queries as approval_queries
from checkvalve.server.approvals.model import Approval, Choice, Standing
from checkvalve.server.audit import queries as audit_queries
from checkvalve.server.audit.model import Act, Actor, Entry
from checkvalve.server.db import schema
from checkvalve.server.db.database import Database, Tx
from checkvalve.server.fleet import queries as fleet_queries
from checkvalve.server.fleet import writes as fleet_writes
from checkvalve.server.fleet.model import Assignment, Device
from checkvalve.server.rollouts import actions, queries, writes
from checkvalve.server.rollouts.model import GoOn, Intent, Outcome, Plan, Rollout, Seat
from tests.parts import fleet, stock

RELEASE = "press-line@sha256:" + "5e" * 32
OLD = "press-before@sha256:" + "0d" * 32
APPROVER = "access-approver"
P = ParamSpec("P")


@dataclass
class World:
    """The database, a clock that a test moves, and the paths of an organisation and two sites."""

    database: Database
    new_id: Callable[[], str]
    now: datetime
    org: str = ""
    site: str = ""
    other: str = ""

    def __post_init__(self) -> None:
        """Make the three scopes."""
        self.org = self.place("/", "organisation")
        self.site = self.place(self.org, "site")
        self.other = self.place(self.org, "site")

    def run(self, statement: sa.Executable) -> None:
        """Change rows by hand."""
        self.database.write_now("by hand", lambda tx: tx.run(statement))

    def place(self, parent: str, kind: str) -> str:
        """Make a node and return its path."""
        node = self.new_id()
        path = f"{parent}{node}/"
        values = {"id": node, "path": path, "parent": parent, "kind": kind, "name": node, "folded": node}
        self.run(sa.insert(schema.scopes).values(made_at=self.now, **values))
        return path

    def person(self, role: str = "", scope: str = "") -> PersonId:
        """Make a person, with `role` at `scope` (the site) if one is named."""
        person = PersonId(self.new_id())
        values = {"id": person, "login": person, "name": person, "home": self.org, "password": ""}
        self.run(sa.insert(schema.people).values(made_at=self.now, **values))
        if role:
            self.bind(person, role, scope or self.site)
        return person

    def approver(self) -> PersonId:
        """Make a person who may vote at the site."""
        return self.person(APPROVER)

    def bind(self, person: PersonId, role: str, scope: str, until: datetime | None = None) -> None:
        """Give `person` a role."""
        binding = self.new_id()
        values = {"id": binding, "person": person, "role": role, "scope": scope, "networks": "[]", "origin": "manual"}
        self.run(sa.insert(schema.bindings).values(made_by="", made_at=self.now, not_after=until, **values))

    def unbind(self, person: PersonId) -> None:
        """Take all roles of `person` away."""
        held = schema.bindings.c.person == person, schema.bindings.c.revoked_at.is_(None)
        self.run(sa.update(schema.bindings).where(*held).values(revoked_at=self.now))

    def disable(self, person: PersonId) -> None:
        """Shut `person` out."""
        self.run(sa.update(schema.people).where(schema.people.c.id == person).values(disabled_at=self.now))

    def enable(self, person: PersonId) -> None:
        """Let `person` in again."""
        self.run(sa.update(schema.people).where(schema.people.c.id == person).values(disabled_at=None))

    def later(self, **by: float) -> None:
        """Move the clock."""
        self.now += timedelta(**by)

    def act(self, person: PersonId) -> Act:
        """Return an act of `person`, now."""
        return Act(id=EntryId(self.new_id()), at=self.now, actor=Actor("person", person, person))

    def stock(self, state: str = "published") -> None:
        """Let `RELEASE` be a release of the organisation, or be in another state from now on."""
        stock.release(self.database, self.new_id(), RELEASE, self.now, version="2.4.1", scope=self.org, state=state)

    def stand(self, name: str = "", scope: str = "", tags: Iterable[str] = (), **changes: object) -> Device:
        """Put a device there, without a rule; at the site, if no scope is named."""

        def put(tx: Tx) -> Device:
            invite = fleet.invited(tx, self.new_id, scope or self.site, self.now, tags=sorted(tags))
            return fleet.joined(tx, self.new_id, invite, self.now, name=name, changes=changes)

        return self.database.write_now("stand", put)

    def assignment(self, device: DeviceId) -> Assignment | None:
        """Read what a device is to run."""
        return self.database.read_now("assignment", fleet_queries.assignment, device)

    def drafted(
        self,
        by: PersonId,
        approvals: int = 1,
        scope: str = "",
        selector: str = "",
        plan: Plan = Plan(),  # noqa: B008 - a value
    ) -> RolloutId:
        """Draft a rollout of a release that may run, and return its id; without a selector, to a new device alone."""
        self.stock()
        where = scope or self.site
        rollout = RolloutId(self.new_id())
        means = selector or f"device:{self.stand(scope=where).id}"
        intent = Intent(RELEASE, means, approvals, "MOC-12", "Valve firmware.", plan)
        self.database.write_now("rollout.draft", actions.draft, self.act(by), rollout, where, "Patch", intent)
        return rollout

    def proposed(self, by: PersonId, approvals: int = 1) -> tuple[RolloutId, ApprovalId]:
        """Draft and propose a rollout; return its id and its approval's."""
        rollout = self.drafted(by, approvals)
        return rollout, self.propose(by, rollout)

    def propose(self, by: PersonId, rollout: RolloutId) -> ApprovalId:
        """Propose a draft and return the id of its approval."""
        approval = ApprovalId(self.new_id())
        self.database.write_now("rollout.propose", actions.propose, self.act(by), rollout, approval)
        return approval

    def vote(
        self, by: PersonId, approval: ApprovalId, choice: Choice = Choice.APPROVE, digest: str = "", note: str = ""
    ) -> Standing:
        """Vote on what the approval is for, or on another `digest`."""
        said = digest or self.approval(approval).digest
        act = self.act(by)
        return self.database.write_now("vote", approval_actions.vote, act, approval, by, choice, said, note)

    def start(self, by: PersonId, rollout: RolloutId) -> Rollout:
        """Start a rollout."""
        return self.database.write_now("rollout.start", actions.start, self.act(by), rollout, self.new_id)

    def cancel(self, by: PersonId, rollout: RolloutId) -> Rollout:
        """Cancel a rollout."""
        return self.database.write_now("rollout.cancel", actions.cancel, self.act(by), rollout)

    def pause(self, by: PersonId, rollout: RolloutId, reason: str = "", code: str = "") -> Rollout:
        """Pause a rollout, as a person does; with a code as the judge does."""
        return self.database.write_now("rollout.pause", actions.pause, self.act(by), rollout, code, reason)

    def resume(self, by: PersonId, rollout: RolloutId, reason: str = "") -> Rollout:
        """Resume a rollout."""
        return self.database.write_now("rollout.resume", actions.resume, self.act(by), rollout, reason)

    def undo(self, by: PersonId, rollout: RolloutId, reason: str = "") -> Rollout:
        """Undo a rollout; return the one that takes it back."""
        ident = RolloutId(self.new_id())
        act = self.act(by)
        return self.database.write_now("rollout.undo", actions.undo, act, rollout, ident, self.new_id, reason)

    def fleet(self, count: int, **changes: object) -> list[Device]:
        """Put devices at the site that run `OLD`, which is a release too, and were heard of just now."""
        stock.release(self.database, self.new_id(), OLD, self.now, version="2.4.0", scope=self.org)
        fields = {"active": OLD.partition("@")[2], "seen_at": self.now, **changes}
        return [self.stand(f"press {number + 1}", **fields) for number in range(count)]  # type: ignore[arg-type]

    def started(self, by: PersonId, selector: str = "all", plan: Plan = Plan()) -> RolloutId:  # noqa: B008
        """Draft, propose and start a rollout that needs no approval."""
        rollout = self.drafted(by, 0, selector=selector, plan=plan)
        self.propose(by, rollout)
        return self.start(by, rollout).id

    def opened(self, rollout: RolloutId, wave: int) -> Rollout:
        """Open a wave, as the plane does."""
        return self.database.write_now("wave", actions.go_on, self.act(PersonId("")), rollout, GoOn(wave, "It is on."))

    def seats(self, rollout: RolloutId) -> dict[str, Seat]:
        """Read who goes when, by the name of the device."""
        found = self.database.read_now("seats", queries.seats, rollout, limit=None)
        return {seat.device.name: seat for seat in found}

    def ends(self, seat: Seat, outcome: Outcome = Outcome.COMMITTED) -> str:
        """Note how an attempt ended; what a device runs and whether it is ordered anything follow."""
        device, code = seat.device.id, "" if outcome is Outcome.COMMITTED else "gate.exit"
        said = (device, seat.member.attempt, outcome, code, "web ended with 1." if code else "", self.now)
        if outcome is Outcome.COMMITTED:
            digest = "sha256:" + seat.member.target.rpartition("/")[2].removesuffix(".json")
            self.says(seat, State.COMMITTED, active=digest)
        else:
            self.database.write_now("unassign", fleet_writes.unassign, device)
        return self.database.write_now("ended", writes.ended, *said)

    def says(self, seat: Seat, state: State = State.FETCHING, **changes: object) -> None:
        """Let a device say that it has taken an attempt up."""
        values: dict[str, object] = {"attempt": seat.member.attempt, "state": state, **changes}
        self.database.write_now("visited", fleet_writes.visited, seat.device.id, values)  # type: ignore[arg-type]

    def wanted(self) -> dict[str, str]:
        """Read which attempts devices are ordered to, by the name of the device."""
        columns = schema.devices.c.name, schema.assignments.c.attempt
        joined = schema.assignments.join(schema.devices, schema.devices.c.id == schema.assignments.c.device)
        found = self.database.read_now("wanted", Tx.all, sa.select(*columns).select_from(joined))
        return {row.name: row.attempt for row in found}

    def wanted_attempts(self) -> list[str]:
        """Read which attempts devices are ordered to."""
        attempts = sa.select(schema.assignments.c.attempt)
        return [row.attempt for row in self.database.read_now("wanted", Tx.all, attempts)]

    def rollout(self, rollout: RolloutId) -> Rollout:
        """Read a rollout."""
        return self.database.read_now("rollout", queries.rollout, rollout)

    def approval(self, approval: ApprovalId) -> Approval:
        """Read an approval."""
        return self.database.read_now("approval", approval_queries.approval, approval)

    def standing(self, approval: ApprovalId) -> Standing:
        """Read where an approval stands now."""
        return self.database.read_now("standing", approval_queries.standing, self.approval(approval), self.now)

    def entries(self, action: str = "") -> list[Entry]:
        """Read the record, newest first."""
        return self.database.read_now("entries", audit_queries.latest, sa.true(), limit=10_000, action=action)

    def rows(self) -> dict[str, list[tuple[object, ...]]]:
        """Read every row of every table, in an order that does not change."""
        return self.database.read_now("rows", _rows)

    def refused(self, code: str, function: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> CheckvalveError:
        """Call `function`, which must be refused with `code`, in words, and leave every row as it was."""
        before = self.rows()
        with pytest.raises(CheckvalveError) as caught:
            function(*args, **kwargs)
        assert caught.value.code == code
        assert caught.value.sentence.endswith(".")
        assert caught.value.remedy.endswith(".")
        assert self.rows() == before
        return caught.value


def _rows(tx: Tx) -> dict[str, list[tuple[object, ...]]]:
    tables: Iterable[sa.Table] = schema.metadata.sorted_tables
    return {table.name: sorted((tuple(row) for row in tx.all(sa.select(table))), key=repr) for table in tables}
