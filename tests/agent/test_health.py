# SPDX-License-Identifier: Apache-2.0
"""When a slot runs as its manifest says: the gate's rules, one after the other."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest

from checkvalve.agent import health
from checkvalve.agent.health import Failed, Healthy, Waiting, Watch
from checkvalve.agent.steps import Container, Observed, Slot, Start, ran
from checkvalve.protocol.exchange import State
from checkvalve.protocol.workload import ExecProbe, Gate, HttpProbe, Manifest, TcpProbe
from tests.agent.world import digest, image, manifest, service, slot

GATE = Gate(start_grace_ms=30_000, soak_ms=120_000)


def one(**how: object) -> Slot:
    """Return a slot of one service, `web`."""
    return slot(1, manifest({"web": service("web", **how)}, ["web"], gate=GATE))


def two(gate: Gate = GATE) -> Slot:
    return slot(1, manifest({"web": service("web", after=("db",)), "db": service("db")}, ["web", "db"], gate=gate))


def box(where: Slot, name: str, **how: object) -> Container:
    """Return a container of a service, as it has to be but for `how`."""
    config = where.manifest.services[name].image
    right = Container(name, where.container(name), name, where.attempt, where.release, config, "running", started=True)
    return replace(right, **how)  # type: ignore[arg-type]  # a test says what differs


@dataclass
class Scene:
    """Looks at a slot at one moment after the other."""

    slot: Slot
    watch: Watch = field(default_factory=lambda: health.begin(0.0))
    ran: frozenset[str] = frozenset()
    now: float = 0.0

    def look(self, now: float, *containers: Container, probes: Mapping[str, str] | None = None) -> object:
        self.now = now
        self.watch = health.look(self.watch, self.slot, Observed(containers), probes or {}, self.ran, now)
        return health.judge(self.watch, self.slot, now)

    def start(self, now: float, *containers: Container) -> None:
        steps = [Start(each.name) for each in containers]
        self.watch = health.did(self.watch, Observed(containers), steps, now)

    def back(self, now: float, *containers: Container) -> object:
        """Judge as last known good."""
        self.look(now, *containers)
        return health.judge(self.watch, self.slot, now, returning=True)


def why(verdict: object) -> tuple[str, str]:
    """Return code and sentence of a failure."""
    assert isinstance(verdict, Failed), verdict
    return verdict.failure.code, verdict.failure.sentence


def test_all_right_for_the_whole_soak_is_healthy_and_not_a_moment_before() -> None:
    scene = Scene(one())
    web = box(scene.slot, "web")
    assert isinstance(scene.look(0, web), Waiting)
    assert isinstance(scene.look(119.9, web), Waiting)
    assert scene.look(120, web) == Healthy()


def test_a_watch_that_has_seen_nothing_finds_nothing_healthy() -> None:
    where = one()
    for returning in (True, False):
        assert isinstance(health.judge(health.begin(0.0), where, 0.0, returning=returning), Waiting)


def test_one_crashed_service_of_two_is_no_success() -> None:
    scene = Scene(two())
    db, web = box(scene.slot, "db"), box(scene.slot, "web", state="exited", exit_code=1)
    assert why(scene.look(1, db, web)) == ("gate.exited", "web exited with code 1.")


def test_an_exit_says_how_long_the_service_ran() -> None:
    scene = Scene(one())
    scene.start(10, box(scene.slot, "web", state="created", started=False))
    assert isinstance(scene.look(11, box(scene.slot, "web")), Waiting)
    exited = box(scene.slot, "web", state="exited", exit_code=1)
    assert why(scene.look(13, exited)) == ("gate.exited", "web exited with code 1 after 3 s.")


def test_a_service_that_ends_with_zero_has_failed_all_the_same() -> None:
    scene = Scene(one())
    assert why(scene.look(1, box(scene.slot, "web", state="exited", exit_code=0)))[0] == "gate.exited"


def test_a_crash_loop_of_three_seconds_is_no_success() -> None:
    scene = Scene(one())
    for second in range(0, 12, 2):
        verdict = scene.look(second, box(scene.slot, "web", restarts=second // 3))
    assert why(verdict) == ("gate.restarts", "web was restarted 3 times; 0 are allowed.")


def test_a_service_without_container_fails_at_once() -> None:
    scene = Scene(two())
    assert why(scene.look(1, box(scene.slot, "db"))) == ("gate.missing", "web has no container.")


def test_a_container_that_the_release_does_not_name_fails() -> None:
    scene = Scene(one())
    web = box(scene.slot, "web")
    ghost = replace(web, id="g", name="ghost", service="ghost")
    assert why(scene.look(1, web, ghost)) == ("gate.foreign", "ghost is here, and the release does not name it.")


def test_a_second_container_of_a_service_fails() -> None:
    scene = Scene(one())
    web = box(scene.slot, "web")
    assert why(scene.look(1, web, replace(web, id="g", name="web-by-hand")))[0] == "gate.foreign"


def test_a_container_of_another_image_fails_whatever_its_tag() -> None:
    scene = Scene(one())
    assert why(scene.look(1, box(scene.slot, "web", image=digest("another"))))[0] == "gate.image"


def test_unhealthy_may_still_become_healthy_within_its_grace() -> None:
    scene = Scene(one())
    for second in (0, 10, 29):
        assert isinstance(scene.look(second, box(scene.slot, "web", health="unhealthy")), Waiting)
    assert isinstance(scene.look(29.5, box(scene.slot, "web", health="healthy")), Waiting)
    assert scene.look(149.5, box(scene.slot, "web", health="healthy")) == Healthy()


def test_unhealthy_after_its_grace_is_a_failure_that_names_the_service() -> None:
    scene = Scene(two())
    web, db = box(scene.slot, "web"), box(scene.slot, "db", health="unhealthy")
    scene.look(0, web, db)
    assert why(scene.look(30, web, db)) == ("gate.unhealthy", "db did not become healthy within 30 s.")


def test_each_service_has_its_own_grace() -> None:
    services = {"web": service("web", start_grace_ms=5_000), "db": service("db", start_grace_ms=60_000)}
    scene = Scene(slot(1, manifest(services, ["web", "db"], gate=GATE)))
    ill = {"health": "unhealthy"}
    scene.look(0, box(scene.slot, "web"), box(scene.slot, "db", **ill))
    assert isinstance(scene.look(59, box(scene.slot, "web"), box(scene.slot, "db", **ill)), Waiting)
    assert why(scene.look(60, box(scene.slot, "web"), box(scene.slot, "db", **ill)))[0] == "gate.unhealthy"
    other = Scene(scene.slot)
    other.look(0, box(scene.slot, "web", **ill), box(scene.slot, "db"))
    assert why(other.look(5, box(scene.slot, "web", **ill), box(scene.slot, "db"))) == (
        "gate.unhealthy",
        "web did not become healthy within 5 s.",
    )


def test_a_service_that_was_healthy_and_is_not_fails_at_once() -> None:
    scene = Scene(one())
    scene.look(0, box(scene.slot, "web", health="healthy"))
    unhealthy = box(scene.slot, "web", health="unhealthy")
    assert why(scene.look(3, unhealthy)) == ("gate.unhealthy", "web became unhealthy.")


def test_a_health_check_that_has_not_answered_by_the_end_of_the_soak_is_a_failure() -> None:
    scene = Scene(one())
    starting = box(scene.slot, "web", health="starting")
    assert isinstance(scene.look(0, starting), Waiting)
    assert isinstance(scene.look(119, starting), Waiting)
    assert why(scene.look(120, starting))[0] == "gate.starting"


def test_a_first_health_check_after_the_grace_is_waited_for() -> None:
    scene = Scene(one())
    scene.look(0, box(scene.slot, "web", health="starting"))
    scene.look(40, box(scene.slot, "web", health="starting"))
    assert scene.look(120, box(scene.slot, "web", health="healthy")) == Healthy()


def test_without_soak_a_health_check_still_has_the_grace() -> None:
    scene = Scene(slot(1, manifest({"web": service("web")}, ["web"], gate=Gate(start_grace_ms=30_000, soak_ms=0))))
    assert isinstance(scene.look(0, box(scene.slot, "web", health="starting")), Waiting)
    assert scene.look(5, box(scene.slot, "web", health="healthy")) == Healthy()
    late = Scene(scene.slot)
    late.look(0, box(scene.slot, "web", health="starting"))
    assert why(late.look(30, box(scene.slot, "web", health="starting")))[0] == "gate.starting"


def test_a_probe_that_does_not_pass_has_the_grace_and_no_longer() -> None:
    scene = Scene(one(probes=(HttpProbe(port=8080, path="/ready"),)))
    web = box(scene.slot, "web")
    assert isinstance(scene.look(0, web, probes={"web#0": "It answered 503."}), Waiting)
    assert why(scene.look(30, web)) == ("gate.probe", "web does not pass http:8080/ready: It answered 503.")


def test_one_probe_that_does_not_pass_within_the_soak_fails() -> None:
    scene = Scene(one(probes=(TcpProbe(port=5432),)))
    web = box(scene.slot, "web")
    scene.look(0, web, probes={"web#0": ""})
    assert why(scene.look(2, web, probes={"web#0": "Nobody answers"})) == (
        "gate.probe",
        "web does not pass tcp:5432: Nobody answers.",
    )


def test_a_service_that_was_never_probed_is_not_right() -> None:
    scene = Scene(one(probes=(ExecProbe(command=("ready", "-q")),)))
    web = box(scene.slot, "web")
    assert isinstance(scene.look(0, web), Waiting)
    assert why(scene.look(30, web)) == ("gate.late", "web was not probed with exec:ready -q yet.")


def test_probes_are_due_each_so_often_and_of_what_runs_only() -> None:
    where = one(probes=(TcpProbe(port=1, every_ms=2_000), TcpProbe(port=2, every_ms=10_000)))
    web = box(where, "web")
    begun = health.begin(0.0)
    assert [each.key for each in health.probes_due(begun, where, Observed((web,)), 0.0)] == ["web#0", "web#1"]
    assert health.probes_due(begun, where, Observed((replace(web, state="exited"),)), 0.0) == ()
    watch = health.look(begun, where, Observed((web,)), {"web#0": "", "web#1": ""}, frozenset(), 0.0)
    assert health.probes_due(watch, where, Observed((web,)), 1.9) == ()
    due = health.probes_due(watch, where, Observed((web,)), 2.0)
    assert [(each.key, each.container, each.probe) for each in due] == [
        ("web#0", where.container("web"), TcpProbe(port=1, every_ms=2_000))
    ]


def test_what_was_started_again_has_its_grace_and_its_soak_anew() -> None:
    scene = Scene(slot(1, manifest({"web": service("web")}, ["web"], gate=replace_gate(max_restarts=1))))
    scene.look(0, box(scene.slot, "web"))
    exited = box(scene.slot, "web", state="exited", exit_code=1)
    assert isinstance(scene.look(20, exited), Waiting)
    scene.start(20, exited)
    assert isinstance(scene.look(22, box(scene.slot, "web")), Waiting)
    assert isinstance(scene.look(121, box(scene.slot, "web")), Waiting)
    assert scene.look(142, box(scene.slot, "web")) == Healthy()


def test_one_exit_more_than_allowed_fails() -> None:
    scene = Scene(slot(1, manifest({"web": service("web")}, ["web"], gate=replace_gate(max_restarts=1))))
    exited = box(scene.slot, "web", state="exited", exit_code=1)
    scene.look(0, box(scene.slot, "web"))
    scene.look(2, exited)
    scene.start(2, exited)
    assert why(scene.look(5, exited)) == ("gate.exited", "web exited with code 1 after 3 s.")


def replace_gate(*, max_restarts: int) -> Gate:
    return Gate(start_grace_ms=30_000, soak_ms=120_000, max_restarts=max_restarts)


def test_a_probe_of_the_run_before_says_nothing_after_a_restart() -> None:
    gate = replace_gate(max_restarts=1)
    scene = Scene(slot(1, manifest({"web": service("web", probes=(TcpProbe(port=1),))}, ["web"], gate=gate)))
    scene.look(0, box(scene.slot, "web"), probes={"web#0": ""})
    exited = box(scene.slot, "web", state="exited", exit_code=1)
    scene.look(3, exited)
    scene.start(3, exited)
    scene.look(4, box(scene.slot, "web"))
    assert scene.watch.right is None
    scene.look(5, box(scene.slot, "web"), probes={"web#0": ""})
    assert scene.watch.right == 5


# ---- Oneshots. ----


def migrated(**how: object) -> Manifest:
    services = {"web": service("web", after=("migrate",)), "migrate": service("migrate", kind="oneshot", **how)}
    return manifest(services, ["web", "migrate"], gate=GATE)


def test_a_oneshot_that_ended_with_zero_is_no_failure() -> None:
    scene = Scene(slot(1, migrated()))
    web, done = box(scene.slot, "web"), box(scene.slot, "migrate", state="exited", exit_code=0)
    scene.look(0, web, done)
    assert scene.look(120, web, done) == Healthy()


def test_a_oneshot_may_be_meant_to_end_with_another_code() -> None:
    scene = Scene(slot(1, migrated(exit=3)))
    web = box(scene.slot, "web")
    assert isinstance(scene.look(0, web, box(scene.slot, "migrate", state="exited", exit_code=3)), Waiting)
    verdict = scene.look(1, web, box(scene.slot, "migrate", state="exited", exit_code=0))
    assert why(verdict) == ("gate.oneshot", "migrate ended with code 0, not with 3.")


def test_a_oneshot_that_ran_before_need_not_be_there() -> None:
    where = slot(1, migrated())
    scene = Scene(where, ran=frozenset({ran(where, "migrate")}))
    web = box(where, "web")
    scene.look(0, web)
    assert scene.look(120, web) == Healthy()


def test_a_oneshot_of_each_switch_must_be_there_though_it_ran_before() -> None:
    where = slot(1, migrated(each_switch=True))
    scene = Scene(where, ran=frozenset({ran(where, "migrate")}))
    assert why(scene.look(0, box(where, "web")))[0] == "gate.missing"


# ---- Last known good. ----


def test_last_known_good_needs_no_soak() -> None:
    scene = Scene(one())
    assert scene.back(5, box(scene.slot, "web")) == Healthy()


def test_last_known_good_is_not_judged_by_its_oneshots_nor_by_old_restarts() -> None:
    scene = Scene(slot(1, migrated()))
    assert scene.back(0, box(scene.slot, "web", restarts=7)) == Healthy()


def test_last_known_good_has_its_grace_for_everything() -> None:
    scene = Scene(one())
    exited = box(scene.slot, "web", state="exited", exit_code=1)
    assert isinstance(scene.back(0, exited), Waiting)
    assert why(scene.back(30, exited)) == ("gate.exited", "web exited with code 1.")


def test_last_known_good_may_take_the_soak_for_its_first_health_check() -> None:
    scene = Scene(one())
    assert isinstance(scene.back(0, box(scene.slot, "web", health="starting")), Waiting)
    assert isinstance(scene.back(149, box(scene.slot, "web", health="starting")), Waiting)
    assert scene.back(149.5, box(scene.slot, "web", health="healthy")) == Healthy()
    assert why(scene.back(150, box(scene.slot, "web", health="starting")))[0] == "gate.starting"


def test_last_known_good_is_probed_before_it_is_called_late_however_long_nobody_looked() -> None:
    scene = Scene(one(probes=(TcpProbe(port=5432),)))
    web = box(scene.slot, "web")
    assert isinstance(scene.back(600, web), Waiting), "nobody has asked it yet"
    scene.look(600, web, probes={"web#0": ""})
    assert scene.back(600, web) == Healthy()


# ---- What is told. ----


def test_all_that_is_wrong_is_named() -> None:
    scene = Scene(two())
    verdict = scene.look(1, box(scene.slot, "db", state="exited", exit_code=2))
    assert isinstance(verdict, Failed)
    assert [(each.service, each.code) for each in verdict.failure.services] == [
        ("db", "gate.exited"),
        ("web", "gate.missing"),
    ]
    assert verdict.failure.sentence == "db exited with code 2; web has no container."


def test_what_was_seen_says_what_the_engine_runs_not_what_was_asked_for() -> None:
    where = one(probes=(HttpProbe(port=80),))
    other = box(where, "web", image=digest("another"), health="healthy", restarts=1)
    watch = health.look(health.begin(0.0), where, Observed((other,)), {"web#0": "No."}, frozenset(), 0.0)
    (seen,) = health.seen(where, Observed((other,)), watch)
    assert (seen.image, seen.health, seen.restarts, seen.probes) == (
        digest("another"),
        "healthy",
        1,
        {"http:80/": "No."},
    )
    assert seen.wrong.startswith("web runs the image")


def test_what_was_seen_names_what_is_missing_and_what_should_not_be_there() -> None:
    where = two()
    web = box(where, "web", state="exited", exit_code=4)
    ghost = replace(web, name="ghost", service="ghost")
    told = {each.service: each for each in health.seen(where, Observed((web, ghost)), None)}
    assert (told["db"].state, told["db"].image) == ("missing", image("db").config)
    assert (told["web"].exit, told["ghost"].state) == (4, "exited")


def test_verifying_goes_on_with_the_watch_of_switching_and_every_other_state_begins_anew() -> None:
    watch = health.did(health.begin(0.0), Observed(), [Start("web")], 1.0)
    assert health.noted(watch, State.VERIFYING, 5.0) is watch
    for state in set(State) - {State.VERIFYING}:
        assert health.noted(watch, state, 5.0) == health.begin(5.0)


@pytest.mark.parametrize("seconds", [0.0, 1.0, 29.0, 31.0, 119.9])
def test_waiting_never_waits_past_what_it_waits_for(seconds: float) -> None:
    scene = Scene(one())
    scene.look(0, box(scene.slot, "web"))
    verdict = scene.look(seconds, box(scene.slot, "web"))
    assert isinstance(verdict, Waiting)
    assert 0 < verdict.seconds <= max(120 - seconds, health.SOONEST)
