# SPDX-License-Identifier: Apache-2.0
"""What a device does next: whole attempts on a model of an engine, good ones and those that go wrong."""

from dataclasses import replace

import pytest

from checkvalve.agent import plan
from checkvalve.agent.situation import pause
from checkvalve.agent.steps import (
    Commit,
    CopyVolume,
    Create,
    Do,
    Failure,
    Fetch,
    Load,
    Move,
    Note,
    Policy,
    Ran,
    Remove,
    Rest,
    Slot,
    Start,
    Step,
    Stop,
    ran,
)
from checkvalve.protocol.exchange import State
from checkvalve.protocol.workload import Gate, Manifest, Mount, Volume
from tests.agent.world import Behaviour, Cut, Device, image, is_right, line, loud, manifest, service, slot

GATE = Gate(start_grace_ms=30_000, soak_ms=10_000)
OLD, NEW = slot(1, line("1")), slot(2, line("2"))


def device(new: Slot = NEW, old: Slot | None = OLD) -> Device:
    """Return a device on which `old` runs, with an order for `new`."""
    made = Device(releases={each.target: each for each in (new, old) if each is not None})
    if old is not None:
        made.install(old)
    made.order(new)
    return made


def steps(made: Device) -> list[Step]:
    """Return every step that was taken, in order."""
    return [step for move in made.moves if isinstance(move, Do) for step in move.steps]


def states(made: Device) -> list[State]:
    return [each.state for each in made.events if each.kind == "state"]


def placed(made: Device, kind: type[Step], where: Slot) -> list[int]:
    """Return at which moves steps of a kind were taken on containers of a slot."""
    names = {where.container(name) for name in where.manifest.services}
    return [
        index
        for index, move in enumerate(made.moves)
        if isinstance(move, Do)
        for step in move.steps
        if isinstance(step, kind)
        and (
            step.slot.attempt == where.attempt if isinstance(step, Create) else getattr(step, "container", "") in names
        )
    ]


def only(moves: list[Move], kind: type[Move]) -> list[int]:
    return [index for index, move in enumerate(moves) if isinstance(move, kind)]


# ---- Good attempts. ----


def test_a_good_release_is_committed_and_nothing_else_is_left() -> None:
    made = device()
    made.run()
    assert states(made) == [
        State.OFFERED,
        State.FETCHING,
        State.STAGED,
        State.SWITCHING,
        State.VERIFYING,
        State.COMMITTED,
    ]
    assert is_right(made, NEW)
    assert made.active is not None
    assert made.active.attempt == NEW.attempt
    assert made.previous == OLD


def test_a_first_release_is_committed() -> None:
    made = device(old=None)
    made.run()
    assert is_right(made, NEW)
    assert made.previous is None


def test_the_old_application_is_not_stopped_before_the_new_images_are_loaded() -> None:
    made = device()
    made.run()
    loads = [
        index
        for index, move in enumerate(made.moves)
        if isinstance(move, Do) and any(isinstance(each, Load) for each in move.steps)
    ]
    assert max(loads) < max(placed(made, Create, NEW)) < min(placed(made, Stop, OLD))
    assert max(placed(made, Stop, OLD)) < min(placed(made, Start, NEW))


def test_last_good_is_what_was_seen_healthy_and_not_what_was_begun() -> None:
    made = device()
    made.until(State.VERIFYING)
    assert made.active == OLD
    made.run()
    (commit,) = only(made.moves, Commit)
    assert made.moves[commit - 1 : commit + 2][0] != made.moves[commit]
    assert made.engine.now >= 10  # the soak is over


def test_services_start_after_those_they_depend_on_and_stop_before_them() -> None:
    made = device()
    made.run()
    order = [each.container for each in steps(made) if isinstance(each, Start | Stop)]
    assert order == [
        OLD.container("web"),
        OLD.container("db"),
        NEW.container("db"),
        NEW.container("web"),
    ]


def test_a_service_dropped_from_the_manifest_does_not_keep_running() -> None:
    made = device(slot(2, manifest({"web": service("web2")}, ["web2"], version="2", gate=GATE)))
    made.run()
    assert {each.service for each in made.engine.observed().containers} == {"web"}


def test_images_of_the_slot_before_the_previous_one_go_and_those_of_others_stay() -> None:
    newest = slot(3, line("3"))
    made = device()
    made.releases = {**made.releases, newest.target: newest}
    foreign = image("somebody's").config
    made.engine.images.add(foreign)
    made.run()
    made.order(newest)
    made.run()
    assert is_right(made, newest)
    assert made.engine.images == {foreign, *NEW.manifest.images, *newest.manifest.images}
    assert set(made.slots) == {NEW.attempt, newest.attempt}


def test_an_image_that_something_else_uses_is_asked_for_once_and_left() -> None:
    newest = slot(3, line("3"))
    made = device()
    made.releases = {**made.releases, newest.target: newest}
    made.engine.in_use = set(OLD.manifest.images)
    made.run()
    made.order(newest)
    last = made.run()
    assert last == Rest()
    assert made.engine.in_use <= made.engine.images


def test_what_runs_already_is_not_touched() -> None:
    again = replace(OLD, attempt=NEW.attempt)
    made = device(again)
    made.run()
    assert states(made) == [State.OFFERED, State.COMMITTED]
    assert made.position.code == "deploy.unchanged"
    assert steps(made) == []
    assert is_right(made, OLD)


def test_the_release_that_runs_badly_is_brought_anew() -> None:
    made = device(replace(OLD, attempt=NEW.attempt))
    made.engine.behaviours["web1"] = Behaviour(health="unhealthy")
    made.engine.containers[OLD.container("web")] = replace(
        made.engine.containers[OLD.container("web")], health="unhealthy"
    )
    made.until(State.FETCHING)


def test_all_blobs_are_fetched_though_the_engine_has_the_images() -> None:
    made = device()
    made.engine.images |= NEW.manifest.images.keys()
    made.run()
    assert any(isinstance(each, Fetch) for each in made.moves)
    assert NEW.manifest.images.keys() <= made.held


# ---- Failures before the switch. ----


def test_an_image_that_will_not_load_refuses_the_attempt_and_nothing_has_changed() -> None:
    made = device()
    made.engine.behaviours["web2"] = Behaviour(loads=False)
    made.run()
    assert (made.position.state, made.position.code) == (State.REFUSED, "engine.load")
    assert is_right(made, OLD)
    assert not placed(made, Stop, OLD)


def test_a_release_that_cannot_be_had_is_refused() -> None:
    made = device()
    made.releases = {}
    made.run()
    assert (made.position.state, made.position.code) == (State.REFUSED, "release.not_listed")


def test_a_newer_order_takes_the_place_of_one_that_has_not_switched() -> None:
    newest = slot(3, line("3"))
    made = device()
    made.releases = {**made.releases, newest.target: newest}
    made.until(State.STAGED)
    made.order(newest)
    made.run()
    assert made.position.ended[NEW.attempt] is State.REFUSED
    assert is_right(made, newest)


def test_a_newer_order_waits_for_one_that_has_switched() -> None:
    newest = slot(3, line("3"))
    made = device()
    made.releases = {**made.releases, newest.target: newest}
    made.until(State.SWITCHING)
    made.order(newest)
    made.run()
    assert dict(made.position.ended) == {NEW.attempt: State.COMMITTED, newest.attempt: State.COMMITTED}
    assert is_right(made, newest)


def test_what_runs_is_kept_up_while_a_release_is_fetched() -> None:
    made = device()
    made.until(State.FETCHING)
    made.engine.do(Remove(OLD.container("web")))
    made.until(State.STAGED)
    assert is_right(made, OLD)


def test_an_active_slot_that_cannot_be_mended_does_not_refuse_what_may_be_the_cure() -> None:
    made = device()
    made.engine.behaviours["web1"] = Behaviour(creates=False)
    made.engine.do(Remove(OLD.container("web")))
    made.run()
    assert is_right(made, NEW)


# ---- Failures after it. ----


@pytest.mark.parametrize(
    ("how", "code"),
    [
        (Behaviour(exit_code=1), "gate.exited"),
        (Behaviour(exit_code=0, after=3.0), "gate.exited"),
        (Behaviour(health="unhealthy"), "gate.unhealthy"),
        (Behaviour(health="starting"), "gate.starting"),
        (Behaviour(creates=False), "engine.refused"),
        (Behaviour(starts=False), "engine.refused"),
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["web2", "db2"])
def test_there_is_no_mix_of_old_and_new_after_a_failed_switch(name: str, how: Behaviour, code: str) -> None:
    made = device()
    made.engine.behaviours[name] = how
    made.run()
    assert (made.position.state, made.position.code) == (State.ROLLED_BACK, code)
    assert is_right(made, OLD)
    assert made.active == OLD


def test_what_failed_is_named_in_the_reason() -> None:
    made = device()
    made.engine.behaviours["web2"] = Behaviour(exit_code=1, after=1.0)
    made.run()
    assert made.position.reason == "web exited with code 1 after 2 s."


def test_a_failed_first_release_leaves_nothing_behind_and_the_next_one_is_taken() -> None:
    newest = slot(3, line("3"))
    made = device(old=None)
    made.releases = {**made.releases, newest.target: newest}
    made.engine.behaviours["web2"] = Behaviour(exit_code=1)
    made.run()
    assert made.position.state is State.ROLLED_BACK
    assert made.position.reason.endswith("Nothing ran here before.")
    assert is_right(made, None)
    made.order(newest)
    made.run()
    assert is_right(made, newest)


def test_a_rollback_runs_the_images_of_before_and_no_others() -> None:
    made = device()
    made.engine.behaviours["web2"] = Behaviour(exit_code=1)
    made.run()
    images = {each.image for each in made.engine.observed().containers}
    assert images == set(OLD.manifest.images)


def test_an_image_made_of_something_else_turns_back_before_anything_is_stopped() -> None:
    made = device()
    made.until(State.SWITCHING)
    made.turn()
    name = NEW.container("web")
    made.engine.containers[name] = replace(made.engine.containers[name], image=image("other").config)
    made.run()
    assert (made.position.state, made.position.code) == (State.ROLLED_BACK, "gate.image")
    assert not placed(made, Stop, OLD)


def test_exits_are_spent_as_far_as_the_release_allows() -> None:
    gate = Gate(start_grace_ms=30_000, soak_ms=10_000, max_restarts=2)
    made = device(slot(2, line("2", gate=gate)))
    made.engine.behaviours["web2"] = Behaviour(exit_code=1, after=4.0)
    made.until(State.ROLLING_BACK)
    assert made.position.code == "gate.exited"
    assert len(placed(made, Start, slot(2, line("2", gate=gate)))) == 2 + 2


def test_last_known_good_is_rebuilt_when_the_engine_has_lost_everything() -> None:
    made = device()
    made.engine.behaviours["web2"] = Behaviour(exit_code=1)
    made.until(State.ROLLING_BACK)
    made.engine.containers.clear()
    made.engine.images.clear()
    made.engine.networks.clear()
    made.run()
    assert made.position.state is State.ROLLED_BACK
    assert is_right(made, OLD)


def test_last_known_good_that_cannot_be_brought_back_is_degraded_and_tried_for_ever() -> None:
    made = device()
    made.engine.behaviours |= {"web2": Behaviour(exit_code=1), "web1": Behaviour(starts=False)}
    made.run()
    assert made.position.state is State.DEGRADED
    assert made.position.tries > 3
    assert made.position.code == "engine.refused"
    pauses = [each.seconds for each in made.moves if isinstance(each, Rest)]
    assert pauses[:8] == [5, 10, 20, 40, 80, 160, 320, 600]
    assert made.engine.observed().of(OLD.attempt)["db"].state == "running"  # what can run does
    made.engine.behaviours.pop("web1")
    made.run()
    assert (made.position.state, made.position.code) == (State.ROLLED_BACK, "gate.exited")
    assert is_right(made, OLD)


def test_pauses_between_tries_grow_from_five_seconds_to_ten_minutes() -> None:
    assert [pause(tries) for tries in range(9)] == [5, 10, 20, 40, 80, 160, 320, 600, 600]
    assert pause(10**9) == 600


def test_a_lost_image_whose_blobs_are_lost_too_is_fetched_again() -> None:
    made = device()
    made.engine.behaviours["web2"] = Behaviour(exit_code=1)
    made.until(State.ROLLING_BACK)
    made.engine.images.clear()
    made.engine.containers.clear()
    made.held.clear()
    made.plane = False
    made.run()
    assert (made.position.state, made.position.code) == (State.DEGRADED, "image.lost")
    made.plane = True
    made.run()
    assert made.position.state is State.ROLLED_BACK
    assert is_right(made, OLD)


def test_a_cure_is_taken_up_while_degraded() -> None:
    cure = slot(3, line("3"))
    made = device()
    made.releases = {**made.releases, cure.target: cure}
    made.engine.behaviours |= {"web2": Behaviour(exit_code=1), "web1": Behaviour(starts=False)}
    made.until(State.DEGRADED)
    made.order(cure)
    made.run()
    assert made.position.state is State.COMMITTED
    assert is_right(made, cure)


def test_a_refused_cure_leaves_the_device_degraded_until_last_known_good_runs() -> None:
    cure = slot(3, line("3"))
    made = device()
    made.engine.behaviours |= {"web2": Behaviour(exit_code=1), "web1": Behaviour(starts=False)}
    made.until(State.DEGRADED)
    made.order(cure)  # which cannot be had
    made.run()
    assert states(made)[-4:] == [State.OFFERED, State.FETCHING, State.REFUSED, State.DEGRADED] or made.position.tries
    assert State.REFUSED in states(made)
    assert states(made)[-1] is State.DEGRADED
    made.engine.behaviours.pop("web1")
    made.run()
    assert states(made)[-1] is State.ROLLED_BACK
    assert is_right(made, OLD)


# ---- Somebody's hands, and the engine's restarts. ----


def test_a_container_that_ran_and_is_gone_in_mid_switch_turns_back() -> None:
    made = device()
    made.until(State.SWITCHING)
    while not placed(made, Start, NEW):
        made.turn()
    made.engine.do(Remove(NEW.container("db")))
    made.run()
    assert (made.position.state, made.position.code) == (State.ROLLED_BACK, "gate.missing")
    assert is_right(made, OLD)


def test_an_old_container_that_is_gone_in_mid_switch_is_made_anew_on_the_way_back() -> None:
    made = device()
    made.engine.behaviours["web2"] = Behaviour(exit_code=1)
    made.until(State.VERIFYING)
    made.engine.do(Remove(OLD.container("db")))
    made.run()
    assert made.position.state is State.ROLLED_BACK
    assert is_right(made, OLD)


@pytest.mark.parametrize("seed", range(4))
def test_both_versions_running_after_the_daemon_restarts(seed: int) -> None:
    always = {"restart": "always"}
    old, new = slot(1, both("1", **always)), slot(2, both("2", **always))

    def begun() -> Device:
        made = Device(releases={new.target: new}, seed=seed)
        made.install(old)
        made.order(new)
        return made

    whole = begun()
    whole.run()
    for operations in range(1, whole.operations):
        made = begun()
        made.cut_after = operations
        with pytest.raises(Cut):
            made.run()
        made.engine.restart()
        running = {each.attempt for each in made.engine.observed().containers if each.state == "running"}
        assert len(running) <= 1, made.moves[-1]
        made.restart()
        made.run()
        assert is_right(made, old) or is_right(made, new), made.moves[-1]
        assert len(loud(made)) == 1


def both(version: str, **how: object) -> Manifest:
    """Return a release of two services that are alike."""
    names = [f"web{version}", f"db{version}"]
    return manifest(
        {"web": service(names[0], **how), "db": service(names[1], **how)}, names, version=version, gate=GATE
    )


def test_an_old_container_that_somebody_starts_during_the_watch_is_stopped() -> None:
    made = device()
    made.until(State.VERIFYING)
    made.engine.do(Start(OLD.container("web")))
    made.turn()
    assert made.engine.containers[OLD.container("web")].state == "exited"
    made.run()
    assert is_right(made, NEW)


def test_on_the_way_back_the_new_stops_then_the_old_starts_in_order_and_then_the_new_is_removed() -> None:
    made = device()
    made.engine.behaviours["web2"] = Behaviour(health="unhealthy")
    made.run()
    started = placed(made, Start, OLD)
    assert max(placed(made, Stop, NEW)) < min(started)
    assert max(started) < min(placed(made, Remove, NEW))
    assert len(set(started)) == 2  # one waits for the other
    order = [each.container for each in steps(made) if isinstance(each, Start)]
    assert order[-2:] == [OLD.container("db"), OLD.container("web")]


def test_a_pointer_that_names_the_attempt_is_the_commit_whatever_failed_then() -> None:
    made = device()
    made.until(State.VERIFYING)
    while not isinstance(made.turn(), Commit):
        pass
    made.failure, made.failed = Failure("disk.failed", "The directory was not synced."), Commit()
    assert made.turn() == Note(State.COMMITTED)


# ---- Day by day. ----


def test_later_crashes_are_reported_and_mended_with_pauses() -> None:
    made = device()
    made.run()
    made.engine.behaviours["web2"] = Behaviour(exit_code=1, after=1.0)
    name = NEW.container("web")
    told = []
    for _ in range(12):
        web = made.engine.containers[name]
        made.engine.containers[name] = replace(web, state="exited", exit_code=1, restarts=0)  # the engine gave up
        made.engine.now += 2
        move = made.turn()
        told.append(move.failure.sentence if isinstance(move, Rest) and move.failure else "")
    assert any(sentence.startswith("web exited with code 1 and is started again in") for sentence in told)
    assert 1 < sum(isinstance(each, Start) and each.container == name for each in steps(made)) < 9


@pytest.mark.parametrize("restart", ["no", "on-failure"])
def test_a_service_that_may_end_is_not_started_again(restart: str) -> None:
    old = slot(1, line("1", restart=restart))
    made = Device()
    made.install(old)
    made.engine.containers[old.container("web")] = replace(
        made.engine.containers[old.container("web")], state="exited", exit_code=0
    )
    made.run()
    assert made.moves == [Rest()]


def test_a_service_that_a_switch_put_down_runs_again_whatever_its_policy() -> None:
    old = slot(1, line("1", restart="on-failure"))
    made = Device()
    made.install(old)
    made.engine.containers[old.container("web")] = replace(
        made.engine.containers[old.container("web")], state="exited", exit_code=0, policy="no"
    )
    made.run()
    assert is_right(made, old)


def test_a_lost_container_image_network_and_volume_are_had_again() -> None:
    made = Device()
    made.install(OLD)
    made.engine.containers.clear()
    made.engine.images.clear()
    made.engine.networks.clear()
    made.engine.volumes.clear()
    made.run()
    assert is_right(made, OLD)


def test_a_container_whose_network_was_lost_is_made_anew() -> None:
    made = Device()
    made.install(OLD)
    made.engine.do(Stop(OLD.container("web"), 0))
    made.engine.do(Stop(OLD.container("db"), 0))
    made.engine.networks.clear()
    made.run()
    assert Remove(OLD.container("web")) in steps(made)
    assert is_right(made, OLD)


def test_what_cannot_be_mended_is_told_and_holds_up_nothing_else() -> None:
    made = Device(plane=False)
    made.install(OLD)
    made.engine.containers.clear()
    db = OLD.manifest.services["db"].image
    made.engine.images.discard(db)
    made.held.discard(db)
    made.run(60)
    assert {each.service for each in made.engine.observed().containers} == {"web"}
    (failure,) = {each.failure for each in made.moves[-4:] if isinstance(each, Rest)}
    assert failure is not None


def test_a_broken_container_is_made_anew_once_others_have_been_tried() -> None:
    made = Device()
    made.install(OLD)
    name = OLD.container("web")
    made.engine.containers[name] = replace(made.engine.containers[name], state="dead")
    made.run()
    assert is_right(made, OLD)


def test_an_image_id_that_stays_wrong_is_told_and_not_fought_over() -> None:
    made = Device()
    made.install(OLD)
    name = OLD.container("web")
    for _ in range(20):
        if name in made.engine.containers:
            made.engine.containers[name] = replace(made.engine.containers[name], image=image("other").config)
        last = made.turn()
    assert isinstance(last, Rest)
    assert last.failure is not None
    assert last.failure.code == "gate.image"
    assert sum(isinstance(each, Create) for each in steps(made)) == 1


def test_with_nothing_active_nothing_runs() -> None:
    made = Device()
    made.install(OLD)
    made.active = None
    made.run()
    assert is_right(made, None)
    assert [type(each) for each in steps(made)][:6] == [Policy, Policy, Stop, Stop, Remove, Remove]


def test_what_is_not_active_comes_to_rest_before_what_is_active_is_started() -> None:
    made = device()
    made.run()
    made.engine.networks.add(OLD.network("default"))
    made.engine.images |= OLD.manifest.images.keys()
    made.engine.do(Create(OLD, "web"))
    made.engine.do(Start(OLD.container("web")))
    made.engine.do(Policy(OLD.container("web"), "always"))
    made.engine.do(Stop(NEW.container("web"), 0))
    made.moves.clear()
    made.run()
    assert is_right(made, NEW)
    assert max(placed(made, Policy, OLD)) < min(placed(made, Stop, OLD)) < min(placed(made, Start, NEW))


def test_a_step_that_fails_day_by_day_holds_up_nothing_else() -> None:
    made = Device()
    made.install(OLD)
    made.engine.containers.clear()
    made.engine.behaviours["db1"] = Behaviour(creates=False)
    for _ in range(30):
        last = made.turn()
        if isinstance(last, Rest):
            break
    assert {each.service for each in made.engine.observed().containers if each.state == "running"} == {"web"}
    assert isinstance(last, Rest)
    assert last.failure == Failure("engine.refused", "db cannot be created.")


def test_a_container_that_will_not_start_is_made_anew_after_some_tries() -> None:
    made = Device()
    made.install(OLD)
    made.engine.do(Stop(OLD.container("web"), 0))
    made.engine.behaviours["web1"] = Behaviour(starts=False)
    made.run(40)
    assert sum(isinstance(each, Remove) for each in steps(made)) == 1
    made.engine.behaviours.clear()
    made.run()
    assert is_right(made, OLD)


# ---- Oneshots and volumes. ----


def migrating(version: str, **how: object) -> Manifest:
    return manifest(
        {
            "web": service(f"web{version}", after=("migrate",)),
            "migrate": service(f"migrate{version}", kind="oneshot", **how),
        },
        [f"web{version}", f"migrate{version}"],
        version=version,
        gate=GATE,
    )


def test_a_oneshot_ends_before_what_comes_after_it_starts_and_is_written_down() -> None:
    new = slot(2, migrating("2"))
    made = device(new)
    made.engine.behaviours["migrate2"] = Behaviour(exit_code=0, after=5.0)
    made.run()
    (noted,) = [index for index, move in enumerate(made.moves) if move == Ran((ran(new, "migrate"),))]
    first, second = placed(made, Start, new)
    assert first < noted < second
    assert is_right(made, new)


def test_a_oneshot_runs_once_for_a_release_however_often_it_comes_back() -> None:
    new = slot(2, migrating("2"))
    made = device(new)
    made.engine.behaviours["migrate2"] = Behaviour(exit_code=0)
    made.run()
    for number, what in ((3, line("3")), (4, migrating("2"))):
        other = slot(number, what)
        made.releases = {**made.releases, other.target: other}
        made.order(other)
        made.run()
        assert is_right(made, other)
    assert sum(isinstance(each, Create) and each.service == "migrate" for each in steps(made)) == 1


def test_a_oneshot_of_each_switch_runs_in_each() -> None:
    new = slot(2, migrating("2", each_switch=True))
    made = device(new)
    made.engine.behaviours["migrate2"] = Behaviour(exit_code=0)
    made.run()
    for number, what in ((3, line("3")), (4, migrating("2", each_switch=True))):
        other = slot(number, what)
        made.releases = {**made.releases, other.target: other}
        made.order(other)
        made.run()
    assert sum(isinstance(each, Create) and each.service == "migrate" for each in steps(made)) == 2


def test_a_oneshot_that_ends_wrong_turns_back_before_what_comes_after_it_starts() -> None:
    new = slot(2, migrating("2"))
    made = device(new)
    made.engine.behaviours["migrate2"] = Behaviour(exit_code=2)
    made.run()
    assert (made.position.state, made.position.code) == (State.ROLLED_BACK, "gate.oneshot")
    assert made.position.reason == "migrate ended with code 2, not with 0."
    assert is_right(made, OLD)


def test_a_oneshot_that_does_not_end_has_its_grace_and_no_longer() -> None:
    made = device(slot(2, migrating("2", start_grace_ms=7_000)))
    made.until(State.ROLLING_BACK)
    assert (made.position.code, made.position.reason) == ("gate.late", "migrate has not ended within 7 s.")
    assert made.engine.now == pytest.approx(7.0)


@pytest.mark.parametrize("again", [True, False])
def test_a_oneshot_runs_on_the_way_back_only_if_it_asks_for_it(again: bool) -> None:  # noqa: FBT001
    old = slot(1, migrating("1", rerun_on_rollback=again))
    made = Device(releases={NEW.target: NEW})
    made.engine.behaviours |= {"migrate1": Behaviour(exit_code=0), "web2": Behaviour(exit_code=1)}
    made.install(old)
    made.order(NEW)
    made.run()
    assert made.position.state is State.ROLLED_BACK
    assert is_right(made, old)
    assert len(placed(made, Start, old)) == 1 + again


def test_a_lost_oneshot_of_what_runs_is_not_run_again() -> None:
    old = slot(1, migrating("1"))
    made = Device()
    made.engine.behaviours["migrate1"] = Behaviour(exit_code=0)
    made.install(old)
    made.engine.do(Remove(old.container("migrate")))
    made.run()
    assert made.moves == [Rest()]


def test_a_volume_is_copied_when_nothing_writes_to_it_and_before_anything_new_starts() -> None:
    what = manifest(
        {"db": service("db2", mounts=(Mount(volume="data", target="/data"),))},
        ["db2"],
        version="2",
        gate=GATE,
        volumes={"data": Volume(policy="snapshot")},
    )
    old_data = OLD.volumes["data"]
    new = slot(2, what, copied=True)
    new = replace(new, copies={new.volumes["data"]: old_data})
    made = device(new)
    made.run()
    (copied,) = [
        index
        for index, move in enumerate(made.moves)
        if isinstance(move, Do) and any(isinstance(each, CopyVolume) for each in move.steps)
    ]
    assert max(placed(made, Stop, OLD)) < copied < min(placed(made, Start, new))
    assert {old_data, new.volumes["data"]} <= made.engine.volumes


# ---- Form. ----


def test_the_same_situation_has_the_same_next_move() -> None:
    made = device()
    made.until(State.SWITCHING)
    situation = made.situation(made.engine.observed(), made.slots[NEW.attempt])
    assert plan.move(situation) == plan.move(situation)
