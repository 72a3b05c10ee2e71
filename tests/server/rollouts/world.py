# SPDX-License-Identifier: Apache-2.0
"""A small organisation with people, roles and rollouts in a real database, for tests of approvals and rollouts.

Rows of other rooms are put in as they are, so that a test may make any state, those that no action makes included.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ParamSpec

import pytest
import sqlalchemy as sa

from checkvalve.errors import CheckvalveError
from checkvalve.ids import ApprovalId, EntryId, PersonId, RolloutId
from checkvalve.server.approvals import actions as approval_actions
from checkvalve.server.approvals import queries as approval_queries
from checkvalve.server.approvals.model import Approval, Choice, Standing
from checkvalve.server.audit import queries as audit_queries
from checkvalve.server.audit.model import Act, Actor, Entry
from checkvalve.server.db import schema
from checkvalve.server.db.database import Database, Tx
from checkvalve.server.rollouts import actions, queries
from checkvalve.server.rollouts.model import Intent, Rollout
from tests.parts import stock

RELEASE = "press-line@sha256:" + "5e" * 32
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

    def drafted(self, by: PersonId, approvals: int = 1, scope: str = "") -> RolloutId:
        """Draft a rollout of a release that may run, and return its id."""
        self.stock()
        rollout = RolloutId(self.new_id())
        intent = Intent(RELEASE, "site=visby", approvals, "MOC-12", "Valve firmware.")
        act = self.act(by)
        self.database.write_now("rollout.draft", actions.draft, act, rollout, scope or self.site, "Patch", intent)
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
        return self.database.write_now("rollout.start", actions.start, self.act(by), rollout)

    def cancel(self, by: PersonId, rollout: RolloutId) -> Rollout:
        """Cancel a rollout."""
        return self.database.write_now("rollout.cancel", actions.cancel, self.act(by), rollout)

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
