# SPDX-License-Identifier: Apache-2.0
"""Requests that are not as they should be: each is answered with a problem document, early, and with a stable code."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import httpx
import msgspec
import pytest
import uvicorn
from litestar import get
from structlog.testing import capture_logs

from checkvalve.crypto import certificates, keys
from checkvalve.errors import CheckvalveError, UnavailableError
from checkvalve.protocol.problem import Problem
from checkvalve.protocol.version import CAPABILITY
from checkvalve.server.web import app, auth, devices, door, problems
from checkvalve.server.web.auth import PUBLIC
from checkvalve.server.web.protocols import PEER
from tests.server.web.plant import ORDERS, ORIGIN, PASSWORD, Plant

JSON = {"content-type": "application/json"}


def _ask(plant: Plant, method: str, path: str, headers: dict[str, str], **more: Any) -> httpx.Response:  # noqa: ANN401
    async def send() -> httpx.Response:
        async with plant.client() as client:
            return await client.request(method, path, headers=headers, **more)

    return asyncio.run(send())


def _problem(answer: httpx.Response) -> Problem:
    assert answer.headers["content-type"] == "application/problem+json"
    problem = msgspec.json.decode(answer.content, type=Problem)
    assert problem.status == answer.status_code
    assert problem.request == answer.headers["x-request-id"]
    assert problem.detail
    assert "Traceback" not in answer.text
    return problem


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"{", "request.malformed"),
        (b"\xff", "request.malformed"),
        (b'{"name":"\\ud800"}', "request.malformed"),
        (b"", "request.invalid"),
        (b"null", "request.invalid"),
        (b"[]", "request.invalid"),
        (b"{}", "request.invalid"),
        (b'{"name":1}', "request.invalid"),
        (b'{"name":"a","nmae":"b"}', "request.invalid"),
        (b'{"name":"a\\u0000b"}', "request.invalid"),
        (b'{"name":"' + b"a" * 401 + b'"}', "request.invalid"),
        (b"[" * 500_000, "request.nesting"),
        (b'{"name":' * 100_000, "request.nesting"),
    ],
)
def test_a_body_that_cannot_be_read_is_a_problem_with_its_code(plant: Plant, content: bytes, code: str) -> None:
    headers = plant.users["north", "platform-admin"].headers | JSON
    answer = _ask(plant, "PATCH", "/api/v1/scopes/x", headers, content=content)
    assert (answer.status_code, _problem(answer).code) == (400, code)


def test_an_unknown_field_is_named(plant: Plant) -> None:
    headers = plant.users["north", "platform-admin"].headers
    answer = _ask(plant, "PATCH", "/api/v1/scopes/x", headers, json={"name": "a", "nmae": "b"})
    assert "nmae" in _problem(answer).detail


def test_a_value_that_can_be_read_and_is_wrong_is_422_and_recorded(plant: Plant) -> None:
    headers = plant.users["north", "platform-admin"].headers
    body = {"parent": plant.organisations["north"], "kind": "area", "name": "Boiler house"}
    answer = _ask(plant, "POST", "/api/v1/scopes", headers, json=body)
    assert (answer.status_code, _problem(answer).code) == (422, "scope.place")
    entry = plant.entries(1)[0]
    assert (entry.kind, entry.action, entry.request) == ("refused", "scope.create", answer.headers["x-request-id"])
    assert entry.facts["code"] == "scope.place"


def test_a_body_that_is_no_json_is_refused(plant: Plant) -> None:
    user = plant.users["north", "platform-admin"]
    for headers in ({"content-type": "text/plain"}, {"content-type": "application/x-www-form-urlencoded"}):
        answer = _ask(plant, "PATCH", "/api/v1/scopes/x", user.headers | headers, content=b'{"name":"a"}')
        assert (answer.status_code, _problem(answer).code) == (415, "request.media_type")


def test_a_gigabyte_is_refused_without_being_read(plant: Plant) -> None:
    headers = plant.users["north", "platform-admin"].headers | JSON
    sent = 0

    async def gigabyte() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(1 << 14):
            sent += 1 << 16
            yield b" " * (1 << 16)

    for more in (JSON, JSON | {"content-length": str(1 << 30)}):
        sent = 0
        answer = _ask(plant, "PATCH", "/api/v1/scopes/x", headers | more, content=gigabyte())
        assert (answer.status_code, _problem(answer).code) == (413, "request.too_large")
        assert sent <= app.LARGEST_BODY + (1 << 17)


def test_a_wrong_method_hears_the_right_ones(plant: Plant) -> None:
    answer = _ask(plant, "PUT", "/api/v1/people/x", {})
    assert (answer.status_code, _problem(answer).code) == (405, "route.method")
    assert "GET" in answer.headers["allow"]


@pytest.mark.parametrize(
    "path", ["/nothing", "/api", "/api/v1/nothing", "/schema", "/api/v1/scopes/a/b", "/%00", "/../x"]
)
def test_an_address_with_nothing_behind_it_is_a_problem_document(plant: Plant, path: str) -> None:
    assert _problem(_ask(plant, "GET", path, {})).code == "route.not_found"


@pytest.mark.parametrize("host", ["evil.test", "plane.test", "plane.test:9444", "", "plane.test:9443.evil.test"])
def test_a_name_the_plane_does_not_go_by_is_refused(plant: Plant, host: str) -> None:
    answer = _ask(plant, "GET", "/api/v1/plane", {"host": host})
    assert (answer.status_code, _problem(answer).code) == (421, "request.host")
    assert _ask(plant, "GET", "/healthz", {"host": host}).status_code == 200


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=501",
        "limit=x",
        "since=yesterday",
        "since=2026-11-03T12:00:00",
        "since=0001-01-01T00:00:00%2B14:00",
        "actor=%00",
    ],
)
def test_a_filter_that_cannot_be_read_is_a_problem(plant: Plant, query: str) -> None:
    answer = _ask(plant, "GET", f"/api/v1/audit?{query}", plant.users["north", "auditor"].headers)
    assert (answer.status_code, _problem(answer).code) == (400, "request.invalid")


def test_the_record_is_read_in_stretches(plant: Plant) -> None:
    headers = plant.users["north", "auditor"].headers
    whole = _ask(plant, "GET", "/api/v1/audit?limit=500", headers).json()
    assert whole["next"] is None
    found: list[str] = []
    before = ""
    while True:
        page = _ask(plant, "GET", f"/api/v1/audit?limit=3&before={before}", headers).json()
        found += [entry["id"] for entry in page["items"]]
        if page["next"] is None:
            break
        before = page["next"]
    assert found == [entry["id"] for entry in whole["items"]]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/healthz", 200),
        ("/api/v1/scopes", 200),
        ("/api/openapi.json", 200),
        ("/nothing", 404),
        ("/api/v1/session", 405),
    ],
)
def test_head_is_answered_as_get_is_without_the_body(plant: Plant, path: str, status: int) -> None:
    headers = plant.users["north", "auditor"].headers
    asked, looked = _ask(plant, "GET", path, headers), _ask(plant, "HEAD", path, headers)
    assert (asked.status_code, looked.status_code) == (status, status)
    assert asked.content
    assert looked.content == b""
    for answer in (asked, looked):
        del answer.headers["x-request-id"]
    assert looked.headers == asked.headers


def test_head_needs_what_get_needs_and_its_refusal_has_no_body_either(plant: Plant) -> None:
    for headers, status in (({}, 401), ({"host": "evil.test"}, 421)):
        answer = _ask(plant, "HEAD", "/api/v1/scopes", headers)
        assert (answer.status_code, answer.content) == (status, b"")
        assert int(answer.headers["content-length"]) > 0


def test_every_answer_has_the_headers_that_guard_a_browser(plant: Plant) -> None:
    headers = plant.users["north", "auditor"].headers
    for path in ("/healthz", "/api/v1/me", "/api/v1/nothing", "/ca.pem", "/api/openapi.json"):
        answer = _ask(plant, "GET", path, headers)
        for name, value in door.HEADERS.items():
            assert answer.headers[name.decode()] == value.decode(), path
    assert "unsafe" not in door.CONTENT_POLICY


def test_no_other_site_is_let_in_by_a_preflight(plant: Plant) -> None:
    headers = {"origin": "https://evil.test", "access-control-request-method": "POST"}
    answer = _ask(plant, "OPTIONS", "/api/v1/people", headers)
    assert not any(name.startswith("access-control") for name in answer.headers)


def test_the_description_names_every_route_and_needs_a_sign_in(plant: Plant) -> None:
    assert _ask(plant, "GET", "/api/openapi.json", {}).status_code == 401
    described = _ask(plant, "GET", "/api/openapi.json", plant.users["north", "viewer"].headers).json()
    found = {(method.upper(), path) for path, item in described["paths"].items() for method in item}
    declared = {(method, path) for method, path, _ in app.routes(app.application(plant.plane))}
    assert declared - found == {("GET", "/api/openapi.json")}


def test_a_route_without_a_declaration_keeps_the_application_from_starting(plant: Plant) -> None:
    @get("/open")
    async def undeclared() -> None: ...

    @get("/said", opt={"permission": "public"})
    async def misspelt() -> None: ...

    for handler in (undeclared, misspelt):
        with pytest.raises(TypeError, match="declares no permission"):
            app.operators(plant.plane, [handler])


def test_a_defect_is_logged_and_not_told(plant: Plant) -> None:
    @get("/broken", opt={"permission": PUBLIC})
    async def broken() -> None:
        raise RuntimeError("the secret is 42")

    plant.door = app.operators(plant.plane, [broken])
    with capture_logs() as logs:
        answer = _ask(plant, "GET", "/broken", {})
    assert (answer.status_code, _problem(answer).code) == (500, "plane.defect")
    assert "42" not in answer.text
    assert any("42" in log.get("trace", "") and log["request"] == answer.headers["x-request-id"] for log in logs)


def test_a_database_that_does_not_answer_is_503(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    async def gone(*_: object) -> None:
        raise UnavailableError("database.unavailable", "The database did not take this.")

    monkeypatch.setattr(plant.db, "read", gone)
    answer = _ask(plant, "GET", "/readyz", {})
    assert (answer.status_code, _problem(answer).code) == (503, "database.unavailable")
    assert answer.headers["retry-after"]
    assert _ask(plant, "GET", "/healthz", {}).status_code == 200


def test_every_kind_of_error_has_a_status() -> None:
    kinds = {error.kind for error in _descendants(CheckvalveError) if error.__module__ == "checkvalve.errors"}
    assert kinds <= set(problems.STATUS)


def _descendants(kind: type[CheckvalveError]) -> Iterator[type[CheckvalveError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from _descendants(below)


@contextlib.contextmanager
def _served(plant: Plant) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = uvicorn.Server(uvicorn.Config(plant.door, log_config=None, lifespan="on", loop="asyncio"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [taken]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield taken.getsockname()[1]
        server.should_exit = True
        thread.join()


def test_signing_in_and_working_goes_over_a_real_socket(plant: Plant) -> None:
    with _served(plant) as port, httpx.Client(base_url=f"http://127.0.0.1:{port}", verify=False) as client:
        client.headers["host"] = ORIGIN.removeprefix("https://")
        answer = client.post("/api/v1/session", json={"login": "platform-admin.north", "password": PASSWORD})
        secret = answer.headers["set-cookie"].partition("=")[2].partition(";")[0]
        headers = {"cookie": f"{auth.COOKIE}={secret}", "x-csrf-token": answer.json()["csrf"]}
        body = {"parent": plant.organisations["north"], "kind": "site", "name": "Visby"}
        assert client.post("/api/v1/scopes", json=body, headers=headers).status_code == 201
        for _ in range(2):  # on one connection: nothing of a body is left over for the next answer
            looked = client.head("/api/v1/scopes", headers=headers)
            assert (looked.status_code, looked.content) == (200, b"")
            assert int(looked.headers["content-length"]) > 0
        too_much = client.post("/api/v1/scopes", content=b" " * (2 << 20), headers=headers | JSON)
        assert too_much.status_code == 413
        assert client.get("/api/v1/scopes", headers=headers).status_code == 200


def test_devices_read_the_plane_and_nothing_else(plant: Plant) -> None:
    plant.door = devices.app(plant.plane)  # type: ignore[assignment]
    answer = _ask(plant, "GET", "/v1/plane", {"host": "198.51.100.1:8443"})
    assert answer.json() == {
        "name": "test plane",
        "version": "0",
        "capability": CAPABILITY,
        "ca_pin": "sha256:00",
        "time": "2026-11-03T12:00:00.000Z",
        "ca": "-----BEGIN CERTIFICATE-----\n",
        "orders": certificates.to_pem(ORDERS.certificate).decode(),
    }
    assert _problem(_ask(plant, "GET", "/v1/whoami", {})).code == "device.no_certificate"
    for path in ("/", "/api/v1/plane", "/v1/exchanges"):
        assert _problem(_ask(plant, "GET", path, {})).code == "route.not_found"


@pytest.mark.parametrize(("days", "valid"), [(0, False), (1, True), (90, True), (91, False)])
def test_a_device_hears_how_its_certificate_is_judged(plant: Plant, days: int, valid: bool) -> None:  # noqa: FBT001
    begins, ends = plant.time + timedelta(days=1), plant.time + timedelta(days=90)
    key, device = keys.make(), plant.new_id()
    ca = certificates.issue_authority(key, "devices", not_before=begins, not_after=ends, serial=1)
    der = certificates.issue_device(
        ca, key, keys.make().public_key(), device, not_before=begins, not_after=ends, serial=2
    )
    face = devices.app(plant.plane)

    async def with_peer(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - of ASGI
        scope["extensions"] = {PEER: {"certificate": der}}
        await face(scope, receive, send)

    plant.door = with_peer  # type: ignore[assignment]
    plant.later(days=days)
    answer = _ask(plant, "GET", "/v1/whoami", {}).json()
    assert (answer["device"], answer["valid"]) == (device, valid)
    assert answer["not_before"] == "2026-11-04T12:00:00.000Z"


def test_a_certificate_that_names_no_device_is_nobodys(plant: Plant) -> None:
    ends = plant.time + timedelta(days=90)
    der = certificates.issue_authority(keys.make(), "devices", not_before=plant.time, not_after=ends, serial=1)
    face = devices.app(plant.plane)

    async def with_peer(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - of ASGI
        scope["extensions"] = {PEER: {"certificate": der}}
        await face(scope, receive, send)

    plant.door = with_peer  # type: ignore[assignment]
    answer = _ask(plant, "GET", "/v1/whoami", {})
    assert (answer.status_code, _problem(answer).code) == (401, "certificate.device")
