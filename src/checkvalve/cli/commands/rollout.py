# SPDX-License-Identifier: Apache-2.0
"""Bringing a release to devices: `rollout list|show|draft|propose`; the other verbs are in the modules beside."""

from typing import Annotated

import typer

from checkvalve.cli import output, rollouts, times
from checkvalve.cli.commands import rollout_move, rollout_start
from checkvalve.cli.invocation import USUAL, All, Before, Invocation, Limit, noun, verb
from checkvalve.cli.rollouts import Id
from checkvalve.errors import CheckvalveError
from checkvalve.protocol import rollout as forms


def register(app: typer.Typer) -> None:
    """Add the noun."""
    example = (
        'checkvalve rollout draft "Press line 2.4.1" --scope "Norra Water/Visby" --release press-line@2.4.1'
        ' --selector "tag:press" --canary 1 --step 10 --change MOC-1042'
    )
    group = noun(app, "rollout", "Which release goes where, in which waves, and under whose approval.")
    verb(group, "list", "checkvalve rollout list --state proposed", scoped=True)(listed)
    verb(group, "show", "checkvalve rollout show 06e5q0kq3w8v9z2x4c6b8n0m1a")(show)
    verb(group, "draft", example, scoped=True)(draft)
    verb(group, "propose", "checkvalve rollout propose 06e5q0kq3w8v9z2x4c6b8n0m1a")(propose)
    rollout_start.register(group)
    rollout_move.register(group)


def listed(
    run: Invocation,
    *,
    state: Annotated[
        str,
        typer.Option(metavar="STATE", help="draft, proposed, started, paused, done, undone or cancelled only."),
    ] = "",
    limit: Limit = USUAL,
    every: All = False,
    before: Before = "",
) -> None:
    """List rollouts, newest first."""
    data = run.listed("/api/v1/rollouts", None if every else limit, before, state=state)
    run.show_list(
        data,
        forms.Rollout,
        ("ID", "STATE", "NAME", "RELEASE", "SCOPE", "CHANGED"),
        lambda one: (
            one.id,
            _state(one),
            one.name,
            rollouts.brief(str(one.intent.get("release", ""))),
            run.called(one.scope),
            times.short(one.changed_at),
        ),
        "There are no rollouts like that; begin one with: checkvalve rollout draft NAME --scope SCOPE",
    )


def show(run: Invocation, rollout: Id) -> None:
    """Show what a rollout is to do, and how far it is."""
    data = run.plane.raw("GET", rollouts.at(rollout))

    def shown(one: forms.Rollout) -> None:
        output.fields(rollouts.pairs(run, one))
        if one.started_at is None:
            return
        found = run.plane.get(rollouts.at(one.id, "progress"), forms.RolloutProgress)
        rollouts.show_waves(found)
        if found.next and found.reason:
            output.say(found.reason)

    run.show(data, forms.Rollout, shown, lambda one: one.id)


def draft(  # noqa: PLR0913 - one field each
    run: Invocation,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What people on site call it.")],
    *,
    release: Annotated[
        str, typer.Option(metavar="NAME@VERSION", help="What goes there; name@sha256:... is the same, for ever.")
    ],
    selector: Annotated[
        str,
        typer.Option(metavar="TEXT", help='To which devices of the scope: all, or "tag:pump and not site:Visby".'),
    ],
    canary: Annotated[int, typer.Option(min=0, max=5, help="How many devices go first, alone; 0: none.")] = 1,
    step: Annotated[
        int, typer.Option(min=0, max=10_000, help="How many go in each wave after that; 0: all the rest at once.")
    ] = 0,
    approvals: Annotated[int, typer.Option(min=0, max=2, help="How many people must approve.")] = 1,
    change: Annotated[str, typer.Option(metavar="REFERENCE", help="Number of the MoC or work order.")] = "",
    note: Annotated[str, typer.Option(help="What those who approve should know.")] = "",
) -> None:
    """Write down what is to happen in `--scope`; nothing happens yet."""
    body = forms.NewRollout(
        scope=run.required_scope(),
        name=name,
        release=release,
        selector=selector,
        approvals=approvals,
        change=change,
        note=note,
        canary=canary,
        step=step,
    )
    data = run.plane.raw("POST", "/api/v1/rollouts", body)

    def shown(made: forms.Rollout) -> None:
        output.say(f"Drafted {made.name}  {made.id}")
        _meant(run, made)
        output.say(f"Next: checkvalve rollout propose {made.id}")

    run.show(data, forms.Rollout, shown, lambda made: made.id)


def propose(run: Invocation, rollout: Id) -> None:
    """Close your draft and ask for the approvals it names."""
    data = run.plane.raw("POST", rollouts.at(rollout, "propose"))

    def shown(one: forms.Rollout) -> None:
        output.say(f"{one.name} is proposed.")
        if one.approval:
            output.say(f"Others approve it with: checkvalve approval approve {one.approval}")
        else:
            output.say(f"It needs no approval; start it with: checkvalve rollout start {one.id}")

    run.show(data, forms.Rollout, shown, lambda one: one.approval or one.id)


def _meant(run: Invocation, made: forms.Rollout) -> None:
    try:
        found = run.plane.get(rollouts.at(made.id, "plan"), forms.RolloutPlan)
    except CheckvalveError as error:  # the draft is made all the same
        output.note(f"Whom it means now is not known: {error.sentence} [{error.code}]")
        return
    output.say(f"{rollouts.summary(found)} Who goes when: checkvalve rollout plan {made.id}")
    if found.obstacle is not None:
        output.note(f"In the way now: {found.obstacle.sentence} {found.obstacle.remedy} [{found.obstacle.code}]")


def _state(one: forms.Rollout) -> str:
    return f"{one.state}, {one.wave + 1} of {one.waves} waves" if one.state in rollouts.LIVE else one.state
