# SPDX-License-Identifier: Apache-2.0
"""Who has to be healthy first is, before others start; and nobody waits for ever."""

from dataclasses import replace

from msgspec.structs import replace as replace_

from checkvalve.agent.steps import Do, Note, Remove, Rest, Slot, Start, Stop
from checkvalve.protocol.exchange import State
from checkvalve.protocol.workload import Gate, HttpProbe
from tests.agent.world import Behaviour, Device, is_right, line, slot

GATE = Gate(start_grace_ms=30_000, soak_ms=4_000)
PROBE = HttpProbe(port=80, every_ms=1_000)


def release(number: int, *, probes: tuple[HttpProbe, ...] = (), restarts: int = 0) -> Slot:
    """Return a release of which `web` starts when `db` is healthy."""
    plain = line(str(number), gate=replace_(GATE, max_restarts=restarts))
    services = {
        "db": replace_(plain.services["db"], probes=probes),
        "web": replace_(plain.services["web"], healthy_first=("db",)),
    }
    return slot(number, replace_(plain, services=services, v=2))


def device(new: Slot, **db: object) -> Device:
    made = Device(releases={new.target: new})
    made.engine.behaviours["db2"] = Behaviour(**db)  # type: ignore[arg-type]  # a test says what it needs
    made.order(new)
    return made


def started(made: Device, name: str) -> list[float]:
    """Return when a container was started."""
    return [
        at for at, move in zip(_times(made), made.moves, strict=True)
        if isinstance(move, Do) and Start(name) in move.steps
    ]  # fmt: skip


def _times(made: Device) -> list[float]:
    """Return when each move was made: looks and rests are all that takes time here."""
    now, found = 0.0, []
    for move in made.moves:
        found.append(now)
        now += getattr(move, "seconds", 0.0)
    return found


def turn_healthy(made: Device, at: float, name: str = "db2") -> None:
    """Make moves until it is so late, and let the database be healthy from then on."""
    while made.engine.now < at:
        made.turn()
    made.engine.behaviours[name] = Behaviour(health="healthy")
    for key, each in made.engine.containers.items():
        if each.service == "db":
            made.engine.containers[key] = replace(each, health="healthy")


def test_it_starts_when_the_other_is_healthy_and_not_before() -> None:
    new = release(2)
    made = device(new, health="starting")
    turn_healthy(made, 20.0)
    made.run()
    assert is_right(made, new)
    (web,) = started(made, new.container("web"))
    assert 20.0 <= web <= 22.0


def test_without_a_check_of_its_own_running_is_enough() -> None:
    new = release(2)
    made = device(new)
    made.run()
    assert is_right(made, new)
    assert started(made, new.container("web")) == [0.0]


def test_healthy_is_who_passes_its_probes_too() -> None:
    new = release(2, probes=(PROBE,))
    made = device(new, health="healthy", probe="port 80 took no connection")
    while made.engine.now < 10.0:
        made.turn()
    made.engine.behaviours["db2"] = Behaviour(health="healthy")
    made.run()
    assert is_right(made, new)
    (web,) = started(made, new.container("web"))
    assert 10.0 <= web <= 12.0


def test_who_is_not_healthy_in_its_time_turns_the_attempt_back_before_the_others_start() -> None:
    for how, code in (
        ({"health": "unhealthy"}, "gate.unhealthy"),
        ({"health": "starting"}, "gate.starting"),
        ({"probe": "no"}, "gate.probe"),
    ):
        new = release(2, probes=(PROBE,))
        made = device(new, **how)
        made.run()
        assert made.position.state is State.ROLLED_BACK
        assert made.position.cause_code == code
        assert "db" in made.position.cause
        assert started(made, new.container("web")) == []
        extra = 4.0 if code == "gate.starting" else 0.0  # the first answer of a check may take longer
        (back,) = [at for at, move in zip(_times(made), made.moves, strict=True) if move == _turn(made)]
        assert 30.0 + extra <= back <= 33.0 + extra


def _turn(made: Device) -> Note:
    return next(each for each in made.moves if isinstance(each, Note) and each.state is State.ROLLING_BACK)


def test_who_ends_while_it_is_waited_for_is_started_again_as_often_as_the_gate_allows() -> None:
    for restarts, starts in ((0, 1), (2, 3)):
        new = release(2, restarts=restarts)
        made = device(new, exit_code=1, after=3.0, health="starting")
        made.run()
        assert made.position.state is State.ROLLED_BACK
        assert made.position.cause_code in {"gate.exited", "gate.restarts"}
        assert len(started(made, new.container("db"))) == starts
        assert started(made, new.container("web")) == []


# ---- Of what is committed. ----


def at_rest(**db: object) -> tuple[Device, Slot]:
    """Return a device whose committed release has ended, as after a boot."""
    of = release(2)
    made = Device()
    made.engine.behaviours["db2"] = Behaviour(**db)  # type: ignore[arg-type]  # a test says what it needs
    made.install(of)
    for name in ("web", "db"):
        made.engine.do(Stop(of.container(name), 0))
    made.restart()
    return made, of


def test_day_by_day_too_it_starts_when_the_other_is_healthy() -> None:
    made, of = at_rest(health="starting")
    turn_healthy(made, 15.0)
    made.run()
    assert is_right(made, of)
    (web,) = started(made, of.container("web"))
    assert 15.0 <= web <= 18.0


def test_nobody_is_kept_down_for_ever_and_that_is_told() -> None:
    made, of = at_rest(health="unhealthy")
    while made.engine.now < 200.0:
        made.turn()
    assert is_right(made, of)
    (web,) = started(made, of.container("web"))
    assert 30.0 <= web <= 33.0
    last = made.moves[-1]
    assert isinstance(last, Rest)
    assert last.failure is not None
    assert last.failure.code == "gate.unhealthy"
    assert "db is not healthy" in last.failure.sentence
    assert "no longer" in last.failure.sentence
    turn_healthy(made, 200.0)
    assert made.run() == Rest(60.0)


def test_on_the_way_back_the_wait_is_no_reason_to_be_degraded() -> None:
    old, new = release(2), slot(3, line("3", gate=GATE))
    made = Device(releases={new.target: new})
    made.engine.behaviours |= {"db2": Behaviour(health="healthy"), "web3": Behaviour(exit_code=1)}
    made.install(old)
    made.order(new)
    made.until(State.ROLLING_BACK)
    made.engine.behaviours["db2"] = Behaviour(health="starting")
    turn_healthy(made, made.engine.now + 12.0)
    made.run()
    assert made.position.state is State.ROLLED_BACK
    assert is_right(made, old)
    assert State.DEGRADED not in {each.state for each in made.events}


def test_a_container_that_is_gone_is_waited_for_until_it_runs_and_is_healthy() -> None:
    made, of = at_rest(health="healthy")
    made.engine.do(Remove(of.container("db")))
    made.run()
    assert is_right(made, of)
    starts = [
        each.container for move in made.moves if isinstance(move, Do) for each in move.steps if isinstance(each, Start)
    ]
    assert starts == [of.container("db"), of.container("web")]
