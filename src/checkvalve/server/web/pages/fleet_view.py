# SPDX-License-Identifier: Apache-2.0
"""How do devices read? A row of a list, a place with those below it, and all of them in a sentence.

Rules: 1. those retired are counted nowhere and listed only where they are asked for; 2. an attempt is green only while
its device is heard: what was verified may be otherwise by now; 3. what devices say is shown with what cannot be seen
in it spelled out; 4. every number leads to the rows that it counts.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import msgspec

from checkvalve.protocol.exchange import State, Status
from checkvalve.server.access.model import Permission, Scope, Visibility
from checkvalve.server.fleet import condition as conditions
from checkvalve.server.fleet import liveness as silences
from checkvalve.server.fleet import queries as fleet_queries
from checkvalve.server.fleet.model import LET_IN, Condition, Device, Liveness, Tally
from checkvalve.server.supply import queries as supply_queries
from checkvalve.server.supply.model import Title
from checkvalve.server.web import texts
from checkvalve.server.web.pages import render
from checkvalve.server.web.pages.release_view import digits, plainly
from checkvalve.server.web.pages.view import Data, View, when

SHAPES: Mapping[Condition, str] = {
    Condition.DEGRADED: "bad",
    Condition.QUARANTINED: "warn",
    Condition.CRASHING: "bad",
    Condition.FAILED: "bad",
    Condition.SILENT: "unknown",
    Condition.NEVER_SEEN: "unknown",
    Condition.LATE: "waits",
    Condition.CHANGING: "info",
    Condition.WELL: "ok",
    Condition.RETIRED: "refused",
}
HEARD: Mapping[Liveness, str] = {
    Liveness.ONLINE: "ok",
    Liveness.LATE: "waits",
    Liveness.OFFLINE: "unknown",
    Liveness.NEVER_SEEN: "unknown",
}
ATTEMPTS: Mapping[State, str] = {
    State.IDLE: "done",
    State.OFFERED: "info",
    State.FETCHING: "info",
    State.STAGED: "info",
    State.WAITING_WINDOW: "waits",
    State.WAITING_PERMIT: "warn",
    State.WAITING_APPROVAL: "warn",
    State.HELD: "warn",
    State.SWITCHING: "info",
    State.VERIFYING: "info",
    State.COMMITTED: "ok",
    State.REFUSED: "warn",
    State.ROLLING_BACK: "bad",
    State.ROLLED_BACK: "bad",
    State.DEGRADED: "bad",
}
NEEDY = (Condition.DEGRADED, Condition.QUARANTINED)
"""What somebody must look at; the rest passes by itself, or is found by who looks."""
WIDE, LEAST = 1_000, 12  # units of a bar, and of its narrowest part
SHORT = 12  # digits of a digest
REASON = 160  # characters of a reason in a list


@dataclass
class Counts:
    """How many devices are how; of a place, those below it too."""

    how: Counter[Condition] = field(default_factory=Counter)
    heard: int = 0

    def add(self, tally: Tally) -> None:
        """Count some in (rule 1)."""
        if tally.condition is Condition.RETIRED:
            return
        self.how[tally.condition] += tally.count
        if tally.condition is not Condition.QUARANTINED and tally.liveness in {Liveness.ONLINE, Liveness.LATE}:
            self.heard += tally.count

    @property
    def all(self) -> int:
        """How many there are."""
        return self.how.total()


def tallies(view: View) -> list[Tally] | None:
    """Return how the devices are that the caller sees in the place looked at; None if they may see none."""
    if not view.holds(Permission.DEVICE_READ):
        return None
    return fleet_queries.by_scope(view.tx, view.seen(Permission.DEVICE_READ), view.now)


def counted(found: Iterable[Tally]) -> Counts:
    """Return how many devices are how."""
    counts = Counts()
    for tally in found:
        counts.add(tally)
    return counts


def by_place(found: Iterable[Tally]) -> dict[str, Counts]:
    """Return the same of every place, with what lies below it."""
    below: dict[str, Counts] = {}
    for tally in found:
        parts = tally.scope.strip("/").split("/")
        for end in range(len(parts)):
            below.setdefault("/" + "/".join(parts[: end + 1]) + "/", Counts()).add(tally)
    return below


def sentence(counts: Counts) -> str:
    """Return what all of them are in a line: `5 of 6 devices report; 1 is silent.`."""
    if counts.heard == counts.all:
        first = texts.count("fleet.all_report", counts.all)
    else:
        first = texts.count("fleet.some_report", counts.all, heard=f"{counts.heard:,}")
    rest = says(counts)
    return texts.say("fleet.and", first=first, rest=rest) if rest else f"{first}."


def says(counts: Counts, besides: Condition = Condition.WELL) -> str:
    """Return what is to tell of the devices beside how many report, the worst first."""
    told = [each for each in Condition if each not in {Condition.WELL, besides} and counts.how[each]]
    return ", ".join(texts.count(f"fleet.says.{each}", counts.how[each]) for each in told)


def place(node: Scope, depth: int, counts: Counts | None) -> Data:
    """Return one row of the tree."""
    here = counts or Counts()
    return {
        "id": node.id,
        "path": node.path,
        "name": node.name,
        "kind": node.kind.value,
        "word": texts.say(f"place.{node.kind}"),
        "depth": depth,
        "devices": here.all,
        "devices_words": f"{here.all:,}",
        "devices_label": texts.say("fleet.show_in", name=node.name, n=here.all),
        "how": [_part(node.path, each, here.how[each]) for each in Condition if _told(each, here)],
        "well": here.all > 0 and set(here.how) <= {Condition.WELL},
        "bar": bar(here),
        "made_at": when(node.made_at),
        "href": render.link("/fleet", scope=node.path),
        "devices_href": render.link("/fleet", scope=node.path) + "#devices",
    }


def bar(counts: Counts) -> list[Data]:
    """Return the parts of a bar, the worst first; what there is few of stays visible."""
    there = [each for each in Condition if counts.how[each]]
    widths = {each: max(LEAST, WIDE * counts.how[each] // counts.all) for each in there}
    total, x, parts = sum(widths.values()), 0, []
    for each in there:
        width = WIDE * widths[each] // total
        parts.append({"shape": SHAPES[each], "x": x, "width": width})
        x += width
    return list(parts)


def condition(view: View, device: Device) -> Condition:
    """Return how a device is."""
    return conditions.judge(device.trust, liveness(view, device), device.state, device.crashing)


def liveness(view: View, device: Device) -> Liveness:
    """Return how long ago it was heard."""
    return silences.judge(device.seen_at, device.interval, view.now)


def is_heard(view: View, device: Device) -> bool:
    """Tell whether what it last said may be taken for what it is now."""
    return device.trust in LET_IN and liveness(view, device) in {Liveness.ONLINE, Liveness.LATE}


def row(view: View, device: Device, named: Mapping[str, Title], held: str = "", said: str = "") -> Data:
    """Return one row of the list; `held` says in words which tags hold it, `said` which services of it crash."""
    how = condition(view, device)
    told = status(device) if how in {Condition.DEGRADED, Condition.FAILED} else None
    return {
        "id": device.id,
        "name": plainly(device.name),
        "tags": list(device.tags),
        "scope": device.scope,
        "where": view.where(device.scope),
        "condition": how.value,
        **state(view, device),
        "runs": runs(device.active, named) or texts.say("fleet.runs_none"),
        "active": device.active,
        "attempt": device.attempt,
        **attempt(view, device),
        "held": "" if device.state is State.HELD else held,  # else it would be said twice
        "crashing": texts.count("fleet.crashing", device.crashing) if how is Condition.CRASHING else "",
        "reason": _reason(how, told, said),
        "seen_at": when(device.seen_at),
        "href": view.link(f"/devices/{device.id}"),
    }


def _reason(how: Condition, told: Status | None, said: str) -> str:
    if how is Condition.CRASHING:
        return said[:REASON]
    return plainly(told.reason)[:REASON] if told else ""


def state(view: View, device: Device) -> Data:
    """Return whether it is let in and heard, as one state."""
    heard = liveness(view, device)
    word = f"heard.{heard}" if device.trust in LET_IN else f"trust.word_{device.trust}"
    shape = HEARD[heard] if device.trust in LET_IN else SHAPES[condition(view, device)]
    return {
        "trust": device.trust.value,
        "trust_word": texts.say(f"trust.word_{device.trust}"),
        "liveness": heard.value,
        "shape": shape,
        "word": texts.say(word),
        "observes": device.trust.value == "observe",
    }


def attempt(view: View, device: Device) -> Data:
    """Return how far its attempt has come (rule 2)."""
    word, shape = texts.say(f"attempt.{device.state}"), ATTEMPTS[device.state]
    if not is_heard(view, device) and shape in {"ok", "info", "waits"}:
        word, shape = texts.say("attempt.stale", word=word), "unknown"
    return {"state": device.state.value, "state_shape": shape, "state_word": word}


def status(device: Device) -> Status | None:
    """Return what a device last said of itself."""
    return msgspec.json.decode(device.status, type=Status) if device.status else None


def titles(view: View, refs: Iterable[str]) -> dict[str, Title]:
    """Return what the releases of these digests are called, as far as the caller may read them, wherever they are."""
    wanted, seen = sorted({ref for ref in refs if ref}), view.reach.get(Permission.RELEASE_READ)
    return supply_queries.titles(view.tx, wanted, seen) if wanted and seen else {}


def runs(ref: str, named: Mapping[str, Title]) -> str:
    """Return `pump-station 2.4.0`, or the first digits of a digest that no name is known of."""
    title = named.get(ref)
    return f"{title.name} {title.version}" if title else plainly(digits(ref)[:SHORT])


def needy(view: View, limit: int) -> list[Device]:
    """Return the devices that need somebody, and the caller is one who may do something about them, the worst first."""
    seen, found = _mine(view), list[Device]()
    if seen is None:
        return found
    for each in NEEDY:
        left = limit - len(found)
        found += fleet_queries.devices(view.tx, seen, conditions=(each,), now=view.now, limit=left) if left else []
    return found


def needy_n(view: View) -> int:
    """Return how many of them there are."""
    seen = _mine(view)
    return fleet_queries.count(view.tx, seen, conditions=NEEDY, now=view.now) if seen else 0


def _mine(view: View) -> Visibility | None:
    if not view.holds(Permission.DEVICE_READ) or not view.holds(Permission.DEVICE_MANAGE):
        return None
    return view.seen(Permission.DEVICE_MANAGE)


def _told(each: Condition, counts: Counts) -> bool:
    return each is not Condition.WELL and counts.how[each] > 0


def _part(path: str, each: Condition, number: int) -> Data:
    return {
        "condition": each.value,
        "count": number,
        "shape": SHAPES[each],
        "word": texts.say("fleet.chip", word=f"{number:,}", n=texts.say(f"condition.{each}")),
        "href": render.link("/fleet", scope=path, **{"is": each.value}) + "#devices",
    }
