# SPDX-License-Identifier: Apache-2.0
"""Scopes, permissions, roles, bindings and principals, as values.

A scope path begins and ends with a slash and holds the ids of the nodes above: `/` is the plane, `/ORG/` an
organisation, `/ORG/SITE/` a site. A node contains what its path is a prefix of.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from checkvalve.ids import BindingId, PersonId, ScopeId

ROOT = "/"
Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address


class Permission(StrEnum):
    """What can be allowed, as `noun.verb`. Closed: each one is held by a role and asked for by a route (tested)."""

    SCOPE_READ = "scope.read"
    SCOPE_MANAGE = "scope.manage"
    PERSON_READ = "person.read"
    PERSON_MANAGE = "person.manage"
    ACCESS_READ = "access.read"
    ACCESS_MANAGE = "access.manage"
    AUDIT_READ = "audit.read"
    APPROVAL_READ = "approval.read"
    APPROVAL_VOTE = "approval.vote"
    ROLLOUT_READ = "rollout.read"
    ROLLOUT_DRAFT = "rollout.draft"
    ROLLOUT_START = "rollout.start"
    RELEASE_READ = "release.read"
    RELEASE_CREATE = "release.create"
    RELEASE_SIGN = "release.sign"
    TRUST_MANAGE = "trust.manage"
    DEVICE_READ = "device.read"
    DEVICE_INVITE = "device.invite"
    DEVICE_MANAGE = "device.manage"
    DEVICE_HOLD = "device.hold"
    DEVICE_LOGS = "device.logs"
    DEVICE_RESTART = "device.restart"
    VALUE_READ = "value.read"
    VALUE_SET = "value.set"
    ESTATE_READ = "estate.read"
    ESTATE_DECLARE = "estate.declare"
    SCORECARD_READ = "scorecard.read"
    SCORECARD_ANSWER = "scorecard.answer"
    SCORECARD_MANAGE = "scorecard.manage"
    SUPPLIER_READ = "supplier.read"
    SUPPLIER_MANAGE = "supplier.manage"


class ScopeKind(StrEnum):
    """Levels of the tree (ISA-95). Areas may nest; devices and workloads come with the fleet."""

    ORGANISATION = "organisation"
    SITE = "site"
    AREA = "area"


# What may be made under what; None is the plane itself.
CHILDREN: dict[ScopeKind | None, frozenset[ScopeKind]] = {
    None: frozenset({ScopeKind.ORGANISATION}),
    ScopeKind.ORGANISATION: frozenset({ScopeKind.SITE}),
    ScopeKind.SITE: frozenset({ScopeKind.AREA}),
    ScopeKind.AREA: frozenset({ScopeKind.AREA}),
}


class Origin(StrEnum):
    """How a binding came to be."""

    MANUAL = "manual"
    INIT = "init"


@dataclass(frozen=True, slots=True)
class Scope:
    """A node of the tree."""

    id: ScopeId
    path: str
    parent: str
    kind: ScopeKind
    name: str
    made_at: datetime


@dataclass(frozen=True, slots=True)
class Role:
    """A named set of permissions; built-in ones are data in `roles`."""

    name: str
    sentence: str
    permissions: frozenset[Permission]


@dataclass(frozen=True, slots=True)
class Binding:
    """A role given to a person in a scope, from `not_before` until just before `not_after`, from `networks` only."""

    id: BindingId
    person: PersonId
    role: str
    scope: str
    not_before: datetime | None = None
    not_after: datetime | None = None
    networks: tuple[Network, ...] = ()
    origin: Origin = Origin.MANUAL
    made_by: str = ""
    made_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Ceiling:
    """What an API token leaves of its owner's rights: this scope and below, and these permissions (None: all)."""

    scope: str = ROOT
    permissions: frozenset[Permission] | None = None


@dataclass(frozen=True)
class Principal:
    """A person as the decision sees them: their bindings now, and the ceiling of the token they used, if any."""

    person: PersonId
    bindings: tuple[Binding, ...] = ()
    roles: dict[str, Role] = field(default_factory=dict)
    ceiling: Ceiling = field(default_factory=Ceiling)
    disabled: bool = False

    @cached_property
    def by_permission(self) -> dict[Permission, tuple[Binding, ...]]:
        """Bindings by what their role allows; a role that no longer exists allows nothing."""
        index: dict[Permission, list[Binding]] = {}
        for binding in self.bindings:
            role = self.roles.get(binding.role)
            for permission in role.permissions if role else ():
                index.setdefault(permission, []).append(binding)
        return {permission: tuple(bindings) for permission, bindings in index.items()}


@dataclass(frozen=True, slots=True)
class Context:
    """Circumstances of a request that conditions may ask for."""

    address: Address | None = None
    of_request: bool = True  # False: asked of the right itself, so conditions on a request do not apply


STANDING = Context(of_request=False)


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer, its reasons as sentences, and the bindings that it rests on."""

    allow: bool
    reasons: tuple[str, ...]
    bindings: tuple[BindingId, ...] = ()


@dataclass(frozen=True, slots=True)
class Visibility:
    """Where a permission is held: everything below these paths, and nothing else. None of them lies below another."""

    prefixes: tuple[str, ...]
