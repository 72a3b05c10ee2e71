# SPDX-License-Identifier: Apache-2.0
"""Reading errands. Ids and texts from outside may be anything; what nothing can be called finds nothing."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Unpack

import msgspec
import sqlalchemy as sa

from checkvalve.errors import ConflictError, NotFoundError
from checkvalve.ids import DeviceId, ErrandId, well_formed
from checkvalve.protocol.exchange import Status
from checkvalve.server.access import queries as access_queries
from checkvalve.server.access.decide import narrowed
from checkvalve.server.access.model import ROOT, Visibility
from checkvalve.server.db import schema
from checkvalve.server.db.database import Tx
from checkvalve.server.errands import decide, ending, tables
from checkvalve.server.errands.model import SILENT, Errand, Kind, State, Wanted
from checkvalve.server.fleet import queries as fleet_queries
from checkvalve.server.fleet.model import Device
from checkvalve.server.fleet.queries import EVERYWHERE

Predicate = sa.ColumnElement[bool]
_errands = schema.errands.c


def errand(tx: Tx, errand_id: ErrandId, seen: Visibility = EVERYWHERE) -> Errand:
    """Return one errand; `NotFoundError` (`errand.not_found`) if there is none that may be seen.

    It is seen where its device stood when it was ordered, and where that stands now.
    """
    row = None
    if well_formed(errand_id):
        row = tx.first(sa.select(*tables.ERRAND).where(_errands.id == errand_id, _seen(seen)))
    if row is None:
        raise _none()
    return tables.errand(row)


def errands(
    tx: Tx, seen: Visibility, *, limit: int | None = 100, before: str = "", **wanted: Unpack[Wanted]
) -> list[Errand]:
    """Return the errands that are wanted, newest first; `before` is the id of the last one had (paging)."""
    chosen = [_seen(narrowed(seen, wanted.get("scope", ROOT)))]
    if "device" in wanted:
        chosen.append(_errands.device == wanted["device"] if well_formed(wanted["device"]) else sa.false())
    if wanted.get("states"):
        chosen.append(_errands.state.in_([each.value for each in wanted["states"]]))
    if before:
        chosen.append(_errands.id < before)
    newest = sa.select(*tables.ERRAND).where(*chosen).order_by(_errands.id.desc()).limit(limit)
    return [tables.errand(row) for row in tx.all(newest)]


def refusals(tx: Tx, device: Device) -> dict[Kind, ConflictError | None]:
    """Return why this device would be ordered no errand now, by kind; None where it may be, by `decide.refusal`."""
    tagged = _tagged(tx, device)
    return {kind: decide.refusal(device, kind, tagged) for kind in Kind}


def refusal(tx: Tx, device: Device, kind: Kind) -> ConflictError | None:
    """Return why this device is ordered no errand of this kind now, as `decide.refusal` has it; None if it may be."""
    return decide.refusal(device, kind, _tagged(tx, device) if kind in decide.STOPS else ())


def waiting(tx: Tx, device: DeviceId) -> list[Errand]:
    """Return the errands that this device is to be ordered, the oldest first."""
    here = (_errands.device == device, _errands.state == State.WAITING.value)
    return [tables.errand(row) for row in tx.all(sa.select(*tables.ERRAND).where(*here).order_by(_errands.id))]


def open_for(tx: Tx, device: DeviceId, errand_id: ErrandId) -> Errand:
    """Return an errand of this device of which a file may come.

    Raises `NotFoundError` (`errand.not_found`) also for any other device's, `ConflictError` (`errand.ended`;
    `errand.content`: it brings no file).
    """
    found = errand(tx, errand_id)
    if found.device != device:
        raise _none()
    ending.open_for(found)
    return found


def known(tx: Tx, device: DeviceId, digests: Iterable[str]) -> set[str]:
    """Return those of `digests` that are of words of this device on errands that are kept already."""
    here = (_errands.device == device, _errands.digest.in_(list(digests)), _errands.digest != "")
    return {row.digest for row in tx.all(sa.select(_errands.digest).where(*here))}


def overdue(tx: Tx, now: datetime, limit: int) -> list[ErrandId]:
    """Return the ids of errands of which nothing is expected any more (`ending.overdue`), the oldest first."""
    here = (_errands.state == State.WAITING.value, _errands.until <= now - SILENT)
    return [ErrandId(row.id) for row in tx.all(sa.select(_errands.id).where(*here).order_by(_errands.id).limit(limit))]


def kept(tx: Tx, since: datetime) -> set[str]:
    """Return the digests of the files of errands that have not ended, or not before `since`."""
    here = (_errands.content != "", sa.or_(_errands.ended_at.is_(None), _errands.ended_at > since))
    return {row.content for row in tx.all(sa.select(_errands.content).where(*here).distinct())}


def _seen(seen: Visibility) -> Predicate:
    if ROOT in seen.prefixes:
        return sa.true()
    now = sa.select(schema.devices.c.id).where(access_queries.within(schema.devices.c.scope, seen))
    return sa.or_(access_queries.within(_errands.scope, seen), _errands.device.in_(now))


def _tagged(tx: Tx, device: Device) -> Sequence[str]:
    """Return who hung the tags that hang for a device: the plane's, and those it tells of as its own."""
    names = [one.name for one in fleet_queries.holds_for(tx, [device])[device.id]]
    if device.locked and device.status:
        status = msgspec.json.decode(device.status, type=Status)
        names += [f"{tag.name}, at the device" for tag in status.held if tag.by == "device"]
    return names


def _none() -> NotFoundError:
    return NotFoundError(
        "errand.not_found", "There is no such small order, or not for you.", "List the small orders of the device."
    )
