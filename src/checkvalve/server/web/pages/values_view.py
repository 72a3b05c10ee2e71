# SPDX-License-Identifier: Apache-2.0
"""What is set, as rows of a page. A secret's content is not even read for it."""

from checkvalve.errors import NotFoundError
from checkvalve.ids import DeviceId
from checkvalve.server.access.model import Permission
from checkvalve.server.fleet import queries as fleet_queries
from checkvalve.server.fleet.model import Device
from checkvalve.server.values.model import DEVICE, Entry, Kind
from checkvalve.server.web import texts
from checkvalve.server.web.pages import render
from checkvalve.server.web.pages.release_view import plainly
from checkvalve.server.web.pages.view import Data, View, known, when

SHORT = 80  # characters of a value in a table


class Places:
    """Names of places, each looked up once."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._devices: dict[str, Device | None] = {}

    def device(self, place: str) -> Device | None:
        """Return the device that a place is, None if it is none, or none that the caller may see."""
        if not place.startswith(DEVICE):
            return None
        if place not in self._devices:
            seen = self._view.reach.get(Permission.DEVICE_READ)
            ident = DeviceId(known(place.removeprefix(DEVICE)))
            try:
                self._devices[place] = fleet_queries.device(self._view.tx, ident, seen) if seen else None
            except NotFoundError:
                self._devices[place] = None
        return self._devices[place]

    def named(self, place: str) -> str:
        """Return a place in words."""
        device = self.device(place)
        if device is not None:
            return f"{self._view.where(device.scope)} / {plainly(device.name)}"
        return place if place.startswith(DEVICE) else self._view.where(place)

    def scope(self, entry: Entry) -> str:
        """Return the path at which rights on an entry are judged now."""
        device = self.device(entry.place)
        return entry.scope if device is None else device.scope


def row(view: View, places: Places, entry: Entry) -> Data:
    """Return one row of what is set."""
    where = places.named(entry.place)
    device = places.device(entry.place)
    name = plainly(entry.key.name)
    may = view.may(Permission.VALUE_SET, places.scope(entry))
    return {
        "id": entry.id,
        "name": name,
        "kind": entry.key.kind.value,
        "kind_word": texts.say(f"values.a_{entry.key.kind.value}"),
        "line": entry.key.line,
        "line_word": entry.key.line or texts.say("values.every_release"),
        "place": entry.place,
        "where": where,
        "where_href": view.link(f"/devices/{device.id}") if device else render.link("/values", scope=entry.place),
        **content(entry),
        "made_by": by(view, entry),
        "made_at": when(entry.made_at),
        "note": plainly(entry.note),
        "change_href": view.link("/values", change=entry.id) + "#set" if may else "",
        "change_what": texts.say("values.change_what", name=name, where=where),
        "unset": may,
        "unset_what": texts.say("values.unset_what", name=name, where=where),
    }


def told(view: View, places: Places, entry: Entry) -> Data:
    """Return one row of the history."""
    said = content(entry)["value"]
    if entry.content is None:
        words = texts.say("values.taken_away")
    elif entry.key.kind is Kind.SECRET:
        words = texts.say("values.was_sealed")
    else:
        words = texts.say("values.was_set", value=said)
    return {
        "id": entry.id,
        "name": plainly(entry.key.name),
        "kind_word": texts.say(f"values.a_{entry.key.kind.value}"),
        "line": entry.key.line,
        "where": places.named(entry.place),
        "words": words,
        "made_by": by(view, entry),
        "made_at": when(entry.made_at),
        "note": plainly(entry.note),
        "current": entry.current,
    }


def content(entry: Entry) -> Data:
    """Return a value for a table, and whole where it is longer."""
    if entry.key.kind is Kind.SECRET:
        return {"value": texts.say("values.secret_shown"), "whole": "", "sealed": True, "lines": ""}
    text = (entry.content or b"").decode()
    lines = text.split("\n")
    short = plainly(lines[0][:SHORT])
    cut = len(lines) > 1 or len(lines[0]) > SHORT
    counted = texts.count("values.lines", len(text.splitlines())) if len(lines) > 1 else ""
    return {"value": f"{short}…" if cut else short, "whole": text if cut else "", "sealed": False, "lines": counted}


def by(view: View, entry: Entry) -> str:
    """Return who set it."""
    return texts.say("values.by", who=plainly(view.person(entry.made_by)))
