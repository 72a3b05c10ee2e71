# SPDX-License-Identifier: Apache-2.0
"""Act: one release on twelve devices with an address and a password of their own, and one value that is wrong."""

from collections.abc import Iterator
from pathlib import Path

from checkvalve import clock
from checkvalve.demo import memory, rollouts, station
from checkvalve.demo.acts import supply
from checkvalve.demo.facts import Fact
from checkvalve.demo.fleet import Agent, until
from checkvalve.demo.rollouts import Plan
from checkvalve.demo.stage import Stage
from checkvalve.protocol.exchange import State

TITLE = "One release, twelve addresses, a password that nobody reads again, and a value that is wrong"
NORTH = "Norra Water"
SOON = 15.0  # seconds
PATIENCE = 60.0


def play(stage: Stage) -> list[Fact]:
    """Set values, roll them out, look for the password, and set one value wrong."""
    supply.publish(stage, (station.FILLED,))
    stage.say(f"{station.ref(station.FILLED)} leaves the controller's address open, and the password for it.")
    lacking = _lacking(stage)
    password = f"planted-{clock.entropy(12).hex()}"
    _set(stage, stage.places[NORTH], "secret", "plc-password", password)
    for number, agent in enumerate(stage.agents, 1):
        _set(stage, agent.device, "variable", "PLC_ADDRESS", f"10.20.0.{number}")
    ident = rollouts.started(stage, _plan("Pump station 1.3"))
    rollouts.follow(stage, ident, rollouts.ended)
    return [_addresses(stage, ident, lacking), _nowhere(stage, password), _wrong(stage)]


def _plan(name: str) -> Plan:
    return Plan(name, station.ref(station.FILLED), "all", canary=0, step=0)


def _lacking(stage: Stage) -> str:
    """Try to start it while no value is set; return why not."""
    ident = rollouts.drafted(stage, _plan("Too early"), approvals=0)
    anna = stage.caller("anna")
    refused = anna.refusal(f"/api/v1/rollouts/{ident}/start")
    anna.post(f"/api/v1/rollouts/{ident}/cancel")
    return refused.code if refused else "started"


def _set(stage: Stage, place: str, kind: str, name: str, content: str) -> None:
    change = {"kind": kind, "line": station.NAME, "name": name, "content": content}
    stage.caller("anna").post("/api/v1/values", place=place, changes=[change], note="MoC-2026-130")


def _address(stage: Stage, agent: Agent) -> str:
    return stage.engine.environment(agent.device, agent.directory, "control").get("PLC", "")


def _addresses(stage: Stage, ident: str, lacking: str) -> Fact:
    found = rollouts.members(stage, ident)
    took = sum(each.outcome == "committed" for each in found)
    known = [_address(stage, agent) for agent in stage.agents]
    wanted = [f"10.20.0.{number}" for number in range(1, len(stage.agents) + 1)]
    return Fact(
        "One signed release runs on every device with values of its own; while one is missing, nothing starts",
        f"before any was set: {lacking}; then {took} of {len(found)} took it, with {len(set(known))} addresses, as "
        "what runs their containers says",
        f"refused, then {len(stage.agents)} of {len(stage.agents)}",
        "checkvalve config show visby-pump-1",
        lacking == "rollout.values_lacking" and took == len(found) and known == wanted,
    )


def _nowhere(stage: Stage, password: str) -> Fact:
    """Look for the password on every disk that the plane and the devices have here."""
    text = password.encode()
    files = list(_files(stage.directory))
    found = [file.name for file in files if text in file.read_bytes()]
    sealed = sum(b"plc-password" in file.read_bytes() for file in files if file.suffix == ".values")
    shown = sum(
        text in stage.caller(login).raw(path)
        for login, path in (("anna", "/api/v1/values"), ("anna", "/values"), ("maja", "/api/v1/audit?limit=500"))
    )
    inside = memory.holding(stage.mark, text)
    of = "" if stage.engine.simulated else f"; {inside} files in memory, where the containers read it"
    return Fact(
        "A secret is sealed to each device's key: on no disk, in no page, no log and no record is it readable",
        f"{len(found)} of {len(files)} files of plane and devices hold it, {shown} of 3 answers do; {sealed} devices "
        f"have it sealed{of}",
        f"0 and 0; {len(stage.agents)} sealed",
        f"grep -r {password} {stage.directory}",
        not found and not shown and sealed == len(stage.agents) and (stage.engine.simulated or inside == sealed),
    )


def _files(directory: Path) -> Iterator[Path]:
    yield from (file for file in directory.rglob("*") if file.is_file())


def _wrong(stage: Stage) -> Fact:
    """Set a value wrong for one device, and see it go back to those it ran with."""
    victim = stage.agents[-1]
    before = stage.engine.running(victim.device, victim.directory), _address(stage, victim)
    _set(stage, victim.device, "variable", "PROGRAM", station.MISTYPED)
    _set(stage, victim.device, "variable", "PLC_ADDRESS", "10.20.0.99")
    stage.say(f"For {victim.name} somebody names a program that is not there, and another address.")
    ident = rollouts.started(stage, _plan("Pump station 1.3, values of today"))
    took_part = len(rollouts.members(stage, ident))
    seconds = until(lambda: victim.state is State.ROLLED_BACK, PATIENCE)
    until(lambda: stage.engine.running(victim.device, victim.directory) == before[0], PATIENCE)
    after = stage.engine.running(victim.device, victim.directory), _address(stage, victim)
    rollouts.follow(stage, ident, lambda now: now.rollout.state == "paused")
    stage.caller("anna").post(f"/api/v1/rollouts/{ident}/undo", reason="The program's name was mistyped.")
    return Fact(
        "A changed value is an attempt like a changed image: a wrong one is taken back by the device, values and all",
        f"{took_part} device took part, for the others nothing had changed; {victim.name} rolled back in "
        f"{seconds:.1f} s to {after[1]} and all that ran before",
        f"back on {before[1]}, < {SOON:.0f} s",
        f"checkvalve config diff {victim.name}",
        took_part == 1 and seconds < SOON and after == before,
    )
