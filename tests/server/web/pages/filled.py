# SPDX-License-Identifier: Apache-2.0
"""What the water company has set: for all releases or one, at a site and a device; a file, a secret, a rotation."""

from collections.abc import Mapping
from datetime import date

from checkvalve.ids import ApprovalId, AssessmentId, DocumentId, GapId, PersonId, ReplyId, SupplierId
from checkvalve.server.access import queries as access_queries
from checkvalve.server.access.model import ROOT, Visibility
from checkvalve.server.audit.model import Act
from checkvalve.server.fleet import queries as fleet_queries
from checkvalve.server.scorecard import actions as score_actions
from checkvalve.server.scorecard.model import Gap, Reply, Said, Work
from checkvalve.server.scorecard.shipped import shipped
from checkvalve.server.suppliers import actions as supplier_actions
from checkvalve.server.suppliers import shipped as shipped_documents
from checkvalve.server.suppliers.model import Document, Supplier
from checkvalve.server.suppliers.model import Kind as Clause
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
    """Assess the company twice, and put steps into its plan; begin with a site, where people differ."""
    places = estate.db.read_now("scopes", access_queries.listed, Visibility((ROOT,)))
    olof, ada = estate.people["olof"].id, estate.people["ada"].id
    before = {question.id: Said(str(1 + number % 3)) for number, question in enumerate(shipped().questions)}
    now = {question.id: Said(str(2 + number % 3)) for number, question in enumerate(shipped().questions)}
    now |= dict.fromkeys(("RE1", "RE2", "RE3"), Said.LITTLE) | dict.fromkeys(("RE4", "PM5", "AA2"), Said.NOT_SURE)
    now |= dict.fromkeys(("OR4", "AI2"), Said.NOT_SURE)
    for answers, ago in ((before, 60 * 24 * 90), (now, 60)):
        there = _assessed(estate, places[0].path, olof, answers, ago)
        ended = {"device": 640}
        estate.db.write_now("close", score_actions.close, _act(estate, olof, ago), there, olof, ended, 29)
    site = next(place.path for place in places if place.name == "Visby")
    few = {question.id: Said.MOSTLY for question in shipped().questions[:7]}
    there = _assessed(estate, site, olof, few, 30)
    said = Reply(ReplyId(estate.new_id(20)), there, "PM2", ada, Said.LITTLE, "", "Not on line A.", estate.plane.now())
    estate.db.write_now("reply", score_actions.reply, _act(estate, ada, 20), said)
    _planned(estate, places[0].path, olof)


def _assessed(estate: Estate, scope: str, person: PersonId, answers: Mapping[str, Said], ago: int) -> AssessmentId:
    ident, act = AssessmentId(estate.new_id(ago)), _act(estate, person, ago)
    estate.db.write_now("open", score_actions.open, act, ident, person, scope, "", shipped())
    for question, word in answers.items():
        said = Reply(ReplyId(estate.new_id(ago)), ident, question, person, word, "", "", act.at)
        estate.db.write_now("reply", score_actions.reply, _act(estate, person, ago), said)
    return ident


def _act(estate: Estate, person: PersonId, ago: int) -> Act:
    login = next(login for login, one in estate.people.items() if one.id == person)
    return estate.act(estate.actor(login), ago)


def bought(estate: Estate) -> None:
    """Write a clause that waits for approval, and add two suppliers."""
    org, person, now = estate.places["Norra Water"], estate.people["olof"].id, estate.plane.now()
    title, text = shipped_documents.draft(Clause.CLAUSE)
    made = Document(
        DocumentId(estate.new_id(50)), org, Clause.CLAUSE, 0, title, text, "", None, person, now, person, now
    )
    drafted = estate.db.write_now("draft", supplier_actions.draft, _act(estate, person, 50), made)
    asked = (drafted.id, person, ApprovalId(estate.new_id(40)))
    estate.db.write_now("ask", supplier_actions.ask, _act(estate, person, 40), *asked)
    for name, supplies, end in (
        ("Pumpline AB", "Pumps and their gateways", date(2027, 6, 30)),
        ("Siltek", "SCADA", None),
    ):
        row = Supplier(SupplierId(estate.new_id(30)), org, name, "Ulla Ek", supplies, end, person, now, person, now)
        estate.db.write_now("add", supplier_actions.add, _act(estate, person, 30), row)


def _planned(estate: Estate, scope: str, person: PersonId) -> None:
    now = estate.plane.now()
    for step, due in (("re-1", date(2026, 10, 1)), ("re-2", date(2027, 3, 31)), ("pm-5", None)):
        gap = Gap(
            GapId(estate.plane.new_id()), scope, "", step, "", "Rut Ek", due, Work.OPEN, "", person, now, person, now
        )
        estate.db.write_now("plan", score_actions.plan, _act(estate, person, 0), gap, shipped())
