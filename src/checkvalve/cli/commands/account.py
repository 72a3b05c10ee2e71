# SPDX-License-Identifier: Apache-2.0
"""Who am I here: `login`, `logout`, `whoami`."""

from typing import Annotated

import typer

from checkvalve.cli import client, config, login, output, times
from checkvalve.cli.client import Client
from checkvalve.cli.config import Access, Config
from checkvalve.cli.failures import UsageError
from checkvalve.cli.invocation import Invocation, verb
from checkvalve.errors import ForbiddenError, NotFoundError, UnauthenticatedError
from checkvalve.protocol import api


def register(app: typer.Typer) -> None:
    """Add the commands that stand without a noun."""
    verb(app, "login", "checkvalve login https://plane.norra.example:9443 --login anna --pin sha256:9f2c...")(sign_in)
    verb(app, "logout", "checkvalve logout")(sign_out)
    verb(app, "whoami", "checkvalve whoami")(whoami)


def sign_in(
    run: Invocation,
    url: Annotated[str, typer.Argument(metavar="URL", help="Address of the plane.")],
    *,
    pin: Annotated[
        str, typer.Option(metavar="sha256:...", help="What `checkvalve serve` shows; asked if left out.")
    ] = "",
    name: Annotated[str, typer.Option("--login", metavar="NAME", help="Who signs in; asked if left out.")] = "",
    password_file: Annotated[
        str, typer.Option(metavar="FILE", help="File with the password; - is standard input.")
    ] = "",
    token_file: Annotated[
        str, typer.Option(metavar="FILE", help="File with an API token, instead of a password.")
    ] = "",
    system_trust: Annotated[
        bool, typer.Option("--system-trust", help="Trust what this machine trusts: company CA.")
    ] = False,
) -> None:
    """Sign in to a plane, and keep a token for 30 days.

    The plane is proved first, by its pin or by what this machine trusts; only then is a password sent.
    """
    if token_file and (password_file or name):
        raise UsageError("cli.usage", "A token says whose it is.", "Leave --login and --password-file out.")
    where = config.address(url)
    token = login.token(token_file) if token_file else ""
    access = Access(where, login.trust(run, where, pin, system=system_trust), token)
    made = login.adopt(run, access) if token else _with_password(run, access, name, password_file)
    if run.flags.as_json:
        there = Client(Access(made.url, made.ca, made.token), run.seconds)
        try:
            output.json(there.raw("GET", "/api/v1/me"))
        finally:
            there.close()
    elif not run.flags.quiet:
        output.say(f"{made.login} is signed in to {made.url}; the token is kept in {config.file(run.environ)}.")


def sign_out(
    run: Invocation,
    *,
    local: Annotated[
        bool, typer.Option("--local", help="Only forget the token here; it holds on at the plane.")
    ] = False,
    password_file: Annotated[
        str, typer.Option(metavar="FILE", help="File with the password; - is standard input.")
    ] = "",
) -> None:
    """Revoke the token that `login` keeps here, and forget it."""
    path = config.file(run.environ)
    stored = config.read(path)
    if stored is None:
        output.note("Nobody was signed in here.")
        return
    if not local:
        _revoke(run, stored, password_file)
    config.forget(path)
    ends = "; its token holds on until it ends or is revoked" if local else ", and the token is revoked"
    run.done(b"", f"{stored.login} is signed out of {stored.url}{ends}.")


def whoami(run: Invocation) -> None:
    """Show who is signed in where, with which roles."""
    data = run.plane.raw("GET", "/api/v1/me")

    def shown(me: api.Me) -> None:
        proof = f"token {me.token.label}, until {times.short(me.token.ends_at)}" if me.token else ""
        output.fields(
            [
                ("login", me.person.login),
                ("name", me.person.name),
                ("id", me.person.id),
                ("plane", run.plane.access.url),
                ("by", proof),
            ]
        )
        if me.bindings:
            rows = [(one.role, run.called(one.scope), times.short(one.not_after)) for one in me.bindings]
            output.say("")
            output.table(("ROLE", "SCOPE", "UNTIL"), rows)
        else:
            output.note("No role is held; ask whoever administers access.")

    run.show(data, api.Me, shown, lambda me: me.person.id)


def _with_password(run: Invocation, access: Access, name: str, password_file: str) -> Config:
    stored = config.read(config.file(run.environ))
    if not name and stored is not None and stored.url == access.url:
        name = stored.login
    if not name:
        if not output.interactive():
            raise UsageError("cli.login", "Who signs in is not said.", "Give --login NAME.")
        name = output.ask("Login:").strip()
    return login.issue(run, access, name, login.password(f"Password of {name}", password_file))


def _revoke(run: Invocation, stored: Config, password_file: str) -> None:
    access = Access(stored.url, stored.ca, stored.token)
    there = Client(access, client.seconds(run.environ))
    address = f"/api/v1/me/tokens/{stored.token_id}"
    try:
        there.raw("DELETE", address)
    except (UnauthenticatedError, NotFoundError):
        return  # it was revoked or has ended already
    except ForbiddenError as error:
        if error.code != "token.not_in_person":
            raise
        if not password_file and not output.interactive():
            remedy = "Give --password-file, or --local to only forget it here."
            raise UsageError(
                "cli.logout", "This plane revokes a token for its owner in person only.", remedy
            ) from error
        typed = login.password(f"Password of {stored.login}, to revoke the token", password_file)
        with login.in_person(access, stored.login, typed, run.seconds) as me:
            me.raw("DELETE", address)
    finally:
        there.close()
