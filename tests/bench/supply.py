# SPDX-License-Identifier: Apache-2.0
"""Images and releases: an archive sent over TLS to a running plane on the same two cores, and the decisions alone."""

import functools
import hashlib
import json
import os
import random
import statistics
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from checkvalve import clock
from checkvalve.crypto import metadata, metafile, trustset
from checkvalve.demo.caller import Caller
from checkvalve.demo.stage import Stage
from checkvalve.ids import ImageId, PersonId, ReleaseId
from checkvalve.protocol import workload
from checkvalve.server.db import migrate
from checkvalve.server.db.database import Database, Tx
from checkvalve.server.supply import actions, compose, publish, queries, resolve, writes
from checkvalve.server.supply import draft as drafts
from checkvalve.server.supply.composed import Composed
from checkvalve.server.supply.model import Anchor, Image, Release, Signature, State
from tests.bench.measure import Measure, median_of, seconds
from tests.server.supply import world

PIECE = 1 << 20
PIECES = 512
RUNS = 3
SERVICES = 50
LISTS = (100, 1_000)
PASSWORD = "a long enough phrase for benches"
_END = bytes(1024)


def measures() -> Iterator[Measure]:
    """Measure the import, then what is decided, signed and believed."""
    yield from _imports()
    yield from _files()
    for count in LISTS:
        with tempfile.TemporaryDirectory(dir=Path.cwd() / "build") as text, _plant(Path(text)) as made:
            _publish_many(made, count)
            yield Measure(
                f"sign and publish, {count:,} releases published",
                median_of(5, functools.partial(_published, made)),
                "ms",
                "",
                "the second of two signatures, on SQLite, within its transaction and without its commit; median of 5",
            )
            if count == LISTS[-1]:
                yield from _refreshes(made, count)


# An archive over TLS


@dataclass(frozen=True)
class _Archive:
    """A docker archive of one layer of random bytes, made piece by piece as it is sent."""

    block: bytes
    layer: str  # digest
    config: bytes

    @classmethod
    def of(cls, seed: int) -> "_Archive":
        block = random.Random(seed).randbytes(PIECE)
        content = hashlib.sha256()
        for piece in _layer(block):
            content.update(piece)
        layer = f"sha256:{content.hexdigest()}"
        said = {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": [layer]}}
        return cls(block, layer, json.dumps(said).encode())

    def pieces(self) -> Iterator[bytes]:
        """Yield the archive."""
        config = hashlib.sha256(self.config).hexdigest() + ".json"
        manifest = json.dumps([{"Config": config, "RepoTags": ["bench:1"], "Layers": ["a/layer.tar"]}]).encode()
        yield _head("a/layer.tar", PIECES * PIECE + 512 + len(_END))
        yield from _layer(self.block)
        for name, data in ((config, self.config), ("manifest.json", manifest)):
            yield _head(name, len(data)) + data + bytes(-len(data) % 512)
        yield _END


def _layer(block: bytes) -> Iterator[bytes]:
    yield _head("data", PIECES * PIECE)
    for number in range(PIECES):
        yield number.to_bytes(8) + block[8:]  # no piece is another: a disk that looks for that finds nothing
    yield _END


def _head(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size
    return info.tobuf(tarfile.GNU_FORMAT)


def _imports() -> Iterator[Measure]:
    with tempfile.TemporaryDirectory(dir=Path.cwd() / "build") as text:
        directory = Path(text)
        stage = Stage(directory / "stage", keep=False)
        stage.clear()
        stage.make_plane("admin")
        stage.start()
        try:
            caller, scope = _maker(stage)
            took, beside, grown = [], [], []
            for run in range(RUNS):
                archive = _Archive.of(run)
                beside.append(seconds(functools.partial(_kept, archive, directory / "beside")))
                before = _peak_forgotten(stage)
                took.append(seconds(functools.partial(_sent, caller, scope, archive)))
                grown.append(_status(stage, "VmHWM") - before)
        finally:
            stage.leave()
    size = PIECES * PIECE / 1e6
    what = f"{PIECES} MiB of random bytes in one layer"
    yield Measure(
        "import of a docker archive over TLS",
        size / statistics.median(took),
        "MB/s",
        "",
        f"{what}, from its first byte to the answer; sender (httpx) on the same two cores; median of {RUNS}",
    )
    yield Measure(
        "SHA-256 and a synced write of the same bytes",
        size / statistics.median(beside),
        "MB/s",
        "",
        f"each piece hashed and written, one fsync; same disk, right before each import; median of {RUNS}",
    )
    yield Measure(
        "import, as many times as long as that",
        statistics.median(one / other for one, other in zip(took, beside, strict=True)),
        "x",
        "",
        f"median of the {RUNS} ratios; an import receives, spools, hashes and stores, then reads and hashes again",
    )
    yield Measure(
        "memory the plane grows by during an import",
        max(grown),
        "MB",
        "",
        f"VmHWM, reset before it, less VmRSS then; the largest of {RUNS}, the first import after a start among them",
    )


def _maker(stage: Stage) -> tuple[Caller, str]:
    admin = stage.caller("admin")
    scope = admin.post("/api/v1/scopes", parent="/", kind="organisation", name="Bench")["path"]
    made = admin.post("/api/v1/people", login="rut", name="Rut", home=scope, password=PASSWORD)
    admin.post("/api/v1/bindings", person=made["id"], role="release-manager", scope=scope)
    stage.people["rut"] = PASSWORD
    return stage.caller("rut"), scope


def _sent(caller: Caller, scope: str, archive: _Archive) -> None:
    head = {"Content-Type": "application/x-tar", "Content-Length": str(sum(map(len, archive.pieces())))}
    path, content = "/api/v1/images", archive.pieces()
    said = caller._said(caller._http.post(path, params={"scope": scope}, content=content, headers=head, timeout=600))
    assert said.json()["added"] > PIECES * PIECE


def _kept(archive: _Archive, file: Path) -> None:
    content = hashlib.sha256()
    with file.open("wb", buffering=0) as out:
        for piece in archive.pieces():
            content.update(piece)
            out.write(piece)
        os.fsync(out.fileno())
    file.unlink()


def _peak_forgotten(stage: Stage) -> float:
    """Let VmHWM begin anew, and return where it does (proc(5), clear_refs)."""
    Path(f"/proc/{_pid(stage)}/clear_refs").write_text("5")
    return _status(stage, "VmRSS")


def _status(stage: Stage, name: str) -> float:
    lines = Path(f"/proc/{_pid(stage)}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) / 1000


def _pid(stage: Stage) -> str:
    return (stage.directory / "plane.pid").read_text()


# Files of text


def _files() -> Iterator[Measure]:
    source, images = _source(), _images()
    manifest = workload.write(_manifest(source, images))
    digest = workload.digest(manifest)
    yield Measure(
        f"compose file of {SERVICES} services to a manifest",
        median_of(20, lambda: seconds(lambda: _manifest(source, images)) * 1000),
        "ms",
        "",
        f"read, images resolved, assembled; {len(source):,} bytes, {len(images)} images; median of 20",
    )
    slowest = max((median_of(3, functools.partial(_refused, one)), name) for name, one in _bombs())
    yield Measure(
        "a YAML bomb to its refusal",
        slowest[0],
        "ms",
        "",
        f"{workload.LARGEST // 1024} KiB; the slowest of {len(_bombs())} kinds ({slowest[1]}); median of 3 each",
    )
    yield Measure(
        "a file wrong in every line to its refusal",
        median_of(3, functools.partial(_refused, _wrong())),
        "ms",
        "",
        f"{len(_wrong()):,} bytes, almost as many values as are read, each key alike to one that is known; median of 3",
    )
    yield Measure(
        "manifest verified",
        median_of(50, lambda: seconds(lambda: _verified(manifest, digest)) * 1000),
        "ms",
        "",
        f"digest, canonical form and every field; {SERVICES} services, {len(manifest):,} bytes; median of 50",
    )


def _source() -> bytes:
    said = ["name: press-line", "x-checkvalve: {version: '1.0.0', soak: 2m}", "services:"]
    for number in range(SERVICES):
        said += [
            f"  worker-{number:02}:",
            f"    image: worker-{number % 10}:1",
            "    restart: always",
            f"    command: [/usr/bin/worker, --line, '{number}']",
            f"    environment: {{PLC: 10.20.0.{number}, CYCLE: 250ms, LOG: info}}",
            f"    ports: ['{9000 + number}:8080']",
            f"    volumes: ['data-{number}:/var/lib/worker']",
            "    healthcheck: {test: [CMD, /usr/bin/worker, --ok], interval: 10s, timeout: 2s, retries: 3}",
            *([f"    depends_on: [worker-{number - 1:02}]"] if number % 5 else []),
        ]
    said += ["volumes:", *(f"  data-{number}: {{}}" for number in range(SERVICES))]
    return "\n".join(said).encode()


def _images() -> list[Image]:
    found = (world.found(f"worker-{number}:1", layers=("base", "runtime", f"app {number}")) for number in range(10))
    return [Image(ImageId(one.names[0]), "/", one, "", clock.now()) for one in found]


def _manifest(source: bytes, images: Sequence[Image]) -> workload.Manifest:
    composed = compose.read(source)
    assert isinstance(composed, Composed), composed
    known, problems = resolve.images(composed.references, images, [])
    assert not problems
    return compose.assemble(composed, known)


def _verified(manifest: bytes, digest: str) -> None:
    assert workload.digest(manifest) == digest
    workload.read(manifest)


def _bombs() -> list[tuple[str, bytes]]:
    laughs = "a: &a0 [x, x]\n" + "".join(f"b{n}: &a{n} [{f'*a{n - 1}, ' * 9}]\n" for n in range(1, 4_000))
    kinds = {
        "aliases of aliases": laughs,
        "a list without end": "- x\n" * workload.LARGEST,
        "nesting without end": "[" * workload.LARGEST,
        "a long text, named again and again": f"a: &a '{'a' * 128_000}'\nb: [{'*a, ' * workload.LARGEST}",
        "anchors that nobody uses": "".join(f"- &a{n} x\n" for n in range(30_000)),
        "merges of merges": "a: &a {" + ", ".join(f"k{n}: 1" for n in range(9_000)) + "}\n" + "<<: *a\n" * 40_000,
    }
    return [(name, text.encode()[: workload.LARGEST]) for name, text in kinds.items()]


def _wrong() -> bytes:
    return "".join(f"x-checkvalv{n}: abcdefgh\n" for n in range(9_900)).encode()


def _refused(source: bytes) -> float:
    """Return the milliseconds to the refusal."""
    began = clock.monotonic()
    found = compose.read(source)
    took = clock.monotonic() - began
    assert not isinstance(found, Composed)
    return took * 1000


# Signing, and believing what is signed


@contextmanager
def _plant(directory: Path) -> Iterator[world.World]:
    database = Database.open("sqlite:", directory)
    migrate.upgrade(database)
    try:
        yield world.started(database, clock.new_id, clock.now())
    finally:
        database.close()


def _publish_many(made: world.World, count: int) -> None:
    """Put so many releases into the rows and onto the list, as if each had been made and signed."""
    made.database.write_now("by hand", _listed, made, count)


def _listed(tx: Tx, made: world.World, count: int) -> None:
    composed = compose.read(world.source("press-line", "0"))
    assert isinstance(composed, Composed)
    known, _ = resolve.images(composed.references, queries.images(tx, queries.EVERYWHERE), [])
    targets: dict[str, metadata.Target] = {}
    for number in range(1, count + 1):
        composed = compose.read(world.source("press-line", f"1.0.{number}"))
        assert isinstance(composed, Composed)
        data = workload.write(compose.assemble(composed, dict(zip(composed.references, known.values(), strict=True))))
        release = _row(made, number, data)
        writes.add_release(tx, release)
        targets[release.target] = metadata.Target(
            length=len(data),
            sha256=release.digest.removeprefix("sha256:"),
            name=release.name,
            version=release.version,
            number=number,
        )
    before = queries.anchor(tx)
    payload = metadata.new_targets(
        version=1, expires=made.now.replace(microsecond=0) + timedelta(days=365), targets=targets, floors={}
    )
    given = [_given(made, person, payload) for person in list(made.signers)[:2]]
    writes.hand_out(tx, before, publish.published(before, payload, given, made.online, made.now), made.now)


def _row(made: world.World, number: int, data: bytes) -> Release:
    return Release(
        id=ReleaseId(clock.new_id()),
        scope=made.site,
        name="press-line",
        version=f"1.0.{number}",
        number=number,
        digest=workload.digest(data),
        manifest=data,
        source=b"",
        size=1,
        state=State.PUBLISHED,
        made_by=made.maker,
        made_at=made.now,
        changed_at=made.now,
    )


def _given(made: world.World, person: PersonId, payload: bytes) -> Signature:
    given = metadata.sign(payload, made.signers[person])
    return Signature(given.keyid, given.signature, person, made.now)


def _published(made: world.World) -> float:
    """Make one release more, and return the milliseconds of the signature that publishes it."""
    made.made(world.source("press-line", f"2.{clock.new_id()}"))
    draft = made.open()
    first, second, *_ = made.signers
    made.sign(first, draft.id)
    given = metadata.sign(draft.payload, made.signers[second])
    act, digest = made.act(second), drafts.digest(draft)

    def signed(tx: Tx) -> float:
        metafile.read.cache_clear()  # as after a start of the plane
        return seconds(lambda: actions.sign(tx, act, draft.id, digest, given, made.online))

    return made.database.write_now("draft.sign", signed) * 1000


def _refreshes(made: world.World, count: int) -> Iterator[Measure]:
    anchor = made.anchor()
    files = [file or b"" for file in (anchor.timestamp, anchor.snapshot, anchor.targets)]
    yield Measure(
        f"a device believes a new list of {count:,} releases",
        median_of(10, lambda: seconds(lambda: _believed(made, anchor)) * 1000),
        "ms",
        "",
        "timestamp, snapshot and targets by the trust set, from a pinned root; on this machine's core; median of 10",
    )
    yield Measure(
        "what it fetches for that",
        sum(map(len, files)) / 1000,
        "kB",
        "",
        "the three files, unpacked, without HTTP and TLS around them",
    )


def _believed(made: world.World, anchor: Anchor) -> None:
    metafile.read.cache_clear()  # a device has not read it before
    trusted = trustset.begin(anchor.root or b"")
    trusted = trustset.with_timestamp(trusted, anchor.timestamp or b"", made.now)
    trusted = trustset.with_snapshot(trusted, anchor.snapshot or b"", made.now)
    trusted = trustset.with_targets(trusted, anchor.targets or b"", made.now)
    assert trustset.wanted(trusted) is None
