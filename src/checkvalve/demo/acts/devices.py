# SPDX-License-Identifier: Apache-2.0
"""Act: devices let themselves in with one line, and are out within a second."""

import json
from pathlib import Path

from checkvalve import clock
from checkvalve.demo.facts import Fact
from checkvalve.demo.fleet import Agent, until
from checkvalve.demo.stage import Stage

TITLE = "Devices let themselves in with one line, and are out within a second"
SITE = "Visby waterworks"
NAMES = ("visby-pump-1", "visby-pump-2", "visby-filter")
SOON = 15.0  # seconds


def play(stage: Stage) -> list[Fact]:
    """Invite three devices, let more try, and lock one of them out."""
    agents = [Agent(name, stage.directory / "devices" / name) for name in NAMES]
    try:
        return [_joined(stage, agents), _tried(stage), _silent(agents), _locked_out(stage, agents[0])]
    finally:
        for agent in agents:
            agent.stop()


def _joined(stage: Stage, agents: list[Agent]) -> Fact:
    words = ("device", "invite", "--scope", stage.places[SITE], "--tag", "pump", "--count", str(len(agents)))
    invited = json.loads(stage.run("bo", *words, "--json"))
    stage.ids["invite token"] = invited["token"]
    codes = [agent.join(stage.devices, invited["token"], stage.pin) for agent in agents]
    for agent in agents:
        agent.start(_log(stage))
    bo = stage.caller("bo")
    seconds = until(lambda: len(bo.get("/api/v1/devices", liveness="online")["items"]) == len(agents), SOON)
    let_in = sum(not code for code in codes)
    return Fact(
        "A device joins with one line; its key is made on it and never leaves it",
        f"{let_in} of {len(agents)} joined by one counted invite; all online {seconds:.1f} s after they were started",
        f"all, < {SOON:.0f} s",
        "checkvalve device list",
        let_in == len(agents) and seconds < SOON,
    )


def _tried(stage: Stage) -> Fact:
    token = stage.ids["invite token"]
    stranger = Agent("stranger", stage.directory / "devices" / "stranger")
    used = stranger.join(stage.devices, token, stage.pin)
    pinned = stranger.join(stage.devices, token, "sha256:" + "0" * 64)
    typed = stranger.join(stage.devices, token[:-1] + ("0" if token[-1] != "0" else "1"), stage.pin)
    return Fact(
        "A token that is used up lets nobody in; a plane that has not the pin is told nothing",
        f"used up: {used}; other pin: {pinned}; mistyped: {typed}",
        "each refused",
        "type the line of an invite on one device more",
        all((used, pinned, typed)) and used == "invite.refused" and pinned == "link.pin",
    )


def _silent(agents: list[Agent]) -> Fact:
    open_ = sum(agent.listeners() for agent in agents)
    running = sum(agent.process is not None and agent.process.poll() is None for agent in agents)
    return Fact(
        "An agent shows nothing to the network: it dials, nothing dials it",
        f"{open_} listening TCP or UDP sockets in {running} process trees",
        "0",
        "ss -lntup | grep checkvalve-agent",
        open_ == 0 and running == len(agents),
    )


def _locked_out(stage: Stage, agent: Agent) -> Fact:
    before = _log(stage).stat().st_size

    def told() -> bool:
        return b"device.quarantined" in _log(stage).read_bytes()[before:]

    bo = stage.caller("bo")
    began = clock.monotonic()
    bo.post(f"/api/v1/devices/{agent.device}/quarantine", reason="seen in a pawn shop")
    knew = until(told, SOON) < SOON
    seconds = clock.monotonic() - began
    trust = bo.get(f"/api/v1/devices/{agent.device}")["trust"]
    bo.post(f"/api/v1/devices/{agent.device}/accept", reason="it was another one")
    return Fact(
        "A device in quarantine is out at once, also in the middle of a poll that waits",
        f"{trust}; the agent knew {seconds * 1000:.0f} ms after it was ordered" if knew else f"{trust}; it never knew",
        "< 1 s",
        "checkvalve device quarantine DEVICE --reason ...",
        trust == "quarantined" and knew and seconds < 1,
    )


def _log(stage: Stage) -> Path:
    return stage.directory / "devices.log"
