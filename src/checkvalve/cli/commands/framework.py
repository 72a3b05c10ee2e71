# SPDX-License-Identifier: Apache-2.0
"""What laws and standards ask, and what is measured: `framework list|show|checks`."""

from typing import Annotated

import typer

from checkvalve.cli.failures import UsageError
from checkvalve.cli.invocation import Invocation, noun, verb
from checkvalve.protocol import frameworks as forms

State = Annotated[str, typer.Option(metavar="STATE", help="pass, fail, error, stale, not_enough_data, not_applicable.")]


def register(app: typer.Typer) -> None:
    """Add the noun."""
    group = noun(app, "framework", "What laws, standards and customers ask, and which checks answer it.")
    verb(group, "list", "checkvalve framework list")(listed)
    verb(group, "show", "checkvalve framework show nis2 --state not_enough_data")(show)
    verb(group, "checks", "checkvalve framework checks --subject patch")(checks)


def listed(run: Invocation) -> None:
    """List frameworks, with how many of their requirements are in which state."""
    run.show_list(
        run.plane.raw("GET", "/api/v1/frameworks"),
        forms.Framework,
        ("ID", "NAME", "VERSION", "FROM", "ASKS", "KNOWN"),
        lambda one: (
            one.id,
            one.name,
            one.version,
            str(one.valid_from or "-"),
            str(one.requirements),
            ", ".join(f"{each.number} {_word(each.state)}" for each in one.counts),
        ),
        "There is no framework.",
    )


def show(
    run: Invocation,
    framework: Annotated[str, typer.Argument(metavar="ID", help="Of `framework list`.")],
    *,
    state: State = "",
) -> None:
    """Show what a framework asks, and what is known about each."""
    if not framework:
        raise UsageError("cli.framework", "Which framework is not said.", "Name one of `framework list`.")
    query = {"framework": framework, "state": state}
    run.show_list(
        run.plane.raw("GET", "/api/v1/frameworks/requirements", query=query),
        forms.Requirement,
        ("CLAUSE", "ASKS", "WHO", "CHECKS", "KNOWN"),
        lambda one: (one.id, one.asks, one.who, ", ".join(one.checks), _word(one.state)),
        "Nothing it asks is in this state.",
    )


def checks(
    run: Invocation,
    *,
    subject: Annotated[str, typer.Option(metavar="ID", help="Such as patch, access or audit.")] = "",
    state: State = "",
) -> None:
    """List what can be measured, and what is known."""
    run.show_list(
        run.plane.raw("GET", "/api/v1/frameworks/checks", query={"subject": subject, "state": state}),
        forms.Check,
        ("ID", "SUBJECT", "KNOWN", "COUNTS"),
        lambda one: (one.id, one.subject, _word(one.state), one.asks),
        "No check is like this.",
    )


def _word(state: str) -> str:
    return state.replace("_", " ") or "only declared"
