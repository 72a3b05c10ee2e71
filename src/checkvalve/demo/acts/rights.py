# SPDX-License-Identifier: Apache-2.0
"""Act: a right is taken away, another organisation looks in, and a device is shut out."""

from checkvalve import clock
from checkvalve.demo.caller import Caller, RefusedError
from checkvalve.demo.facts import Fact
from checkvalve.demo.fleet import Agent, until
from checkvalve.demo.stage import Stage

TITLE = "A right taken away is gone at once, and so is a device; another organisation sees nothing"
SOON = 15.0  # seconds


def play(stage: Stage) -> list[Fact]:
    """Shut a device out, revoke a binding; compare what is foreign with what never was."""
    shut_out = _shut_out(stage, stage.agents[0])
    admin, bo, otto = stage.caller("admin"), stage.caller("bo"), stage.caller("otto")
    before = len(bo.get("/api/v1/rollouts")["items"])
    admin.delete(f"/api/v1/bindings/{stage.ids['binding of bo']}")
    began = clock.monotonic()
    refused = _status(bo, "/api/v1/rollouts")
    milliseconds = (clock.monotonic() - began) * 1000
    foreign = _answer(otto, f"/api/v1/rollouts/{stage.ids['rollout']}")
    absent = _answer(otto, f"/api/v1/rollouts/{clock.new_id()}")
    seen = len(otto.get("/api/v1/rollouts")["items"])
    return [
        shut_out,
        Fact(
            "A role taken away counts from the very next request of an open session",
            f"{before} rollouts seen before; refused ({refused}) {milliseconds:.0f} ms after",
            "next request",
            "checkvalve audit list --action binding.",
            before > 0 and refused == "access.denied",
        ),
        Fact(
            "What belongs to another organisation looks exactly like what does not exist",
            f"{seen} of {before} rollouts listed; both answers {'are the same' if foreign == absent else 'differ'}",
            "0 listed, same answer",
            "sign in as otto and open Anna's rollout",
            seen == 0 and foreign == absent,
        ),
    ]


def _shut_out(stage: Stage, agent: Agent) -> Fact:
    before = stage.log.stat().st_size

    def told() -> bool:
        return b"device.quarantined" in stage.log.read_bytes()[before:]

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


def _status(caller: Caller, path: str) -> str:
    try:
        caller.get(path)
    except RefusedError as error:
        return error.code
    return "allowed"


def _answer(caller: Caller, path: str) -> tuple[int, str, str, str] | None:
    try:
        caller.get(path)
    except RefusedError as error:
        return error.status, error.code, error.sentence, error.remedy
    return None
