# SPDX-License-Identifier: Apache-2.0
"""From a compose file to a list that two people have signed, typed at terminals, against a real plane."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from checkvalve.crypto import digests, metadata
from tests.cli.terminal import Terminal, Typist
from tests.cli.works import Works, compose, plane, works
from tests.parts.plane import PlaneProcess

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[PlaneProcess, Path]]:
    """Serve a plane for this module, as a plane has one draft for all; keys are in the folder."""
    folder = tmp_path_factory.mktemp("works")
    served = plane(folder)
    yield served, folder
    served.close()


@pytest.fixture
def here(made: tuple[PlaneProcess, Path], terminals: Callable[[str], Terminal]) -> Works:
    """Return the works, where no draft is open."""
    return works(*made, terminals)


def test_a_release_is_made_signed_by_two_and_published(here: Works) -> None:
    said = here.make()
    assert said.code == 0, said.err
    assert f"Made {here.name} 1.0.0" in said.out
    assert "after 2 signatures" in said.out
    draft = here.anna.done("release", "draft")
    assert "0 of 2" in draft
    assert f"{here.name} 1.0.0 may run." in draft
    shown = here.anna("release", "sign", "--key", str(here.folder / "anna.key"))
    assert shown.code == 2, "it asks"
    for told in (f"+ {here.name} 1.0.0 (number 1) may run", f"{here.name}:1", "linux/amd64", "data (keep)", "*:8080"):
        assert told in shown.err
    first = here.sign(here.anna)
    assert (first.code, "1 of 2 signatures; still to come from" in first.out) == (0, True), first.err
    assert "drafted" in here.anna.done("release", "list", "--name", here.name)
    last = here.sign(here.bo)
    assert "Signed and published" in last.out
    assert f"{here.name}@1.0.0" in here.anna.done("release", "list", "--state", "published")
    found = here.anna.done("release", "show", f"{here.name}@1.0.0")
    for told in ("published", f"{here.name}:1", "2 of 2", "signed", "data (keep)", "after 30 s healthy"):
        assert told in found
    ident = here.anna.done("release", "show", f"{here.name}@1.0.0", "-q")
    ref = json.loads(here.anna.done("release", "show", ident, "--json"))["ref"]
    assert here.bo.done("release", "show", ref, "-q") == ident
    assert here.sign(here.anna).code == 1


def test_all_that_is_wrong_is_said_with_its_line_and_changes_nothing(here: Works) -> None:
    path = here.folder / "bad.yaml"
    bad = "    privileged: true\n    network_mode: host\n    image_: x\n"
    path.write_text(compose(here.name, "1.0.0", "nobody:1", bad))
    said = here.anna("release", "create", str(path), "--scope", "Works Water", "--yes")
    assert (said.code, "[compose.problems]" in said.err) == (1, True)
    lines = said.out.splitlines()
    assert any(line.startswith("bad.yaml:7  services.web.privileged  ") for line in lines)
    assert len(lines) >= 3
    assert " / " in said.out
    as_json = here.anna("release", "create", str(path), "--scope", "Works Water", "--json", "--yes")
    assert as_json.code == 1
    assert len(json.loads(as_json.out)["problems"]) == len(lines)
    assert json.loads(as_json.err)["code"] == "compose.problems"
    assert "[draft.not_found]" in here.anna("release", "draft").err
    for data, code in ((b"\xff\xfe", "file.text"), (b" " * (256 * 1024 + 1), "file.size")):
        path.write_bytes(data)
        assert f"[{code}]" in here.anna("release", "create", str(path), "--scope", "Works Water").err


def test_a_dry_run_shows_what_it_would_become_and_stops(here: Works) -> None:
    before = here.published()
    path = here.folder / "dry.yaml"
    path.write_text(compose(here.name, "1.1.0", f"{here.name}:1", "    user: '1000'\n"))
    dry = ["release", "create", str(path), "--scope", "Works Water", "--dry-run"]
    said = here.anna.done(*dry)
    assert f"What differs from {before}" in said
    assert "1000" in said
    digest = here.anna.done(*dry, "-q")
    assert digest.startswith("sha256:")
    assert digest in said
    assert json.loads(here.anna.done(*dry, "--json"))["digest"] == digest
    assert digest != here.anna.done(*dry, "-q", "--version", "1.2.0")
    assert "No service has the profile trace." in here.anna(*dry, "--profile", "trace").out
    assert "[draft.not_found]" in here.anna("release", "draft").err
    asked = here.anna(*dry[:-1])
    assert (asked.code, "[cli.ask]" in asked.err) == (2, True)
    made = here.anna.done(*dry[:-1], "--yes", "--json")
    assert json.loads(made)["digest"] == digest
    assert "1000" in here.anna.done("release", "diff", f"{here.name}@1.1.0")
    assert json.loads(here.anna.done("release", "diff", f"{here.name}@1.1.0", "--json"))
    again = here.make("1.1.0", "    user: '1000'\n")
    assert (again.code, "[release.same]" in again.err) == (1, True)


RIGHTS = """\
    network_mode: none
    devices: ["/dev/serial/by-id/usb-plc:/dev/ttyPLC:rw", /dev/mem]
"""


def test_what_a_release_may_do_on_the_device_is_shown_before_it_is_signed(here: Works) -> None:
    path = here.folder / "rights.yaml"
    text = compose(here.name, "1.0.0", f"{here.name}:1", RIGHTS).replace('    ports: ["8080:80"]\n', "")
    path.write_text(text)
    told = here.anna.done("release", "create", str(path), "--scope", "Works Water", "--yes")
    assert "What it may do on the device:\n  ! web: the device /dev/mem" in told
    grave, plain = (
        "! web: the device /dev/mem:/dev/mem:rwm",
        "  web: the device /dev/serial/by-id/usb-plc:/dev/ttyPLC:rw",
    )
    shown = here.anna("release", "sign", "--key", str(here.folder / "anna.key")).err
    assert f"What it may do on the device (! hands it over, or could):\n    {grave}\n    {plain}\n" in shown
    found = here.anna.done("release", "show", f"{here.name}@1.0.0")
    assert f"What it may do on the device:\n  {grave}\n  {plain}\n" in found
    as_json = json.loads(here.anna.done("release", "show", f"{here.name}@1.0.0", "--json"))
    assert [(one["kind"], one["service"], one["grave"]) for one in as_json["rights"]] == [
        ("device", "web", True),
        ("device", "web", False),
    ]
    assert len(as_json["exclusive"]) == 2


def test_what_podman_cannot_do_is_refused_only_where_devices_have_it(here: Works) -> None:
    path = here.folder / "podman.yaml"
    text = compose(here.name, "1.0.0", f"{here.name}:1").replace("data: {}", "data: {x-checkvalve: {policy: snapshot}}")
    path.write_text(text)
    words = ["release", "create", str(path), "--scope", "Works Water"]
    said = here.anna(*words, "--engine", "podman", "--yes")
    assert (said.code, "[compose.problems]" in said.err) == (1, True)
    assert "Podman copies no volume" in said.out
    assert here.anna(*words, "--engine", "lxc").code == 2
    here.anna.done(*words, "--engine", "docker", "--yes")


def test_a_draft_that_is_discarded_takes_its_releases_with_it(here: Works) -> None:
    assert here.make().code == 0
    assert here.anna("release", "discard").code == 2
    said = here.anna("release", "discard", "--yes")
    assert "what may run is what it was" in said.out
    assert "discarded" in here.anna.done("release", "show", f"{here.name}@1.0.0")
    assert here.make().code == 0, "its version is free again"
    assert "drafted" in here.anna.done("release", "show", f"{here.name}@1.0.0")


def test_a_withdrawal_and_a_floor_are_shown_as_what_they_are(here: Works) -> None:
    first = here.published("1.0.0")
    second = here.published("1.1.0", "    user: '1000'\n")
    assert here.anna("release", "withdraw", first, "--reason", "CVE").code == 2
    assert here.anna("release", "withdraw", first, "--yes").code == 2
    assert "signatures: 0 of 2" in here.anna.done("release", "withdraw", first, "--reason", "CVE-2026-1", "--yes")
    assert "0 of 2" in here.anna.done("release", "floor", second, "--reason", "CVE-2026-1", "--yes")
    shown = here.anna("release", "sign", "--key", str(here.folder / "anna.key")).err
    assert f"- {here.name} 1.0.0 (number 1) may not be taken any more" in shown
    assert f"/{here.name}  (Works Water) below number 2 may be taken any more; now it is none" in shown
    assert "CVE-2026-1" in shown
    here.publish()
    assert "withdrawn" in here.anna.done("release", "show", first)
    said = here.anna("release", "floor", second, "--reason", "again", "--yes")
    assert (said.code, "[trust.floor]" in said.err) == (1, True)
    asked = here.anna("release", "floor", second, "--reason", "again")
    assert "nobody can lower it again" in asked.err


def test_the_list_is_renewed_without_a_change(here: Works) -> None:
    here.published()
    assert "0 of 2" in here.anna.done("release", "renew", "--scope", "Works Water", "--yes")
    assert "none: the list is renewed" in here.anna.done("release", "draft")
    shown = here.anna("release", "sign", "--key", str(here.folder / "anna.key")).err
    assert "As they are: " in shown
    assert "may run" not in shown.replace("List of what may run", "")
    here.publish()


def test_a_foreign_key_or_one_that_signed_is_told_before_a_passphrase(here: Works) -> None:
    assert here.make().code == 0
    phrase = here.folder / "phrase"
    phrase.write_text("a phrase that is long enough\n")
    (here.folder / "eve.key").unlink(missing_ok=True)
    (here.folder / "eve.pub").unlink(missing_ok=True)
    here.anna.done("keys", "make", "eve", "--out", str(here.folder), "--passphrase-file", str(phrase))
    said = here.anna("release", "sign", "--key", str(here.folder / "eve.key"), "--yes")
    assert (said.code, "[draft.signature]" in said.err) == (1, True)
    assert here.sign(here.anna).code == 0
    twice = here.sign(here.anna)
    assert (twice.code, "[draft.twice]" in twice.err) == (1, True)
    own = here.anna("release", "sign", "--key", str(here.folder / "bo.key"), "--yes")
    assert (own.code, "[draft.same_person]" in own.err) == (1, True)
    said = here.sign(here.bo, "--draft", "06e5q0kq3w8v9z2x4c6b8n0m1a")
    assert (said.code, "[draft.not_found]" in said.err) == (1, True)


def test_a_signer_may_believe_a_root_instead_of_the_plane(here: Works, tmp_path: Path) -> None:
    here.published()
    assert here.make("1.1.0", "    user: '1000'\n").code == 0
    root = here.folder / "root.json"
    said = here.sign(here.anna, "--root", str(root))
    assert said.code == 0, said.err
    other = tmp_path / "other"
    words = ["--plane-key", str(here.folder / "online.pub"), "--out", str(other), "--no-passphrase"]
    here.anna.done("keys", "init", *words)
    said = here.sign(here.bo, "--root", str(other / "root.json"))
    assert (said.code, "[trust.unproved]" in said.err) == (5, True)
    assert here.sign(here.bo, "--root", str(root)).code == 0


def test_a_person_reads_it_and_types_their_passphrase(here: Works) -> None:
    assert here.make().code == 0
    key = str(here.folder / "anna.key")
    typist = Typist(here.anna.home, "release", "sign", "--key", key, columns=200)
    typist.reads("Sign exactly this, as anna?")
    assert f"+ {here.name} 1.0.0" in typist.seen
    typist.types("n")
    assert typist.ends() == 1
    assert "Nothing was done." in typist.seen
    assert "0 of 2" in here.anna.done("release", "draft")


def test_names_that_name_nothing_list_what_there_is(here: Works) -> None:
    assert here.make().code == 0
    said = here.anna("release", "show", f"{here.name}@9.9.9")
    assert (said.code, f"{here.name}@1.0.0" in said.err) == (1, True)
    assert "[release.unknown]" in here.anna("release", "show", "nothing").err
    assert here.anna.done("release", "list", "--name", "nothing") == ""
    assert "[request.invalid]" in here.anna("release", "list", "--state", "flying").err


def test_what_was_signed_is_what_devices_get(here: Works) -> None:
    here.published()
    listed = json.loads(here.anna.done("trust", "show", "--json"))
    versions = {one["role"]: one["version"] for one in listed["metadata"]}
    assert versions["targets"] >= 1
    assert not any(one["expired"] for one in listed["metadata"])
    root = (here.folder / "root.json").read_bytes()
    assert listed["root"] == digests.sha256_hex(root)
    assert {role["name"]: role["threshold"] for role in listed["roles"]}["targets"] == 2
    assert {role.name: role.threshold for role in metadata.roles(root)}["targets"] == 2
