# SPDX-License-Identifier: Apache-2.0
"""`checkvalve demo`: plays the acts on a real plane, then says what held, and leaves the plane running."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from checkvalve import clock
from checkvalve.demo import report
from checkvalve.demo.acts import devices, founding, plug, record, rights, supply, two_people
from checkvalve.demo.facts import Fact
from checkvalve.demo.stage import Stage
from checkvalve.errors import CheckvalveError

Act = Callable[[Stage], list[Fact]]

ACTS: tuple[tuple[str, Act], ...] = (
    (founding.TITLE, founding.play),
    (supply.TITLE, supply.play),
    (devices.TITLE, devices.play),
    (two_people.TITLE, two_people.play),
    (rights.TITLE, rights.play),
    (plug.TITLE, plug.play),
    (record.TITLE, record.play),
)

WIDTH = 140  # of the table where no terminal says its own

STAND = (
    "This release has the plane, people, rights, approvals, the record, signed releases, and devices that join. "
    "What a rollout does on them comes next; nothing below stands in for it."
)


def run(words: Sequence[str]) -> int:
    """Play the demo; return 0 only if every fact held."""
    args = _parser().parse_args(words)
    width = None if sys.stdout.isatty() else WIDTH
    console = Console(highlight=False, width=width)
    stage = Stage(args.build / "demo", keep=not args.exit)
    stage.clear()
    console.print(f"[bold]Checkvalve demo[/bold]: {len(ACTS)} acts on a real plane in {stage.directory}\n{STAND}\n")
    played: list[report.Played] = []
    try:
        for number, (title, act) in enumerate(ACTS, 1):
            console.print(f"[bold]{number}. {title}[/bold]")
            began = clock.monotonic()
            facts = act(stage)
            seconds = clock.monotonic() - began
            played.append(report.Played(title, seconds, tuple(facts)))
            for fact in facts:
                console.print(f"   {'[green]held[/green]' if fact.held else '[red]NOT HELD[/red]'}  {fact.claim}")
                console.print(f"         {fact.measured}", style="dim")
            console.print()
    except (CheckvalveError, httpx.HTTPError) as error:
        remedy = error.remedy if isinstance(error, CheckvalveError) else "The plane did not answer."
        console.print(f"[red]The demo stopped:[/red] {escape(str(error))} {escape(remedy)}")
        console.print(f"The plane's log is {stage.directory / 'plane.log'}")
        stage.keep = True
        stage.leave()
        return 1
    return _close(console, stage, played, args)


def _close(console: Console, stage: Stage, played: list[report.Played], args: argparse.Namespace) -> int:
    facts = [fact for act in played for fact in act.facts]
    held = sum(fact.held for fact in facts)
    console.print(_table(facts))
    page = report.write(args.build / "demo-report.html", played, clock.now())
    console.print(f"\nReport: {page}")
    if stage.keep:
        console.print(
            f"The plane runs on: {stage.url}  (its certificate is the demo's own: {stage.home}/keys/authority.crt)"
        )
        for login in ("anna", "rut", "ingrid", "maja", "admin"):
            console.print(f"  sign in as {login:8} password {stage.people[login]}")
        console.print(f"Stop it with: kill $(cat {stage.directory}/plane.pid)")
    stage.leave()
    console.print(f"demo: {held} facts held" + ("" if held == len(facts) else f", {len(facts) - held} DID NOT"))
    return 0 if held == len(facts) else 1


def _table(facts: Sequence[Fact]) -> Table:
    table = Table(title="What held", title_justify="left", expand=False)
    for heading in ("claim", "measured", "target", "check it yourself"):
        table.add_column(heading, overflow="fold")
    for fact in facts:
        table.add_row(fact.claim, fact.measured, fact.target, fact.check, style="" if fact.held else "red")
    return table


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="checkvalve demo",
        description="Show the main job on a real plane.",
        epilog="Example: checkvalve demo --exit",
    )
    parser.add_argument("word", help=argparse.SUPPRESS)
    parser.add_argument(
        "--exit", action="store_true", help="stop the plane at the end and leave nothing but the report"
    )
    parser.add_argument(
        "--build", type=Path, default=Path("build"), help="where to play and report (default: %(default)s)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
