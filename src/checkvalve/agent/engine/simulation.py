# SPDX-License-Identifier: Apache-2.0
"""What is in a simulated engine, and what becomes of it as time goes on.

Rules, each as Docker does it: 1. a policy restarts after a tenth of a second, then twice as long each time up to a
minute; who has run for ten seconds begins anew; 2. a stop by hand holds against every policy until the next start;
3. when the daemon starts, `always` runs again even what was stopped by hand or never started, `unless-stopped` what was
not stopped; 4. health begins with each start; 5. who is given files or secrets that do not lie there does not start.
Time that goes backward is a boot: the daemon has been started again, and what lay in memory is gone.
"""

from typing import Literal

from msgspec import Struct, field

from checkvalve.agent import given
from checkvalve.agent.engine import play
from checkvalve.agent.steps import Container, Slot

_FIRST = 0.1
_LONGEST = 60.0
_LONG = 10.0
_LINES = 1_000


class Box(Struct):
    """A container. `since` is when it started or ended last, `due` when it starts again."""

    id: str
    name: str
    device: str
    service: str
    attempt: str
    release: str
    image: str
    definition: str
    script: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    policy: str = "no"
    status: Literal["created", "running", "restarting", "exited"] = "created"
    code: int = 0
    last: int | None = None  # how it ended last
    since: float = 0.0
    due: float = 0.0
    delay: float = 0.0
    restarts: int = 0
    started: bool = False
    by_hand: bool = False  # stopped so
    checked: tuple[float, float] | None = None  # seconds to the first result, and to a bad one
    ports: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    off: tuple[str, ...] = ()  # networks that it was on, and that have gone since
    addresses: tuple[str, ...] = ()  # `network address`, of those that are its own
    volumes: tuple[tuple[str, bool], ...] = ()  # name, read-only
    kills: bool = False  # its stop signal is SIGKILL
    bound: bool = False  # it is given files or secrets
    writes: bool = False  # it has started, and has not written yet
    log: list[str] = field(default_factory=list)


class Bucket(Struct):
    """A volume; `mark` says why it is not whole."""

    device: str
    files: dict[str, str] = field(default_factory=dict)
    mark: str = ""


class Laid(Struct):
    """What lies there for the containers of an attempt; no text of it, only what changes with it."""

    device: str
    files: dict[str, str]
    secrets: dict[str, str]


class Plot(Struct):
    """What a network takes for itself: a fixed subnet, an interface of the host."""

    subnet: str = ""
    parent: str = ""


class World(Struct):
    """All that an engine holds, by name; images by config digest, with the devices that loaded them."""

    now: float = 0.0
    made: int = 0
    boxes: dict[str, Box] = field(default_factory=dict)
    images: dict[str, list[str]] = field(default_factory=dict)
    begun: dict[str, list[str]] = field(default_factory=dict)  # images whose load was cut short, as above
    networks: dict[str, str] = field(default_factory=dict)
    plots: dict[str, Plot] = field(default_factory=dict)  # of networks that take one
    volumes: dict[str, Bucket] = field(default_factory=dict)
    laid: dict[str, Laid] = field(default_factory=dict)  # by attempt


def laid(slot: Slot) -> Laid:
    """Return what lies there once a slot was laid out."""
    files = {f"{each.service}/{each.placed.name}": each.mark for each in given.files(slot)}
    secrets = {
        f"{name}/{placed.name}": slot.given.secrets[placed.name].version
        for name, service in slot.manifest.services.items()
        for placed in service.secrets
        if slot.given is not None
    }
    return Laid(slot.device, files, secrets)


def unlaid(world: World, box: Box) -> bool:
    """Tell whether a box is given something that does not lie there (rule 5)."""
    return box.bound and box.attempt not in world.laid


def advance(world: World, now: float) -> None:
    """Let time go on until `now`."""
    if now < world.now:
        world.laid = {attempt: each for attempt, each in world.laid.items() if not each.secrets}
        boot(world, now)
    for box in world.boxes.values():
        while _next(box, now):
            pass
    for box in world.boxes.values():
        _write(world, box)
    world.now = now


def boot(world: World, now: float) -> None:
    """Start the daemon again (rule 3)."""
    for box in world.boxes.values():
        if box.status in ("running", "restarting"):
            _end(box, min(box.since, now), box.code if box.status == "restarting" else 137, again=False)
        stays = box.policy == "unless-stopped" and not box.by_hand
        if unlaid(world, box):
            continue
        if box.policy == "always" or stays or (box.policy == "on-failure" and box.code and not box.by_hand):
            start(box, now)
    world.now = now


def start(box: Box, now: float) -> None:
    """Have a box run from now on."""
    box.status, box.since, box.code, box.started = "running", now, 0, True
    box.writes = True
    said = play.read(box.script).log
    if said:
        box.log = [*box.log, said][-_LINES:]


def stop(box: Box, now: float) -> None:
    """Stop a box by hand (rule 2)."""
    if box.status in ("running", "restarting"):
        _end(box, now, box.code if box.status == "restarting" else 137 if box.kills else 0, again=False)
        box.by_hand = True


def due(world: World) -> float | None:
    """Return when something happens next by itself."""
    moments = [moment for box in world.boxes.values() for moment in _moments(box)]
    later = [moment for moment in moments if moment > world.now]
    return min(later, default=None)


def seen(box: Box, now: float) -> Container:
    """Return a box as an engine shows it."""
    return Container(
        id=box.id,
        name=box.name,
        service=box.service,
        attempt=box.attempt,
        release=box.release,
        image=box.image,
        state=box.status,
        exit_code=box.code,
        health=health(box, now),
        restarts=box.restarts,
        policy=box.policy,
        started=box.started,
        networks=frozenset(box.networks) - set(box.off),
        last_exit=box.last,
    )


def health(box: Box, now: float) -> Literal["", "starting", "healthy", "unhealthy"]:
    """Return the engine's word for a box's health (rule 4)."""
    if box.checked is None or not box.started:
        return ""
    flags = play.read(box.script).flags
    first, bad = box.checked
    if box.status != "running":
        return "unhealthy"
    if "unhealthy" in flags:
        return "unhealthy" if now - box.since >= bad else "starting"
    return "healthy" if now - box.since >= first and "starting" not in flags else "starting"


def _next(box: Box, now: float) -> bool:
    """Take the next thing that happens to a box until `now`; False if there is none."""
    moment = box.due if box.status == "restarting" else _ends(box)
    if moment is None or moment > now:
        return False
    if box.status == "restarting":
        start(box, moment)
    else:
        _end(box, moment, play.read(box.script).exit or 0, again=True)
    return True


def _ends(box: Box) -> float | None:
    said = play.read(box.script)
    return None if box.status != "running" or said.exit is None else box.since + said.after


def _moments(box: Box) -> list[float]:
    """Return when something is to be seen of a box, health included."""
    if box.status == "restarting":
        return [box.due]
    checked = [box.since + moment for moment in box.checked or () if box.status == "running"]
    ends = _ends(box)
    return checked if ends is None else [*checked, ends]


def _end(box: Box, moment: float, code: int, *, again: bool) -> None:
    ran = moment - box.since
    box.status, box.code, box.last, box.since = "exited", code, code, moment
    wanted = box.policy in ("always", "unless-stopped") or (box.policy == "on-failure" and code != 0)
    if again and wanted and not box.by_hand:
        box.delay = _FIRST if ran >= _LONG or not box.delay else min(2 * box.delay, _LONGEST)
        box.status, box.due = "restarting", moment + box.delay
        box.restarts += 1


def _write(world: World, box: Box) -> None:
    """Let a box that has started write what it writes."""
    if not box.writes:
        return
    box.writes = False
    for name, read_only in box.volumes:
        if not read_only and name in world.volumes:
            world.volumes[name].files.update(play.read(box.script).write)
