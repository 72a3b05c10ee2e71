# SPDX-License-Identifier: Apache-2.0
"""What cannot exist twice, and how a switch goes where it cannot: stop first, and back again."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace as replace_

from checkvalve.agent import exclusive
from checkvalve.agent.steps import (
    Create,
    Do,
    DropNetwork,
    Ground,
    MakeNetwork,
    Observed,
    Policy,
    Remove,
    Slot,
    Start,
    Step,
    Stop,
)
from checkvalve.protocol.exchange import State
from checkvalve.protocol.workload import Attachment, Gate, Network
from tests.agent.world import Behaviour, Device, is_right, line, slot

GATE = Gate(start_grace_ms=30_000, soak_ms=4_000)


def release(number: int, **plant: str) -> Slot:
    """Return a release of which `db` alone is on the network `plant`."""
    plain = line(str(number), gate=GATE)
    db = replace_(plain.services["db"], networks=(Attachment(network="plant"),))
    networks = {**plain.networks, "plant": Network(**plant)}  # type: ignore[arg-type]  # a test says what it needs
    return slot(number, replace_(plain, services={**plain.services, "db": db}, networks=networks, v=2))


def seen(*grounds: Ground) -> Observed:
    return Observed(networks=frozenset(each.network for each in grounds), grounds=frozenset(grounds))


def way(of: Slot, *grounds: Ground) -> set[str]:
    return {each for found in exclusive.in_the_way(of, seen(*grounds)).values() for each in found}


@pytest.mark.parametrize(
    ("plant", "ground", "clashes"),
    [
        ({"subnet": "10.20.0.0/24"}, Ground("x", ("10.20.0.128/25",)), True),
        ({"subnet": "10.20.0.0/24"}, Ground("x", ("fd00::/64", "10.20.0.0/16")), True),
        ({"subnet": "10.20.0.0/24"}, Ground("x", ("10.20.1.0/24", "fd00::/64")), False),
        ({"subnet": "fd00::/64"}, Ground("x", ("10.20.1.0/24", "fd00::/48")), True),
        ({"parent": "eth1"}, Ground("x", (), "eth1"), True),
        ({"parent": "eth1"}, Ground("x", (), "eth1.10"), False),
        ({}, Ground("x", ("10.20.1.0/24",), "eth1"), False),
        ({"subnet": "10.20.0.0/24"}, Ground("x", ("", "nothing")), False),
    ],
)
def test_subnets_that_overlap_and_one_interface_cannot_be_twice(
    plant: dict[str, str], ground: Ground, *, clashes: bool
) -> None:
    assert way(release(2, **plant), ground) == ({"x"} if clashes else set())


def test_what_is_there_and_what_the_slot_needs_itself_never_have_to_go() -> None:
    of = release(2, subnet="10.20.0.0/24")
    there = exclusive.ground(of.network("plant"), of.manifest.networks["plant"])
    assert way(of, there, Ground("x", ("10.20.0.0/24",))) == set()
    assert way(of, Ground(of.network("default"), ("10.20.0.0/24",))) == set()


def test_what_the_engine_does_not_show_as_a_network_of_this_device_is_not_asked_to_go() -> None:
    of = release(2, subnet="10.20.0.0/24")
    assert exclusive.in_the_way(of, Observed(grounds=frozenset({Ground("x", ("10.20.0.0/24",))}))) == {}


@given(st.ip_addresses(v=4), st.integers(0, 32), st.ip_addresses(v=4), st.integers(0, 32))
def test_an_overlap_is_the_same_from_both_sides(one: object, first: int, other: object, second: int) -> None:
    subnets = f"{one}/{first}", f"{other}/{second}"
    assert exclusive.overlap(*subnets) == exclusive.overlap(*reversed(subnets))
    assert exclusive.overlap(subnets[0], subnets[0])


# ---- How a switch goes. ----

OLD, NEW = release(1, subnet="10.20.0.0/24"), release(2, subnet="10.20.0.0/25")


def device(new: Slot = NEW, old: Slot = OLD) -> Device:
    made = Device(releases={new.target: new})
    made.install(old)
    made.order(new)
    return made


def taken(made: Device) -> list[tuple[type[Step], str]]:
    """Return the steps that were taken, those at once by name, without what is of no matter here."""
    kinds = (Create, Policy, Stop, DropNetwork, MakeNetwork, Start, Remove)
    found: list[tuple[type[Step], str]] = []
    for move in made.moves:
        steps = move.steps if isinstance(move, Do) else ()
        now = [(type(each), _name(each)) for each in steps if isinstance(each, kinds)]
        found += sorted(now, key=lambda each: each[1])
    return found


def _name(step: Step) -> str:
    if isinstance(step, Create):
        return step.slot.container(step.service)
    return step.name if isinstance(step, DropNetwork | MakeNetwork) else str(getattr(step, "container", ""))


def test_the_old_stops_and_its_network_goes_before_the_new_one_is_made() -> None:
    made = device()
    made.run()
    assert is_right(made, NEW)
    assert taken(made)[: taken(made).index((Start, NEW.container("db")))] == [
        (Create, NEW.container("web")),  # what can be made is made while the old runs
        (Policy, OLD.container("db")),
        (Policy, OLD.container("web")),
        (Stop, OLD.container("web")),
        (Stop, OLD.container("db")),
        (DropNetwork, OLD.network("plant")),
        (MakeNetwork, NEW.network("plant")),
        (Create, NEW.container("db")),
    ]
    assert made.engine.networks == {NEW.network(name) for name in ("default", "plant")}


def test_on_the_way_back_the_old_network_is_made_again_and_who_lost_it_anew() -> None:
    made = device()
    made.engine.behaviours["db2"] = Behaviour(exit_code=3)
    made.run()
    assert made.position.state is State.ROLLED_BACK
    assert is_right(made, OLD)
    steps = taken(made)
    back = steps[steps.index((DropNetwork, NEW.network("plant"))) :]
    assert back.index((MakeNetwork, OLD.network("plant"))) < back.index((Create, OLD.container("db")))
    assert (Remove, OLD.container("web")) not in back  # it never lost anything
    assert State.DEGRADED not in {each.state for each in made.events}


def test_a_network_that_something_else_of_this_machine_is_on_turns_the_switch_back() -> None:
    made = device()
    made.until(State.SWITCHING)
    db = OLD.container("db")
    while not (isinstance(made.moves[-1], Do) and Stop(db, 10_000) in made.moves[-1].steps):
        made.turn()
    hand = replace(made.engine.containers[db], name="hand", id="hand", state="running", attempt="", policy="no")
    engine_do = made.engine._drop_network

    def refuses(name: str) -> object:
        made.engine.containers["hand"] = hand
        made.engine.on["hand"] = {OLD.network("plant"): 1}
        try:
            return engine_do(name)
        finally:
            made.engine.containers.pop("hand")
            made.engine.on.pop("hand")

    made.engine._drop_network = refuses  # type: ignore[assignment,method-assign]
    made.run()
    assert made.position.state is State.ROLLED_BACK
    assert "active endpoints" in made.position.reason
    assert is_right(made, OLD)


def test_a_network_of_nobody_any_more_goes_as_well() -> None:
    new = release(3, subnet="10.30.0.0/16")
    made = device(new=new)
    made.engine.do(MakeNetwork("left-over", internal=False, definition=Network(subnet="10.30.0.0/24")))
    made.run()
    assert is_right(made, new)
    assert "left-over" not in made.engine.networks


def test_one_address_of_one_network_needs_no_stop_before() -> None:
    same = release(3, subnet="10.20.0.0/24")
    made = device(new=same)
    made.run()
    assert is_right(made, same)
    steps = taken(made)
    assert steps.index((Create, same.container("db"))) < steps.index((Stop, OLD.container("db")))
    assert DropNetwork not in {kind for kind, _ in steps}


def test_who_was_taken_off_a_network_is_made_anew_although_one_of_that_name_is_there() -> None:
    made = Device()
    made.install(OLD)
    db, plant = OLD.container("db"), OLD.network("plant")
    made.engine.do(Stop(db, 0))
    made.engine.do(DropNetwork(plant))
    made.engine.do(MakeNetwork(plant, internal=False, definition=OLD.manifest.networks["plant"]))
    made.run()
    assert is_right(made, OLD)
    assert [kind for kind, name in taken(made) if name == db] == [Remove, Create, Start, Policy]
