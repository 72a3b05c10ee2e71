# SPDX-License-Identifier: Apache-2.0
"""`checkvalve init --root`: a plane is given its root of trust on its own machine, before or while it runs."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from checkvalve import clock
from checkvalve.crypto import digests, keys, metadata
from checkvalve.errors import InvalidError
from checkvalve.server import keys as plane_keys
from checkvalve.server import settings
from tests.parts.plane import PlaneProcess

pytestmark = pytest.mark.slow


def _root(online: keys.PublicKey, *, version: int = 1, days: int = 365) -> bytes:
    """Return a root of trust of one person, who is another one each time."""
    person = keys.make()
    public = [person.public_key()]
    payload = metadata.new_root(
        version=version,
        expires=clock.now().replace(microsecond=0) + timedelta(days=days),
        root=public,
        root_threshold=1,
        targets=[keys.make().public_key()],
        targets_threshold=1,
        online=online,
    )
    return metadata.assemble(payload, [metadata.sign(payload, person)])


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[PlaneProcess]:
    plane = PlaneProcess(tmp_path / "plane")
    yield plane
    plane.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "root.json"


def _online(plane: PlaneProcess) -> keys.PublicKey:
    return keys.load_public((plane.directory / "keys" / "online.pub").read_bytes())


def _code(done: subprocess.CompletedProcess[str]) -> tuple[int, str]:
    return done.returncode, json.loads(done.stderr)["code"]


def test_a_plane_is_made_then_its_root_and_then_it_has_it(plane: PlaneProcess, file: Path) -> None:
    made = plane.init()
    assert json.loads(made.stdout)["online"] == str(plane.directory / "keys" / "online.pub")
    file.write_bytes(_root(_online(plane)))
    given = plane.init("--root", str(file))
    assert given.returncode == 0, given.stderr
    assert json.loads(given.stdout)["root"] == digests.sha256_hex(file.read_bytes())
    assert _code(plane.init("--root", str(file))) == (1, "trust.same")
    caller = plane.start().caller()
    assert caller.raw("/api/v1/trust/root.json") == file.read_bytes()
    (entry,) = caller.get("/api/v1/audit", action="trust.root")["items"]
    assert (entry["actor"]["kind"], entry["reason"]) == ("plane", "checkvalve init on this machine")


def test_a_running_plane_is_given_its_root_and_hands_it_out_at_once(
    plane: PlaneProcess, file: Path, made_plane: Path
) -> None:
    plane.like(made_plane)
    caller = plane.start().caller()
    file.write_bytes(_root(_online(plane)))
    assert plane.init("--root", str(file)).returncode == 0
    assert caller.raw("/api/v1/trust/root.json") == file.read_bytes()


def test_a_plane_whose_key_is_there_already_is_made_with_its_root_at_once(plane: PlaneProcess, file: Path) -> None:
    file.write_bytes(_root(plane_keys.online(plane.directory / "keys").public_key()))
    assert plane.init("--root", str(file)).returncode == 0
    (plane.directory / settings.FILE).unlink()  # as if it had been cut short at its last step
    assert plane.init("--root", str(file)).returncode == 0
    assert plane.start().caller().raw("/api/v1/trust/root.json") == file.read_bytes()


def test_another_root_does_not_take_the_place_of_the_first(plane: PlaneProcess, file: Path, made_plane: Path) -> None:
    plane.like(made_plane)
    for code in (0, 1):
        file.write_bytes(_root(_online(plane)))
        assert plane.init("--root", str(file)).returncode == code
    assert _code(plane.init("--root", str(file))) == (1, "trust.present")


@pytest.mark.parametrize("made", [False, True])
@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "metadata.form"),
        (b'{"signed": {}}', "metadata.form"),
        (b" " * (metadata.LARGEST + 1), "metadata.size"),
        (b"another plane's", "trust.not_this_plane"),
        (b"of yesterday", "trust.expired"),
        (None, "trust.file"),
    ],
)
def test_a_bad_root_is_named_and_nothing_is_made(
    plane: PlaneProcess, made_plane: Path, file: Path, content: bytes | None, code: str, *, made: bool
) -> None:
    if made:
        plane.like(made_plane)
    online = plane_keys.online(plane.directory / "keys").public_key()
    roots = {b"another plane's": (keys.make().public_key(), 1), b"of yesterday": (online, -1)}
    if content in roots:
        key, days = roots[content]
        content = _root(key, days=days)
    if content is not None:
        file.write_bytes(content)
    before = sorted(plane.directory.rglob("*"))
    assert _code(plane.init("--root", str(file))) == (1, code)
    if not made:
        assert sorted(plane.directory.rglob("*")) == before


def test_a_root_for_a_plane_without_a_key_says_in_which_order_it_is_done(plane: PlaneProcess, file: Path) -> None:
    file.write_bytes(_root(keys.make().public_key()))
    refused = plane.init("--root", str(file))
    assert _code(refused) == (1, "trust.no_plane_key")
    assert "online.pub" in json.loads(refused.stderr)["remedy"]
    assert not plane.directory.exists()


def test_a_plane_of_the_release_before_gets_its_key_when_it_is_served(plane: PlaneProcess, made_plane: Path) -> None:
    plane.like(made_plane)
    for name in ("online.key", "online.pub"):
        (plane.directory / "keys" / name).unlink()
    shutil.rmtree(plane.directory / "blobs", ignore_errors=True)
    said = plane.start().caller().get("/api/v1/trust")
    assert said["plane_keyid"] == metadata.keyid(_online(plane))


def test_blobs_may_be_on_a_disk_of_their_own(plane: PlaneProcess, tmp_path: Path, made_plane: Path) -> None:
    plane.like(made_plane)
    file = plane.directory / settings.FILE
    file.write_text(file.read_text().replace('blobs = ""', f'blobs = "{tmp_path / "disk"}"'))
    plane.start()
    assert (tmp_path / "disk" / "incoming").is_dir()
    assert not (plane.directory / "blobs").exists()


def test_a_limit_that_takes_no_archive_at_all_stops_the_plane_with_its_name(tmp_path: Path) -> None:
    (tmp_path / settings.FILE).write_text("largest_archive = 0\n")
    with pytest.raises(InvalidError) as refused:
        settings.read(tmp_path)
    assert refused.value.code == "settings.file"
    assert "largest_archive" in refused.value.sentence
