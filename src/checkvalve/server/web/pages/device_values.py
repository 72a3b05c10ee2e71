# SPDX-License-Identifier: Apache-2.0
"""What fills the release that runs on a device: each name with its value, where that was set, and whether it runs."""

from checkvalve.server.access.model import Permission
from checkvalve.server.fleet.model import Device
from checkvalve.server.values import queries as value_queries
from checkvalve.server.values.model import DEVICE, Effective, Kind
from checkvalve.server.web import texts
from checkvalve.server.web.pages.release_view import plainly
from checkvalve.server.web.pages.values_view import SHORT, Places
from checkvalve.server.web.pages.view import Data, View


def shown(view: View, device: Device) -> Data | None:
    """Return the section; None where nothing is open, or the caller may not see values here."""
    if not view.may(Permission.VALUE_READ, device.scope):
        return None
    found = value_queries.effective(view.tx, [device])
    if not found or not found[0].rows:
        return None
    places = Places(view)
    may = view.may(Permission.VALUE_SET, device.scope)
    return {
        "items": [_row(places, one) for one in found[0].rows],
        "set_href": view.link("/values", device=device.id, line=found[0].release.name) + "#set" if may else "",
        "all_href": view.link("/values"),
        "place": DEVICE + device.id,
    }


def _row(places: Places, one: Effective) -> Data:
    secret = one.kind is Kind.SECRET
    text = (one.value or "").split("\n")[0]
    if one.lack:
        shape, word = "bad", plainly(one.lack)
    elif one.differs:
        shape, word = "waits", texts.say("device.values_differs")
    else:
        shape, word = "ok", texts.say("device.values_runs")
    origin = texts.say("device.values_default") if one.default else ""
    if one.place:
        origin = places.named(one.place)
    return {
        "name": plainly(one.name),
        "kind_word": texts.say(f"values.a_{one.kind.value}"),
        "value": texts.say("values.secret_shown") if secret and one.entry else plainly(text[:SHORT]),
        "sealed": secret,
        "missing": one.value is None,
        "origin": origin or texts.say("device.values_missing"),
        "shape": shape,
        "word": word,
    }
