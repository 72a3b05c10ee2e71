# SPDX-License-Identifier: Apache-2.0
"""Rows of scopes and bindings, without an entry: for actions of this room and of higher ones."""

from datetime import datetime

import sqlalchemy as sa

from checkvalve import canonical, lines
from checkvalve.ids import BindingId, ScopeId
from checkvalve.server.access.model import Binding, Scope
from checkvalve.server.db.database import Tx
from checkvalve.server.db.schema import bindings, scopes


def add_scope(tx: Tx, scope: Scope) -> None:
    """Insert a node."""
    tx.run(
        sa.insert(scopes).values(
            id=scope.id,
            path=scope.path,
            parent=scope.parent,
            kind=scope.kind.value,
            name=scope.name,
            folded=lines.folded(scope.name),
            made_at=scope.made_at,
        )
    )


def name_scope(tx: Tx, scope_id: ScopeId, name: str) -> None:
    """Give a node another name; its path holds ids and stays."""
    tx.run(sa.update(scopes).where(scopes.c.id == scope_id).values(name=name, folded=lines.folded(name)))


def add_binding(tx: Tx, binding: Binding) -> None:
    """Insert a binding."""
    tx.run(
        sa.insert(bindings).values(
            id=binding.id,
            person=binding.person,
            role=binding.role,
            scope=binding.scope,
            not_before=binding.not_before,
            not_after=binding.not_after,
            networks=canonical.dumps([str(network) for network in binding.networks]).decode(),
            origin=binding.origin.value,
            made_by=binding.made_by,
            made_at=binding.made_at,
        )
    )


def revoke_binding(tx: Tx, binding_id: BindingId, at: datetime) -> None:
    """Take a binding away; its row stays, so that what held on a past date can be read."""
    tx.run(
        sa.update(bindings).where(bindings.c.id == binding_id, bindings.c.revoked_at.is_(None)).values(revoked_at=at)
    )
