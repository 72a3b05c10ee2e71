# SPDX-License-Identifier: Apache-2.0
"""May this principal do this here, now? The only place where a right is judged.

Rules: 1. nothing is allowed but by a binding; 2. a binding counts if its role holds the permission, its scope
contains the resource's, the time lies in its bounds (the first moment included, the last not) and the address in its
networks, if it names any; 3. a token's ceiling takes away and never gives; 4. a disabled person has no rights.
`visible` gives the same answer for lists: a resource is in a list if and only if `decide` would allow it there
(property-tested).
"""

from datetime import datetime

from checkvalve.server.access.model import Binding, Context, Decision, Permission, Principal, Visibility


def decide(principal: Principal, permission: Permission, scope: str, now: datetime, context: Context) -> Decision:
    """Judge one permission at one scope path; the reasons of a refusal name each binding that nearly held."""
    if principal.disabled:
        return Decision(allow=False, reasons=("The person is disabled.",))
    ceiling = principal.ceiling
    if not scope.startswith(ceiling.scope):
        return Decision(allow=False, reasons=("The token does not reach this scope.",))
    if ceiling.permissions is not None and permission not in ceiling.permissions:
        return Decision(allow=False, reasons=(f"The token does not carry {permission}.",))
    near: list[str] = []
    for binding in principal.by_permission.get(permission, ()):
        if not scope.startswith(binding.scope):
            continue
        obstacle = _obstacle(binding, now, context)
        if obstacle is None:
            reason = f"{binding.role} in {binding.scope} holds {permission}."
            return Decision(allow=True, reasons=(reason,), bindings=(binding.id,))
        near.append(f"{binding.role} in {binding.scope} {obstacle}.")
    return Decision(allow=False, reasons=tuple(near) or (f"No role here holds {permission}.",))


def visible(principal: Principal, permission: Permission, now: datetime, context: Context) -> Visibility:
    """Return the paths below which `decide` would allow `permission`."""
    ceiling = principal.ceiling
    if principal.disabled or (ceiling.permissions is not None and permission not in ceiling.permissions):
        return Visibility(())
    reach = set()
    for binding in principal.by_permission.get(permission, ()):
        if _obstacle(binding, now, context) is not None:
            continue
        if binding.scope.startswith(ceiling.scope):
            reach.add(binding.scope)
        elif ceiling.scope.startswith(binding.scope):
            reach.add(ceiling.scope)
    return Visibility(_outermost(reach))


def narrowed(seen: Visibility, scope: str) -> Visibility:
    """Return the part of `seen` that lies in `scope`, a path; nothing if the two have nothing in common."""
    if seen.prefixes and scope.startswith(seen.prefixes):
        return Visibility((scope,))
    return Visibility(tuple(path for path in seen.prefixes if path.startswith(scope)))


def knows_of(principal: Principal, scope: str, now: datetime, context: Context) -> bool:
    """Tell whether any right reaches `scope`. Where none does, a refusal must look like absence."""
    return any(decide(principal, permission, scope, now, context).allow for permission in principal.by_permission)


def _obstacle(binding: Binding, now: datetime, context: Context) -> str | None:
    if binding.not_before is not None and now < binding.not_before:
        return "is not valid yet"
    if binding.not_after is not None and now >= binding.not_after:
        return "has expired"
    if context.of_request and binding.networks and not _from_one_of(binding, context):
        return "is not valid from this address"
    return None


def _from_one_of(binding: Binding, context: Context) -> bool:
    return context.address is not None and any(context.address in network for network in binding.networks)


def _outermost(paths: set[str]) -> tuple[str, ...]:
    kept: list[str] = []
    for path in sorted(paths):  # a prefix sorts before what it contains
        if not kept or not path.startswith(kept[-1]):
            kept.append(path)
    return tuple(kept)
