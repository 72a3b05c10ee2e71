# SPDX-License-Identifier: Apache-2.0
"""Suppliers and what is asked of them, as people would have made it."""

from datetime import date

from checkvalve.ids import ApprovalId, DocumentId, PersonId, SupplierId
from checkvalve.server.access.model import Visibility
from checkvalve.server.approvals import actions as approval_actions
from checkvalve.server.approvals.model import Choice
from checkvalve.server.suppliers import actions, queries, shipped
from checkvalve.server.suppliers.model import Document, Kind, State, Supplier
from tests.server.web.plant import Plant
from tests.server.web.scored import act, by


def drafted(
    plant: Plant, scope: str, kind: Kind = Kind.CLAUSE, *, org: str = "north", writer: PersonId | None = None
) -> Document:
    """Begin a version, written by `writer` or the officer; what is not in force yet is put into force before."""
    found = plant.db.read_now("documents", queries.documents, Visibility((scope,)), kind=kind)
    if found and found[0].approved_at is None:
        _adopt(plant, found[0], org)
    person = writer or by(plant, "compliance-officer")
    title, text = shipped.draft(kind)
    wanted = Document(
        DocumentId(plant.new_id()), scope, kind, 0, title, text, "", None, person, plant.time, person, plant.time
    )
    return plant.db.write_now("draft", actions.draft, act(plant, person), wanted)


def asked(plant: Plant, scope: str, kind: Kind = Kind.CLAUSE, *, org: str = "north") -> Document:
    """Ask for approval of a version."""
    return _ask(plant, drafted(plant, scope, kind, org=org))


def ready(plant: Plant, scope: str, kind: Kind = Kind.CLAUSE, *, org: str = "north") -> Document:
    """Have it approved by another person."""
    return _vote(plant, asked(plant, scope, kind, org=org), org)


def adopted(plant: Plant, scope: str, kind: Kind = Kind.CLAUSE, *, org: str = "north") -> Document:
    """Put it into force."""
    return _adopt(plant, drafted(plant, scope, kind, org=org), org)


def supplier(plant: Plant, scope: str, name: str = "") -> Supplier:
    """Add a supplier."""
    person: PersonId = by(plant, "compliance-officer")
    called, ident = name or f"Pumpline {plant.numbers()}", SupplierId(plant.new_id())
    end = date(2031, 12, 31)
    made = Supplier(ident, scope, called, "Ulla", "Pumps", end, person, plant.time, person, plant.time)
    return plant.db.write_now("add", actions.add, act(plant, person), made)


def _ask(plant: Plant, document: Document) -> Document:
    person, approval = document.changed_by, ApprovalId(plant.new_id())
    return plant.db.write_now("ask", actions.ask, act(plant, person), document.id, person, approval)


def _vote(plant: Plant, document: Document, org: str) -> Document:
    voter = plant.users[org, "access-approver"].person.id
    assert document.approval is not None
    given = (document.approval, voter, Choice.APPROVE, document.digest, "")
    plant.db.write_now("vote", approval_actions.vote, act(plant, voter), *given)
    return document


def _adopt(plant: Plant, document: Document, org: str) -> Document:
    stands = plant.db.read_now("state", queries.state, document, plant.time)
    if stands is State.DRAFT:
        document = _ask(plant, document)
    if stands is not State.READY:
        _vote(plant, document, org)
    return plant.db.write_now("adopt", actions.adopt, act(plant, by(plant, "compliance-officer")), document.id)
