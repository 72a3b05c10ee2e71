# SPDX-License-Identifier: Apache-2.0
"""Act: twelve devices at three sites let themselves in, each with one line."""

import json
from concurrent.futures import ThreadPoolExecutor

from checkvalve.demo.facts import Fact
from checkvalve.demo.fleet import Agent, until
from checkvalve.demo.stage import Stage

TITLE = "Twelve devices let themselves in with one line each, and show nothing to the network"
PUMP = "pump"
# site -> its devices, and the tag of each
ESTATE = {
    "Visby waterworks": {"visby-pump-1": PUMP, "visby-pump-2": PUMP, "visby-pump-3": PUMP, "visby-filter": "filter"},
    "Malmö pumping": {"malmo-pump-1": PUMP, "malmo-pump-2": PUMP, "malmo-pump-3": PUMP, "malmo-screen": "screen"},
    "Luleå reservoir": {"lulea-pump-1": PUMP, "lulea-pump-2": PUMP, "lulea-pump-3": PUMP, "lulea-valve": "valve"},
}
SOON = 30.0  # seconds
AT_ONCE = 3  # agents that come up at a time: a demo shall not stall the machine it runs on


def play(stage: Stage) -> list[Fact]:
    """Invite twelve devices, and let more try."""
    facts = [_joined(stage), _tried(stage), _silent(stage)]
    stage.say(f"{len(stage.agents)} devices are online.")
    return facts


def _joined(stage: Stage) -> Fact:
    invited = {
        (site, tag): _invited(stage, site, tag) for site in ESTATE for tag in dict.fromkeys(ESTATE[site].values())
    }
    wanted = [
        (Agent(name, stage.directory / "devices" / name), invited[site, tag])
        for site, devices in ESTATE.items()
        for name, tag in devices.items()
    ]
    stage.agents = [agent for agent, _ in wanted]

    def come_up(number: int) -> str:
        agent, token = wanted[number]
        code = agent.join(stage.devices, token, stage.pin)
        if not code:
            agent.start(stage.log, stage.engine.words(number))
        return code

    with ThreadPoolExecutor(AT_ONCE) as pool:
        codes = list(pool.map(come_up, range(len(wanted))))
    bo = stage.caller("bo")
    seconds = until(lambda: len(bo.get("/api/v1/devices", liveness="online")["items"]) == len(wanted), SOON)
    let_in = sum(not code for code in codes)
    return Fact(
        "A device joins with one line; its key is made on it and never leaves it",
        f"{let_in} of {len(wanted)} joined at {len(ESTATE)} sites by counted invites; all online {seconds:.1f} s after "
        "the last was started",
        f"all, < {SOON:.0f} s",
        "checkvalve device list",
        let_in == len(wanted) and seconds < SOON,
    )


def _invited(stage: Stage, site: str, tag: str) -> str:
    """Return the token of an invite for all devices of a site that have this tag."""
    uses = sum(each == tag for each in ESTATE[site].values())
    if "invite token" not in stage.ids:  # the first as a person at a terminal does it
        words = ("device", "invite", "--scope", stage.places[site], "--tag", tag, "--count", str(uses))
        stage.ids["invite token"] = json.loads(stage.run("bo", *words, "--json"))["token"]
        return stage.ids["invite token"]
    bo = stage.caller("bo")
    return str(bo.post("/api/v1/invites", scope=stage.places[site], tags=[tag], uses=uses)["token"])


def _tried(stage: Stage) -> Fact:
    token = stage.ids["invite token"]
    other = token[:-1] + ("0" if token[-1] != "0" else "1")
    tries = ((token, stage.pin), (token, "sha256:" + "0" * 64), (other, stage.pin))

    def tried(number: int) -> str:
        stranger = Agent("stranger", stage.directory / "strangers" / str(number))
        return stranger.join(stage.devices, *tries[number])

    with ThreadPoolExecutor(AT_ONCE) as pool:
        used, pinned, typed = pool.map(tried, range(len(tries)))
    return Fact(
        "A token that is used up lets nobody in; a plane that has not the pin is told nothing",
        f"used up: {used}; other pin: {pinned}; mistyped: {typed}",
        "each refused",
        "type the line of an invite on one device more",
        all((used, pinned, typed)) and used == "invite.refused" and pinned == "link.pin",
    )


def _silent(stage: Stage) -> Fact:
    open_ = sum(agent.listeners() for agent in stage.agents)
    running = sum(agent.process is not None and agent.process.poll() is None for agent in stage.agents)
    return Fact(
        "An agent shows nothing to the network: it dials, nothing dials it",
        f"{open_} listening TCP or UDP sockets in {running} process trees",
        "0",
        "ss -lntup | grep checkvalve-agent",
        open_ == 0 and running == len(stage.agents),
    )
