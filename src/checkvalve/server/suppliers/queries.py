# SPDX-License-Identifier: Apache-2.0
"""Reading suppliers, documents and agreements. What may not be seen is not there."""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from checkvalve.errors import NotFoundError
from checkvalve.ids import DocumentId, SupplierId, well_formed
from checkvalve.server.access import queries as access_queries
from checkvalve.server.access.model import ROOT, ScopeKind, Visibility
from checkvalve.server.approvals import queries as approval_queries
from checkvalve.server.db import schema
from checkvalve.server.db.database import Row, Tx
from checkvalve.server.suppliers import decide
from checkvalve.server.suppliers.model import Agreement, Document, Kind, Said, Sovereignty, State, Supplier

EVERYWHERE = Visibility((ROOT,))
_documents, _suppliers = schema.documents.c, schema.suppliers.c
_DOCUMENT = tuple(getattr(_documents, name) for name in Document.__slots__)
_SUPPLIER = tuple(getattr(_suppliers, name) for name in Supplier.__slots__)
_AGREEMENT = tuple(getattr(schema.agreements.c, name) for name in Agreement.__slots__)


def document(tx: Tx, document_id: DocumentId, seen: Visibility = EVERYWHERE) -> Document:
    """Return one document; `NotFoundError` (`document.not_found`)."""
    row = None
    if well_formed(document_id):
        here = (_documents.id == document_id, access_queries.within(_documents.scope, seen))
        row = tx.first(sa.select(*_DOCUMENT).where(*here))
    if row is None:
        raise NotFoundError("document.not_found", "There is no such document, or not for you.", "List the documents.")
    return _document(row)


def documents(tx: Tx, seen: Visibility, *, scope: str = "", kind: Kind | None = None) -> list[Document]:
    """Return documents, the newest version first; with `scope` of exactly this organisation."""
    chosen = [access_queries.within(_documents.scope, seen)]
    if scope:
        chosen.append(_documents.scope == scope)
    if kind is not None:
        chosen.append(_documents.kind == kind.value)
    order = (_documents.scope, _documents.kind, _documents.version.desc())
    return [_document(row) for row in tx.all(sa.select(*_DOCUMENT).where(*chosen).order_by(*order))]


def state(tx: Tx, found: Document, now: datetime) -> State:
    """Return where a document stands at a moment."""
    asked = None
    if found.approval is not None and found.approved_at is None:
        asked = approval_queries.standing(tx, approval_queries.approval(tx, found.approval), now)
    there = documents(tx, EVERYWHERE, scope=found.scope, kind=found.kind)
    force = max((each.version for each in there if each.approved_at is not None), default=0)
    return decide.state(found, asked, force)


def supplier(tx: Tx, supplier_id: SupplierId, seen: Visibility = EVERYWHERE) -> Supplier:
    """Return one supplier; `NotFoundError` (`supplier.not_found`)."""
    row = None
    if well_formed(supplier_id):
        here = (_suppliers.id == supplier_id, access_queries.within(_suppliers.scope, seen))
        row = tx.first(sa.select(*_SUPPLIER).where(*here))
    if row is None:
        raise NotFoundError("supplier.not_found", "There is no such supplier, or not for you.", "List the suppliers.")
    return Supplier(**row._mapping)  # noqa: SLF001 - SQLAlchemy's name for what a row says, by column


def suppliers(
    tx: Tx, seen: Visibility, *, limit: int | None = None, before: str = "", scope: str = "", ended: bool = True
) -> list[Supplier]:
    """Return suppliers, the newest first; without those that are none any more unless `ended`."""
    chosen = [access_queries.within(_suppliers.scope, seen)]
    if scope:
        chosen.append(_suppliers.scope == scope)
    if before:
        chosen.append(_suppliers.id < before)
    if not ended:
        chosen.append(_suppliers.ended_at.is_(None))
    newest = sa.select(*_SUPPLIER).where(*chosen).order_by(_suppliers.id.desc()).limit(limit)
    return [Supplier(**row._mapping) for row in tx.all(newest)]  # noqa: SLF001 - as above


def agreements(tx: Tx, of: Sequence[Supplier]) -> list[Agreement]:
    """Return all that these suppliers ever said, oldest first."""
    column = schema.agreements.c
    chosen = sa.select(*_AGREEMENT).where(column.supplier.in_([each.id for each in of])).order_by(column.id)
    return [Agreement(**{**row._mapping, "said": Said(row.said)}) for row in tx.all(chosen)]  # noqa: SLF001 - as above


def sovereignty(tx: Tx, scope: str, now: datetime) -> Sovereignty:
    """Return how far sovereignty is a condition of buying in an organisation."""
    clauses = documents(tx, EVERYWHERE, scope=scope, kind=Kind.CLAUSE)
    there = suppliers(tx, EVERYWHERE, scope=scope, ended=False)
    counts = decide.newest(agreements(tx, there)).values()
    return decide.sovereignty([(each, state(tx, each, now)) for each in clauses], counts, now)


def organisations(tx: Tx, seen: Visibility) -> dict[str, str]:
    """Return the organisations that may be seen, path to name."""
    nodes = access_queries.listed(tx, seen)
    return {node.path: node.name for node in nodes if node.kind is ScopeKind.ORGANISATION}


def _document(row: Row) -> Document:
    return Document(**{**row._mapping, "kind": Kind(row.kind)})  # noqa: SLF001 - as above
