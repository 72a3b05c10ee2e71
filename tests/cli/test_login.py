# SPDX-License-Identifier: Apache-2.0
"""Signing in: the plane proves itself first, a token takes the place of the password, signing out ends it."""

import json
import ssl
import stat
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from checkvalve.crypto import certificates
from tests.cli.impostor import PROBLEM, TOKEN, Authority, Impostor
from tests.cli.terminal import Terminal, Typist, password_file, process, sign_in
from tests.parts.plane import PASSWORD, PlaneProcess

OTHER_PIN = "sha256:" + "0" * 64


def kept(terminal: Terminal) -> dict[str, str]:
    found: dict[str, str] = json.loads(terminal.config.read_text())
    return found


def asked_with(plane: PlaneProcess, token: str) -> int:
    """Return the status that the plane gives to `token`."""
    trust = ssl.create_default_context(cafile=str(plane.authority))
    return httpx.get(f"{plane.url}/api/v1/me", headers={"Authorization": f"Bearer {token}"}, verify=trust).status_code


def test_a_wrong_pin_sends_nothing(terminal: Terminal, impostor: Impostor) -> None:
    said = terminal(
        "login", impostor.url, "--pin", OTHER_PIN, "--login", "anna", "--password-file", "-", stdin=f"{PASSWORD}\n"
    )
    assert said.code == 5
    assert impostor.authority.pin in said.err
    assert "Nothing was sent to it" in said.err
    assert [(told.method, told.path, told.body) for told in impostor.heard] == [("GET", "/ca.pem", b"")]
    assert not terminal.config.exists()


def test_without_a_pin_and_without_a_person_to_ask_nothing_is_even_connected(
    terminal: Terminal, impostor: Impostor
) -> None:
    said = terminal("login", impostor.url, "--login", "anna", "--password-file", "-", stdin=f"{PASSWORD}\n")
    assert (said.code, "[cli.pin]" in said.err) == (2, True)
    assert terminal("--yes", "login", impostor.url, "--login", "anna").code == 2
    assert impostor.heard == []


@pytest.mark.parametrize("pin", ["sha256:12", "md5:" + "0" * 64, "sha256:" + "g" * 64, " "])
def test_what_is_no_pin_is_refused_before_anything_is_sent(terminal: Terminal, impostor: Impostor, pin: str) -> None:
    assert terminal("login", impostor.url, "--pin", pin, "--login", "anna").code == 2
    assert impostor.heard == []


@pytest.mark.parametrize("url", ["http://localhost:9443", "https://anna:secret@localhost", "https://localhost/x"])
def test_what_is_no_address_is_refused(terminal: Terminal, url: str) -> None:
    said = terminal("login", url, "--pin", OTHER_PIN, "--login", "anna")
    assert (said.code, "[cli.url]" in said.err, "secret" in said.err) == (2, True, False)


def test_what_else_stands_in_the_authoritys_file_is_not_trusted(
    terminal: Terminal, impostor: Impostor, tmp_path: Path
) -> None:
    """The pin is that of the first certificate; the server's own issuer comes second and is covered by nothing."""
    first = Authority.made(tmp_path)
    impostor.authority = Authority(first.pem + impostor.authority.pem, first.pin, first.chain, first.key)
    said = terminal(
        "login", impostor.url, "--pin", first.pin, "--login", "anna", "--password-file", "-", stdin=f"{PASSWORD}\n"
    )
    assert said.code == 5
    assert [told.path for told in impostor.heard] == ["/ca.pem"]


@pytest.mark.parametrize(("status", "body"), [(404, b""), (200, b"<html>"), (200, b"-----BEGIN CERTIFICATE-----\nx")])
def test_a_server_without_an_authority_is_no_plane(
    terminal: Terminal, impostor: Impostor, status: int, body: bytes
) -> None:
    impostor.authority = Authority(body, "", impostor.authority.chain, impostor.authority.key)
    said = terminal("login", impostor.url, "--pin", OTHER_PIN, "--login", "anna")
    assert (said.code, "[plane.no_authority]" in said.err) == (4, True)
    assert status


def test_system_trust_does_not_know_a_planes_own_authority(terminal: Terminal, impostor: Impostor) -> None:
    said = terminal(
        "login", impostor.url, "--system-trust", "--login", "anna", "--password-file", "-", stdin=f"{PASSWORD}\n"
    )
    assert said.code == 5
    assert impostor.heard == []


def test_a_pin_is_checked_even_where_the_environment_names_an_authority(
    terminal: Terminal, impostor: Impostor, environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "ca.pem").write_bytes(impostor.authority.pem)
    environment.setenv("CHECKVALVE_CA", str(tmp_path / "ca.pem"))
    words = ["--login", "anna", "--password-file", "-"]
    assert terminal("login", impostor.url, "--pin", OTHER_PIN, *words, stdin=f"{PASSWORD}\n").code == 5
    assert [told.path for told in impostor.heard] == ["/ca.pem"]


def test_a_pin_and_system_trust_exclude_each_other(terminal: Terminal, impostor: Impostor) -> None:
    assert terminal("login", impostor.url, "--system-trust", "--pin", OTHER_PIN, "--login", "anna").code == 2


@pytest.mark.parametrize("text", ["", "hunter2", TOKEN[:-1], TOKEN + "x"])
def test_a_file_without_a_token_is_not_repeated(
    terminal: Terminal, impostor: Impostor, tmp_path: Path, text: str
) -> None:
    file = tmp_path / "token"
    file.write_text(text)
    said = terminal("login", impostor.url, "--pin", impostor.authority.pin, "--token-file", str(file))
    assert said.code == 2
    assert not text or text not in said.err
    assert impostor.heard == []


def test_a_refused_sign_in_leaves_nothing_behind(terminal: Terminal, impostor: Impostor) -> None:
    impostor.answers(
        401, PROBLEM, b'{"title":"U","status":401,"detail":"No.","code":"session.refused","remedy":"Try."}'
    )
    said = terminal(
        "login",
        impostor.url,
        *("--pin", impostor.authority.pin, "--login", "anna", "--password-file", "-"),
        stdin=f"{PASSWORD}\n",
    )
    assert (said.code, "[session.refused]" in said.err, PASSWORD in said.err) == (1, True, False)
    assert not terminal.config.exists()
    assert json.loads(impostor.heard[-1].body) == {"login": "anna", "password": PASSWORD}
    assert impostor.heard[-1].authorization == ""


@pytest.mark.slow
def test_a_sign_in_keeps_a_token_and_no_password_and_no_session(terminal: Terminal, plane: PlaneProcess) -> None:
    sign_in(terminal, plane, "admin")
    assert stat.S_IMODE(terminal.config.stat().st_mode) == 0o600
    assert PASSWORD not in terminal.config.read_text()
    there = kept(terminal)
    assert there["url"] == plane.url
    assert there["login"] == "admin"
    assert certificates.from_pem(there["ca"].encode()) == certificates.from_pem(plane.authority.read_bytes())
    assert "admin" in terminal.done("whoami")
    me = json.loads(terminal.done("whoami", "--json"))
    assert me["token"]["label"].startswith("cli@")
    listed = json.loads(terminal.done("session", "list", "--password-file", password_file(plane), "--json"))
    assert [one["this"] for one in listed["items"]] == [True]


@pytest.mark.slow
def test_signing_out_revokes_the_token(terminal: Terminal, plane: PlaneProcess) -> None:
    sign_in(terminal, plane, "admin")
    token = kept(terminal)["token"]
    assert asked_with(plane, token) == 200
    said = terminal("logout")
    assert (said.code, token in said.out + said.err) == (0, False)
    assert "token is revoked" in said.out
    assert asked_with(plane, token) == 401
    assert not terminal.config.exists()
    assert terminal("whoami").code == 1
    assert terminal("logout").code == 0


def test_signing_out_of_a_plane_that_wants_a_person_takes_the_password(terminal: Terminal, impostor: Impostor) -> None:
    refusal = b'{"title":"F","status":403,"detail":"No.","code":"token.not_in_person","remedy":"Sign in."}'
    impostor.signed_in_at(terminal.config)
    impostor.answers(403, PROBLEM, refusal)
    said = terminal("logout")
    assert (said.code, "[cli.logout]" in said.err) == (2, True)
    assert terminal.config.exists()
    terminal("logout", "--password-file", "-", stdin=f"{PASSWORD}\n")
    assert (impostor.heard[-1].path, impostor.heard[-1].authorization) == ("/api/v1/session", "")
    assert terminal.config.exists()


@pytest.mark.slow
def test_signing_out_here_only_leaves_the_token_and_says_so(terminal: Terminal, plane: PlaneProcess) -> None:
    sign_in(terminal, plane, "admin")
    token = kept(terminal)["token"]
    assert "holds on" in terminal.done("logout", "--local")
    assert not terminal.config.exists()
    assert asked_with(plane, token) == 200


@pytest.mark.slow
def test_signing_in_again_revokes_the_token_before_and_needs_no_pin(terminal: Terminal, plane: PlaneProcess) -> None:
    sign_in(terminal, plane, "admin")
    first = kept(terminal)["token"]
    terminal.done("login", plane.url, "--password-file", password_file(plane))
    assert asked_with(plane, first) == 401
    assert asked_with(plane, kept(terminal)["token"]) == 200


@pytest.mark.slow
def test_a_token_in_a_file_is_a_sign_in_too(
    terminals: Callable[[str], Terminal], plane: PlaneProcess, tmp_path: Path
) -> None:
    mine, other = terminals("mine"), terminals("other")
    sign_in(mine, plane, "admin")
    secret = mine.done("token", "create", "robot", "--password-file", password_file(plane), "--quiet")
    (tmp_path / "token").write_text(secret + "\n")
    other.done("login", plane.url, "--pin", plane.pin, "--token-file", str(tmp_path / "token"))
    assert json.loads(other.done("whoami", "--json"))["token"]["label"] == "robot"


@pytest.mark.slow
def test_the_environment_is_enough(terminal: Terminal, plane: PlaneProcess, environment: pytest.MonkeyPatch) -> None:
    sign_in(terminal, plane, "admin")
    token = kept(terminal)["token"]
    terminal.config.unlink()
    environment.setenv("CHECKVALVE_URL", plane.url)
    environment.setenv("CHECKVALVE_TOKEN", token)
    assert terminal("whoami").code == 5  # the system's trust does not know the plane
    environment.setenv("CHECKVALVE_CA", str(plane.authority))
    assert "admin" in terminal.done("whoami")


@pytest.mark.slow
def test_a_person_is_asked_for_the_pin_the_login_and_the_password(plane: PlaneProcess, tmp_path: Path) -> None:
    typist = Typist(tmp_path, "login", plane.url)
    typist.reads("Is that the pin")
    assert plane.pin in typist.seen.replace("\r\n", "")
    typist.types("y")
    typist.reads("Login:")
    typist.types("admin")
    typist.reads("Password of admin:")
    typist.types(PASSWORD)
    assert typist.ends() == 0
    assert PASSWORD not in typist.seen
    assert "admin is signed in" in typist.seen
    assert process(tmp_path, "whoami", "--quiet").returncode == 0


@pytest.mark.slow
def test_a_person_who_does_not_know_the_pin_sends_no_password(plane: PlaneProcess, tmp_path: Path) -> None:
    typist = Typist(tmp_path, "login", plane.url, "--login", "admin")
    typist.reads("Is that the pin")
    typist.types("")
    assert typist.ends() == 1
    assert "Password" not in typist.seen
    assert "Nothing was done" in typist.seen
