# SPDX-License-Identifier: Apache-2.0
"""Changes of the tree and of rights. The face has judged the right to make them, in the same transaction (ADR 0012)."""

from dataclasses import replace

import sqlalchemy as sa

from checkvalve import lines
from checkvalve.canonical import Json
from checkvalve.errors import ConflictError
from checkvalve.ids import BindingId, PersonId, ScopeId
from checkvalve.server.access import guard, queries, roles, tree, writes
from checkvalve.server.access.model import ROOT, Binding, Scope, ScopeKind
from checkvalve.server.audit import writes as audit_writes
from checkvalve.server.audit.compose import rfc3339
from checkvalve.server.audit.model import Act
from checkvalve.server.db.database import Tx
from checkvalve.server.db.schema import scopes
from checkvalve.server.identity import queries as identity_queries
from checkvalve.server.identity import writes as identity_writes


def create_scope(tx: Tx, act: Act, scope_id: ScopeId, parent: str, kind: ScopeKind, name: str) -> Scope:
    """Make a node under the path `parent`.

    Raises `NotFoundError` (`scope.not_found`), `InvalidError` (`scope.place`, `scope.depth`, `name.*`), `ConflictError`
    (`scope.name_taken`).
    """
    above = queries.at(tx, parent)
    path = f"{parent}{scope_id}/"
    tree.child(above.kind if above else None, kind, path.count("/") - 1)
    scope = Scope(scope_id, path, parent, kind, tree.name(name), act.at)
    _name_is_free(tx, scope)
    writes.add_scope(tx, scope)
    facts: dict[str, Json] = {"kind": kind.value, "name": scope.name, "parent": parent}
    audit_writes.record(tx, act, "scope.create", f"scope:{scope.id}", path, facts)
    return scope


def rename_scope(tx: Tx, act: Act, scope_id: ScopeId, name: str) -> Scope:
    """Give a node another name. Raises as `create_scope` does."""
    before = queries.scope(tx, scope_id)
    after = Scope(before.id, before.path, before.parent, before.kind, tree.name(name), before.made_at)
    _name_is_free(tx, after)
    writes.name_scope(tx, scope_id, after.name)
    facts: dict[str, Json] = {"after": {"name": after.name}, "before": {"name": before.name}}
    audit_writes.record(tx, act, "scope.rename", f"scope:{scope_id}", before.path, facts)
    return after


def bind(tx: Tx, act: Act, binding: Binding) -> Binding:
    """Give a role to a person in a scope.

    Raises `NotFoundError` for person or scope, `ConflictError` (`binding.exists`), and what `guard.new_binding` raises.
    """
    binding = replace(binding, made_by=act.actor.id, made_at=act.at)
    guard.new_binding(binding, act.actor.id, act.at)
    person = identity_queries.person(tx, binding.person)
    queries.at(tx, binding.scope)
    same = (binding.role, binding.scope, binding.not_before, binding.not_after, binding.networks)
    for held in queries.principal(tx, binding.person).bindings:
        if (held.role, held.scope, held.not_before, held.not_after, held.networks) == same:
            raise ConflictError(
                "binding.exists", f"{person.name} is {binding.role} there already.", "Nothing is left to do."
            )
    writes.add_binding(tx, binding)
    audit_writes.record(tx, act, "binding.create", f"binding:{binding.id}", binding.scope, {"after": _said(binding)})
    return binding


def unbind(tx: Tx, act: Act, binding_id: BindingId) -> None:
    """Take a binding away, at once and for every open page and token.

    Raises `NotFoundError` (`binding.not_found`), `ConflictError` (`binding.last_administrator`).
    """
    binding = queries.binding(tx, binding_id)
    if binding.role == roles.ADMINISTRATOR and binding.scope == ROOT:
        guard.still_administered(queries.holders(tx, binding.role, ROOT), without=binding)
    writes.revoke_binding(tx, binding_id, act.at)
    audit_writes.record(tx, act, "binding.revoke", f"binding:{binding_id}", binding.scope, {"before": _said(binding)})


def disable_person(tx: Tx, act: Act, person_id: PersonId) -> None:
    """Shut a person out: their sessions end now, their tokens stop, their bindings stay for the record.

    Raises `NotFoundError` (`person.not_found`), `ConflictError` (`binding.last_administrator`).
    """
    person = identity_queries.person(tx, person_id)
    holders = queries.holders(tx, roles.ADMINISTRATOR, ROOT)
    if any(held.person == person_id for held in holders):
        guard.still_administered(holders, without_person=person_id)
    identity_writes.disable(tx, person_id, act.at)
    audit_writes.record(tx, act, "person.disable", f"person:{person_id}", person.home, {"login": person.login})


def enable_person(tx: Tx, act: Act, person_id: PersonId) -> None:
    """Let a person in again, with the bindings that still hold. Raises `NotFoundError` (`person.not_found`)."""
    person = identity_queries.person(tx, person_id)
    identity_writes.enable(tx, person_id)
    audit_writes.record(tx, act, "person.enable", f"person:{person_id}", person.home, {"login": person.login})


def _name_is_free(tx: Tx, scope: Scope) -> None:
    taken = sa.select(scopes.c.id).where(
        scopes.c.parent == scope.parent, scopes.c.folded == lines.folded(scope.name), scopes.c.id != scope.id
    )
    if tx.first(taken) is not None:
        raise ConflictError("scope.name_taken", f"There is a {scope.name!r} here already.", "Choose another name.")


def _said(binding: Binding) -> Json:
    return {
        "networks": [str(network) for network in binding.networks],
        "not_after": rfc3339(binding.not_after) if binding.not_after else None,
        "not_before": rfc3339(binding.not_before) if binding.not_before else None,
        "origin": binding.origin.value,
        "person": binding.person,
        "role": binding.role,
        "scope": binding.scope,
    }
