# SPDX-License-Identifier: Apache-2.0
"""May an errand be begun, and what is said of it (walk errand, 4 and 7)?

Rules of `judge`, in this order: 1. not after its `until`, by the floor of time; 2. a device that only observes runs no
errands; 3. nothing that changes containers or the machine while a switch is under way, for its gate would count it;
4. nor while a lock-out tag hangs, or one may; 5. a service is one of what runs here; of a restart a job is none, for it
runs once a release; 6. what brings a file needs the room that the budget leaves; 7. a reboot is one of a machine that
this agent may start anew, and that says which boot it is in.

Rules of `may_reboot`: 8. tags, window and permit as for a switch (`waiting`), but asked at once: nothing is waited for,
and any no is a refusal. A restart asks no permit: the same container comes back.

9. What is signed of an errand follows from the journal's line of its end alone: made twice, it is the same bytes.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from checkvalve.agent import waiting
from checkvalve.agent.steps import Failure
from checkvalve.agent.waiting import Due, Go, Local, Pause, Permitted, Wait
from checkvalve.protocol.errand import LARGEST_CONTENT, Bundle, Content, Done, Item, Kind, Logs, Reboot, Restart
from checkvalve.protocol.exchange import SWITCHED, Event, State

TAKEN, BEGUN, DONE = "errand.taken", "errand.begun", "errand.done"
REBOOTS = 300.0  # seconds that a window has to be open for a reboot, and after which none has come of it
_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Standing:
    """How a device stands when an errand is judged. `floor` is the floor of time (Unix ms).

    `jobs` and `services` are of the release that runs, `here` have a container now. `room` is how many bytes may be
    written without touching what stays free. `unable` says why this machine cannot be started anew, "" if it can.
    """

    floor: int
    state: State
    local: Local
    observes: bool = False
    services: Collection[str] = ()
    jobs: Collection[str] = ()
    here: Collection[str] = ()
    room: int = 0
    unable: str = ""


@dataclass(frozen=True, slots=True)
class End:
    """How an errand ended; `code` is empty if it was done."""

    outcome: str  # as in `Done`
    code: str
    reason: str
    content: Content | None = None


@dataclass(frozen=True, slots=True)
class Teller:
    """Who signs: device, and the journal with the SHA-256 of its line of the end."""

    device: str
    journal: str
    head: str


def judge(item: Item, now: Standing) -> Failure | None:
    """Return why the errand may not be begun, None if it may (rules 1 to 7)."""
    if now.floor > item.until:
        return Failure("errand.late", "It came too late: it was not to be begun any more.")
    if now.observes:
        return Failure("device.observes", "This device only observes: a file on it says so, and it runs no errands.")
    if isinstance(item, Restart | Reboot) and (found := _disturbed(now)):
        return found
    if isinstance(item, Restart | Logs) and (found := _service(item, now)):
        return found
    if isinstance(item, Logs | Bundle) and now.room < LARGEST_CONTENT:
        words = f"{max(0, now.room) // _MIB} MiB may be written on this device's disk"
        return Failure("disk.full", f"What this brings takes up to {LARGEST_CONTENT // _MIB} MiB, and {words}.")
    if isinstance(item, Reboot) and now.unable:
        return Failure("reboot.unable", now.unable)
    return None


def may_reboot(local: Local, answer: Permitted | None, now: float) -> Go | Failure | Pause | Due:
    """Return whether the machine may be started anew now (rule 8); `now` is seconds of the clock that never jumps."""
    if isinstance(local.tags, Failure):
        return local.tags
    if answer is not None and not answer.said.yes:
        return Failure(answer.said.code, answer.said.sentence)
    verdict = waiting.asked(local, answer, REBOOTS, State.STAGED, now, now, "A reboot")
    return verdict.why if isinstance(verdict, Wait) else verdict


def words(item: Item) -> str:
    """Return what is to be done, for people: `restart web`."""
    match item:
        case Logs(service=service, since=since, lines=lines):
            back = f", not older than {since} s" if since else ""
            return f"bring the last {lines} lines of {service or 'every service'}{back}"
        case Restart(service=service):
            return f"restart {service}"
        case Bundle():
            return "bring a support bundle"
        case Reboot():
            return "start this machine anew"


def brought(item: Logs | Bundle, content: Content) -> str:
    """Return what was done, for people."""
    size = f"{content.size} bytes" if content.size < 10_000 else f"{content.size / 1_000_000:.2f} MB"
    if isinstance(item, Bundle):
        return f"A support bundle was made: {size}."
    return f"What {item.service or 'every service'} said was read: {size}, packed."


def kind(item: Item) -> Kind:
    """Return the word of the kind, as orders have it."""
    match item:
        case Logs():
            return "logs"
        case Restart():
            return "restart"
        case Bundle():
            return "bundle"
        case Reboot():
            return "reboot"


def facts(item: Item) -> dict[str, str | int]:
    """Return what each line of the journal about an errand says of it."""
    said: dict[str, str | int] = {"errand": item.id, "kind": kind(item)}
    return said | ({"service": item.service} if isinstance(item, Logs | Restart) and item.service else {})


def ending(item: Item, end: End, begun: int, agent: str, offset: int | None) -> dict[str, str | int]:
    """Return the facts of the line that says how an errand ended; `begun` is device's Unix ms, 0 if it was not."""
    said = facts(item) | {"outcome": end.outcome, "begun": begun, "agent": agent}
    if offset is not None:
        said["offset"] = offset
    if end.content is not None:
        said |= {"content": end.content.digest, "size": end.content.size}
    return said


def begun(events: Sequence[Event], errand: str) -> bool:
    """Tell whether the journal says that this errand was begun, or ended."""
    return any(each.facts.get("errand") == errand and each.code != TAKEN for each in events)


def ended(events: Sequence[Event], errand: str) -> Event | None:
    """Return the journal's line of the end of this errand, None if there is none."""
    lines = (each for each in events if each.facts.get("errand") == errand and "outcome" in each.facts)
    return next(lines, None)


def done(event: Event, item: Item, teller: Teller) -> Done:
    """Return what is signed of an errand that ended with this line of the journal (rule 9)."""
    offset, digest, size = (event.facts.get(name) for name in ("offset", "content", "size"))
    outcome = str(event.facts.get("outcome"))
    return Done(
        device=teller.device,
        errand=item.id,
        kind=kind(item),
        outcome="done" if outcome == "done" else "refused" if outcome == "refused" else "failed",
        code="" if event.code == DONE else event.code,
        reason=event.reason,
        begun=_number(event.facts.get("begun")),
        at=event.at,
        offset=offset if isinstance(offset, int) else None,
        content=Content(digest=str(digest), size=_number(size)) if digest else None,
        journal=teller.journal,
        seq=event.seq,
        head=teller.head,
        agent=str(event.facts.get("agent", "")),
    )


def _disturbed(now: Standing) -> Failure | None:
    """Rules 3 and 4."""
    if now.state in SWITCHED:
        return Failure("errand.busy", f"An attempt is under way here ({now.state.value}), and it has to end by itself.")
    if isinstance(now.local.tags, Failure):
        return now.local.tags
    return Failure("hold.hung", waiting.sentence(now.local.tags)) if now.local.tags else None


def _service(item: Restart | Logs, now: Standing) -> Failure | None:
    """Rule 5."""
    there = sorted(now.here if isinstance(item, Logs) else set(now.services) & set(now.here))
    if item.service in there or (there and not item.service):
        return None
    names = f"Services that are here: {', '.join(there)}."[:700] if there else "No service is here."
    if isinstance(item, Restart) and item.service in now.jobs:
        return Failure("errand.service", f"{item.service} is a job that runs once a release. {names}")
    return Failure("errand.service", f"There is no container of {item.service or 'any service'} here. {names}")


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0
