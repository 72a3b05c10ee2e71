# SPDX-License-Identifier: Apache-2.0
"""Every route, every role, one's own organisation and another: what is expected follows from the roles' data."""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import httpx
import pytest

from checkvalve.server.access import roles
from checkvalve.server.access.model import Permission, ScopeKind
from checkvalve.server.audit.model import Kind
from checkvalve.server.db import dialect
from checkvalve.server.web import app
from checkvalve.server.web.auth import PUBLIC, Need
from tests.server.web import bought, filled, gear, goods, scored, sent
from tests.server.web.plant import PASSWORD, RELEASE, ROLES, Plant, User, without_ids

ABSENT = "0" * 25 + "1"
ARCHIVE = goods.archive()


@dataclass
class Cell:
    """One request: who asks, and in whose organisation the thing is."""

    plant: Plant
    user: User
    org: str
    ident: str = ""
    body: dict[str, Any] | None = None
    headers: dict[str, str] = field(default_factory=dict)
    archive: bytes | None = None
    media: str = "application/x-tar"
    query: dict[str, str] = field(default_factory=dict)

    @property
    def scope(self) -> str:
        return self.plant.organisations[self.org]


def _scope(cell: Cell) -> None:
    path = cell.plant.scope(cell.scope, ScopeKind.SITE, f"site {cell.plant.numbers()}")
    cell.ident, cell.body = path.split("/")[-2], {"name": f"renamed {cell.plant.numbers()}"}


def _person(cell: Cell) -> None:
    cell.ident = cell.plant.person(cell.scope).id


def _persons_password(cell: Cell) -> None:
    cell.ident, cell.body = cell.plant.person(cell.scope).id, {"password": "three rusty valves in a row"}


def _persons_name(cell: Cell) -> None:
    cell.ident, cell.body = cell.plant.person(cell.scope).id, {"name": f"renamed {cell.plant.numbers()}"}


def _binding(cell: Cell) -> None:
    cell.ident = cell.plant.bind(cell.plant.person(cell.scope), "viewer", cell.scope).id


def _new_binding(cell: Cell) -> None:
    cell.body = {"person": cell.plant.person(cell.scope).id, "role": "viewer", "scope": cell.scope}


def _drafted(cell: Cell) -> None:
    own = cell.org == cell.user.person.login.rpartition(".")[2]
    drafter = cell.user.person if own else cell.plant.person(cell.scope)
    cell.ident = cell.plant.rollout(cell.scope, drafter)[0]


def _ready(cell: Cell) -> None:
    site = gear.site(cell.plant, cell.scope)  # of its own: no other rollout is at work on its device
    gear.device(cell.plant, site)
    cell.ident, cell.body = cell.plant.rollout(site, cell.plant.person(cell.scope), 0, proposed=True)[0], {}


def _started(cell: Cell) -> None:
    _ready(cell)
    cell.plant.start(cell.ident)


def _paused(cell: Cell) -> None:
    _started(cell)
    cell.plant.pause(cell.ident)


def _approval(cell: Cell) -> None:
    cell.ident = cell.plant.rollout(cell.scope, cell.plant.person(cell.scope), proposed=True)[1]


def _vote(cell: Cell) -> None:
    _approval(cell)
    reader = cell.plant.users[cell.org, "viewer"]
    found = asyncio.run(_get(cell.plant, reader, f"/api/v1/approvals/{cell.ident}"))
    cell.body = {"choice": "approve", "digest": found.json()["digest"]}


def _entry(cell: Cell) -> None:
    cell.plant.scope(cell.scope, ScopeKind.SITE, f"site {cell.plant.numbers()}")
    cell.ident = cell.plant.entries()[0].id


def _site(cell: Cell) -> None:
    cell.body = {"scope": gear.site(cell.plant, cell.scope)}


def _invite(cell: Cell) -> None:
    cell.ident = gear.invite(cell.plant, gear.site(cell.plant, cell.scope))[0].id


def _known(cell: Cell) -> None:
    cell.ident = gear.known(cell.plant, cell.scope).id


def _device(cell: Cell) -> None:
    cell.ident = gear.device(cell.plant, cell.scope).id
    cell.body = {"reason": "The cabinet was found open."}


def _quarantined(cell: Cell) -> None:
    _device(cell)
    gear.quarantine(cell.plant, cell.ident)


def _running(cell: Cell) -> None:
    cell.ident = filled.running(cell.plant, cell.scope).id


def _values(cell: Cell) -> None:
    filled.value(cell.plant, cell.scope)


def _described(cell: Cell) -> None:
    _device(cell)
    cell.body = {"name": f"renamed {cell.plant.numbers()}"}


def _receipt(cell: Cell) -> None:
    cell.ident = gear.receipt(cell.plant, gear.known(cell.plant, cell.scope)).digest


def _hold(cell: Cell) -> None:
    cell.ident, cell.body = gear.hold(cell.plant, cell.scope).id, {"reason": "It is over."}


def _new_hold(cell: Cell) -> None:
    cell.body = {"scope": cell.scope, "reason": "The pump is open."}


def _able(cell: Cell) -> None:
    cell.ident, cell.body = sent.able(cell.plant, cell.scope).id, {"kind": "logs"}


def _errand(cell: Cell) -> None:
    cell.ident, cell.body = sent.order(cell.plant, sent.able(cell.plant, cell.scope).id).id, {"why": "It is over."}


def _fetched(cell: Cell) -> None:
    cell.ident = sent.fetched(cell.plant, sent.able(cell.plant, cell.scope).id).id


def _nothing(cell: Cell) -> None:
    del cell


def _own_session(cell: Cell) -> None:
    cell.plant.sign_in(cell.user.person)
    cell.ident = cell.plant.entries()[0].subject.partition(":")[2]


def _own_token(cell: Cell) -> None:
    cell.plant.token(cell.user.person)
    cell.ident = cell.plant.entries()[0].subject.partition(":")[2]


def _image(cell: Cell) -> None:
    cell.ident = goods.image(cell.plant, cell.scope).id


def _archive(cell: Cell) -> None:
    cell.archive = ARCHIVE


def _release(cell: Cell) -> None:
    cell.ident = goods.waiting(cell.plant, cell.org)[0].id


def _published(cell: Cell) -> None:
    cell.ident, cell.body = goods.published(cell.plant, cell.org).id, {"reason": "It leaks."}


def _new_release(cell: Cell) -> None:
    goods.ready(cell.plant, cell.scope)
    cell.body = {"scope": cell.scope, "source": goods.source(cell.plant)}


def _waiting(cell: Cell) -> None:
    cell.ident = goods.waiting(cell.plant, cell.org)[1].id


def _draft(cell: Cell) -> None:
    cell.ident = goods.drafted(cell.plant, cell.org)[1].id


def _signature(cell: Cell) -> None:
    draft = goods.drafted(cell.plant, cell.org)[1]
    cell.ident, cell.body = draft.id, goods.signature(draft)


def _file(cell: Cell) -> None:
    goods.trusted(cell.plant)
    cell.ident = "root.json"


def _sending(make: Callable[[Cell], dict[str, Any]]) -> Callable[[Cell], None]:
    def prepare(cell: Cell) -> None:
        cell.body = make(cell)

    return prepare


def _assessment(cell: Cell) -> None:
    cell.ident, cell.body = scored.opened(cell.plant, gear.site(cell.plant, cell.scope)).id, {"why": "The wrong site."}


def _new_assessment(cell: Cell) -> None:
    cell.body = {"scope": gear.site(cell.plant, cell.scope)}


def _answered(cell: Cell) -> None:
    _assessment(cell)
    scored.say_all(cell.plant, cell.ident)
    cell.body = {}


def _differing(cell: Cell) -> None:
    _assessment(cell)
    scored.say(cell.plant, cell.ident, "operator", "4")
    scored.say(cell.plant, cell.ident, "viewer", "1")
    cell.body = {"question": "PM1", "said": "2"}


def _assessment_reply(cell: Cell) -> None:
    _assessment(cell)
    cell.body = {"question": "PM1", "said": "2"}


def _linking(cell: Cell) -> None:
    _assessment(cell)
    cell.body = scored.LINK


def _filing(cell: Cell) -> None:
    _assessment(cell)
    cell.archive, cell.media = b"%PDF-1.7", "application/octet-stream"
    cell.query = {"question": "PM1", "name": "ports.pdf"}


def _filed(cell: Cell) -> None:
    _assessment(cell)
    cell.ident = scored.filed(cell.plant, cell.ident).id


def _gap_file(cell: Cell) -> None:
    _gap(cell)
    cell.ident = ""


def _compared(cell: Cell) -> None:
    site = gear.site(cell.plant, cell.scope)
    scored.closed(cell.plant, site)
    cell.ident = scored.opened(cell.plant, site).id


def _evidence(cell: Cell) -> None:
    _assessment(cell)
    cell.ident, cell.body = scored.backed(cell.plant, cell.ident).id, {"why": "Of another site."}


def _gap(cell: Cell) -> None:
    cell.ident, cell.body = scored.planned(cell.plant, cell.scope).id, {"state": "doing"}


def _supplier(cell: Cell) -> None:
    cell.ident, cell.body = bought.supplier(cell.plant, cell.scope).id, {"contact": "Ola"}


def _supplier_end(cell: Cell) -> None:
    _supplier(cell)
    cell.body = {"why": "Sold."}


def _supplier_said(cell: Cell) -> None:
    _supplier(cell)
    cell.body = {"document": bought.adopted(cell.plant, cell.scope, org=cell.org).id, "said": "agreed"}


def _document(cell: Cell) -> None:
    cell.ident = bought.drafted(cell.plant, cell.scope, org=cell.org).id
    cell.body = {"title": "Sovereignty", "text": "Data stay here."}


def _document_draft(cell: Cell) -> None:
    mine, voter = cell.user.person.id, cell.plant.users[cell.org, "access-approver"].person.id
    writer = mine if mine != voter else None  # the voter is to approve it, if the next one needs a new version
    cell.ident = bought.drafted(cell.plant, cell.scope, org=cell.org, writer=writer).id
    cell.body = {}


def _document_asked(cell: Cell) -> None:
    cell.ident, cell.body = bought.asked(cell.plant, cell.scope, org=cell.org).id, {}


def _document_ready(cell: Cell) -> None:
    cell.ident, cell.body = bought.ready(cell.plant, cell.scope, org=cell.org).id, {}


def _new_document(cell: Cell) -> None:
    bought.adopted(cell.plant, cell.scope, org=cell.org)
    cell.body = {"scope": cell.scope, "kind": "clause"}


def _new_supplier(cell: Cell) -> None:
    cell.body = {"scope": cell.scope, "name": f"Pumpline {cell.plant.numbers()}"}


def _new_gap(cell: Cell) -> None:
    cell.body = {"scope": gear.site(cell.plant, cell.scope), "step": "pm-1"}


def _estate_file(cell: Cell) -> None:
    site = gear.site(cell.plant, cell.scope)
    cell.archive, cell.media = f"site,kind,class,number,note\n{site},device,PLC,12,\n".encode(), "text/csv"


def _renewal(cell: Cell) -> None:
    goods.ready(cell.plant, cell.scope)
    cell.body = {"scope": cell.scope}


PREPARE: dict[tuple[str, str], Callable[[Cell], None]] = {
    ("GET", "/api/openapi.json"): _nothing,
    ("GET", "/api/v1/approvals"): _approval,
    ("GET", "/api/v1/approvals/{approval_id}"): _approval,
    ("POST", "/api/v1/approvals/{approval_id}/votes"): _vote,
    ("GET", "/api/v1/assessments"): _assessment,
    ("POST", "/api/v1/assessments"): _new_assessment,
    ("GET", "/api/v1/assessments/{assessment_id}"): _assessment,
    ("POST", "/api/v1/assessments/{assessment_id}/close"): _answered,
    ("GET", "/api/v1/assessments/{assessment_id}/comparison"): _compared,
    ("POST", "/api/v1/assessments/{assessment_id}/decisions"): _differing,
    ("POST", "/api/v1/assessments/{assessment_id}/drop"): _assessment,
    ("POST", "/api/v1/assessments/{assessment_id}/evidence"): _linking,
    ("POST", "/api/v1/assessments/{assessment_id}/files"): _filing,
    ("POST", "/api/v1/assessments/{assessment_id}/replies"): _assessment_reply,
    ("GET", "/api/v1/audit"): _entry,
    ("GET", "/api/v1/audit/{entry_id}"): _entry,
    ("GET", "/api/v1/audit/{entry_id}/raw"): _entry,
    ("GET", "/api/v1/bindings"): _binding,
    ("POST", "/api/v1/bindings"): _new_binding,
    ("DELETE", "/api/v1/bindings/{binding_id}"): _binding,
    ("GET", "/api/v1/devices"): _known,
    ("GET", "/api/v1/devices/{device_id}"): _known,
    ("PATCH", "/api/v1/devices/{device_id}"): _described,
    ("POST", "/api/v1/devices/{device_id}/accept"): _quarantined,
    ("POST", "/api/v1/devices/{device_id}/errands"): _able,
    ("GET", "/api/v1/devices/{device_id}/events"): _known,
    ("POST", "/api/v1/devices/{device_id}/quarantine"): _device,
    ("GET", "/api/v1/devices/{device_id}/receipts"): _known,
    ("POST", "/api/v1/devices/{device_id}/retire"): _device,
    ("GET", "/api/v1/devices/{device_id}/values"): _running,
    ("GET", "/api/v1/drafts"): _waiting,
    ("POST", "/api/v1/drafts"): _renewal,
    ("GET", "/api/v1/drafts/{draft_id}"): _waiting,
    ("POST", "/api/v1/drafts/{draft_id}/discard"): _draft,
    ("GET", "/api/v1/drafts/{draft_id}/payload"): _waiting,
    ("POST", "/api/v1/drafts/{draft_id}/signatures"): _signature,
    ("GET", "/api/v1/errands"): _errand,
    ("GET", "/api/v1/errands/{errand_id}"): _errand,
    ("POST", "/api/v1/errands/{errand_id}/cancel"): _errand,
    ("GET", "/api/v1/errands/{errand_id}/content"): _fetched,
    ("GET", "/api/v1/estate"): _nothing,
    ("POST", "/api/v1/estate"): _sending(
        lambda cell: {"scope": cell.scope, "kind": "device", "class": "PLC", "number": 12}
    ),
    ("GET", "/api/v1/estate/export"): _nothing,
    ("GET", "/api/v1/estate/history"): _nothing,
    ("POST", "/api/v1/estate/import"): _estate_file,
    ("GET", "/api/v1/evidence/{evidence_id}/content"): _filed,
    ("POST", "/api/v1/evidence/{evidence_id}/remove"): _evidence,
    ("GET", "/api/v1/documents"): _document,
    ("POST", "/api/v1/documents"): _new_document,
    ("GET", "/api/v1/documents/{document_id}"): _document,
    ("POST", "/api/v1/documents/{document_id}"): _document,
    ("POST", "/api/v1/documents/{document_id}/adopt"): _document_ready,
    ("POST", "/api/v1/documents/{document_id}/ask"): _document_draft,
    ("POST", "/api/v1/documents/{document_id}/take-back"): _document_asked,
    ("GET", "/api/v1/documents/{document_id}/text"): _document,
    ("GET", "/api/v1/frameworks"): _nothing,
    ("GET", "/api/v1/frameworks/checks"): _nothing,
    ("GET", "/api/v1/frameworks/requirements"): _nothing,
    ("GET", "/api/v1/suppliers"): _supplier,
    ("POST", "/api/v1/suppliers"): _new_supplier,
    ("GET", "/api/v1/suppliers/export"): _supplier,
    ("GET", "/api/v1/suppliers/sovereignty"): _document,
    ("GET", "/api/v1/suppliers/{supplier_id}"): _supplier,
    ("POST", "/api/v1/suppliers/{supplier_id}"): _supplier,
    ("POST", "/api/v1/suppliers/{supplier_id}/agreements"): _supplier_said,
    ("POST", "/api/v1/suppliers/{supplier_id}/end"): _supplier_end,
    ("GET", "/api/v1/gaps"): _gap,
    ("POST", "/api/v1/gaps"): _new_gap,
    ("GET", "/api/v1/gaps/export"): _gap_file,
    ("POST", "/api/v1/gaps/{gap_id}"): _gap,
    ("GET", "/api/v1/holds"): _hold,
    ("POST", "/api/v1/holds"): _new_hold,
    ("POST", "/api/v1/holds/{hold_id}/lift"): _hold,
    ("GET", "/api/v1/images"): _image,
    ("POST", "/api/v1/images"): _archive,
    ("GET", "/api/v1/images/{image_id}"): _image,
    ("DELETE", "/api/v1/images/{image_id}"): _image,
    ("GET", "/api/v1/invites"): _invite,
    ("POST", "/api/v1/invites"): _site,
    ("DELETE", "/api/v1/invites/{invite_id}"): _invite,
    ("GET", "/api/v1/me"): _nothing,
    ("POST", "/api/v1/me/password"): _sending(lambda _: {"old": PASSWORD, "new": PASSWORD}),
    ("GET", "/api/v1/me/sessions"): _nothing,
    ("DELETE", "/api/v1/me/sessions/{session_id}"): _own_session,
    ("GET", "/api/v1/me/tokens"): _nothing,
    ("POST", "/api/v1/me/tokens"): _sending(
        lambda cell: {"label": "ci", "ends_at": (cell.plant.time + timedelta(days=1)).isoformat()}
    ),
    ("DELETE", "/api/v1/me/tokens/{token_id}"): _own_token,
    ("GET", "/api/v1/people"): _person,
    ("POST", "/api/v1/people"): _sending(
        lambda cell: {
            "login": f"new.{cell.plant.numbers()}",
            "name": "New",
            "home": cell.scope,
            "password": "three rusty valves in a row",
        }
    ),
    ("GET", "/api/v1/people/{person_id}"): _person,
    ("POST", "/api/v1/people/{person_id}/disable"): _person,
    ("POST", "/api/v1/people/{person_id}/enable"): _person,
    ("POST", "/api/v1/people/{person_id}/name"): _persons_name,
    ("POST", "/api/v1/people/{person_id}/password"): _persons_password,
    ("GET", "/api/v1/receipts/{digest}"): _receipt,
    ("GET", "/api/v1/releases"): _release,
    ("POST", "/api/v1/releases"): _new_release,
    ("POST", "/api/v1/releases/check"): _new_release,
    ("GET", "/api/v1/releases/{release_id}"): _release,
    ("GET", "/api/v1/releases/{release_id}/differences"): _release,
    ("POST", "/api/v1/releases/{release_id}/floor"): _published,
    ("GET", "/api/v1/releases/{release_id}/manifest"): _release,
    ("GET", "/api/v1/releases/{release_id}/source"): _release,
    ("POST", "/api/v1/releases/{release_id}/withdraw"): _published,
    ("GET", "/api/v1/roles"): _nothing,
    ("GET", "/api/v1/rollouts"): _drafted,
    ("POST", "/api/v1/rollouts"): _sending(
        lambda cell: {"scope": cell.scope, "name": "r", "release": RELEASE, "selector": "all"}
    ),
    ("GET", "/api/v1/rollouts/{rollout_id}"): _drafted,
    ("POST", "/api/v1/rollouts/{rollout_id}/cancel"): _drafted,
    ("GET", "/api/v1/rollouts/{rollout_id}/devices"): _drafted,
    ("POST", "/api/v1/rollouts/{rollout_id}/pause"): _started,
    ("GET", "/api/v1/rollouts/{rollout_id}/plan"): _drafted,
    ("GET", "/api/v1/rollouts/{rollout_id}/progress"): _drafted,
    ("POST", "/api/v1/rollouts/{rollout_id}/propose"): _drafted,
    ("POST", "/api/v1/rollouts/{rollout_id}/resume"): _paused,
    ("POST", "/api/v1/rollouts/{rollout_id}/start"): _ready,
    ("GET", "/api/v1/rollouts/{rollout_id}/undo"): _drafted,
    ("POST", "/api/v1/rollouts/{rollout_id}/undo"): _started,
    ("GET", "/api/v1/scopes"): _scope,
    ("POST", "/api/v1/scopes"): _sending(
        lambda cell: {"parent": cell.scope, "kind": "site", "name": f"site {cell.plant.numbers()}"}
    ),
    ("PATCH", "/api/v1/scopes/{scope_id}"): _scope,
    ("DELETE", "/api/v1/session"): _nothing,
    ("GET", "/api/v1/trust"): _nothing,
    ("GET", "/api/v1/trust/{file}"): _file,
    ("GET", "/api/v1/values"): _values,
    ("POST", "/api/v1/values"): _sending(
        lambda cell: {"place": cell.scope, "changes": [{"kind": "variable", "name": "RATE", "content": "1"}]}
    ),
    ("GET", "/api/v1/values/differences"): _running,
    ("GET", "/api/v1/values/history"): _values,
    ("POST", "/api/v1/trust/root"): _sending(lambda cell: {"root": goods.root(cell.plant.time).decode()}),
}

OF_THE_PLANE = {("POST", "/api/v1/trust/root")}
"""Asks for a right at `/`, which nobody holds whose roles are an organisation's."""

WITHOUT_ENTRY = {("POST", "/api/v1/releases/check")}
"""Changes nothing; a refusal is recorded all the same, since it would have told what images there are."""


def _routes(plant: Plant) -> dict[tuple[str, str], Permission | Need]:
    found = {(method, path): need for method, path, need in app.routes(app.application(plant.plane))}
    return {route: need for route, need in found.items() if need is not PUBLIC}


async def _get(plant: Plant, user: User, path: str) -> httpx.Response:
    async with plant.client(**user.headers) as client:
        return await client.get(path)


async def _send(cell: Cell, route: tuple[str, str]) -> httpx.Response:
    method, form = route
    path = form.partition("{")[0] + cell.ident + form.partition("}")[2] if "{" in form else form
    async with cell.plant.client(**cell.headers) as client:
        if cell.archive is not None:
            return await client.request(
                method,
                path,
                params={"scope": cell.scope, **cell.query},
                content=cell.archive,
                headers={"content-type": cell.media},
            )
        return await client.request(method, path, json=cell.body if method != "GET" else None)


def _expected(route: tuple[str, str], need: Permission | Need, role: str, *, own: bool) -> int:
    if not isinstance(need, Permission):
        return 200
    if route in OF_THE_PLANE:
        return 403
    granted = need in roles.BUILT_IN[role].permissions if role in roles.BUILT_IN else False
    if route[0] == "GET":
        return 403 if not granted else 404 if "{" in route[1] and not own else 200
    return 404 if not own or role not in roles.BUILT_IN else 200 if granted else 403


def _sampled(plant: Plant) -> Sequence[str]:
    """Return the roles to see at a route: all, and on PostgreSQL two: rules know no engine, queries meet both."""
    return ROLES if plant.plane.db.kind == dialect.SQLITE else random.sample(ROLES, 2)


def test_the_table_of_this_test_has_every_route(plant: Plant) -> None:
    assert set(PREPARE) == set(_routes(plant))


@pytest.mark.slow
def test_each_role_may_exactly_what_its_data_says(plant: Plant) -> None:
    surprises = []
    for route, need in _routes(plant).items():
        for role in _sampled(plant):
            for org in ("north", "south") if isinstance(need, Permission) else ("north",):
                user = plant.users["north", role]
                if not isinstance(need, Permission):  # it may end their session, or change their password
                    user = plant.user(plant.organisations["north"], f"{role}.{plant.numbers()}.north", role)
                cell = Cell(plant, user, org, headers=user.headers)
                PREPARE[route](cell)
                before = {entry.id for entry in plant.entries()}
                answer = asyncio.run(_send(cell, route))
                expected = _expected(route, need, role, own=org == "north")
                status = 200 if answer.is_success else answer.status_code
                new = [entry.kind for entry in plant.entries(2) if entry.id not in before]
                silent = route[0] == "GET" or (route in WITHOUT_ENTRY and expected == 200)
                kinds = [] if silent else [Kind.OUTCOME if expected == 200 else Kind.REFUSED]
                if (status, new) != (expected, kinds):
                    surprises.append((route, role, org, expected, answer.status_code, answer.text[:200], new))
    assert surprises == []


def test_without_a_sign_in_every_route_answers_401(plant: Plant) -> None:
    nobody = plant.users["north", "platform-admin"]
    for route in _routes(plant):
        cell = Cell(plant, nobody, "north")
        PREPARE[route](cell)
        before = plant.entries(1)
        answer = asyncio.run(_send(cell, route))
        assert (answer.status_code, answer.json()["code"]) == (401, "session.none"), route
        assert plant.entries(1) == before


@pytest.mark.slow
def test_what_another_organisation_has_reads_like_what_is_not_there(plant: Plant) -> None:
    for route, need in _routes(plant).items():
        if "{" not in route[1] or not isinstance(need, Permission):
            continue
        for role in _sampled(plant):
            user = plant.users["north", role]
            foreign = Cell(plant, user, "south", headers=user.headers)
            PREPARE[route](foreign)
            absent = replace(foreign, ident=ABSENT)
            answers = [without_ids(asyncio.run(_send(cell, route))) for cell in (foreign, absent)]
            assert answers[0] == answers[1], (route, role)
            assert answers[0][0] in {403, 404}


def test_what_has_no_form_of_an_id_reads_like_what_is_not_there(plant: Plant) -> None:
    for route, need in _routes(plant).items():
        if "{" not in route[1]:
            continue
        reader = "auditor" if need in roles.BUILT_IN["auditor"].permissions else "operator"
        user = plant.users["north", reader if route[0] == "GET" else "platform-admin"]
        absent = Cell(plant, user, "north", headers=user.headers)
        PREPARE[route](absent)
        absent.ident = ABSENT
        expected = without_ids(asyncio.run(_send(absent, route)))
        for ident in ("x", "%00", "%F0%9F%90%8E", "a" * 5_000, "..%2f"):
            odd = replace(absent, ident=ident)
            answer = asyncio.run(_send(odd, route))
            assert answer.status_code == 404, (route, ident, answer.text)
            if "%2f" not in ident:
                assert without_ids(answer) == expected, (route, ident)


def test_lists_show_nothing_of_another_organisation(plant: Plant) -> None:
    south = plant.organisations["south"]
    plant.rollout(south, plant.users["south", "operator"].person, proposed=True)
    goods.published(plant, "south")
    goods.drafted(plant, "south")
    gear.device(plant, south)
    strangers = [user.person for (org, _), user in plant.users.items() if org == "south"]
    for route, need in _routes(plant).items():
        if route[0] != "GET" or not isinstance(need, Permission) or "{" in route[1]:
            continue
        for role in ROLES:
            text = asyncio.run(_get(plant, plant.users["north", role], route[1])).text
            assert south not in text, (route, role)
            assert not any(person.id in text or person.login in text for person in strangers), (route, role)


def test_a_role_at_the_root_reaches_both_organisations(plant: Plant) -> None:
    user = plant.user("/", "both", "auditor")
    found = asyncio.run(_get(plant, user, "/api/v1/scopes")).json()["items"]
    assert {scope["path"] for scope in found} == set(plant.organisations.values())
