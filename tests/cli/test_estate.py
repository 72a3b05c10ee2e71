# SPDX-License-Identifier: Apache-2.0
"""The declared estate from a terminal, against a real plane: declared, brought in a file, seen, and taken back."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from checkvalve.protocol import estate
from checkvalve.server.estate.model import LONGEST_NOTE, MOST
from tests.cli.terminal import Terminal, sign_in
from tests.cli.works import fresh, plane
from tests.parts.plane import PlaneProcess

pytestmark = pytest.mark.slow

HEADING = "site,kind,class,number,note"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlaneProcess]:
    """Serve a plane for this module."""
    served = plane(tmp_path_factory.mktemp("estate"))
    yield served
    served.close()


@pytest.fixture
def admin(served: PlaneProcess, terminals: Callable[[str], Terminal]) -> Terminal:
    terminal = terminals("admin")
    sign_in(terminal, served, "admin")
    return terminal


@pytest.fixture
def site(admin: Terminal) -> str:
    """Return the name of a site that nothing is declared at."""
    org = fresh("Works ")
    admin.done("scope", "create", "organisation", org)
    admin.done("scope", "create", "site", "Visby", "--scope", org)
    return f"{org}/Visby"


def test_a_class_is_declared_shown_and_taken_back(admin: Terminal, site: str) -> None:
    said = admin.done("estate", "declare", "PLC", "640", "--at", site, "--note", "counted in May")
    assert said.splitlines()[0] == f"{site}: device PLC: 640 (added)"
    admin.done("estate", "declare", "RTU", "1210", "--at", site, "--kind", "legacy")
    shown = admin.done("estate", "show", "--scope", site)
    assert "Declared: 640 devices and 1,210 legacy assets at 1 place. Managed now: 0 devices." in shown
    assert "managed 0 of 640 declared" in shown
    assert "640 -> 6 (changed)" in admin.done("estate", "declare", "plc", "6", "--at", site)
    history = admin.done("estate", "history", "PLC", "--at", site)
    assert [line.split()[6] for line in history.splitlines()[2:]] == ["6", "640"]
    assert "6 -> 640 (changed)" in admin.done(
        "estate", "declare", "PLC", "640", "--at", site, "--note", "counted in May"
    )
    found = json.loads(admin.done("estate", "show", "--scope", site, "--json"))
    assert found["totals"] == {"devices": 640, "legacy": 1210, "managed": 0, "places": 1}
    assert {one["class"] for one in found["items"]} == {"PLC", "RTU"}
    assert "Declared on" not in admin.done("estate", "show", "--scope", site, "--on", "2020-01-01T00:00Z")
    assert "Nothing changed" in admin.done("estate", "declare", "PLC", "0", "--at", site, "--kind", "legacy")


def test_a_file_is_tried_brought_and_exported(admin: Terminal, site: str, tmp_path: Path) -> None:
    path = tmp_path / "estate.csv"
    path.write_text(f"{HEADING}\n{site},device,PLC,640,\n{site},legacy,'=RTU,7,old\n")
    tried = admin("estate", "import", str(path), "--dry-run")
    assert "2 would be added, 0 changed, 0 ended; 0 the same." in tried.out
    assert "Nothing was declared yet" in tried.err
    assert "Nothing is declared there" in admin("estate", "show", "--scope", site).err
    assert "2 added" in admin.done("estate", "import", str(path))
    assert "Nothing changed" in admin.done("estate", "import", "-", stdin=path.read_text())
    out = tmp_path / "out.csv"
    said = admin("estate", "export", "--scope", site, "--out", str(out))
    assert said.err.endswith("2 classes.\n")
    assert "'=RTU" in out.read_text()
    assert "Nothing would change" in admin.done("estate", "import", str(out), "--dry-run")
    assert "[file.unwritable]" in admin("estate", "export", "--out", str(out)).err


def test_a_wrong_file_names_every_wrong_line_and_changes_nothing(admin: Terminal, site: str, tmp_path: Path) -> None:
    path = tmp_path / "estate.csv"
    path.write_text(f"{HEADING}\n{site},device,PLC,640,\nAtlantis,device,PLC,1,\n{site},robot,PLC,1,\n")
    refused = admin("estate", "import", str(path), "--scope", site)
    assert refused.code == 1
    for told in ("2 of its 3 lines are wrong", "line 3: There is no place 'Atlantis'", "line 4: ", "[estate.file]"):
        assert told in refused.err, told
    assert "Nothing is declared there" in admin("estate", "show", "--scope", site).err
    path.write_bytes(b"x" * ((1 << 20) + 1))
    assert "[file.size]" in admin("estate", "import", str(path)).err


def test_the_forms_of_the_wire_hold_what_the_room_keeps(admin: Terminal, site: str) -> None:
    most = ("--at", site, "--note", "n" * LONGEST_NOTE)
    assert admin("estate", "declare", "x" * 60, str(MOST), *most).code == 0
    made = json.loads(admin.done("estate", "history", "--scope", site, "--json"))
    (one,) = made["items"]
    assert estate.Declaration(**{("class_name" if name == "class" else name): one[name] for name in one}).number == MOST
    assert "[estate.class]" in admin("estate", "declare", "x" * 61, "1", "--at", site).err
