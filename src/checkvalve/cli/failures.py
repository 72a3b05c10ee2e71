# SPDX-License-Identifier: Apache-2.0
"""What can go wrong on this side, and the exit code of every kind of error.

0 done, 1 failed, 2 usage, 3 refused by policy, 4 unreachable, 5 verification failed.
"""

from checkvalve.errors import CheckvalveError

FAILED = 1
USAGE = 2
REFUSED = 3
UNREACHABLE = 4
UNVERIFIED = 5

# A rollout that lacks its approval, or that something is in the way of, is in conflict for the plane; whoever asked was
# stopped by policy.
_POLICY = frozenset(
    {
        "errand.agent",
        "errand.device",
        "errand.held",
        "errand.observes",
        "release.below_floor",
        "release.withdrawn",
        "rollout.agent_old",
        "rollout.devices_busy",
        "rollout.no_device",
        "rollout.nothing_back",
        "rollout.nothing_to_do",
        "rollout.not_approved",
        "rollout.rejected",
        "rollout.approval_expired",
        "rollout.approval_used",
        "rollout.approval_withdrawn",
        "rollout.values_lacking",
    }
)
_OF_KIND = {
    "forbidden": REFUSED,
    "in_the_way": REFUSED,
    "unavailable": UNREACHABLE,
    "usage": USAGE,
    "unverified": UNVERIFIED,
}


class UsageError(CheckvalveError):
    """The command cannot be carried out as it was typed; nothing was sent."""

    kind = "usage"


class InTheWayError(CheckvalveError):
    """The plane told what is in the way before it was asked to act; nothing was sent."""

    kind = "in_the_way"


class UnverifiedError(CheckvalveError):
    """The other end is not proved to be the plane, or shows something else than it asks for."""

    kind = "unverified"


def exit_code(error: CheckvalveError) -> int:
    """Return the exit code of `error`."""
    return REFUSED if error.code in _POLICY else _OF_KIND.get(error.kind, FAILED)
