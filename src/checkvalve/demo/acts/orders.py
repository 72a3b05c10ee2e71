# SPDX-License-Identifier: Apache-2.0
"""Act: a small order to one device - its last words, a restart - and a tag that stands in the way of the second."""

from typing import Any

from checkvalve import clock
from checkvalve.demo.facts import Fact
from checkvalve.demo.fleet import until
from checkvalve.demo.stage import Stage
from checkvalve.demo.station import STEERS

TITLE = "A small order: what did it say, and start it again; but not while a tag hangs"
SERVICE = "control"
SOON = 10.0  # seconds
PATIENCE = 30.0


def play(stage: Stage) -> list[Fact]:
    """Order logs; order a restart of a device that is held, and of one that is not."""
    return [_logs(stage), _restart(stage)]


def _logs(stage: Stage) -> Fact:
    agent, anna = stage.agents[0], stage.caller("anna")
    stage.say(f"Anna asks {agent.name} what its containers said.")
    begun = clock.monotonic()
    done = _ended(stage, _ordered(stage, agent.device, kind="logs", lines=50))
    seconds = clock.monotonic() - begun
    words = anna.raw(f"/api/v1/errands/{done['id']}/content").decode() if done["state"] == "done" else ""
    entries = _entries(stage, done["id"])
    return Fact(
        "What containers said is had from afar without a shell: ordered, done once, signed by the device, recorded",
        f"{done['state']} after {seconds:.1f} s: {'; '.join(words.splitlines())}; in the record: {', '.join(entries)}",
        f"< {SOON:.0f} s, what `control` said; ordered and ended, once each",
        f"checkvalve device logs {agent.name}",
        STEERS in words and seconds < SOON and entries == ["errand.end", "errand.order"],
    )


def _restart(stage: Stage) -> Fact:
    agent, anna = stage.agents[1], stage.caller("anna")
    tag = anna.post("/api/v1/holds", device=agent.device, reason="hands in the pump", number="4711")
    path = f"/api/v1/devices/{agent.device}/errands"
    refused = anna.refusal(path, kind="restart", service=SERVICE, why="stuck")
    anna.post(f"/api/v1/holds/{tag['id']}/lift", reason="")
    until(lambda: not anna.get(f"/api/v1/devices/{agent.device}")["held"], PATIENCE)
    runs = stage.engine.running(agent.device, agent.directory)
    done = _ended(stage, _ordered(stage, agent.device, kind="restart", service=SERVICE, why="stuck"))
    after = stage.engine.running(agent.device, agent.directory)
    with_tag = refused.code if refused else "taken"
    return Fact(
        "A restart by order is the same container again, and nothing is touched where a lock-out tag hangs",
        f"with the tag: {with_tag}; without: {done['state']}: {done['reason']}",
        "errand.held, then done, and the same runs",
        f'checkvalve device restart {agent.name} {SERVICE} --why "stuck"',
        with_tag == "errand.held" and done["state"] == "done" and after == runs,
    )


def _ordered(stage: Stage, device: str, **words: Any) -> str:  # noqa: ANN401 - JSON
    made = stage.caller("anna").post(f"/api/v1/devices/{device}/errands", **words)
    return str(made["id"])


def _ended(stage: Stage, ident: str) -> dict[str, Any]:
    anna, path = stage.caller("anna"), f"/api/v1/errands/{ident}"
    until(lambda: anna.get(path)["state"] != "waiting", PATIENCE)
    done: dict[str, Any] = anna.get(path)
    return done


def _entries(stage: Stage, ident: str) -> list[str]:
    found = stage.caller("maja").get("/api/v1/audit", subject=f"errand:{ident}", limit=20)["items"]
    return sorted(each["action"] for each in found)
