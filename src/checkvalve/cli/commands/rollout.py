# SPDX-License-Identifier: Apache-2.0
"""Bringing a release to devices: `rollout list|show|draft|propose|start|cancel`."""

from typing import Annotated

import typer

from checkvalve.cli import output, times
from checkvalve.cli.client import reference
from checkvalve.cli.invocation import USUAL, All, Before, Invocation, Limit, noun, verb
from checkvalve.protocol import api

Id = Annotated[str, typer.Argument(metavar="ID", help="Of `rollout list`.")]


def register(app: typer.Typer) -> None:
    """Add the noun."""
    example = (
        'checkvalve rollout draft "Press line 2.4.1" --scope "Norra Water/Visby" --release press-line@2.4.1'
        ' --selector "tag=press" --change MOC-1042'
    )
    group = noun(app, "rollout", "Which release goes where, and under whose approval.")
    verb(group, "list", "checkvalve rollout list --state proposed", scoped=True)(listed)
    verb(group, "show", "checkvalve rollout show 06e5q0kq3w8v9z2x4c6b8n0m1a")(show)
    verb(group, "draft", example, scoped=True)(draft)
    verb(group, "propose", "checkvalve rollout propose 06e5q0kq3w8v9z2x4c6b8n0m1a")(propose)
    verb(group, "start", "checkvalve rollout start 06e5q0kq3w8v9z2x4c6b8n0m1a")(start)
    verb(group, "cancel", "checkvalve rollout cancel 06e5q0kq3w8v9z2x4c6b8n0m1a")(cancel)


def listed(
    run: Invocation,
    *,
    state: Annotated[str, typer.Option(metavar="STATE", help="draft, proposed, started or cancelled only.")] = "",
    limit: Limit = USUAL,
    every: All = False,
    before: Before = "",
) -> None:
    """List rollouts, newest first."""
    data = run.listed("/api/v1/rollouts", None if every else limit, before, state=state)
    run.show_list(
        data,
        api.Rollout,
        ("ID", "STATE", "NAME", "RELEASE", "SCOPE", "CHANGED"),
        lambda one: (
            one.id,
            one.state,
            one.name,
            _brief(str(one.intent.get("release", ""))),
            run.called(one.scope),
            times.short(one.changed_at),
        ),
        "There are no rollouts like that; begin one with: checkvalve rollout draft NAME --scope SCOPE",
    )


def show(run: Invocation, rollout: Id) -> None:
    """Show what a rollout is to do, and how far it is."""
    data = run.plane.raw("GET", f"/api/v1/rollouts/{reference(rollout)}")
    run.show(data, api.Rollout, lambda one: output.fields(_pairs(run, one)), lambda one: one.id)


def draft(
    run: Invocation,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What people on site call it.")],
    *,
    release: Annotated[
        str, typer.Option(metavar="NAME@VERSION", help="What goes there; name@sha256:... is the same, for ever.")
    ],
    selector: Annotated[str, typer.Option(metavar="TEXT", help="To which devices of the scope.")],
    approvals: Annotated[int, typer.Option(min=0, max=2, help="How many people must approve.")] = 1,
    change: Annotated[str, typer.Option(metavar="REFERENCE", help="Number of the MoC or work order.")] = "",
    note: Annotated[str, typer.Option(help="What those who approve should know.")] = "",
) -> None:
    """Write down what is to happen in `--scope`; nothing happens yet."""
    body = api.NewRollout(
        scope=run.required_scope(),
        name=name,
        release=release,
        selector=selector,
        approvals=approvals,
        change=change,
        note=note,
    )
    data = run.plane.raw("POST", "/api/v1/rollouts", body)

    def shown(made: api.Rollout) -> None:
        output.say(f"Drafted {made.name}  {made.id}")
        output.say(f"Next: checkvalve rollout propose {made.id}")

    run.show(data, api.Rollout, shown, lambda made: made.id)


def propose(run: Invocation, rollout: Id) -> None:
    """Close your draft and ask for the approvals it names."""
    data = run.plane.raw("POST", f"/api/v1/rollouts/{reference(rollout)}/propose")

    def shown(one: api.Rollout) -> None:
        output.say(f"{one.name} is proposed.")
        if one.approval:
            output.say(f"Others approve it with: checkvalve approval approve {one.approval}")
        else:
            output.say(f"It needs no approval; start it with: checkvalve rollout start {one.id}")

    run.show(data, api.Rollout, shown, lambda one: one.approval or one.id)


def start(run: Invocation, rollout: Id) -> None:
    """Start what was proposed and approved."""
    one = _asked_about(run, rollout)
    run.agreed("Start it?")
    data = run.plane.raw("POST", f"/api/v1/rollouts/{one.id}/start")
    run.done(data, f"{one.name} has started.")


def cancel(run: Invocation, rollout: Id) -> None:
    """End what has not started; its request for approval is withdrawn."""
    one = _asked_about(run, rollout)
    run.agreed("Cancel it?")
    data = run.plane.raw("POST", f"/api/v1/rollouts/{one.id}/cancel")
    run.done(data, f"{one.name} is cancelled.")


def _asked_about(run: Invocation, rollout: str) -> api.Rollout:
    one = run.plane.get(f"/api/v1/rollouts/{reference(rollout)}", api.Rollout)
    if not run.flags.yes:
        output.fields(_pairs(run, one), output.note)
    return one


def _pairs(run: Invocation, one: api.Rollout) -> list[tuple[str, str]]:
    return [
        ("name", one.name),
        ("id", one.id),
        ("state", one.state),
        ("scope", f"{run.called(one.scope)}  {one.scope}"),
        *((name, str(value)) for name, value in sorted(one.intent.items()) if name != "v"),
        ("digest", one.digest),
        ("approval", one.approval or ""),
        ("drafted by", f"{run.login(one.made_by)}, {times.short(one.made_at)}"),
        ("changed", times.short(one.changed_at)),
    ]


def _brief(release: str) -> str:
    name, at, digest = release.partition("@sha256:")
    return f"{name}{at}{digest[:12]}"
