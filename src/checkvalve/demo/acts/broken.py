# SPDX-License-Identifier: Apache-2.0
"""Act: a release that two people signed is broken, and the plane is dead while it fails."""

from dataclasses import dataclass
from datetime import datetime

from checkvalve import clock
from checkvalve.demo import pictures, rollouts, station
from checkvalve.demo.engines import Running
from checkvalve.demo.facts import Fact, Picture
from checkvalve.demo.fleet import Agent, until
from checkvalve.demo.rollouts import Member, Plan, Progress
from checkvalve.demo.stage import Stage
from checkvalve.protocol.exchange import State

TITLE = "A broken release, and the plane is killed while it fails: the devices undo it alone"
CANARIES = 3
SOON = 20.0  # seconds
PATIENCE = 60.0
SWITCHED = (State.VERIFYING, State.ROLLING_BACK, State.ROLLED_BACK)


@dataclass(frozen=True)
class Alone:
    """What devices did while there was no plane: who watched the new release, who went back, in how many seconds."""

    watching: list[Agent]
    back: list[Agent]
    seconds: float
    dark: tuple[datetime, datetime]


def play(stage: Stage) -> list[Fact]:
    """Start it on three canaries, kill the plane while they watch it, look, bring the plane back."""
    stage.say(
        f"{station.ref(station.BROKEN)} was signed along with the patch, and is broken: its control ends after "
        f"{station.BREAKS} s. It goes to {CANARIES} canaries first."
    )
    before = {agent.name: stage.engine.running(agent.device, agent.directory) for agent in stage.agents}
    plan = Plan("Pump station 1.2", station.ref(station.BROKEN), "tag:pump", canary=CANARIES, step=CANARIES)
    ident = rollouts.started(stage, plan)
    canaries = rollouts.waves(stage, ident)[0]
    stage.ids["canary"] = canaries[0].device
    rollouts.follow(stage, ident, lambda _: all(agent.state in SWITCHED for agent in canaries))
    alone = _alone(stage, canaries, before)
    return [_themselves(canaries, alone), _plane(stage, ident, alone, before), _undone(stage, ident, before)]


def _alone(stage: Stage, canaries: list[Agent], before: dict[str, Running]) -> Alone:
    """Kill the plane, see what devices do without one, and start it again."""
    killed = clock.now()
    stage.kill()
    watching = [agent for agent in canaries if agent.state is State.VERIFYING]
    names = ", ".join(agent.name for agent in watching)
    stage.say(f"[bold]The plane is killed[/bold] (SIGKILL) while {names} watch the new release.")
    began = clock.monotonic()
    until(lambda: all(agent.state is State.ROLLED_BACK for agent in canaries), PATIENCE)
    seconds = clock.monotonic() - began
    back = [agent for agent in canaries if _as_before(stage, agent, before)]
    stage.say(f"{len(back)} of {len(canaries)} are back on what they ran, {seconds:.1f} s later. There is no plane.")
    up = stage.start()
    stage.say(f"The plane is back after {up:.1f} s, and asks nobody anything.")
    return Alone(watching, back, seconds, (killed, clock.now()))


def _themselves(canaries: list[Agent], alone: Alone) -> Fact:
    return Fact(
        "Devices undo a broken release alone, with no plane to tell them",
        f"{len(alone.back)} of {len(canaries)} back on all they ran before, {alone.seconds:.1f} s after the plane was "
        f"killed, when {len(alone.watching)} were watching the new release",
        f"all, < {SOON:.0f} s",
        f"checkvalve device log {canaries[0].name}",
        len(alone.back) == len(canaries) == CANARIES and len(alone.watching) > 1 and alone.seconds < SOON,
    )


def _plane(stage: Stage, ident: str, alone: Alone, before: dict[str, Running]) -> Fact:
    paused = rollouts.follow(stage, ident, _heard_of_all).rollout
    stage.say(f"It has paused the rollout: {paused.reason}")
    found = rollouts.members(stage, ident)
    others = [each for each in found if each.wave > 0]
    untouched = sum(each.outcome == "" and _as_before(stage, each.agent, before) for each in others)
    stage.pictures.append(
        Picture(
            "A broken release, while the plane is dead",
            f"{len(alone.back)} canaries saw that it fails, and went back alone. When the plane returned it heard so, "
            f"paused the rollout, and gave the {len(others)} others no order.",
            pictures.waves([each for each in found if each.wave == 0], alone.dark),
        )
    )
    return Fact(
        "The plane returns, hears what happened, and stops there: nobody else gets the broken release",
        f'paused: "{paused.reason}" {untouched} of {len(others)} others never touched. {_last_words(found)}',
        "paused; none touched",
        f"checkvalve rollout show {ident}",
        paused.code == "rollout.canary_failed" and untouched == len(others) > 0 and station.WHY in _last_words(found),
    )


def _heard_of_all(now: Progress) -> bool:
    """Tell whether the plane has paused the rollout and has the receipt of each canary."""
    return now.rollout.state == "paused" and now.waves[0].failed == now.waves[0].total


def _undone(stage: Stage, ident: str, before: dict[str, Running]) -> Fact:
    """Have Anna take the rollout back."""
    anna = stage.caller("anna")
    refused = anna.refusal(f"/api/v1/rollouts/{ident}/undo", reason="1.2 is broken; the line gets 1.3.")
    state = anna.get(f"/api/v1/rollouts/{ident}")["state"]
    as_before = sum(_as_before(stage, agent, before) for agent in stage.agents)
    return Fact(
        "A person undoes a rollout with one word; who went back by itself already is left alone",
        f"{refused.code if refused else state}; {as_before} of {len(stage.agents)} devices run what they ran before it",
        "undone, all as before",
        f"checkvalve rollout show {ident}",
        state == "undone" and as_before == len(stage.agents),
    )


def _as_before(stage: Stage, agent: Agent, before: dict[str, Running]) -> bool:
    return stage.engine.running(agent.device, agent.directory) == before[agent.name]


def _last_words(found: list[Member]) -> str:
    """Return what the failed service said last, out of the receipts."""
    said = {seen.logs.strip() for each in found if each.said for seen in each.said.services if seen.logs}
    return f"Each receipt has its last words: {'; '.join(sorted(said))!r}" if said else ""
