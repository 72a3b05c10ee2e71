# SPDX-License-Identifier: Apache-2.0
"""Small orders, from the terminal of a person to a device and back: plane and agent are real processes."""

import json
import re
import signal
import tarfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.cli.terminal import Outcome, Terminal, Typist
from tests.parts import archives, hasty
from tests.parts.agents import Agent
from tests.parts.estate import GOOD, ORGANISATION, RUT, Estate
from tests.parts.guide import commands
from tests.parts.plane import PlaneProcess

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SAID = "three pumps are ready"


@pytest.fixture(scope="module")
def estate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Estate]:
    """Lend a plane with one release, and Rut, who is its operator too."""
    folder = tmp_path_factory.mktemp("errands")
    plane = PlaneProcess(folder / "plane", "sqlite:", hasty.PROGRAM)
    assert plane.init().returncode == 0
    lent = Estate(plane, folder / "desk")
    try:
        lent.found()
        lent.run("binding", "create", RUT, "operator", "--scope", ORGANISATION)
        lent.bring(archives.Image(names=["pump:1"]))
        web = {"image": "pump:1", "restart": "always", "environment": {"CHECKVALVE_SIMULATE": f"log={SAID}"}}
        lent.make(GOOD, {"web": web, "worker": {"image": "pump:1"}})
        lent.sign()
        yield lent
    finally:
        lent.close()


@pytest.fixture(scope="module")
def agent(estate: Estate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Agent]]:
    """Lend agents on which the release runs."""
    made: list[Agent] = []

    def lend(name: str, *words: str) -> Agent:
        made.append(estate.joined(Agent(tmp_path_factory.mktemp("agents") / name), *words).start())
        attempt = estate.assign(made[-1], GOOD)
        made[-1].until(lambda: estate.told(made[-1], attempt))
        return made[-1]

    yield lend
    for each in made:
        each.end(signal.SIGKILL)
    assert [each.heard for each in made if each.heard] == []


@pytest.fixture(scope="module")
def pump(agent: Callable[..., Agent]) -> Agent:
    return agent("pump-3")


@pytest.fixture(scope="module")
def weir(agent: Callable[..., Agent]) -> Agent:
    return agent("weir-1", "--async")


@pytest.fixture
def terminal(
    estate: Estate, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Outcome]:
    """Return what types a command at Rut's terminal, or at somebody else's, to its end."""
    made = Terminal(estate.folder, monkeypatch, capsys)

    def types(*words: str, who: str = RUT) -> Outcome:
        monkeypatch.setenv("CHECKVALVE_CONFIG", str(estate.folder / f"{who}.json"))
        return made(*words)

    return types


def _listed(terminal: Callable[..., Outcome], device: str, *words: str) -> list[dict[str, Any]]:
    said = terminal("device", "errands", device, *words, "--json")
    assert said.code == 0, said.err
    return list(json.loads(said.out)["items"])


def test_logs_are_ordered_brought_printed_and_kept(
    estate: Estate, pump: Agent, terminal: Callable[..., Outcome]
) -> None:
    said = terminal("device", "logs", "pump-3", "web", "--since", "2h", "--lines", "50")
    assert said.code == 0, said.err
    assert SAID in said.out
    assert "Ordered the logs of web of pump-3" in said.err
    one, *_ = _listed(terminal, "pump-3", "--state", "done")
    assert (one["kind"], one["service"], one["since"], one["lines"]) == ("logs", "web", 7200, 50)
    again = terminal("device", "errand", one["id"]).out
    assert again == said.out
    refused = terminal("device", "errand", one["id"], who="admin")  # sees devices, and may not read their logs
    assert (refused.code, "[access.denied]" in refused.err, SAID in refused.out) == (3, True, False)
    acts = estate.plane.caller().get("/api/v1/audit", limit=100)["items"]
    mine = [each["action"] for each in acts if each["subject"] == f"errand:{one['id']}"]
    assert mine == ["errand.end", "errand.order"]
    estate.all_told(pump)


def test_a_service_is_restarted_and_what_is_no_service_there_is_refused_with_their_names(
    estate: Estate, pump: Agent, terminal: Callable[..., Outcome]
) -> None:
    done = terminal("device", "restart", "pump-3", "web", "--why", "stuck since the sensor was changed")
    assert (done.code, "the restart of web is done" in done.out) == (0, True), done.err
    refused = terminal("device", "restart", "pump-3", "wbe", "--why", "stuck")
    assert (refused.code, "[errand.service]" in refused.err) == (1, True), refused.err
    assert "web" in refused.err
    assert "checkvalve device show pump-3" in refused.err
    pump.until(lambda: pump.status().state == "committed")
    estate.all_told(pump)


def test_a_support_bundle_is_saved_and_opens(estate: Estate, pump: Agent, terminal: Callable[..., Outcome]) -> None:
    out = estate.folder / "pump-3.tar.gz"
    said = terminal("device", "bundle", "pump-3", "--output", str(out))
    assert said.code == 0, said.err
    with tarfile.open(out) as opened:
        names = opened.getnames()
    assert any("journal" in name for name in names)
    assert out.stat().st_mode & 0o777 == 0o600
    twice = terminal("device", "bundle", "pump-3", "--output", str(out))
    assert (twice.code, "[file.exists]" in twice.err) == (1, True)
    estate.all_told(pump)


def test_what_is_held_is_not_restarted_and_says_who_holds_it(
    estate: Estate, pump: Agent, terminal: Callable[..., Outcome]
) -> None:
    tag = terminal("hold", "add", "--device", "pump-3", "--reason", "Pump 3 is open", "--quiet").out.strip()
    before = len(_listed(terminal, "pump-3"))
    refused = terminal("device", "restart", "pump-3", "web", "--why", "stuck")
    assert (refused.code, "[errand.held]" in refused.err) == (3, True), refused.err
    assert RUT in refused.err
    assert len(_listed(terminal, "pump-3")) == before
    logs = terminal("device", "logs", "pump-3")
    assert (logs.code, SAID in logs.out) == (0, True), logs.err
    assert terminal("hold", "lift", tag, "--yes").code == 0
    pump.until(lambda: not estate.device(pump).held)


def test_one_that_waits_is_left_found_again_and_cancelled_and_never_done(
    estate: Estate, pump: Agent, terminal: Callable[..., Outcome]
) -> None:
    assert pump.end() == 0
    assert _listed(terminal, "pump-3", "--state", "waiting") == []
    typist = Typist(estate.folder, "device", "restart", "pump-3", "worker", "--why", "never wanted", columns=150)
    typist.reads("hears of it at once")
    typist.types("\x03")
    assert typist.ends() == 130, typist.seen
    assert "It stays ordered" in typist.seen
    (one,) = _listed(terminal, "pump-3", "--state", "waiting")
    assert f"checkvalve device cancel {one['id']}" in typist.seen
    same = terminal("device", "restart", "pump-3", "worker", "--why", "never wanted", "--no-wait", "-q").out
    assert same.strip() == one["id"]
    assert "cancelled" in terminal("device", "cancel", one["id"], "--why", "A mistake").out
    pump.start()
    assert terminal("device", "logs", "pump-3", "worker", "--lines", "5").code == 0
    assert _listed(terminal, "pump-3", "--state", "waiting") == []
    assert one["id"].encode() not in b"".join(pump.lines)
    estate.all_told(pump)


def test_a_device_that_comes_now_and_then_does_it_at_its_next_visit(
    estate: Estate, weir: Agent, terminal: Callable[..., Outcome]
) -> None:
    ident = terminal("device", "logs", "weir-1", "--no-wait", "--quiet").out.strip()
    said = terminal("device", "errand", ident, "--output", str(estate.folder / "weir.txt"))
    assert said.code == 0, said.err
    assert SAID in (estate.folder / "weir.txt").read_text()
    done = terminal("device", "restart", "weir-1", "web", "--why", "stuck", "--within", "30m")
    assert done.code == 0, done.err
    estate.all_told(weir)


def test_what_the_guide_says_can_be_typed(
    estate: Estate, pump: Agent, weir: Agent, terminal: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "simulated" in pump.words  # whose machine nobody can start anew
    assert weir.end() == 0  # so that nobody begins what is cancelled then
    monkeypatch.chdir(estate.folder)
    ident, said = "", set()
    for words in commands("small-orders.md"):
        typed = [ident if re.fullmatch("[0-9a-z]{26}", word) else word for word in words]
        if words[1] == "reboot":
            outcome = terminal(*typed)
            assert (outcome.code, "[reboot.unable]" in outcome.err) == (1, True), outcome.err
        else:
            outcome = terminal(*typed)
            assert outcome.code == 0, (typed, outcome.err)
            ident = outcome.out.split()[0] if "--no-wait" in words else ident
        said.add(words[1])
    assert said == {"logs", "restart", "bundle", "reboot", "errands", "cancel"}
    monkeypatch.undo()
    weir.start()
