# SPDX-License-Identifier: Apache-2.0
"""Lock-out tags that hold devices back, whatever is ordered: `hold add|list|lift`."""

from typing import Annotated

import typer

from checkvalve.cli import client, devices, names, output, times
from checkvalve.cli.client import reference
from checkvalve.cli.failures import UsageError
from checkvalve.cli.invocation import USUAL, All, Before, Invocation, Limit, noun, verb
from checkvalve.errors import ForbiddenError, NotFoundError
from checkvalve.protocol import api, fleet


def register(app: typer.Typer) -> None:
    """Add the noun."""
    group = noun(app, "hold", "Lock-out tags: while one hangs, nothing is switched there.")
    example = 'checkvalve hold add --at "Norra Water/Visby" --reason "Pump 3 is open" --number PTW-118'
    verb(group, "add", example, scoped=True)(add)
    verb(group, "list", 'checkvalve hold list --scope "Norra Water"', scoped=True)(listed)
    lifted = 'checkvalve hold lift 06e5q0kq3w8v9z2x4c6b8n0m1a --reason "the work is done"'
    verb(group, "lift", lifted)(lift)


def add(
    run: Invocation,
    *,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why nothing may be switched; it stands on the tag.")],
    at: Annotated[str, typer.Option("--at", metavar="PLACE", help="Organisation, site or area: all below it.")] = "",
    device: Annotated[str, typer.Option(metavar="DEVICE", help="This device only: name or id.")] = "",
    number: Annotated[str, typer.Option(metavar="NUMBER", help="Of the permit to work.")] = "",
    name: Annotated[str, typer.Option(metavar="NAME", help="Who hangs it, if that is not you.")] = "",
) -> None:
    """Hang a tag at `--at` or on `--device`. What is ordered there is fetched, and waits until the tag is lifted."""
    if bool(at) == bool(device):
        how = "Where it hangs is said twice." if at else "Where it hangs is not said."
        raise UsageError("cli.scope", how, "Give --at with a place, or --device with the name of one.")
    path = run.path(at) if at else None
    if path == names.ROOT:
        raise UsageError("cli.scope", "A tag hangs at an organisation or below.", "Give --at NAME.")
    body = fleet.NewHold(
        scope=path,
        device=devices.device(run, device).id if device else None,
        name=name,
        reason=reason,
        number=number,
    )
    data = run.plane.raw("POST", "/api/v1/holds", body)

    def shown(made: fleet.Hold) -> None:
        output.say(f"Tag {made.id} of {made.name} hangs: {_where(run, made)}")
        output.note("A device that waits for its plane hears of it at once; any other with its next report.")
        output.note(f"Lift it with: checkvalve hold lift {made.id}")

    run.show(data, fleet.Hold, shown, lambda made: made.id)


def listed(
    run: Invocation,
    *,
    lifted: Annotated[bool, typer.Option("--lifted", help="Those that were lifted too.")] = False,
    limit: Limit = USUAL,
    every: All = False,
    before: Before = "",
) -> None:
    """List the plane's tags that hang, newest first. Those of devices themselves: `device show`."""
    asked = {"all": "true"} if lifted else {}
    data = run.listed("/api/v1/holds", None if every else limit, before, **asked)
    found = client.decode(data, api.Page[fleet.Hold]).items
    at = {one.id: _where(run, one) for one in found} if not run.flags.as_json and not run.flags.quiet else {}
    run.show_list(
        data,
        fleet.Hold,
        ("ID", "WHERE", "NAME", "REASON", "NUMBER", "SINCE", *(["LIFTED"] if lifted else [])),
        lambda one: (
            one.id,
            at[one.id],
            one.name,
            one.reason,
            one.number or "-",
            times.short(one.made_at),
            *([_end(run, one)] if lifted else []),
        ),
        "No tag hangs here; hang one with: checkvalve hold add --at PLACE --reason TEXT",
    )


def lift(
    run: Invocation,
    tag: Annotated[str, typer.Argument(metavar="ID", help="Of `hold list`.")],
    *,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; needed where somebody else hung it.")] = "",
) -> None:
    """Lift a tag. What waits behind it goes on at once, if nothing else holds it."""
    ident = reference(tag)
    run.agreed(f"What waits behind tag {ident} goes on at once, if nothing else holds it.", "Lift it?")
    data = run.plane.raw("POST", f"/api/v1/holds/{ident}/lift", fleet.Lifting(reason=reason))
    run.show(
        data,
        fleet.Hold,
        lambda made: output.say(f"The tag of {made.name} is lifted: {_where(run, made)}"),
        lambda made: made.id,
    )


def _where(run: Invocation, one: fleet.Hold) -> str:
    place = run.called(one.scope)
    if one.device is None:
        return place
    try:
        return f"{place}: {run.plane.get(f'/api/v1/devices/{one.device}', fleet.WholeDevice).name}"
    except (ForbiddenError, NotFoundError):
        return f"{place}: {one.device}"


def _end(run: Invocation, one: fleet.Hold) -> str:
    if one.lifted_at is None:
        return "-"
    said = f"{times.short(one.lifted_at)} by {run.login(one.lifted_by or '', one.lifted_by_name)}"
    return f"{said}: {one.lifted_why}" if one.lifted_why else said
