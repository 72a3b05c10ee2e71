# SPDX-License-Identifier: Apache-2.0
"""Archives sent to a plane that is a process of its own: what a client hears, and what it costs the plane."""

import contextlib
import hashlib
import io
import json
import ssl
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from checkvalve import clock
from tests.parts.plane import PASSWORD, PlaneProcess

pytestmark = pytest.mark.slow

HEADERS = {"content-type": "application/octet-stream"}
PATH = "/api/v1/images?scope=/"
PIECE = 1 << 20


@pytest.fixture
def plane(tmp_path: Path, made_plane: Path) -> Iterator[PlaneProcess]:
    plane = PlaneProcess(tmp_path / "plane").like(made_plane).start()
    yield plane
    plane.close()


@contextlib.contextmanager
def _client(plane: PlaneProcess, role: str) -> Iterator[httpx.Client]:
    """Return a client signed in as somebody who holds `role`."""
    admin = plane.caller()
    person = admin.post("/api/v1/people", login=role, name=role, home="/", password=PASSWORD)["id"]
    admin.post("/api/v1/bindings", person=person, role=role, scope="/")
    trust = ssl.create_default_context(cafile=str(plane.authority))
    with httpx.Client(base_url=plane.url, verify=trust, timeout=20) as client:
        signed_in = client.post("/api/v1/session", json={"login": role, "password": PASSWORD}).json()
        client.headers["x-csrf-token"] = signed_in["csrf"]
        yield client


def _archive(megabytes: int) -> Iterator[bytes]:
    """Yield a docker archive of one layer that is as large, without ever holding it."""
    file = tarfile.TarInfo("data")
    file.size = megabytes * PIECE
    inner, end = file.tobuf(), bytes(2 * 512)
    zeros = bytes(PIECE)
    whole = hashlib.sha256(inner)
    for _ in range(megabytes):
        whole.update(zeros)
    whole.update(end)
    layer = tarfile.TarInfo("layer.tar")
    layer.size = len(inner) + file.size + len(end)
    yield layer.tobuf() + inner
    for _ in range(megabytes):
        yield zeros
    yield end + bytes(-layer.size % 512)
    rootfs = {"type": "layers", "diff_ids": ["sha256:" + whole.hexdigest()]}
    config = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": rootfs}).encode()
    manifest = [{"Config": "config.json", "RepoTags": ["large:1"], "Layers": ["layer.tar"]}]
    rest = io.BytesIO()
    with tarfile.open(fileobj=rest, mode="w") as tar:
        for name, data in {"config.json": config, "manifest.json": json.dumps(manifest).encode()}.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    yield rest.getvalue()


def _peak(plane: PlaneProcess) -> int:
    """Return the most memory the process ever held, in bytes."""
    lines = Path(f"/proc/{plane.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024


def _bytes_in(directory: Path) -> int:
    return sum(file.stat().st_size for file in directory.rglob("*") if file.is_file())


def test_a_large_archive_is_never_held_in_memory(plane: PlaneProcess) -> None:
    with _client(plane, "release-manager") as client:
        assert client.post(PATH, content=_archive(1), headers=HEADERS).status_code == 201
        before = _peak(plane)
        answer = client.post(PATH, content=_archive(400), headers=HEADERS, timeout=120)
        assert answer.status_code == 201, answer.text
        assert answer.json()["added"] > 400 * PIECE
        assert _peak(plane) - before < 64 * PIECE
    assert _bytes_in(plane.directory / "blobs" / "incoming") == 0


def test_who_is_refused_hears_why_and_is_hung_up_on(plane: PlaneProcess) -> None:
    deadline = clock.monotonic() + 60

    def endless() -> Iterator[bytes]:
        while clock.monotonic() < deadline:
            threading.Event().wait(0.01)  # as fast as a plant's line, so that the test does not move gigabytes
            yield bytes(PIECE)

    with _client(plane, "viewer") as client:
        answer = client.post(PATH, content=endless(), headers=HEADERS, timeout=60)
    assert (answer.status_code, answer.json()["code"]) == (403, "access.denied")
    assert clock.monotonic() < deadline - 30


def test_a_plane_killed_while_an_archive_comes_has_nothing_of_it(
    plane: PlaneProcess, wait_until: Callable[[Callable[[], bool]], None]
) -> None:
    half = threading.Event()

    def stalled() -> Iterator[bytes]:
        pieces = _archive(40)
        for _ in range(20):
            yield next(pieces)
        half.set()
        yield from pieces

    def send() -> None:
        with contextlib.suppress(httpx.HTTPError), _client(plane, "release-manager") as client:
            client.post(PATH, content=stalled(), headers=HEADERS)

    sender = threading.Thread(target=send)
    sender.start()
    wait_until(half.is_set)
    plane.kill()
    sender.join()
    plane.start()
    assert plane.caller().get("/api/v1/images")["items"] == []
    assert _bytes_in(plane.directory / "blobs" / "incoming") == 0
