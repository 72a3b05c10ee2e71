# SPDX-License-Identifier: Apache-2.0
"""Starting a rollout and following it: `rollout plan|start|watch|devices`."""

from enum import StrEnum
from typing import Annotated

import typer

from checkvalve.cli import live, output, receipts, rollouts, times
from checkvalve.cli.failures import UsageError
from checkvalve.cli.invocation import USUAL, All, Invocation, Limit, verb
from checkvalve.cli.rollouts import Id, Watch
from checkvalve.protocol import rollout as forms

Seconds = Annotated[
    float | None, typer.Option("--give-up", metavar="SECONDS", min=0, help="How long the plane may be away.")
]


class Outcome(StrEnum):
    """How it ended on a device."""

    open = "open"
    committed = "committed"
    failed = "failed"
    refused = "refused"
    rolled_back = "rolled_back"
    degraded = "degraded"


def register(group: typer.Typer) -> None:
    """Add the verbs."""
    verb(group, "plan", "checkvalve rollout plan 06e5q0kq3w8v9z2x4c6b8n0m1a")(plan)
    verb(group, "start", "checkvalve rollout start 06e5q0kq3w8v9z2x4c6b8n0m1a --watch")(start)
    verb(group, "watch", "checkvalve rollout watch 06e5q0kq3w8v9z2x4c6b8n0m1a")(watch)
    verb(group, "devices", "checkvalve rollout devices 06e5q0kq3w8v9z2x4c6b8n0m1a --outcome failed")(devices)


def plan(run: Invocation, rollout: Id) -> None:
    """Show who would go when if it were started now. Nothing is changed; exit code 3 if something is in the way."""
    data = run.plane.raw("GET", rollouts.at(rollout, "plan"))
    found = rollouts.planned(data)
    if run.flags.as_json:
        output.json(data)
    elif run.flags.quiet:
        for device in (each.device for wave in found.waves for each in wave):
            output.say(device)
    else:
        rollouts.show_plan(run, found)
    rollouts.clear(found.obstacle)


def start(
    run: Invocation,
    rollout: Id,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan, and change nothing.")] = False,
    watching: Watch = False,
) -> None:
    """Start what was proposed and approved: the devices of the first wave are told at once."""
    if dry_run:
        plan(run, rollout)
        return
    if not run.flags.yes:
        found = rollouts.planned(run.plane.raw("GET", rollouts.at(rollout, "plan")))
        output.fields(rollouts.pairs(run, found.rollout), output.note)
        rollouts.clear(found.obstacle)
        run.agreed(f"{rollouts.summary(found)} {_first(found)}", "Start it?")
    data = run.plane.raw("POST", rollouts.at(rollout, "start"))
    if not (watching and run.flags.as_json):
        run.show(data, forms.Rollout, lambda one: _started(one, watching=watching), lambda one: one.id)
    if watching:
        live.follow(run, rollout, patient=True)


def watch(run: Invocation, rollout: Id, *, give_up: Seconds = None) -> None:
    """Follow a rollout until it is done (exit code 0), or until it is paused by the plane, undone or cancelled (1)."""
    live.follow(run, rollout, give_up)


def devices(
    run: Invocation,
    rollout: Id,
    *,
    wave: Annotated[
        int | None, typer.Option(metavar="NUMBER", min=0, help="Of this wave only; 0 is the canary's.")
    ] = None,
    outcome: Annotated[Outcome | None, typer.Option(help="Ended like this only.")] = None,
    limit: Limit = USUAL,
    every: All = False,
    after: Annotated[str, typer.Option(metavar="MARK", help="Go on after this one.")] = "",
) -> None:
    """List the devices of a rollout, wave by wave, and how it ended on each."""
    one = run.plane.get(rollouts.at(rollout), forms.Rollout)
    first = rollouts.canary(one)
    query = {"outcome": outcome.value if outcome else "", "wave": "" if wave is None else _index(wave, canary=first)}
    data = run.listed(rollouts.at(rollout, "devices"), None if every else limit, after, "after", **query)
    run.show_list(
        data,
        forms.RolloutDevice,
        ("DEVICE", "WAVE", "STATE", "WHY", "RAN BEFORE", "ENDED", "SEEN", "SCOPE", "ID"),
        lambda each: (
            each.name,
            rollouts.wave(each.wave, canary=first),
            each.state.replace("_", " ") + (", left behind" if each.left else ""),
            f"{each.reason} [{each.code}]" if each.code else each.reason or "-",
            receipts.short(each.before) or "nothing",
            times.short(each.ended_at),
            times.short(each.seen_at),
            run.called(each.scope),
            each.device,
        ),
        "It has no devices like that." if one.started_at else f"It has not started: checkvalve rollout plan {one.id}",
        "after",
        lambda each: each.device,
    )


def _first(found: forms.RolloutPlan) -> str:
    names = [each.name for each in found.waves[0]] if found.waves else []
    more = f" and {len(names) - rollouts.NAMED:,} more" if len(names) > rollouts.NAMED else ""
    return f"At once: {', '.join(names[: rollouts.NAMED])}{more}."


def _started(one: forms.Rollout, *, watching: bool) -> None:
    output.say(f"{one.name} has started.")
    if not watching:
        for line in rollouts.following(one):
            output.say(line)


def _index(wave: int, *, canary: bool) -> str:
    """Return the number by which the plane knows the wave that people call `wave`."""
    if not wave and not canary:
        raise UsageError("cli.wave", "This rollout has no canary wave.", "Its first wave is 1.")
    return str(wave - (not canary))
