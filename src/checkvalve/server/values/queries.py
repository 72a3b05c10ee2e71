# SPDX-License-Identifier: Apache-2.0
"""Reading what is set, what it gives a release on devices, and what devices were given.

Secrets stay locked here. Ids and texts from outside may be anything; what nothing can be called finds nothing.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypedDict, TypeVar, Unpack

import sqlalchemy as sa

from checkvalve import lines as texts
from checkvalve.errors import ConflictError, InvalidError, NotFoundError
from checkvalve.ids import DeviceId, well_formed
from checkvalve.protocol import values, workload
from checkvalve.server.access import queries as access_queries
from checkvalve.server.access.decide import narrowed
from checkvalve.server.access.model import ROOT, Visibility
from checkvalve.server.db import schema
from checkvalve.server.db.database import Tx
from checkvalve.server.fleet import queries as fleet_queries
from checkvalve.server.fleet import trust
from checkvalve.server.fleet.model import Device, Trust
from checkvalve.server.supply import queries as supply_queries
from checkvalve.server.supply import tables as supply_tables
from checkvalve.server.supply.model import Release, State
from checkvalve.server.values import change, fit, nearest, tables
from checkvalve.server.values import effective as effects
from checkvalve.server.values.model import DEVICE, Bound, Change, Custody, Document, Entry, Filled, Key, Kind, Lack, Use
from checkvalve.server.values.model import Wanted as Asked
from checkvalve.server.values.tables import DOCUMENTS, ENTRIES

SLICE = 500  # places that one statement names at most
LOOKED_AT = 50  # published releases of a line that a value is held against

EVERYWHERE = Visibility((ROOT,))

T = TypeVar("T")


class Wanted(TypedDict, total=False):
    """Which entries a list holds; what is left out or empty asks for nothing."""

    scope: str  # those that stand in it now
    place: str  # exactly this one
    line: str | None  # "" are those for all lines
    kind: Kind | None
    name: str


# What fills a release


def bound(tx: Tx, release: Release, devices: Sequence[Device]) -> dict[DeviceId, Bound]:
    """Return what fills `release` on each of `devices`, and what it lacks there; nothing is unlocked.

    Few statements for ten thousand devices: what is set at a scope is looked at once for all that stand in it.
    """
    manifest = workload.read(release.manifest)
    if not manifest.open:
        return {device.id: Bound({}) for device in devices}
    at = _at(tx, release.name, {name for _, name, _ in fit.declares(manifest).values()}, devices)
    judge = _Judge(manifest)
    above: dict[str, Bound] = {}
    found: dict[DeviceId, Bound] = {}
    for device in devices:
        if device.scope not in above:
            shared = nearest.winners(nearest.places(device.scope), release.name, at)
            above[device.scope] = judge.bound(shared)
        own = nearest.winners((DEVICE + device.id,), release.name, at)
        found[device.id] = judge.bound({**above[device.scope].entries, **own}) if own else above[device.scope]
    return found


class _Judge:
    """Looks at each distinct set of values once."""

    def __init__(self, manifest: workload.Manifest) -> None:
        self._manifest = manifest
        self._declared = fit.declares(manifest)
        self._known: dict[tuple[tuple[str, str], ...], tuple[Lack, ...]] = {}

    def bound(self, entries: Mapping[str, Entry]) -> Bound:
        """Return the entries that the release declares, with what is lacking."""
        wanted = {name: entry for name, entry in entries.items() if name in self._declared}
        given = fit.given(wanted)
        same = tuple(sorted(given.items()))
        if same not in self._known:
            self._known[same] = fit.variables(self._manifest, given)
        return Bound(wanted, (*fit.missing(self._manifest, wanted), *self._known[same], *fit.size(wanted)))


def _at(tx: Tx, line: str, names: Iterable[str], devices: Sequence[Device]) -> dict[str, list[Entry]]:
    """Return what is set at the places of `devices`, by place."""
    scopes = {device.scope for device in devices}
    above = sorted({place for scope in scopes for place in nearest.places(scope)})
    found: dict[str, list[Entry]] = {}
    for places in sliced([*above, *(DEVICE + device.id for device in devices)]):
        here = (ENTRIES.current, ENTRIES.place.in_(places), ENTRIES.line.in_(("", line)), ENTRIES.name.in_(names))
        for row in tx.all(sa.select(*tables.ENTRY).where(*here)):
            found.setdefault(row.place, []).append(tables.entry(row))
    return found


# What devices were given


def identities(tx: Tx, devices: Sequence[Device]) -> dict[DeviceId, str]:
    """Return what the values mean that each device runs with: an identity of `protocol.values`, "" for none."""
    known = {
        (row.device, row.digest): row.identity
        for part in sliced([device for device in devices if device.given])
        for row in tx.all(
            sa.select(DOCUMENTS.device, DOCUMENTS.digest, DOCUMENTS.identity).where(
                DOCUMENTS.device.in_([device.id for device in part]),
                DOCUMENTS.digest.in_([device.given for device in part]),
            )
        )
    }
    return {device.id: known.get((device.id, device.given), values.NONE) for device in devices}


def document(tx: Tx, device: DeviceId, digest: str) -> Document:
    """Return what a device was given; `NotFoundError` (`values.not_found`), also where it was for another device."""
    found = documents(tx, {device: digest}).get(device)
    if found is None:
        raise NotFoundError("values.not_found", "This device was given no such values.", "Ask for its orders again.")
    return found


def documents(tx: Tx, given: Mapping[DeviceId, str]) -> dict[DeviceId, Document]:
    """Return the document of each device by its digest, as far as there is one."""
    asked = [(device, digest) for device, digest in given.items() if well_formed(device) and texts.plain(digest)]
    found: dict[DeviceId, Document] = {}
    for part in sliced(asked):
        here = (DOCUMENTS.device.in_([one for one, _ in part]), DOCUMENTS.digest.in_([one for _, one in part]))
        rows = map(tables.document, tx.all(sa.select(*tables.DOCUMENT).where(*here)))
        found |= {one.device: one for one in rows if given[one.device] == one.digest}
    return found


def made_for(tx: Tx, device: DeviceId, attempt: str) -> Document | None:
    """Return the document that was made for an attempt of a device already."""
    here = (DOCUMENTS.device == device, DOCUMENTS.attempt == attempt)
    row = tx.first(sa.select(*tables.DOCUMENT).where(*here))
    return None if row is None else tables.document(row)


# What is set


def by_id(tx: Tx, ids: Iterable[str]) -> dict[str, Entry]:
    """Return entries by id, locked contents with them."""
    rows = (row for part in sliced(list(ids)) for row in tx.all(sa.select(*tables.ENTRY).where(ENTRIES.id.in_(part))))
    return {row.id: tables.entry(row) for row in rows}


def at(tx: Tx, place: str, keys: Iterable[Key]) -> dict[Key, Entry]:
    """Return what is set for these at exactly one place, locked contents with it."""
    names = {key.name for key in keys}
    here = (ENTRIES.current, ENTRIES.place == place, ENTRIES.name.in_(names))
    found = map(tables.entry, tx.all(sa.select(*tables.ENTRY).where(*here)))
    return {one.key: one for one in found}


def current(
    tx: Tx, seen: Visibility, *, limit: int | None = 100, before: str = "", **wanted: Unpack[Wanted]
) -> list[Entry]:
    """Return what is set now, newest first; `before` is the id of the last one had (paging).

    The content of a secret is b"" here, and in `history` too.
    """
    return list(_listed(tx, seen, limit, before, wanted, ENTRIES.current))


def history(
    tx: Tx, seen: Visibility, *, limit: int | None = 100, before: str = "", **wanted: Unpack[Wanted]
) -> list[Entry]:
    """Return every entry there ever was, newest first; one that took a value away has the content None."""
    return list(_listed(tx, seen, limit, before, wanted))


def _listed(
    tx: Tx, seen: Visibility, limit: int | None, before: str, wanted: Wanted, *besides: sa.ColumnElement[bool]
) -> Iterator[Entry]:
    """Yield entries that stand where they may be seen: one of a device stands where that stands now."""
    devices = schema.devices.c
    now = sa.func.coalesce(devices.scope, ENTRIES.scope)
    of_device = ENTRIES.place == sa.literal(DEVICE).concat(devices.id)
    chosen = [access_queries.within(now, narrowed(seen, wanted.get("scope", ROOT))), *besides]
    kind, line = wanted.get("kind"), wanted.get("line")
    asked = {"place": wanted.get("place") or None, "name": wanted.get("name") or None, "line": line}
    asked |= {"kind": None if kind is None else kind.value}
    for column, value in asked.items():
        if value is not None:
            chosen.append(ENTRIES[column] == value if texts.plain(value) else sa.false())
    if before:
        chosen.append(ENTRIES.id < before)
    found = sa.select(*tables.SHOWN, now.label("stands")).select_from(
        schema.value_entries.outerjoin(schema.devices, of_device)
    )
    newest = found.where(*chosen).order_by(ENTRIES.id.desc()).limit(limit)
    yield from map(tables.entry, tx.all(newest))


# What a change would be, and what it is for


def scope(tx: Tx, place: str) -> str:
    """Return where a right to values at a place must be held: the scope itself, or where the device stands now.

    Raises `NotFoundError` (`scope.not_found`, `device.not_found`), `ConflictError` (`device.already_retired`),
    `InvalidError` (`values.place`).
    """
    if place.startswith(DEVICE):
        device = fleet_queries.device(tx, DeviceId(place.removeprefix(DEVICE)))
        trust.not_retired(device)
        return device.scope
    node = access_queries.at(tx, place if texts.plain(place) else "//")  # no engine is asked for a NUL
    if node is None:
        raise InvalidError(
            "values.place",
            "Values are set in an organisation or below it, or at a device.",
            "Name the organisation, the site, the area or the device.",
        )
    return node.path


def subject(place: str) -> str:
    """Return how the record names a place: `device:ID` or `scope:ID`."""
    return place if place.startswith(DEVICE) else f"scope:{place.strip('/').rpartition('/')[2]}"


def changes(
    tx: Tx,
    place: str,
    scope: str,
    wanted: Sequence[Asked],
    note: str = "",
    holds: Callable[[Entry, bytes], bool] | None = None,
) -> list[Change]:
    """Return what setting these at a place that lies in `scope` would change; nothing is changed.

    `holds` is as `change.differs` has it. Raises what `change` raises.
    """
    change.check(wanted, note)
    releases = {line: _published(tx, scope, line) for line in {one.key.line for one in wanted} if line}
    for one in wanted:
        change.fits(one, releases.get(one.key.line, ()))
    there = at(tx, place, [one.key for one in wanted])
    return [Change(one, there.get(one.key)) for one in wanted if change.differs(one, there.get(one.key), holds)]


def _published(tx: Tx, scope: str, line: str) -> list[tuple[str, workload.Manifest]]:
    """Return the newest published releases of a line that devices in `scope` may take, as name and manifest."""
    found = supply_queries.releases(tx, EVERYWHERE, limit=LOOKED_AT, name=line, state=State.PUBLISHED)
    return [
        (f"{one.name} {one.version}", workload.read(one.manifest))
        for one in found
        if not one.below_floor and (one.scope.startswith(scope) or scope.startswith(one.scope))
    ]


def uses(tx: Tx, place: str, scope: str, keys: Sequence[Key]) -> list[Use]:
    """Return the releases that run on devices of a place and declare one of `keys`, with how many devices."""
    devices = schema.devices.c
    here = (
        devices.id == place.removeprefix(DEVICE)
        if place.startswith(DEVICE)
        else access_queries.within(devices.scope, Visibility((scope,)))
    )
    counted = sa.select(devices.active, sa.func.count().label("number")).where(
        here, devices.trust != Trust.RETIRED.value, devices.active != ""
    )
    number = {row.active: row.number for row in tx.all(counted.group_by(devices.active))}
    found = []
    for digest, release in _running(tx, number).items():
        declared = fit.declares(workload.read(release.manifest))
        if any(key.line in ("", release.name) and nearest.named(key.kind, key.name) in declared for key in keys):
            found.append(Use(release.name, release.version, number[digest]))
    return sorted(found, key=lambda one: (-one.devices, one.name, one.version))


def _running(tx: Tx, digests: Iterable[str]) -> dict[str, Release]:
    """Return a release of each digest; of several with one digest any: they have one manifest."""
    return {
        one.digest: one
        for part in sliced(sorted(digests))
        for one in supply_tables.releases(tx, schema.releases.c.digest.in_(part))
    }


def effective(tx: Tx, devices: Sequence[Device], release: Release | None = None) -> list[Filled]:
    """Return what a release, the one that each device runs if none is named, gets on each device, and what is there.

    A device that runs none, or one that the plane does not know, is left out if none is named.
    """
    running = _running(tx, {device.active for device in devices if device.active})
    by_release: dict[str, tuple[Release, list[Device]]] = {}
    for device in devices:
        taken = release or running.get(device.active)
        if taken is not None:
            by_release.setdefault(taken.digest, (taken, []))[1].append(device)
    manifests = {one.digest: workload.read(one.manifest) for one in [*running.values(), *filter(None, (release,))]}
    given = documents(tx, {device.id: device.given for device in devices if device.given})
    found = []
    for taken, group in by_release.values():
        fills = bound(tx, taken, group)
        for device in group:
            document = given.get(device.id)
            runs = None if document is None else values.read(document.document)
            rows = effects.rows(manifests[taken.digest], fills[device.id], manifests.get(device.active), runs)
            found.append(Filled(device, taken, rows, fills[device.id].lacks))
    return found


def filled(tx: Tx, device: Device, release: Release | None = None) -> Filled:
    """Return what a release, or the one it runs, gets on a device; `ConflictError` (`values.no_release`)."""
    found = effective(tx, [device], release)
    if not found:
        raise ConflictError(
            "values.no_release", f"{device.name} runs no release of this plane yet.", "Name the release to look at."
        )
    return found[0]


def custody(tx: Tx) -> Custody:
    """Return which key secrets are locked with, as far as that is known."""
    return Custody(noted_key(tx), next(iter(secrets(tx, limit=1)), None))


def noted_key(tx: Tx) -> str:
    """Return the fingerprint of the key that secrets are locked with, empty if none was noted yet."""
    noted: str | None = tx.scalar(sa.select(schema.values_key.c.fingerprint))
    return noted or ""


def secrets(tx: Tx, *, limit: int | None = None) -> list[Entry]:
    """Return the secrets that are set now, as they lie: locked; newest first."""
    here = (ENTRIES.kind == Kind.SECRET.value, ENTRIES.current)
    found = sa.select(*tables.ENTRY).where(*here).order_by(ENTRIES.id.desc()).limit(limit)
    return [tables.entry(row) for row in tx.all(found)]


def names(tx: Tx, places: Iterable[str]) -> dict[str, str]:
    """Return places in words: the names down to a scope, and the name of a device."""
    wanted = sorted({place for place in places if place})
    found = {place: "/".join(access_queries.names(tx, place)) for place in wanted if not place.startswith(DEVICE)}
    devices = schema.devices.c
    for part in sliced([place.removeprefix(DEVICE) for place in wanted if place.startswith(DEVICE)]):
        rows = tx.all(sa.select(devices.id, devices.name).where(devices.id.in_(part)))
        found |= {DEVICE + row.id: row.name for row in rows}
    return found


def sliced(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """Yield `items` in parts that one statement can name."""
    for begin in range(0, len(items), SLICE):
        yield items[begin : begin + SLICE]
