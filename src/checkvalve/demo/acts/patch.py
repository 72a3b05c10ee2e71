# SPDX-License-Identifier: Apache-2.0
"""Act: a signed patch goes out, canary first and then in waves; in the last one a device loses its power."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from checkvalve import clock
from checkvalve.demo import pictures, rollouts, station
from checkvalve.demo.acts import supply
from checkvalve.demo.engines import Running
from checkvalve.demo.facts import Fact, Picture
from checkvalve.demo.fleet import Agent, until
from checkvalve.demo.rollouts import Member, Plan
from checkvalve.demo.stage import Stage
from checkvalve.protocol.exchange import Event, State

TITLE = "A signed patch: a canary, then waves; and the plug is pulled on a device in mid-switch"
STEP = 6
SOON = 15.0  # seconds
PATIENCE = 60.0
DARK = 1.0  # seconds without power
TOLD = (State.SWITCHING, State.ROLLING_BACK, State.ROLLED_BACK)


@dataclass(frozen=True)
class Cut:
    """What ran on a device before its switch, the state in which its plug was pulled, and what was killed then."""

    before: Running
    state: State
    killed: int


def play(stage: Stage) -> list[Fact]:
    """Sign it, start it, watch it, cut the power of one device, and let the operator go on."""
    supply.publish(stage, (station.PATCH, station.BROKEN))
    stage.say(f"Rut and Nils have signed {station.ref(station.PATCH)}. Anna drafts the rollout, Ingrid approves it.")
    plan = Plan("Pump station 1.1", station.ref(station.PATCH), "all", step=STEP, change="MoC-2026-121")
    ident = stage.ids["patch"] = rollouts.started(stage, plan)
    victim = rollouts.waves(stage, ident)[-1][-1]
    with ThreadPoolExecutor(1) as pool:
        cut = pool.submit(_pull_the_plug, stage, victim)
        rollouts.follow(stage, ident, lambda _: cut.done())
    power = _returns(stage, victim, cut.result())
    paused = rollouts.follow(stage, ident, rollouts.ended)
    stage.say(f"The plane has paused it: {paused.rollout.reason}")
    found = rollouts.members(stage, ident)
    stage.pictures.insert(0, _picture(found, victim))
    return [_in_order(ident, found), _receipts(found, victim), power, _second_try(stage, ident, victim)]


def _pull_the_plug(stage: Stage, victim: Agent) -> Cut:
    """Wait until a device is half-way through its switch, and kill its agent and its containers."""
    before = stage.engine.running(victim.device, victim.directory)
    old = set(before.values())

    def half_way() -> bool:
        left = stage.engine.running(victim.device, victim.directory)
        return victim.state is State.SWITCHING and bool(left) and not old & set(left.values())

    until(half_way, PATIENCE)
    victim.kill()
    return Cut(before, victim.state, stage.engine.cut(victim.device, victim.directory))


def _returns(stage: Stage, victim: Agent, cut: Cut) -> Fact:
    """Let the power return, and look."""
    stage.say(f"[bold]{victim.name} loses its power[/bold] while {cut.state}: its agent and its containers are killed.")
    until(lambda: False, DARK)
    seen = len(victim.events)
    victim.start(stage.log, stage.engine.words(stage.agents.index(victim)))
    began = clock.monotonic()
    came = until(lambda: victim.state is State.ROLLED_BACK, PATIENCE)
    seconds = clock.monotonic() - began
    after = stage.engine.running(victim.device, victim.directory)
    story = _story(victim.events, seen)
    stage.say(f"Power is back. {victim.name} helps itself; its journal, by its own clock:")
    for event in story:
        stage.say(f"  [dim]{pictures.time(event.at)}[/dim]  {pictures.word(event):13} {event.reason}")
    stage.pictures.append(
        Picture(
            f"The plug is pulled on {victim.name}: its journal in {len(story)} lines",
            f"It was half-way through the switch. {seconds:.1f} s after its power came back, all of the old release "
            "ran again. Nobody helped.",
            pictures.journal(story),
        )
    )
    return Fact(
        "A device that loses its power in the middle of a switch comes back by itself, to exactly what ran before",
        f"{victim.name} cut while {cut.state}, the old stopped, {cut.killed} of the new begun; {seconds:.1f} s "
        f"after its power came back all {len(after)} old ones run again, and nobody helped",
        f"whole, < {SOON:.0f} s",
        f"checkvalve device log {victim.name}",
        cut.state is State.SWITCHING and cut.killed > 0 and came < SOON and after == cut.before,
    )


def _story(events: list[Event], seen: int) -> list[Event]:
    """Return what it wrote last before the cut, and the start and the way back after it: four lines."""
    late = [each for each in events[seen:] if each.kind == "boot" or each.state in TOLD]
    early = [each for each in events[:seen] if each.state is State.SWITCHING]
    return [*early[-1:], *late[:3]]


def _picture(found: list[Member], victim: Agent) -> Picture:
    took = sum(each.outcome == "committed" for each in found)
    return Picture(
        "A patch on twelve devices: a canary, then waves",
        f"As each device signed it. {took} of {len(found)} took the patch; {victim.name} lost its power and went back "
        "by itself, and the plane paused there until a person went on.",
        pictures.waves(found),
    )


def _in_order(ident: str, found: list[Member]) -> Fact:
    waves = [[each for each in found if each.wave == number] for number in range(1 + max(each.wave for each in found))]
    starts = [min((each.at(State.OFFERED) for each in wave), default=0) for wave in waves]
    ends = [max((each.at(State.COMMITTED) for each in wave), default=0) for wave in waves]
    gaps = [(begin - end) / 1000 for end, begin in zip(ends, starts[1:], strict=False)]
    sizes = ", ".join(str(len(wave)) for wave in waves)
    return Fact(
        "A canary goes first, then wave after wave, each only after the one before has proved itself",
        f"waves of {sizes}; each began {', '.join(f'{gap:.1f} s' for gap in gaps)} after the last receipt of the one "
        f"before it; {(ends[-1] - starts[0]) / 1000:.0f} s in all, {station.SOAK} s of each wave watching",
        "none begins early; next within 5 s",
        f"checkvalve rollout devices {ident}",
        len(gaps) == 2 and all(0 <= gap < 5 for gap in gaps),
    )


def _receipts(found: list[Member], victim: Agent) -> Fact:
    signed = [each for each in found if each.said is not None]
    took = [each for each in signed if each.said and each.said.outcome is State.COMMITTED]
    others = [each.agent.name for each in signed if each not in took]
    return Fact(
        "Each device signs one receipt of what it did, and it holds with the key on that device's own disk",
        f"{len(signed)} receipts of {len(found)} devices hold: {len(took)} committed, rolled back by itself: "
        f"{', '.join(others) or 'none'}",
        "one each, and all hold",
        f"checkvalve device receipt {victim.name} --out receipt.json",
        len(signed) == len(found) == len(took) + 1 and others == [victim.name],
    )


def _second_try(stage: Stage, ident: str, victim: Agent) -> Fact:
    """Let Anna go on without the device, and send it the patch once more."""
    anna = stage.caller("anna")
    reason = rollouts.progress(stage, ident).rollout.reason
    anna.post(f"/api/v1/rollouts/{ident}/resume", reason="That was the power; it gets its own try.")
    first = rollouts.follow(stage, ident, rollouts.ended).rollout
    stage.say(f"Anna goes on without {victim.name}, looks at its cabinet, and sends it the patch once more.")
    selector = f'device:"{victim.name}"'
    again = rollouts.started(stage, Plan("Pump station 1.1, again", station.ref(station.PATCH), selector))
    second = rollouts.follow(stage, again, rollouts.ended).rollout
    run = [stage.engine.running(agent.device, agent.directory) for agent in stage.agents]
    same = {release for each in run for release in each.values()}
    return Fact(
        "A rollout stops by itself where devices fail, says why in a sentence, and goes on when a person says so",
        f'paused: "{reason}" Then {first.state}; {victim.name} in a rollout of its own: {second.state}. '
        f"{sum(bool(each) for each in run)} devices run {len(same)} release",
        f"paused, then {len(stage.agents)} devices on one release",
        f"checkvalve rollout show {ident}",
        bool(reason) and first.state == second.state == "done" and len(same) == 1 and all(run),
    )
