# SPDX-License-Identifier: Apache-2.0
"""Rows of what is set and of what devices are given, without an entry: for actions of this room and of higher ones."""

import json
from collections.abc import Collection, Sequence
from datetime import datetime
from functools import lru_cache

import sqlalchemy as sa

from checkvalve.crypto import keys, seal
from checkvalve.errors import ConflictError
from checkvalve.protocol import values, workload
from checkvalve.server.db.database import Tx
from checkvalve.server.db.schema import device_values, value_entries, values_key
from checkvalve.server.fleet.model import Device
from checkvalve.server.values import fit, locking, queries
from checkvalve.server.values.model import Document, Entry, Kind
from checkvalve.server.values.nearest import named

_ADD = sa.insert(value_entries)


def put(tx: Tx, entries: Sequence[Entry]) -> None:
    """Add entries; each takes the place of what was set for the same at the same place.

    One without content takes that away and is itself never current.
    """
    table = value_entries.c
    for one in entries:
        same = (table.place == one.place, table.line == one.key.line, table.name == one.key.name)
        here = (*same, table.kind == one.key.kind.value, table.current)
        tx.run(sa.update(value_entries).where(*here).values(current=False))
        row = {
            "id": one.id,
            "place": one.place,
            "scope": one.scope,
            "line": one.key.line,
            "kind": one.key.kind.value,
            "name": one.key.name,
            "content": one.content,
            "current": one.content is not None,
            "made_by": one.made_by,
            "made_at": one.made_at,
            "note": one.note,
        }
        tx.run(_ADD, row)


def note_key(tx: Tx, fingerprint: str, at: datetime) -> None:
    """Note which key secrets are locked with from now on."""
    values = {"fingerprint": fingerprint, "noted_at": at}
    if tx.run(sa.update(values_key).values(**values)) == 0:
        tx.run(sa.insert(values_key).values(id="values", **values))


def document(
    tx: Tx,
    *,
    key: bytes,
    device: Device,
    attempt: str,
    release_digest: str,
    manifest: bytes,
    binding: str,
    at: datetime,
) -> Document:
    """Make and keep what a device is given for an attempt; asked again for the same, return what is kept.

    `binding` is JSON, `kind/name` -> entry, or empty. Raises `ConflictError` (`values.gone`), `InvalidError`
    (`seal.closed`, `values.size`).
    """
    kept = queries.made_for(tx, device.id, attempt)
    if kept is not None:
        return kept
    entries = _entries(tx, binding, _declared(manifest))
    made = _made(key, device, release_digest, entries)
    data = values.write(made)
    found = Document(device.id, values.digest(data), attempt, values.identity(made), data, at)
    if not made.secrets:  # then the bytes are those of an earlier attempt with the same values
        same = queries.documents(tx, {device.id: found.digest}).get(device.id)
        if same is not None:
            return same
    tx.run(sa.insert(device_values).values(**{name: getattr(found, name) for name in Document.__slots__}))
    return found


@lru_cache(maxsize=16)
def _declared(manifest: bytes) -> frozenset[str]:
    """Return what a release declares, as `kind/name`: a rollout asks it for each of thousands of devices."""
    return frozenset(fit.declares(workload.read(manifest)))


def _entries(tx: Tx, binding: str, declared: Collection[str]) -> list[Entry]:
    """Return what a binding names, of that what the release declares."""
    wanted: dict[str, str] = json.loads(binding) if binding else {}
    found = queries.by_id(tx, wanted.values())
    entries = {name: found.get(ident) for name, ident in wanted.items() if name in declared}
    for name, entry in entries.items():
        if entry is None or entry.content is None or named(entry.key.kind, entry.key.name) != name:
            raise ConflictError(
                "values.gone",
                f"What was to fill {name} is no longer there.",
                "Cancel the rollout, set the value again, and start another.",
            )
    return [entry for entry in entries.values() if entry is not None]


def _made(key: bytes, device: Device, release: str, entries: Sequence[Entry]) -> values.Values:
    def texts(kind: Kind) -> dict[str, str]:
        return {one.key.name: fit.text(one) for one in entries if one.key.kind is kind}

    recipient = keys.load_public(device.public)
    return values.Values(
        device=device.id,
        release=release,
        variables=texts(Kind.VARIABLE),
        files=texts(Kind.FILE),
        secrets={
            one.key.name: values.Sealed(
                version=one.id,
                data=seal.seal(recipient, locking.unlocked(key, one), values.context(device.id, one.key.name, one.id)),
            )
            for one in entries
            if one.key.kind is Kind.SECRET
        },
    )
