# SPDX-License-Identifier: Apache-2.0
"""Act: from a compose file to a signed list of what may run, with keys that the plane never sees."""

import json
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from checkvalve import clock
from checkvalve.demo import outsider, station
from checkvalve.demo.facts import Fact
from checkvalve.demo.stage import Stage

TITLE = "What may run: two people sign it, each with a key that the plane never sees"
SIGNERS = ("rut", "nils")
# Who signs with whose key, and what to call it.
TRIES = (
    ("rut", "stranger", "a stranger's key"),
    ("rut", "rut", "Rut"),
    ("rut", "rut", "Rut again"),
    ("nils", "nils", "Nils"),
)
PLACE = "Norra Water"
RELEASE = station.ref(station.FIRST)
# What people really write, and the line on which each mistake stands.
MISTAKES = """\
name: pump-station
services:
  control:
    image: pump-control:1.0
    privileged: true
    volumes: ["/etc:/host"]
    environment: { PASSWORD: "${PASSWORD}" }
  telemetry:
    image: pump-telemetry:latest
    restrat: always
"""
WRONG = {1, 5, 6, 7, 10}


def play(stage: Stage) -> list[Fact]:
    """Make keys, bring images, make a release, sign it; and try to get by without."""
    keys = stage.directory / "keys"
    early = _root(stage, keys)
    return [_images(stage), _compose(stage), _signatures(stage, early), _outsiders(stage)]


def _root(stage: Stage, keys: Path) -> str:
    """Make everybody's keys and the root of trust; return how the plane took it before both had signed."""
    secret = stage.secret("passphrase")
    with ThreadPoolExecutor() as pool:  # three people, each at a desk of their own
        made = ("--out", str(keys), "--passphrase-file", str(secret))
        list(pool.map(lambda name: stage.run("", "keys", "make", name, *made), (*SIGNERS, "stranger")))
    named = [word for name in SIGNERS for role in ("--root", "--targets") for word in (role, str(keys / f"{name}.pub"))]
    needed = ["--root-threshold", "2", "--targets-threshold", "2"]
    online = str(stage.home / "keys" / "online.pub")
    stage.run("", "keys", "init", "--plane-key", online, "--out", str(keys), *named, *needed)
    root = keys / "root.json"
    admin, codes = stage.caller("admin"), []
    for name in SIGNERS:
        refused = admin.refusal("/api/v1/trust/root", root=root.read_text())
        codes.append(refused.code if refused else "taken")
        stage.run("", "keys", "sign", str(root), "--key", str(keys / f"{name}.key"), "--passphrase-file", str(secret))
    stage.run("admin", "trust", "install", str(root))
    return ", ".join(codes)


def publish(stage: Stage, versions: Sequence[str]) -> None:
    """Bring the images of versions, have their releases made, and both people sign, each at a desk of their own.

    Raises `UnavailableError` (`demo.command`).
    """
    if any(station.images(version, stage.engine.architecture) for version in versions):
        _imported(stage, _saved(stage, versions), f"images-{versions[0]}.tar")
    for version in versions:
        _made(stage, version)
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda name: stage.run(name, *_sign(stage, name)), SIGNERS))


def _images(stage: Stage) -> Fact:
    good = _saved(stage, (station.FIRST,))
    file = stage.directory / "altered.tar"
    file.write_bytes(station.altered(good))
    code = stage.refused("rut", "image", "import", str(file), "--scope", PLACE)
    kept = _imported(stage, good, "image.tar")
    wanted = len(station.images(station.FIRST, stage.engine.architecture))
    return Fact(
        "An image is what its config says, byte for byte: one bit turned in a layer, and it stays outside",
        f"an archive with one bit turned: {code}; as it was: {len(kept)} images imported",
        "refused, then all imported",
        "docker save IMAGE > image.tar; checkvalve image import image.tar; checkvalve image list",
        code == "image.digest" and len(set(kept)) == wanted,
    )


def _saved(stage: Stage, versions: Sequence[str]) -> bytes:
    """Return an archive of the images that are new in these versions, as `docker save` writes it."""
    architecture = stage.engine.architecture
    images = {name: each for version in versions for name, each in station.images(version, architecture).items()}
    return station.archive(images, architecture, clock.entropy(station.CONTENT))


def _imported(stage: Stage, archive: bytes, name: str) -> list[str]:
    file = stage.directory / name
    file.write_bytes(archive)
    said = json.loads(stage.run("rut", "image", "import", str(file), "--scope", PLACE, "--json"))
    return [image["config"] for image in said["images"]]


def _made(stage: Stage, version: str) -> None:
    file = stage.directory / f"compose-{version}.yaml"
    file.write_text(station.compose(version, stage.mark, simulated=stage.engine.simulated))
    stage.run("rut", "release", "create", str(file), "--scope", PLACE)


def _signed(stage: Stage, login: str, key: str) -> str:
    """Sign the open draft; return the code of the refusal, nothing if the signature was taken."""
    return stage.refused(login, *_sign(stage, key))


def _sign(stage: Stage, key: str) -> tuple[str, ...]:
    keys = stage.directory / "keys"
    sign = ("release", "sign", "--key", str(keys / f"{key}.key"), "--root", str(keys / "root.json"))
    return *sign, "--passphrase-file", str(stage.secret("passphrase"))


def _compose(stage: Stage) -> Fact:
    rut = stage.caller("rut")
    checked = rut.post("/api/v1/releases/check", scope=stage.places[PLACE], source=MISTAKES)
    lines = {problem["line"] for problem in checked["problems"]}
    helped = all(problem["instead"] for problem in checked["problems"])
    refused = rut.refusal("/api/v1/releases", scope=stage.places[PLACE], source=MISTAKES)
    made = rut.get("/api/v1/releases")["items"]
    return Fact(
        "A compose file is taken as it is, or refused with every line that is wrong and what to write instead",
        f"{len(checked['problems'])} problems told at once, on lines {', '.join(map(str, sorted(lines)))}; "
        f"{len(made)} releases made of it",
        f"lines {', '.join(map(str, sorted(WRONG)))}; 0 made",
        "checkvalve release create compose.yaml --dry-run",
        lines >= WRONG and helped and refused is not None and not made,
    )


def _signatures(stage: Stage, early: str) -> Fact:
    _made(stage, station.FIRST)
    said, early_rollouts = [], []
    for name, key, who in TRIES:
        early_rollouts.append(_taken(stage))
        said.append(f"{who}: {_signed(stage, name, key) or 'taken'}")
    after = next(one for one in stage.caller("rut").get("/api/v1/releases")["items"])
    stage.ids["release"] = after["ref"]
    stopped = sum(code == "release.not_published" for code in early_rollouts)
    expected = ["a stranger's key: draft.signature", "Rut: taken", "Rut again: draft.twice", "Nils: taken"]
    return Fact(
        "Nothing may run until two people signed exactly its bytes; a stranger's key and a second try do not count",
        f"{'; '.join(said)}; then {RELEASE} is {after['state']}. {stopped} of {len(TRIES)} rollouts refused before; "
        f"the root of trust before both had signed: {early}",
        "two count; published only then; every rollout before it refused",
        f"checkvalve release show {RELEASE}; checkvalve trust show",
        said == expected
        and stopped == len(TRIES)
        and early == "metadata.signature, metadata.signature"
        and after["state"] == "published",
    )


def _taken(stage: Stage) -> str:
    """Return why the release cannot be rolled out now; nothing if it can."""
    wanted = {"name": "too early", "release": RELEASE, "selector": "all", "approvals": 1}
    refused = stage.caller("anna").refusal("/api/v1/rollouts", scope=stage.places[PLACE], **wanted)
    return refused.code if refused else ""


def _outsiders(stage: Stage) -> Fact:
    caller = stage.caller("maja")
    pinned = (stage.directory / "keys" / "root.json").read_bytes()
    files = outsider.fetch(caller)
    believed = outsider.believes(pinned, files)
    refused = [outsider.believes(pinned, files | {name: _altered(data)}) for name, data in files.items()]
    return Fact(
        "A program that is not ours (python-tuf's client) believes the list from a pinned root on, and no altered one",
        f"as published: {believed}; each of {len(files)} files with one character changed: {', '.join(refused)}",
        "believed; every alteration refused",
        f"point any TUF client at {stage.url}/api/v1/trust/ with {stage.directory}/keys/root.json as its root",
        believed == outsider.BELIEVED and outsider.BELIEVED not in refused,
    )


def _altered(data: bytes) -> bytes:
    """Change a digit of the version, which each file has."""
    return re.sub(rb'"version":(\d+)', lambda found: b'"version":%d' % (int(found[1]) + 1), data)
