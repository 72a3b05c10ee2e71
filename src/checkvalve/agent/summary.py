# SPDX-License-Identifier: Apache-2.0
"""What `checkvalve-agent status` tells: of the running agent (`now`), or of a device whose agent does not run (`of`).

Without the agent, a copy of the device's small files is read: it may be starting meanwhile, and nobody but it writes
there. So its files are read into memory, and opened there by the same rules, which mend what is damaged and would
write.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from checkvalve.agent import asides, budget, holds, identity, local, policy, trust, window
from checkvalve.agent.clocks.real import RealClock
from checkvalve.agent.disk.calls import LOCK
from checkvalve.agent.disk.simulated import SimulatedDisk
from checkvalve.agent.identity import Identity
from checkvalve.agent.journal import Journal
from checkvalve.agent.meter import Meter
from checkvalve.agent.parts import Parts
from checkvalve.agent.ports import Clock, Disk
from checkvalve.agent.shelf import Shelf
from checkvalve.agent.slots import Slots
from checkvalve.agent.steps import Container, Slot
from checkvalve.crypto import certificates
from checkvalve.errors import CheckvalveError, NotFoundError, UnavailableError
from checkvalve.protocol.exchange import Aside, State, Tag

_FOLDERS = (".", "keys", "slots")
_LARGEST = 8 << 20  # bytes: a journal has at most half of that

_DOING = {
    State.OFFERED: "The order was taken, and fetching is about to begin.",
    State.FETCHING: "The release is being fetched.",
    State.STAGED: "All that is needed is here; the switch is next.",
    State.SWITCHING: "Containers are being switched.",
    State.VERIFYING: "The new release is being watched.",
    State.ROLLING_BACK: "The release before is being brought back.",
}


@dataclass(frozen=True)
class Running:
    """A container as the engine last showed it."""

    service: str
    state: str
    health: str
    restarts: int
    slot: str  # active, previous, staged, or "other"
    crashes: int = 0  # since it was committed, and no day without one between two of them


@dataclass(frozen=True)
class Live:
    """What only a running agent knows; times in whole seconds from now."""

    services: tuple[Running, ...]
    engine: str
    contact: int | None  # since the plane last answered
    due: int | None  # until the next exchange
    silent: str  # why the plane did not answer, in a sentence
    offset: int | None  # this device's clock minus the plane's, in ms


@dataclass(frozen=True)
class Summary:
    """Where a device stands. Digests are `sha256:…`; an empty text says that there is none."""

    device: str
    plane: str
    place: tuple[str, ...]
    addresses: tuple[str, ...]
    certificate_until: str  # RFC 3339
    generation: int
    observe: bool
    state: str
    attempt: str
    release: str
    code: str
    reason: str
    active: str
    previous: str
    events: int
    names: dict[str, str] = dataclasses.field(default_factory=dict)  # release by digest -> name and version
    values: str = ""  # digest of what the active release runs with
    held: tuple[Tag, ...] = ()
    window: int = 0  # seconds for which it is open yet
    permit: str = ""  # what is asked before a switch, for people
    fetches: str = ""  # what the policy allows, for people; "" for as much as there is
    fetched: int = 0  # bytes of blobs this month
    waits: str = ""  # what it is at, or waits for, in a sentence
    live: Live | None = None
    aside: tuple[Aside, ...] = ()  # what failed releases wrote


def of(directory: Path) -> Summary:
    """Return it from the files; `NotFoundError` (`agent.not_joined`), `UnavailableError` (`disk.failed`)."""
    disk, known = copied(directory)
    clock = RealClock()
    slots = Slots(disk, identity.owner(disk, known))
    journal = Journal.open(disk, clock, slots.active)
    slots.recall(journal.committed)
    return dataclasses.replace(_made(known, disk, clock, journal, slots), fetched=Meter(disk, clock).spent(trust.BUILT))


def now(parts: Parts) -> Summary:
    """Return where the device of a running agent stands."""
    shared, seconds = parts.shared, parts.clock.monotonic()
    observed = shared.observed
    found = sorted(observed.containers, key=lambda each: (each.service, each.name)) if observed else []
    live = Live(
        services=tuple(_service(parts, each) for each in found),
        engine=shared.about.words if shared.about else "",
        contact=None if shared.met is None else round(seconds - shared.met),
        due=None if shared.due is None else max(0, round(shared.due - seconds)),
        silent=shared.silent.sentence if shared.silent else "",
        offset=parts.offset,
    )
    made = _made(parts.identity, parts.disk, parts.clock, parts.journal, parts.slots)
    trouble = shared.trouble
    if trouble is not None:
        made = dataclasses.replace(made, code=trouble.code, reason=trouble.sentence, waits=trouble.sentence)
    fetched = parts.meter.spent(parts.believed.floor.at(seconds))
    return dataclasses.replace(made, live=live, fetched=fetched)


def copied(directory: Path) -> tuple[Disk, Identity]:
    """Return a copy in memory of the device's small files, and whose they are; errors as `of` has them."""
    disk = _copied(directory)
    known = identity.load(disk)
    if known is None:
        raise NotFoundError(
            "agent.not_joined",
            f"The device in {directory} has not joined a plane.",
            "Have it join one: checkvalve-agent join.",
        )
    return disk, known


def _made(known: Identity, disk: Disk, clock: Clock, journal: Journal, slots: Slots) -> Summary:
    position, opened = journal.position, window.opened(disk, clock)
    _, until = certificates.validity(certificates.from_pem(known.used.certificate.encode()))
    return Summary(
        device=known.device,
        plane=known.plane,
        place=known.place,
        addresses=known.addresses,
        certificate_until=until.isoformat(),
        generation=known.generation,
        observe=identity.observes(disk),
        state=position.state.value,
        attempt=position.attempt,
        release=position.release,
        code=position.code,
        reason=position.reason,
        active=slots.active.release if slots.active else "",
        previous=slots.previous.release if slots.previous else "",
        events=journal.seq,
        values=slots.active.values if slots.active else "",
        held=holds.seen(disk),
        window=0 if opened is None else max(0, round(opened.ends - clock.monotonic())),
        names={each.release: f"{each.manifest.name} {each.manifest.version}" for each in _slots(journal, slots)},
        permit=_permit(disk),
        fetches=_fetches(disk),
        waits=_waits(position.state, position.reason),
        aside=asides.told(Shelf(disk).left),
    )


def _slots(journal: Journal, slots: Slots) -> list[Slot]:
    attempt = journal.position.attempt
    found = (slots.active, slots.previous, slots.staged(attempt) if attempt else None)
    return [each for each in found if each is not None]


def _permit(disk: Disk) -> str:
    """Return what is asked before a switch; empty for nothing."""
    try:
        rules = local.rules(disk)
    except CheckvalveError as error:
        return error.sentence
    said = f"asked of {policy.words(rules.permit)}" if rules.permit else ""
    opened = "a window has to be opened here" if rules.window == "opened" else ""
    return "; ".join(each for each in (said, opened) if each)


def _fetches(disk: Disk) -> str:
    try:
        return budget.words(local.rules(disk).budget)
    except CheckvalveError:  # `_permit` says so
        return ""


def _waits(state: State, reason: str) -> str:
    if state in {State.WAITING_WINDOW, State.WAITING_PERMIT, State.WAITING_APPROVAL, State.HELD, State.DEGRADED}:
        return reason
    return _DOING.get(state, "")


def _service(parts: Parts, seen: Container) -> Running:
    slots = {"active": parts.slots.active, "previous": parts.slots.previous}
    which = next((name for name, slot in slots.items() if slot and slot.attempt == seen.attempt), "")
    if not which:
        which = "staged" if seen.attempt == parts.journal.position.attempt else "other"
    died = parts.shared.died.get(seen.service) if which == "active" else None
    return Running(seen.service, seen.state, seen.health, seen.restarts, which, died.crashes if died else 0)


def _copied(directory: Path) -> Disk:
    disk = SimulatedDisk()
    try:
        for folder in _FOLDERS:
            if not (directory / folder).is_dir():
                continue
            for path in (directory / folder).iterdir():
                if (
                    path.is_file()
                    and path.name != LOCK
                    and path.suffix != ".partial"
                    and path.stat().st_size < _LARGEST
                ):
                    disk.replace(str(path.relative_to(directory)), path.read_bytes())
    except FileNotFoundError:
        return _copied(directory)  # a file went while it was looked at: the agent is at work
    except OSError as error:
        raise UnavailableError(
            "disk.failed",
            f"{directory} cannot be read: {error.strerror}.",
            "Ask as the user that the agent runs as, and see that --data is right.",
        ) from error
    return disk
