# SPDX-License-Identifier: Apache-2.0
"""Signing in, staying in, and being out: sessions, API tokens, CSRF."""

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import pytest

from checkvalve.crypto import passwords, tokens
from checkvalve.errors import ThrottledError
from checkvalve.server.access import actions as access_actions
from checkvalve.server.access.model import ROOT
from checkvalve.server.audit.model import Kind
from checkvalve.server.identity import actions as identity_actions
from checkvalve.server.identity import queries as identity_queries
from checkvalve.server.web import attempts, auth
from tests.server.web.plant import ORIGIN, PASSWORD, Plant, User, without_ids

VIEWER = "viewer.north"


def _ask(plant: Plant, method: str, path: str, body: object = None, **headers: str) -> httpx.Response:
    async def send() -> httpx.Response:
        async with plant.client(**{name.replace("_", "-"): value for name, value in headers.items()}) as client:
            return await client.request(method, path, json=body)

    return asyncio.run(send())


def _sign_in(plant: Plant, login: str = VIEWER, password: str = PASSWORD, **headers: str) -> httpx.Response:
    return _ask(plant, "POST", "/api/v1/session", {"login": login, "password": password}, **headers)


def _secret(answer: httpx.Response) -> str:
    said = answer.headers["set-cookie"]
    assert said.startswith(auth.COOKIE + "=")
    return str(said.partition("=")[2].partition(";")[0])


def _status(plant: Plant, secret: str) -> int:
    return _ask(plant, "GET", "/api/v1/me", cookie=f"{auth.COOKIE}={secret}").status_code


def test_signing_in_sets_a_cookie_that_scripts_and_other_sites_do_not_get(plant: Plant) -> None:
    answer = _sign_in(plant, "  VIEWER.North ")
    assert answer.status_code == 201
    cookie = answer.headers["set-cookie"].lower()
    assert all(part in cookie for part in ("__host-", "; secure", "; httponly", "; samesite=lax", "; path=/"))
    assert "domain" not in cookie
    secret = _secret(answer)
    assert answer.json()["csrf"] == tokens.csrf_token(secret)
    assert secret not in answer.text
    me = _ask(plant, "GET", "/api/v1/me", cookie=f"{auth.COOKIE}={secret}").json()
    assert (me["person"]["login"], me["csrf"]) == (VIEWER, tokens.csrf_token(secret))
    assert me["permissions"]["rollout.read"] == [plant.organisations["north"]]


@pytest.mark.parametrize(
    ("login", "password"),
    [
        (VIEWER, "a guess"),
        ("nobody.here", PASSWORD),
        ("\x00", PASSWORD),
        ("", ""),
        (VIEWER, "x" * 4_000),
        ("é" * 900, "x"),
    ],
)
def test_a_failed_sign_in_says_nothing_of_why_and_is_recorded(plant: Plant, login: str, password: str) -> None:
    answer = _sign_in(plant, login, password)
    assert (answer.status_code, answer.json()["code"]) == (401, "session.refused")
    assert "set-cookie" not in answer.headers
    entry = plant.entries(1)[0]
    assert (entry.kind, entry.action, entry.request) == (Kind.REFUSED, "session.sign_in", answer.json()["request"])
    assert password not in entry.data.decode() or not password
    assert len(entry.actor.name) <= 64
    assert entry.scope == (plant.organisations["north"] if login == VIEWER else ROOT)


def test_a_disabled_person_gets_the_answer_of_a_wrong_password(plant: Plant) -> None:
    person = plant.users["north", "viewer"].person
    plant.db.write_now("disable", access_actions.disable_person, plant.act(), person.id)
    answer = _sign_in(plant)
    assert (answer.status_code, answer.json()["code"]) == (401, "session.refused")


def test_each_sign_in_makes_a_new_session_and_ends_the_one_of_its_cookie(plant: Plant) -> None:
    first = _secret(_sign_in(plant))
    second = _secret(_sign_in(plant, cookie=f"{auth.COOKIE}={first}"))
    assert first != second
    assert (_status(plant, first), _status(plant, second)) == (401, 200)


def test_a_session_that_somebody_planted_is_never_taken_over(plant: Plant) -> None:
    planted = tokens.session_secret(bytes(32))
    secret = _secret(_sign_in(plant, cookie=f"{auth.COOKIE}={planted}"))
    assert secret != planted
    assert _status(plant, planted) == 401


def test_signing_out_ends_the_session_and_takes_the_cookie_away(plant: Plant) -> None:
    user = plant.users["north", "viewer"]
    answer = _ask(plant, "DELETE", "/api/v1/session", **user.headers)
    assert answer.status_code == 204
    assert "max-age=0" in answer.headers["set-cookie"].lower()
    assert _status(plant, user.secret) == 401


def test_a_session_ends_after_half_an_hour_without_a_request(plant: Plant) -> None:
    user = plant.users["north", "viewer"]
    for _ in range(3):
        plant.later(minutes=29)
        assert _status(plant, user.secret) == 200
    plant.later(minutes=30)
    assert _status(plant, user.secret) == 401


def test_a_session_ends_after_twelve_hours_of_work(plant: Plant) -> None:
    user = plant.users["north", "viewer"]
    for _ in range(36):
        plant.later(minutes=19, seconds=59)
        assert _status(plant, user.secret) == 200
    plant.later(minutes=1)
    assert _status(plant, user.secret) == 401


def test_a_request_is_noted_once_a_minute_at_most(plant: Plant) -> None:
    user = plant.users["north", "viewer"]
    begun = plant.time

    def seen() -> timedelta:
        session = plant.db.read_now("session", identity_queries.session, tokens.digest(user.secret))
        assert session is not None
        return session.seen_at - begun

    plant.later(seconds=59)
    _status(plant, user.secret)
    assert seen() == timedelta(0)
    plant.later(seconds=1)
    _status(plant, user.secret)
    assert seen() == timedelta(minutes=1)


def test_a_disabled_person_is_out_at_the_next_request(plant: Plant) -> None:
    user = plant.users["north", "operator"]
    bearer = f"Bearer {plant.token(user.person)}"
    assert _ask(plant, "GET", "/api/v1/me", authorization=bearer).status_code == 200
    admin = plant.users["north", "platform-admin"]
    done = _ask(plant, "POST", f"/api/v1/people/{user.person.id}/disable", **admin.headers)
    assert done.json()["disabled_at"] == "2026-11-03T12:00:00.000Z"
    assert _status(plant, user.secret) == 401
    assert _ask(plant, "GET", "/api/v1/me", authorization=bearer).status_code == 401


def test_a_role_that_is_taken_away_is_gone_at_the_next_request(plant: Plant) -> None:
    user = plant.users["north", "auditor"]
    me = _ask(plant, "GET", "/api/v1/me", **user.headers).json()
    admin = plant.users["north", "platform-admin"]
    assert _ask(plant, "GET", "/api/v1/audit", **user.headers).status_code == 200
    _ask(plant, "DELETE", f"/api/v1/bindings/{me['bindings'][0]['id']}", **admin.headers)
    assert _ask(plant, "GET", "/api/v1/audit", **user.headers).status_code == 403


# ---- Changes by cookie ----


def _change(plant: Plant, user: User, **headers: str) -> httpx.Response:
    given = {name: value for name, value in (user.headers | headers).items() if value}
    return _ask(plant, "DELETE", "/api/v1/me/sessions/0", None, **given)


@pytest.mark.parametrize("csrf", ["", "0" * 64, "0"])
def test_a_change_without_the_sessions_token_is_refused(plant: Plant, csrf: str) -> None:
    answer = _change(plant, plant.users["north", "viewer"], **{"x-csrf-token": csrf})
    assert (answer.status_code, answer.json()["code"]) == (403, "csrf.token")


def test_another_sessions_token_does_not_do(plant: Plant) -> None:
    other = plant.users["north", "operator"].headers["x-csrf-token"]
    answer = _change(plant, plant.users["north", "viewer"], **{"x-csrf-token": other})
    assert (answer.status_code, answer.json()["code"]) == (403, "csrf.token")


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.test"},
        {"origin": "null"},
        {"origin": ORIGIN.replace("9443", "9444")},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_a_change_from_another_sites_page_is_refused(plant: Plant, headers: dict[str, str]) -> None:
    answer = _change(plant, plant.users["north", "viewer"], **headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "csrf.origin")
    signing_in = _sign_in(plant, **headers)
    assert (signing_in.status_code, signing_in.json()["code"]) == (403, "csrf.origin")


def test_a_change_from_the_planes_own_page_goes_through(plant: Plant) -> None:
    answer = _change(plant, plant.users["north", "viewer"], **{"origin": ORIGIN, "sec-fetch-site": "same-origin"})
    assert (answer.status_code, answer.json()["code"]) == (404, "session.not_found")


# ---- API tokens ----


def test_a_token_may_what_its_owner_may_below_its_ceiling(plant: Plant) -> None:
    north = plant.organisations["north"]
    owner = plant.users["north", "platform-admin"].person
    reading = f"Bearer {plant.token(owner, ROOT, 'scope.read')}"
    elsewhere = f"Bearer {plant.token(owner, plant.organisations['south'])}"
    full = f"Bearer {plant.token(owner)}"
    body = {"parent": north, "kind": "site", "name": "Visby"}
    assert _ask(plant, "GET", "/api/v1/scopes", authorization=reading).status_code == 200
    assert _ask(plant, "GET", "/api/v1/audit", authorization=reading).status_code == 403
    refused = _ask(plant, "POST", "/api/v1/scopes", body, authorization=reading)
    assert (refused.status_code, refused.json()["code"]) == (403, "access.denied")
    assert _ask(plant, "POST", "/api/v1/scopes", body, authorization=elsewhere).status_code == 404
    assert _ask(plant, "GET", "/api/v1/scopes", authorization=elsewhere).status_code == 403
    assert _ask(plant, "POST", "/api/v1/scopes", body, authorization=full).status_code == 201
    entry = plant.entries(1)[0]
    assert (entry.actor.kind, entry.actor.id) == ("token", owner.id)
    assert "token" in entry.actor.name


def test_a_token_makes_no_token_and_changes_no_password(plant: Plant) -> None:
    bearer = f"Bearer {plant.token(plant.users['north', 'operator'].person, ROOT, 'rollout.read')}"
    ends = (plant.time + timedelta(days=1)).isoformat()
    for path, body in (
        ("/api/v1/me/tokens", {"label": "more", "ends_at": ends}),
        ("/api/v1/me/password", {"old": PASSWORD, "new": PASSWORD}),
    ):
        answer = _ask(plant, "POST", path, body, authorization=bearer)
        assert (answer.status_code, answer.json()["code"]) == (403, "token.not_in_person")


def test_a_token_that_was_issued_over_the_api_works_until_it_is_revoked(plant: Plant) -> None:
    user = plant.users["north", "viewer"]
    ends = (plant.time + timedelta(days=1)).isoformat()
    made = _ask(plant, "POST", "/api/v1/me/tokens", {"label": "ci", "ends_at": ends}, **user.headers).json()
    bearer = f"Bearer {made['secret']}"
    assert _ask(plant, "GET", "/api/v1/rollouts", authorization=bearer).status_code == 200
    assert made["secret"] not in plant.entries(1)[0].data.decode()
    _ask(plant, "DELETE", f"/api/v1/me/tokens/{made['token']['id']}", **user.headers)
    assert _ask(plant, "GET", "/api/v1/rollouts", authorization=bearer).status_code == 401


def test_a_token_takes_itself_away_and_hears_nothing_of_others(plant: Plant) -> None:
    person = plant.users["north", "viewer"].person

    def issued() -> tuple[str, str]:
        bearer = f"Bearer {plant.token(person)}"
        return bearer, plant.entries(1)[0].subject.partition(":")[2]

    (mine, own_id), (other, other_id) = issued(), issued()
    answers = []
    for ident in (other_id, "0" * 26, "x"):
        answer = _ask(plant, "DELETE", f"/api/v1/me/tokens/{ident}", authorization=mine)
        assert (plant.entries(1)[0].kind, plant.entries(1)[0].action) == (Kind.REFUSED, "token.revoke")
        answers.append(without_ids(answer))
    assert answers[0] == answers[1] == answers[2]
    assert (answers[0][0], answer.json()["code"]) == (403, "token.not_in_person")
    assert _ask(plant, "GET", "/api/v1/me/tokens", authorization=mine).status_code == 403
    assert _ask(plant, "DELETE", f"/api/v1/me/tokens/{own_id}", authorization=mine).status_code == 204
    assert plant.entries(1)[0].actor.kind == "token"
    assert _ask(plant, "GET", "/api/v1/me", authorization=mine).status_code == 401
    assert _ask(plant, "GET", "/api/v1/me", authorization=other).status_code == 200


def test_a_token_takes_itself_away_whatever_little_it_may(plant: Plant) -> None:
    person = plant.users["north", "none"].person
    bearer = f"Bearer {plant.token(person, plant.organisations['south'], 'scope.read')}"
    ident = plant.entries(1)[0].subject.partition(":")[2]
    assert _ask(plant, "DELETE", f"/api/v1/me/tokens/{ident}", authorization=bearer).status_code == 204


def test_a_token_ends(plant: Plant) -> None:
    bearer = f"Bearer {plant.token(plant.users['north', 'viewer'].person)}"
    plant.later(days=30)
    answer = _ask(plant, "GET", "/api/v1/me", authorization=bearer)
    assert (answer.status_code, answer.json()["code"]) == (401, "token.refused")


@pytest.mark.parametrize("said", ["Basic dmlld2VyOng=", "Bearer", "Bearer cvt_short", "Bearer " + "x" * 3_000, ""])
def test_what_is_no_token_is_not_taken_for_a_session_beside_it(plant: Plant, said: str) -> None:
    user = plant.users["north", "viewer"]
    answer = _ask(plant, "GET", "/api/v1/me", **(user.headers | {"authorization": said}))
    assert (answer.status_code, answer.json()["code"]) == (401, "token.refused")


def test_a_request_with_a_token_and_a_cookie_is_judged_by_its_token(plant: Plant) -> None:
    bearer = f"Bearer {plant.token(plant.users['south', 'viewer'].person)}"
    user = plant.users["north", "platform-admin"]
    answer = _ask(plant, "GET", "/api/v1/me", **(user.headers | {"authorization": bearer})).json()
    assert (answer["person"]["login"], answer["session"], answer["csrf"]) == ("viewer.south", None, None)


# ---- Passwords ----


def test_changing_ones_password_ends_the_other_sessions(plant: Plant) -> None:
    user = plant.users["north", "viewer"]
    other = plant.sign_in(user.person)
    body = {"old": PASSWORD, "new": "three rusty valves in a row"}
    assert _ask(plant, "POST", "/api/v1/me/password", body, **user.headers).status_code == 204
    assert (_status(plant, user.secret), _status(plant, other.secret)) == (200, 401)
    assert _sign_in(plant).status_code == 401
    assert _sign_in(plant, VIEWER, "three rusty valves in a row").status_code == 201


def test_changing_it_takes_the_old_password(plant: Plant) -> None:
    user = plant.users["north", "viewer"]
    body = {"old": "wrong", "new": "three rusty valves in a row"}
    answer = _ask(plant, "POST", "/api/v1/me/password", body, **user.headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "password.wrong")
    entry = plant.entries(1)[0]
    assert (entry.kind, entry.action) == (Kind.REFUSED, "person.set_password")


def test_an_administrator_of_one_organisation_sets_no_password_of_somebody_with_wider_rights(plant: Plant) -> None:
    person = plant.person(plant.organisations["north"])
    plant.bind(person, "platform-admin", ROOT)
    admin = plant.users["north", "platform-admin"]
    body = {"password": "three rusty valves in a row"}
    answer = _ask(plant, "POST", f"/api/v1/people/{person.id}/password", body, **admin.headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "access.denied")


def test_a_password_that_changes_while_it_is_verified_lets_nobody_in(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = plant.users["north", "viewer"].person
    hashing: Any = plant.plane.attempts.hashing

    async def slow(*args: object) -> object:
        answer = await hashing(*args)
        await plant.db.write("password", identity_actions.set_password, plant.act(), person.id, "another")
        return answer

    monkeypatch.setattr(plant.plane.attempts, "hashing", slow)
    assert _sign_in(plant).status_code == 401


def _stored(plant: Plant) -> str:
    found = plant.db.read_now("login", identity_queries.by_login, VIEWER)
    assert found is not None
    return found[1]


def test_a_password_kept_at_an_earlier_cost_is_kept_anew_at_the_next_sign_in(plant: Plant) -> None:
    assert passwords.needs_rehash(_stored(plant))
    assert _sign_in(plant, password="a guess").status_code == 401
    assert passwords.needs_rehash(_stored(plant))
    assert _sign_in(plant).status_code == 201
    anew = _stored(plant)
    assert not passwords.needs_rehash(anew)
    assert plant.entries(1)[0].facts["rehashed"] is True
    assert _sign_in(plant).status_code == 201
    assert _stored(plant) == anew
    assert "rehashed" not in plant.entries(1)[0].facts


def test_two_sign_ins_at_once_both_succeed_where_the_password_is_kept_anew(plant: Plant) -> None:
    async def both() -> list[httpx.Response]:
        body = {"login": VIEWER, "password": PASSWORD}
        async with plant.client() as client:
            return list(await asyncio.gather(*(client.post("/api/v1/session", json=body) for _ in range(2))))

    assert [answer.status_code for answer in asyncio.run(both())] == [201, 201]
    assert [entry.facts.get("rehashed", False) for entry in plant.entries(2)].count(True) == 1


def test_a_sign_in_does_not_fail_because_there_is_no_time_to_keep_the_password_anew(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashing: Any = plant.plane.attempts.hashing

    async def busy(work: object, *args: object) -> object:
        if work is passwords.store:
            monkeypatch.setattr(attempts, "WAITING", 0)
        return await hashing(work, *args)

    monkeypatch.setattr(plant.plane.attempts, "hashing", busy)
    assert _sign_in(plant).status_code == 201
    assert passwords.needs_rehash(_stored(plant))


# ---- Throttle ----


def test_a_login_waits_at_an_address_where_it_failed_too_often(plant: Plant) -> None:
    codes = [_sign_in(plant, password="wrong").status_code for _ in range(7)]
    assert codes == [401] * 6 + [429]
    answer = _sign_in(plant)
    assert (answer.status_code, answer.json()["code"]) == (429, "session.throttled")
    assert int(answer.headers["retry-after"]) == answer.json()["facts"]["retry_after"] > 0
    assert _sign_in(plant, "operator.north").status_code == 201
    plant.later(seconds=int(answer.headers["retry-after"]))
    assert _sign_in(plant).status_code == 201
    assert _sign_in(plant, password="wrong").status_code == 401


def test_what_is_remembered_of_failures_is_bounded(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "REMEMBERED", 10)
    for number in range(50):
        plant.plane.attempts.begin(f"login{number}", "192.0.2.7", plant.time)
    assert len(plant.plane.attempts._failures) == 10


def test_more_sign_ins_than_can_be_verified_soon_are_sent_away(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "WAITING", 0)
    with pytest.raises(ThrottledError, match=r"session\.busy"):
        asyncio.run(plant.plane.attempts.hashing(len, ""))
    assert _sign_in(plant).headers["retry-after"] == "5"
