# SPDX-License-Identifier: Apache-2.0
"""Act: a rollout that needs a second person, what happens without one, and the first release on twelve devices."""

from checkvalve.demo import rollouts, station
from checkvalve.demo.facts import Fact
from checkvalve.demo.rollouts import Plan
from checkvalve.demo.screen import LEGEND
from checkvalve.demo.stage import Stage

TITLE = "The first release, on all devices at once; the requester does not count as the second person"


def play(stage: Stage) -> list[Fact]:
    """Draft, propose, try to start, try to approve it oneself, have it approved, start, watch."""
    ident, refusals = _approved(stage)
    anna = stage.caller("anna")
    state = anna.post(f"/api/v1/rollouts/{ident}/start")["state"]
    again = anna.refusal(f"/api/v1/rollouts/{ident}/start")
    refusals.append(again.code if again else "done")
    expected = ["rollout.not_approved", "approval.own", "approval.stale", "rollout.started"]
    stage.console.print(f"   [dim]{LEGEND}[/dim]", soft_wrap=True)
    done = rollouts.follow(stage, ident, rollouts.ended)
    running = [set(stage.engine.running(agent.device, agent.directory)) for agent in stage.agents]
    whole = sum(each == {"control", "telemetry"} for each in running)
    committed = sum(wave.committed for wave in done.waves)
    return [
        Fact(
            "Nothing starts without its approval; approving needs the exact digest and another person",
            f"refused {', '.join(refusals)}; then {state}",
            "4 refusals, then started",
            f"checkvalve rollout show {ident}",
            refusals == expected and state == "started",
        ),
        Fact(
            "What was signed is what runs, and the device says so itself",
            f"{station.ref(station.FIRST)} committed on {committed} of {len(stage.agents)} devices; both services run "
            f"on {whole}, as {_whom(stage)} says",
            "all",
            f"checkvalve rollout devices {ident}",
            committed == whole == len(stage.agents),
        ),
    ]


def _approved(stage: Stage) -> tuple[str, list[str]]:
    """Have a rollout approved by all means that there are; return its id, and what was refused meanwhile."""
    anna, ingrid = stage.caller("anna"), stage.caller("ingrid")
    first = Plan("Pump station 1.0", station.ref(station.FIRST), "all", canary=0, change="MoC-2026-117")
    ident = stage.ids["rollout"] = rollouts.drafted(stage, first)
    approval = f"/api/v1/approvals/{anna.get(f'/api/v1/rollouts/{ident}')['approval']}"
    digest = anna.get(approval)["digest"]
    tries = (
        anna.refusal(f"/api/v1/rollouts/{ident}/start"),
        anna.refusal(f"{approval}/votes", choice="approve", digest=digest),
        ingrid.refusal(f"{approval}/votes", choice="approve", digest="0" * 64),
    )
    ingrid.post(f"{approval}/votes", choice="approve", digest=digest, note="window agreed with the shift")
    return ident, [problem.code if problem else "done" for problem in tries]


def _whom(stage: Stage) -> str:
    return f"the {stage.engine.kind}" if stage.engine.simulated else stage.engine.kind
