# SPDX-License-Identifier: Apache-2.0
"""What happened: `audit list|show`."""

from typing import Annotated

import msgspec
import typer

from checkvalve import clock, ids
from checkvalve.cli import output, times
from checkvalve.cli.client import reference
from checkvalve.cli.failures import UnverifiedError
from checkvalve.cli.invocation import USUAL, All, Before, Invocation, Limit, noun, verb
from checkvalve.crypto import merkle
from checkvalve.protocol import api


def register(app: typer.Typer) -> None:
    """Add the noun."""
    group = noun(app, "audit", "The record of what happened.")
    verb(group, "list", "checkvalve audit list --action rollout. --since 7d", scoped=True)(listed)
    verb(group, "show", "checkvalve audit show 06e5q0kq3w8v9z2x4c6b8n0m1a")(show)


def listed(
    run: Invocation,
    *,
    action: Annotated[str, typer.Option(metavar="BEGINNING", help="Such as rollout. or session.sign_in")] = "",
    subject: Annotated[str, typer.Option(metavar="KIND:ID", help="Such as rollout:06e5q0...")] = "",
    actor: Annotated[str, typer.Option(metavar="PERSON", help="Who did it: login or id.")] = "",
    since: Annotated[str, typer.Option(metavar="WHEN", help="2026-11-03, or 12h ago.")] = "",
    limit: Limit = USUAL,
    every: All = False,
    before: Before = "",
) -> None:
    """List entries, newest first."""
    query: dict[str, str] = {}
    if action:
        query["action"] = action
    if subject:
        query["subject"] = subject
    if actor:
        query["actor"] = actor if ids.well_formed(actor) else run.person(actor).id
    if since:
        query["since"] = times.before(since, clock.now()).isoformat()
    data = run.listed("/api/v1/audit", None if every else limit, before, **query)
    run.show_list(
        data,
        api.Entry,
        ("ID", "AT", "WHO", "ACTION", "KIND", "SUBJECT", "SCOPE"),
        lambda one: (
            one.id,
            times.short(one.at),
            one.actor.name,
            one.action,
            one.kind,
            one.subject,
            run.called(one.scope),
        ),
        "No entry of the record is like that, or you may not see it.",
    )


def show(
    run: Invocation,
    entry: Annotated[str, typer.Argument(metavar="ID", help="Of `audit list`.")],
    *,
    raw: Annotated[
        bool, typer.Option("--raw", help="Print its final bytes, once they are compared with its hash.")
    ] = False,
) -> None:
    """Show an entry with all its facts."""
    if raw:
        output.exact(_compared(run, reference(entry)))
        return
    data = run.plane.raw("GET", f"/api/v1/audit/{reference(entry)}")

    def shown(one: api.Entry) -> None:
        output.fields(
            [
                ("id", one.id),
                ("at", one.at),
                ("who", f"{one.actor.kind} {one.actor.name}  {one.actor.id}"),
                ("action", one.action),
                ("kind", one.kind),
                ("subject", one.subject),
                ("scope", f"{run.called(one.scope)}  {one.scope}"),
                ("reason", one.reason),
                ("request", one.request),
                ("bindings", " ".join(one.bindings)),
                ("leaf", one.leaf_hash),
            ]
        )
        output.fields([(f"  {name}", _told(value)) for name, value in sorted(one.facts.items())])

    run.show(data, api.Entry, shown, lambda one: one.id)


def _compared(run: Invocation, entry_id: str) -> bytes:
    """Return the bytes of an entry; `UnverifiedError` (`entry.differs`) if their hash is not the one it was given."""
    told = run.plane.get(f"/api/v1/audit/{entry_id}", api.Entry)
    data = run.plane.raw("GET", f"/api/v1/audit/{entry_id}/raw")
    if merkle.leaf_hash(data).hex() != told.leaf_hash:
        raise UnverifiedError(
            "entry.differs",
            "The entry's bytes do not have the hash that the plane gives for it.",
            "Keep both answers, and have the plane and what stands before it looked at.",
        )
    return data


def _told(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
