# SPDX-License-Identifier: Apache-2.0
"""Act: a change that needs a second person, and what happens without one."""

from checkvalve.demo.acts import supply
from checkvalve.demo.facts import Fact
from checkvalve.demo.stage import Stage

TITLE = "A rollout needs a second person, and the requester is not one"


def play(stage: Stage) -> list[Fact]:
    """Draft, propose, try to start, try to approve it oneself, have it approved, start."""
    anna, ingrid = stage.caller("anna"), stage.caller("ingrid")
    drafted = anna.post(
        "/api/v1/rollouts",
        scope=stage.places["Norra Water"],
        name="press-line 2.4.1",
        release=supply.RELEASE,
        selector="tag:press-line",
        approvals=1,
        change="MoC-2026-117",
    )
    path = f"/api/v1/rollouts/{drafted['id']}"
    stage.ids["rollout"] = drafted["id"]
    proposed = anna.post(f"{path}/propose")
    votes = f"/api/v1/approvals/{proposed['approval']}/votes"
    digest = anna.get(f"/api/v1/approvals/{proposed['approval']}")["digest"]
    early = anna.refusal(f"{path}/start")
    own = anna.refusal(votes, choice="approve", digest=digest)
    stale = ingrid.refusal(votes, choice="approve", digest="0" * 64)
    ingrid.post(votes, choice="approve", digest=digest, note="window agreed with the shift")
    started = anna.post(f"{path}/start")["state"]
    again = anna.refusal(f"{path}/start")
    refusals = [problem.code if problem else "done" for problem in (early, own, stale, again)]
    expected = ["rollout.not_approved", "approval.own", "approval.stale", "rollout.started"]
    return [
        Fact(
            "Nothing starts without its approval; approving needs the exact digest and another person",
            f"refused {', '.join(refusals)}; then {started}",
            "4 refusals, then started",
            f"checkvalve rollout show {drafted['id']}",
            refusals == expected and started == "started",
        )
    ]
