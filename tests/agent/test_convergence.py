# SPDX-License-Identifier: Apache-2.0
"""Wherever a device is cut short, and whatever it finds, it comes to what was ordered or back to last known good."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st
from msgspec.structs import replace as replace_

from checkvalve.agent import exclusive, health, recover
from checkvalve.agent.situation import RUNS, all_blobs
from checkvalve.agent.steps import (
    Commit,
    Container,
    Do,
    MakeNetwork,
    Observed,
    Position,
    Remove,
    Rest,
    Slot,
    Start,
    Stop,
)
from checkvalve.protocol.declared import Placed, Secret
from checkvalve.protocol.exchange import ENDED, SWITCHED, State
from checkvalve.protocol.workload import Attachment, Gate, Manifest, Mount, Network, Volume
from tests.agent.world import DEVICE, Behaviour, Cut, Device, is_right, line, loud, manifest, service, slot

GATE = Gate(start_grace_ms=20_000, soak_ms=4_000)


def rich(version: str, **how: object) -> Manifest:
    """Return a release with a oneshot, dependencies, a volume to copy, one to keep, and a secret."""
    mounts = (Mount(volume="data", target="/data"), Mount(volume="keep", target="/keep"))
    pin = (Placed(name="pin", target="/run/secrets/pin"),)
    made = manifest(
        {
            "db": service(f"db{version}", mounts=mounts, restart="always", secrets=pin),
            "migrate": service(f"migrate{version}", kind="oneshot", after=("db",)),
            "web": service(f"web{version}", after=("migrate",), **how),
        },
        [f"db{version}", f"migrate{version}", f"web{version}"],
        version=version,
        gate=GATE,
        volumes={"data": Volume(policy="snapshot"), "keep": Volume()},
    )
    return replace_(made, secrets=(Secret(name="pin"),), v=2)


OLDEST, OLD, NEW = slot(1, line("1")), slot(2, rich("2")), slot(3, rich("3"), copied=True)
NEW = replace(
    NEW, volumes={**NEW.volumes, "keep": OLD.volumes["keep"]}, copies={NEW.volumes["data"]: OLD.volumes["data"]}
)


def fixed(version: str, subnet: str, parent: str = "") -> Manifest:
    """Return that release with `db`, healthy first, on a network that cannot be twice, and `default` besides."""
    plain = rich(version)
    db, migrate = plain.services["db"], plain.services["migrate"]
    here = (Attachment(network="plant"), Attachment(network="default"))
    return replace_(
        plain,
        services={
            **plain.services,
            "db": replace_(db, networks=here),
            "migrate": replace_(migrate, healthy_first=("db",)),
        },
        networks={**plain.networks, "plant": Network(subnet=subnet, parent=parent, internal=version == "3")},
        v=2,
    )


def brought(what: Manifest) -> Slot:
    """Return the slot of an update to this release, with its volumes as NEW has them."""
    return replace(slot(3, what, copied=True), volumes=NEW.volumes, copies=NEW.copies)


FIXED = slot(2, fixed("2", "10.20.0.0/24"))
STOP_FIRST = {
    "subnet": (FIXED, brought(fixed("3", "10.20.0.128/25"))),
    "interface": (slot(2, fixed("2", "10.20.0.0/24", "eth1")), brought(fixed("3", "10.21.0.0/24", "eth1"))),
    "gone": (FIXED, NEW),
    "come": (OLD, brought(fixed("3", "10.20.0.0/24"))),
}
ENDINGS: dict[str, Behaviour] = {
    "good": Behaviour(),
    "exits": Behaviour(exit_code=1, after=1.0),
    "unhealthy": Behaviour(health="unhealthy"),
    "will not start": Behaviour(starts=False),
    "will not load": Behaviour(loads=False),
}


def device(ending: str = "good", *, seed: int = 0, first: bool = False, old: Slot = OLD, new: Slot = NEW) -> Device:
    """Return a device with an order for NEW, on which OLD runs unless it is the first."""
    made = Device(releases={new.target: new}, seed=seed)
    made.engine.behaviours |= {
        "migrate2": Behaviour(exit_code=0),
        "migrate3": Behaviour(exit_code=0, after=1.5),
        "web3": ENDINGS[ending],
    }
    if not first:
        made.install(old)
    made.order(new)
    return made


def last_good(made: Device) -> Slot | None:
    return next((old for old in (OLD, *_olds()) if old.release == made.first.release), None)


def _olds() -> list[Slot]:
    return [old for old, _ in STOP_FIRST.values()]


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
    places = made.active is not None and made.active.places
    assert made.engine.laid == ({made.active.attempt} if made.active and places else set())


def turns(made: Device, most: int = 400) -> Iterator[None]:
    """Make moves, asserting after each what must hold in every state that can be reached."""
    for _ in range(most):
        before, active, state = made.engine.observed(), made.active, made.position.state
        move = made.turn()
        assert len(loud(made)) <= 1, move
        assert made.active == active or isinstance(move, Commit), move
        if isinstance(move, Do):
            _allowed(move, before, state, made.slots.get(NEW.attempt, NEW))
        if isinstance(move, Rest) and move.failure is None and made.position.state in ENDED:
            return
        yield


def _allowed(move: Do, before: Observed, state: State, new: Slot) -> None:
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
        waits = exclusive.in_the_way(new, before).keys()
        free = {
            name
            for name, service in new.manifest.services.items()
            if name != "migrate" and not waits & {new.network(each.network) for each in service.networks}
        }
        whole = free <= before.of(NEW.attempt).keys()
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


@pytest.mark.slow
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
@pytest.mark.parametrize("case", STOP_FIRST)
@pytest.mark.parametrize("ending", ["good", "exits", "will not start"])
def test_a_power_cut_in_a_switch_that_stops_first_ends_in_the_new_or_in_the_old(ending: str, case: str) -> None:
    old, new = STOP_FIRST[case]

    def make() -> Device:
        return device(ending, seed=len(case), old=old, new=new)

    for operations in range(count(make) + 1):
        made = cut_short(make, operations, daemon=operations % 2 == 0)
        ended_well(made, good=ending == "good")
        assert State.DEGRADED not in {each.state for each in made.events}


@pytest.mark.slow
@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(sorted(ENDINGS)),
    st.lists(st.tuples(st.integers(0, 40), st.booleans()), max_size=5),
    st.integers(0, 2**16),
    st.sampled_from([(OLD, NEW), *STOP_FIRST.values()]),
)
def test_power_cuts_one_after_the_other_end_in_the_new_or_in_the_old(
    ending: str, cuts: list[tuple[int, bool]], seed: int, pair: tuple[Slot, Slot]
) -> None:
    made = device(ending, seed=seed, old=pair[0], new=pair[1])
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
@given(
    st.data(),
    st.sampled_from(sorted(ENDINGS)),
    st.integers(0, 2**16),
    st.sampled_from([(OLD, NEW), *STOP_FIRST.values()]),
)
def test_hands_in_mid_switch_end_in_the_new_or_in_the_old(
    data: st.DataObject, ending: str, seed: int, pair: tuple[Slot, Slot]
) -> None:
    made = device(ending, seed=seed, old=pair[0], new=pair[1])
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


def _container(where: Slot, name: str, odd: str, state: str, code: int, policy: str, restarts: int) -> Container:
    services = where.manifest.services
    called = where.container(name) + ("-by-hand" if odd == "name" else "")
    other = OLDEST.manifest.services["db"].image
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


def containers(slots: tuple[Slot, ...]) -> st.SearchStrategy[Container]:
    """Return containers of these slots, in any state."""
    return st.builds(
        _container,
        st.sampled_from(slots),
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
    old, new = draw(st.sampled_from([(OLD, NEW), (OLD, NEW), *STOP_FIRST.values()]))
    slots = (OLDEST, old, new)
    made = Device(releases={new.target: new}, seed=draw(st.integers(0, 2**16)))
    made.engine.behaviours |= {each: Behaviour(exit_code=0) for each in ("migrate2", "migrate3")}
    made.engine.behaviours["web3"] = ENDINGS[draw(st.sampled_from(sorted(ENDINGS)))]
    active = draw(st.sampled_from([None, old, new]))
    previous = OLDEST if active is old else old if active is new else None
    for where in slots:
        made.engine.names |= {config: what.name for config, what in where.manifest.images.items()}
    if active is new:
        made.engine.behaviours["web3"] = Behaviour()
    for each in draw(st.lists(containers(slots), max_size=8)):
        made.engine.containers[each.name] = each
    parts = sorted({config for each in slots for config in each.manifest.images})
    made.engine.images = draw(st.sets(st.sampled_from(parts)))
    networks = {each.network(name): what for each in slots for name, what in each.manifest.networks.items()}
    networks[f"{DEVICE}-old-12345678"] = Network(subnet="10.20.0.64/26")
    for name in draw(st.lists(st.sampled_from(sorted(networks)))):
        made.engine.do(MakeNetwork(name, internal=False, definition=networks[name]))
    made.engine.volumes = draw(st.sets(st.sampled_from(sorted({*old.volumes.values(), *new.volumes.values()}))))
    made.active, made.previous = active, previous
    made.slots = {each.attempt: each for each in (active, previous) if each is not None}
    kept = {blob for each in (active, previous) if each is not None for blob in all_blobs(each.manifest)}
    made.held = kept | draw(st.sets(st.sampled_from(sorted(all_blobs(new.manifest)))))
    state = draw(st.sampled_from(State))
    made.position = Position(
        state=state,
        attempt="" if state is State.IDLE else new.attempt,
        release=new.release,
        target=new.target,
        number=new.number,
        boots=draw(st.integers(0, 30)),
        owed=draw(st.booleans()) and state is State.REFUSED,
    )
    if state in SWITCHED | {State.STAGED} or draw(st.booleans()):
        made.slots[new.attempt] = new
    if state is State.COMMITTED and active is not new:  # its pointer was lost
        made.position = replace(made.position, attempt=old.attempt)
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
    used = set() if made.active is None else {made.active.network(each) for each in made.active.manifest.networks}
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
