# SPDX-License-Identifier: Apache-2.0
"""What people read of a rollout: what it is to do, who goes when, how far it is, and what there is to do next."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated

import typer

from checkvalve.cli import client, output, times
from checkvalve.cli.client import reference
from checkvalve.cli.failures import InTheWayError
from checkvalve.cli.invocation import Invocation
from checkvalve.protocol import rollout as protocol

Id = Annotated[str, typer.Argument(metavar="ID", help="Of `rollout list`.")]
Watch = Annotated[bool, typer.Option("--watch", help="Follow it, as `rollout watch` does.")]

NAMED = 5  # devices that a sentence names
USUAL_CANARY, USUAL_STEP = 1, 0  # of an intent that was written before there were plans
BY_PERSON = "rollout.by_person"  # the code of a pause that somebody asked for; any other is the judge's
NOT_BEGUN = frozenset({"draft", "proposed"})
LIVE = frozenset({"started", "paused"})
_STEPS = {
    "held": "held by a tag",
    "waiting_approval": "waiting for approval on site",
    "waiting_permit": "waiting for a permit",
    "waiting_window": "waiting for a window",
}


def at(rollout: str, what: str = "") -> str:
    """Return the address of a rollout whose id somebody typed, or of `what` of it; `UsageError` (`cli.id`)."""
    return f"/api/v1/rollouts/{reference(rollout)}" + (f"/{what}" if what else "")


def counted(number: int, word: str = "device") -> str:
    """Return a number of things: `1 device`, `3 devices`."""
    return f"{number} {word}" if number == 1 else f"{number:,} {word}s"


def brief(release: str) -> str:
    """Return a release's full name with the first digits of its digest."""
    name, at_, digest = release.partition("@sha256:")
    return f"{name}{at_}{digest[:12]}"


def plan(intent: Mapping[str, object]) -> str:
    """Return in words who goes first, by an intent."""
    match intent.get("plan"):
        case {"canary": int(canary), "step": int(step)}:
            return protocol.said(canary, step)
        case _:
            return protocol.said(USUAL_CANARY, USUAL_STEP)


def canary(one: protocol.Rollout) -> bool:
    """Tell whether its first wave is a canary's."""
    match one.intent.get("plan"):
        case {"canary": int(number)}:
            return number > 0
        case _:
            return USUAL_CANARY > 0


def wave(number: int, *, canary: bool) -> str:
    """Return what a list calls a wave, which is counted from 0; those after the canary's count from 1."""
    return "canary" if canary and number == 0 else str(number + (not canary))


def pairs(run: Invocation, one: protocol.Rollout) -> list[tuple[str, str]]:
    """Return what a rollout is to do, and where it stands."""
    said = {name: str(value) for name, value in one.intent.items() if name not in {"v", "plan"}}
    return [
        ("name", one.name),
        ("id", one.id),
        ("state", one.state),
        ("", _reason(one)),
        ("scope", f"{run.called(one.scope)}  {one.scope}"),
        ("plan", plan(one.intent)),
        *sorted(said.items()),
        ("digest", one.digest),
        ("approval", one.approval or ""),
        ("drafted by", f"{run.login(one.made_by, one.made_by_name)}, {times.short(one.made_at)}"),
        ("started", times.short(one.started_at) if one.started_at else ""),
        ("ended", times.short(one.ended_at) if one.ended_at else ""),
        ("changed", times.short(one.changed_at)),
        ("undoes", one.undoes or ""),
        ("undone by", one.undone_by or ""),
    ]


def planned(data: bytes) -> protocol.RolloutPlan:
    """Return a plan as the plane answered it; `InvalidError` (`plane.form`)."""
    return client.decode(data, protocol.RolloutPlan)


def summary(found: protocol.RolloutPlan) -> str:
    """Return in a sentence what a start would do now."""
    sizes = [len(each) for each in found.waves]
    passed = f"; {counted(len(found.passed))} passed over" if found.passed else ""
    if not sizes:
        return f"No device would take it now{passed}."
    waves = f" in {counted(len(sizes), 'wave')}" if len(sizes) > 1 else ""
    return f"{counted(sum(sizes))} would take it now{waves}{passed}."


def show_plan(run: Invocation, found: protocol.RolloutPlan) -> None:
    """Print who goes when, and who is passed over."""
    first = canary(found.rollout)
    output.say(f"{found.rollout.name}: {brief(str(found.rollout.intent.get('release', '')))}")
    output.say(summary(found))
    rows = [
        (wave(number, canary=first), each.name, run.called(each.scope), each.device)
        for number, devices in enumerate(found.waves)
        for each in devices
    ]
    if rows:
        output.table(("WAVE", "DEVICE", "SCOPE", "ID"), rows)
    for sentence in (*found.exclusive, *found.copies):
        output.say(sentence)
    if found.lacking:
        lacks = [
            (each.name, lack, run.called(each.scope), each.device) for each in found.lacking for lack in each.lacks
        ]
        output.table(("LACKS VALUES", "WHAT", "SCOPE", "ID"), lacks)
    if found.passed:
        over = [(each.name, each.reason, run.called(each.scope), each.device) for each in found.passed]
        output.table(("PASSED OVER", "WHY", "SCOPE", "ID"), over)


def clear(obstacle: protocol.Obstacle | None) -> None:
    """Raise what is in the way, if something is, as `InTheWayError` with its own code."""
    if obstacle is not None:
        raise InTheWayError(obstacle.code, obstacle.sentence, obstacle.remedy)


def way_back(found: protocol.RolloutWayBack) -> list[str]:
    """Return, a sentence each, what undoing would do."""
    targets: dict[str, int] = {}
    for each in found.going:
        targets[each.to] = targets.get(each.to, 0) + 1
    said = [f"{_goes(number)} back to {to}." for to, number in sorted(targets.items())]
    said += [f"{each.name} {each.reason}" for each in found.staying[:NAMED]]
    more = len(found.staying) - NAMED
    said += [f"So {'does' if more == 1 else 'do'} {more:,} more."] if more > 0 else []
    if found.untouched:
        names = _named([each.name for each in found.untouched])
        said.append(f"{counted(len(found.untouched))} did not take it, and nothing changes there: {names}.")
    return said if found.going else [*said, "No device goes back; the rollout only ends."]


def counts(waves: Iterable[protocol.RolloutWave], *, of: bool = False) -> list[str]:
    """Return how many devices are how far, those words left out that nobody is; `of`: and of how many took it."""
    each = list(waves)
    open_ = [one for one in each if one.open]
    took = f"{sum(one.committed for one in each):,} of {sum(one.total for one in each):,} took it"
    numbers = (
        (0 if of else sum(one.committed for one in each), "took it"),
        (sum(one.failed for one in each), "failed"),
        (sum(one.left for one in each), "left behind"),
        (sum(one.going for one in open_), "under way"),
        (sum(one.silent for one in open_), "silent"),
        (sum(waiting(one) for one in each), "to come"),
    )
    return ([took] if of else []) + [f"{number:,} {word}" for number, word in numbers if number]


def waiting(one: protocol.RolloutWave) -> int:
    """Return how many devices of a wave that is not open have yet to be ordered."""
    return 0 if one.open else one.going + one.silent


def steps(waves: Iterable[protocol.RolloutWave]) -> str:
    """Return how far those under way are, in the devices' own words: `2 fetching, 1 verifying`."""
    found: dict[str, int] = {}
    for one in waves:
        for step, number in one.steps.items():
            found[step] = found.get(step, 0) + number
    return ", ".join(f"{number} {_STEPS.get(step, step.replace('_', ' '))}" for step, number in sorted(found.items()))


def show_waves(found: protocol.RolloutProgress) -> None:
    """Print how far each wave is."""
    rows = [
        (
            one.name,
            str(one.total),
            *(str(number or "-") for number in (one.committed, one.failed, one.left)),
            *(str(number or "-") for number in ((one.going, one.silent) if one.open else (0, 0))),
            str(waiting(one) or "-"),
        )
        for one in found.waves
    ]
    output.table(("WAVE", "DEVICES", "TOOK IT", "FAILED", "LEFT BEHIND", "UNDER WAY", "SILENT", "TO COME"), rows)


def following(one: protocol.Rollout) -> list[str]:
    """Return what there is to do next with a rollout that stands still, a line each."""
    match one.state:
        case "draft":
            return [f"Next: checkvalve rollout propose {one.id}"]
        case "proposed":
            return [f"Next: checkvalve rollout start {one.id}"]
        case "started":
            return [f"Watch it with: checkvalve rollout watch {one.id}"]
        case "paused":
            return [
                f"Look why: checkvalve rollout devices {one.id} --outcome failed",
                f"Go on without those that failed: checkvalve rollout resume {one.id}",
                f"Or take it back: checkvalve rollout undo {one.id}",
            ]
        case "undone" if one.undone_by:
            return [f"The way back: checkvalve rollout watch {one.undone_by}"]
        case _:
            return []


def _reason(one: protocol.Rollout) -> str:
    return f"{one.reason} [{one.code}]" if one.code and one.code != BY_PERSON else one.reason


def _goes(number: int) -> str:
    return "1 device goes" if number == 1 else f"{number:,} devices go"


def _named(names: Sequence[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")
