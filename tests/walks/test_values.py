# SPDX-License-Identifier: Apache-2.0
"""One release on several devices, each with values of its own, by a plane and agents that are real processes.

The commands are those that people type. What runs with which values is read from the devices' own engines.
"""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from checkvalve.agent.engine import play
from checkvalve.protocol.exchange import State
from checkvalve.server.rollouts.model import Outcome
from checkvalve.server.rollouts.model import State as Stage
from tests.parts import rolling
from tests.parts.agents import Agent
from tests.parts.estate import LINE, ORGANISATION, RUT, SITE
from tests.parts.rolling import OTHER_SITE, Fleet

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

FILLED = "9.0"
SECRET = "planted-b7d1-5f0c"
ADDRESSES = {"north-1": "10.0.0.1", "north-2": "10.0.0.2", "south-1": "10.9.0.1"}
DEVICES = (("north-1", SITE), ("north-2", SITE), ("south-1", OTHER_SITE))


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Lend three devices, and a release that leaves an address, what it does, and a password open."""
    directory = tmp_path_factory.mktemp("values")
    with rolling.lent(directory, "sqlite:", always=DEVICES, rarely=None) as lent:
        declared = {
            "soak": "1s",
            "start_grace": "10s",
            "variables": {"ADDRESS": {"kind": "address"}, "DOES": ""},
            "secrets": {"password": {}},
        }
        pump = {
            "image": "pump:1",
            "environment": {"ADDRESS": "${ADDRESS}", play.VARIABLE: "${DOES}"},
            "secrets": ["password"],
        }
        top: dict[str, Any] = {"x-checkvalve": declared}
        lent.estate.make(FILLED, {"pump": pump}, **top)
        lent.estate.sign()
        yield lent


def config(fleet: Fleet, *words: str) -> str:
    """Run `checkvalve config` as the operator."""
    return fleet.estate.run("config", *words, who=RUT)


def secret(fleet: Fleet, text: str) -> None:
    """Set the password of the whole organisation, as a person with a file does."""
    file = fleet.estate.folder / "password"
    file.write_text(text)
    config(fleet, "set", "--at", ORGANISATION, "--release", LINE, "--secret-file", f"password={file}", "--yes")
    file.unlink()


def environment(agent: Agent) -> dict[str, str]:
    """Return the environment of the one container that runs on a device, as its engine has it."""
    boxes = json.loads((agent.directory / "simulated.json").read_bytes())["boxes"].values()
    (running,) = [each for each in boxes if each["status"] == "running"]
    found: dict[str, str] = running["environment"]
    return found


def rolled_out(fleet: Fleet) -> dict[str, Outcome]:
    """Bring the release as it is filled now to all devices; return how it ended on each that took part."""
    ident = fleet.start(FILLED, canary=0)
    fleet.until(lambda: fleet.rollout(ident).state in {Stage.DONE, Stage.PAUSED})
    return fleet.outcomes(ident)


def test_a_fleet_with_values_of_its_own_each(fleet: Fleet) -> None:
    proposed = fleet.proposed(FILLED, canary=0)
    refused = json.loads(fleet.caller.raw(f"/api/v1/rollouts/{proposed}/plan"))
    assert refused["obstacle"]["code"] == "rollout.values_lacking"
    assert len(refused["lacking"]) == 3
    fleet.post(proposed, "cancel")
    secret(fleet, SECRET)
    config(fleet, "set", "--at", SITE, "--release", LINE, "ADDRESS=10.0.0.1", "--yes")
    for name in ("north-2", "south-1"):
        config(fleet, "set", "--at", name, "--release", LINE, f"ADDRESS={ADDRESSES[name]}", "--yes")
    assert set(rolled_out(fleet).values()) == {Outcome.COMMITTED}
    found = {each.directory.name: environment(each)["ADDRESS"] for each in fleet.agents}
    assert found == ADDRESSES

    # A changed value is an attempt like a changed image: this one breaks the program, and takes itself back.
    before = {each.directory.name: fleet.estate.device(each).given for each in fleet.agents}
    config(fleet, "set", "--at", "north-2", "--release", LINE, "DOES=exit=1;after=0.3s;log=no such recipe", "--yes")
    assert rolled_out(fleet) == {"north-2": Outcome.ROLLED_BACK}, "the others run it as it is filled"
    victim = next(each for each in fleet.agents if each.directory.name == "north-2")
    fleet.until(lambda: environment(victim) == {"ADDRESS": "10.0.0.2", play.VARIABLE: ""})
    assert fleet.estate.device(victim).given == before["north-2"]
    assert fleet.estate.receipts(victim)[0].values not in {"", before["north-2"]}
    config(fleet, "set", "--at", "north-2", "--release", LINE, "--unset", "DOES", "--yes")

    # A rotated secret is a rollout; undoing it brings back what each ran with.
    secret(fleet, f"{SECRET}-new")
    ident = fleet.start(FILLED, canary=0)
    fleet.until(fleet.is_(ident, Stage.DONE))
    after = {each.directory.name: fleet.estate.device(each).given for each in fleet.agents}
    assert all(after[name] != before[name] for name in before)
    undo = fleet.post(ident, "undo", reason="The controllers still want the old one.")["id"]
    fleet.until(fleet.is_(undo, Stage.DONE))
    assert {each.directory.name: fleet.estate.device(each).given for each in fleet.agents} == before
    assert {State(each.status().state) for each in fleet.agents} == {State.COMMITTED}
    _nowhere(fleet)


def _nowhere(fleet: Fleet) -> None:
    """Look for the secret in everything that plane and devices have on a disk."""
    text = SECRET.encode()
    forms = (text, base64.b64encode(text).rstrip(b"=")[:-1], text.hex().encode())
    files = [file for file in Path(fleet.directory).rglob("*") if file.is_file()]
    assert len(files) > 50
    found = [str(file) for file in files if any(form in file.read_bytes() for form in forms)]
    assert found == []
    answers = [fleet.caller.raw(path) for path in ("/api/v1/values", "/api/v1/values/history", "/values")]
    answers.append(fleet.estate.plane.caller().raw("/api/v1/audit?limit=500"))
    assert not any(form in answer for form in forms for answer in answers)
