# SPDX-License-Identifier: Apache-2.0
"""The gap plan: `scorecard plan|plan-add|plan-set`."""

from datetime import date
from typing import Annotated

import typer

from checkvalve.cli import output
from checkvalve.cli.client import reference
from checkvalve.cli.failures import UsageError
from checkvalve.cli.invocation import Invocation, verb
from checkvalve.protocol import scorecard as forms

Owner = Annotated[str, typer.Option(metavar="NAME", help="Who does it.")]
Due = Annotated[str, typer.Option(metavar="DATE", help="Until when, as 2027-03-31; `none` takes it away.")]


def register(group: typer.Typer) -> None:
    """Add the verbs."""
    verb(group, "plan", 'checkvalve scorecard plan --scope "Norra Water"', scoped=True)(plan)
    added = 'checkvalve scorecard plan-add "Norra Water" pm-1 --owner "Rut Ek" --due 2027-03-31'
    verb(group, "plan-add", added)(add)
    verb(group, "plan-set", "checkvalve scorecard plan-set 06e5q0kq3w8v9z2x4c6b8n0m1a --state done")(change)


def plan(run: Invocation) -> None:
    """List the steps that close gaps here and below, what is due first first."""
    place = {"scope": run.within()} if run.flags.scope else {}
    data = run.plane.raw("GET", "/api/v1/gaps", query=place)
    run.show_list(
        data,
        forms.Gap,
        ("ID", "WHERE", "STEP", "STATE", "DUE", "OWNER", "WHAT"),
        lambda one: (
            one.id,
            one.where,
            one.step or one.section,
            one.state,
            f"{one.due or '-'}{' overdue' if one.overdue else ''}",
            one.owner or "-",
            one.text,
        ),
        "Nothing is planned here yet; add a step with: checkvalve scorecard plan-add PLACE STEP",
    )


def add(
    run: Invocation,
    place: Annotated[str, typer.Argument(metavar="PLACE", help="Organisation, site or area.")],
    step: Annotated[str, typer.Argument(metavar="[STEP]", help="Of the guide, as `scorecard show` names it.")] = "",
    *,
    text: Annotated[str, typer.Option(metavar="TEXT", help="A step of your own.")] = "",
    section: Annotated[str, typer.Option(metavar="ID", help="Where your own step belongs, such as RE.")] = "",
    owner: Owner = "",
    due: Due = "",
) -> None:
    """Put a step of the guide, or one of your own, into the plan of a place."""
    if bool(step) == bool(text):
        raise UsageError("cli.step", "Name a step of the guide, or write one of your own.", "Give STEP, or --text.")
    body = forms.NewGap(
        scope=run.path(place), step=step, text=text, section=section.upper(), owner=owner, due=_due(due)
    )
    data = run.plane.raw("POST", "/api/v1/gaps", body)

    def shown(made: forms.Gap) -> None:
        output.say(f"Step {made.id} is in the plan of {made.where}: {made.text}")
        output.note(f"When it is done: checkvalve scorecard plan-set {made.id} --state done")

    run.show(data, forms.Gap, shown, lambda made: made.id)


def change(
    run: Invocation,
    ident: Annotated[str, typer.Argument(metavar="ID", help="Of `scorecard plan`.")],
    *,
    state: Annotated[str, typer.Option(metavar="STATE", help="open, doing, done, dropped.")] = "",
    note: Annotated[str, typer.Option(metavar="TEXT", help="How it stands; why, where it is dropped.")] = "",
    owner: Owner = "",
    due: Due = "",
) -> None:
    """Change a step of the plan; what is left out stays. What has ended may be set back to open."""
    if not (state or note or owner or due):
        raise UsageError("cli.change", "Nothing is to be changed.", "Give --state, --note, --owner or --due.")
    body = forms.GapChange(
        state=state or None, note=note or None, owner=owner or None, due=_due(due), no_due=due == "none"
    )
    data = run.plane.raw("POST", f"/api/v1/gaps/{reference(ident)}", body)
    run.show(
        data,
        forms.Gap,
        lambda made: output.say(f"{made.state}, {made.due or 'no date'}: {made.text}"),
        lambda made: made.id,
    )


def _due(text: str) -> date | None:
    if not text or text == "none":
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError("cli.date", f"{text!r} is no date.", "Write it as 2027-03-31.") from None
