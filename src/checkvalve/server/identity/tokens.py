# SPDX-License-Identifier: Apache-2.0
"""May this API token be made, and does it still count?

Rules: 1. it ends, after now and within 400 days; 2. it has a label that says where it is used, a scope, and
permissions named one by one or all that its owner has; none at all would be a token for nothing. What it may do is
judged at each use by `access`, as its owner's rights at that time, cut to these.
"""

import dataclasses
import re
from datetime import datetime, timedelta

from checkvalve.errors import InvalidError
from checkvalve.server.identity import names, paths
from checkvalve.server.identity.model import Ended, Live, Token

LONGEST = timedelta(days=400)
MOST = 50  # live tokens of one person
NOTED_EVERY = timedelta(minutes=1)
"""A token's last use is written down at most this often."""

_PERMISSION = re.compile(r"[a-z][a-z_-]{0,30}\.[a-z][a-z_-]{0,30}")
_MOST_PERMISSIONS = 200


def check(token: Token, now: datetime) -> Token:
    """Return the token as it is kept.

    Raises `InvalidError`: `token.label`, `token.ends`, `token.permissions`, `scope.path`.
    """
    if token.ends_at.tzinfo is None or not now < token.ends_at <= now + LONGEST:
        raise InvalidError(
            "token.ends", f"A token ends, after now and within {LONGEST.days} days.", "Give an end between the two."
        )
    permissions = token.permissions
    if permissions is not None:
        permissions = tuple(sorted(set(permissions)))
        if not permissions or len(permissions) > _MOST_PERMISSIONS or not all(map(_PERMISSION.fullmatch, permissions)):
            raise InvalidError(
                "token.permissions",
                "A token carries permissions such as rollout.read, at least one, or all that its owner has.",
                "Name them as the list of roles does, or leave them out for all.",
            )
    return dataclasses.replace(
        token, label=names.label(token.label), scope=paths.check(token.scope), permissions=permissions
    )


def judge(token: Token, now: datetime) -> Live | Ended:
    """Return whether a token that was not revoked counts at `now`; it ends at the moment itself."""
    if now >= token.ends_at:
        return Ended(f"The token ended on {token.ends_at:%Y-%m-%d}. Issue a new one.")
    return Live(token.ends_at)


def worth_noting(token: Token, now: datetime) -> bool:
    """Tell whether a use at `now` is far enough from the last one noted to write it down."""
    return token.used_at is None or now - token.used_at >= NOTED_EVERY
