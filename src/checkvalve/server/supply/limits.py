# SPDX-License-Identifier: Apache-2.0
"""What may a service use of the device, and what is kept of what it prints?

Rules: 1. a limit has two names in compose, one of the service and one below `deploy.resources`: both may stand there if
they say the same; 2. what an engine would refuse on the device is refused here: less memory than it takes, more kept
free than there is at most, a soft limit above the hard one; 3. what is printed is rotated without a word: three files
of 10 MiB, and a bound is not taken away.
"""

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Literal

from checkvalve.protocol.reach import Limits, Log, Ulimit
from checkvalve.server.supply import keywords, sizes
from checkvalve.server.supply.document import Kind
from checkvalve.server.supply.place import Place
from checkvalve.server.supply.sentences import brief

LEAST_MEMORY = 6 * sizes.MIB  # what Docker takes
MOST_CPUS = 1_024
MOST_PIDS = 4_194_304
_CPUS = re.compile(r"(?:0|[1-9][0-9]{0,3})(?:\.[0-9]{1,3})?0*\Z")
_CPUSET = re.compile(r"[0-9]{1,4}(?:-[0-9]{1,4})?(?:,[0-9]{1,4}(?:-[0-9]{1,4})?){0,63}\Z")
_DRIVERS: tuple[Literal["json-file", "local", "journald", "none"], ...] = ("json-file", "local", "journald", "none")

_Reader = Callable[[Place], int]


def limits(service: Place) -> Limits:
    """Return what a service may use."""
    deploy = service.at("deploy")
    resources = deploy.at("resources") if deploy and deploy.keys(keywords.DEPLOY) else None
    resources = resources if resources and resources.keys(keywords.RESOURCES) else None
    most, kept = (resources.at(key) if resources else None for key in ("limits", "reservations"))
    most = most if most and most.keys(keywords.LIMITS) else None
    kept = kept if kept and kept.keys(keywords.RESERVATIONS) else None
    found = Limits(
        memory=_one(service.at("mem_limit"), most.at("memory") if most else None, _memory),
        reserved=_one(service.at("mem_reservation"), kept.at("memory") if kept else None, _memory),
        cpus=_one(service.at("cpus"), most.at("cpus") if most else None, _cpus),
        cpuset=_cpuset(service.at("cpuset")),
        pids=_one(service.at("pids_limit"), most.at("pids") if most else None, _pids),
        shm=sizes.at(service.at("shm_size"), 64 * sizes.KIB),
    )
    if found.memory and found.reserved > found.memory:  # rule 2
        at = service.at("mem_reservation") or kept or service
        at.refuse("value", "More memory is kept free than the service may use.", "Write less, or raise the limit.")
    return found


def _one(plain: Place | None, deployed: Place | None, read: _Reader) -> int:
    """Return what stands at one of two places, or at both (rule 1); 0 for nothing."""
    first, second = read(plain) if plain else 0, read(deployed) if deployed else 0
    if plain and deployed and first != second and first and second:
        deployed.refuse("value", f"`{plain.path.rpartition('.')[2]}` says something else.", "Keep one of the two.")
    return first or second


def _memory(place: Place) -> int:
    return sizes.at(place, LEAST_MEMORY)


def _cpus(place: Place) -> int:
    """Return thousandths of a processor."""
    form = f"Write how many, as 0.5 or 2; {MOST_CPUS} at most, and thousandths are the least part."
    if not place.is_a(Kind.NUMBER, Kind.TEXT, instead=form):
        return 0
    text = place.node.text if place.node.kind is Kind.NUMBER else place.text()
    if text is None:
        return 0
    count = int(Decimal(text) * 1_000) if _CPUS.match(text) else 0
    if not 0 < count <= MOST_CPUS * 1_000:
        place.refuse("value", f"{brief(text) or 'Empty text'} is no number of processors.", form)
        return 0
    return count


def _cpuset(place: Place | None) -> str:
    """Return which processors, in their order and each once: `0-1,3`."""
    if place is None:
        return ""
    text = place.matching(_CPUSET, "list of processors", "Write their numbers, as '0-1,3', in quotes.")
    chosen: set[int] = set()
    for part in text.split(",") if text else ():
        first, _, last = part.partition("-")
        if last and int(last) < int(first):
            place.refuse("value", f"{part} goes downward.", "Write the lower number first.")
        chosen.update(range(int(first), int(last or first) + 1))
    return _ranges(sorted(chosen))


def _ranges(numbers: list[int]) -> str:
    found: list[list[int]] = []
    for number in numbers:
        if found and found[-1][-1] == number - 1:
            found[-1][1:] = [number]
        else:
            found.append([number])
    return ",".join("-".join(map(str, each)) for each in found)


def _pids(place: Place) -> int:
    if place.node.text == "-1":  # in compose: without a limit
        return 0
    return place.whole(1, MOST_PIDS) or 0


def ulimits(place: Place | None) -> dict[str, Ulimit]:
    """Return the limits of setrlimit(2), by name."""
    if place is None or not place.is_a(Kind.MAP, instead="Write `nofile: 4096`, or `nofile: {soft: …, hard: …}`."):
        return {}
    found = {}
    for name, item in place.entries():
        if name not in keywords.ULIMITS:
            near = item.near(name, keywords.ULIMITS)
            words = f"{brief(name) or 'Empty text'} is no limit."
            item.refuse("value", words, near or f"Write one of: {', '.join(sorted(keywords.ULIMITS))}.")
            continue
        one = _ulimit(item)
        if one is not None:
            found[name] = one
    return found


def _ulimit(place: Place) -> Ulimit | None:
    if place.node.kind is not Kind.MAP:
        both = place.whole(-1, 2**49)
        return None if both is None else Ulimit(soft=both, hard=both)
    if not place.keys(keywords.ULIMIT):
        return None
    soft, hard = place.at("soft"), place.at("hard")
    if soft is None or hard is None:
        place.refuse("missing", "The limit does not say both `soft` and `hard`.", "Write both, or one number for both.")
        return None
    low, high = soft.whole(-1, 2**49), hard.whole(-1, 2**49)
    if low is None or high is None:
        return None
    if high >= 0 and not 0 <= low <= high:  # rule 2
        soft.refuse("value", "The soft limit is above the hard one.", "Write less, or raise the hard one.")
        return None
    return Ulimit(soft=low, hard=high)


def log(place: Place | None) -> Log:
    """Return what the engine keeps of what a service prints (rule 3)."""
    plain = Log()
    if place is None or not place.keys(keywords.LOGGING):
        return plain
    written, options = place.at("driver"), place.at("options")
    said = written.choice(_DRIVERS) if written else None
    driver = next((one for one in _DRIVERS if one == said), plain.driver)
    if options is None or not options.keys(keywords.LOG_OPTIONS):
        return Log(driver=driver)
    size, files = options.at("max-size"), options.at("max-file")
    if driver in ("journald", "none"):
        if size or files:
            options.refuse("value", f"The driver {driver} keeps no files.", "Take the options out.")
        return Log(driver=driver)
    count = sizes.at(size, sizes.KIB, 100 * 1_024 * sizes.MIB)
    kept = files.whole(1, 100) if files else None
    return Log(driver=driver, size=count or plain.size, files=kept or plain.files)
