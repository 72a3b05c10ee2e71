# SPDX-License-Identifier: Apache-2.0
"""Suppliers and documents as the API and the pages say them."""

from collections.abc import Sequence
from datetime import datetime

from checkvalve.protocol import suppliers as said
from checkvalve.server.access import queries as access_queries
from checkvalve.server.access.model import Visibility
from checkvalve.server.audit.compose import rfc3339
from checkvalve.server.db.database import Tx
from checkvalve.server.suppliers import csvs, decide, queries
from checkvalve.server.suppliers.model import Agreement, Document, Kind, Supplier
from checkvalve.server.web.api.answers import time


def document(tx: Tx, one: Document, now: datetime) -> said.Document:
    """Return a document as it stands at a moment."""
    return said.Document(
        id=one.id,
        scope=one.scope,
        where=_where(tx, one.scope),
        kind=one.kind.value,
        version=one.version,
        title=one.title,
        text=one.text,
        digest=one.digest,
        state=queries.state(tx, one, now).value,
        approval=one.approval,
        made_by=one.made_by,
        made_at=rfc3339(one.made_at),
        changed_at=rfc3339(one.changed_at),
        approved_at=time(one.approved_at),
    )


def suppliers(tx: Tx, found: Sequence[Supplier]) -> list[said.Supplier]:
    """Return suppliers with all that they said."""
    agreed = queries.agreements(tx, found)
    counts = {each.id for each in decide.newest(agreed).values()}
    asked = {each.document: queries.document(tx, each.document) for each in agreed}
    where = {scope: _where(tx, scope) for scope in {one.scope for one in found}}
    return [
        said.Supplier(
            id=one.id,
            scope=one.scope,
            where=where[one.scope],
            name=one.name,
            contact=one.contact,
            supplies=one.supplies,
            support_end=one.support_end,
            ended_at=time(one.ended_at),
            ended_why=one.ended_why,
            changed_by=one.changed_by,
            changed_at=rfc3339(one.changed_at),
            agreements=[
                _agreement(each, asked[each.document], counts=each.id in counts)
                for each in agreed
                if each.supplier == one.id
            ],
        )
        for one in found
    ]


def sovereignty(tx: Tx, seen: Visibility, now: datetime) -> list[said.Sovereignty]:
    """Return how far each organisation that may be seen has come."""
    told = []
    for scope, name in queries.organisations(tx, seen).items():
        found = queries.sovereignty(tx, scope, now)
        told.append(said.Sovereignty(scope=scope, where=name, stage=found.stage.value, reason=found.reason))
    return told


def exported(tx: Tx, seen: Visibility) -> bytes:
    """Return the suppliers that may be seen as a file."""
    rows = []
    for one in suppliers(tx, queries.suppliers(tx, seen)):
        now = {each.kind: f"{each.said}, version {each.version}" for each in one.agreements if each.counts}
        end = one.support_end.isoformat() if one.support_end else ""
        ended = (one.ended_at or "")[:10]
        kinds = [now.get(kind.value, "") for kind in (Kind.CLAUSE, Kind.QUESTIONNAIRE)]
        rows.append((one.where, one.name, one.contact, one.supplies, end, ended, *kinds))
    return csvs.write(rows)


def _agreement(one: Agreement, asked: Document, *, counts: bool) -> said.Agreement:
    return said.Agreement(
        id=one.id,
        document=one.document,
        kind=asked.kind.value,
        version=asked.version,
        said=one.said.value,
        note=one.note,
        by=one.by,
        at=rfc3339(one.at),
        counts=counts,
    )


def _where(tx: Tx, scope: str) -> str:
    return "/".join(access_queries.names(tx, scope))
