# SPDX-License-Identifier: Apache-2.0
"""Act: from a compose file to a signed list of what may run, with keys that the plane never sees."""

import io
import json
import re
import tarfile
from pathlib import Path

from checkvalve import clock
from checkvalve.crypto import digests
from checkvalve.demo import outsider
from checkvalve.demo.facts import Fact
from checkvalve.demo.stage import Stage

TITLE = "What may run: two people sign it, each with a key that the plane never sees"
SIGNERS = ("rut", "nils")
IMAGES = ("press-line:2.4.1", "opc-bridge:1.9.0")
# Who signs with whose key, and what to call it.
TRIES = (
    ("rut", "stranger", "a stranger's key"),
    ("rut", "rut", "Rut"),
    ("rut", "rut", "Rut again"),
    ("nils", "nils", "Nils"),
)
PLACE = "Norra Water"
RELEASE = "press-line@2.4.1"
COMPOSE = """\
name: press-line
x-checkvalve: { version: 2.4.1, soak: 2m }
services:
  press:
    image: press-line:2.4.1
    environment: { PLC: 10.20.0.11 }
    volumes: ["recipes:/var/lib/press"]
    x-checkvalve: { probes: [ { kind: http, port: 8080, path: /health } ] }
  bridge:
    image: opc-bridge:1.9.0
    ports: ["4840:4840"]
    depends_on: [press]
volumes:
  recipes: { x-checkvalve: { policy: snapshot } }
"""
# What people really write, and the line on which each mistake stands.
MISTAKES = """\
name: press-line
services:
  press:
    image: press-line:2.4.1
    privileged: true
    volumes: ["/etc:/host"]
    environment: { PASSWORD: "${PASSWORD}" }
  bridge:
    image: opc-bridge:latest
    restrat: always
"""
WRONG = {1, 5, 6, 7, 10}


def play(stage: Stage) -> list[Fact]:
    """Make keys, bring images, make a release, sign it; and try to get by without."""
    keys = stage.directory / "keys"
    early = _root(stage, keys)
    return [_images(stage), _compose(stage), _signatures(stage, keys, early), _outsiders(stage)]


def _root(stage: Stage, keys: Path) -> str:
    """Make everybody's keys and the root of trust; return how the plane took it before both had signed."""
    secret = stage.secret("passphrase")
    for name in (*SIGNERS, "stranger"):
        stage.run("", "keys", "make", name, "--out", str(keys), "--passphrase-file", str(secret))
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


def _images(stage: Stage) -> Fact:
    codes, kept = [], []
    for name in IMAGES:
        good = _archive(name, clock.entropy(200_000))
        at = len(good) // 2
        file = stage.directory / "image.tar"
        file.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        codes.append(stage.refused("rut", "image", "import", str(file), "--scope", PLACE))
        file.write_bytes(good)
        said = json.loads(stage.run("rut", "image", "import", str(file), "--scope", PLACE, "--json"))
        kept += [image["config"] for image in said["images"]]
    return Fact(
        "An image is what its config says, byte for byte: one bit turned in a layer, and it stays outside",
        f"{len(IMAGES)} archives with one bit turned: {', '.join(codes)}; as they were: {len(kept)} imported",
        "all refused, then all imported",
        "docker save IMAGE > image.tar; checkvalve image import image.tar; checkvalve image list",
        codes == ["image.digest"] * len(IMAGES) and len(set(kept)) == len(IMAGES),
    )


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


def _signatures(stage: Stage, keys: Path, early: str) -> Fact:
    file = stage.directory / "compose.yaml"
    file.write_text(COMPOSE)
    stage.run("rut", "release", "create", str(file), "--scope", PLACE)
    said, early_rollouts = [], []
    for name, key, who in TRIES:
        early_rollouts.append(_taken(stage))
        sign = ("release", "sign", "--key", str(keys / f"{key}.key"), "--root", str(keys / "root.json"))
        secret = ("--passphrase-file", str(stage.secret("passphrase")))
        said.append(f"{who}: {stage.refused(name, *sign, *secret) or 'taken'}")
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


def _archive(name: str, content: bytes) -> bytes:
    """Return what `docker save` writes of an image of one layer."""
    layer = _tar({"app/program": content})
    rootfs = {"type": "layers", "diff_ids": ["sha256:" + digests.sha256_hex(layer)]}
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": rootfs}).encode()
    file = digests.sha256_hex(config) + ".json"
    manifest = json.dumps([{"Config": file, "RepoTags": [name], "Layers": ["a/layer.tar"]}]).encode()
    return _tar({"a/layer.tar": layer, file: config, "manifest.json": manifest})


def _tar(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()
