# SPDX-License-Identifier: Apache-2.0
"""What does a signer put their name to? Made from the bytes that are signed, not from what the plane says of them.

Rules (walk release, 12): 1. the bytes are those whose digest the plane shows; 2. they follow the published list by one
version; 3. what is in both lists is the same in both, and no floor sinks; 4. what came, went or rose is what the plane
says of the draft, no more and no less; 5. each release that came has a manifest of exactly the length and digest that
would be signed, under its own name, version and line, with a number above all of its line and no lower than its floor.
Where one does not hold nothing is signed (`draft.differs`).
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

import msgspec

from checkvalve.cli import releases
from checkvalve.cli.failures import UnverifiedError
from checkvalve.crypto import digests, metadata
from checkvalve.crypto.metadata import Target
from checkvalve.errors import InvalidError
from checkvalve.protocol import supply, workload
from checkvalve.protocol.declared import Variable


@dataclass(frozen=True)
class List:
    """What may run, as a list of targets says it."""

    version: int
    targets: Mapping[str, Target]
    floors: Mapping[str, int]
    expires: datetime | None = None


NOTHING = List(0, {}, {})

# Fields of a service that are shown whole in `_may`.
_RIGHTS = ("privileged", "host_network", "cap_add", "devices", "binds", "sysctls", "group_add")


@dataclass(frozen=True)
class Change:
    """What is signed if the new list takes the place of the old one."""

    before: List
    after: List
    added: Mapping[str, Target]
    removed: Mapping[str, Target]
    raised: Mapping[str, int]

    @property
    def kept(self) -> int:
        """How many releases stay as they are."""
        return len(self.after.targets) - len(self.added)


def read(payload: bytes) -> List:
    """Return the list of these bytes; `UnverifiedError` (`draft.differs`) if they are none."""
    try:
        seen = metadata.seen(payload)
        targets, floors = metadata.read_targets(payload)
    except InvalidError as error:
        raise differs(f"they are no list of what may run ({error.sentence.rstrip('.')})") from error
    return List(seen.version, targets, floors, seen.expires)


def exact(payload: bytes, draft: supply.Draft) -> List:
    """Return the list of a draft's bytes (rules 1 and 2)."""
    if digests.sha256_hex(payload) != draft.digest:
        raise differs("their digest is not the one that it shows")
    found = read(payload)
    if found.version != draft.version or found.expires != datetime.fromisoformat(draft.expires):
        raise differs("they have another version or expiry than it says")
    return found


def change(before: List, after: List) -> Change:
    """Return what differs between the published list and the one to sign (rules 2 and 3)."""
    if after.version != before.version + 1:
        raise differs(f"version {after.version} does not follow the published version {before.version}")
    for path, target in before.targets.items():
        if path in after.targets and after.targets[path] != target:
            raise differs(f"{target.name} {target.version}, which is published, would become something else")
    for line, number in before.floors.items():
        if after.floors.get(line, 0) < number:
            raise differs(f"the floor of {line} would sink from {number} to {after.floors.get(line, 0)}")
    return Change(
        before,
        after,
        {path: one for path, one in after.targets.items() if path not in before.targets},
        {path: one for path, one in before.targets.items() if path not in after.targets},
        {line: number for line, number in after.floors.items() if number > before.floors.get(line, 0)},
    )


def told(found: Change, draft: supply.Draft, made: Mapping[str, supply.Release]) -> None:
    """Compare with what the plane says of the draft (rule 4). `made`: the releases that its changes name, by id."""
    added, removed, floors = set(), set(), dict(found.before.floors)
    for each in draft.changes:
        release = made[each.release]
        if (release.name, release.version, release.digest) != (each.name, each.version, each.digest):
            raise differs(f"it has two stories of {each.name} {each.version}")
        path = workload.target(release.scope, release.name, release.digest)
        if each.kind == "add":
            added.add(path)
        elif each.kind == "withdraw":
            removed.add(path)
        else:
            line = workload.line(release.scope, release.name)
            floors[line] = max(floors.get(line, 0), release.number)
    _same(added, found.added, found.after.targets, "would be added")
    _same(removed & found.before.targets.keys(), found.removed, found.before.targets, "would be taken off the list")
    wanted = {line: number for line, number in floors.items() if number > found.before.floors.get(line, 0)}
    if wanted != found.raised:
        lines = sorted(line for line in {*wanted, *found.raised} if wanted.get(line) != found.raised.get(line))
        raise differs(f"the floor of {lines[0]} would not be what it says")


def manifest(found: Change, release: supply.Release, data: bytes) -> workload.Manifest:
    """Return what a release that was added runs, of its manifest's bytes (rule 5)."""
    path = workload.target(release.scope, release.name, release.digest)
    target, name = found.added[path], f"{release.name} {release.version}"
    digest = digests.sha256_hex(data)
    if (len(data), digest) != (target.length, target.sha256) or not path.endswith(f"/{digest}.json"):
        raise differs(f"the manifest of {name} is not the one that would be signed")
    try:
        read_ = workload.read(data)
    except InvalidError as error:
        raise differs(f"the manifest of {name} cannot be read ({error.sentence.rstrip('.')})") from error
    said = {(read_.name, read_.version), (target.name, target.version), (release.name, release.version)}
    if len(said) > 1 or target.number != release.number:
        raise differs(f"the manifest of {name} has another name, version or number")
    line = workload.line(release.scope, release.name)
    there = [one.number for other, one in found.before.targets.items() if other.rpartition("/")[0] == line]
    if target.number <= max(there, default=0) or target.number < found.after.floors.get(line, 0):
        raise differs(f"the number of {name} ({target.number}) is not above those of its line")
    return read_


def lines(
    found: Change,
    draft: supply.Draft,
    manifests: Mapping[str, workload.Manifest],
    called: Callable[[str], str],
    *,
    every: bool,
) -> Iterator[str]:
    """Yield what a signer reads before the question. `manifests` are those of what was added, by path.

    `called` gives the name of an organisation's path. With `every` the releases that stay are named too: nobody whom
    the root names today has signed them.
    """
    yield f"List of what may run, version {found.after.version}, until {found.after.expires:%Y-%m-%d %H:%MZ}"
    yield f"digest  {draft.digest}"
    for path, target in found.added.items():
        yield ""
        yield f"+ {target.name} {target.version} (number {target.number}) may run"
        yield f"    in        {_line(path, called)}"
        yield f"    digest    sha256:{target.sha256}"
        yield from _runs(manifests[path])
    for path, target in found.removed.items():
        yield ""
        yield f"- {target.name} {target.version} (number {target.number}) may not be taken any more"
        yield f"    in        {_line(path, called)}"
    for line, number in found.raised.items():
        yield ""
        now = found.before.floors.get(line, "none")
        yield f"^ nothing of {_line(f'{line}/', called)} below number {number} may be taken any more; now it is {now}"
    yield ""
    reasons = [f"{each.name} {each.version}: {each.reason}" for each in draft.changes if each.reason]
    for reason in reasons:
        yield f"reason given  {reason}"
    yield f"As they are: {found.kept} others{', which the keys of an earlier root signed:' if every else '.'}"
    for path, target in found.after.targets.items() if every else ():
        if path not in found.added:
            named = f"{target.name} {target.version} (number {target.number})"
            yield f"= {named}  in {_line(path, called)}  sha256:{target.sha256}"


def differs(what: str) -> UnverifiedError:
    """Return what to say where the plane shows something else than it asks for."""
    return UnverifiedError(
        "draft.differs",
        f"The plane asks for a signature on bytes that it tells another story of: {what}.",
        "Do not sign. Take a newer checkvalve; if it says the same, have the plane looked at.",
    )


def _same(told_: set[str], found: Mapping[str, Target], every: Mapping[str, Target], what: str) -> None:
    for path in sorted(told_ ^ found.keys()):
        name = f"{every[path].name} {every[path].version}" if path in every else path
        raise differs(f"{name} {what}, and it does not say so" if path in found else f"not {name} {what}")


def _runs(manifest_: workload.Manifest) -> Iterator[str]:
    rows = releases.images(manifest_)
    wide = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        yield "    runs      " + "  ".join(
            [cell.ljust(width) for cell, width in zip(row, wide, strict=False)] + [row[3]]
        )
    for name, one in sorted(manifest_.services.items()):
        for port in one.ports:
            yield f"    opens     {name}: {port.address or '*'}:{port.published} -> {port.target}/{port.protocol}"
        # All that is not the default, whatever it is called: nothing that is signed goes unseen.
        said = _said(one, workload.Service(image=one.image))
        for field in sorted(said.keys() - {"image", "ports", "files", "secrets", *_RIGHTS}):
            yield f"    sets      {name}: {field} {said[field]}"
        for kind, placed in [*(("file", each) for each in one.files), *(("secret", each) for each in one.secrets)]:
            owner = f"{placed.mode:04o}, {placed.uid}:{placed.gid}"
            yield f"    lays      {name}: {kind} {placed.name} at {placed.target} ({owner})"
    for name, network in sorted(manifest_.networks.items()):
        for field, text in sorted(_said(network, workload.Network()).items()):
            yield f"    network   {name}: {field} {text}"
    yield f"    gate      {releases.gate(manifest_)}"
    if manifest_.volumes:
        yield f"    volumes   {releases.volumes(manifest_)}"
    yield from _open(manifest_)
    yield from _may(manifest_)


def _said(part: workload.Part, usual: workload.Part) -> dict[str, str]:
    """Return the fields that differ from the usual, each as JSON."""
    one, other = msgspec.to_builtins(part), msgspec.to_builtins(usual)
    return {key: msgspec.json.encode(value).decode() for key, value in one.items() if value != other[key]}


def _open(manifest_: workload.Manifest) -> Iterator[str]:
    """Yield what values fill, with all of each default: it is signed, too."""
    for variable in manifest_.variables:
        said = _said(variable, Variable(name=variable.name))
        yield f"    variable  {' '.join([variable.name, *(f'{key} {text}' for key, text in said.items())])}"
    for file in manifest_.files:
        size = "must be set" if file.default is None else f"{len(file.default.encode())} bytes unless it is set"
        yield f"    file      {file.name}: {size}"
        for line in (file.default or "").splitlines():
            yield f"              | {line}"
    for secret in manifest_.secrets:
        yield f"    secret    {secret.name}"


def _may(manifest_: workload.Manifest) -> Iterator[str]:
    found = releases.rights(manifest_)
    if found:
        yield "    What it may do on the device (! hands it over, or could):"
        yield from (f"    {line}" for line in found)
    else:
        yield f"    What it may do on the device: {releases.NO_RIGHTS}."
    if manifest_.host_paths:
        yield f"    It may have files of the device below: {', '.join(manifest_.host_paths)}"


def _line(path: str, called: Callable[[str], str]) -> str:
    line = path.rpartition("/")[0]
    organisation = line.rpartition("/")[0]
    return f"{line}  ({called(f'/{organisation}/')})" if organisation else line
