# SPDX-License-Identifier: Apache-2.0
"""People who may sign in: `person list|show|create|rename|disable|enable|password`."""

from typing import Annotated

import typer

from checkvalve.cli import login, output, times
from checkvalve.cli.invocation import USUAL, All, Invocation, Limit, noun, verb
from checkvalve.errors import ForbiddenError
from checkvalve.protocol import api

Who = Annotated[str, typer.Argument(metavar="PERSON", help="Login or id.")]
PasswordFile = Annotated[str, typer.Option(metavar="FILE", help="File with the new password; - is standard input.")]


def register(app: typer.Typer) -> None:
    """Add the noun."""
    group = noun(app, "person", "People, and whether they may sign in.")
    verb(group, "list", "checkvalve person list", scoped=True)(listed)
    verb(group, "show", "checkvalve person show anna")(show)
    verb(group, "create", 'checkvalve person create anna --name "Anna Berg" --scope "Norra Water"', scoped=True)(create)
    verb(group, "rename", 'checkvalve person rename anna "Anna Ek"')(rename)
    verb(group, "disable", "checkvalve person disable anna")(disable)
    verb(group, "enable", "checkvalve person enable anna")(enable)
    verb(group, "password", "checkvalve person password anna --password-file new.txt")(password)


def listed(
    run: Invocation,
    *,
    limit: Limit = USUAL,
    every: All = False,
    after: Annotated[str, typer.Option(metavar="LOGIN", help="Go on after this one.")] = "",
) -> None:
    """List the people at home where you may see, or within `--scope`, by login."""
    data = run.listed("/api/v1/people", None if every else limit, after, "after")
    run.show_list(
        data,
        api.Person,
        ("ID", "LOGIN", "NAME", "HOME", "DISABLED"),
        lambda one: (one.id, one.login, one.name, run.called(one.home), times.short(one.disabled_at)),
        "There is nobody here; make someone with: checkvalve person create LOGIN --name NAME --scope SCOPE",
        "after",
    )


def show(run: Invocation, who: Who) -> None:
    """Show a person and the roles they hold."""
    data = run.plane.raw("GET", f"/api/v1/people/{run.person(who).id}")

    def shown(one: api.Person) -> None:
        output.fields(
            [
                ("login", one.login),
                ("name", one.name),
                ("id", one.id),
                ("home", run.called(one.home)),
                ("made", times.short(one.made_at)),
                ("disabled", times.short(one.disabled_at) if one.disabled_at else ""),
            ]
        )
        try:
            held = run.every("/api/v1/bindings", api.Binding, "after", person=one.id)
        except ForbiddenError:
            return  # may see people, and not what they may do
        output.say("")
        rows = [(each.role, run.called(each.scope), times.short(each.not_after)) for each in held]
        if rows:
            output.table(("ROLE", "SCOPE", "UNTIL"), rows)
        else:
            output.note(f"No role is held that you may see; give one with: checkvalve binding create {one.login} ROLE")

    run.show(data, api.Person, shown, lambda one: one.id)


def create(
    run: Invocation,
    who: Annotated[str, typer.Argument(metavar="LOGIN", help="What they sign in as.")],
    *,
    name: Annotated[str, typer.Option(help="What colleagues call them.")],
    password_file: PasswordFile = "",
) -> None:
    """Make a person who may sign in and holds no role yet. `--scope` says where they are at home."""
    home = run.within()
    typed = login.password(f"First password of {who}", password_file, twice=True)
    body = api.NewPerson(login=who, name=name, home=home, password=typed)
    data = run.plane.raw("POST", "/api/v1/people", body)
    sentence = "Made {}  {}\nThey hold no role yet; next: checkvalve binding create {} ROLE --scope SCOPE"

    def shown(made: api.Person) -> None:
        for line in sentence.format(made.login, made.id, made.login).split("\n"):
            output.say(line)

    run.show(data, api.Person, shown, lambda made: made.id)


def rename(
    run: Invocation, who: Who, name: Annotated[str, typer.Argument(metavar="NAME", help="What colleagues call them.")]
) -> None:
    """Give a person another name; what they sign in as stays."""
    person = run.person(who)
    data = run.plane.raw("POST", f"/api/v1/people/{person.id}/name", api.PersonName(name=name))
    run.show(
        data,
        api.Person,
        lambda made: run.done(data, f"{made.login} is called {made.name} now."),
        lambda made: made.id,
    )


def disable(run: Invocation, who: Who) -> None:
    """Shut a person out: their sessions end now, their tokens stop."""
    person = run.person(who)
    run.agreed(f"{person.login} ({person.name}) loses all sessions and tokens now.", f"Shut {person.login} out?")
    data = run.plane.raw("POST", f"/api/v1/people/{person.id}/disable")
    run.done(data, f"{person.login} is shut out. Let in again with: checkvalve person enable {person.login}")


def enable(run: Invocation, who: Who) -> None:
    """Let a person in again, with the roles that still hold."""
    person = run.person(who)
    data = run.plane.raw("POST", f"/api/v1/people/{person.id}/enable")
    run.done(data, f"{person.login} may sign in again.")


def password(
    run: Invocation,
    who: Who,
    *,
    password_file: PasswordFile = "",
    old_password_file: Annotated[str, typer.Option(metavar="FILE", help="Your own: file with the present one.")] = "",
) -> None:
    """Give a person another password, which ends their sessions; or change your own."""
    me = run.plane.get("/api/v1/me", api.Me).person
    if who.strip().casefold() in {me.login, me.id}:
        _own(run, me, old_password_file, password_file)
        return
    person = run.person(who)
    typed = login.password(f"New password of {person.login}", password_file, twice=True)
    data = run.plane.raw("POST", f"/api/v1/people/{person.id}/password", api.NewPassword(password=typed))
    run.done(data, f"{person.login} has another password, and was signed out everywhere.")


def _own(run: Invocation, me: api.Person, old_file: str, new_file: str) -> None:
    old = login.password("Present password", old_file)
    new = login.password("New password", new_file, twice=True)
    with login.in_person(run.plane.access, me.login, old, run.seconds) as there:
        data = there.raw("POST", "/api/v1/me/password", api.OwnPassword(old=old, new=new))
    run.done(data, "Your password is changed; your other sessions have ended.")
