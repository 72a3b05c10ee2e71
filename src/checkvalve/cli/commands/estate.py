# SPDX-License-Identifier: Apache-2.0
"""What there is at each place, managed or not: `estate show|declare|import|export|history`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated
from urllib.parse import urlencode

import typer

from checkvalve import clock
from checkvalve.cli import client, files, output, times
from checkvalve.cli.failures import UsageError
from checkvalve.cli.invocation import USUAL, All, Before, Invocation, Limit, noun, verb
from checkvalve.protocol import estate

LARGEST = 1 << 20  # bytes of a file that is brought
LARGEST_EXPORT = 64 << 20  # bytes
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what it would change, and change nothing.")]
At = Annotated[str, typer.Option("--at", metavar="PLACE", help="Organisation, site or area.")]
ClassName = Annotated[str, typer.Argument(metavar="CLASS", help="A word or two, in any case: PLC, press gateway.")]


class Kind(StrEnum):
    """What a class is."""

    device = "device"
    legacy = "legacy"


def register(app: typer.Typer) -> None:
    """Add the noun."""
    group = noun(app, "estate", "What there is at each place, managed or not: what every percentage divides by.")
    verb(group, "show", 'checkvalve estate show --scope "Norra Water"', scoped=True)(show)
    example = 'checkvalve estate declare PLC 640 --at "Norra Water/Visby" --note "counted in May"'
    verb(group, "declare", example)(declare)
    verb(group, "import", "checkvalve estate import estate.csv --dry-run", scoped=True)(import_)
    verb(group, "export", 'checkvalve estate export --scope "Norra Water" --out estate.csv', scoped=True)(export)
    verb(group, "history", 'checkvalve estate history PLC --at "Norra Water/Visby"', scoped=True)(history)


def show(
    run: Invocation,
    *,
    on: Annotated[
        str,
        typer.Option(
            "--on", metavar="WHEN", help="As it was declared then: 2026-11-03T14:00Z, or 30d for so long ago."
        ),
    ] = "",
    limit: Limit = USUAL,
    after: Annotated[str, typer.Option(metavar="ID", help="Classes after this one.")] = "",
) -> None:
    """Show what is declared site by site, how much of it is managed, and the classes."""
    query: dict[str, client.Asked] = {"scope": run.within(), "limit": min(limit, 500)}
    query |= ({"after": client.reference(after)} if after else {}) | (
        {"at": times.before(on, clock.now()).isoformat()} if on else {}
    )
    data = run.plane.raw("GET", "/api/v1/estate", query=query)
    run.show(data, estate.Estate, _show, lambda found: "\n".join(one.id for one in found.items))


def declare(
    run: Invocation,
    name: ClassName,
    number: Annotated[int, typer.Argument(metavar="NUMBER", min=0, max=1_000_000, help="How many; 0 ends the class.")],
    *,
    at: At,
    kind: Annotated[
        Kind, typer.Option(help="Could it run the agent, or does it stand behind a gateway?")
    ] = Kind.device,
    note: Annotated[str, typer.Option(help="Where the number comes from.")] = "",
) -> None:
    """Declare how many of a class there are at `--at`. The former number stays in the history."""
    body = estate.NewDeclaration(scope=run.path(at), kind=kind.value, class_name=name, number=number, note=note)
    data = run.plane.raw("POST", "/api/v1/estate", body)
    run.show(data, estate.Changes, _tell, _brief)


def import_(
    run: Invocation,
    file: Annotated[str, typer.Argument(metavar="FILE", help="CSV: site,kind,class,number,note. - is standard input.")],
    *,
    dry_run: DryRun = False,
) -> None:
    """Declare everything that a file holds, or nothing if one line is wrong. What it does not name stays."""
    whole = files.read(file, LARGEST)
    query: dict[str, str | int] = {"scope": run.within(), "dry_run": str(dry_run).lower()}
    data = run.plane.upload("/api/v1/estate/import", iter([whole]), len(whole), lambda _: None, query=query)
    run.show(data, estate.Changes, _tell, _brief)


def export(
    run: Invocation,
    *,
    out: Annotated[
        str, typer.Option(metavar="FILE", help="Write it there, if nothing is; else to standard output.")
    ] = "",
) -> None:
    """Write what is declared as a file that imports again and changes nothing."""
    if run.flags.as_json:
        raise UsageError("cli.form", "An export is CSV.", "For JSON: checkvalve estate show --json")
    path = f"/api/v1/estate/export?{urlencode({'scope': run.within()})}"
    data = run.plane.document(path, LARGEST_EXPORT)
    if not out:
        output.exact(data)
        return
    try:
        with Path(out).open("xb") as file:
            file.write(data)
    except (OSError, ValueError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or "it has no such name"
        raise UsageError(
            "file.unwritable", f"{out} cannot be written: {why}.", "Name a file that is not there yet."
        ) from error
    output.note(f"{out}: {len(data.splitlines()) - 1} classes.")


def history(
    run: Invocation,
    name: Annotated[str, typer.Argument(metavar="CLASS", help="Of this class only, in any case.")] = "",
    *,
    at: At = "",
    kind: Annotated[Kind | None, typer.Option(help="Of this kind only.")] = None,
    limit: Limit = USUAL,
    every: All = False,
    before: Before = "",
) -> None:
    """List everything ever declared, newest first; with `--at` exactly there. To undo: declare the former number."""
    query = {"class": name, "kind": kind.value if kind else "", "place": run.path(at) if at else ""}
    data = run.listed("/api/v1/estate/history", None if every else limit, before, **query)
    run.show_list(
        data,
        estate.Declaration,
        ("WHEN", "WHERE", "KIND", "CLASS", "NUMBER", "BY", "NOTE"),
        lambda one: (
            times.short(one.made_at),
            one.where,
            one.kind,
            one.class_name,
            f"{one.number:,}" if one.number else "0 (ended)",
            one.made_by_name or one.made_by,
            one.note or "-",
        ),
        "Nothing was ever declared there; begin with: checkvalve estate declare CLASS NUMBER --at PLACE",
    )


def _show(found: estate.Estate) -> None:
    total = found.totals
    if not found.places:
        output.note("Nothing is declared there; begin with: checkvalve estate declare CLASS NUMBER --at PLACE")
        return
    when = f" on {times.short(found.at)}" if found.at else ""
    output.say(
        f"Declared{when}: {_some(total.devices, 'device')} and {_some(total.legacy, 'legacy asset')} at "
        f"{_some(total.places, 'place')}. Managed now: {_some(total.managed, 'device')}."
    )
    rows = [(one.where, f"{one.devices:,}", f"{one.legacy:,}", f"{one.managed:,}", one.reason) for one in found.places]
    output.table(("PLACE", "DEVICES", "LEGACY", "MANAGED", "COVER"), rows)
    if found.items:
        output.say("")
        classes = [
            (one.class_name, one.kind, one.where, f"{one.number:,}", times.short(one.made_at), one.note or "-")
            for one in found.items
        ]
        output.table(("CLASS", "KIND", "WHERE", "NUMBER", "DECLARED", "NOTE"), classes)
    if found.next:
        output.note(f"There is more: --limit {len(found.items) * 2}, --after {found.next}, or estate export")


def _tell(made: estate.Changes) -> None:
    would = "would be " if made.dry_run else ""
    for one in made.changes:
        before = "" if one.before is None else f"{one.before:,} -> "
        output.say(f"{one.where}: {one.kind} {one.class_name}: {before}{one.number:,} ({would}{one.what})")
    counted = sum((made.added, made.changed, made.ended))
    if counted > len(made.changes):
        output.note(f"and {counted - len(made.changes):,} more")
    if counted:
        output.say(
            f"{made.added:,} {would}added, {made.changed:,} changed, {made.ended:,} ended; {made.unchanged:,} the same."
        )
    else:
        output.say("Nothing changed: it is declared so already." if not made.dry_run else "Nothing would change.")
    if made.dry_run and counted:
        output.note("Nothing was declared yet; say it again without --dry-run.")


def _brief(made: estate.Changes) -> str:
    return "\n".join(f"{one.scope} {one.kind} {one.class_name}" for one in made.changes)


def _some(number: int, noun_: str) -> str:
    return f"{number:,} {noun_}{'' if number == 1 else 's'}"
