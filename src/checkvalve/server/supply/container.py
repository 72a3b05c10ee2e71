# SPDX-License-Identifier: Apache-2.0
"""What does a compose file say of one service?

Rules: 1. nothing comes from the machine that reads the file: a variable without a value is refused; 2. labels that
begin with `checkvalve.` are Checkvalve's own; 3. without a word a service restarts unless it was stopped, and what runs
to its end does not; 4. what drops rights is taken here; what grants them is for `hardware` to judge; 5. what means
nothing by its order is kept in one order, so that a release is the same however its file was arranged.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal

from msgspec.structs import replace

from checkvalve.errors import InvalidError
from checkvalve.protocol import workload
from checkvalve.protocol.reach import Allowed
from checkvalve.server.supply import (
    addresses,
    durations,
    extension,
    hardware,
    health,
    keywords,
    limits,
    networks,
    order,
    paths,
    placed,
    ports,
    references,
    storage,
    words,
)
from checkvalve.server.supply.composed import Container, Reference
from checkvalve.server.supply.document import Kind
from checkvalve.server.supply.place import Place, encodes
from checkvalve.server.supply.sentences import brief

OURS = "checkvalve."
Restart = Literal["no", "on-failure", "unless-stopped", "always"]
_RESTARTS: dict[str, Restart] = {
    "no": "no",
    "on-failure": "on-failure",
    "unless-stopped": "unless-stopped",
    "always": "always",
}
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,63})?\Z")
_DIRECTORY = re.compile(r"/[^\x00-\x1f\x7f]*\Z")
_SIGNAL = re.compile(r"(?:SIG[A-Z][A-Z0-9]{1,9}(?:[+-][0-9]{1,2})?|[1-9]|[1-5][0-9]|6[0-4])\Z")
_HOSTS = "Write a name and its address: `plc: 10.20.0.5`."
_PAIRS = "Write a mapping (`NAME: value`), or a list (`- NAME=value`)."


@dataclass(frozen=True, slots=True)
class Declared:
    """What the services of a file may name. `out` are the services that a profile left out."""

    services: Collection[str]
    networks: Collection[str]
    volumes: Collection[str]
    files: Collection[str] = ()
    secrets: Collection[str] = ()
    allow: Collection[Allowed] = ()
    host_paths: Collection[str] = ()
    out: Collection[str] = ()


def read(place: Place, declared: Declared) -> Container | None:
    """Return the service that stands here; None if there is nothing to read it of."""
    if not place.keys(keywords.CONTAINER):
        return None
    reference = _reference(place)
    running = extension.running(place.at("x-checkvalve"))
    mode = hardware.network(place)
    _reached(place, running, mode)
    grace = place.at("stop_grace_period")
    grace_ms = grace.duration(0, durations.DAY) if grace else None
    if place.at("expose") is not None:
        place.found.note("`expose` does nothing: services on one network reach every port of each other.")
    after = order.after(place.at("depends_on"), declared.services, declared.out)
    dropped = _dropped(place.at("cap_drop"))
    settings = workload.Service(
        image="",
        kind=running.kind,
        exit=running.exit,
        each_switch=running.each_switch,
        rerun_on_rollback=running.rerun_on_rollback,
        command=words.command(place.at("command")),
        entrypoint=words.command(place.at("entrypoint")),
        environment=_pairs(place.at("environment"), needed=True, filled=True),
        labels=_labels(place.at("labels")),
        user=_of(place.at("user"), _USER, "user", "Write a name or number, or both: user:group."),
        working_dir=_of(place.at("working_dir"), _DIRECTORY, "directory", "Write an absolute path."),
        hostname=_shaped(place.at("hostname"), networks.HOST, "name of a host", networks.HOST_FORM),
        init=extension.yes(place.at("init")),
        read_only=extension.yes(place.at("read_only")),
        no_new_privileges=_no_new_privileges(place.at("security_opt")),
        cap_drop=dropped,
        restart=_restart(place, oneshot=running.kind == "oneshot"),
        stop_signal=_of(place.at("stop_signal"), _SIGNAL, "signal", "Write its name, as SIGTERM, or its number."),
        stop_grace_ms=10_000 if grace_ms is None else grace_ms,
        check=_check(place.at("healthcheck"), oneshot=running.kind == "oneshot"),
        probes=running.probes,
        start_grace_ms=running.start_grace_ms,
        networks=() if mode else networks.attachments(place.at("networks"), declared.networks),
        ports=() if mode else ports.ports(place.at("ports")),
        after=after,
        healthy_first=order.healthy(place.at("depends_on"), after),
        host_network=mode == "host",
        extra_hosts=_hosts(place.at("extra_hosts")),
        cap_add=hardware.capabilities(place.at("cap_add"), dropped, declared.allow),
        group_add=hardware.groups(place.at("group_add")),
        sysctls=_sysctls(place.at("sysctls"), host_network=mode == "host"),
        ulimits=limits.ulimits(place.at("ulimits")),
        limits=limits.limits(place),
        log=limits.log(place.at("logging")),
        privileged=hardware.privileged(place.at("privileged"), declared.allow),
    )
    settings = _mounted(place, settings, declared)
    return None if reference is None else Container(reference, settings)


def _mounted(place: Place, settings: workload.Service, declared: Declared) -> workload.Service:
    """Return the service with what lies at paths in it: each has one thing."""
    targets = paths.Targets()
    reached = storage.Reached(declared.volumes, declared.host_paths, declared.allow)
    stored = storage.stored(place.at("volumes"), place.at("tmpfs"), reached, targets)
    return replace(
        settings,
        mounts=stored.mounts,
        binds=stored.binds,
        tmpfs=stored.tmpfs,
        files=placed.placed(place.at("configs"), "configs", declared.files, targets),
        secrets=placed.placed(place.at("secrets"), "secrets", declared.secrets, targets),
        devices=hardware.devices(place.at("devices"), targets),
    )


def _reached(place: Place, running: extension.Running, mode: str) -> None:
    """Refuse probes over a network of what has none."""
    over = [one for one in running.probes if not isinstance(one, workload.ExecProbe)]
    extended = place.at("x-checkvalve")
    probes = extended.at("probes") if extended else None
    if mode == "none" and over and probes is not None:
        probes.refuse("value", "The service is on no network: no probe reaches it.", "Write probes of `kind: exec`.")


def _reference(place: Place) -> Reference | None:
    image = place.at("image")
    if image is None:
        words_ = "The service names no image."
        place.refuse("missing", words_, "Write `image:` and the name of an image that was imported.")
        return None
    text = image.text()
    if text is None:
        return None
    try:
        name, _, digest = references.short(text).partition("@")
    except InvalidError as error:
        image.refuse("value", brief(error.sentence, 300), error.remedy)
        return None
    return Reference(name, digest, image.line, image.path)


def _shaped(place: Place | None, pattern: re.Pattern[str], what: str, instead: str) -> str:
    return (place.shaped(pattern, what, instead) or "") if place else ""


def _of(place: Place | None, pattern: re.Pattern[str], what: str, instead: str) -> str:
    return (place.matching(pattern, what, instead) or "") if place else ""


def _pairs(place: Place | None, *, needed: bool, filled: bool) -> dict[str, str]:
    """Return names with their values, from a mapping or a list; `needed`: a name alone is refused (rule 1).

    `filled`: the values are templates. A name is literal always.
    """
    if place is None or not place.is_a(Kind.MAP, Kind.LIST, instead=_PAIRS):
        return {}
    found: dict[str, str] = {}
    for name, value, item in _written(place, filled=filled):
        if not name or "=" in name or "\0" in name or len(name) > 1_000 or not encodes(name):
            item.refuse("name", f"{brief(name) or 'Empty text'} is no name here.", _PAIRS)
        elif name in found:
            item.refuse("duplicate", f"{brief(name)} stands here twice.", "Keep one of them.")
        elif value is None and needed:
            words_ = f"{brief(name)} would take its value from the machine that reads the file."
            item.refuse("value", words_, 'Write the value itself; for none, write "".')
        else:
            found[name] = value or ""
    return found


def _written(place: Place, *, filled: bool) -> Iterable[tuple[str, str | None, Place]]:
    if place.node.kind is Kind.LIST:
        yield from _listed(place, filled=filled)
    for key, item in place.entries():
        value = None if item.empty else item.template(words=True) if filled else item.word()
        if item.empty or value is not None:
            yield key, value, item


def _listed(place: Place, *, filled: bool) -> Iterable[tuple[str, str | None, Place]]:
    for item in place.items():
        form = "Write NAME=value."
        text = item.template(instead=form) if filled else item.text(instead=form)
        name, equals, value = (text or "").partition("=")
        known = paths.literal(item, name) if filled else name
        if text is not None and known is not None:
            yield known, value if equals else None, item


def _labels(place: Place | None) -> dict[str, str]:
    found = _pairs(place, needed=False, filled=False)
    for name in found:
        if place is not None and name.lower().startswith(OURS):  # rule 2
            place.refuse("value", f"Labels that begin with {OURS} are Checkvalve's own.", f"Rename {brief(name)}.")
    return found


def _restart(place: Place, *, oneshot: bool) -> Restart:
    written = place.at("restart")
    plain: Restart = "no" if oneshot else "unless-stopped"
    if written is None:
        return plain  # rule 3
    one = 'Write "no" or on-failure.' if oneshot else 'Write "no", on-failure, unless-stopped or always.'
    text = written.text(instead=one)
    if text is None:
        return plain
    if text.startswith("on-failure:"):
        written.refuse(
            "unsupported", "Restarts are not counted here.", "Write on-failure; `max_restarts` of the release counts."
        )
    elif text not in _RESTARTS:
        written.refuse("value", f"{brief(text) or 'Empty text'} is no policy for restarts.", one)
    elif oneshot and text not in ("no", "on-failure"):
        written.refuse("value", f"What runs to its end would be run again and again by {text}.", one)
    return _RESTARTS.get(text, plain)


def _check(place: Place | None, *, oneshot: bool) -> workload.Check | None:
    if place is not None and oneshot:
        instead = "Take it out; `x-checkvalve.exit` says how it must end."
        place.refuse("value", "What runs to its end has no healthcheck.", instead)
    return health.check(place)


def _dropped(place: Place | None) -> tuple[str, ...]:
    found = set()
    for text in (place.texts() if place else None) or ():
        name = text.upper().removeprefix("CAP_")
        if place is not None and name not in keywords.CAPABILITIES:
            near = place.near(name, keywords.CAPABILITIES)
            place.refuse("value", f"{brief(text) or 'Empty text'} is no capability.", near or "Write one, or ALL.")
        found.add(name)
    return tuple(sorted(found))


def _sysctls(place: Place | None, *, host_network: bool) -> dict[str, str]:
    return hardware.sysctls(place, _pairs(place, needed=True, filled=True), host_network=host_network)


def _hosts(place: Place | None) -> dict[str, str]:
    """Return names with the address that each is found at."""
    if place is None or not place.is_a(Kind.MAP, Kind.LIST, instead=_HOSTS):
        return {}
    found: dict[str, str] = {}
    for name, template, item in _named(place):
        address = _address(item, template)
        if networks.HOST.match(name) is None:
            item.refuse("value", f"{brief(name) or 'Empty text'} is no name of a host.", networks.HOST_FORM)
        elif name in found:
            item.refuse("duplicate", f"{brief(name)} stands here twice.", "A name has one address here.")
        elif address is not None:
            found[name] = address
    return found


def _named(place: Place) -> Iterable[tuple[str, str, Place]]:
    """Yield each name with its address as it stands: `plc: 10.20.0.5`, `- plc=10.20.0.5`, `- plc:10.20.0.5`."""
    if place.node.kind is Kind.MAP:
        for key, item in place.entries():
            template = item.template(instead=_HOSTS)
            if template is not None:
                yield key, template, item
        return
    for item in place.items():
        text = item.template(instead=_HOSTS)
        if text is not None:
            divided = re.split(r"[=:]", text, maxsplit=1)
            yield divided[0], divided[1] if len(divided) > 1 else "", item


def _address(item: Place, template: str) -> str | None:
    """Return the template of an address, a literal one in its usual form."""
    said = item.known(template)
    if said is None:
        return template
    bare = said[1:-1] if said.startswith("[") and said.endswith("]") else said
    usual = addresses.usual_form(bare)
    if not usual:
        item.refuse("value", f"{brief(said) or 'Empty text'} is no address.", _HOSTS)
        return None
    return usual if said == template else template


def _no_new_privileges(place: Place | None) -> bool:
    """Rule 4."""
    for item in place.items() if place and place.is_a(Kind.LIST, instead="Write `- no-new-privileges:true`.") else ():
        text = item.text()
        if text is not None and text not in ("no-new-privileges", "no-new-privileges:true", "no-new-privileges=true"):
            item.refuse(
                "unsupported",
                f"{brief(text) or 'Empty text'} is not taken.",
                "Write no-new-privileges:true, or take it out.",
            )
    return bool(place and place.node.items)
