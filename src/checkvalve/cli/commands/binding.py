# SPDX-License-Identifier: Apache-2.0
"""Roles, and who holds which where: `role list`, `binding list|create|revoke`."""

from typing import Annotated

import typer

from checkvalve import clock
from checkvalve.cli import client, output, times
from checkvalve.cli.invocation import USUAL, All, Invocation, Limit, noun, verb
from checkvalve.errors import NotFoundError
from checkvalve.protocol import api


def register(app: typer.Typer) -> None:
    """Add both nouns."""
    verb(noun(app, "role", "What people can be allowed."), "list", "checkvalve role list")(roles)
    group = noun(app, "binding", "Who holds which role where.")
    verb(group, "list", "checkvalve binding list --person anna", scoped=True)(listed)
    verb(group, "create", 'checkvalve binding create anna operator --scope "Norra Water" --until 7d', scoped=True)(
        create
    )
    verb(group, "revoke", "checkvalve binding revoke 06e5q0kq3w8v9z2x4c6b8n0m1a")(revoke)


def roles(run: Invocation) -> None:
    """List the roles there are, and what each allows."""
    data = run.plane.raw("GET", "/api/v1/roles")
    if run.flags.quiet and not run.flags.as_json:
        for one in client.decode(data, api.Page[api.Role]).items:
            output.say(one.name)
        return
    run.show_list(
        data,
        api.Role,
        ("ROLE", "WHAT IT IS FOR", "ALLOWS"),
        lambda one: (one.name, one.sentence, " ".join(one.permissions)),
        "There are no roles.",
    )


def listed(
    run: Invocation,
    *,
    person: Annotated[str, typer.Option(metavar="PERSON", help="Of this person only: login or id.")] = "",
    limit: Limit = USUAL,
    every: All = False,
    after: Annotated[str, typer.Option(metavar="ID", help="Go on after this one.")] = "",
) -> None:
    """List who holds which role where, or within `--scope`, oldest first."""
    whose = run.person(person).id if person else ""
    data = run.listed("/api/v1/bindings", None if every else limit, after, "after", person=whose)
    run.show_list(
        data,
        api.Binding,
        ("ID", "PERSON", "ROLE", "SCOPE", "FROM", "UNTIL", "NETWORKS"),
        lambda one: (
            one.id,
            run.login(one.person),
            one.role,
            run.called(one.scope),
            times.short(one.not_before),
            times.short(one.not_after),
            " ".join(one.networks) or "any",
        ),
        "Nobody holds a role there; give one with: checkvalve binding create PERSON ROLE --scope SCOPE",
        "after",
    )


def create(
    run: Invocation,
    who: Annotated[str, typer.Argument(metavar="PERSON", help="Login or id.")],
    role: Annotated[str, typer.Argument(metavar="ROLE", help="One of `checkvalve role list`.")],
    *,
    since: Annotated[str, typer.Option("--from", metavar="WHEN", help="2026-11-03, or 12h from now.")] = "",
    until: Annotated[str, typer.Option(metavar="WHEN", help="2026-11-03, or 7d from now.")] = "",
    network: Annotated[list[str], typer.Option(metavar="CIDR", help="From there only; may be said again.")] = [],  # noqa: B006
) -> None:
    """Give a role to a person in `--scope` and all below it; the whole plane only with `--scope /`."""
    scope = run.required_scope()
    now = clock.now()
    body = api.NewBinding(
        person=run.person(who).id,
        role=role,
        scope=scope,
        not_before=times.after(since, now) if since else None,
        not_after=times.after(until, now) if until else None,
        networks=list(network),
    )
    data = run.plane.raw("POST", "/api/v1/bindings", body)
    run.show(
        data,
        api.Binding,
        lambda made: output.say(f"{who} is {made.role} in {run.called(made.scope)} now.  {made.id}"),
        lambda made: made.id,
    )


def revoke(run: Invocation, binding: Annotated[str, typer.Argument(metavar="ID", help="Of `binding list`.")]) -> None:
    """Take a role away, at once and for every open page and token."""
    found = [one for one in run.every("/api/v1/bindings", api.Binding, "after") if one.id == binding]
    if not found:
        raise NotFoundError(
            "binding.not_found",
            f"There is no binding {binding!r} that you may see.",
            "Look with: checkvalve binding list",
        )
    who, where = run.login(found[0].person), run.called(found[0].scope)
    run.agreed(f"{who} loses the role {found[0].role} in {where} now.", "Take it away?")
    data = run.plane.raw("DELETE", f"/api/v1/bindings/{binding}")
    run.done(data, f"{who} is no longer {found[0].role} in {where}.")
