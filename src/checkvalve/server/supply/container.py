# SPDX-License-Identifier: Apache-2.0
"""What does a compose file say of one service?

Rules: 1. nothing comes from the machine that reads the file: a variable without a value is refused; 2. labels that
begin with `checkvalve.` are Checkvalve's own; 3. without a word a service restarts unless it was stopped, and what runs
to its end does not; 4. what drops rights is taken, what grants them is not; 5. what means nothing by its order is kept
in one order, so that a release is the same however its file was arranged.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal

from checkvalve.errors import InvalidError
from checkvalve.protocol import workload
from checkvalve.server.supply import (
    durations,
    extension,
    health,
    keywords,
    networks,
    order,
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
_PAIRS = "Write a mapping (`NAME: value`), or a list (`- NAME=value`)."


@dataclass(frozen=True, slots=True)
class Declared:
    """What the services of a file may name."""

    services: Collection[str]
    networks: Collection[str]
    volumes: Collection[str]


def read(place: Place, declared: Declared) -> Container | None:
    """Return the service that stands here; None if there is nothing to read it of."""
    if not place.keys(keywords.CONTAINER):
        return None
    reference = _reference(place)
    running = extension.running(place.at("x-checkvalve"))
    mounts = storage.mounts(place.at("volumes"), declared.volumes)
    grace = place.at("stop_grace_period")
    grace_ms = grace.duration(0, durations.DAY) if grace else None
    if place.at("expose") is not None:
        place.found.note("`expose` does nothing: services on one network reach every port of each other.")
    settings = workload.Service(
        image="",
        kind=running.kind,
        exit=running.exit,
        each_switch=running.each_switch,
        rerun_on_rollback=running.rerun_on_rollback,
        command=words.command(place.at("command")),
        entrypoint=words.command(place.at("entrypoint")),
        environment=_pairs(place.at("environment"), needed=True),
        labels=_labels(place.at("labels")),
        user=_of(place.at("user"), _USER, "user", "Write a name or number, or both: user:group."),
        working_dir=_of(place.at("working_dir"), _DIRECTORY, "directory", "Write an absolute path."),
        hostname=_of(place.at("hostname"), networks.HOST, "name of a host", networks.HOST_FORM),
        init=extension.yes(place.at("init")),
        read_only=extension.yes(place.at("read_only")),
        no_new_privileges=_no_new_privileges(place.at("security_opt")),
        cap_drop=_dropped(place.at("cap_drop")),
        tmpfs=storage.temporary(place.at("tmpfs"), {mount.target for mount in mounts}),
        restart=_restart(place, oneshot=running.kind == "oneshot"),
        stop_signal=_of(place.at("stop_signal"), _SIGNAL, "signal", "Write its name, as SIGTERM, or its number."),
        stop_grace_ms=10_000 if grace_ms is None else grace_ms,
        check=_check(place.at("healthcheck"), oneshot=running.kind == "oneshot"),
        probes=running.probes,
        start_grace_ms=running.start_grace_ms,
        mounts=mounts,
        networks=networks.attachments(place.at("networks"), declared.networks),
        ports=ports.ports(place.at("ports")),
        after=order.after(place.at("depends_on"), declared.services),
    )
    return None if reference is None else Container(reference, settings)


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


def _of(place: Place | None, pattern: re.Pattern[str], what: str, instead: str) -> str:
    return (place.matching(pattern, what, instead) or "") if place else ""


def _pairs(place: Place | None, *, needed: bool) -> dict[str, str]:
    """Return names with their values, from a mapping or a list; `needed`: a name alone is refused (rule 1)."""
    if place is None or not place.is_a(Kind.MAP, Kind.LIST, instead=_PAIRS):
        return {}
    found: dict[str, str] = {}
    for name, value, item in _written(place):
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


def _written(place: Place) -> Iterable[tuple[str, str | None, Place]]:
    if place.node.kind is Kind.MAP:
        for key, item in place.entries():
            value = None if item.empty else item.word()
            if item.empty or value is not None:
                yield key, value, item
        return
    for item in place.items():
        text = item.text(instead="Write NAME=value.")
        if text is not None:
            name, equals, value = text.partition("=")
            yield name, value if equals else None, item


def _labels(place: Place | None) -> dict[str, str]:
    found = _pairs(place, needed=False)
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
