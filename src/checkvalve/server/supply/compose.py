# SPDX-License-Identifier: Apache-2.0
"""Which release is this compose file?

Rules: 1. all that is wrong is told at once, each with its line; 2. what a release cannot say is refused, and never left
out in silence: what runs on a device is what the file says; 3. name and version that are given beside the file count
more than what it says; 4. what is arranged differently and means the same becomes the same manifest; 5. a release that
uses nothing newer is written in version 1, in which all texts are literal: its digest is what it always was.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from checkvalve.protocol import filling, workload
from checkvalve.protocol.reach import Allowed
from checkvalve.server.supply import (
    addresses,
    container,
    declared,
    document,
    extension,
    hardware,
    keywords,
    networks,
    order,
    ports,
    storage,
)
from checkvalve.server.supply import profiles as profiles_
from checkvalve.server.supply.composed import Composed, Container, Findings, Problem, Reference
from checkvalve.server.supply.document import Kind
from checkvalve.server.supply.place import Place
from checkvalve.server.supply.sentences import brief, nearest

MOST_CONTAINERS = 100
EXTENSION = "x-checkvalve"


def read(
    source: bytes, name: str = "", version: str = "", profiles: Collection[str] = ()
) -> Composed | tuple[Problem, ...]:
    """Return what the file says, or what is wrong with it, in the order of its lines.

    Services with profiles are in it if one of `profiles` is theirs.

    Codes are `compose.` and one of: size, syntax, tag, bomb, duplicate, unknown, unsupported, type, value, missing,
    variable, version, name, reference, allow, too_many.
    """
    found = Findings()
    node = document.read(source, found)
    if node is None:
        return found.told()
    top = Place(node, "", node.line, found)
    if not top.keys(keywords.TOP):
        return found.told()
    _remarks(top)
    composed = _composed(top, name, version, profiles)
    return found.told() if found.problems else composed


def assemble(composed: Composed, images: Mapping[Reference, workload.Image]) -> workload.Manifest:
    """Return the manifest of a release whose images are known: one for each of `composed.references`."""
    services = {
        name: msgspec.structs.replace(one.settings, image=images[one.reference].config)
        for name, one in composed.services.items()
    }
    manifest = workload.Manifest(
        name=composed.name,
        version=composed.version,
        services=services,
        images={images[one].config: images[one] for one in composed.references},
        networks=dict(composed.networks),
        volumes=dict(composed.volumes),
        gate=composed.gate,
        variables=composed.variables,
        files=composed.files,
        secrets=composed.secrets,
        allow=composed.allow,
        host_paths=composed.host_paths,
        v=workload.VERSION,
    )
    if workload.oldest(manifest) == workload.VERSION:
        return manifest
    return msgspec.structs.replace(filling.fill(manifest, {}), v=1)  # rule 5: nothing is open, so nothing is lacking


def _composed(top: Place, name: str, version: str, profiles: Collection[str]) -> Composed:
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
    at = extended.at if extended is not None else lambda _: None
    said = _Said(
        opened=declared.read(top, extended),
        networks=networks.networks(top.at("networks")),
        volumes=storage.volumes(top.at("volumes")),
        allow=hardware.allowed(at("allow")),
        host_paths=hardware.host_paths(at("host_paths")),
    )
    services = _containers(top, said, profiles)
    settings = [one.settings for one in services.values()]
    if any(attachment.network == networks.DEFAULT for one in settings for attachment in one.networks):
        said.networks.setdefault(networks.DEFAULT, workload.Network())
    _idle(top, said, settings)
    return Composed(
        name=called or "",
        version=labelled or "",
        services=services,
        networks=said.networks,
        volumes=said.volumes,
        gate=extension.gate(extended),
        variables=said.opened.variables,
        files=said.opened.files,
        secrets=said.opened.secrets,
        allow=said.allow,
        host_paths=said.host_paths,
        notes=tuple(top.found.notes),
    )


@dataclass(frozen=True, slots=True)
class _Said:
    """What a file says beside its services."""

    opened: declared.Open
    networks: dict[str, workload.Network]
    volumes: Mapping[str, workload.Volume]
    allow: tuple[Allowed, ...]
    host_paths: tuple[str, ...]

    @property
    def files(self) -> set[str]:
        return {one.name for one in self.opened.files}

    @property
    def secrets(self) -> set[str]:
        return {one.name for one in self.opened.secrets}


def _idle(top: Place, said: _Said, services: Sequence[workload.Service]) -> None:
    """Say what is declared and not used."""
    volumes = {mount.volume for one in services for mount in one.mounts}
    nets = {attachment.network for one in services for attachment in one.networks}
    placed = {placed.name for one in services for placed in (*one.files, *one.secrets)}
    there = (said.volumes.keys() - volumes) | (said.networks.keys() - nets) | ((said.files | said.secrets) - placed)
    _noted(top, "No service uses these", there)
    _noted(top, "Nothing uses these variables", {one.name for one in said.opened.variables} - top.found.used)
    for sentence in hardware.idle(said.allow, said.host_paths, services):
        top.found.note(sentence)


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


def _containers(top: Place, said: _Said, profiles: Collection[str]) -> dict[str, Container]:
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
    left, out = profiles_.enabled(written, profiles)
    if not left.node.entries:
        words = "All services are left out, for their profiles are not enabled."
        written.refuse("missing", words, "Enable one with --profile.")
    known = container.Declared(
        services=left.node.entries.keys(),
        networks=said.networks.keys(),
        volumes=said.volumes.keys(),
        files=said.files,
        secrets=said.secrets,
        allow=said.allow,
        host_paths=said.host_paths,
        out=out,
    )
    found: dict[str, Container] = {}
    for key, place in left.entries():
        one = container.read(place, known) if storage.named(place, key) else None
        if one is not None:
            found[key] = one
    _together(left, found)
    addresses.check(left, {name: one.settings for name, one in found.items()}, said.networks)
    return found


def _together(place: Place, services: Mapping[str, Container]) -> None:
    """Check what only several services can get wrong."""
    around = order.circle({name: one.settings.after for name, one in services.items()})
    places = dict(place.entries())
    oneshots = {name for name, one in services.items() if one.settings.kind == "oneshot"}
    said = {name: order.ends(places[name].at("depends_on"), services, oneshots) for name in services}
    unsaid = [name for name, one in services.items() if oneshots.intersection(one.settings.after) - said[name]]
    _noted(place, "These start when the oneshots they depend on have ended (in compose: have started)", unsaid)
    checks = order.checked({name: one.settings for name, one in services.items()})
    guessed = {each for name in services for each in order.unseen(places[name].at("depends_on"), checks)}
    _noted(
        place, "These are waited for until their image's own check says healthy; without one they never are", guessed
    )
    if around:
        first = places[around[0]]
        words = f"These wait for each other: {' -> '.join(around)}."
        (first.at("depends_on") or first).refuse("reference", words, "Let one of them start first.")
    for name, port, other in ports.clashes({name: _known(place, one.settings) for name, one in services.items()}):
        words = f"Port {port.published}/{port.protocol} of the device is published by {other} already."
        (places[name].at("ports") or places[name]).refuse("value", words, "Publish another port.")
    silent = [name for name, one in services.items() if _unsaid(places[name], one)]
    _noted(place, "Without `restart`, these restart unless they are stopped (in compose: never)", silent)


def _known(place: Place, service: workload.Service) -> tuple[workload.Port, ...]:
    """Return the ports of a service at the addresses that their defaults give them."""
    known = ((port, place.known(port.address)) for port in service.ports)
    return tuple(port if said is None else msgspec.structs.replace(port, address=said) for port, said in known)


def _unsaid(place: Place, one: Container) -> bool:
    return one.settings.kind == "service" and place.at("restart") is None
