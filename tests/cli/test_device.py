# SPDX-License-Identifier: Apache-2.0
"""Devices from a terminal, against a real plane: let in by the line that is printed, found, shut out, and believed."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from checkvalve import clock
from checkvalve.crypto import keys
from checkvalve.protocol.exchange import Event, State
from tests.cli.cabinet import RELEASE, Cabinet
from tests.cli.terminal import Terminal, Typist, password_file, sign_in
from tests.cli.works import fresh, plane, works
from tests.parts.plane import PlaneProcess

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[PlaneProcess, Path]]:
    """Serve a plane for this module; what people make of it is in the folder."""
    folder = tmp_path_factory.mktemp("fleet")
    served = plane(folder)
    yield served, folder
    served.close()


class Site:
    """A site of its own, the administrator's terminal, and cabinets."""

    def __init__(self, served: PlaneProcess, admin: Terminal, folder: Path) -> None:
        self.plane, self.admin, self.folder, self.name = served, admin, folder, fresh("Visby ")
        admin.done("scope", "create", "site", self.name, "--scope", "Works Water")

    def cabinet(self, name: str = "", *words: str) -> Cabinet:
        """Return a device that was let in at the site; its name is that of its host, if none is given."""
        line = self.admin.done("device", "invite", "--site", self.name, *words)
        more = ("--name", name) if name else ()
        return Cabinet(self.folder / fresh("cabinet")).joined(line, *more)


@pytest.fixture
def site(made: tuple[PlaneProcess, Path], terminals: Callable[[str], Terminal], tmp_path: Path) -> Site:
    served, folder = made
    if not (folder / "root.json").exists():  # a device that joins is given it
        works(*made, terminals)
    admin = terminals("admin")
    sign_in(admin, served, "admin")
    return Site(served, admin, tmp_path)


def test_one_line_lets_a_device_in(site: Site) -> None:
    said = site.admin("device", "invite", "--site", site.name, "--tag", "pump", "--tag", "line=3")
    assert said.code == 0, said.err
    (line,) = said.out.splitlines()
    servers, rest = r"( --server https://\S+:\d+)+", r" --token cvj_\w{49} --ca-pin sha256:\w{64}"
    assert re.fullmatch("checkvalve-agent join" + servers + rest, line)
    assert f"one device join in Works Water/{site.name}" in said.err
    assert "shown this once" in said.err
    assert "cvj_" not in said.err
    name = fresh("pump-")
    cabinet = Cabinet(site.folder / "one").joined(line, "--name", name)
    shown = site.admin.done("device", "show", name)
    for told in (cabinet.device, f"Works Water/{site.name}", "line=3 pump", "accepted", "never_seen", "every 60 s"):
        assert told in shown, told
    assert keys.fingerprint(cabinet.key.public_key()) in shown
    assert Cabinet(site.folder / "two").types(line).returncode == 3, "it is used up"
    assert "1 of 1" in site.admin.done("device", "invites", "--scope", f"Works Water/{site.name}")


def test_an_invite_for_programs_is_a_token_or_json(site: Site) -> None:
    words = ["device", "invite", "--scope", f"Works Water/{site.name}", "--count", "3", "--ttl", "8h"]
    token = site.admin.done(*words, "--quiet")
    assert re.fullmatch(r"cvj_\w{49}", token)
    told = json.loads(site.admin.done(*words, "--async", "--observe", "--json"))
    assert told["command"].startswith("checkvalve-agent join ")
    assert told["token"] in told["command"]
    assert (told["uses"], told["link"], told["observe"], told["state"]) == (3, "async", True, "open")
    assert told["ends_at"] > told["made_at"]
    listed = site.admin.done("device", "invites", "--all")
    assert told["id"] in listed
    assert "async, observe" in listed
    assert "cvj_" not in site.admin.done("device", "invites", "--all", "--json")


def test_an_invite_taken_back_lets_nobody_in(site: Site) -> None:
    told = json.loads(site.admin.done("device", "invite", "--site", site.name, "--json"))
    asked = site.admin("device", "revoke", told["id"])
    assert (asked.code, "[cli.ask]" in asked.err) == (2, True)
    site.admin.done("device", "revoke", told["id"], "--yes")
    refused = Cabinet(site.folder / "late").types(told["command"])
    assert (refused.returncode, json.loads(refused.stderr)["code"]) == (3, "invite.refused")
    assert "revoked" in site.admin.done("device", "invites", "--scope", f"Works Water/{site.name}")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ([], "cli.scope"),
        (["--site", "Visby", "--scope", "/"], "cli.scope"),
        (["--scope", "/"], "cli.scope"),
        (["--site", "Works Water"], "scope.unknown"),
        (["--site", "Nowhere"], "scope.unknown"),
    ],
)
def test_where_devices_stand_must_be_a_site(site: Site, words: list[str], code: str) -> None:
    said = site.admin("device", "invite", *words)
    assert said.code != 0
    assert f"[{code}]" in said.err


@pytest.mark.parametrize("ttl", ["30s", "59", "8d", "0m", "soon"])
def test_how_long_an_invite_is_good_is_said_in_its_bounds(site: Site, ttl: str) -> None:
    said = site.admin("device", "invite", "--site", site.name, "--ttl", ttl)
    assert (said.code, "[cli.time]" in said.err) == (2, True)


def test_a_list_is_found_through_and_sorted(site: Site) -> None:
    one, two = fresh("gate-"), fresh("gate-")
    first = site.cabinet(one, "--tag", "gate")
    site.cabinet(two, "--tag", "gate", "--tag", "spare")
    first.tells(site.plane, Event(seq=1, at=0, kind="boot"))
    here = ["device", "list", "--scope", f"Works Water/{site.name}"]
    table = site.admin.done(*here)
    assert "online" in table
    assert "never_seen" in table
    assert RELEASE.removeprefix("sha256:")[:12] in table
    ids = site.admin.done(*here, "--quiet").splitlines()
    assert ids[0] == first.device
    assert site.admin.done(*here, "--liveness", "online", "--quiet") == first.device
    assert site.admin.done(*here, "--tag", "gate", "--tag", "spare", "--quiet") == ids[1]
    assert site.admin.done(*here, "--sort", "silent", "--quiet").splitlines() == ids[::-1]
    assert site.admin.done(*here, "--trust", "quarantined", "--quiet") == ""
    stretch = site.admin(*here, "--limit", "1")
    assert f"--after {first.device}" in stretch.err
    assert site.admin.done(*here, "--after", first.device, "--quiet") == ids[1]
    found = json.loads(site.admin.done(*here, "--text", two, "--json"))
    assert [each["name"] for each in found["items"]] == [two]
    assert "device invite" in site.admin(*here, "--tag", "nothing").err


def test_a_name_that_two_devices_have_needs_their_place(site: Site) -> None:
    name = fresh("weir-")
    here, there = site.cabinet(name), Site(site.plane, site.admin, site.folder / "b").cabinet(name)
    said = site.admin("device", "show", name)
    assert (said.code, "[device.ambiguous]" in said.err) == (1, True)
    assert here.device in said.err
    assert there.device in said.err
    assert site.admin.done("device", "show", name, "--scope", f"Works Water/{site.name}", "-q") == here.device
    assert site.admin.done("device", "show", there.device, "-q") == there.device
    unknown = site.admin("device", "show", name[:-1] + "?")
    assert (unknown.code, "[device.unknown]" in unknown.err) == (1, True)


def test_a_device_is_renamed_tagged_and_moved(site: Site) -> None:
    old, new = fresh("mixer-"), fresh("Mixer ")
    device = site.cabinet(old, "--tag", "spare").device
    said = site.admin.done("device", "edit", old, "--name", new, "--tag", "north", "--untag", "spare")
    assert said == f"It is {new} in Works Water/{site.name} now, tagged north."
    other = Site(site.plane, site.admin, site.folder)
    assert other.name in site.admin.done("device", "edit", device, "--move", other.name)
    nothing = site.admin("device", "edit", device)
    assert (nothing.code, "[cli.nothing]" in nothing.err) == (2, True)
    wrong = site.admin("device", "edit", device, "--tag", "NORTH")
    assert (wrong.code, "[tag.form]" in wrong.err) == (1, True)


def test_whoever_shuts_a_device_out_is_asked_and_says_why(site: Site) -> None:
    name = fresh("valve-")
    device = site.cabinet(name).device
    assert site.admin("device", "quarantine", name, "--yes").code == 2, "no reason"
    asked = site.admin("device", "quarantine", name, "--reason", "found open")
    assert (asked.code, "[cli.ask]" in asked.err) == (2, True)
    assert "goes on running" in asked.err
    typist = Typist(site.admin.home, "device", "quarantine", name, "--reason", "found open")
    typist.reads("Quarantine it? [y/N]")
    typist.types("y")
    assert typist.ends() == 0
    assert "quarantined: found open" in site.admin.done("device", "show", name)
    said = site.admin.done("device", "accept", name, "--reason", "looked at it", "--yes")
    assert said == f"{name} is let in again."
    twice = site.admin("device", "accept", name, "--reason", "looked at it", "--yes")
    assert (twice.code, "[device.not_quarantined]" in twice.err) == (1, True)
    assert site.admin.done("device", "retire", name, "--reason", "replaced", "--yes", "-q") == device
    assert "retired: replaced" in site.admin.done("device", "show", device)


def test_the_name_of_a_retired_device_is_that_of_its_successor(site: Site) -> None:
    name = fresh("sluice-")
    old = site.cabinet(name)
    site.admin.done("device", "retire", name, "--reason", "replaced", "--yes")
    assert site.admin.done("device", "show", name, "-q") == old.device
    new = site.cabinet(name)
    assert site.admin.done("device", "show", name, "-q") == new.device
    assert site.admin.done("device", "show", old.device, "-q") == old.device


def test_what_a_device_signed_is_fetched_checked_and_saved(site: Site) -> None:
    name = fresh("dam-")
    cabinet = site.cabinet(name)
    none = site.admin("device", "receipt", name)
    assert (none.code, "[receipt.not_found]" in none.err) == (1, True)
    older, newest = cabinet.signs(site.plane, outcome=State.COMMITTED, code="", reason=""), cabinet.signs(site.plane)
    listed = site.admin.done("device", "receipts", name)
    assert listed.index(newest[:12]) < listed.index(older[:12])
    assert "web exited with code 3." in listed
    assert site.admin.done("device", "receipts", name, "--quiet").splitlines() == [newest, older]
    shown = site.admin.done("device", "receipt", name)
    assert "signed by this key" in shown
    assert newest in shown
    assert older in site.admin.done("device", "receipt", name, older[:12])
    assert site.admin.done("device", "receipt", name, f"sha256:{older}", "-q") == older
    both = site.admin("device", "receipt", name, "zz")
    assert (both.code, "[receipt.not_found]" in both.err) == (1, True)
    file, key = site.folder / "receipt.json", site.folder / "device.pub"
    site.admin.done("device", "receipt", name, "--out", str(file))
    assert site.admin.done("device", "receipt", name, "--raw").encode() == file.read_bytes()
    again = site.admin("device", "receipt", name, "--out", str(file))
    assert again.code == 1, "nothing is overwritten"
    key.write_text(site.admin.done("device", "key", name) + "\n")
    assert keys.load_public(key.read_bytes()) == cabinet.key.public_key()
    assert site.admin.done("verify", "receipt", str(file), "--key", str(key), "-q") == newest
    key.write_bytes(keys.dump_public(keys.make().public_key()))
    wrong = site.admin("device", "receipt", name, "--key", str(key))
    assert (wrong.code, "[envelope.signature]" in wrong.err) == (5, True)


def test_what_a_device_told_reads_newest_first(site: Site) -> None:
    name = fresh("lock-")
    attempt, at = clock.new_id(), int(clock.now().timestamp() * 1000)
    site.cabinet(name).tells(
        site.plane,
        Event(seq=1, at=at, kind="boot"),
        Event(seq=2, at=at, kind="order", attempt=attempt),
        Event(seq=3, at=at, kind="state", attempt=attempt, state=State.REFUSED, code="disk.full", reason="No room."),
    )
    told = site.admin.done("device", "log", name)
    assert told.index("refused") < told.index("order") < told.index("boot")
    assert "No room." in told
    assert len(site.admin.done("device", "log", name, "--attempt", attempt, "-q").splitlines()) == 2
    stretch = site.admin("device", "log", name, "--limit", "1")
    mark = stretch.err.rpartition("--before ")[2].strip()
    assert "order" in site.admin.done("device", "log", name, "--limit", "1", "--before", mark)
    box = site.admin.done("device", "show", name)
    assert "healthy" in box
    assert "docker 20.10.24" in box


def test_a_viewer_sees_devices_and_changes_none(site: Site, terminals: Callable[[str], Terminal]) -> None:
    name, login = fresh("tank-"), fresh("vera")
    site.cabinet(name)
    words = ["--name", "Vera", "--scope", "Works Water", "--password-file", password_file(site.plane)]
    site.admin.done("person", "create", login, *words)
    site.admin.done("binding", "create", login, "viewer", "--scope", "Works Water")
    vera = terminals(login)
    sign_in(vera, site.plane, login)
    assert name in vera.done("device", "list")
    for refused in (
        ["device", "invite", "--site", site.name],
        ["device", "retire", name, "--reason", "mine", "--yes"],
        ["device", "invites"],
    ):
        said = vera(*refused)
        assert (said.code, "[access.denied]" in said.err) == (3, True)
