# SPDX-License-Identifier: Apache-2.0
"""How devices come in: `device invite|invites|revoke`."""

from typing import Annotated

import typer

from checkvalve.cli import names, output, times
from checkvalve.cli.client import reference
from checkvalve.cli.failures import UsageError
from checkvalve.cli.invocation import USUAL, All, Before, Invocation, Limit, verb
from checkvalve.protocol import fleet
from checkvalve.protocol.enrol import LinkClass


def register(group: typer.Typer) -> None:
    """Add the verbs."""
    example = 'checkvalve device invite --site "Visby waterworks" --tag pump --count 3'
    verb(group, "invite", example, scoped=True)(invite)
    verb(group, "invites", 'checkvalve device invites --scope "Norra Water"', scoped=True)(listed)
    verb(group, "revoke", "checkvalve device revoke 06e5q0kq3w8v9z2x4c6b8n0m1a")(revoke)


def invite(
    run: Invocation,
    *,
    site: Annotated[str, typer.Option(metavar="SITE", help="The site they stand at, by name.")] = "",
    tag: Annotated[list[str], typer.Option(metavar="TAG", help="They get this tag; may be said again.")] = [],  # noqa: B006
    count: Annotated[int, typer.Option(min=1, max=fleet.MOST_USES, help="How many devices.")] = 1,
    ttl: Annotated[str, typer.Option(metavar="TIME", help="How long it is good: 15m, 8h; 7d at most.")] = "60m",
    rarely: Annotated[
        bool, typer.Option("--async", help="They are not always online: one exchange each interval.")
    ] = False,
    observe: Annotated[
        bool, typer.Option("--observe", help="They report, and refuse every change; that is ended on the device only.")
    ] = False,
) -> None:
    """Let devices join at `--site` or `--scope`: print the line to type on each. Its token is shown once."""
    body = fleet.NewInvite(
        scope=_place(run, site),
        tags=tuple(tag),
        uses=count,
        minutes=_minutes(ttl),
        link=LinkClass.ASYNC if rarely else LinkClass.REMOTE,
        observe=observe,
    )
    data = run.plane.raw("POST", "/api/v1/invites", body)

    def shown(made: fleet.IssuedInvite) -> None:
        many = "one device" if made.uses == 1 else f"{made.uses} devices"
        output.say(made.command)
        output.note(f"Type this line as root on the device: it lets {many} join in {run.called(made.scope)},")
        output.note(f"until {times.short(made.ends_at)}. Its token is shown this once, and kept nowhere.")
        output.note(f"Who came: checkvalve device list. Take it back: checkvalve device revoke {made.id}")

    run.show(data, fleet.IssuedInvite, shown, lambda made: made.token)


def listed(run: Invocation, *, limit: Limit = USUAL, every: All = False, before: Before = "") -> None:
    """List invites, newest first, and what each is worth now."""
    data = run.listed("/api/v1/invites", None if every else limit, before)
    run.show_list(
        data,
        fleet.Invite,
        ("ID", "STATE", "USED", "SCOPE", "TAGS", "LINK", "ENDS", "MADE BY"),
        lambda one: (
            one.id,
            one.state,
            f"{one.used} of {one.uses}",
            run.called(one.scope),
            " ".join(one.tags),
            f"{one.link.value}, observe" if one.observe else one.link.value,
            times.short(one.ends_at),
            run.login(one.made_by),
        ),
        "There are no invites; make one with: checkvalve device invite --site SITE",
    )


def revoke(run: Invocation, invite: Annotated[str, typer.Argument(metavar="ID", help="Of `device invites`.")]) -> None:
    """Take an invite back, at once. Who came by it stays."""
    ident = reference(invite)
    run.agreed(f"Nobody joins by invite {ident} any more. Who came by it stays.", "Revoke it?")
    data = run.plane.raw("DELETE", f"/api/v1/invites/{ident}")
    run.done(data, f"Invite {ident} is revoked.")


def _place(run: Invocation, site: str) -> str:
    if bool(site) == bool(run.flags.scope):
        how = "Where they stand is said twice." if site else "Where they stand is not said."
        raise UsageError("cli.scope", how, "Give --site NAME, or --scope with the path of a site or an area.")
    path = run.scopes.path(site, "site") if site else run.required_scope()
    if path == names.ROOT:
        raise UsageError("cli.scope", "A device stands at a site or in an area.", "Give --site NAME.")
    return path


def _minutes(text: str) -> int:
    seconds = times.span(text).total_seconds()
    if not 60 <= seconds <= fleet.LONGEST * 60:
        raise UsageError(
            "cli.time", f"An invite is good for 1 minute to 7 days, not {text}.", "Write --ttl 30m, or --ttl 8h."
        )
    return int(seconds // 60)
