# SPDX-License-Identifier: Apache-2.0
"""The release line that the demo brings to its devices: images as `docker save` writes them, and compose files.

1.0 is what runs first. 1.1 is the patch: a new `control`, and a job that converts the recipes before it starts. 1.2 is
broken: its `control` comes up, and ends three seconds later. 1.3 is 1.1 with values: the address of the controller, the
password for it, and which program runs.
"""

import io
import json
import tarfile

from checkvalve.agent.engine import play
from checkvalve.crypto import digests
from checkvalve.demo import programs
from checkvalve.demo.programs import Architecture

NAME = "pump-station"
FIRST, PATCH, BROKEN, FILLED = "1.0", "1.1", "1.2", "1.3"
SOAK, SHORT = 5, 2  # seconds; hours on a real line
CONVERTS, BREAKS = 1, 3  # seconds
PROGRAM, MISTYPED = "program", "programme"
CONVERTED, WHY = "recipes converted", "control: valve table has a wrong checksum"
STEERS = "steering 4 valves"
LABEL = "checkvalve-demo"
"""Every container of the demo carries it; its value is the directory that the demo plays in."""

CONTENT = 60_000  # bytes of an image besides its program, so that there is something to fetch

# The images that are new in a version, and what their program does.
_NEW = {
    FIRST: ("pump-control", "pump-telemetry"),
    PATCH: ("pump-control", "pump-convert"),
    BROKEN: ("pump-control",),
    FILLED: (),
}

_SERVICES = {
    FIRST: """\
  control:
    image: pump-control:1.0
  telemetry:
    image: pump-telemetry:1.0
    depends_on: [control]
""",
    PATCH: """\
  convert:
    image: pump-convert:1.1
    x-checkvalve: { kind: oneshot }
  control:
    image: pump-control:1.1
    depends_on: { convert: { condition: service_completed_successfully } }
  telemetry:
    image: pump-telemetry:1.0
    depends_on: [control]
""",
    BROKEN: """\
  control:
    image: pump-control:1.2
  telemetry:
    image: pump-telemetry:1.0
    depends_on: [control]
""",
    FILLED: """\
  control:
    image: pump-control:1.1
    secrets: [plc-password]
  telemetry:
    image: pump-telemetry:1.0
    depends_on: [control]
""",
}
# A simulated engine runs no program: there a service says what its program does.
_SCRIPTS = {
    "pump-control:1.1": f"log={STEERS}",
    "pump-convert:1.1": f"exit=0;after={CONVERTS}s;log={CONVERTED}",
    "pump-control:1.2": f"exit=1;after={BREAKS}s;log={WHY}",
}


def ref(version: str) -> str:
    """Return what people call a release of the line."""
    return f"{NAME}@{version}"


def compose(version: str, mark: str, *, simulated: bool) -> str:
    """Return the compose file of a version; `mark` is what its containers are found by."""
    top: dict[str, object] = {"version": version, "soak": f"{SOAK}s"}
    if version == FILLED:
        # Played, a program that is not there is a word that means nothing.
        program = _SCRIPTS["pump-control:1.1"] if simulated else PROGRAM
        top |= {"soak": f"{SHORT}s", "secrets": {"plc-password": {}}}
        top["variables"] = {"PLC_ADDRESS": {"kind": "address"}, "PROGRAM": program}
    text = f"name: {NAME}\nx-checkvalve: {json.dumps(top)}\nservices:\n"
    for line in _SERVICES[version].splitlines():
        text += line + "\n"
        image = line.strip().removeprefix("image: ")
        if image != line.strip():
            text += f'    restart: "no"\n    labels: {{ {LABEL}: {json.dumps(mark)} }}\n'
            environment = {"PLC": "10.20.0.11"} if image.startswith("pump-control") else {}
            environment |= {play.VARIABLE: _SCRIPTS[image]} if simulated and image in _SCRIPTS else {}
            if version == FILLED and image.startswith("pump-control"):
                environment["PLC"] = "${PLC_ADDRESS}"
                environment |= {play.VARIABLE: "${PROGRAM}"} if simulated else {}
                text += "" if simulated else '    entrypoint: ["/${PROGRAM}"]\n'
            text += f"    environment: {json.dumps(environment)}\n" if environment else ""
    return text


def images(version: str, architecture: Architecture) -> dict[str, bytes]:
    """Return the programs of the images that are new in a version, by the images' names."""
    return {f"{name}:{version}": _program(f"{name}:{version}", architecture) for name in _NEW[version]}


def archive(programs_: dict[str, bytes], architecture: Architecture, content: bytes) -> bytes:
    """Return what `docker save` writes of images with these programs; `content` is in each, beside it."""
    files: dict[str, bytes] = {}
    manifest = []
    for name, program in programs_.items():
        layer = _tar({"program": program, "content": content, "name": name.encode()})
        rootfs = {"type": "layers", "diff_ids": ["sha256:" + digests.sha256_hex(layer)]}
        run = {"Entrypoint": ["/program"]}
        config = json.dumps({"architecture": architecture, "os": "linux", "config": run, "rootfs": rootfs}).encode()
        digest = digests.sha256_hex(config)
        files |= {f"{digest}/layer.tar": layer, f"{digest}.json": config}
        manifest.append({"Config": f"{digest}.json", "RepoTags": [name], "Layers": [f"{digest}/layer.tar"]})
    return _tar(files | {"manifest.json": json.dumps(manifest).encode()})


def altered(data: bytes) -> bytes:
    """Return the bytes with one bit in their middle turned."""
    at = len(data) // 2
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def _program(image: str, architecture: Architecture) -> bytes:
    if image == "pump-convert:1.1":
        return programs.ends(architecture, 0, CONVERTS, CONVERTED)
    if image == "pump-control:1.2":
        return programs.ends(architecture, 1, BREAKS, WHY)
    return programs.stays(architecture, STEERS if image == "pump-control:1.1" else "")


def _tar(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o755
            tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()
