# SPDX-License-Identifier: Apache-2.0
"""`checkvalve demo`: plays the acts on a real plane, then says what held, and leaves the plane running."""

import argparse
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from checkvalve import clock
from checkvalve.demo import engines, pictures, report, rollouts, station
from checkvalve.demo.acts import (
    broken,
    devices,
    founding,
    orders,
    patch,
    plug,
    record,
    rights,
    scorecard,
    supply,
    two_people,
    values,
)
from checkvalve.demo.engines import Pretended
from checkvalve.demo.facts import Fact, Picture
from checkvalve.demo.fleet import Agent
from checkvalve.demo.stage import Stage
from checkvalve.errors import CheckvalveError

Act = Callable[[Stage], list[Fact]]

ACTS: tuple[tuple[str, Act], ...] = (
    (founding.TITLE, founding.play),
    (scorecard.TITLE, scorecard.play),
    (supply.TITLE, supply.play),
    (devices.TITLE, devices.play),
    (two_people.TITLE, two_people.play),
    (patch.TITLE, patch.play),
    (broken.TITLE, broken.play),
    (values.TITLE, values.play),
    (orders.TITLE, orders.play),
    (rights.TITLE, rights.play),
    (plug.TITLE, plug.play),
    (record.TITLE, record.play),
)

LOGINS = {
    "anna": "drafts and starts rollouts",
    "ingrid": "approves them",
    "rut": "makes releases",
    "maja": "reads the record",
    "admin": "administers",
}
WIDTH = 140  # of the table where no terminal says its own

ENGINES = ("auto", "docker", "simulated")


def run(words: Sequence[str]) -> int:
    """Play the demo; return 0 only if every fact held."""
    args = _parser().parse_args(words)
    width = None if sys.stdout.isatty() else WIDTH
    console = Console(highlight=False, width=width)
    stage = Stage(args.build / "demo", keep=not args.exit, console=console)
    removed = stage.clear()
    if removed:
        console.print(
            f"Stopped and removed what an earlier demo had left here: {removed} processes, containers and the like."
        )
    if args.stop:
        console.print("Nothing of the demo runs any more.")
        return 0
    stage.directory.mkdir(parents=True)
    before = signal.signal(signal.SIGTERM, _interrupted)
    whole = False
    try:
        if _engine(console, stage, args.engine):
            played = _played(console, stage)
            whole = True
            return _close(console, stage, played, args)
    except (CheckvalveError, httpx.HTTPError) as error:
        remedy = error.remedy if isinstance(error, CheckvalveError) else "The plane did not answer."
        console.print(f"[red]The demo stopped:[/red] {escape(str(error))} {escape(remedy)}")
    except KeyboardInterrupt:
        console.print("[red]The demo was interrupted.[/red]")
    finally:
        signal.signal(signal.SIGTERM, before)
        if not whole:  # also after a defect: nothing is left that runs, and the logs are
            stage.stop()
            console.print(f"All that it had started is stopped. What it wrote, logs too, is in {stage.directory}")
    return 1


def _engine(console: Console, stage: Stage, wanted: str) -> bool:
    """Choose what runs containers, and say so; tell whether there is what was asked for."""
    console.print(
        f"[bold]Checkvalve demo[/bold]: a plane, three sites, twelve devices, {len(ACTS)} acts, under two minutes. "
        f"All of it is in {stage.directory}.",
        soft_wrap=True,
    )
    stage.play_on(Pretended() if wanted == "simulated" else engines.find(stage.mark))
    console.print(stage.engine.sentence, soft_wrap=True)
    console.print(f"A new release is watched (soak) for {station.SOAK} s here; on a real line for minutes, or hours.\n")
    if wanted == "docker" and stage.engine.simulated:
        console.print("[red]--engine docker was asked for.[/red] Start Docker or Podman, or leave the option out.")
        return False
    return True


def _played(console: Console, stage: Stage) -> list[report.Played]:
    played: list[report.Played] = []
    for number, (title, act) in enumerate(ACTS, 1):
        console.print(f"[bold]{number}. {title}[/bold]")
        began = clock.monotonic()
        facts = act(stage)
        seconds = clock.monotonic() - began
        played.append(report.Played(title, seconds, tuple(facts)))
        found = Table.grid(padding=(0, 2))
        for fact in facts:
            found.add_row("[green]held[/green]" if fact.held else "[red]NOT HELD[/red]", escape(fact.claim))
            found.add_row("", f"[dim]{escape(fact.measured)}[/dim]")
        console.print(Padding(found, (0, 0, 0, 3), expand=False))
        console.print(f"   [dim]{seconds:.1f} s[/dim]\n")
    return played


def _close(console: Console, stage: Stage, played: list[report.Played], args: argparse.Namespace) -> int:
    facts = [fact for act in played for fact in act.facts]
    held = sum(fact.held for fact in facts)
    if stage.agents:
        stage.pictures.append(_estate(stage))
    console.print(_table(facts))
    page = report.write(args.build / "demo-report.html", played, clock.now(), stage.pictures, stage.engine.sentence)
    console.print(f"\nReport, one page to forward or print: {page}")
    if stage.keep:
        _invite(console, stage)
    stage.leave()
    console.print(f"demo: {held} facts held" + ("" if held == len(facts) else f", {len(facts) - held} DID NOT"))
    return 0 if held == len(facts) else 1


def _invite(console: Console, stage: Stage) -> None:
    """Say how to look around."""
    console.print(f"\n[bold]The plane and its devices run on. Look around: {stage.url}[/bold]")
    console.print(f"  The certificate is the demo's own: {stage.home}/keys/authority.crt")
    for login, who in LOGINS.items():
        console.print(f"  sign in as {login:7} password {stage.people[login]}  [dim]{who}[/dim]")
    program = Path(sys.executable).with_name("checkvalve")
    console.print(f"  or at a terminal: {program} login {stage.url} --pin {stage.pin} --login anna", soft_wrap=True)
    console.print("Stop and remove all of it with: make demo ARGS=--stop")


def _estate(stage: Stage) -> Picture:
    """Draw what runs on each device of each site, as what runs the containers says, and what it signed."""
    anna = stage.caller("anna")
    listed = anna.get("/api/v1/releases")["items"]
    versions = {one["digest"]: f"{one['name']} {one['version']}" for one in listed}
    sites: dict[str, list[tuple[str, str, str]]] = {}
    signed = 0
    for site, names in devices.ESTATE.items():
        sites[site] = []
        for agent in map(stage.agent, names):
            count = len(rollouts.receipts(anna, agent))
            runs = sorted({versions.get(each, each[:12]) for each in _running(stage, agent)})
            sites[site].append((agent.name, ", ".join(runs), f"{count} receipts signed"))
            signed += count
    return Picture(
        "The twelve devices, and what each runs now",
        f"What runs is said by what runs the containers, not by the plane. {signed} receipts were signed in all.",
        pictures.estate(sites),
    )


def _running(stage: Stage, agent: Agent) -> set[str]:
    return set(stage.engine.running(agent.device, agent.directory).values())


def _interrupted(*_: object) -> None:
    raise KeyboardInterrupt


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
        "--exit", action="store_true", help="stop everything at the end and leave nothing but the report"
    )
    parser.add_argument("--stop", action="store_true", help="stop and remove what an earlier demo left running")
    parser.add_argument(
        "--engine", choices=ENGINES, default="auto", help="what runs containers (default: Docker or Podman if it can)"
    )
    parser.add_argument(
        "--build", type=Path, default=Path("build"), help="where to play and report (default: %(default)s)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
