# SPDX-License-Identifier: Apache-2.0
"""Writing the record: the one call that every action makes exactly once."""

from collections.abc import Mapping
from types import MappingProxyType

import sqlalchemy as sa

from checkvalve.canonical import Json
from checkvalve.crypto import merkle
from checkvalve.server.audit.compose import compose
from checkvalve.server.audit.model import Act, Kind
from checkvalve.server.db import schema
from checkvalve.server.db.database import Tx

_APPEND = sa.insert(schema.entries)
_NOTHING: Mapping[str, Json] = MappingProxyType({})


def record(
    tx: Tx,
    act: Act,
    action: str,
    subject: str,
    scope: str,
    facts: Mapping[str, Json] = _NOTHING,
    *,
    kind: Kind = Kind.OUTCOME,
) -> None:
    """Append the entry of `act`: `action` is `noun.verb`, `subject` is `noun:id`, `scope` a path.

    `facts` say what changed, before and after, and hold no secret.
    """
    data = compose(act, kind, action, subject, scope, facts)
    values = {
        "id": act.id,
        "at": act.at,
        "kind": kind.value,
        "action": action,
        "actor": act.actor.id,
        "subject": _findable(subject),
        "scope": _findable(scope),
        "bytes": data,
        "leaf_hash": merkle.leaf_hash(data),
    }
    tx.run(_APPEND, values)


def _findable(text: str) -> str:
    """Return what a column can hold on both engines: PostgreSQL takes no NUL. The entry's bytes have it as it was."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()
