# SPDX-License-Identifier: Apache-2.0
"""How do values read as answers of the API? The forms are `protocol.config`; what a secret holds goes in none."""

from collections.abc import Mapping, Sequence

from checkvalve.protocol import config
from checkvalve.server.audit.compose import rfc3339
from checkvalve.server.values import change as changing
from checkvalve.server.values import fit
from checkvalve.server.values.model import DEVICE, Change, Effective, Entry, Filled, Kind, Use
from checkvalve.server.web.api.answers import time


def value(entry: Entry, names: Mapping[str, str], people: Mapping[str, str]) -> config.Value:
    """Answer with what somebody set; `names` are those of places, `people` of whoever set something."""
    secret = entry.key.kind is Kind.SECRET
    return config.Value(
        id=entry.id,
        place=place(entry.place),
        where=names.get(entry.place, place(entry.place)),
        kind=entry.key.kind.value,
        name=entry.key.name,
        line=entry.key.line,
        content=None if secret or entry.content is None else fit.text(entry),
        taken=entry.content is None,
        current=entry.current,
        made_by=entry.made_by,
        made_at=rfc3339(entry.made_at),
        note=entry.note,
        made_by_name=people.get(entry.made_by, ""),
    )


def changed(changes: Sequence[Change], uses: Sequence[Use], *, dry_run: bool) -> config.ChangedValues:
    """Answer with what was changed."""
    return config.ChangedValues(
        changed=[_changed(one) for one in changes],
        uses=[config.ValueUse(name=one.name, version=one.version, devices=one.devices) for one in uses],
        dry_run=dry_run,
    )


def filled(
    found: Filled, names: Mapping[str, str], people: Mapping[str, str], *, differing: bool = False
) -> config.DeviceValues:
    """Answer with what a release gets on a device, all of it or only what is `differing` or lacking."""
    return config.DeviceValues(
        device=found.device.id,
        device_name=found.device.name,
        scope=found.device.scope,
        release=found.release.name,
        version=found.release.version,
        digest=found.release.digest,
        values=[_row(row, names, people) for row in found.rows if row.differs or row.lack or not differing],
        lacks=[lack.sentence for lack in found.lacks],
    )


def place(text: str) -> str:
    """Return a place as clients write it."""
    return text.removeprefix(DEVICE)


def _changed(one: Change) -> config.ChangedValue:
    key, content = one.wanted.key, one.wanted.content
    return config.ChangedValue(
        kind=key.kind.value,
        name=key.name,
        line=key.line,
        before=None if one.before is None else changing.mark(key, one.before.content or b""),
        after=None if content is None else changing.mark(key, content.encode()),
    )


def _row(row: Effective, names: Mapping[str, str], people: Mapping[str, str]) -> config.DeviceValue:
    entry, secret = row.entry, row.kind is Kind.SECRET
    return config.DeviceValue(
        kind=row.kind.value,
        name=row.name,
        value=None if secret else row.value,
        runs=None if secret else row.runs,
        origin=_origin(row, names),
        place=place(row.place),
        line="" if entry is None else entry.key.line,
        differs=row.differs,
        lack=row.lack,
        made_by="" if entry is None else entry.made_by,
        made_at=time(None if entry is None else entry.made_at),
        made_by_name="" if entry is None else people.get(entry.made_by, ""),
    )


def _origin(row: Effective, names: Mapping[str, str]) -> str:
    if row.entry is not None:
        return names.get(row.place, place(row.place))
    return "default" if row.default else "missing"
