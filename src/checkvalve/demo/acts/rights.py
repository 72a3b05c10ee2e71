# SPDX-License-Identifier: Apache-2.0
"""Act: a right is taken away, and another organisation looks in."""

from checkvalve import clock
from checkvalve.demo.caller import Caller, RefusedError
from checkvalve.demo.facts import Fact
from checkvalve.demo.stage import Stage

TITLE = "A right taken away is gone at once; another organisation sees nothing"


def play(stage: Stage) -> list[Fact]:
    """Revoke a binding and watch the person; compare what is foreign with what never was."""
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
        Fact(
            "A role taken away counts from the very next request of an open session",
            f"{before} rollout seen before; refused ({refused}) {milliseconds:.0f} ms after",
            "next request",
            "checkvalve audit list --action binding.",
            before == 1 and refused == "access.denied",
        ),
        Fact(
            "What belongs to another organisation looks exactly like what does not exist",
            f"{seen} of 1 rollout listed; both answers {'are the same' if foreign == absent else 'differ'}",
            "0 listed, same answer",
            "sign in as otto and open anna's rollout",
            seen == 0 and foreign == absent,
        ),
    ]


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
