# SPDX-License-Identifier: Apache-2.0
"""Rollouts as the demo's people make them: Anna drafts and proposes, Ingrid approves, Anna starts and watches."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from checkvalve import clock
from checkvalve.crypto import digests, envelope
from checkvalve.demo.caller import Caller
from checkvalve.demo.fleet import Agent
from checkvalve.demo.screen import Screen
from checkvalve.demo.stage import Stage
from checkvalve.errors import InvalidError, UnavailableError
from checkvalve.protocol import api, fleet, receipt
from checkvalve.protocol import rollout as forms
from checkvalve.protocol.exchange import State
from checkvalve.protocol.receipt import Receipt

PLACE = "Norra Water"
LONGEST = 90.0  # seconds that the demo waits for a rollout
EACH = 0.15  # seconds between two looks

Progress = forms.RolloutProgress
Until = Callable[[Progress], bool]


@dataclass(frozen=True)
class Plan:
    """What is to go where."""

    name: str
    release: str
    selector: str
    canary: int = 1
    step: int = 0
    change: str = ""


@dataclass(frozen=True)
class Member:
    """A device of a rollout as the plane has it, and its receipt if that carries the signature of the device's key."""

    agent: Agent
    wave: int
    outcome: str
    said: Receipt | None

    def at(self, *states: State) -> int:
        """Return when it was first in one of these states, by its own clock, in ms; 0 if never."""
        steps = self.said.steps if self.said else ()
        return next((each.at for each in steps if each.state in states), 0)


def drafted(stage: Stage, plan: Plan, approvals: int = 1) -> str:
    """Have Anna draft and propose a rollout; return its id."""
    anna = stage.caller("anna")
    made = anna.post(
        "/api/v1/rollouts",
        scope=stage.places[PLACE],
        name=plan.name,
        release=plan.release,
        selector=plan.selector,
        canary=plan.canary,
        step=plan.step,
        approvals=approvals,
        change=plan.change,
    )
    anna.post(f"/api/v1/rollouts/{made['id']}/propose")
    return str(made["id"])


def started(stage: Stage, plan: Plan) -> str:
    """Have a rollout drafted, proposed, approved by Ingrid, and started; return its id."""
    ident = drafted(stage, plan)
    anna, ingrid = stage.caller("anna"), stage.caller("ingrid")
    approval = anna.get(f"/api/v1/rollouts/{ident}")["approval"]
    asked = ingrid.get(f"/api/v1/approvals/{approval}")
    ingrid.post(f"/api/v1/approvals/{approval}/votes", choice="approve", digest=asked["digest"])
    anna.post(f"/api/v1/rollouts/{ident}/start")
    return ident


def follow(stage: Stage, ident: str, until: Until, seconds: float = LONGEST) -> Progress:
    """Show how a rollout goes on until a condition holds, and return how far it is then.

    Raises `UnavailableError` (`demo.rollout`) if that takes too long.
    """
    began, pause = clock.monotonic(), threading.Event()
    with Screen(stage.console) as screen:
        while True:
            now = progress(stage, ident)
            screen.show(now, clock.monotonic() - began)
            if until(now):
                return now
            if clock.monotonic() - began > seconds:
                raise UnavailableError(
                    "demo.rollout", f"The rollout {now.rollout.name!r} stands: {now.reason}", "Look at devices.log."
                )
            pause.wait(EACH)


def progress(stage: Stage, ident: str) -> Progress:
    """Return how far a rollout is."""
    return msgspec.json.decode(stage.caller("anna").raw(f"/api/v1/rollouts/{ident}/progress"), type=Progress)


def ended(now: Progress) -> bool:
    """Tell whether a rollout is done, or stands paused with nobody under way."""
    return now.rollout.state == "done" or (now.rollout.state == "paused" and not sum(_under_way(now)))


def waves(stage: Stage, ident: str) -> list[list[Agent]]:
    """Return the devices of each wave."""
    listed = stage.caller("anna").get(f"/api/v1/rollouts/{ident}/devices", limit=200)["items"]
    count = 1 + max(one["wave"] for one in listed)
    return [[stage.agent(one["device"]) for one in listed if one["wave"] == number] for number in range(count)]


def members(stage: Stage, ident: str) -> list[Member]:
    """Return the devices of a rollout, wave by wave, with what each signed about it."""
    anna = stage.caller("anna")
    listed = anna.get(f"/api/v1/rollouts/{ident}/devices", limit=200)["items"]
    return [
        Member(agent, one["wave"], one["outcome"], _signed(anna, agent, one["attempt"]))
        for one in listed
        for agent in [stage.agent(one["device"])]
    ]


def receipts(caller: Caller, agent: Agent, attempt: str = "") -> list[fleet.Receipt]:
    """Return what a device signed, as the plane lists it, newest first; of one attempt or of all."""
    data = caller.raw(f"/api/v1/devices/{agent.device}/receipts")
    found = msgspec.json.decode(data, type=api.Page[fleet.Receipt]).items
    return [each for each in found if attempt in ("", each.attempt)]


def _signed(caller: Caller, agent: Agent, attempt: str) -> Receipt | None:
    """Return the one receipt of an attempt if it holds with the key on the device's own disk."""
    found = receipts(caller, agent, attempt)
    if len(found) != 1:
        return None
    sealed = envelope.read(caller.raw(f"/api/v1/receipts/{found[0].digest}"))
    try:
        said = receipt.verified(sealed, agent.key)
    except InvalidError:
        return None
    whole = digests.sha256_hex(sealed.payload) == found[0].digest
    return said if whole and said.device == agent.device and said.attempt == attempt else None


def _under_way(now: Progress) -> list[int]:
    return [sum(wave.steps.values()) for wave in now.waves]
