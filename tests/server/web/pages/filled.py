# SPDX-License-Identifier: Apache-2.0
"""What the water company has set: for all releases or one, at a site and a device; a file, a secret, a rotation."""

from checkvalve.server.access.model import ROOT, Visibility
from checkvalve.server.fleet import queries as fleet_queries
from checkvalve.server.values import actions as value_actions
from checkvalve.server.values.model import DEVICE, Entry, Key, Kind, Wanted
from tests.server.web.pages.estate import Estate

CONF = "[opcua]\nendpoint = opc.tcp://10.20.0.17:4840\npublish_ms = 500\n\n[historian]\nkeep_days = 90\n"


def values(estate: Estate) -> None:
    """Set some values, minutes and days ago."""
    org, site = estate.places["Norra Water"], estate.places["Norra Water/Visby"]
    found = estate.db.read_now("devices", fleet_queries.devices, Visibility((ROOT,)))
    device = next((DEVICE + one.id for one in found if one.name == "pump-08"), site)
    _set(estate, org, "NTP_SERVER", "10.0.0.123", ago=4_000)
    _set(estate, org, "opcua-password", "first-27182", Kind.SECRET, "pump-station", "MoC 4690", ago=3_900)
    _set(estate, site, "PLC_ADDRESS", "10.20.0.17", line="pump-station", note="MoC 4711", ago=1_500)
    _set(estate, site, "gateway.conf", CONF, Kind.FILE, "pump-station", "MoC 4711", ago=1_490)
    _set(estate, device, "PLC_ADDRESS", "10.20.0.71", line="pump-station", note="Second PLC in cabinet 3", ago=90)
    _set(estate, org, "opcua-password", "second-31415", Kind.SECRET, "pump-station", "Rotation, Q4", ago=12)


def _set(
    estate: Estate,
    place: str,
    name: str,
    content: str,
    kind: Kind = Kind.VARIABLE,
    line: str = "",
    note: str = "",
    *,
    ago: float,
) -> list[Entry]:
    wanted = [Wanted(Key(line, kind, name), content)]
    act = estate.act(estate.actor("olof"), ago)
    key = bytes(range(32))
    return estate.db.write_now("values", value_actions.set_, act, place, wanted, lambda: estate.new_id(ago), key, note)
