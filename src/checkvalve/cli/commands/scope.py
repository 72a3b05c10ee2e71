# SPDX-License-Identifier: Apache-2.0
"""The tree of organisations, sites and areas: `scope list|create|rename`."""

from enum import StrEnum
from typing import Annotated

import typer

from checkvalve.cli import client, names
from checkvalve.cli.failures import UsageError
from checkvalve.cli.invocation import Invocation, noun, verb
from checkvalve.protocol import api


class Kind(StrEnum):
    """What can be made."""

    organisation = "organisation"
    site = "site"
    area = "area"


def register(app: typer.Typer) -> None:
    """Add the noun."""
    group = noun(app, "scope", "Organisations, sites and areas.")
    verb(group, "list", 'checkvalve scope list --scope "Norra Water"', scoped=True)(listed)
    verb(group, "create", 'checkvalve scope create site Visby --scope "Norra Water"', scoped=True)(create)
    verb(group, "rename", 'checkvalve scope rename "Norra Water/Visby" "Visby waterworks"')(rename)


def listed(run: Invocation) -> None:
    """List the tree, as far as you may see it."""
    data = run.listed("/api/v1/scopes", None)
    found = client.decode(data, api.Page[api.Scope]).items
    tree = names.Scopes.of(found)
    run.show_list(
        data,
        api.Scope,
        ("ID", "KIND", "NAME"),
        lambda one: (one.id, one.kind, run.called(one.path) if run.flags.scope else tree.called(one.path)),
        "There are no scopes yet; begin with: checkvalve scope create organisation NAME",
    )


def create(
    run: Invocation,
    kind: Annotated[Kind, typer.Argument(metavar="KIND", help="organisation, site or area.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="What people on site call it.")],
) -> None:
    """Make an organisation; a site in one; an area in a site or area. `--scope` says in which."""
    if kind is not Kind.organisation and not run.flags.scope:
        raise UsageError("cli.scope", f"Where the {kind} stands is not said.", "Give --scope NAME.")
    parent = run.within()
    body = api.NewScope(parent=parent, kind=kind.value, name=name)
    data = run.plane.raw("POST", "/api/v1/scopes", body)
    run.show(
        data, api.Scope, lambda made: run.done(data, f"Made {made.kind} {made.name}  {made.path}"), lambda made: made.id
    )


def rename(
    run: Invocation,
    which: Annotated[str, typer.Argument(metavar="SCOPE", help="Name or path.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="The new name.")],
) -> None:
    """Give a scope another name; its path stays."""
    path = run.path(which)
    if path == names.ROOT:
        raise UsageError(
            "cli.scope", "The plane itself is named in its settings.", "Name an organisation, site or area."
        )
    scope_id = path.strip("/").rpartition("/")[2]
    data = run.plane.raw("PATCH", f"/api/v1/scopes/{scope_id}", api.ScopeName(name=name))
    run.show(data, api.Scope, lambda made: run.done(data, f"It is called {made.name} now."), lambda made: made.id)
