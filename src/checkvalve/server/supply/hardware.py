# SPDX-License-Identifier: Apache-2.0
"""What does a service have of the device: its devices, its network, rights over its kernel?

Rules: 1. what hands the device over (all rights, the engine's socket, the root of its files) is taken only if
`x-checkvalve.allow` says so, and the refusal says which line; a path of the device only below what
`x-checkvalve.host_paths` says; 2. what is allowed and not used is noted: signers read it; 3. a device lies below /dev;
in the container it has the same path unless another is written; 4. a service on the device's own network, or on none,
has no networks and no ports of its own; 5. only what the kernel keeps apart for each container is set by `sysctls`;
6. the order in the file means nothing.
"""

import re
from collections.abc import Collection, Iterable
from typing import get_args

from checkvalve.protocol import filling, reach, workload
from checkvalve.protocol.reach import Allowed, Device
from checkvalve.server.supply import keywords, paths
from checkvalve.server.supply.document import Kind
from checkvalve.server.supply.paths import Targets
from checkvalve.server.supply.place import Place
from checkvalve.server.supply.sentences import brief

ALLOWED: tuple[Allowed, ...] = get_args(Allowed)
MOST = 100  # of devices, paths, or groups
_DEVICE = "Write it as `/dev/serial/by-id/usb-1234:/dev/ttyPLC:rw`: the device's path, the container's, and r, w or m."
_GROUP = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}\Z")
_RIGHTS = re.compile(r"(?=.)(?!.*(.).*\1)[rwm]{1,3}\Z")
_SYSCTL = re.compile(r"(?:net|fs\.mqueue)(?:\.[A-Za-z0-9_-]{1,64})+\Z")
_SYSCTLS = frozenset(
    f"kernel.{name}" for name in "msgmax msgmnb msgmni sem shm_rmid_forced shmall shmmax shmmni".split()
)


def allowed(place: Place | None) -> tuple[Allowed, ...]:
    """Return what the release allows its services (`x-checkvalve.allow`), in the order of the words."""
    if place is None or not place.is_a(Kind.LIST, instead=f"Write a list of: {', '.join(ALLOWED)}."):
        return ()
    found = {item.choice(ALLOWED) for item in place.items()}
    return tuple(word for word in ALLOWED if word in found)


def host_paths(place: Place | None) -> tuple[str, ...]:
    """Return the paths below which services may have files of the device (`x-checkvalve.host_paths`), in order."""
    if place is None or not place.is_a(Kind.LIST, instead="Write a list of paths: `- /srv/recipes`."):
        return ()
    found = set()
    for item in place.items():
        text = item.text()
        path = paths.host(item, filling.literal(text)) if text is not None else None
        if path is not None and filling.worded(path, {}) == "/":
            words = "All files of the device are no path that can be declared."
            item.refuse("value", words, "Write `allow: [host-root]` below `x-checkvalve`, and mount `/`.")
        elif path is not None:
            found.add(filling.worded(path, {}))
    if len(found) > MOST:
        place.refuse("value", f"At most {MOST} paths are declared.", "Declare the directory above them.")
    return tuple(sorted(found))


def permitted(place: Place, what: Allowed, allow: Collection[Allowed], sentence: str) -> bool:
    """Tell whether the release allows something; if not, say so with the line to add (rule 1)."""
    if what in allow:
        return True
    line = f"allow: [{', '.join(word for word in ALLOWED if word in allow or word == what)}]"
    place.refuse("allow", sentence, f"If it must be so, write `{line}` below `x-checkvalve`; signers are shown it.")
    return False


def idle(
    allow: Collection[Allowed], declared: Collection[str], services: Iterable[workload.Service]
) -> tuple[str, ...]:
    """Return, as sentences, what the release allows and none of its services uses (rule 2)."""
    every = tuple(services)
    sources = [bind.source for one in every for bind in one.binds]
    used = {reach.needed(source) for source in sources}
    if any(one.privileged for one in every):
        used.add("privileged")
    filled = any("${" in source for source in sources)
    unused = [word for word in allow if word not in used and (word == "privileged" or not filled)]
    below = [path for path in declared if not filled and not any(reach.within(one, path) for one in sources)]
    found = [f"`allow` has {', '.join(unused)}, and no service uses it."] if unused else []
    return (*found, *([f"`host_paths` has {', '.join(below)}, and no service mounts from there."] if below else []))


def privileged(place: Place | None, allow: Collection[Allowed]) -> bool:
    """Tell whether a service has all rights over the device."""
    if place is None or not place.boolean():
        return False
    return permitted(place, "privileged", allow, "A privileged container has all rights over its device.")


def devices(place: Place | None, targets: Targets) -> tuple[Device, ...]:
    """Return the devices of a service, by their paths in the container."""
    if place is None or not place.is_a(Kind.LIST, instead=f"Write a list. {_DEVICE}"):
        return ()
    if len(place.node.items) > MOST:
        place.refuse("value", f"A service has at most {MOST} devices.", "Name the directory that they lie in.")
        return ()
    found = {}
    for item in place.items():
        device = _long(item) if item.node.kind is Kind.MAP else _short(item)
        if device is not None and targets.claim(item, device.target):
            found[device.target] = device
    return tuple(found[key] for key in sorted(found))


def _short(item: Place) -> Device | None:
    template = item.template(instead=_DEVICE)
    if template is None:
        return None
    parts = template.split(":")
    if len(parts) > 3:
        words = f"{brief(template)} has too many colons."
        item.refuse("value", words, "Write it out: `{source: …, target: …, permissions: rw}`.")
        return None
    given = parts[2] if len(parts) == 3 else "rwm"
    inside = parts[1] if len(parts) > 1 else ""
    if len(parts) == 2 and _RIGHTS.match(inside):  # as Docker reads it
        given, inside = inside, ""
    return _device(item, parts[0], item, inside, item, given)


def _long(item: Place) -> Device | None:
    if not item.keys(keywords.DEVICE):
        return None
    source, inside, given = item.at("source"), item.at("target"), item.at("permissions")
    if source is None:
        item.refuse("missing", "The device has no source.", _DEVICE)
        return None
    template, to = source.template(), inside.template() if inside else ""
    said = given.text() if given else "rwm"
    if template is None or to is None or said is None:
        return None
    return _device(source, template, inside or source, to, given or item, said)


def _device(source: Place, template: str, inside: Place, to: str, at: Place, given: str) -> Device | None:
    """Return the device (rule 3); each part with the place where it is told of."""
    path = paths.host(source, template)
    if path is None:
        return None
    known = source.known(path) or path
    if not known.startswith("${") and not reach.within(known, "/dev"):
        source.refuse("value", f"{brief(template)} is no device: devices lie below /dev.", _DEVICE)
        return None
    text = paths.literal(inside, to or template)
    target = paths.target(inside, text) if text is not None else None
    if _RIGHTS.match(given) is None:
        at.refuse("value", f"{brief(given) or 'Empty text'} are no rights over a device.", "Write r, w, m, or several.")
        return None
    rights = "".join(letter for letter in "rwm" if letter in given)
    return Device(source=path, target=target, rights=rights) if target else None


def network(place: Place) -> str:
    """Return `host` or `none` where a service says so in `network_mode`, and `` where it has networks (rule 4)."""
    mode = place.at("network_mode")
    if mode is None:
        return ""
    text = mode.text(instead="Write host or none.")
    if text is None:
        return ""
    if text not in ("host", "none"):
        words = f"{brief(text) or 'Empty text'} is not taken as `network_mode`."
        mode.refuse("unsupported", words, "Write host or none; or take it out, and name networks in `networks`.")
        return ""
    for key, what in (("networks", "networks"), ("ports", "ports to publish")):
        if (at := place.at(key)) is not None and (at.node.items or at.node.entries):
            why = "it is on the device's own network" if text == "host" else "it is on no network"
            at.refuse("value", f"The service has no {what}: {why}.", f"Take them out, or `network_mode: {text}`.")
    return text


def capabilities(place: Place | None, dropped: Collection[str], allow: Collection[Allowed]) -> tuple[str, ...]:
    """Return the capabilities that a service gets besides the engine's own set, by name."""
    found = set()
    for item in place.items() if place and place.is_a(Kind.LIST, instead="Write a list: `- NET_ADMIN`.") else ():
        text = item.text()
        name = (text or "").upper().removeprefix("CAP_")
        if text is None:
            continue
        if name not in keywords.CAPABILITIES:
            near = item.near(name, keywords.CAPABILITIES)
            item.refuse("value", f"{brief(text) or 'Empty text'} is no capability.", near or "Write one of them.")
        elif name in dropped and name != "ALL":
            item.refuse("value", f"{name} stands in `cap_drop`, too.", "Keep one of the two.")
        elif name != "ALL" or permitted(item, "privileged", allow, "All capabilities are all rights over the device."):
            found.add(name)
    return tuple(sorted(found))


def groups(place: Place | None) -> tuple[str, ...]:
    """Return the groups that a service's user is in besides its own, by name or number."""
    form = "Write the name or number of a group."
    texts = place.each(lambda item: item.matching(_GROUP, "group", form)) if place else None
    return tuple(sorted(set(texts or ())))


def sysctls(place: Place | None, pairs: dict[str, str], *, host_network: bool) -> dict[str, str]:
    """Return what a service sets in the kernel, for itself only (rule 5). `pairs` are what stands at the place."""
    found = {}
    for name, value in pairs.items():
        if place is None:
            continue
        if name not in _SYSCTLS and _SYSCTL.match(name) is None:
            words = f"{brief(name)} is not of the container alone: the whole device would have it."
            place.refuse("value", words, "Take net.*, fs.mqueue.*, kernel.msg*, kernel.sem or kernel.shm* only.")
        elif name.startswith("net.") and host_network:
            words = f"{brief(name)} would be of the device: the service is on its network."
            place.refuse("value", words, "Set it on the device itself, or take `network_mode: host` out.")
        else:
            found[name] = value
    return found
