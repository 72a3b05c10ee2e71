# SPDX-License-Identifier: Apache-2.0
"""What the water company has set: for all releases or one, at a site and a device; a file, a secret, a rotation."""

from datetime import timedelta

from checkvalve.ids import AssessmentId, EntryId, GapId, ReplyId
from checkvalve.server.access import queries as access_queries
from checkvalve.server.access.model import ROOT, Visibility
from checkvalve.server.audit.model import Act, Actor
from checkvalve.server.fleet import queries as fleet_queries
from checkvalve.server.scorecard import actions as score_actions
from checkvalve.server.scorecard.model import Gap, Reply, Said, Work
from checkvalve.server.scorecard.shipped import shipped
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


def assessment(estate: Estate) -> None:
    """Let Olof assess the first organisation: one section low, five Not Sure, and two steps in the plan."""
    person, now = estate.people["olof"].id, estate.plane.now()
    scope = estate.db.read_now("scopes", access_queries.listed, Visibility((ROOT,)))[0].path
    actor = Actor("person", person, "olof")

    def act() -> Act:
        return Act(EntryId(estate.plane.new_id()), now, actor)

    ident = AssessmentId(estate.plane.new_id())
    estate.db.write_now("open", score_actions.open, act(), ident, person, scope, "", shipped())
    for question in shipped().questions:
        unsure = question.id in {"RE2", "RE3", "AA3", "AI2", "OR4"}
        word = Said.NOT_SURE if unsure else Said.LITTLE if question.section in {"RE", "PM"} else Said.MOSTLY
        said = Reply(ReplyId(estate.plane.new_id()), ident, question.id, person, word, "", "", now)
        estate.db.write_now("reply", score_actions.reply, act(), said)
    estate.db.write_now("close", score_actions.close, act(), ident, person, {"device": 640}, 29)
    for step, due in (("re-1", now.date() - timedelta(days=3)), ("pm-1", None)):
        gap = Gap(
            GapId(estate.plane.new_id()), scope, "", step, "", "Rut Ek", due, Work.OPEN, "", person, now, person, now
        )
        estate.db.write_now("plan", score_actions.plan, act(), gap, shipped())
