# SPDX-License-Identifier: Apache-2.0
"""Is this the key that the secrets here are locked with?

Rules: 1. which key it is stands in the database from its first use on, as a fingerprint; 2. where none stands yet, one
of the secrets tells; where there is none either, any key will do, and one may be made; 3. a plane without the right key
does not start, and locks nothing (walk values, 4): of two processes with two keys each would lock what the other cannot
open.
"""

from checkvalve.errors import ConflictError
from checkvalve.server.values import locking
from checkvalve.server.values.model import Custody

REMEDY = (
    "Bring keys/values.key back from the backup of this plane, or from the machine of another process of it. "
    "If it is lost for good: checkvalve new-values-key."
)


def judge(custody: Custody, key: bytes | None) -> bool:
    """Tell whether `key` is new here and has to be noted; None: the plane has none.

    Raises `ConflictError` (`values.key_lost`, `values.key_other`).
    """
    if key is None:
        if custody.fingerprint or custody.secret:
            raise ConflictError(
                "values.key_lost", "keys/values.key is missing, and secrets of this plane are locked with it.", REMEDY
            )
        return True
    if not _right(custody, key):
        raise ConflictError(
            "values.key_other", "keys/values.key is not the key that secrets of this plane are locked with.", REMEDY
        )
    return not custody.fingerprint


def _right(custody: Custody, key: bytes) -> bool:
    if custody.fingerprint:
        return custody.fingerprint == locking.fingerprint(key)
    return custody.secret is None or locking.opens(key, custody.secret)
