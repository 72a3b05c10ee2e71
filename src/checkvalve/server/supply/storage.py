# SPDX-License-Identifier: Apache-2.0
"""Where does a service keep its data?

Rules: 1. data lies in volumes that the release names, so that a device knows what to keep and what to snapshot: a
volume without a name is refused; 2. a path of the device is mounted only below those that the release declares, so
that whoever signs sees them; it has to be there, since one that an engine made would be empty and root's; 3. what holds
the engine's socket or the root of all files must be allowed besides; 4. the order in the file means nothing, so mounts
are kept in the order of their targets, and the options of a tmpfs in that of their names.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass

from checkvalve.protocol import reach, workload
from checkvalve.protocol.reach import Allowed, Bind
from checkvalve.server.supply import hardware, keywords, modes, paths, sizes
from checkvalve.server.supply.document import Kind
from checkvalve.server.supply.paths import Targets
from checkvalve.server.supply.place import Place
from checkvalve.server.supply.sentences import brief

_NAMED = "Declare a volume below the top-level `volumes`, and mount it by name: `data:/var/lib/app`."
_OWN = "Put the file into the image, or its text below `configs`; for data, mount a volume by its name."
_FLAGS = ("exec", "noexec", "nosuid", "nodev", "noatime", "ro", "rw")
_NUMBERS = {"uid": 2**31 - 1, "gid": 2**31 - 1, "nr_inodes": 2**31 - 1}
_OPTIONS = f"Write size=64m, mode=1777, uid=1000, gid=1000, nr_inodes=1000, or one of: {', '.join(_FLAGS)}."
_NUMBER = re.compile(r"(?:0|[1-9][0-9]{0,9})\Z")


@dataclass(frozen=True, slots=True)
class Reached:
    """What services may reach besides their containers: what the release declares and allows."""

    volumes: Collection[str]
    host_paths: Collection[str] = ()
    allow: Collection[Allowed] = ()


@dataclass(frozen=True, slots=True)
class Stored:
    """What is mounted in one container."""

    mounts: tuple[workload.Mount, ...] = ()
    binds: tuple[Bind, ...] = ()
    tmpfs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Memory:
    """A tmpfs with its options, each `name=value` or a word."""

    target: str
    options: tuple[str, ...]


def volumes(place: Place | None) -> dict[str, workload.Volume]:
    """Return the volumes that the release declares."""
    if place is None or not place.is_a(Kind.MAP, instead="Write the name of each volume, and a colon."):
        return {}
    return {key: _volume(below) for key, below in place.entries() if named(below, key)}


def named(place: Place, key: str) -> bool:
    """Tell whether `key` may be the name of a service, volume or network."""
    if re.match(workload.NAME, key):
        return True
    place.refuse(
        "name",
        f"{brief(key) or 'Empty text'} is no name here.",
        "Use lower-case letters, digits, `.`, `_` and `-`, at most 63, a letter or digit first and last.",
    )
    return False


def _volume(place: Place) -> workload.Volume:
    if place.empty or not place.keys(keywords.VOLUME):
        return workload.Volume()
    extension = place.at("x-checkvalve")
    policy = extension.at("policy") if extension and extension.keys(keywords.X_VOLUME) else None
    snapshot = policy is not None and policy.choice(("keep", "snapshot")) == "snapshot"
    return workload.Volume(policy="snapshot" if snapshot else "keep")


def stored(volumes: Place | None, tmpfs: Place | None, reached: Reached, targets: Targets) -> Stored:
    """Return what a service mounts: `volumes` and `tmpfs` are what stands there, `targets` what is taken in it."""
    mounts: dict[str, workload.Mount] = {}
    binds: dict[str, Bind] = {}
    memory: dict[str, _Memory] = {}
    listed = volumes is not None and volumes.is_a(Kind.LIST, instead="Write a list: `- data:/var/lib/app`.")
    for item in volumes.items() if volumes is not None and listed else ():
        match _long(item, reached) if item.node.kind is Kind.MAP else _short(item, reached):
            case workload.Mount() as mount if targets.claim(item, mount.target):
                mounts[mount.target] = mount
            case Bind() as bind if targets.claim(item, bind.target):
                binds[bind.target] = bind
            case _Memory() as one if targets.claim(item, one.target):
                memory[one.target] = one
            case _:
                pass
    for item in _texts(tmpfs):
        short = _memory(item)
        if short is not None and targets.claim(item, short.target):
            memory[short.target] = short
    return Stored(
        mounts=tuple(mounts[key] for key in sorted(mounts)),
        binds=tuple(binds[key] for key in sorted(binds)),
        tmpfs=tuple(_written(memory[key]) for key in sorted(memory)),
    )


def _texts(place: Place | None) -> tuple[Place, ...]:
    if place is None or not place.is_a(Kind.LIST, Kind.TEXT, instead="Write a path, or a list of paths."):
        return ()
    return tuple(place.items()) if place.node.kind is Kind.LIST else (place,)


def _written(one: _Memory) -> str:
    return f"{one.target}:{','.join(one.options)}" if one.options else one.target


def _short(item: Place, reached: Reached) -> workload.Mount | Bind | None:
    template = item.template(instead=_NAMED)
    if template is None:
        return None
    source, *rest = template.split(":")
    from_host = source.startswith(("/", "${")) and bool(rest)
    if source.startswith((".", "~")) or "\\" in template:
        item.refuse("unsupported", f"{brief(source)} is a path of where the file was written.", _OWN)
        return None
    if source.startswith("/") and not rest:
        item.refuse("unsupported", "This volume has no name.", _NAMED)  # rule 1
        return None
    if not 1 <= len(rest) <= 2 or not source:
        item.refuse("value", f"{brief(template) or 'Empty text'} is no volume and path.", _NAMED)
        return None
    if len(rest) == 2 and rest[1] not in ("ro", "rw"):
        item.refuse("unsupported", f"A mount cannot say {brief(rest[1])}.", "Write `ro`, `rw`, or nothing.")
        return None
    text = paths.literal(item, rest[0])
    target = paths.target(item, text) if text is not None else None
    only = rest[1:] == ["ro"]
    if from_host:
        return _bind(item, source, target, reached, read_only=only)
    return _mount(item, source, target, reached, read_only=only)


def _long(item: Place, reached: Reached) -> workload.Mount | Bind | _Memory | None:
    if not item.keys(keywords.MOUNT):
        return None
    kind, source, target, only = (item.at(key) for key in ("type", "source", "target", "read_only"))
    if kind is None:
        item.refuse("missing", "The mount does not say what it is.", "Write `type: volume`.")
        return None
    said = kind.choice(("volume", "bind", "tmpfs"))
    if target is None:
        item.refuse("missing", "The mount has no target.", "Write the path in the container as `target`.")
    text = target.text() if target else None
    path = paths.target(target, text) if target and text is not None else None
    read_only = bool(only.boolean()) if only else False
    for key in ("bind", "tmpfs"):
        if said not in (None, key) and (at := item.at(key)) is not None:
            at.refuse("value", f"`{key}` says nothing of a {said}.", "Take it out.")
    if said == "tmpfs":
        return _long_memory(item, path, read_only=read_only)
    if said is not None and source is None:
        words = "This volume has no name." if said == "volume" else "The mount has no source."
        item.refuse("unsupported" if said == "volume" else "missing", words, _NAMED)
    if said is None or source is None:
        return None
    if said == "volume":
        name = source.text()
        return None if name is None else _mount(source, name, path, reached, read_only=read_only)
    _made(item.at("bind"))
    template = source.template()
    return None if template is None else _bind(source, template, path, reached, read_only=read_only)


def _mount(
    place: Place, volume: str, target: str | None, reached: Reached, *, read_only: bool
) -> workload.Mount | None:
    if volume not in reached.volumes:
        words = f"No volume {brief(volume)} is declared."
        place.refuse("reference", words, f"Add `{brief(volume)}:` below `volumes`.")
        return None
    return workload.Mount(volume=volume, target=target, read_only=read_only) if target else None


def _bind(place: Place, template: str, target: str | None, reached: Reached, *, read_only: bool) -> Bind | None:
    """Rules 2 and 3; where a variable stands, they are kept once more when its value is known."""
    source = paths.host(place, template)
    if source is None:
        return None
    known = place.known(source)
    if known is not None and not _within(place, known, reached):
        return None
    if known is None and not (reached.host_paths or reached.allow):
        words = f"{brief(template)} is a path of the device, and the release declares none."
        instead = "Write `host_paths: [/srv/recipes]` below `x-checkvalve`, with the paths that it may be below."
        place.refuse("allow", words, instead)
        return None
    return Bind(source=source, target=target, read_only=read_only) if target else None


def _within(place: Place, path: str, reached: Reached) -> bool:
    needed = reach.needed(path)
    if needed is not None:  # rule 3
        what = "the root of all files of the device" if needed == "host-root" else "the engine's socket"
        words = f"{brief(path)} is, or holds, {what}: whoever has it rules the device."
        if not hardware.permitted(place, needed, reached.allow, words):
            return False
        if path == "/" or any(reach.within(path, socket) for socket in reach.ENGINE_SOCKETS):
            return True
    if any(reach.within(path, root) for root in reached.host_paths):
        return True
    listed = ", ".join((*reached.host_paths, path))
    words = f"{brief(path)} is a path of the device that the release does not declare."
    instead = f"Write `host_paths: [{brief(listed, 300)}]` below `x-checkvalve`; signers are shown it."
    place.refuse("allow", words, instead)
    return False


def _made(bind: Place | None) -> None:
    """Judge what a long mount says of its source (rule 2)."""
    if bind is None or not bind.keys(keywords.MOUNT_BIND):
        return
    create = bind.at("create_host_path")
    if create is not None and create.boolean():
        create.refuse("unsupported", "No path of the device is made.", "Take it out, and make the path on the device.")


def _memory(item: Place) -> _Memory | None:
    """Return a tmpfs of its short form, `/run:size=64m,mode=1777`."""
    text = item.text()
    if text is None:
        return None
    path, colon, rest = text.partition(":")
    target = paths.target(item, path)
    options = _options(item, rest.split(",")) if colon else ()
    return None if target is None or options is None else _Memory(target, options)


def _options(item: Place, written: Collection[str]) -> tuple[str, ...] | None:
    found: dict[str, str] = {}
    for each in written:
        name, equals, value = each.partition("=")
        said = _option(name, value) if equals else (name if name in _FLAGS else None)
        if said is None or name in found:
            words = (
                f"{brief(each) or 'Empty text'} is no option of a tmpfs here{', or twice' if name in found else ''}."
            )
            item.refuse("value", words, _OPTIONS)
            return None
        found[name] = said
    if {"exec", "noexec"} <= found.keys() or {"ro", "rw"} <= found.keys():
        item.refuse("value", "Two of these options contradict each other.", "Keep one of the two.")
        return None
    return tuple(found[name] for name in sorted(found))


def _option(name: str, value: str) -> str | None:
    match name:
        case "size":
            count = sizes.read(value)
            return f"size={count}" if count else None
        case "mode":
            return f"mode={value.removeprefix('0')}" if modes.OCTAL.match(value) else None
        case _ if name in _NUMBERS:
            return f"{name}={value}" if _NUMBER.match(value) and int(value) <= _NUMBERS[name] else None
        case _:
            return None


def _long_memory(item: Place, target: str | None, *, read_only: bool) -> _Memory | None:
    """Return a tmpfs of its long form; `mode` is a number in octal."""
    if (source := item.at("source")) is not None:
        source.refuse("value", "A tmpfs has no source.", "Take it out.")
    below = item.at("tmpfs")
    options = ["ro"] if read_only else []
    if below is not None and below.keys(keywords.MOUNT_TMPFS):
        mode, size = below.at("mode"), sizes.at(below.at("size"))
        said = modes.read(mode, 0o7777) if mode else None
        options += [f"mode={said:o}"] if said is not None else []
        options += [f"size={size}"] if size else []
    return None if target is None else _Memory(target, tuple(sorted(options)))
