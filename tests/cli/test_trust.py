# SPDX-License-Identifier: Apache-2.0
"""Giving a plane its root of trust, and the one that follows, each with a plane of its own."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from checkvalve.cli import trustview
from checkvalve.crypto import digests, keys
from tests.cli.terminal import Terminal, sign_in
from tests.cli.works import Works, plane, works
from tests.parts.plane import PlaneProcess


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder for keys, outside of the plane."""
    made = tmp_path / "usb"
    made.mkdir()
    return made


@pytest.fixture
def untrusted(folder: Path) -> Iterator[PlaneProcess]:
    """Serve a plane that has no root of trust yet."""
    served = plane(folder)
    yield served
    served.close()


@pytest.fixture
def admin(terminal: Terminal, untrusted: PlaneProcess) -> Terminal:
    """Return a terminal where the administrator is signed in to it."""
    sign_in(terminal, untrusted, "admin")
    return terminal


def root(there: Terminal, folder: Path, *words: str) -> Path:
    """Make a root of trust for the plane, and return its file."""
    (folder / "online.pub").write_text(there.done("trust", "plane-key") + "\n")
    out = folder / "keys"
    there.done("keys", "init", "--plane-key", str(folder / "online.pub"), "--out", str(out), "--no-passphrase", *words)
    return out / "root.json"


@pytest.mark.slow
def test_a_plane_says_how_it_is_given_a_root_and_then_what_it_says(
    admin: Terminal, untrusted: PlaneProcess, folder: Path
) -> None:
    empty = admin("trust", "show")
    assert "checkvalve keys init --plane-key online.pub" in empty.err
    assert admin.done("trust", "show", "-q") == ""
    pem = admin.done("trust", "plane-key") + "\n"
    assert keys.dump_public(keys.load_public(pem.encode())).decode() == pem
    assert pem == (untrusted.directory / "keys" / "online.pub").read_text()
    ident = admin.done("trust", "plane-key", "-q")
    assert json.loads(admin.done("trust", "plane-key", "--json")) == {"plane_key": pem, "plane_keyid": ident}
    path = root(admin, folder)
    asked = admin("trust", "install", str(path))
    assert (asked.code, "[cli.ask]" in asked.err) == (2, True)
    assert "1 of 1 must sign" in asked.err
    pin = digests.sha256_hex(path.read_bytes())
    assert pin in admin.done("trust", "install", str(path), "--yes")
    shown = admin.done("trust", "show")
    for told in (f"sha256:{pin}", "targets", "timestamp", "1 of 1", ident, "in 364 days"):
        assert told in shown
    assert admin.done("trust", "show", "-q") == pin


@pytest.mark.slow
def test_a_root_for_another_plane_or_without_signatures_is_refused(
    admin: Terminal, folder: Path, terminals: Callable[[str], Terminal]
) -> None:
    (folder / "other.pub").write_bytes(keys.dump_public(keys.make().public_key()))
    words = ["--plane-key", str(folder / "other.pub"), "--out", str(folder / "other"), "--no-passphrase"]
    admin.done("keys", "init", *words)
    said = admin("trust", "install", str(folder / "other" / "root.json"), "--yes")
    assert (said.code, "[trust.not_this_plane]" in said.err) == (1, True)
    admin.done("keys", "make", "anna", "--out", str(folder), "--no-passphrase")
    unsigned = root(admin, folder, "--root", str(folder / "anna.pub"))
    said = admin("trust", "install", str(unsigned), "--yes")
    assert (said.code, "[metadata.signature]" in said.err) == (1, True)
    unsigned.write_bytes(unsigned.read_bytes()[:-30])
    assert "[metadata.form]" in admin("trust", "install", str(unsigned), "--yes").err
    (folder / "text").write_bytes(b"\xff")
    assert admin("trust", "install", str(folder / "text"), "--yes").code == 1
    assert admin.done("trust", "show", "-q") == ""
    assert terminals("nobody")("trust", "show").code == 1


@pytest.mark.slow
def test_people_change_and_the_list_is_signed_by_the_new_ones(
    untrusted: PlaneProcess, folder: Path, terminals: Callable[[str], Terminal]
) -> None:
    here: Works = works(untrusted, folder, terminals)
    release = here.published()
    here.admin.done("keys", "make", "carl", "--out", str(folder), "--no-passphrase")
    first, second = folder / "root.json", folder / "2.root.json"
    words = ["--previous", str(first), "--out", str(folder), "--targets", str(folder / "carl.pub")]
    here.admin.done("keys", "init", *words, "--targets", str(folder / "bo.pub"), "--targets-threshold", "2")
    said = here.admin("trust", "install", str(second), "--yes")
    assert (said.code, "[metadata.signature]" in said.err) == (1, True)
    here.admin.done("keys", "sign", str(second), "--key", str(folder / "root.key"), "--previous", str(first))
    pin = here.admin.done("trust", "install", str(second), "--yes", "-q")
    assert pin == digests.sha256_hex(first.read_bytes()), "devices pin the first"
    here.anna.done("release", "renew", "--scope", "Works Water", "--yes")
    left = here.sign(here.anna)
    assert (left.code, "[draft.signature]" in left.err) == (1, True)
    sign = ["release", "sign", "--yes", "--root", str(first), "--key"]
    shown = here.anna(*sign, str(folder / "carl.key"))
    assert shown.code == 0, shown.err
    assert f"= {here.name} 1.0.0 (number 1)" in shown.err, "nobody whom the root names now has signed it"
    blind = here.bo("release", "sign", "--yes", "--root", str(second), "--key", str(folder / "bo.key"))
    assert (blind.code, "[trust.unproved]" in blind.err) == (5, True)
    assert "published" in here.bo.done(*sign, str(folder / "bo.key"))
    after = here.anna("release", "floor", release, "--reason", "it is the first", "--yes")
    assert after.code == 0, after.err
    assert here.bo.done("release", "sign", "--yes", "--root", str(second), "--key", str(folder / "bo.key"))


@pytest.mark.parametrize(
    ("away", "text"),
    [
        (timedelta(days=12, hours=1), "in 12 days"),
        (timedelta(days=-2), "2 days ago"),
        (timedelta(hours=1, minutes=1), "in 1 hour"),
        (timedelta(seconds=30), "now"),
    ],
)
def test_an_expiry_is_read_as_how_far_away_it_is(away: timedelta, text: str) -> None:
    now = datetime(2026, 11, 3, 14, tzinfo=UTC)
    assert trustview.in_words((now + away).isoformat(), now) == text
    assert trustview.in_words("whenever", now) == "whenever"
