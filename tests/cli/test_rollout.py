# SPDX-License-Identifier: Apache-2.0
"""Rollouts from a terminal, against a real plane whose devices are rows: planned, started, watched, decided about."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from checkvalve.server.rollouts.model import Outcome
from tests.cli.depot import Depot
from tests.cli.terminal import Terminal, Typist, password_file, sign_in
from tests.cli.works import fresh, plane
from tests.parts.plane import CHECKVALVE, PlaneProcess

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlaneProcess]:
    """Serve a plane for this module, which comes back on the same port."""
    made = plane(tmp_path_factory.mktemp("rollouts")).stay()
    yield made
    made.close()


@pytest.fixture
def depot(served: PlaneProcess, terminals: Callable[[str], Terminal]) -> Depot:
    """Return an organisation of its own, with an operator at a terminal."""
    admin, desk = terminals("admin"), terminals("desk")
    sign_in(admin, served, "admin")
    if "oskar" not in admin.done("person", "list"):
        admin.done("person", "create", "oskar", "--name", "Oskar", "--password-file", password_file(served))
        admin.done("binding", "create", "oskar", "operator", "--scope", "/")
    sign_in(desk, served, "oskar")
    return Depot(served, admin, desk)


class Watcher:
    """A `rollout watch` whose output is a pipe, read line by line."""

    def __init__(self, home: Path, *words: str) -> None:
        self._process = subprocess.Popen(
            [*CHECKVALVE, "rollout", "watch", *words],
            env={**os.environ, "HOME": str(home)},
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self.lines: list[str] = []

    def reads(self, text: str) -> str:
        """Wait for a line with `text` in it, and return it."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.lines.append(line)
            if text in line:
                return line
        raise AssertionError((text, self.lines))

    def ends(self) -> int:
        """Wait for its end; return the exit code."""
        assert self._process.stdout is not None
        self.lines += self._process.stdout.readlines()
        self._process.stdout.close()
        return self._process.wait(30)


def test_a_draft_says_how_many_it_means_and_its_plan_who(depot: Depot) -> None:
    depot.has("p-1", "p-2", "p-3").has("q-1", tag="other")
    words = ["--release", "press-line@2.4.1", "--selector", "tag:press", "--canary", "1", "--step", "1"]
    said = depot.desk.done("rollout", "draft", "Press line", *words, "--scope", depot.name)
    assert "3 devices would take it now in 3 waves." in said
    ident = said.split()[3]
    planned = depot.desk.done("rollout", "plan", ident)
    assert [line.split()[:2] for line in planned.splitlines() if " p-" in line] == [
        ["canary", "p-1"],
        ["1", "p-2"],
        ["2", "p-3"],
    ]
    assert "q-1" not in planned
    assert depot.desk.done("rollout", "plan", ident, "-q").split() == [
        depot.devices[name].id for name in ("p-1", "p-2", "p-3")
    ]
    shown = depot.desk.done("rollout", "show", ident)
    assert "1 device first, then the rest in waves of 1" in shown


def test_what_is_in_the_way_is_told_with_the_plan_and_nothing_is_asked(depot: Depot) -> None:
    none = depot.desk(
        "rollout", "draft", "R", "--release", "press-line@2.4.1", "--selector", "tag:x", "--scope", depot.name
    )
    assert (none.code, "No device would take it now" in none.out, "[rollout.no_device]" in none.err) == (0, True, True)
    depot.has("p-1").started()
    second = depot.proposed()
    for words in (["plan", second], ["start", second, "--dry-run"], ["start", second], ["start", second, "--yes"]):
        said = depot.desk("rollout", *words)
        assert (said.code, "[rollout.devices_busy]" in said.err) == (3, True), words
    answer = depot.desk("rollout", "plan", second, "--json")
    assert (answer.code, json.loads(answer.out)["obstacle"]["code"]) == (3, "rollout.devices_busy")
    assert json.loads(answer.err)["code"] == "rollout.devices_busy"
    wrong = depot.desk(
        "rollout", "draft", "R", "--release", "press-line@2.4.1", "--selector", "(all", "--scope", depot.name
    )
    assert (wrong.code, "[selector." in wrong.err) == (1, True)
    assert depot.desk("rollout", "draft", "R", "--release", "a", "--selector", "all", "--canary", "6").code == 2


def test_a_start_shows_whom_it_means_and_asks(depot: Depot) -> None:
    ident = depot.has("p-1", "p-2").proposed()
    dry = depot.desk.done("rollout", "start", ident, "--dry-run")
    assert "2 devices would take it now in 2 waves." in dry
    asked = depot.desk("rollout", "start", ident)
    assert (asked.code, "[cli.ask]" in asked.err, "At once: p-1." in asked.err) == (2, True, True)
    assert "proposed" in depot.desk.done("rollout", "list", "--scope", depot.name)
    typist = Typist(depot.desk.home, "rollout", "start", ident)
    typist.reads("Start it? [y/N]")
    typist.types("y")
    assert typist.ends() == 0
    assert "started, 1 of 2 waves" in depot.desk.done("rollout", "list", "--scope", depot.name)


def test_a_terminal_draws_a_rollout_until_it_is_done(depot: Depot) -> None:
    ident = depot.has("p-1", "p-2", "p-3").started()
    typist = Typist(depot.desk.home, "rollout", "watch", ident, columns=100)
    typist.reads("The canary wave waits for 1 device of 1.")
    typist.reads("0 of 2 took it, 2 to come")
    depot.begins("p-1")
    typist.reads("Under way: 1 fetching")
    depot.ends("p-1")
    typist.reads("2 of 2 waves open")
    for name in ("p-2", "p-3"):
        depot.ends(name)
    assert typist.ends() == 0
    assert "is done: 3 devices took it." in typist.seen
    assert "█" in typist.seen


def test_a_narrow_terminal_draws_no_line_that_wraps_and_as_many_waves_as_fit(depot: Depot) -> None:
    ident = depot.has(*(f"p-{number:02}" for number in range(40))).started("--step", "1")
    typist = Typist(depot.desk.home, "rollout", "watch", ident, columns=40)
    typist.reads("waves after")
    typist.types("\x03")
    assert typist.ends() == 130
    drawn = typist.seen.partition("waves after")[0]
    assert drawn.count("Wave ") < 24
    assert "…" in drawn


def test_whoever_leaves_a_watch_is_told_that_the_rollout_goes_on(depot: Depot) -> None:
    ident = depot.has("p-1").started()
    typist = Typist(depot.desk.home, "rollout", "watch", ident)
    typist.reads("The canary wave")
    typist.types("\x03")
    assert typist.ends() == 130
    assert f"The rollout goes on; watch it with: checkvalve rollout watch {ident}" in typist.seen
    assert "Traceback" not in typist.seen


def test_a_judge_who_pauses_ends_the_watch_with_the_reason_and_what_to_do(depot: Depot) -> None:
    ident = depot.has("p-1", "p-2").started()
    watcher = Watcher(depot.desk.home, ident)
    watcher.reads("waits for 1 device")
    depot.ends("p-1", Outcome.ROLLED_BACK, "web exited.")
    assert watcher.ends() == 1
    said = "".join(watcher.lines)
    assert "p-1 rolled back: web exited." in said
    assert f"checkvalve rollout resume {ident}" in said
    assert f"checkvalve rollout undo {ident}" in said
    assert depot.desk("rollout", "watch", ident, "-q").code == 1, "it is paused still"
    failed = depot.desk.done("rollout", "devices", ident, "--outcome", "failed")
    assert "web exited. [gate.exited]" in failed
    assert "p-2" not in failed


def test_with_json_each_change_is_the_planes_own_answer(depot: Depot) -> None:
    ident = depot.has("p-1", "p-2").started()
    watcher = Watcher(depot.desk.home, ident, "--json")
    watcher.reads('"next":"hold"')
    depot.ends("p-1")
    watcher.reads('"wave":1')
    depot.ends("p-2")
    watcher.reads('"state":"done"')
    assert watcher.ends() == 0
    answers = [json.loads(line) for line in watcher.lines if line.startswith("{")]
    assert [sum(wave["committed"] for wave in each["waves"]) for each in answers][-1] == 2
    assert len({json.dumps(each) for each in answers}) == len(answers), "only changes are told"


def test_a_watch_outlives_the_plane(depot: Depot) -> None:
    ident = depot.has("p-1").started()
    typist = Typist(depot.desk.home, "rollout", "watch", ident, columns=100)
    typist.reads("The canary wave waits")
    watcher = Watcher(depot.desk.home, ident)
    watcher.reads("waits for 1 device")
    impatient = Watcher(depot.desk.home, ident, "--give-up", "1")
    impatient.reads("waits for 1 device")
    depot.plane.kill()
    typist.reads("trying again.")
    watcher.reads("No answer for")
    assert impatient.ends() == 4
    assert "[plane." in impatient.lines[-1]
    assert depot.desk("rollout", "watch", ident).code == 4, "a plane that was never there is not waited for"
    depot.plane.start()
    watcher.reads("The plane answers again.")
    depot.ends("p-1")
    assert (watcher.ends(), typist.ends()) == (0, 0)


def test_a_persons_pause_is_waited_out(depot: Depot) -> None:
    ident = depot.has("p-1", "p-2").started()
    depot.begins("p-1")
    watcher = Watcher(depot.desk.home, ident)
    watcher.reads("started")
    asked = depot.desk("rollout", "pause", ident)
    assert (asked.code, "brought to the end: 1. Held back: 1." in asked.err) == (2, True)
    said = depot.desk.done("rollout", "pause", ident, "--reason", "Storm.", "--yes")
    assert f"checkvalve rollout resume {ident}" in said
    watcher.reads("Paused by oskar: Storm.")
    again = depot.desk("rollout", "pause", ident, "--yes")
    assert (again.code, "[rollout.is_paused]" in again.err) == (1, True)
    assert "goes on" in depot.desk.done("rollout", "resume", ident, "--yes")
    for name in ("p-1", "p-2"):
        depot.ends(name)
    assert watcher.ends() == 0


def test_an_undo_shows_who_goes_back_to_what_and_may_be_followed(depot: Depot) -> None:
    depot.has("p-1", "p-2").has("q-1", before="@")
    ident = depot.started("--canary", "0")
    for name in ("p-1", "q-1"):
        depot.ends(name)
    asked = depot.desk("rollout", "undo", ident)
    assert (asked.code, "[cli.ask]" in asked.err) == (2, True)
    assert "1 device goes back to press-old@2.3.0." in asked.err
    assert "q-1 stays: nothing ran on it before." in asked.err
    assert "1 device did not take it, and nothing changes there: p-2." in asked.err
    typist = Typist(depot.desk.home, "rollout", "undo", ident, "--reason", "Alarms are late.", "--watch", "--yes")
    typist.reads("Wave 1 waits for 1 device of 1.")
    depot.ends("p-1")
    assert typist.ends() == 0
    ended = depot.desk("rollout", "watch", ident)
    assert (ended.code, "was undone: oskar: Alarms are late." in ended.err) == (1, True)
    twice = depot.desk("rollout", "undo", ident)
    assert (twice.code, "[rollout.is_undone]" in twice.err) == (3, True)
    shown = depot.desk.done("rollout", "show", ident)
    assert "undone by" in shown


def test_a_cancelled_rollout_says_what_it_leaves(depot: Depot) -> None:
    ident = depot.has("p-1", "p-2", "p-3").started("--canary", "0")
    depot.ends("p-1")
    asked = depot.desk("rollout", "cancel", ident)
    assert (asked.code, "[cli.ask]" in asked.err) == (2, True)
    assert "Keep it: 1. On the way, and brought to the end: 0. Never get it: 2." in asked.err
    assert "is cancelled" in depot.desk.done("rollout", "cancel", ident, "--yes")
    ended = depot.desk("rollout", "watch", ident)
    assert (ended.code, "was cancelled" in ended.err) == (1, True)
    assert "cancelled" in depot.desk.done("rollout", "list", "--state", "cancelled", "--scope", depot.name)


def test_the_devices_of_a_rollout_are_listed_by_wave(depot: Depot) -> None:
    ident = depot.has("p-1", "p-2", "p-3").proposed()
    before = depot.desk("rollout", "devices", ident)
    assert (before.code, f"checkvalve rollout plan {ident}" in before.err) == (0, True)
    depot.desk.done("rollout", "start", ident, "--yes")
    canary = depot.desk.done("rollout", "devices", ident, "--wave", "0")
    assert "p-1" in canary
    assert "canary" in canary
    assert "p-2" not in canary
    rest = depot.desk.done("rollout", "devices", ident, "--wave", "1", "-q").split()
    assert rest == [depot.devices[name].id for name in ("p-2", "p-3")]
    first = depot.desk("rollout", "devices", ident, "--limit", "1")
    mark = first.err.rpartition("--after ")[2].strip()
    assert "p-2" in depot.desk.done("rollout", "devices", ident, "--limit", "1", "--after", mark)
    assert depot.desk("rollout", "devices", ident, "--outcome", "flying").code == 2
    depot.desk.done("rollout", "cancel", ident, "--yes")
    plain = depot.started("--canary", "0")
    none = depot.desk("rollout", "devices", plain, "--wave", "0")
    assert (none.code, "[cli.wave]" in none.err) == (2, True)
    assert "p-3" in depot.desk.done("rollout", "devices", plain, "--wave", "1")


def test_a_viewer_plans_and_watches_and_decides_nothing(depot: Depot, terminals: Callable[[str], Terminal]) -> None:
    ident, login = depot.has("p-1").started(), fresh("vera")
    words = ["--name", "Vera", "--scope", depot.name, "--password-file", password_file(depot.plane)]
    depot.admin.done("person", "create", login, *words)
    depot.admin.done("binding", "create", login, "viewer", "--scope", depot.name)
    vera = terminals(login)
    sign_in(vera, depot.plane, login)
    assert "p-1" in vera.done("rollout", "devices", ident)
    for verb in ("start", "pause", "resume", "undo", "cancel"):
        said = vera("rollout", verb, ident, "--yes")
        assert (said.code, "[access.denied]" in said.err) == (3, True), verb
    depot.ends("p-1")
    assert "is done" in vera("rollout", "watch", ident).err
