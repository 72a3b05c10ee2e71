# SPDX-License-Identifier: Apache-2.0
"""The draft of the list of what may run: `release draft|discard|withdraw|floor|renew`."""

from typing import Annotated

import typer

from checkvalve.cli import client, output, releases
from checkvalve.cli.invocation import Invocation, verb
from checkvalve.protocol import api, supply

Which = Annotated[str, typer.Argument(metavar="RELEASE", help="name@version, or the id, of `release list`.")]
Reason = Annotated[str, typer.Option(metavar="TEXT", help="What signers read; it stands in the record.")]


def register(group: typer.Typer) -> None:
    """Add the verbs."""
    verb(group, "draft", "checkvalve release draft")(draft)
    verb(group, "discard", "checkvalve release discard")(discard)
    withdrawn = 'checkvalve release withdraw pump-station@2.4.0 --reason "CVE-2026-1234"'
    verb(group, "withdraw", withdrawn, scoped=True)(withdraw)
    floored = 'checkvalve release floor pump-station@2.4.1 --reason "CVE-2026-1234"'
    verb(group, "floor", floored, scoped=True)(floor)
    verb(group, "renew", 'checkvalve release renew --scope "Norra Water"', scoped=True)(renew)


def draft(run: Invocation) -> None:
    """Show what waits for signatures: what it changes, who has signed, and who may still."""
    found = releases.required_draft(run)
    data = run.plane.raw("GET", f"/api/v1/drafts/{client.reference(found.id)}")
    run.show(data, supply.Draft, lambda one: releases.draft(run, one, output.say), lambda one: one.id)


def discard(run: Invocation) -> None:
    """Give the draft up; the releases that waited in it are discarded, for ever."""
    found = releases.required_draft(run)
    if not run.flags.yes:
        releases.draft(run, found, output.note)
    lost = ", ".join(f"{one.name} {one.version}" for one in found.changes if one.kind == "add")
    run.agreed(f"Discard it, and {lost} with it?" if lost else "Discard it?")
    data = run.plane.raw("POST", f"/api/v1/drafts/{client.reference(found.id)}/discard")
    run.done(data, "The draft is discarded; what may run is what it was.")


def withdraw(run: Invocation, release: Which, *, reason: Reason) -> None:
    """Take a release off the list of what may run."""
    one = releases.release(run, release)
    run.agreed(
        f"{one.name} {one.version} ({one.ref}) leaves the list once enough people have signed.",
        "No device takes it after that. Where it runs it goes on.",
        "Put that into the draft?",
    )
    _changed(run, f"/api/v1/releases/{one.id}/withdraw", supply.NewWithdrawal(reason=reason))


def floor(run: Invocation, release: Which, *, reason: Reason) -> None:
    """Let no device take anything older than a release. That is for ever."""
    one = releases.release(run, release)
    run.agreed(
        f"No device takes a {one.name} older than {one.version} (number {one.number}) any more,",
        "once enough people have signed: no rollback goes behind it, and nobody can lower it again.",
        "Put that into the draft?",
    )
    _changed(run, f"/api/v1/releases/{one.id}/floor", supply.NewFloor(reason=reason))


def renew(run: Invocation) -> None:
    """Open a draft that changes nothing but how long the list is good. People of `--scope` sign it."""
    scope = run.required_scope()
    run.agreed("The list stays as it is, and is good for another year once it is signed.", "Open a draft for that?")
    _changed(run, "/api/v1/drafts", supply.NewDraft(scope=scope))


def _changed(run: Invocation, path: str, body: api.Request) -> None:
    data = run.plane.raw("POST", path, body)

    def shown(one: supply.Draft) -> None:
        output.say(f"It waits in draft {one.id}; signatures: {len(one.signatures)} of {one.needed}.")
        output.say("Each signer: checkvalve release sign --key NAME.key")

    run.show(data, supply.Draft, shown, lambda one: one.id)
