# SPDX-License-Identifier: Apache-2.0
"""Declaring what there is: one class, or all that a file holds. The caller has judged the right at every place."""

from collections.abc import Sequence

from checkvalve.canonical import Json
from checkvalve.ids import DeclarationId, PersonId
from checkvalve.server.access import queries as access_queries
from checkvalve.server.access.model import ROOT
from checkvalve.server.audit import writes as audit_writes
from checkvalve.server.audit.model import Act
from checkvalve.server.db.database import Tx
from checkvalve.server.estate import queries, writes
from checkvalve.server.estate.model import Change, Changes, Declaration, Said, What

TOLD, LONGEST_TOLD = 50, 200
"""So many changes are named in the entry, with so much of their notes; of all of them there are the numbers."""


def declare(tx: Tx, act: Act, wanted: Sequence[Said], ids: Sequence[DeclarationId], scope: str = ROOT) -> Changes:
    """Declare everything in `wanted`; return what that changed. What says what counts already writes no row.

    `ids` are at least as many as `wanted`, in the order of time. The entry stands at the place that all of them have in
    common, or at `scope` if nothing is wanted. Raises `NotFoundError` (`scope.not_found`), `InvalidError`
    (`estate.place`, `estate.class`, `estate.number`, `estate.note`, `estate.twice`).
    """
    changes = queries.would(tx, wanted)
    for place in sorted({one.scope for one in wanted}):
        access_queries.at(tx, place)
    real = changes.real
    writes.add(tx, (_made(one.after, ident, act) for one, ident in zip(real, ids, strict=False)))
    where = _above([one.scope for one in wanted]) if wanted else scope
    audit_writes.record(tx, act, "estate.declare", f"scope:{_last(where)}", where, _facts(changes))
    return changes


def _made(said: Said, ident: DeclarationId, act: Act) -> Declaration:
    return Declaration(
        id=ident,
        scope=said.scope,
        kind=said.kind,
        class_name=said.class_name,
        number=said.number,
        note=said.note,
        made_by=PersonId(act.actor.id),
        made_at=act.at,
    )


def _above(places: Sequence[str]) -> str:
    """Return the lowest place that all of these lie in."""
    first, last = (one.split("/") for one in (min(places), max(places)))  # what these two share, all do
    common = [ROOT]
    for here, there in zip(first[1:-1], last[1:-1], strict=False):
        if here != there:
            break
        common.append(f"{here}/")
    return "".join(common)


def _last(path: str) -> str:
    return path.strip("/").rpartition("/")[2] or ROOT


def _facts(changes: Changes) -> dict[str, Json]:
    counted: dict[str, Json] = {what.value: changes.number(what) for what in What}
    return counted | {"classes": [_told(one) for one in changes.real[:TOLD]]}


def _told(change: Change) -> Json:
    before = change.before
    return {
        "after": change.after.number,
        "before": before.number if before else None,
        "class": change.after.class_name,
        "kind": change.after.kind.value,
        "note": change.after.note[:LONGEST_TOLD],
        "scope": change.after.scope,
    }
