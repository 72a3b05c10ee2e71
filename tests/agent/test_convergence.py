# SPDX-License-Identifier: Apache-2.0
"""Wherever a device is cut short, and whatever it finds, it comes to what was ordered or back to last known good."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from checkvalve.agent import health, recover
from checkvalve.agent.situation import RUNS, all_blobs
from checkvalve.agent.steps import Commit, Container, Do, Observed, Position, Remove, Rest, Slot, Start, Stop
from checkvalve.protocol.exchange import ENDED, SWITCHED, State
from checkvalve.protocol.workload import Gate, Manifest, Mount, Volume
from tests.agent.world import DEVICE, Behaviour, Cut, Device, is_right, line, loud, manifest, service, slot

GATE = Gate(start_grace_ms=20_000, soak_ms=4_000)


def rich(version: str, **how: object) -> Manifest:
    """Return a release with a oneshot, dependencies, a volume to copy, and one to keep."""
    mounts = (Mount(volume="data", target="/data"), Mount(volume="keep", target="/keep"))
    return manifest(
        {
            "db": service(f"db{version}", mounts=mounts, restart="always"),
            "migrate": service(f"migrate{version}", kind="oneshot", after=("db",)),
            "web": service(f"web{version}", after=("migrate",), **how),
        },
        [f"db{version}", f"migrate{version}", f"web{version}"],
        version=version,
        gate=GATE,
        volumes={"data": Volume(policy="snapshot"), "keep": Volume()},
    )


OLDEST, OLD, NEW = slot(1, line("1")), slot(2, rich("2")), slot(3, rich("3"), copied=True)
NEW = replace(
    NEW, volumes={**NEW.volumes, "keep": OLD.volumes["keep"]}, copies={NEW.volumes["data"]: OLD.volumes["data"]}
)
ENDINGS: dict[str, Behaviour] = {
    "good": Behaviour(),
    "exits": Behaviour(exit_code=1, after=1.0),
    "unhealthy": Behaviour(health="unhealthy"),
    "will not start": Behaviour(starts=False),
    "will not load": Behaviour(loads=False),
}


def device(ending: str = "good", *, seed: int = 0, first: bool = False) -> Device:
    """Return a device with an order for NEW, on which OLD runs unless it is the first."""
    made = Device(releases={NEW.target: NEW}, seed=seed)
    made.engine.behaviours |= {
        "migrate2": Behaviour(exit_code=0),
        "migrate3": Behaviour(exit_code=0, after=1.5),
        "web3": ENDINGS[ending],
    }
    if not first:
        made.install(OLD)
    made.order(NEW)
    return made


def last_good(made: Device) -> Slot | None:
    return OLD if made.first.attempt else None


def ended_well(made: Device, *, good: bool) -> None:
    """Assert that it is exactly one of: new and all right, old and all right."""
    assert isinstance(made.moves[-1], Rest), (made.position, made.moves[-3:])
    assert made.position.state in ENDED
    old = last_good(made)
    if good and made.position.state is State.COMMITTED and made.position.attempt == NEW.attempt:
        assert is_right(made, made.active)
        assert made.active is not None
        assert made.active.attempt == NEW.attempt
    else:
        assert made.position.state in {State.ROLLED_BACK, State.REFUSED}
        assert is_right(made, old)
        assert made.active == old


def turns(made: Device, most: int = 400) -> Iterator[None]:
    """Make moves, asserting after each what must hold in every state that can be reached."""
    for _ in range(most):
        before, active, state = made.engine.observed(), made.active, made.position.state
        move = made.turn()
        assert len(loud(made)) <= 1, move
        assert made.active == active or isinstance(move, Commit), move
        if isinstance(move, Do):
            _allowed(move, before, state)
        if isinstance(move, Rest) and move.failure is None and made.position.state in ENDED:
            return
        yield


def _allowed(move: Do, before: Observed, state: State) -> None:
    """Assert that these steps may be taken on what there was before them."""
    there = {each.name: each for each in before.containers}
    runs = {each.attempt for each in before.containers if each.state in RUNS}
    stopped = [there[each.container] for each in move.steps if isinstance(each, Stop)]
    started = [there[each.container] for each in move.steps if isinstance(each, Start)]
    removed = [there[each.container] for each in move.steps if isinstance(each, Remove)]
    assert all(each.policy == "no" for each in stopped if state in SWITCHED), "it would run again with the engine"
    assert all(runs <= {each.attempt} for each in started), "the other one still runs"
    assert not any(each.state in RUNS for each in removed), "it was not asked to stop"
    if state is State.SWITCHING:
        whole = {name for name in NEW.manifest.services if name != "migrate"} <= before.of(NEW.attempt).keys()
        assert whole or not [*stopped, *removed], "what is to come is not there yet"


def cut_short(make: Callable[[], Device], operations: int, *, daemon: bool) -> Device:
    """Return a device whose power went after so many operations, and which has started and come to rest since."""
    made = make()
    made.cut_after = made.operations + operations
    try:
        for _ in turns(made):
            pass
    except Cut:
        assert len(loud(made)) <= 1
        if daemon:
            made.engine.restart()
            running = {each.attempt for each in made.engine.observed().containers if each.state == "running"}
            assert len(running) <= 1
        made.restart()
        for _ in turns(made):
            pass
    return made


def count(make: Callable[[], Device]) -> int:
    """Return how many operations it takes without a cut."""
    made = make()
    before = made.operations
    for _ in turns(made):
        pass
    return made.operations - before


@pytest.mark.parametrize("first", [False, True], ids=["update", "first"])
@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("daemon", [False, True], ids=["agent", "whole device"])
def test_a_power_cut_at_any_operation_ends_in_the_new_or_in_the_old(ending: str, *, daemon: bool, first: bool) -> None:
    def make() -> Device:
        return device(ending, first=first)

    for operations in range(count(make) + 1):
        made = cut_short(make, operations, daemon=daemon)
        ended_well(made, good=ending == "good")


@pytest.mark.slow
@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(sorted(ENDINGS)),
    st.lists(st.tuples(st.integers(0, 40), st.booleans()), max_size=5),
    st.integers(0, 2**16),
)
def test_power_cuts_one_after_the_other_end_in_the_new_or_in_the_old(
    ending: str, cuts: list[tuple[int, bool]], seed: int
) -> None:
    made = device(ending, seed=seed)
    for operations, daemon in cuts:
        made.cut_after = made.operations + operations
        try:
            if made.operations and made.events[-1].kind != "order":
                made.restart()
            for _ in turns(made):
                pass
        except Cut:
            if daemon:
                made.engine.restart()
    made.cut_after = None
    made.restart()
    for _ in turns(made):
        pass
    ended_well(made, good=ending == "good")


@pytest.mark.slow
@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(st.data(), st.sampled_from(sorted(ENDINGS)), st.integers(0, 2**16))
def test_hands_in_mid_switch_end_in_the_new_or_in_the_old(data: st.DataObject, ending: str, seed: int) -> None:
    made = device(ending, seed=seed)
    for index, _ in enumerate(turns(made)):
        if index < 60 and data.draw(st.integers(0, 5)) == 0:
            note(f"before turn {index + 1} in {made.position.state}: {_hand(data, made)}")
    ended_well(made, good=ending == "good")


def _hand(data: st.DataObject, made: Device) -> str:
    """Let somebody do something to the engine; return what."""
    engine = made.engine
    names = sorted(engine.containers)
    what = data.draw(st.sampled_from(["remove", "stop", "network", "daemon", "image", "agent"]))
    if what in {"remove", "stop"} and names:
        name = data.draw(st.sampled_from(names))
        engine.do(Remove(name) if what == "remove" else Stop(name, 0))
    elif what == "network":
        engine.networks.clear()
    elif what == "daemon":
        engine.restart()
    elif what == "image" and engine.images:
        engine.images.discard(data.draw(st.sampled_from(sorted(engine.images))))
    elif what == "agent":
        made.restart()
    return what


# ---- Any state at all. ----

SLOTS = (OLDEST, OLD, NEW)


def _container(where: Slot, name: str, odd: str, state: str, code: int, policy: str, restarts: int) -> Container:
    services = where.manifest.services
    called = where.container(name) + ("-by-hand" if odd == "name" else "")
    other = SLOTS[0].manifest.services["db"].image
    config = services[name].image if name in services and odd != "image" else other
    return Container(
        id=called,
        name=called,
        service=name,
        attempt=where.attempt,
        release=where.release,
        image=config,
        state=state,  # type: ignore[arg-type]  # one of the engine's words
        exit_code=code,
        restarts=restarts,
        policy=policy,
        started=state != "created",
    )


containers = st.builds(
    _container,
    st.sampled_from(SLOTS),
    st.sampled_from(["db", "web", "migrate", "ghost"]),
    st.sampled_from(["", "", "", "name", "image"]),
    st.sampled_from(["created", "running", "paused", "restarting", "removing", "exited", "dead"]),
    st.sampled_from([0, 1, 137]),
    st.sampled_from(["no", "always", "unless-stopped", "on-failure"]),
    st.integers(0, 3),
)


@st.composite
def found(draw: st.DrawFn) -> Device:
    """Return a device in any state, of which only the journal, the slots and the blobs of what is active are whole."""
    made = Device(releases={NEW.target: NEW}, seed=draw(st.integers(0, 2**16)))
    made.engine.behaviours |= {each: Behaviour(exit_code=0) for each in ("migrate2", "migrate3")}
    made.engine.behaviours["web3"] = ENDINGS[draw(st.sampled_from(sorted(ENDINGS)))]
    active = draw(st.sampled_from([None, OLD, NEW]))
    previous = OLDEST if active is OLD else OLD if active is NEW else None
    for where in SLOTS:
        made.engine.names |= {config: what.name for config, what in where.manifest.images.items()}
    if active is NEW:
        made.engine.behaviours["web3"] = Behaviour()
    for each in draw(st.lists(containers, max_size=8)):
        made.engine.containers[each.name] = each
    parts = sorted({config for each in SLOTS for config in each.manifest.images})
    made.engine.images = draw(st.sets(st.sampled_from(parts)))
    networks = sorted({each.network("default") for each in SLOTS} | {f"{DEVICE}-old-12345678"})
    made.engine.networks = draw(st.sets(st.sampled_from(networks)))
    made.engine.volumes = draw(st.sets(st.sampled_from(sorted({*OLD.volumes.values(), *NEW.volumes.values()}))))
    made.active, made.previous = active, previous
    made.slots = {each.attempt: each for each in (active, previous) if each is not None}
    kept = {blob for each in (active, previous) if each is not None for blob in all_blobs(each.manifest)}
    made.held = kept | draw(st.sets(st.sampled_from(sorted(all_blobs(NEW.manifest)))))
    state = draw(st.sampled_from(State))
    made.position = Position(
        state=state,
        attempt="" if state is State.IDLE else NEW.attempt,
        release=NEW.release,
        target=NEW.target,
        number=NEW.number,
        boots=draw(st.integers(0, 30)),
        owed=draw(st.booleans()) and state is State.REFUSED,
    )
    if state in SWITCHED | {State.STAGED} or draw(st.booleans()):
        made.slots[NEW.attempt] = NEW
    if state is State.COMMITTED and active is not NEW:  # its pointer was lost
        made.position = replace(made.position, attempt=OLD.attempt)
    made.watch = health.begin(0.0)
    return made


@pytest.mark.slow
@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(found(), st.booleans())
def test_any_state_converges_to_what_is_active_in_the_end(made: Device, started: bool) -> None:  # noqa: FBT001
    note(f"{made.position}, active {made.active and made.active.attempt}")
    if started:
        made.restart()
    pointer = made.active
    for _ in range(400):
        move = made.turn()
        assert made.active == pointer or isinstance(move, Commit), move
        pointer = made.active
        if isinstance(move, Rest) and move.failure is None and made.position.state in ENDED:
            break
    assert isinstance(made.moves[-1], Rest), made.moves[-6:]
    assert is_right(made, made.active), (made.position, made.moves[-6:])
    used = set() if made.active is None else {made.active.network("default")}
    assert made.engine.networks == used
    assert made.held <= {blob for each in made.slots.values() for blob in all_blobs(each.manifest)}


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(found())
def test_at_rest_nothing_is_done_until_something_happens(made: Device) -> None:
    made.run()
    operations = made.operations
    for _ in range(3):
        assert isinstance(made.turn(), Rest)
    assert made.operations == operations


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(found())
def test_what_is_decided_first_after_a_start_is_where_the_journal_leads(made: Device) -> None:
    before = made.position
    made.restart()
    position = before
    for event in made.events:
        position = recover.fold(position, event)
    assert position == made.position
