# SPDX-License-Identifier: Apache-2.0
"""What is said when the other end is no plane, or not well: a sentence, an exit code, and never the token."""

import json
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from checkvalve.cli import client
from checkvalve.errors import UnavailableError
from tests.cli.impostor import PROBLEM, TOKEN, Authority, Exchange, Impostor
from tests.cli.terminal import Outcome, Terminal

PORTAL = b"<html><title>Welcome to the hotel</title></html>"


@pytest.fixture
def ask(terminal: Terminal, impostor: Impostor) -> Callable[..., Outcome]:
    """Ask the impostor, signed in to it; nothing that is said holds the token."""
    impostor.signed_in_at(terminal.config)

    def asked(*words: str) -> Outcome:
        outcome = terminal(*(words or ("whoami",)))
        assert TOKEN not in outcome.out + outcome.err
        assert "Traceback" not in outcome.err
        return outcome

    return asked


Ask = Callable[..., Outcome]


def problem(status: int, code: str, **more: object) -> bytes:
    return json.dumps({"title": "T", "status": status, "detail": "It is so.", "code": code, **more}).encode()


@pytest.mark.parametrize(
    ("status", "kind", "body"),
    [
        (200, "text/html", PORTAL),
        (200, "application/json", PORTAL),
        (200, "application/json", b"\xff\xfe"),
        (200, "application/json", b"[" * 100_000),
        (200, "text/html", b'{"person": "looks like one"}'),
        (502, "text/html", b"<h1>Bad Gateway</h1>"),
        (511, "text/html", PORTAL),
        (404, "application/json", b'{"detail": "Not Found"}'),
    ],
)
def test_what_is_not_a_planes_answer_is_not_shown(
    ask: Ask, impostor: Impostor, status: int, kind: str, body: bytes
) -> None:
    impostor.answers(status, kind, body)
    said = ask()
    assert said.code == 4
    assert "not as a plane does" in said.err
    assert "[plane.not_json]" in said.err
    assert "hotel" not in said.err


def test_a_redirect_is_not_followed(ask: Ask, impostor: Impostor, authority: Authority) -> None:
    with Impostor.serving(authority) as other:
        impostor.handler = lambda exchange: exchange.answer(302, "text/html", b"", Location=f"{other.url}/login")
        said = ask()
        assert said.code == 4
        assert "[plane.redirect]" in said.err
        assert other.heard == []


def _numbered(exchange: Exchange) -> None:
    """Answer as a plane with 1,201 rollouts does, newest first."""
    query = dict(parse_qsl(urlsplit(exchange.path).query))
    first = int(query.get("before", "1201"))
    numbers = range(first - 1, -1, -1)[: int(query["limit"])]
    items = [{"id": f"{number:026}", "action": "scope.create"} for number in numbers]
    page = {"items": items, "next": items[-1]["id"] if numbers[-1] else None}
    exchange.answer(200, "application/json", json.dumps(page).encode())


@pytest.mark.parametrize(
    ("words", "count", "asked"),
    [
        (["rollout", "list"], 50, [50]),
        (["rollout", "list", "--limit", "500"], 500, [500]),
        (["approval", "list", "--limit", "501"], 501, [500, 1]),
        (["audit", "list", "--limit", "1200"], 1_200, [500, 500, 200]),
        (["rollout", "list", "--limit", "5000"], 1_201, [500, 500, 500]),
        (["audit", "list", "--all"], 1_201, [500, 500, 500]),
        (["rollout", "list", "--limit", "3", "--all"], 1_201, [500, 500, 500]),
    ],
)
def test_a_list_is_followed_as_far_as_was_asked(
    ask: Ask, impostor: Impostor, words: list[str], count: int, asked: list[int]
) -> None:
    impostor.handler = _numbered
    found = json.loads(ask(*words, "--json").out)
    assert [one["id"] for one in found["items"]] == [f"{1_200 - number:026}" for number in range(count)]
    assert found["next"] == (found["items"][-1]["id"] if count < 1_201 else None)
    queries = [dict(parse_qsl(urlsplit(told.path).query)) for told in impostor.heard]
    assert [int(query["limit"]) for query in queries] == asked


def test_a_list_that_goes_nowhere_ends(ask: Ask, impostor: Impostor) -> None:
    for items in ([{"id": "0" * 26}], []):
        impostor.answers(200, "application/json", json.dumps({"items": items, "next": "same"}).encode())
        impostor.heard.clear()
        assert ask("rollout", "list", "--all", "--quiet").code == 0
        assert len(impostor.heard) <= 2


def test_the_filters_are_the_planes_own(ask: Ask, impostor: Impostor) -> None:
    impostor.answers(200, "application/json", b'{"items": [], "next": null}')
    place = f"/{'0' * 26}/"
    for words, expected in (
        (["rollout", "list", "--state", "draft", "--scope", place], {"state": "draft", "scope": place}),
        (["approval", "list", "--waiting", "--before", "0" * 26], {"waiting": "true", "before": "0" * 26}),
        (["approval", "list"], {}),
        (["audit", "list", "--scope", place, "--action", "rollout."], {"action": "rollout.", "scope": place}),
        (["person", "list", "--scope", place, "--after", "anna"], {"scope": place, "after": "anna"}),
        (["binding", "list", "--scope", place], {"scope": place}),
    ):
        assert ask(*words).code == 0
        query = dict(parse_qsl(urlsplit(impostor.heard[-1].path).query))
        assert query == {"limit": "50"} | expected


def test_an_answer_of_another_form_asks_to_compare_versions(ask: Ask, impostor: Impostor) -> None:
    impostor.answers(200, "application/json", b'{"person": 7}')
    said = ask()
    assert said.code == 1
    assert "[plane.form]" in said.err


@pytest.mark.parametrize(
    ("status", "code", "exit_code"),
    [
        (401, "token.refused", 1),
        (403, "access.denied", 3),
        (404, "person.not_found", 1),
        (409, "rollout.started", 1),
        (409, "rollout.not_approved", 3),
        (412, "approval.stale", 1),
        (421, "request.host", 1),
        (422, "login.short", 1),
        (429, "session.throttled", 1),
        (500, "plane.defect", 1),
        (503, "database.unavailable", 4),
    ],
)
def test_a_refusal_is_told_with_its_remedy_and_code(
    ask: Ask, impostor: Impostor, status: int, code: str, exit_code: int
) -> None:
    impostor.answers(status, PROBLEM, problem(status, code, remedy="Do that."))
    said = ask()
    assert said.code == exit_code
    assert "It is so." in said.err
    assert f"[{code}]" in said.err
    assert ("checkvalve login" if status == 401 else "Do that.") in said.err


def test_a_defect_of_the_plane_names_the_request(ask: Ask, impostor: Impostor) -> None:
    impostor.answers(500, PROBLEM, problem(500, "plane.defect", request="01m831q1fzsf7at3qyjsc0dv48"))
    assert "01m831q1fzsf7at3qyjsc0dv48" in ask().err


def test_errors_are_json_where_json_was_asked_for(ask: Ask, impostor: Impostor) -> None:
    impostor.answers(403, PROBLEM, problem(403, "access.denied", remedy="Ask.", facts={"n": 1}))
    for words in (["whoami", "--json"], ["--json", "whoami"]):
        said = ask(*words)
        assert said.out == ""
        wanted = {"code": "access.denied", "facts": {"n": 1}, "remedy": "Ask.", "sentence": "It is so."}
        assert json.loads(said.err) == wanted


def test_what_a_plane_says_cannot_steer_the_terminal_or_give_the_token_away(ask: Ask, impostor: Impostor) -> None:
    evil = problem(403, "x", remedy=f"\x1b[2J\u202e {TOKEN}")
    impostor.answers(403, PROBLEM, evil)
    said = ask()
    assert "\x1b" not in said.err
    assert "\u202e" not in said.err


def test_a_slow_answer_is_not_waited_for_for_ever(
    ask: Ask, impostor: Impostor, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("CHECKVALVE_TIMEOUT", "0.3")

    def wait(_: Exchange) -> None:
        impostor.ended.wait(20)

    impostor.handler = wait
    said = ask()
    assert said.code == 4
    assert "did not answer within 0.3 seconds" in said.err
    assert "CHECKVALVE_TIMEOUT" in said.err


def test_an_answer_that_drips_is_cut_off(ask: Ask, impostor: Impostor, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("CHECKVALVE_TIMEOUT", "0.5")

    def drip(exchange: Exchange) -> None:
        exchange.send_response(200)
        exchange.send_header("Content-Type", "application/json")
        exchange.send_header("Content-Length", "100000")
        exchange.end_headers()
        while not impostor.ended.wait(0.1):
            exchange.wfile.write(b" ")

    impostor.handler = drip
    said = ask()
    assert (said.code, "[plane.timeout]" in said.err) == (4, True)


def test_a_change_that_was_cut_off_may_have_been_made(ask: Ask, impostor: Impostor) -> None:
    def hang_up(exchange: Exchange) -> None:
        exchange.send_response(201)
        exchange.send_header("Content-Length", "100")
        exchange.end_headers()
        exchange.wfile.write(b"{")
        exchange.close_connection = True

    impostor.handler = hang_up
    said = ask("scope", "create", "organisation", "Norra")
    assert said.code == 4
    assert "may have been made or not" in said.err


def test_an_endless_answer_is_not_read_to_its_end(impostor: Impostor) -> None:
    impostor.answers(200, "application/json", b" " * 100_000)
    with httpx.Client(verify=False) as http, pytest.raises(UnavailableError, match=r"plane\.too_large"):
        client.exchange(http, http.build_request("GET", impostor.url), 10, 50_000)


def test_a_certificate_of_another_authority_is_refused_before_anything_is_sent(
    ask: Ask, impostor: Impostor, terminal: Terminal, tmp_path: Path
) -> None:
    terminal.config.unlink()
    Impostor(impostor.url, Authority.made(tmp_path)).signed_in_at(terminal.config)
    said = ask()
    assert said.code == 5
    assert "does not prove to be the plane" in said.err
    assert "[plane.certificate]" in said.err
    assert impostor.heard == []


def test_a_certificate_for_another_name_is_refused(ask: Ask, impostor: Impostor, terminal: Terminal) -> None:
    terminal.config.unlink()
    Impostor(impostor.url.replace("localhost", "127.0.0.1"), impostor.authority).signed_in_at(terminal.config)
    assert ask().code == 5
    assert impostor.heard == []


def test_a_port_where_nobody_listens_is_said_so(ask: Ask, terminal: Terminal, impostor: Impostor) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    terminal.config.unlink()
    Impostor(f"https://localhost:{port}", impostor.authority).signed_in_at(terminal.config)
    said = ask()
    assert said.code == 4
    assert "cannot be reached: Connection refused" in said.err


def test_a_port_that_speaks_no_tls_is_said_so(ask: Ask, terminal: Terminal, impostor: Impostor) -> None:
    def speak(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(1000)
            connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n" * 10)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=speak, args=[listener])
        thread.start()
        terminal.config.unlink()
        Impostor(f"https://localhost:{listener.getsockname()[1]}", impostor.authority).signed_in_at(terminal.config)
        said = ask()
        thread.join()
    assert said.code == 4
    assert "speaks no TLS" in said.err


def test_a_timeout_that_is_no_number_is_a_usage_error(ask: Ask, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("CHECKVALVE_TIMEOUT", "soon")
    assert ask().code == 2
