# SPDX-License-Identifier: Apache-2.0
"""What of a release can Podman not do? It is said where the release is made, not on the device at night.

Rules: 1. what Podman refuses, or does as something else, is refused, with its line and what to write instead; 2. what
it does under a condition that the release does not show is noted; 3. what it does in its own way is neither: the agent
starts again what ends, and logs go into one file. Tried with Podman 4.3 and netavark, through the interface of Docker.
"""

from collections.abc import Iterator, Sequence

from checkvalve.protocol import reach
from checkvalve.server.supply import document
from checkvalve.server.supply.composed import Composed, Findings, Problem

CODE = "compose.podman"
_OPTIONS = ("uid", "gid", "nr_inodes")


def problems(composed: Composed, source: bytes) -> tuple[Problem, ...]:
    """Return what Podman would refuse (rule 1), in the order of the file that `composed` was read of."""
    root = document.read(source, Findings())
    found = [
        Problem(_line(root, path), ".".join(path), CODE, sentence, instead)
        for path, sentence, instead in (*_volumes(composed), *_networks(composed), *_memory(composed))
    ]
    return tuple(sorted(found, key=lambda one: one.line))


def notes(composed: Composed) -> tuple[str, ...]:
    """Return what holds on Podman under a condition (rule 2)."""
    services = {name: one.settings for name, one in sorted(composed.services.items())}
    checked = [name for name, one in services.items() if one.check is not None and one.check.test != ("NONE",)]
    sockets = [
        name
        for name, one in services.items()
        if any("docker" in bind.source and reach.needed(bind.source) == "engine-socket" for bind in one.binds)
    ]
    bound = [name for name, one in services.items() if one.binds]
    found = []
    if bound:
        found.append(f"Podman makes a path of the device that is not there, empty and root's: {', '.join(bound)}.")
    if checked:
        found.append(
            "On Podman systemd asks these healthchecks; a device without it needs `x-checkvalve.probes` instead: "
            f"{', '.join(checked)}."
        )
    if sockets:
        found.append(
            "Podman's socket is /run/podman/podman.sock; Docker's is there only with the package podman-docker: "
            f"{', '.join(sockets)}."
        )
    return tuple(found)


_Found = tuple[tuple[str, ...], str, str]


def _volumes(composed: Composed) -> Iterator[_Found]:
    for name, volume in composed.volumes.items():
        if volume.policy == "snapshot":
            yield (
                ("volumes", name, "x-checkvalve", "policy"),
                "Podman copies no volume with the owners of its files, so there is no snapshot to return to.",
                "Write `policy: keep`, and let the program keep a copy before it changes its data.",
            )


def _networks(composed: Composed) -> Iterator[_Found]:
    for name, network in composed.networks.items():
        if network.driver == "ipvlan":
            yield ("networks", name, "driver"), "Podman has no ipvlan.", "Write `driver: macvlan`."


def _memory(composed: Composed) -> Iterator[_Found]:
    for name, one in composed.services.items():
        written: Sequence[str] = [option for path in one.settings.tmpfs for option in path.partition(":")[2].split(",")]
        wrong = sorted({option for option in written if option.partition("=")[0] in _OPTIONS})
        if wrong:
            words = f"Podman does not know {', '.join(wrong)} of a tmpfs."
            yield ("services", name, "tmpfs"), words, "Take it out; write mode=1777 for what others must write into."


def _line(root: document.Node | None, path: Sequence[str]) -> int:
    """Return the line of a path, or of the last of it that is written there."""
    line = 1
    for name in path:
        if root is None or name not in root.entries:
            return line
        line, root = root.entries[name]
    return line
