# SPDX-License-Identifier: Apache-2.0
"""What a person decides about a rollout on its way: `rollout pause|resume|undo|cancel`.

Each says what it will touch before it asks; the plane judges anew when it is done.
"""

from typing import Annotated

import typer

from checkvalve.cli import client, live, output, rollouts
from checkvalve.cli.invocation import Invocation, verb
from checkvalve.cli.rollouts import Id, Watch
from checkvalve.protocol import rollout as forms

Why = Annotated[str, typer.Option(metavar="TEXT", help="It stands in the record, and where the rollout is shown.")]


def register(group: typer.Typer) -> None:
    """Add the verbs."""
    ident = "06e5q0kq3w8v9z2x4c6b8n0m1a"
    verb(group, "pause", f'checkvalve rollout pause {ident} --reason "storm on the coast"')(pause)
    verb(group, "resume", f'checkvalve rollout resume {ident} --reason "pump-3 has a full disk; the rest is fine"')(
        resume
    )
    verb(group, "undo", f'checkvalve rollout undo {ident} --reason "alarms are late" --watch')(undo)
    verb(group, "cancel", f"checkvalve rollout cancel {ident}")(cancel)


def pause(run: Invocation, rollout: Id, *, reason: Why = "") -> None:
    """Let no more devices begin. Those that have begun bring it to its end."""
    if not run.flags.yes:
        found = _progress(run, rollout)
        begun, rest = _begun(found), _open(found)
        run.agreed(
            _where(found),
            f"On the way, and brought to the end: {begun:,}. Held back: {rest - begun:,}.",
            "Pause it?",
        )
    data = run.plane.raw("POST", rollouts.at(rollout, "pause"), forms.Because(reason=reason))
    one = client.decode(data, forms.Rollout)
    run.done(data, f"{one.name} is paused. Go on with: checkvalve rollout resume {one.id}")


def resume(run: Invocation, rollout: Id, *, reason: Why = "") -> None:
    """Go on where it was paused, without the devices that failed: they stay at what they run."""
    if not run.flags.yes:
        found = _progress(run, rollout)
        failed = sum(each.failed for each in found.waves)
        left = f"{rollouts.counted(failed)} that failed left behind; " if failed else ""
        run.agreed(
            _where(found),
            *([found.rollout.reason] if found.rollout.reason else []),
            f"It goes on: {left}{_open(found):,} to go.",
            "Resume it?",
        )
    data = run.plane.raw("POST", rollouts.at(rollout, "resume"), forms.Because(reason=reason))
    one = client.decode(data, forms.Rollout)
    run.done(data, f"{one.name} goes on. Watch it with: checkvalve rollout watch {one.id}")


def undo(run: Invocation, rollout: Id, *, reason: Why = "", watching: Watch = False) -> None:
    """Send the devices back to what they ran before; that is a rollout of its own, to all at once."""
    if not run.flags.yes:
        found = run.plane.get(rollouts.at(rollout, "undo"), forms.RolloutWayBack)
        output.note(f"{found.rollout.name} is {found.rollout.state}.")
        for line in rollouts.way_back(found):
            output.note(line)
        rollouts.clear(found.obstacle)
        run.agreed("Undo it?")
    data = run.plane.raw("POST", rollouts.at(rollout, "undo"), forms.Because(reason=reason))
    one = client.decode(data, forms.Rollout)

    def shown(_: forms.Rollout) -> None:
        output.say(f"The way back is {one.name}  {one.id}")
        if not watching:
            for line in rollouts.following(one):
                output.say(line)

    if not (watching and run.flags.as_json):
        run.show(data, forms.Rollout, shown, lambda _: one.id)
    if watching:
        live.follow(run, one.id, patient=True)


def cancel(run: Invocation, rollout: Id) -> None:
    """End it where it stands: no more devices begin, those that took it keep it.

    A request for its approval is withdrawn.
    """
    if not run.flags.yes:
        _ask_to_cancel(run, rollout)
    data = run.plane.raw("POST", rollouts.at(rollout, "cancel"))
    one = client.decode(data, forms.Rollout)
    run.done(data, f"{one.name} is cancelled.")


def _ask_to_cancel(run: Invocation, rollout: str) -> None:
    found = _progress(run, rollout)
    if found.rollout.state not in rollouts.LIVE:
        output.fields(rollouts.pairs(run, found.rollout), output.note)
        run.agreed("Cancel it?")
        return
    took, begun = sum(each.committed for each in found.waves), _begun(found)
    run.agreed(
        _where(found),
        f"Keep it: {took:,}. On the way, and brought to the end: {begun:,}. Never get it: {_open(found) - begun:,}.",
        f"To take it back instead: checkvalve rollout undo {found.rollout.id}",
        "Cancel it?",
    )


def _progress(run: Invocation, rollout: str) -> forms.RolloutProgress:
    return run.plane.get(rollouts.at(rollout, "progress"), forms.RolloutProgress)


def _where(found: forms.RolloutProgress) -> str:
    counts = ", ".join(rollouts.counts(found.waves))
    return f"{found.rollout.name} is {found.rollout.state}: {counts or 'no device has it'}."


def _open(found: forms.RolloutProgress) -> int:
    """Return on how many devices it has not ended."""
    return sum(each.going + each.silent for each in found.waves)


def _begun(found: forms.RolloutProgress) -> int:
    """Return how many of these have said that they began."""
    return sum(sum(each.steps.values()) for each in found.waves)
