# SPDX-License-Identifier: Apache-2.0
"""Values and secrets of releases: `/api/v1/values`, `/api/v1/devices/ID/values`."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated

from litestar import Router, get, post
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter, SkipValidation

from checkvalve.ids import DeviceId, well_formed
from checkvalve.protocol import api, config
from checkvalve.server.access import decide
from checkvalve.server.access.model import ROOT, Permission, Visibility
from checkvalve.server.audit.model import Act
from checkvalve.server.db.database import Tx
from checkvalve.server.fleet import queries as fleet_queries
from checkvalve.server.identity import queries as identity_queries
from checkvalve.server.supply import queries as supply_queries
from checkvalve.server.targeting import queries as targeting_queries
from checkvalve.server.targeting import selector as selectors
from checkvalve.server.values import actions as value_actions
from checkvalve.server.values import queries as value_queries
from checkvalve.server.values.model import DEVICE, Change, Entry, Filled, Key, Kind, Use, Wanted
from checkvalve.server.web.api import value_answers as answers
from checkvalve.server.web.api.paging import USUAL, After, Before, Limit, Within, Word, last, stretch
from checkvalve.server.web.calls import NO_ID, Call, Called, Place, in_scope

AT_ONCE = 500  # devices that are looked at before the next ones

At = Annotated[
    str | None,
    QueryParameter(name="place", max_length=400, pattern=r"^(device:)?[0-9a-z/]*\Z", description="Set exactly here."),
]
Line = Annotated[
    str | None,
    QueryParameter(max_length=100, pattern=api.TEXT, description="For releases of this name; empty: for all."),
]
Selector = Annotated[str, QueryParameter(max_length=2_000, pattern=api.TEXT, description="Which devices; empty: all.")]
ReleaseName = Annotated[
    str,
    QueryParameter(
        max_length=400, pattern=api.TEXT, description="NAME@VERSION or NAME@sha256:…; empty: the one that runs."
    ),
]
Read = Callable[..., list[Entry]]


@dataclass(frozen=True, slots=True)
class Asked:
    """What both lists are narrowed by."""

    within: str
    wanted: value_queries.Wanted
    limit: int
    before: str


def _asked(
    *,
    within: Within = ROOT,
    place: At = None,
    line: Line = None,
    kind: FromQuery[Kind | None] = None,
    name: Word = "",
    limit: Limit = USUAL,
    before: Before = "",
) -> Asked:
    wanted = value_queries.Wanted(place=_place(place), line=line, kind=kind, name=name)
    return Asked(within, wanted, limit, last(before))


Narrowed = NamedDependency[SkipValidation[Asked]]
_NARROWED = {"asked": Provide(_asked, sync_to_thread=False)}


@get(
    "/values",
    opt={"permission": Permission.VALUE_READ},
    dependencies=_NARROWED,
    summary="Values that are set, newest first",
)
async def listed(call: Called, asked: Narrowed) -> api.Page[config.Value]:
    """List what is set now; what a secret holds is not shown."""
    return await _page(call, value_queries.current, asked)


@get(
    "/values/history",
    opt={"permission": Permission.VALUE_READ},
    dependencies=_NARROWED,
    summary="Everything ever set, newest first",
)
async def history(call: Called, asked: Narrowed) -> api.Page[config.Value]:
    """List what was set and taken away, by whom and when."""
    return await _page(call, value_queries.history, asked)


@get("/values/differences", opt={"permission": Permission.VALUE_READ}, summary="What a rollout would change, by device")
async def differences(
    call: Called,
    *,
    within: Within = ROOT,
    selector: Selector = "all",
    release: ReleaseName = "",
    limit: Limit = USUAL,
    after: After = "",
) -> api.Page[config.DeviceValues]:
    """List devices for which a rollout would change values, or would be refused for them; in the order of their ids.

    Without `release` it is the one that each device runs.
    """
    expr = selectors.parse(selector or "all")

    def look(tx: Tx, seen: Visibility) -> list[config.DeviceValues]:
        if not seen.prefixes:
            return []
        wanted = supply_queries.named(tx, within, release) if release else None
        means = {one.id: one for path in seen.prefixes for one in targeting_queries.select(tx, path, expr)}
        devices = [one for ident, one in sorted(means.items()) if ident > last(after)]
        found: list[config.DeviceValues] = []
        for begin in range(0, len(devices), AT_ONCE):
            filled = value_queries.effective(tx, devices[begin : begin + AT_ONCE], wanted)
            differ = [one for one in filled if one.matters]
            names = value_queries.names(tx, [row.place for one in differ for row in one.rows])
            people = _people(tx, differ)
            answered = [answers.filled(one, names, people, differing=True) for one in differ]
            found += sorted(answered, key=lambda one: one.device)
            if len(found) > limit:
                break
        return found[: limit + 1]

    found = await call.ask("values", look, scope=within)
    return stretch(found, limit, lambda one: one.device, lambda one: one)


@post("/values", opt={"permission": Permission.VALUE_SET}, status_code=200, summary="Set values at a place")
async def set_(call: Called, data: JSONBody[config.SetValues]) -> config.ChangedValues:
    """Set values, or take them away; a rollout brings them to devices."""
    place = _place(data.place) or ROOT
    wanted = [Wanted(Key(one.line, Kind(one.kind), one.name), one.content) for one in data.changes]
    keys = [one.key for one in wanted]
    subject, at = value_queries.subject(place), _at(data.place)
    here = call.plane

    def used(tx: Tx) -> list[Use]:
        scope = value_queries.scope(tx, place)
        reach = call.reach(tx).get(Permission.DEVICE_READ, Visibility(()))
        within = bool(decide.narrowed(reach, scope).prefixes) and scope.startswith(reach.prefixes)
        return value_queries.uses(tx, place, scope, keys) if within else []

    def look(tx: Tx) -> config.ChangedValues:
        changes = value_queries.changes(tx, place, value_queries.scope(tx, place), wanted, data.note)
        return answers.changed(changes, used(tx), dry_run=True)

    def change(tx: Tx, act: Act) -> config.ChangedValues:
        there = value_queries.at(tx, place, keys)
        made = {one.key for one in value_actions.set_(tx, act, place, wanted, here.new_id, here.values, data.note)}
        changes = [Change(one, there.get(one.key)) for one in wanted if one.key in made]
        return answers.changed(changes, used(tx), dry_run=False)

    if data.dry_run:
        return await call.may("values.set", subject, at, look)
    return await call.act("values.set", subject, at, change, reason=data.note)


@get("/devices/{device_id:str}/values", opt={"permission": Permission.VALUE_READ}, summary="What a release gets there")
async def of_device(call: Called, device_id: FromPath[str], release: ReleaseName = "") -> config.DeviceValues:
    """Answer with what each declared name gets on a device, where that is set, and what is there now."""
    wanted = DeviceId(device_id if well_formed(device_id) else NO_ID)

    def look(tx: Tx, seen: Visibility) -> config.DeviceValues:
        device = fleet_queries.device(tx, wanted, seen)
        named = supply_queries.named(tx, device.scope, release) if release else None
        found = value_queries.filled(tx, device, named)
        names = value_queries.names(tx, [row.place for row in found.rows])
        return answers.filled(found, names, _people(tx, [found]))

    return await call.ask("values", look)


async def _page(call: Call, read: Read, asked: Asked) -> api.Page[config.Value]:
    def look(tx: Tx, seen: Visibility) -> list[config.Value]:
        found = read(tx, seen, limit=asked.limit + 1, before=asked.before, **asked.wanted)
        names = value_queries.names(tx, [one.place for one in found])
        people = identity_queries.names(tx, (one.made_by for one in found))
        return [answers.value(one, names, people) for one in found]

    found = await call.ask("values", look, scope=asked.within)
    return stretch(found, asked.limit, lambda one: one.id, lambda one: one)


def _people(tx: Tx, found: Iterable[Filled]) -> dict[str, str]:
    """Return what those are called who set what fills releases."""
    entries = (row.entry for one in found for row in one.rows)
    return identity_queries.names(tx, (entry.made_by for entry in entries if entry))


def _place(text: str | None) -> str:
    """Return a place as the room has it, empty for none; a device's id may stand alone."""
    return DEVICE + text.removeprefix(DEVICE) if text and not text.startswith("/") else text or ""


def _at(text: str) -> Place:
    """Return where a right to a place must be held."""
    if text.startswith("/"):
        return in_scope(text)
    return Place(lambda tx, ident: (fleet_queries.device(tx, DeviceId(ident)).scope,), text.removeprefix(DEVICE))


router = Router("/", route_handlers=[listed, history, differences, set_, of_device], tags=["values"])
