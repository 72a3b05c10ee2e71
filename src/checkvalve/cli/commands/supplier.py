# SPDX-License-Identifier: Apache-2.0
"""Whom one buys from, and what they said: `supplier list|add|show|change|end|record|sovereignty|export`."""

from datetime import date
from pathlib import Path
from typing import Annotated
from urllib.parse import urlencode

import typer

from checkvalve.cli import output, times
from checkvalve.cli.client import reference
from checkvalve.cli.failures import UsageError
from checkvalve.cli.invocation import USUAL, All, Before, Invocation, Limit, noun, verb
from checkvalve.protocol import suppliers as forms

LARGEST = 64 << 20  # bytes of an export
Ident = Annotated[str, typer.Argument(metavar="ID", help="Of `supplier list`.")]
Name = Annotated[str, typer.Option(metavar="NAME", help="What they are called.")]
Contact = Annotated[str, typer.Option(metavar="TEXT", help="Whom to ask.")]
Supplies = Annotated[str, typer.Option(metavar="TEXT", help="What they supply.")]
Support = Annotated[str, typer.Option(metavar="DATE", help="Last day of support, as 2031-12-31; `none` takes it away.")]


def register(app: typer.Typer) -> None:
    """Add the noun."""
    group = noun(app, "supplier", "Whom you buy from, and what they said to what you ask of them.")
    ident = "06e5q0kq3w8v9z2x4c6b8n0m1a"
    verb(group, "list", 'checkvalve supplier list --scope "Norra Water"', scoped=True)(listed)
    verb(group, "add", 'checkvalve supplier add "Norra Water" "Pumpline AB" --support-end 2031-12-31')(add)
    verb(group, "show", f"checkvalve supplier show {ident}")(show)
    verb(group, "change", f"checkvalve supplier change {ident} --contact 'Ulla, +46 8 123'")(change)
    verb(group, "end", f"checkvalve supplier end {ident} --reason 'contract ended'")(end)
    verb(group, "record", f"checkvalve supplier record {ident} {ident} agreed")(record)
    verb(group, "sovereignty", "checkvalve supplier sovereignty", scoped=True)(sovereignty)
    verb(group, "export", "checkvalve supplier export suppliers.csv", scoped=True)(export)


def listed(run: Invocation, *, limit: Limit = USUAL, every: All = False, before: Before = "") -> None:
    """List suppliers, newest first."""
    data = run.listed("/api/v1/suppliers", None if every else limit, before)
    run.show_list(
        data,
        forms.Supplier,
        ("ID", "WHERE", "NAME", "SUPPLIES", "SUPPORT ENDS", "SAID"),
        lambda one: (
            one.id,
            one.where,
            one.name if one.ended_at is None else f"{one.name} (ended)",
            one.supplies or "-",
            str(one.support_end or "-"),
            _said(one) or "-",
        ),
        "Nobody is listed yet; begin with: checkvalve supplier add ORGANISATION NAME",
    )


def add(
    run: Invocation,
    place: Annotated[str, typer.Argument(metavar="ORGANISATION", help="Who buys.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="What they are called.")],
    *,
    contact: Contact = "",
    supplies: Supplies = "",
    support_end: Support = "",
) -> None:
    """Add a supplier to an organisation."""
    body = forms.NewSupplier(
        scope=run.path(place), name=name, contact=contact, supplies=supplies, support_end=_date(support_end)
    )
    data = run.plane.raw("POST", "/api/v1/suppliers", body)
    run.show(data, forms.Supplier, lambda one: output.say(f"Supplier {one.id}, {one.name}, was added."), _ident)


def show(run: Invocation, supplier: Ident) -> None:
    """Show a supplier with all that they said."""
    run.show(run.plane.raw("GET", _at(supplier)), forms.Supplier, _told, _ident)


def change(
    run: Invocation,
    supplier: Ident,
    *,
    name: Name = "",
    contact: Contact = "",
    supplies: Supplies = "",
    support_end: Support = "",
) -> None:
    """Change a supplier; what is left out stays as it is."""
    none = support_end == "none"
    body = forms.SupplierChange(
        name=name or None,
        contact=contact or None,
        supplies=supplies or None,
        support_end=None if none else _date(support_end),
        no_support_end=none,
    )
    run.show(run.plane.raw("POST", _at(supplier), body), forms.Supplier, _told, _ident)


def end(
    run: Invocation,
    supplier: Ident,
    *,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why it ends; it stands in the record.")],
) -> None:
    """Say that nothing is bought from a supplier any more; what they said stays readable."""
    data = run.plane.raw("POST", _at(supplier, "end"), forms.Ending(why=reason))
    run.show(data, forms.Supplier, lambda one: output.say(f"{one.name} is no supplier any more."), _ident)


def record(
    run: Invocation,
    supplier: Ident,
    document: Annotated[str, typer.Argument(metavar="DOCUMENT", help="Of `document list`; one in force.")],
    said: Annotated[str, typer.Argument(metavar="WHAT", help="sent, answered, agreed or refused.")],
    *,
    note: Annotated[str, typer.Option(metavar="TEXT", help="Such as where the answer is kept.")] = "",
) -> None:
    """Record what a supplier said to a document in force."""
    body = forms.Saying(document=reference(document), said=said, note=note)
    run.show(run.plane.raw("POST", _at(supplier, "agreements"), body), forms.Supplier, _told, _ident)


def sovereignty(run: Invocation) -> None:
    """Say how far sovereignty is a condition of buying, organisation by organisation."""
    data = run.plane.raw("GET", "/api/v1/suppliers/sovereignty", query={"scope": run.within()})
    run.show_list(
        data,
        forms.Sovereignty,
        ("WHERE", "STAGE", "WHY"),
        lambda one: (one.where, one.stage, one.reason),
        "There is no organisation that you see.",
    )


def export(
    run: Invocation,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write it; it must not exist.")],
) -> None:
    """Write suppliers to a CSV file for spreadsheets."""
    data = run.plane.document(f"/api/v1/suppliers/export?{urlencode({'scope': run.within()})}", LARGEST)
    try:
        with file.open("xb") as out:
            out.write(data)
    except OSError as error:
        raise UsageError("cli.file", f"{file} cannot be written: {error.strerror}.", "Name another file.") from error
    output.say(f"{file} has the suppliers.")


def _told(one: forms.Supplier) -> None:
    output.say(f"{one.name}, {one.where}: {one.supplies or 'nothing is said about what they supply'}")
    output.table(
        ("WHEN", "DOCUMENT", "SAID", "NOTE"),
        [(times.short(each.at), f"{each.kind} {each.version}", each.said, each.note or "-") for each in one.agreements],
    )


def _said(one: forms.Supplier) -> str:
    return ", ".join(f"{each.kind} {each.version} {each.said}" for each in one.agreements if each.counts)


def _date(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError as error:
        raise UsageError("cli.date", f"{text!r} is no date.", "Write it as 2031-12-31.") from error


def _ident(one: forms.Supplier) -> str:
    return one.id


def _at(supplier: str, *more: str) -> str:
    return "/".join(("/api/v1/suppliers", reference(supplier), *more))
