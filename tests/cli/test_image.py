# SPDX-License-Identifier: Apache-2.0
"""Images on their way to a plane: as archives, as folders and through a pipe, with a word on how far they are."""

import io
import json
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from checkvalve.cli import archives, client, config
from checkvalve.cli.failures import UsageError
from checkvalve.cli.progress import Progress, duration, size
from tests.cli.impostor import PROBLEM, TOKEN, Exchange, Impostor
from tests.cli.terminal import Outcome, Terminal, Typist
from tests.cli.works import fresh, manager
from tests.parts.archives import Image, blobs_of, docker, dumps, index_of, layer, sha
from tests.parts.plane import PlaneProcess


def image(name: str) -> Image:
    """Return an image that no other test has."""
    return Image(names=[name], layers=[layer(base=name.encode()), layer(app=b"app")])


def folder(path: Path, *images: Image) -> Path:
    """Write the images as an OCI layout."""
    (path / "blobs" / "sha256").mkdir(parents=True)
    for digest, data in blobs_of(images).items():
        (path / "blobs" / "sha256" / digest.removeprefix("sha256:")).write_bytes(data)
    (path / "index.json").write_bytes(dumps(index_of(images)))
    (path / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    return path


@pytest.fixture
def here(signed_in: Terminal, plane: PlaneProcess, terminals: Callable[[str], Terminal]) -> Callable[..., Outcome]:
    """Type commands about images in an organisation of this test's own."""
    scope, login = fresh("Image Water "), fresh("ina")
    signed_in.done("scope", "create", "organisation", scope)
    ina = manager(signed_in, terminals(login), plane, login, scope)

    def typed(*words: str) -> Outcome:
        return ina("image", *words, "--scope", scope)

    return typed


@pytest.mark.slow
def test_an_archive_becomes_an_image_that_is_listed_shown_and_removed(
    here: Callable[..., Outcome], tmp_path: Path
) -> None:
    made = image("pump:2.4")
    path = tmp_path / "pump.tar"
    path.write_bytes(docker([made]))
    said = here("import", str(path))
    assert said.code == 0, said.err
    assert "pump:2.4" in said.out
    assert "linux/amd64" in said.out
    assert made.id.removeprefix("sha256:")[:12] in said.out
    assert "pump.tar: " in said.out
    assert "\r" not in said.err, "a line is written over where nobody looks"
    again = json.loads(here("import", str(path), "--json").out)
    assert again["added"] == 0
    assert again["known"] == again["images"][0]["size"] > 0
    ident = here("list", "-q").out.strip()
    assert here("import", str(path), "-q").out.strip() == ident
    assert "pump:2.4" in here("list").out
    for name in ("pump:2.4", ident, made.id, made.id[7:19]):
        assert made.id in here("show", name).out
    assert here("remove", "pump:2.4").code == 2
    assert "pump:2.4 is removed" in here("remove", "pump:2.4", "--yes").out
    gone = here("show", "pump:2.4")
    assert (gone.code, "[image.unknown]" in gone.err) == (1, True)
    assert here("show", ident).code == 1


@pytest.mark.slow
def test_a_folder_of_an_oci_layout_is_sent_without_a_file_in_between(
    here: Callable[..., Outcome], tmp_path: Path
) -> None:
    first, second = image("valve:1"), image("valve:2")
    path = folder(tmp_path / "layout", first, second)
    before = sorted(tmp_path.rglob("*"))
    said = here("import", str(path), "--json")
    assert said.code == 0, said.err
    assert {one["config"] for one in json.loads(said.out)["images"]} == {first.id, second.id}
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.slow
def test_several_files_are_there_before_the_first_is_sent(here: Callable[..., Outcome], tmp_path: Path) -> None:
    paths = [tmp_path / "a.tar", tmp_path / "b.tar"]
    for number, path in enumerate(paths):
        path.write_bytes(docker([image(f"several:{number}")]))
    lost = here("import", *map(str, paths), str(tmp_path / "lost.tar"))
    assert (lost.code, "[file.unreadable]" in lost.err) == (2, True)
    assert here("list", "-q").out == ""
    both = json.loads(here("import", *map(str, paths), "--json").out)
    assert len(both["images"]) == 2
    assert len(here("import", *map(str, paths), "-q").out.split()) == 2


@pytest.mark.slow
@pytest.mark.parametrize("data", [b"", b"no archive at all", docker([image("half:1")])[:3000]])
def test_what_the_plane_refuses_is_said_as_it_says_it(
    here: Callable[..., Outcome], tmp_path: Path, data: bytes
) -> None:
    (tmp_path / "x.tar").write_bytes(data)
    said = here("import", str(tmp_path / "x.tar"))
    assert said.code == 1
    assert "[archive." in said.err or "[image." in said.err
    assert here("list", "-q").out == ""


def test_where_an_image_belongs_is_not_guessed(terminal: Terminal, impostor: Impostor, tmp_path: Path) -> None:
    impostor.signed_in_at(terminal.config)
    (tmp_path / "x.tar").write_bytes(b"x")
    said = terminal("image", "import", str(tmp_path / "x.tar"))
    assert (said.code, "[cli.scope]" in said.err) == (2, True)
    assert impostor.heard == []


def test_a_folder_that_is_no_layout_is_not_sent(terminal: Terminal, impostor: Impostor, tmp_path: Path) -> None:
    impostor.signed_in_at(terminal.config)
    said = terminal("image", "import", str(tmp_path), "--scope", "/")
    assert (said.code, "[image.layout]" in said.err) == (2, True)
    assert impostor.heard == []


def test_a_layout_is_the_same_tar_each_time_and_holds_what_belongs_to_it(tmp_path: Path) -> None:
    one = folder(tmp_path / "one", image("same:1"))
    (one / "id_ed25519").write_text("private")
    (one / "blobs" / "sha256" / "deeper").mkdir()
    found = archives.archive(str(one))
    data = b"".join(found.pieces())
    assert len(data) == found.size
    assert b"".join(archives.archive(str(one)).pieces()) == data
    with tarfile.open(fileobj=io.BytesIO(data)) as read:
        names = read.getnames()
        assert names == sorted(names)
        assert {name for name in names if "/" not in name} == {"index.json", "oci-layout"}
        for name in names[:-2]:
            held = read.extractfile(name)
            assert held is not None
            assert sha(held.read()) == f"sha256:{name.rpartition('/')[2]}"


def test_a_file_that_changes_while_it_is_sent_is_found_out(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    for before, after in ((b"a" * 10, b"b" * 9), (b"a" * 10, b"b" * 11)):
        path.write_bytes(before)
        found = archives.archive(str(path))
        path.write_bytes(after)
        with pytest.raises(UsageError, match=r"file\.changed"):
            list(found.pieces())
    found = archives.archive(str(path))
    path.unlink()
    with pytest.raises(UsageError, match=r"file\.unreadable"):
        list(found.pieces())


class Uploads:
    """What an impostor got of an upload: its length as announced, and its bytes."""

    def __init__(self) -> None:
        self.length: str | None = None
        self.body = b""

    def __call__(self, exchange: Exchange) -> None:
        """Read a body of either kind, and answer as a plane does."""
        self.length = exchange.headers.get("Content-Length")
        if exchange.headers.get("Transfer-Encoding") == "chunked":
            while count := int(exchange.rfile.readline(), 16):
                self.body += exchange.rfile.read(count)
                exchange.rfile.readline()
            exchange.rfile.readline()
        answer = {"images": [], "added": 0, "known": 0, "skipped": ["a \x1b[2Jfolder"]}
        exchange.answer(200, "application/json", json.dumps(answer).encode())


def test_standard_input_is_sent_as_it_comes(
    terminal: Terminal, impostor: Impostor, monkeypatch: pytest.MonkeyPatch
) -> None:
    impostor.signed_in_at(terminal.config)
    uploads = Uploads()
    impostor.handler = uploads
    data = bytes(range(256)) * 4096
    text = io.TextIOWrapper(io.BytesIO(data))
    monkeypatch.setattr(sys, "stdin", text)
    run = terminal.monkeypatch
    run.setattr(terminal, "monkeypatch", _Keeping(run))
    said = terminal("image", "import", "-", "--scope", "/")
    assert said.code == 0, said.err
    assert (uploads.length, uploads.body == data) == (None, True)
    assert "holds no image" in said.err
    assert "left out" in said.err
    assert "\x1b" not in said.err


class _Keeping:
    """Sets what the terminal sets, but for standard input, which this test has replaced by bytes."""

    def __init__(self, real: pytest.MonkeyPatch) -> None:
        self._real = real

    def setenv(self, name: str, value: str) -> None:
        """Set a variable."""
        self._real.setenv(name, value)

    def setattr(self, *_: object) -> None:
        """Leave it."""


def test_a_refusal_in_the_middle_of_an_upload_is_the_one_that_is_told(
    terminal: Terminal, impostor: Impostor, tmp_path: Path
) -> None:
    impostor.signed_in_at(terminal.config)
    path = tmp_path / "big.tar"
    with path.open("wb") as out:
        out.truncate(64 << 20)
    said = json.dumps({"title": "T", "status": 403, "detail": "Not you.", "code": "access.denied"}).encode()
    impostor.answers(403, PROBLEM, said)
    outcome = terminal("image", "import", str(path), "--scope", "/")
    assert (outcome.code, "[access.denied]" in outcome.err) == (3, True)
    assert impostor.heard[-1].path == "/api/v1/images?scope=%2F"
    assert TOKEN not in outcome.err


def test_what_makes_the_pieces_may_fail_and_says_why_itself(impostor: Impostor, tmp_path: Path) -> None:
    impostor.signed_in_at(tmp_path / "config.json")
    there = client.Client(config.Access(impostor.url, impostor.authority.pem.decode(), TOKEN), 5)

    def broken() -> Iterator[bytes]:
        yield b"some"
        raise UsageError("file.changed", "It was changed.")

    with pytest.raises(UsageError, match=r"file\.changed"):
        there.upload("/api/v1/images", broken(), None, lambda _: None, query={})
    there.close()


@pytest.mark.slow
def test_a_person_sees_how_far_it_is(tmp_path: Path, impostor: Impostor) -> None:
    impostor.signed_in_at(tmp_path / ".config" / "checkvalve" / "config.json")
    impostor.handler = Uploads()
    path = tmp_path / "big.tar"
    with path.open("wb") as out:
        out.truncate(8 << 20)
    typist = Typist(tmp_path, "image", "import", str(path), "--scope", "/")
    assert typist.ends() == 0
    assert "big.tar" in typist.seen
    assert "of 8.0 MiB" in typist.seen
    assert typist.seen.count("\r\x1b[K") > 1


def test_progress_tells_share_rate_and_what_is_left() -> None:
    times = iter([0.0])
    progress = Progress("x.tar", 1000 << 20, lambda: next(times))
    assert progress.line(0.0, 0) == "x.tar  0 B of 1000.0 MiB  0 %"
    assert progress.line(2.0, 100 << 20) == "x.tar  100.0 MiB of 1000.0 MiB  10 %  50.0 MiB/s  18 s left"
    assert progress.line(4.0, 1000 << 20) == "x.tar  1000.0 MiB sent; the plane reads it  250.0 MiB/s"
    assert Progress("-", None, lambda: 0.0).line(1.0, 512) == "-  512 B"


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (5 << 30, "5.0 GiB"), (5 << 50, "5120.0 TiB")]
)
def test_sizes_are_read_at_a_glance(count: int, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "0 s"), (120, "2 min"), (3600, "1 h"), (59.4, "59 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")],
)
def test_lengths_of_time_are_read_at_a_glance(seconds: float, text: str) -> None:
    assert duration(seconds) == text
