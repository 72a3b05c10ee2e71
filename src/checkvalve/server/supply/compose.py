# SPDX-License-Identifier: Apache-2.0
"""Which release is this compose file?

Rules: 1. all that is wrong is told at once, each with its line; 2. what a release cannot say is refused, and never left
out in silence: what runs on a device is what the file says; 3. name and version that are given beside the file count
more than what it says; 4. what is arranged differently and means the same becomes the same manifest.
"""

import re
from collections.abc import Collection, Mapping

import msgspec

from checkvalve.protocol import workload
from checkvalve.server.supply import container, document, extension, keywords, networks, order, ports, storage
from checkvalve.server.supply.composed import Composed, Container, Findings, Problem, Reference
from checkvalve.server.supply.document import Kind
from checkvalve.server.supply.place import Place
from checkvalve.server.supply.sentences import brief, nearest

MOST_CONTAINERS = 100
EXTENSION = "x-checkvalve"


def read(source: bytes, name: str = "", version: str = "") -> Composed | tuple[Problem, ...]:
    """Return what the file says, or what is wrong with it, in the order of its lines.

    Codes are `compose.` and one of: size, syntax, tag, bomb, duplicate, unknown, unsupported, type, value, missing,
    variable, version, name, reference, too_many.
    """
    found = Findings()
    node = document.read(source, found)
    if node is None:
        return found.told()
    top = Place(node, "", node.line, found)
    if not top.keys(keywords.TOP):
        return found.told()
    _remarks(top)
    composed = _composed(top, name, version)
    return found.told() if found.problems else composed


def assemble(composed: Composed, images: Mapping[Reference, workload.Image]) -> workload.Manifest:
    """Return the manifest of a release whose images are known: one for each of `composed.references`."""
    services = {
        name: msgspec.structs.replace(one.settings, image=images[one.reference].config)
        for name, one in composed.services.items()
    }
    return workload.Manifest(
        name=composed.name,
        version=composed.version,
        services=services,
        images={images[one].config: images[one] for one in composed.references},
        networks=dict(composed.networks),
        volumes=dict(composed.volumes),
        gate=composed.gate,
    )


def _composed(top: Place, name: str, version: str) -> Composed:
    extended = top.at(EXTENSION)
    extended = extended if extended is not None and extended.keys(keywords.X_TOP) else None
    called = name or _name(top)
    labelled = version or extension.version(extended.at("version") if extended else None)
    if name and not re.match(workload.NAME, name):
        top.found.problems.append(
            Problem(1, "name", "compose.name", f"{brief(name)} is no name of a release.", _NAME_FORM)
        )
    if version and not re.match(workload.LABEL, version):
        words = f"{brief(version)} is no version of a release."
        top.found.problems.append(Problem(1, "version", "compose.version", words, extension.LABEL_FORM))
    _needed(top, called, labelled)
    volumes, declared = storage.volumes(top.at("volumes")), networks.networks(top.at("networks"))
    services = _containers(top, declared, volumes)
    on = {attachment.network for one in services.values() for attachment in one.settings.networks}
    if networks.DEFAULT in on:
        declared.setdefault(networks.DEFAULT, workload.Network())
    used = {mount.volume for one in services.values() for mount in one.settings.mounts}
    _noted(top, "No service uses these", (volumes.keys() - used) | (declared.keys() - on))
    return Composed(
        name=called or "",
        version=labelled or "",
        services=services,
        networks=declared,
        volumes=volumes,
        gate=extension.gate(extended),
        notes=tuple(top.found.notes),
    )


_NAME_FORM = "Use lower-case letters, digits, `.`, `_` and `-`, at most 63, a letter or digit first and last."


def _name(top: Place) -> str | None:
    written = top.at("name")
    text = written.text() if written else None
    if written is not None and text is not None and not re.match(workload.NAME, text):
        written.refuse("name", f"{brief(text) or 'Empty text'} is no name of a release.", _NAME_FORM)
    return text


def _needed(top: Place, name: str | None, version: str | None) -> None:
    """Say what stands nowhere; what is there and wrong was told before."""
    extended = top.at(EXTENSION)
    if name is None and top.at("name") is None:
        words = "The release has no name."
        top.found.problems.append(
            Problem(1, "name", "compose.missing", words, "Write `name:` at the top, or give it with --name.")
        )
    if version is None and (extended is None or extended.at("version") is None):
        instead = "Write `x-checkvalve: {version: '1.0.0'}` at the top, or give it with --version."
        top.found.problems.append(Problem(1, "version", "compose.missing", "The release has no version.", instead))


def _remarks(top: Place) -> None:
    """Say what has no effect, and what was probably meant (rule 2)."""
    idle: list[str] = []
    for key, place in top.entries():
        if key == "version":
            top.found.note("`version` of compose has no effect; the release's own stands in `x-checkvalve`.")
        elif key.startswith("x-") and key != EXTENSION:
            if nearest(key, [EXTENSION], 0.8):
                place.refuse("unknown", f"{brief(key)} has no meaning.", f"Did you mean `{EXTENSION}`?")
            else:
                idle.append(key)
    _noted(top, "These have no effect of their own", idle)


def _noted(top: Place, what: str, names: Collection[str]) -> None:
    if names:
        top.found.note(f"{what}: {brief(', '.join(sorted(names)), 300)}.")


def _containers(top: Place, declared: Mapping[str, object], volumes: Mapping[str, object]) -> dict[str, Container]:
    written = top.at("services")
    if written is None or (written.node.kind is Kind.MAP and not written.node.entries):
        words = "The file has no services."
        top.found.problems.append(
            Problem(1, "services", "compose.missing", words, "Write at least one, below `services:`.")
        )
        return {}
    if not written.is_a(Kind.MAP, instead="Write the name of each service, and a colon."):
        return {}
    if len(written.node.entries) > MOST_CONTAINERS:
        words = f"There are {len(written.node.entries)} services; {MOST_CONTAINERS} is the most."
        written.refuse("value", words, "Divide them into several releases.")
        return {}
    names = written.node.entries.keys()
    known = container.Declared(names, declared.keys(), volumes.keys())
    found: dict[str, Container] = {}
    for key, place in written.entries():
        one = container.read(place, known) if storage.named(place, key) else None
        if one is not None:
            found[key] = one
    _together(written, found)
    return found


def _together(place: Place, services: Mapping[str, Container]) -> None:
    """Check what only several services can get wrong."""
    around = order.circle({name: one.settings.after for name, one in services.items()})
    places = dict(place.entries())
    oneshots = {name for name, one in services.items() if one.settings.kind == "oneshot"}
    said = {name: order.ends(places[name].at("depends_on"), oneshots) for name in services}
    unsaid = [name for name, one in services.items() if oneshots.intersection(one.settings.after) - said[name]]
    _noted(place, "These start when the oneshots they depend on have ended (in compose: have started)", unsaid)
    if around:
        first = places[around[0]]
        words = f"These wait for each other: {' -> '.join(around)}."
        (first.at("depends_on") or first).refuse("reference", words, "Let one of them start first.")
    for name, port, other in ports.clashes({name: one.settings.ports for name, one in services.items()}):
        words = f"Port {port.published}/{port.protocol} of the device is published by {other} already."
        (places[name].at("ports") or places[name]).refuse("value", words, "Publish another port.")
    silent = [name for name, one in services.items() if _unsaid(places[name], one)]
    _noted(place, "Without `restart`, these restart unless they are stopped (in compose: never)", silent)


def _unsaid(place: Place, one: Container) -> bool:
    return one.settings.kind == "service" and place.at("restart") is None
