# SPDX-License-Identifier: Apache-2.0
"""Rows of suppliers, documents and agreements, without an entry."""

import sqlalchemy as sa

from checkvalve.server.db.database import Tx
from checkvalve.server.db.schema import agreements, documents, suppliers
from checkvalve.server.suppliers.model import Agreement, Document, Supplier


def document(tx: Tx, added: Document) -> None:
    """Add a version of a document."""
    tx.run(sa.insert(documents).values(**_row(added)))


def written(tx: Tx, after: Document) -> None:
    """Keep a document as it is now."""
    tx.run(sa.update(documents).where(documents.c.id == after.id).values(**_row(after)))


def supplier(tx: Tx, added: Supplier) -> None:
    """Add a supplier."""
    tx.run(sa.insert(suppliers).values(**_row(added)))


def changed(tx: Tx, after: Supplier) -> None:
    """Keep a supplier as it is now; the record has what it was."""
    tx.run(sa.update(suppliers).where(suppliers.c.id == after.id).values(**_row(after)))


def agreement(tx: Tx, added: Agreement) -> None:
    """Add what a supplier said."""
    tx.run(sa.insert(agreements).values(**_row(added)))


def _row(value: Document | Supplier | Agreement) -> dict[str, object]:
    values = {name: getattr(value, name) for name in value.__slots__}
    if isinstance(value, Document):
        values["kind"] = value.kind.value
    if isinstance(value, Agreement):
        values["said"] = value.said.value
    return values
