# SPDX-License-Identifier: Apache-2.0
"""Setting values at a place, and taking them away.

The caller has judged the right, at the scope or where the device stands. The entry names what was changed, texts by
their digests; of a secret neither text nor digest is in any entry: short secrets would be guessed from it.
"""

from collections.abc import Callable, Sequence
from functools import partial

from checkvalve.canonical import Json
from checkvalve.ids import ValueId
from checkvalve.server.access.model import ROOT
from checkvalve.server.audit import writes as audit_writes
from checkvalve.server.audit.model import Act
from checkvalve.server.db.database import Tx
from checkvalve.server.values import change, custody, locking, queries, writes
from checkvalve.server.values.model import Custody, Entry, Kind, Wanted

LOST = "The key that it was locked with is lost."


def set_(
    tx: Tx, act: Act, place: str, wanted: Sequence[Wanted], new_id: Callable[[], str], key: bytes, note: str = ""
) -> list[Entry]:
    """Set values at a place, or take them away; return what that changed: what is so already is left as it is.

    `key` locks secrets; each call of `new_id` gives an id with fresh entropy. Raises `NotFoundError`
    (`scope.not_found`, `device.not_found`), `ConflictError` (`device.already_retired`, `values.key_other`),
    `InvalidError` (`values.place`, and those of `change`).
    """
    scope = queries.scope(tx, place)
    if any(one.key.kind is Kind.SECRET and one.content is not None for one in wanted):
        custody.judge(Custody(queries.noted_key(tx)), key)
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


def new_key(tx: Tx, act: Act, key: bytes, new_id: Callable[[], str]) -> int:
    """Go on with another key where the old one is lost; return how many secrets are taken away with that.

    Those are the ones that no longer open: then rollouts say at their start what is missing, and do not fail on each
    device.
    """
    lost = [one for one in queries.secrets(tx) if not locking.opens(key, one)]
    entries = [
        Entry(ValueId(new_id()), one.place, one.scope, one.key, None, False, act.actor.id, act.at, LOST)  # noqa: FBT003
        for one in lost
    ]
    writes.put(tx, entries)
    fingerprint = locking.fingerprint(key)
    writes.note_key(tx, fingerprint, act.at)
    facts: dict[str, Json] = {"fingerprint": fingerprint, "taken": len(lost)}
    audit_writes.record(tx, act, "values.new_key", "key:values", ROOT, facts)
    return len(lost)
