# SPDX-License-Identifier: Apache-2.0
"""Values from a terminal, against a real plane: set, shown with their origin, compared with what runs."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from checkvalve import clock
from checkvalve.protocol import workload
from checkvalve.server.db import schema
from checkvalve.server.db.database import Tx
from tests.cli.depot import Depot
from tests.cli.terminal import Terminal, Typist, password_file, sign_in
from tests.cli.works import fresh, plane
from tests.parts.plane import PlaneProcess
from tests.server.values.world import manifest

pytestmark = pytest.mark.slow

PLANTED = "plant3d-s3cret-7f"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlaneProcess]:
    """Serve a plane for this module."""
    made = plane(tmp_path_factory.mktemp("values"))
    yield made
    made.close()


@pytest.fixture
def depot(served: PlaneProcess, terminals: Callable[[str], Terminal]) -> Depot:
    """Return an organisation of its own, with an operator at a terminal and two devices that run an open release."""
    admin, desk = terminals("admin"), terminals("desk")
    sign_in(admin, served, "admin")
    if "oskar" not in admin.done("person", "list"):
        admin.done("person", "create", "oskar", "--name", "Oskar", "--password-file", password_file(served))
        admin.done("binding", "create", "oskar", "operator", "--scope", "/")
    sign_in(desk, served, "oskar")
    made = Depot(served, admin, desk)
    data = workload.write(manifest(version=fresh("1.")))
    row = {
        "id": clock.new_id(),
        "scope": made.path,
        "line": workload.line(made.path, "press-line"),
        "name": "press-line",
        "version": workload.read(data).version,
        "number": 1,
        "digest": workload.digest(data),
        "manifest": data,
        "source": b"",
        "size": 1,
        "state": "published",
        "made_by": "",
        "made_at": clock.now(),
        "changed_at": clock.now(),
    }

    def put(tx: Tx) -> None:
        tx.run(sa.insert(schema.releases).values(**row))

    with made.database() as database:
        database.write_now("release", put)
    return made.has("p-1", "p 2", before=f"press-line@{row['digest']}")


def _set(depot: Depot, *words: str) -> str:
    return depot.desk.done("config", "set", "--at", depot.name, *words)


def test_a_set_says_who_uses_it_and_the_command_that_brings_it(depot: Depot) -> None:
    dry = _set(depot, "RATE=12", "--dry-run")
    assert "variable RATE would be set" in dry
    assert "rollout draft" not in dry
    said = _set(depot, "RATE=12", "PLC=10.0.0.5", "--note", "MOC-9")
    assert f"variable RATE set at {depot.name}." in said
    assert "2 devices there run press-line 1." in said
    listed = depot.desk.done("config", "list", "--at", depot.name)
    assert "Oskar" in listed  # who may not read people reads who set it
    assert (
        json.loads(depot.desk.done("config", "list", "--at", depot.name, "--json"))["items"][0]["made_by"] not in listed
    )
    assert "A rollout brings it: checkvalve rollout draft 'Values of press-line' --release press-line@1." in said
    assert f"--selector runs:press-line@1.{said.partition('press-line 1.')[2].partition(',')[0]} --scope" in said
    assert "Nothing changed" in _set(depot, "RATE=12")
    one = depot.desk.done("config", "set", "--at", "device:p 2", "RATE=13", "--scope", depot.name)
    assert "1 device there runs press-line" in one
    assert "RATE" in depot.desk.done("config", "show", "device:p 2", "--scope", depot.name)
    assert f"--selector device:{depot.devices['p 2'].id} --scope" in one
    assert "--selector device:p-1 " in depot.desk.done("config", "set", "--at", "p-1", "RATE=14", "--scope", depot.name)
    assert "No device there runs a release that declares it." in _set(depot, "SOMETHING=1")


def test_a_device_is_shown_with_origins_and_compared_with_what_it_runs(depot: Depot, tmp_path: Path) -> None:
    (tmp_path / "tags.csv").write_text("pump\nvalve\n")
    (tmp_path / "mqtt").write_text(PLANTED + "\n")
    _set(depot, "RATE=12", "--file", f"tags.csv={tmp_path / 'tags.csv'}", "--secret-file", f"mqtt={tmp_path / 'mqtt'}")
    shown = depot.desk("config", "show", "p-1", "--scope", depot.name)
    lines = {line.split()[0]: " ".join(line.split()[1:]) for line in shown.out.splitlines() if line.strip()}
    assert lines["RATE"] == f"variable 12 {depot.name} 10"
    assert lines["LOGS"] == "variable /var/log/press default the same"
    assert lines["tags.csv"] == f"file 2 lines, 11 bytes {depot.name} 1 line, 5 bytes"
    assert lines["mqtt"] == f"secret (secret) {depot.name} another, or none"
    assert lines["PLC"] == "variable (missing) missing the same"
    assert "In the way of a rollout: The variable PLC has no value." in shown.err
    said = depot.desk.done("config", "diff", "p-1", "--scope", depot.name).splitlines()
    assert said[1:3] == ["  In the way: The variable PLC has no value.", f"  RATE: 10 -> 12  (from {depot.name})"]
    assert [line.strip() for line in said if line.startswith("    ")][3:] == ["-none", "+pump", "+valve"]
    every = depot.desk.done("config", "diff", "--at", depot.name)
    assert every.count("RATE: 10 -> 12") == 2
    assert depot.desk.done("config", "diff", "--at", depot.name, "--selector", 'device:"p 2"', "-q") == (
        depot.devices["p 2"].id
    )
    assert PLANTED not in shown.out + every
    assert "Nothing differs" in depot.desk.done("config", "diff", "--at", depot.name, "--selector", "tag:none")


def test_what_was_set_is_listed_and_its_history_too(depot: Depot) -> None:
    _set(depot, "RATE=1", "--note", "first")
    _set(depot, "RATE=2", "--release", "press-line")
    _set(depot, "--unset", "RATE", "--note", "gone")
    listed = depot.desk.done("config", "list", "--at", depot.name)
    assert [line.split()[:4] for line in listed.splitlines()[2:]] == [["RATE", "variable", "2", "press-line"]]
    history = depot.desk.done("config", "history", "RATE", "--at", depot.name)
    assert [line.split()[2] for line in history.splitlines()[2:]] == ["(taken", "2", "1"]
    assert "gone" in history
    assert "oskar" in depot.admin.done("config", "history", "--at", depot.name)
    both = depot.desk("config", "list", "--at", depot.name, "--scope", depot.name)
    assert (both.code, "[config.form]" in both.err) == (2, True)
    answer = json.loads(depot.desk.done("config", "history", "--at", depot.name, "--json"))
    assert [one["taken"] for one in answer["items"]] == [True, False, False]
    other = depot.desk("config", "set", "--at", depot.name, "--unset", "RATE")
    assert (other.code, "[config.unset]" in other.err) == (1, True)


def test_a_person_types_a_secret_twice_and_it_is_nowhere_on_the_screen(depot: Depot) -> None:
    typist = Typist(depot.desk.home, "config", "set", "--at", depot.name, "--secret", "mqtt")
    typist.reads("Secret mqtt:")
    typist.types(PLANTED)
    typist.reads("Once more:")
    typist.types(PLANTED)
    assert typist.ends() == 0
    assert "secret mqtt set at" in typist.seen
    assert PLANTED not in typist.seen
    kept = [each.read_bytes() for each in depot.plane.directory.rglob("*") if each.is_file()]
    assert not any(PLANTED.encode() in data for data in kept)
    typist = Typist(depot.desk.home, "config", "set", "--at", depot.name, "--secret", "mqtt")
    typist.reads("Secret mqtt:")
    typist.types("one")
    typist.reads("Once more:")
    typist.types("other")
    assert typist.ends() == 2
    assert "[config.secret]" in typist.seen


WRONG: tuple[tuple[list[str], int, str], ...] = (
    ([], 2, "config.nothing"),
    (["RATE"], 2, "config.form"),
    (["=1"], 2, "config.form"),
    (["--file", "tags.csv"], 2, "config.form"),
    (["--file", "tags.csv=/not/there"], 2, "file.unreadable"),
    (["--secret", "mqtt"], 2, "config.secret"),
    (["--secret", f"mqtt={PLANTED}"], 2, "config.secret"),
    (["R-1=1"], 1, "values.name"),
    (["PLC=here", "--release", "press-line"], 1, "values.misfit"),
    (["RATE=1", "RATE=2"], 1, "values.twice"),
)


def test_what_cannot_be_set_is_said_before_anything_is_changed(depot: Depot) -> None:
    for words, code, error in WRONG:
        said = depot.desk("config", "set", "--at", depot.name, *words)
        assert (said.code, f"[{error}]" in said.err) == (code, True), said.err
        assert PLANTED not in said.err + said.out
    assert depot.desk.done("config", "list", "--at", depot.name) == ""


def test_a_place_that_is_none_is_said_so_and_a_file_may_come_on_standard_input(depot: Depot) -> None:
    for text, error in (("Nowhere", "place.unknown"), ("device:Nowhere", "device.unknown"), ("/", "values.place")):
        said = depot.desk("config", "set", "--at", text, "RATE=1")
        assert f"[{error}]" in said.err, said.err
    here = depot.devices["p-1"].id
    depot.desk.done("config", "set", "--at", here, "--file", "tags.csv=-", stdin="a,b\n")
    (one,) = json.loads(depot.desk.done("config", "list", "--at", "p-1", "--scope", depot.name, "--json"))["items"]
    assert one["content"] == "a,b\n"
    (tmp := depot.desk.home / "latin").write_bytes(b"\xe9")
    said = depot.desk("config", "set", "--at", here, "--file", f"tags.csv={tmp}")
    assert (said.code, "[config.text]" in said.err) == (2, True)
