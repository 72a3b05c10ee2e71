# SPDX-License-Identifier: Apache-2.0
"""What of one's own lets in: `token list|create|revoke`, `session list|end`."""

from typing import Annotated

import typer

from checkvalve import clock
from checkvalve.cli import login, output, times
from checkvalve.cli.client import reference
from checkvalve.cli.invocation import Invocation, noun, verb
from checkvalve.protocol import api

PasswordFile = Annotated[
    str,
    typer.Option(
        metavar="FILE", help="File with your password, where the plane wants you in person; - is standard input."
    ),
]
Id = Annotated[str, typer.Argument(metavar="ID", help="Of the list.")]


def register(app: typer.Typer) -> None:
    """Add both nouns."""
    tokens = noun(app, "token", "Your own API tokens, for programs.")
    verb(tokens, "list", "checkvalve token list")(listed)
    verb(
        tokens,
        "create",
        'checkvalve token create "historian export" --until 90d --permission rollout.read',
        scoped=True,
    )(create)
    verb(tokens, "revoke", "checkvalve token revoke 06e5q0kq3w8v9z2x4c6b8n0m1a")(revoke)
    sessions = noun(app, "session", "Your own signed-in browsers.")
    verb(sessions, "list", "checkvalve session list")(sessions_listed)
    verb(sessions, "end", "checkvalve session end 06e5q0kq3w8v9z2x4c6b8n0m1a")(end)


def listed(run: Invocation, *, password_file: PasswordFile = "") -> None:
    """List your API tokens that count now."""
    data = login.personally(run, password_file, lambda there: there.raw("GET", "/api/v1/me/tokens"))
    run.show_list(
        data,
        api.Token,
        ("ID", "LABEL", "SCOPE", "ALLOWS", "ENDS", "LAST USED"),
        lambda one: (
            one.id,
            one.label,
            run.called(one.scope),
            "all that you may" if one.permissions is None else " ".join(one.permissions),
            times.short(one.ends_at),
            times.short(one.used_at),
        ),
        "You have no API tokens; make one with: checkvalve token create LABEL",
    )


def create(
    run: Invocation,
    label: Annotated[str, typer.Argument(metavar="LABEL", help="Where it is used.")],
    *,
    until: Annotated[str, typer.Option(metavar="WHEN", help="2026-11-03, or 90d from now.")] = "30d",
    permission: Annotated[
        list[str], typer.Option(metavar="NAME", help="This only, such as rollout.read; may be said again.")
    ] = [],  # noqa: B006
    password_file: PasswordFile = "",
) -> None:
    """Make an API token: it may at most what you may, below `--scope`. Its secret is shown once."""
    body = api.NewToken(
        label=label,
        ends_at=times.after(until, clock.now()),
        scope=run.within(),
        permissions=list(permission) or None,
    )
    data = login.personally(run, password_file, lambda there: there.raw("POST", "/api/v1/me/tokens", body))

    def shown(made: api.IssuedToken) -> None:
        output.say(made.secret)
        output.note("This is the token's secret. It is shown this once, and kept nowhere: store it now.")
        output.note(
            f"It ends {times.short(made.token.ends_at)}; revoke it with: checkvalve token revoke {made.token.id}"
        )

    run.show(data, api.IssuedToken, shown, lambda made: made.secret)


def revoke(run: Invocation, token: Id, *, password_file: PasswordFile = "") -> None:
    """Take one of your API tokens away, at once."""
    token = reference(token)
    run.agreed(f"What uses token {token} is shut out now.", "Revoke it?")
    data = login.personally(run, password_file, lambda there: there.raw("DELETE", f"/api/v1/me/tokens/{token}"))
    run.done(data, f"Token {token} is revoked.")


def sessions_listed(run: Invocation, *, password_file: PasswordFile = "") -> None:
    """List your sessions that count now."""
    data = login.personally(run, password_file, lambda there: there.raw("GET", "/api/v1/me/sessions"))
    run.show_list(
        data,
        api.Session,
        ("ID", "ADDRESS", "PROGRAM", "SINCE", "LAST SEEN", "ENDS"),
        lambda one: (
            one.id,
            one.address,
            one.agent + (" (this one)" if one.this else ""),
            times.short(one.made_at),
            times.short(one.seen_at),
            times.short(one.ends_at),
        ),
        "You are signed in nowhere else; tokens are not sessions, see: checkvalve token list",
    )


def end(run: Invocation, session: Id, *, password_file: PasswordFile = "") -> None:
    """End one of your sessions."""
    session = reference(session)
    data = login.personally(run, password_file, lambda there: there.raw("DELETE", f"/api/v1/me/sessions/{session}"))
    run.done(data, f"Session {session} has ended.")
