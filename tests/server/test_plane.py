# SPDX-License-Identifier: Apache-2.0
"""The plane as its own process: made once, served by one, stopped politely, killed without loss."""

import json
import os
import random
import signal
import ssl
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from checkvalve.crypto import certificates
from checkvalve.demo.caller import RefusedError
from checkvalve.server import settings
from tests.parts import kills, postgres, supply_kills
from tests.parts.plane import CHECKVALVE, PASSWORD, PlaneProcess
from tests.parts.supply_work import Plant

pytestmark = pytest.mark.slow


@pytest.fixture
def plane(tmp_path: Path, made_plane: Path) -> Iterator[PlaneProcess]:
    plane = PlaneProcess(tmp_path / "plane").like(made_plane)
    yield plane
    plane.close()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.real_parts)])
def plane_on(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[PlaneProcess]:
    url = "sqlite:"
    if request.param == "postgresql":
        cluster: postgres.Cluster = request.getfixturevalue("cluster")
        cluster.sql("CREATE DATABASE plane_process")
        url = cluster.url("plane_process")
    plane = PlaneProcess(tmp_path / "plane", url)
    done = plane.init()
    assert done.returncode == 0, done.stderr
    yield plane
    plane.close()
    if request.param == "postgresql":
        cluster.drop("plane_process")


def _run(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
    said = {**os.environ, **env}
    command = [*CHECKVALVE, *words]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, env=said)


def test_a_plane_is_made_once_and_its_secrets_are_for_its_account_only(plane: PlaneProcess) -> None:
    again = plane.init()
    assert (again.returncode, json.loads(again.stderr)["code"]) == (1, "plane.exists")
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in (plane.directory / "keys").iterdir()}
    assert modes == {
        "authority.crt": 0o644,
        "authority.key": 0o600,
        "online.key": 0o600,
        "online.pub": 0o644,
        "orders.crt": 0o644,
        "orders.key": 0o600,
        "plane.crt": 0o644,
        "plane.key": 0o600,
        "values.key": 0o600,
    }
    assert stat.S_IMODE(plane.directory.stat().st_mode) == 0o700
    assert not list(plane.directory.rglob("*.partial"))


def test_both_listeners_answer_over_the_pinned_authority(plane: PlaneProcess) -> None:
    plane.start()
    verify = ssl.create_default_context(cafile=str(plane.authority))
    assert httpx.get(f"{plane.url}/readyz", verify=verify).json() == {"status": "ready"}
    assert httpx.get(f"{plane.devices}/v1/plane", verify=verify).json()["ca_pin"] == plane.pin
    assert httpx.get(f"{plane.devices}/api/v1/plane", verify=verify).status_code == 404
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{plane.url}/readyz")


def test_an_init_that_was_cut_short_is_finished_by_the_same_command(tmp_path: Path) -> None:
    plane = PlaneProcess(tmp_path / "plane")
    assert plane.init().returncode == 0
    pin = plane.start().pin
    plane.kill()
    (plane.directory / settings.FILE).unlink()
    assert plane.init().returncode == 0
    assert plane.start().pin == pin
    assert plane.caller().get("/api/v1/me")["person"]["login"] == "admin"
    entries = plane.caller().get("/api/v1/audit", action="plane.init")["items"]
    assert len(entries) == 1
    plane.close()


def test_serving_a_directory_twice_is_refused(plane: PlaneProcess) -> None:
    plane.start()
    second = _run("serve", "--data", str(plane.directory), "--json")
    assert (second.returncode, json.loads(second.stderr.splitlines()[-1])["code"]) == (1, "serve.running")


def test_a_role_apart_needs_postgresql_and_says_why(plane: PlaneProcess) -> None:
    refused = _run("serve", "--data", str(plane.directory), "--role", "devices")
    assert refused.returncode == 1
    assert "SQLite takes one writer only" in refused.stderr


def test_a_port_that_is_taken_is_named(plane: PlaneProcess) -> None:
    plane.start()
    other = PlaneProcess(plane.directory.parent / "other")
    port = plane.url.rpartition(":")[2]
    assert other.init("--operators", f"127.0.0.1:{port}").returncode == 0
    refused = _run("serve", "--data", str(other.directory))
    assert refused.returncode == 4
    assert f"cannot take port {port}" in refused.stderr


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--admin", "no spaces allowed"), "login.characters"),
        (("--operators", "127.0.0.1:99999"), "settings.address"),
        (("--database", "mysql://x"), "settings.database"),
        (("--database", "postgresql://nobody@/none?host=/nowhere"), "database.unavailable"),
        (("--names", "bad name"), "certificate.name"),
    ],
)
def test_bad_input_to_init_is_named_and_makes_no_plane(tmp_path: Path, words: tuple[str, ...], code: str) -> None:
    plane = PlaneProcess(tmp_path / "plane")
    done = plane.init(*words)
    assert (done.returncode != 0, json.loads(done.stderr)["code"]) == (True, code)
    assert not (plane.directory / settings.FILE).exists()


def test_a_setting_nobody_knows_stops_the_plane_with_its_name(plane: PlaneProcess) -> None:
    file = plane.directory / settings.FILE
    file.write_text("prot = 1\n" + file.read_text())
    refused = _run("serve", "--data", str(plane.directory))
    assert refused.returncode == 1
    assert "prot" in refused.stderr


def test_a_scheme_whose_bands_overlap_stops_the_plane_with_what_is_wrong(plane: PlaneProcess) -> None:
    shipped = Path("src/checkvalve/server/scorecard/data/scheme.toml").read_text()
    (plane.directory / "bands.toml").write_text(shipped.replace("developing = 8", "developing = 18"))
    file = plane.directory / "checkvalve.toml"
    file.write_text(file.read_text().replace('scheme = ""', 'scheme = "bands.toml"'))
    said = _run("serve", "--data", str(plane.directory))
    assert (said.returncode, "the bands of section overlap" in said.stderr) == (1, True), said.stderr
    (plane.directory / "bands.toml").unlink()
    assert "bands.toml, cannot be read" in _run("serve", "--data", str(plane.directory)).stderr


def test_settings_that_init_wrote_read_back_as_they_were_given(tmp_path: Path) -> None:
    given = settings.Settings(
        plane='Vattenverk "Norra"\\', names=("plåne.example", "::1"), operators=settings.Listener("::", 1)
    )
    settings.write(tmp_path, given)
    assert settings.read(tmp_path) == given


def test_sigterm_stops_it_with_nothing_said(plane: PlaneProcess) -> None:
    plane.start()
    plane.caller()
    assert plane.stop() == 0
    assert "Traceback" not in plane.log()


def test_another_name_gives_another_certificate_and_the_same_pin(plane: PlaneProcess) -> None:
    pin = plane.start().pin
    plane.stop()
    file = plane.directory / settings.FILE
    file.write_text(file.read_text().replace('"localhost"', '"localhost","plane.norra.example"'))
    assert plane.start().pin == pin
    der = certificates.from_pem((plane.directory / "keys" / "plane.crt").read_bytes())
    assert set(certificates.names(der)) == {"localhost", "plane.norra.example", "127.0.0.1"}


def test_a_lost_password_is_replaced_on_the_planes_machine_and_sessions_end(
    plane: PlaneProcess, tmp_path: Path
) -> None:
    plane.start()
    before = plane.caller()
    (tmp_path / "new").write_text("quite another long phrase\n")
    words = ("--data", str(plane.directory), "--login", "admin", "--password-file", str(tmp_path / "new"))
    assert _run("reset-password", *words).returncode == 0
    with pytest.raises(RefusedError):
        before.get("/api/v1/me")
    with pytest.raises(RefusedError):
        plane.caller(password=PASSWORD)
    after = plane.caller(password="quite another long phrase")
    assert after.get("/api/v1/audit", action="person.reset_password")["items"][0]["actor"]["kind"] == "plane"


def test_a_better_certificate_is_taken_on_sighup_and_a_broken_one_is_not(
    plane: PlaneProcess, tmp_path: Path, wait_until: Callable[[Callable[[], bool]], None]
) -> None:
    certificate, key = tmp_path / "company.crt", tmp_path / "company.key"
    certificate.write_bytes((plane.directory / "keys" / "plane.crt").read_bytes())
    key.write_bytes((plane.directory / "keys" / "plane.key").read_bytes())
    file = plane.directory / settings.FILE
    text = file.read_text().replace('operators_certificate = ""', f'operators_certificate = "{certificate}"')
    file.write_text(text.replace('operators_key = ""', f'operators_key = "{key}"'))
    plane.start()
    certificate.write_text("garbage")
    plane.signal(signal.SIGHUP)
    wait_until(lambda: "was not taken" in plane.log())
    trust = ssl.create_default_context(cafile=str(plane.authority))
    assert httpx.get(f"{plane.url}/readyz", verify=trust).status_code == 200


def test_killed_in_the_middle_of_its_work_it_has_all_it_acknowledged_once(plane_on: PlaneProcess) -> None:
    found = kills.killed_after(plane_on.start(), "first", 60)
    assert (found.lost, found.without_entry, found.doubled) == ([], [], [])
    assert found.acknowledged >= 60


def test_killed_while_releases_are_made_and_signed_it_has_all_it_acknowledged(plane_on: PlaneProcess) -> None:
    seed = random.randrange(1_000_000)
    found = supply_kills.killed(Plant(plane_on.start()).found(), f"s{seed}", random.Random(seed))
    assert found.wrong == [], f"seed {seed}"
