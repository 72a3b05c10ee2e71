# SPDX-License-Identifier: Apache-2.0
"""How far is each wave of a rollout? Lanes that fill, each with its counts in words.

Rules: 1. each device is in one part of its lane, in words as in colour; 2. green is what a receipt says, nothing else;
3. of many waves those at work are shown, and what lies before and behind them as one lane each; 4. a part that is small
stays visible.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from checkvalve.protocol.exchange import State as Attempt
from checkvalve.server.rollouts.model import LIVE, Lane, Rollout, State
from checkvalve.server.web import texts
from checkvalve.server.web.pages import fleet_view
from checkvalve.server.web.pages.view import Data

MANY = 12  # lanes that are shown one by one
BEFORE, AFTER = 3, 2  # of more: so many up to the newest that is open, and so many behind it
WIDE, LEAST = 1_000, 12  # units of a bar, and of its narrowest part


@dataclass(frozen=True, slots=True)
class Sum:
    """How many devices of a rollout are how far, over all of its waves."""

    total: int
    committed: int
    failed: int
    left: int
    open: int


@dataclass(frozen=True, slots=True)
class _Part:
    name: str
    shape: str
    word: str
    number: int


def total(lanes: Iterable[Lane]) -> Sum:
    """Add the lanes up."""
    found = list(lanes)
    return Sum(
        total=sum(lane.total for lane in found),
        committed=sum(lane.committed for lane in found),
        failed=sum(lane.failed for lane in found),
        left=sum(lane.left for lane in found),
        open=sum(lane.going + lane.silent for lane in found),
    )


def has_canary(rollout: Rollout) -> bool:
    """Tell whether its first wave is the canary's."""
    return rollout.wanted.plan.canary > 0


def named(rollout: Rollout, wave: int, *, low: bool = False) -> str:
    """Return what a wave is called; those after the canary's count from 1."""
    end = "_low" if low else ""
    if has_canary(rollout) and wave == 0:
        return texts.say(f"wave.canary{end}")
    return texts.say(f"wave.n{end}", n=f"{_number(rollout, wave):,}")


def newest(rollout: Rollout) -> str:
    """Return which wave is at work, of how many: `wave 2 of 3`, `canary wave`."""
    canary = has_canary(rollout)
    if canary and rollout.wave == 0:
        return texts.say("wave.of_canary")
    return texts.say("wave.of", n=f"{_number(rollout, rollout.wave):,}", waves=f"{rollout.waves - canary:,}")


def far(rollout: Rollout, lanes: Sequence[Lane]) -> str:
    """Return how far it is in a few words: `3 of 12 devices, wave 2 of 3`."""
    found = total(lanes)
    values = {"committed": f"{found.committed:,}", "total": f"{found.total:,}"}
    if rollout.state in LIVE and rollout.waves > 1:
        return texts.say("rollouts.far", **values, wave=newest(rollout))
    return texts.say("rollouts.far_all", **values)


def shown(rollout: Rollout, lanes: Sequence[Lane]) -> list[Data]:
    """Return the lanes in their order (rule 3)."""
    return [_lane(rollout, group) for group in _grouped(rollout, lanes)]


def size(wave: int, lanes: Sequence[Lane]) -> int:
    """Return how many devices a wave has."""
    return sum(lane.total for lane in lanes if lane.wave == wave)


def devices(number: int) -> str:
    """Return `1 device`, `12 devices`."""
    return texts.count("wave.devices", number)


def _number(rollout: Rollout, wave: int) -> int:
    return wave + (not has_canary(rollout))


def _grouped(rollout: Rollout, lanes: Sequence[Lane]) -> Iterator[Sequence[Lane]]:
    if len(lanes) <= MANY:
        yield from ([lane] for lane in lanes)
        return
    first = int(has_canary(rollout))
    begin = max(first, rollout.wave - BEFORE + 1)
    end = max(begin, min(rollout.wave + AFTER + 1, len(lanes)))
    singles = [[lane] for lane in lanes[begin:end]]
    for group in ([lanes[0]] if first else [], lanes[first:begin], *singles, lanes[end:]):
        if group:
            yield group


def _lane(rollout: Rollout, group: Sequence[Lane]) -> Data:
    parts = _parts(rollout, group)
    number = sum(lane.total for lane in group)
    name = _name(rollout, group)
    said = ", ".join(texts.say("wave.part", n=f"{part.number:,}", word=part.word) for part in parts)
    return {
        "wave": group[0].wave,
        "name": name,
        "open": group[0].wave <= rollout.wave,
        "total": number,
        "devices": devices(number),
        "done": sum(lane.committed for lane in group),
        "parts": [
            {
                "name": part.name,
                "shape": part.shape,
                "number": part.number,
                "word": texts.say("wave.part", n=f"{part.number:,}", word=part.word),
            }
            for part in parts
        ],
        "label": texts.say("wave.label", name=name, parts=said, devices=devices(number)),
        "bar": _bar(parts, number),
    }


def _name(rollout: Rollout, group: Sequence[Lane]) -> str:
    if len(group) > 1:
        first, last = (_number(rollout, lane.wave) for lane in (group[0], group[-1]))
        return texts.say("wave.some", first=f"{first:,}", last=f"{last:,}")
    if rollout.waves == 1 and not has_canary(rollout):
        return texts.say("wave.all")
    return named(rollout, group[0].wave)


def _parts(rollout: Rollout, group: Sequence[Lane]) -> list[_Part]:
    """Return the parts that somebody is in, what has ended first (rule 1)."""
    open_ = [lane for lane in group if lane.wave <= rollout.wave]
    later = sum(lane.going + lane.silent for lane in group if lane.wave > rollout.wave)
    steps: dict[str, int] = {}
    for lane in open_:
        for step, number in lane.steps:
            steps[step] = steps.get(step, 0) + number
    unbegun = sum(lane.going for lane in open_) - sum(steps.values())
    found = [
        _part("committed", "ok", sum(lane.committed for lane in group)),
        _part("failed", "bad", sum(lane.failed for lane in group)),
        _part("left", "refused", sum(lane.left for lane in group)),
        *(_step(step, number) for step, number in sorted(steps.items(), key=lambda one: -_ORDER.index(one[0]))),
        _part(_unbegun(rollout), "waits", unbegun),
        _part("silent", "unknown", sum(lane.silent for lane in open_)),
        _part("waiting" if rollout.state in LIVE else "never", "waits", later),
    ]
    return [part for part in found if part.number]


_ORDER = [each.value for each in Attempt]


def _step(step: str, number: int) -> _Part:
    state = Attempt(step)
    shape = fleet_view.ATTEMPTS[state]
    # Committed, and its receipt is on the way: not green yet (rule 2).
    return _Part(step, "info" if shape == "ok" else shape, texts.say(f"attempt.{state}"), number)


def _unbegun(rollout: Rollout) -> str:
    if rollout.state is State.STARTED:
        return "ordered"
    return "held" if rollout.state is State.PAUSED else "never"


def _part(name: str, shape: str, number: int) -> _Part:
    return _Part(name, shape, texts.say(f"wave.{name}"), number)


def _bar(parts: Sequence[_Part], number: int) -> list[Data]:
    widths = [max(LEAST, WIDE * part.number // number) for part in parts]
    x, found, whole = 0, list[Data](), sum(widths)
    for index, (part, width) in enumerate(zip(parts, widths, strict=True)):
        wide = WIDE * width // whole if index < len(parts) - 1 else WIDE - x  # rule 4
        found.append({"shape": part.shape, "x": x, "width": wide})
        x += wide
    return found
