# SPDX-License-Identifier: Apache-2.0
"""Lock-out tags from a terminal, against a real plane: hung at places and on devices, seen, and lifted."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from checkvalve.protocol import fleet
from tests.cli.cabinet import Cabinet
from tests.cli.terminal import Terminal, password_file, sign_in
from tests.cli.test_device import Site
from tests.cli.works import fresh, plane, works
from tests.parts.plane import PlaneProcess

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[PlaneProcess, Path]]:
    """Serve a plane for this module; what people make of it is in the folder."""
    folder = tmp_path_factory.mktemp("tags")
    served = plane(folder)
    yield served, folder
    served.close()


@pytest.fixture
def site(made: tuple[PlaneProcess, Path], terminals: Callable[[str], Terminal], tmp_path: Path) -> Site:
    served, folder = made
    if not (folder / "root.json").exists():
        works(*made, terminals)
    admin = terminals("admin")
    sign_in(admin, served, "admin")
    made_site = Site(served, admin, tmp_path)
    login, gun = fresh("gun"), terminals("gun")
    words = ["--name", "Gun Berg", "--scope", "Works Water", "--password-file", password_file(served), "--quiet"]
    admin.done("person", "create", login, *words)
    admin.done("binding", "create", login, "operator", "--scope", "Works Water")
    sign_in(gun, served, login)
    made_site.admin = gun  # an administrator of the plane hangs nothing
    return made_site


def _place(site: Site) -> str:
    return f"Works Water/{site.name}"


def _tag(site: Site, *words: str) -> str:
    return site.admin.done("hold", "add", *words, "--reason", "Pump 3 is open", "--quiet")


def _cabinet(site: Site) -> tuple[Cabinet, str]:
    name = fresh("pump-")
    return site.cabinet(name), name


def test_a_tag_at_a_place_is_hung_seen_and_lifted(site: Site) -> None:
    words = ("--reason", "Pump 3 is open", "--number", "PTW-118")
    said = site.admin("hold", "add", "--at", _place(site), *words)
    assert said.code == 0, said.err
    listed = site.admin.done("hold", "list", "--scope", _place(site))
    for told in (_place(site), "Gun Berg", "Pump 3 is open", "PTW-118"):
        assert told in listed, told
    ident = site.admin.done("hold", "list", "--scope", _place(site), "--quiet")
    assert f"hold lift {ident}" in said.err
    asked = site.admin("hold", "lift", ident)
    assert (asked.code, "[cli.ask]" in asked.err) == (2, True)
    assert "Gun Berg is lifted" in site.admin.done("hold", "lift", ident, "--yes")
    assert ident not in site.admin.done("hold", "list", "--scope", _place(site))
    history = site.admin.done("hold", "list", "--scope", _place(site), "--lifted")
    assert ident in history
    assert " by " in history
    again = site.admin("hold", "lift", ident, "--yes")
    assert "[hold.lifted]" in again.err


def test_a_tag_on_a_device_shows_with_the_device_and_with_those_that_are_held(site: Site) -> None:
    (_, name), (_, free) = _cabinet(site), _cabinet(site)
    ident = _tag(site, "--device", name, "--number", "PTW-7")
    shown = site.admin.done("device", "show", name)
    for told in ("1 tag", "Pump 3 is open", "PTW-7", ident, "this device; the device does not know yet"):
        assert told in shown, told
    held = site.admin.done("device", "list", "--scope", _place(site), "--held")
    assert name in held
    assert free not in held
    assert f"{_place(site)}: {name}" in site.admin.done("hold", "list", "--scope", _place(site))


def test_a_program_reads_tags_as_json(site: Site) -> None:
    _, name = _cabinet(site)
    ident = _tag(site, "--at", _place(site))
    told = json.loads(site.admin.done("hold", "list", "--scope", _place(site), "--json"))
    assert [(one["id"], one["device"], one["lifted_at"]) for one in told["items"]] == [(ident, None, None)]
    device = json.loads(site.admin.done("device", "show", name, "--json"))
    assert [(one["id"], one["by"], one["known"]) for one in device["held"]] == [(ident, "plane", False)]
    assert device["window"] is None
    lifted = json.loads(site.admin.done("hold", "lift", ident, "--reason", "It is over", "--yes", "--json"))
    assert (lifted["lifted_why"], bool(lifted["lifted_at"])) == ("It is over", True)
    assert set(lifted) == set(fleet.Hold.__struct_fields__)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ([], "cli.scope"),
        (["--at", "Works Water", "--device", "pump"], "cli.scope"),
        (["--at", "/"], "cli.scope"),
        (["--at", "Nowhere"], "scope.unknown"),
        (["--device", "no such pump"], "device.unknown"),
    ],
)
def test_where_a_tag_hangs_is_said_once_and_is_there(site: Site, words: list[str], code: str) -> None:
    said = site.admin("hold", "add", *words, "--reason", "Pump 3 is open")
    assert said.code != 0
    assert f"[{code}]" in said.err
