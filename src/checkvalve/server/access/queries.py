# SPDX-License-Identifier: Apache-2.0
"""Reading the scope tree and the bindings; and the predicate that every list of scoped rows takes."""

import json
from ipaddress import ip_network

import sqlalchemy as sa

from checkvalve.errors import NotFoundError
from checkvalve.ids import BindingId, PersonId, ScopeId
from checkvalve.server.access import roles
from checkvalve.server.access.model import ROOT, Binding, Ceiling, Origin, Principal, Scope, ScopeKind, Visibility
from checkvalve.server.db.database import Row, Tx
from checkvalve.server.db.schema import bindings, entries, people, scopes

Predicate = sa.ColumnElement[bool]

_SCOPE = (scopes.c.id, scopes.c.path, scopes.c.parent, scopes.c.kind, scopes.c.name, scopes.c.made_at)
_BINDING = (
    bindings.c.id,
    bindings.c.person,
    bindings.c.role,
    bindings.c.scope,
    bindings.c.not_before,
    bindings.c.not_after,
    bindings.c.networks,
    bindings.c.origin,
    bindings.c.made_by,
    bindings.c.made_at,
)


def within(column: sa.ColumnElement[str], visibility: Visibility) -> Predicate:
    """Return `column lies below one of the paths`, as ranges that an index serves.

    `/a/b/` contains exactly the texts from `/a/b/` up to, not including, `/a/b0`: `0` follows `/` in ASCII.
    """
    if ROOT in visibility.prefixes:
        return sa.true()
    ranges = [sa.and_(column >= path, column < path[:-1] + "0") for path in visibility.prefixes]
    return sa.or_(sa.false(), *ranges)


def entries_within(seen: Visibility) -> Predicate:
    """Return `the entry lies where it may be seen`, for the record, which knows of no rights."""
    return within(entries.c.scope, seen)


def people_within(seen: Visibility) -> Predicate:
    """Return `the person is at home where they may be seen`, for `identity`, which knows of no rights."""
    return within(people.c.home, seen)


def principal(tx: Tx, person: PersonId, ceiling: Ceiling | None = None) -> Principal:
    """Return the person with all bindings that were not taken away; `NotFoundError` (`person.not_found`)."""
    row = tx.first(sa.select(people.c.disabled_at).where(people.c.id == person))
    if row is None:
        raise NotFoundError("person.not_found", "There is no such person.", "Sign in again.")
    held = tx.all(sa.select(*_BINDING).where(bindings.c.person == person, bindings.c.revoked_at.is_(None)))
    return Principal(
        person=person,
        bindings=tuple(_binding(binding) for binding in held),
        roles=roles.BUILT_IN,
        ceiling=ceiling or Ceiling(),
        disabled=row.disabled_at is not None,
    )


def scope(tx: Tx, scope_id: ScopeId) -> Scope:
    """Return one node; `NotFoundError` (`scope.not_found`)."""
    row = tx.first(sa.select(*_SCOPE).where(scopes.c.id == scope_id))
    if row is None:
        raise _no_scope()
    return _scope(row)


def at(tx: Tx, path: str) -> Scope | None:
    """Return the node at `path`, None for the plane itself; `NotFoundError` (`scope.not_found`)."""
    if path == ROOT:
        return None
    row = tx.first(sa.select(*_SCOPE).where(scopes.c.path == path))
    if row is None:
        raise _no_scope()
    return _scope(row)


def listed(tx: Tx, seen: Visibility) -> list[Scope]:
    """Return the nodes one may see, each after the node above it, siblings by name."""
    rows = tx.all(sa.select(*_SCOPE).where(within(scopes.c.path, seen)))
    return in_tree_order([_scope(row) for row in rows])


def in_tree_order(nodes: list[Scope]) -> list[Scope]:
    """Return `nodes` parents first, siblings by name."""
    names = {node.path: node.name.casefold() for node in nodes}

    def key(node: Scope) -> list[str]:
        parts = node.path.strip("/").split("/")
        paths = ["/" + "/".join(parts[: index + 1]) + "/" for index in range(len(parts))]
        return [f"{names.get(path, '')}\0{path}" for path in paths]

    return sorted(nodes, key=key)


def names(tx: Tx, path: str) -> list[str]:
    """Return the names from the organisation down to `path`; what is gone shows its id."""
    parts = path.strip("/").split("/") if path != ROOT else []
    rows = {row.id: row.name for row in tx.all(sa.select(scopes.c.id, scopes.c.name).where(scopes.c.id.in_(parts)))}
    return [rows.get(part, part) for part in parts]


def binding(tx: Tx, binding_id: BindingId) -> Binding:
    """Return a binding that holds or will; `NotFoundError` (`binding.not_found`) if none or taken away."""
    row = tx.first(sa.select(*_BINDING).where(bindings.c.id == binding_id, bindings.c.revoked_at.is_(None)))
    if row is None:
        raise NotFoundError("binding.not_found", "There is no such binding.", "List the bindings that hold now.")
    return _binding(row)


def bindings_of(
    tx: Tx, seen: Visibility, person: PersonId | None = None, *, limit: int | None = None, after: str = ""
) -> list[Binding]:
    """Return the bindings in the scopes one may see, of one person or of all, oldest first.

    `after` is the id of the last one had (paging).
    """
    wanted = [bindings.c.revoked_at.is_(None), within(bindings.c.scope, seen), bindings.c.id > after]
    if person is not None:
        wanted.append(bindings.c.person == person)
    rows = tx.all(sa.select(*_BINDING).where(*wanted).order_by(bindings.c.id).limit(limit))
    return [_binding(row) for row in rows]


def holders(tx: Tx, role: str, path: str) -> list[Binding]:
    """Return the bindings of `role` at exactly `path` whose person is not disabled."""
    rows = tx.all(
        sa.select(*_BINDING)
        .join(people, people.c.id == bindings.c.person)
        .where(
            bindings.c.role == role,
            bindings.c.scope == path,
            bindings.c.revoked_at.is_(None),
            people.c.disabled_at.is_(None),
        )
    )
    return [_binding(row) for row in rows]


def _scope(row: Row) -> Scope:
    return Scope(ScopeId(row.id), row.path, row.parent, ScopeKind(row.kind), row.name, row.made_at)


def _binding(row: Row) -> Binding:
    return Binding(
        id=BindingId(row.id),
        person=PersonId(row.person),
        role=row.role,
        scope=row.scope,
        not_before=row.not_before,
        not_after=row.not_after,
        networks=tuple(ip_network(text) for text in json.loads(row.networks)),
        origin=Origin(row.origin),
        made_by=row.made_by,
        made_at=row.made_at,
    )


def _no_scope() -> NotFoundError:
    return NotFoundError("scope.not_found", "There is no such place, or not for you.", "List the sites you can see.")
