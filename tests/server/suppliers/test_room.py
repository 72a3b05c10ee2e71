# SPDX-License-Identifier: Apache-2.0
"""Documents and suppliers in a real database: two people, final texts, and a history that stays."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime

import pytest
import sqlalchemy as sa

from checkvalve.errors import CheckvalveError
from checkvalve.ids import AgreementId, ApprovalId, DocumentId, PersonId, SupplierId
from checkvalve.server.access.model import Visibility
from checkvalve.server.approvals import actions as approval_actions
from checkvalve.server.approvals.model import Choice
from checkvalve.server.db import schema
from checkvalve.server.db.database import Database
from checkvalve.server.suppliers import actions, decide, queries
from checkvalve.server.suppliers.model import Agreement, Document, Kind, Said, Stage, State, Supplier
from tests.server.rollouts import world

ANNA = PersonId("1" * 26)


class World(world.World):
    """What people do with suppliers; each function is a transaction of its own."""

    def draft(self, kind: Kind = Kind.CLAUSE, text: str = "Data stay here.") -> Document:
        """Begin a version."""
        ident = DocumentId(self.new_id())
        wanted = Document(ident, self.org, kind, 0, "Clause", text, "", None, ANNA, self.now, ANNA, self.now)
        return self.do(actions.draft, wanted)

    def do(self, action: Callable[..., Document], *words: object) -> Document:
        """Run an action."""
        return self.database.write_now("do", action, self.act(ANNA), *words)

    def ask(self, document: Document) -> Document:
        """Ask for approval."""
        return self.do(actions.ask, document.id, ANNA, ApprovalId(self.new_id()))

    def say(self, document: Document, choice: Choice = Choice.APPROVE) -> None:
        """Let somebody who may say what they think."""
        voter = self.person("access-approver", self.org)
        assert document.approval is not None
        given = (document.approval, voter, choice, document.digest, "")
        self.database.write_now("vote", approval_actions.vote, self.act(voter), *given)

    def stands(self, document: Document) -> State:
        """Return where a document stands."""
        found = self.database.read_now("document", queries.document, document.id)
        return self.database.read_now("state", queries.state, found, self.now)

    def force(self) -> Document:
        """Put a version into force."""
        document = self.ask(self.draft())
        self.say(document)
        return self.do(actions.adopt, document.id)

    def add(self, name: str = "Pumpline AB") -> Supplier:
        """Add a supplier."""
        ident = SupplierId(self.new_id())
        made = Supplier(ident, self.org, name, "Ulla", "Pumps", date(2031, 1, 1), ANNA, self.now, ANNA, self.now)
        return self.database.write_now("add", actions.add, self.act(ANNA), made)

    def record(self, supplier: Supplier, document: Document, said: Said) -> Agreement:
        """Record what a supplier said."""
        word = Agreement(AgreementId(self.new_id()), supplier.id, document.id, said, "by letter", ANNA, self.now)
        return self.database.write_now("record", actions.record, self.act(ANNA), word)


@pytest.fixture
def world_(database: Database, new_id: Callable[[], str], now: datetime) -> World:
    return World(database, new_id, now)


def refused(code: str, work: Callable[[], object]) -> None:
    with pytest.raises(CheckvalveError) as caught:
        work()
    assert caught.value.code == code


def test_a_clause_comes_into_force_by_another_person_and_is_final_from_the_asking(world_: World) -> None:
    draft = world_.draft()
    edited = world_.do(actions.write, draft.id, ANNA, "Clause", "Data stay in Visby.")
    assert edited.digest != draft.digest
    asked = world_.ask(edited)
    assert world_.stands(asked) is State.ASKED
    refused("document.state", lambda: world_.do(actions.write, draft.id, ANNA, "Clause", "Other"))
    refused("document.unfinished", world_.draft)
    refused("approval.waiting", lambda: world_.do(actions.adopt, draft.id))
    world_.say(asked)
    assert world_.stands(asked) is State.READY
    force = world_.do(actions.adopt, draft.id)
    assert (world_.stands(force), force.digest) == (State.APPROVED, edited.digest)
    refused("document.state", lambda: world_.do(actions.adopt, draft.id))
    later = world_.force()
    assert (later.version, world_.stands(force), world_.stands(later)) == (2, State.SUPERSEDED, State.APPROVED)


def test_nobody_has_another_ask_for_words_they_approve_themselves(world_: World) -> None:
    draft, rut = world_.draft(), PersonId("2" * 26)
    refused("document.not_writer", lambda: world_.do(actions.ask, draft.id, rut, ApprovalId(world_.new_id())))
    world_.do(actions.write, draft.id, rut, "Clause", "Data stay in Visby.")
    refused("document.not_writer", lambda: world_.ask(draft))
    assert world_.do(actions.ask, draft.id, rut, ApprovalId(world_.new_id())).approval is not None


def test_words_that_changed_behind_their_approval_come_never_into_force(world_: World) -> None:
    asked = world_.ask(world_.draft())
    world_.say(asked)
    world_.run(sa.update(schema.documents).where(schema.documents.c.id == asked.id).values(text="Data go."))
    refused("document.changed", lambda: world_.do(actions.adopt, asked.id))


def test_a_no_and_a_withdrawal_make_it_a_draft_again(world_: World) -> None:
    asked = world_.ask(world_.draft())
    world_.say(asked, Choice.REJECT)
    assert world_.stands(asked) is State.DRAFT
    again = world_.ask(world_.do(actions.write, asked.id, ANNA, "Clause", "Better."))
    world_.do(actions.take_back, again.id)
    assert world_.stands(again) is State.DRAFT
    refused("document.state", lambda: world_.do(actions.take_back, again.id))


def test_what_suppliers_say_is_added_and_the_newest_counts(world_: World) -> None:
    draft = world_.draft()
    supplier = world_.add()
    refused("document.state", lambda: world_.record(supplier, draft, Said.SENT))
    asked = world_.ask(draft)
    world_.say(asked)
    force = world_.do(actions.adopt, asked.id)
    for said, stage in ((Said.SENT, Stage.APPROVED), (Said.AGREED, Stage.USED), (Said.REFUSED, Stage.APPROVED)):
        world_.record(supplier, force, said)
        found = world_.database.read_now("s", queries.sovereignty, world_.org, world_.now)
        assert found.stage is stage
    history = world_.database.read_now("a", queries.agreements, [supplier])
    assert [each.said for each in history] == [Said.SENT, Said.AGREED, Said.REFUSED]


def test_a_supplier_has_a_name_of_its_own_until_it_ends(world_: World) -> None:
    first = world_.add()
    refused("supplier.taken", lambda: world_.add("pumpline ab"))
    changed = replace(first, name="Pumpline Nord AB", contact="Ola", support_end=None)
    after = world_.database.write_now("c", actions.change, world_.act(ANNA), changed)
    assert (after.name, after.support_end) == ("Pumpline Nord AB", None)
    refused("supplier.why", lambda: world_.database.write_now("e", actions.end, world_.act(ANNA), first.id, ANNA, " "))
    world_.database.write_now("e", actions.end, world_.act(ANNA), first.id, ANNA, "Sold.")
    refused("supplier.ended", lambda: world_.database.write_now("c", actions.change, world_.act(ANNA), changed))
    assert world_.add("Pumpline Nord AB").id != first.id
    assert len(world_.database.read_now("l", queries.suppliers, Visibility((world_.org,)), ended=False)) == 1


@pytest.mark.parametrize("name", ["", "a" * 201, "a\nb", "a\x00b", "\u202egro"])
def test_names_that_cannot_be_read_as_what_they_are_are_refused(world_: World, name: str) -> None:
    refused("supplier.name", lambda: world_.add(name))


def test_every_act_leaves_one_entry_and_places_are_organisations(world_: World) -> None:
    world_.record(world_.add(), world_.force(), Said.AGREED)
    actions_ = [entry.action for entry in world_.entries()]
    assert sorted(each for each in actions_ if each.startswith(("document", "supplier"))) == sorted(
        ["document.draft", "document.ask", "document.adopt", "supplier.add", "supplier.record"]
    )
    elsewhere = replace(world_.draft(), scope=world_.site, id=DocumentId(world_.new_id()))
    refused("supplier.place", lambda: world_.do(actions.draft, elsewhere))
    assert world_.database.read_now("d", queries.documents, Visibility(("/nowhere/",))) == []


def test_the_words_of_a_face_are_checked() -> None:
    refused("document.kind", lambda: decide.kind("letter"))
    refused("agreement.said", lambda: decide.said("maybe"))
