# SPDX-License-Identifier: Apache-2.0
"""How does one tell that a service is well?

Rules: 1. `healthcheck` is the engine's own check, `x-checkvalve.probes` are Checkvalve's: a service may have both;
2. an empty or missing `test` would leave the image's and change its times, which engines do differently: it is refused;
3. `disable: true` switches the image's check off, and stands alone; 4. zero would mean "the engine's default": it is
refused; 5. what runs to its end (`oneshot`) has neither, its exit code says it.
"""

import re

from checkvalve.protocol import workload
from checkvalve.server.supply import durations, keywords, words
from checkvalve.server.supply.document import Kind
from checkvalve.server.supply.place import Place

MOST_PROBES = 20
_TEST = 'Write a line for the shell, or a list that begins with "CMD" or "CMD-SHELL".'
_PATH = re.compile(r"/[!-~]{0,1000}\Z")
_KEYS = {
    "http": {"kind": "", "port": "", "path": "", "status": "", "every": "", "timeout": ""},
    "tcp": {"kind": "", "port": "", "every": "", "timeout": ""},
    "exec": {"kind": "", "command": "", "every": "", "timeout": ""},
}


def check(place: Place | None) -> workload.Check | None:
    """Return the engine's check, or None for the image's own."""
    if place is None or not place.keys(keywords.HEALTH):
        return None
    disable, test = place.at("disable"), place.at("test")
    if disable is not None and disable.boolean():
        if test is not None:  # rule 3
            disable.refuse("value", "A check that is switched off has no test.", "Keep one of the two.")
        return workload.Check(test=("NONE",))
    tested = _test(test) if test is not None else None
    if test is None:  # rule 2
        place.refuse("missing", "The healthcheck has no test.", _TEST)
    plain = workload.Check(test=("NONE",))
    interval, timeout = place.at("interval"), place.at("timeout")
    start, retries = place.at("start_period"), place.at("retries")
    return workload.Check(
        test=tested or ("NONE",),
        interval_ms=_time(interval, 1, plain.interval_ms),
        timeout_ms=_time(timeout, 1, plain.timeout_ms),
        retries=(retries.whole(1, 1_000) if retries else None) or plain.retries,
        start_period_ms=_time(start, 0, plain.start_period_ms),
    )


def _test(place: Place) -> tuple[str, ...] | None:
    if place.node.kind is Kind.TEXT:
        line = place.text()
        if line is not None and not line.strip():
            place.refuse("value", "The test is empty.", _TEST)
        return ("CMD-SHELL", line) if line else None
    texts = place.texts() if place.is_a(Kind.LIST, Kind.TEXT, instead=_TEST) else None
    if texts is None:
        return None
    match texts:
        case ["NONE"] | ["CMD-SHELL", _] | ["CMD", _, *_]:
            return tuple(texts)
        case _:
            place.refuse("value", "This list is no test.", _TEST)
            return None


def probes(place: Place | None) -> tuple[workload.Probe, ...]:
    """Return the probes of a service, in their order."""
    if place is None or not place.is_a(Kind.LIST, instead="Write a list of probes, each with its `kind`."):
        return ()
    if len(place.node.items) > MOST_PROBES:
        place.refuse("value", f"A service has at most {MOST_PROBES} probes.", "Keep those that tell most.")
        return ()
    return tuple(probe for item in place.items() if (probe := _probe(item)) is not None)


def _probe(place: Place) -> workload.Probe | None:
    kind = place.at("kind")
    if not place.is_a(Kind.MAP, instead="Write `kind: http`, `kind: tcp` or `kind: exec`, and what it needs."):
        return None
    if kind is None:
        place.refuse("missing", "The probe does not say what it does.", "Write `kind: http`, `tcp` or `exec`.")
        return None
    named = kind.choice(tuple(_KEYS))
    if named is None:
        return None
    place.keys(_KEYS[named])
    every, timeout = _time(place.at("every"), 100, 2_000), _time(place.at("timeout"), 100, 5_000)
    if named == "exec":
        command = place.at("command")
        run = words.literal(command)
        if command is None or run == ():
            place.refuse("missing", "The probe runs nothing.", "Write its `command`.")
        return workload.ExecProbe(command=run, every_ms=every, timeout_ms=timeout) if run else None
    at = place.at("port")
    port = at.whole(1, 65_535) if at else None
    if at is None:
        place.refuse("missing", "The probe asks no port.", "Write its `port`, the one inside the container.")
    if named == "tcp":
        return workload.TcpProbe(port=port, every_ms=every, timeout_ms=timeout) if port else None
    path, status = place.at("path"), place.at("status")
    asked = path.matching(_PATH, "path of a URL", "Write it from the slash on: /health.") if path else "/"
    wanted = status.whole(100, 599) if status else 200
    if port is None or asked is None or wanted is None:
        return None
    return workload.HttpProbe(port=port, path=asked, status=wanted, every_ms=every, timeout_ms=timeout)


def _time(place: Place | None, low: int, default: int) -> int:
    value = place.duration(low, durations.DAY) if place else None
    return default if value is None else value
