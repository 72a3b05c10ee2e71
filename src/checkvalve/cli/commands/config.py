# SPDX-License-Identifier: Apache-2.0
"""Values and secrets that fill releases: `config set|list|show|diff|history`."""

from enum import StrEnum
from typing import Annotated

import typer

from checkvalve.cli import client, devices, output, values
from checkvalve.cli.failures import UsageError
from checkvalve.cli.invocation import USUAL, All, Before, Invocation, Limit, noun, verb
from checkvalve.protocol import api, config

At = Annotated[
    str,
    typer.Option(
        metavar="PLACE", help="Organisation, site, area, or a device (within --scope); device:NAME is always one."
    ),
]
Line = Annotated[str, typer.Option(metavar="NAME", help="For releases of this name only.")]
Release = Annotated[
    str, typer.Option(metavar="NAME@VERSION", help="Of this release; without, of the one that each device runs.")
]


class Kind(StrEnum):
    """What a value fills."""

    variable = "variable"
    file = "file"
    secret = "secret"


def register(app: typer.Typer) -> None:
    """Add the noun."""
    group = noun(app, "config", "Values and secrets of releases: set at a place, brought to devices by a rollout.")
    example = (
        'checkvalve config set --at "Norra Water/Visby" --release press-line RATE=12 PLC=10.20.0.5'
        " --file tags.csv=./tags.csv --secret mqtt --note MOC-1042"
    )
    verb(group, "set", example, scoped=True)(set_)
    verb(group, "list", 'checkvalve config list --at "Norra Water/Visby"', scoped=True)(listed)
    verb(group, "show", "checkvalve config show pump-3", scoped=True)(show)
    verb(group, "diff", 'checkvalve config diff --at "Norra Water/Visby" --selector tag:pump', scoped=True)(diff)
    verb(group, "history", 'checkvalve config history RATE --at "Norra Water"', scoped=True)(history)


def set_(  # noqa: PLR0913 - one way to say a value each
    run: Invocation,
    given: Annotated[list[str] | None, typer.Argument(metavar="NAME=VALUE", help="Variables and their values.")] = None,
    *,
    at: At,
    release: Line = "",
    file: Annotated[list[str], typer.Option(metavar="NAME=PATH", help="A file; - is standard input.")] = [],  # noqa: B006
    secret: Annotated[list[str], typer.Option(metavar="NAME", help="A secret, which is asked for.")] = [],  # noqa: B006
    secret_file: Annotated[
        list[str], typer.Option(metavar="NAME=PATH", help="A secret that a file holds; - is standard input.")
    ] = [],  # noqa: B006
    unset: Annotated[list[str], typer.Option(metavar="NAME", help="Take away what is set at this place.")] = [],  # noqa: B006
    note: Annotated[str, typer.Option(help="Why, or the number of the work order; it stands in the history.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would change, and change nothing.")] = False,
) -> None:
    """Set values at a place, in one deed. Devices get them by a rollout; nothing happens on them before."""
    there = values.place(run, at)
    typed = values.Typed(release, given or [], file, secret, secret_file, unset)
    body = config.SetValues(place=there.text, changes=values.changes(run, there, typed), note=note, dry_run=dry_run)
    data = run.plane.raw("POST", "/api/v1/values", body)

    def names(made: config.ChangedValues) -> str:
        return "\n".join(one.name for one in made.changed)

    run.show(data, config.ChangedValues, lambda made: values.tell(there, made), names)


def listed(
    run: Invocation,
    *,
    at: At = "",
    release: Line = "",
    kind: Annotated[Kind | None, typer.Option(help="Of this kind only.")] = None,
    limit: Limit = USUAL,
    every: All = False,
    before: Before = "",
) -> None:
    """List what is set, newest first; with `--at` in that scope and below, or at that device."""
    query = _where(run, at) | {"line": release, "kind": kind.value if kind else ""}
    data = run.listed("/api/v1/values", None if every else limit, before, **query)
    _table(run, data, "Nothing is set there; begin with: checkvalve config set --at PLACE NAME=VALUE")


def history(
    run: Invocation,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of this variable, file or secret only.")] = "",
    *,
    at: At = "",
    limit: Limit = USUAL,
    every: All = False,
    before: Before = "",
) -> None:
    """List everything ever set and taken away, newest first."""
    data = run.listed("/api/v1/values/history", None if every else limit, before, name=name, **_where(run, at))
    _table(run, data, "Nothing was ever set there.")


def show(
    run: Invocation,
    device: Annotated[str, typer.Argument(metavar="DEVICE", help="Name or id, of `device list`.")],
    *,
    release: Release = "",
) -> None:
    """Show what each name that a release declares gets on a device, where that is set, and what is there now."""
    one = devices.device(run, device)
    query = {"release": release} if release else {}
    data = run.plane.raw("GET", f"/api/v1/devices/{one.id}/values", query=query)
    run.show(data, config.DeviceValues, values.show, lambda said: "\n".join(each.name for each in said.values))


def diff(
    run: Invocation,
    device: Annotated[str, typer.Argument(metavar="DEVICE", help="Name or id; without, those of --at.")] = "",
    *,
    at: At = "",
    selector: Annotated[str, typer.Option(metavar="TEXT", help='Which devices, as "tag:pump"; without, all.')] = "",
    release: Release = "",
) -> None:
    """Show what a rollout would change now: the values that are set against those that run."""
    if device and (at or selector):
        raise UsageError("config.form", "A device, or a place: both were said.", "Say one of the two.")
    query: dict[str, str] = {"release": release}
    if device:
        one = devices.device(run, device)
        query |= {"scope": one.scope, "selector": f"device:{one.id}"}
    else:
        query |= _where(run, at) | {"selector": selector}
        if "place" in query:
            raise UsageError("config.form", f"{at!r} is a device.", f"Say: checkvalve config diff {at}")
    data = run.listed("/api/v1/values/differences", None, "", "after", **query)
    if run.flags.as_json:
        output.json(data)
        return
    found = client.decode(data, api.Page[config.DeviceValues]).items
    if run.flags.quiet:
        for each in found:
            output.say(each.device)
    elif found:
        values.differ(found, whole=bool(device))
    else:
        output.say("Nothing differs: what runs there runs with what is set.")


def _where(run: Invocation, at: str) -> dict[str, str]:
    """Return what narrows a list to a place: a scope with all below it, or exactly a device."""
    if not at:
        return {}
    there = values.place(run, at)
    if not there.text.startswith("/"):
        return {"place": there.text}
    if run.flags.scope:
        raise UsageError("config.form", "A place, and --scope: both were said.", "Say one of the two.")
    return {"scope": there.text}


def _table(run: Invocation, data: bytes, empty: str) -> None:
    run.show_list(
        data,
        config.Value,
        ("NAME", "KIND", "VALUE", "FOR", "AT", "SET", "BY", "NOTE"),
        lambda one: values.row(run, one),
        empty,
    )
