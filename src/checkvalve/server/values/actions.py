# SPDX-License-Identifier: Apache-2.0
"""Setting values at a place, and taking them away.

The caller has judged the right, at the scope or where the device stands. The entry names what was changed, texts by
their digests; of a secret neither text nor digest is in any entry: short secrets would be guessed from it.
"""

from collections.abc import Callable, Sequence
from functools import partial

from checkvalve.canonical import Json
from checkvalve.ids import ValueId
from checkvalve.server.audit import writes as audit_writes
from checkvalve.server.audit.model import Act
from checkvalve.server.db.database import Tx
from checkvalve.server.values import change, locking, queries, writes
from checkvalve.server.values.model import Entry, Kind, Wanted


def set_(
    tx: Tx, act: Act, place: str, wanted: Sequence[Wanted], new_id: Callable[[], str], key: bytes, note: str = ""
) -> list[Entry]:
    """Set values at a place, or take them away; return what that changed: what is so already is left as it is.

    `key` locks secrets; each call of `new_id` gives an id with fresh entropy. Raises `NotFoundError`
    (`scope.not_found`, `device.not_found`), `ConflictError` (`device.already_retired`), `InvalidError`
    (`values.place`, and those of `change`).
    """
    scope = queries.scope(tx, place)
    changes = queries.changes(tx, place, scope, wanted, note, partial(locking.holds, key))
    entries = []
    for one in changes:
        ident, content = ValueId(new_id()), None if one.wanted.content is None else one.wanted.content.encode()
        if content is not None and one.wanted.key.kind is Kind.SECRET:
            content = locking.locked(key, ident, content)
        entries.append(
            Entry(ident, place, scope, one.wanted.key, content, content is not None, act.actor.id, act.at, note)
        )
    writes.put(tx, entries)
    facts: dict[str, Json] = {
        "changed": [change.fact(one, entry.id) for one, entry in zip(changes, entries, strict=True)],
        "note": note,
        "place": place,
    }
    audit_writes.record(tx, act, "values.set", queries.subject(place), scope, facts)
    return entries
