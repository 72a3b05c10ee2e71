# SPDX-License-Identifier: Apache-2.0
"""Which roles exist from the first day? Eight, as data. Custom ones will be rows beside them.

No role holds both `access.manage` and `approval.vote`: whoever hands out rights does not approve changes (tested).
"""

from checkvalve.server.access.model import Permission, Role

_LOOK = frozenset(
    {
        Permission.SCOPE_READ,
        Permission.ROLLOUT_READ,
        Permission.APPROVAL_READ,
        Permission.RELEASE_READ,
        Permission.DEVICE_READ,
        Permission.VALUE_READ,
        Permission.ESTATE_READ,
        Permission.SCORECARD_READ,
        Permission.SUPPLIER_READ,
    }
)
_ANSWER = {Permission.ESTATE_DECLARE, Permission.SCORECARD_ANSWER}
_ASSESS = _ANSWER | {Permission.SCORECARD_MANAGE, Permission.SUPPLIER_MANAGE}

_ALL = (
    Role("viewer", "Sees sites, devices, releases and rollouts.", _LOOK),
    Role(
        "operator",
        "Drafts and starts rollouts, sets values, hangs tags, reads logs, restarts, invites devices and retires them.",
        _LOOK
        | _ANSWER
        | {
            Permission.ROLLOUT_DRAFT,
            Permission.ROLLOUT_START,
            Permission.DEVICE_INVITE,
            Permission.DEVICE_MANAGE,
            Permission.DEVICE_HOLD,
            Permission.DEVICE_LOGS,
            Permission.DEVICE_RESTART,
            Permission.VALUE_SET,
        },
    ),
    Role(
        "release-manager",
        "Imports images, makes and signs releases, drafts rollouts; does not start them.",
        _LOOK | {Permission.ROLLOUT_DRAFT, Permission.RELEASE_CREATE, Permission.RELEASE_SIGN},
    ),
    Role(
        "access-approver",
        "Approves or rejects what others ask for.",
        _LOOK | {Permission.APPROVAL_VOTE, Permission.ACCESS_READ, Permission.PERSON_READ},
    ),
    Role(
        "security-analyst",
        "Reads the record beside the fleet, follows exposure, and answers assessments.",
        _LOOK | {Permission.AUDIT_READ, Permission.SCORECARD_ANSWER},
    ),
    Role(
        "compliance-officer",
        "Runs assessments, declares the estate and keeps the gap plan; reads the record.",
        _LOOK | _ASSESS | {Permission.AUDIT_READ},
    ),
    Role(
        "auditor",
        "Reads everything, the record and all rights included; changes nothing.",
        _LOOK | {Permission.AUDIT_READ, Permission.ACCESS_READ, Permission.PERSON_READ},
    ),
    Role(
        "platform-admin",
        "Keeps the tree of sites, people, their roles, devices and the root of trust, and runs the first assessment; "
        "approves and starts nothing.",
        _LOOK
        | _ASSESS
        | {
            Permission.SCOPE_MANAGE,
            Permission.PERSON_READ,
            Permission.PERSON_MANAGE,
            Permission.ACCESS_READ,
            Permission.ACCESS_MANAGE,
            Permission.AUDIT_READ,
            Permission.TRUST_MANAGE,
            Permission.DEVICE_INVITE,
            Permission.DEVICE_MANAGE,
        },
    ),
)

BUILT_IN: dict[str, Role] = {role.name: role for role in _ALL}
ADMINISTRATOR = "platform-admin"
