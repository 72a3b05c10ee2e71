# SPDX-License-Identifier: Apache-2.0
"""Writing documents, having them approved and putting them into force; keeping suppliers and what they say."""

from dataclasses import replace
from datetime import timedelta

from checkvalve.canonical import Json
from checkvalve.errors import ConflictError, InvalidError, StaleError
from checkvalve.ids import ApprovalId, DocumentId, PersonId, SupplierId
from checkvalve.server.access import queries as access_queries
from checkvalve.server.access.model import ScopeKind
from checkvalve.server.approvals import queries as approval_queries
from checkvalve.server.approvals import writes as approval_writes
from checkvalve.server.approvals.model import Approval
from checkvalve.server.audit import writes as audit_writes
from checkvalve.server.audit.model import Act
from checkvalve.server.db.database import Tx
from checkvalve.server.suppliers import decide, queries, writes
from checkvalve.server.suppliers.model import Agreement, Document, State, Supplier

LASTS = timedelta(days=14)  # a request for approval


def draft(tx: Tx, act: Act, wanted: Document) -> Document:
    """Begin the next version of a document. `version` and `digest` of `wanted` are not read.

    Raises `ConflictError` (`document.unfinished`), `InvalidError` (`supplier.place`, `document.title`,
    `document.text`).
    """
    _organisation(tx, wanted.scope)
    there = queries.documents(tx, queries.EVERYWHERE, scope=wanted.scope, kind=wanted.kind)
    if there and there[0].approved_at is None:
        raise ConflictError(
            "document.unfinished",
            f"Version {there[0].version} of the {wanted.kind.value} is not in force yet.",
            "Change that draft, or put it into force first.",
        )
    version = there[0].version + 1 if there else 1
    fresh = replace(wanted, version=version, changed_at=act.at, made_at=act.at)
    made = decide.written(fresh, wanted.title, wanted.text)
    writes.document(tx, made)
    audit_writes.record(tx, act, "document.draft", f"document:{made.id}", made.scope, _facts(made))
    return made


def write(tx: Tx, act: Act, document_id: DocumentId, person: PersonId, title: str, text: str) -> Document:
    """Write another text into a draft.

    Raises `NotFoundError` (`document.not_found`), `ConflictError` (`document.state`), `InvalidError` (as `draft`).
    """
    before = queries.document(tx, document_id)
    decide.in_state(before, queries.state(tx, before, act.at), State.DRAFT)
    after = decide.written(replace(before, approval=None, changed_by=person, changed_at=act.at), title, text)
    writes.written(tx, after)
    facts: dict[str, Json] = {"after": _facts(after), "before": _facts(before)}
    audit_writes.record(tx, act, "document.write", f"document:{before.id}", before.scope, facts)
    return after


def ask(tx: Tx, act: Act, document_id: DocumentId, person: PersonId, approval_id: ApprovalId) -> Document:
    """Ask another person to approve a draft; its text is final from now on.

    Raises `NotFoundError` (`document.not_found`), `ConflictError` (`document.state`), `ForbiddenError`
    (`document.not_writer`).
    """
    before = queries.document(tx, document_id)
    decide.in_state(before, queries.state(tx, before, act.at), State.DRAFT)
    decide.askable(before, person)
    asked = Approval(
        id=approval_id,
        scope=before.scope,
        subject=f"document:{before.id}",
        sentence=f"Ask suppliers to keep to version {before.version} of the {before.kind.value}: {before.title}",
        digest=before.digest,
        needed=1,
        requester=person,
        made_at=act.at,
        expires_at=act.at + LASTS,
    )
    approval_writes.open_(tx, asked)
    after = replace(before, approval=approval_id)
    writes.written(tx, after)
    facts = _facts(after) | {"approval": approval_id}
    audit_writes.record(tx, act, "document.ask", f"document:{before.id}", before.scope, facts)
    return after


def take_back(tx: Tx, act: Act, document_id: DocumentId) -> Document:
    """Take the request for approval back; the document is a draft again.

    Raises `NotFoundError` (`document.not_found`), `ConflictError` (`document.state`).
    """
    before = queries.document(tx, document_id)
    decide.in_state(before, queries.state(tx, before, act.at), State.ASKED, State.READY)
    if before.approval is not None:
        approval_writes.withdraw(tx, before.approval, act.at)
    after = replace(before, approval=None)
    writes.written(tx, after)
    audit_writes.record(tx, act, "document.take_back", f"document:{before.id}", before.scope, _facts(after))
    return after


def adopt(tx: Tx, act: Act, document_id: DocumentId) -> Document:
    """Put a document into force: its approval is spent, and an earlier version is superseded.

    Raises `NotFoundError` (`document.not_found`), `ConflictError` (`document.state`, and as `approvals.writes.use`),
    `StaleError` (`document.changed`).
    """
    before = queries.document(tx, document_id)
    decide.in_state(before, queries.state(tx, before, act.at), State.ASKED, State.READY)
    if before.approval is None:
        raise TypeError(before.id)  # its state says that it was asked for
    approval = approval_queries.approval(tx, before.approval)
    if (approval.digest, approval.subject) != (before.contents, f"document:{before.id}"):
        raise StaleError("document.changed", "The approval was given for another text.", "Ask for approval anew.")
    approval_writes.use(tx, approval, act.at)
    after = replace(before, approved_at=act.at)
    writes.written(tx, after)
    facts = _facts(after) | {"approval": approval.id}
    audit_writes.record(tx, act, "document.adopt", f"document:{before.id}", before.scope, facts)
    return after


def add(tx: Tx, act: Act, wanted: Supplier) -> Supplier:
    """Add a supplier.

    Raises `ConflictError` (`supplier.taken`), `InvalidError` (`supplier.place`, `supplier.name`, `supplier.text`).
    """
    _organisation(tx, wanted.scope)
    others = queries.suppliers(tx, queries.EVERYWHERE, scope=wanted.scope, ended=False)
    made = decide.supplier(replace(wanted, made_at=act.at, changed_at=act.at), others)
    writes.supplier(tx, made)
    audit_writes.record(tx, act, "supplier.add", f"supplier:{made.id}", made.scope, _told(made))
    return made


def change(tx: Tx, act: Act, wanted: Supplier) -> Supplier:
    """Change name, contact, what they supply or the end of support; of `wanted` nothing else is read.

    Raises `NotFoundError` (`supplier.not_found`), `ConflictError` (`supplier.ended`, `supplier.taken`), `InvalidError`
    (`supplier.name`, `supplier.text`).
    """
    before = _going(tx, wanted.id)
    others = queries.suppliers(tx, queries.EVERYWHERE, scope=before.scope, ended=False)
    fresh = replace(
        before,
        name=wanted.name,
        contact=wanted.contact,
        supplies=wanted.supplies,
        support_end=wanted.support_end,
        changed_by=wanted.changed_by,
        changed_at=act.at,
    )
    after = decide.supplier(fresh, others)
    writes.changed(tx, after)
    facts: dict[str, Json] = {"after": _told(after), "before": _told(before)}
    audit_writes.record(tx, act, "supplier.change", f"supplier:{before.id}", before.scope, facts)
    return after


def end(tx: Tx, act: Act, supplier_id: SupplierId, person: PersonId, why: str) -> Supplier:
    """Say that nothing is bought from a supplier any more; what they said stays readable.

    Raises `NotFoundError` (`supplier.not_found`), `ConflictError` (`supplier.ended`), `InvalidError` (`supplier.why`).
    """
    before = _going(tx, supplier_id)
    reason = decide.needed("supplier.why", "Why it ends", why)
    after = replace(before, ended_at=act.at, ended_why=reason, changed_by=person, changed_at=act.at)
    writes.changed(tx, after)
    audit_writes.record(tx, act, "supplier.end", f"supplier:{before.id}", before.scope, _told(before) | {"why": reason})
    return after


def record(tx: Tx, act: Act, said: Agreement) -> Agreement:
    """Record what a supplier said to a document that is in force.

    Raises `NotFoundError` (`supplier.not_found`, `document.not_found`), `ConflictError` (`supplier.ended`,
    `document.state`), `InvalidError` (`agreement.note`, `agreement.place`).
    """
    there, asked = _going(tx, said.supplier), queries.document(tx, said.document)
    if asked.scope != there.scope:
        raise InvalidError("agreement.place", "They are of two organisations.", "Name a document of the same one.")
    decide.in_state(asked, queries.state(tx, asked, act.at), State.APPROVED)
    kept = replace(said, note=decide.line("agreement.note", "A note", said.note), at=act.at)
    writes.agreement(tx, kept)
    facts: dict[str, Json] = {
        "digest": asked.digest,
        "document": asked.id,
        "name": there.name,
        "note": kept.note,
        "said": kept.said.value,
        "version": asked.version,
    }
    audit_writes.record(tx, act, "supplier.record", f"supplier:{there.id}", there.scope, facts)
    return kept


def _organisation(tx: Tx, path: str) -> None:
    node = access_queries.at(tx, path)
    if node is None or node.kind is not ScopeKind.ORGANISATION:
        raise InvalidError(
            "supplier.place", "Suppliers and what is asked of them are of an organisation.", "Name an organisation."
        )


def _going(tx: Tx, supplier_id: SupplierId) -> Supplier:
    found = queries.supplier(tx, supplier_id)
    if found.ended_at is not None:
        raise ConflictError("supplier.ended", f"{found.name} is no supplier any more.", "Add them anew.")
    return found


def _facts(document: Document) -> dict[str, Json]:
    return {
        "digest": document.digest,
        "kind": document.kind.value,
        "title": document.title,
        "version": document.version,
    }


def _told(supplier: Supplier) -> dict[str, Json]:
    return {
        "contact": supplier.contact,
        "name": supplier.name,
        "supplies": supplier.supplies,
        "support_end": supplier.support_end.isoformat() if supplier.support_end else "",
    }
