# SPDX-License-Identifier: Apache-2.0
"""Devices and their plane, both as real processes: releases come, fail and go back, whoever dies meanwhile."""

import random
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import httpx
import msgspec
import pytest

from checkvalve import clock
from checkvalve.agent import steps
from checkvalve.crypto import envelope
from checkvalve.protocol import receipt
from checkvalve.protocol.exchange import State
from checkvalve.server.fleet.model import Trust
from tests.agent import living as lives
from tests.agent.engine import images
from tests.parts import docker, hasty, postgres
from tests.parts.agents import Agent
from tests.parts.estate import BAD, GOOD, HEAVY, LONG, NEWER, WHY, Estate
from tests.parts.machine import Machine
from tests.parts.plane import PlaneProcess

T = TypeVar("T")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ONE = pytest.mark.parametrize("estate", ["sqlite"], indirect=True, scope="module")
BOTH = pytest.mark.parametrize(
    "estate",
    ["sqlite", pytest.param("postgresql", marks=pytest.mark.real_parts)],
    indirect=True,
    scope="module",
)


@pytest.fixture(scope="module")
def estate(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Estate]:
    """Lend a plane with releases that may run."""
    url, folder = "sqlite:", tmp_path_factory.mktemp("estate")
    if request.param == "postgresql":
        cluster: postgres.Cluster = request.getfixturevalue("cluster")
        cluster.drop("walk_of_devices")
        cluster.sql("CREATE DATABASE walk_of_devices")
        url = cluster.url("walk_of_devices")
    plane = PlaneProcess(folder / "plane", url, hasty.PROGRAM)
    assert plane.init().returncode == 0
    lent = Estate(plane, folder / "desk")
    try:
        yield lent.found().stocked()
    finally:
        lent.close()


@pytest.fixture(scope="module")
def engine() -> Iterator[docker.Engine]:
    """Lend a dockerd in namespaces of its own."""
    with tempfile.TemporaryDirectory(prefix="checkvalve-walk-") as directory, docker.running(Path(directory)) as lent:
        yield lent


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Callable[..., Agent]]:
    """Lend agents; in the end none of them has ever listened."""
    made: list[Agent] = []

    def lend(name: str, **more: Any) -> Agent:  # noqa: ANN401 - fields of an agent
        made.append(Agent(tmp_path / name, **more))
        return made[-1]

    yield lend
    for each in made:
        each.end(signal.SIGKILL)
    assert [each.heard for each in made if each.heard] == []


def _deployed(estate: Estate, agent: Agent, version: str) -> str:
    """Have a release ordered; return the attempt when the plane has its receipt."""
    attempt = estate.assign(agent, version)
    agent.until(lambda: estate.told(agent, attempt))
    return attempt


def _runs(estate: Estate, agent: Agent, version: str) -> None:
    """Wait until both the device and its plane say that this release runs."""
    digest = estate.releases[version].digest
    agent.until(lambda: agent.status().active == digest and estate.device(agent).active == digest)


@BOTH
def test_a_release_is_fetched_switched_to_and_committed_and_its_receipt_holds_offline(
    estate: Estate, agent: Callable[..., Agent]
) -> None:
    pump = estate.joined(agent("fetches")).start()
    attempt = _deployed(estate, pump, GOOD)
    _runs(estate, pump, GOOD)
    estate.all_told(pump)
    (kept,) = estate.kept(pump, attempt)
    (said,) = estate.receipts(pump, attempt)
    assert (kept.outcome, said.outcome, said.active) == (State.COMMITTED,) * 2 + (estate.releases[GOOD].digest,)
    assert [each.state for each in said.steps] == [
        State.OFFERED, State.FETCHING, State.STAGED, State.SWITCHING, State.VERIFYING, State.COMMITTED,
    ]  # fmt: skip
    assert {each.service for each in said.services} == {"web", "worker"}
    assert estate.verified(pump, kept.digest)["receipt"]["attempt"] == attempt
    assert estate.device(pump).state is State.COMMITTED


@ONE
def test_a_bad_release_is_rolled_back_by_the_device_alone_and_says_why(
    estate: Estate, agent: Callable[..., Agent]
) -> None:
    pump = estate.joined(agent("rolls-back")).start()
    _deployed(estate, pump, GOOD)
    attempt = _deployed(estate, pump, BAD)
    (kept,), (said,) = estate.kept(pump, attempt), estate.receipts(pump, attempt)
    assert (kept.outcome, kept.code, said.active) == (
        State.ROLLED_BACK,
        "gate.exited",
        estate.releases[GOOD].digest,
    )
    assert "worker" in kept.reason
    assert {each.service: each.logs for each in said.services if each.logs} == {"worker": f"{WHY}\n"}
    _runs(estate, pump, GOOD)
    estate.all_told(pump)
    estate.verified(pump, kept.digest)


@BOTH
def test_a_plane_killed_in_mid_attempt_misses_nothing_and_hears_nothing_twice(
    estate: Estate, agent: Callable[..., Agent]
) -> None:
    version, state = _one_of((HEAVY, "fetching"), (LONG, "verifying"))
    pump = estate.joined(agent(f"plane-dies-{state}")).start()
    _deployed(estate, pump, GOOD)
    attempt = estate.assign(pump, version)
    pump.until(lambda: pump.status().state == state)
    estate.plane.kill()
    if state == "verifying":  # nothing is needed of the plane any more
        pump.until(lambda: pump.status().state == "committed")
    estate.plane.start()
    pump.until(lambda: estate.told(pump, attempt))
    assert estate.receipts(pump, attempt)[0].outcome is State.COMMITTED
    _runs(estate, pump, version)
    estate.all_told(pump)


SWITCHING = 6  # the record that says so, after the start, the order, offered, fetching and staged


@ONE
@pytest.mark.parametrize("records", [SWITCHING, SWITCHING + 1])
def test_an_agent_killed_in_mid_switch_goes_back_and_says_so(
    estate: Estate, agent: Callable[..., Agent], records: int
) -> None:
    pump = estate.joined(agent(f"dies-after-{records}")).start()
    _deployed(estate, pump, GOOD)
    estate.all_told(pump)
    assert pump.end() == 0
    attempt = estate.assign(pump, NEWER)
    assert pump.start(records).died() == -signal.SIGKILL
    assert pump.status().state == {6: "switching", 7: "verifying"}[records]
    pump.start()
    pump.until(lambda: estate.told(pump, attempt))
    (said,) = estate.receipts(pump, attempt)
    assert (said.outcome, said.code, said.active) == (
        State.ROLLED_BACK, "device.restarted", estate.releases[GOOD].digest,
    )  # fmt: skip
    _runs(estate, pump, GOOD)
    estate.all_told(pump)


@ONE
def test_a_device_quarantined_during_an_attempt_goes_on_by_itself_and_tells_all_once_it_is_accepted(
    estate: Estate, agent: Callable[..., Agent]
) -> None:
    pump = estate.joined(agent("quarantined"), "--async").start()
    _deployed(estate, pump, GOOD)
    attempt = estate.assign(pump, LONG)
    pump.until(lambda: pump.status().state == "verifying")
    estate.moves(pump, "quarantine")
    pump.until(lambda: "device.quarantined" in pump.said())
    pump.until(lambda: pump.status().state == "committed")
    assert not estate.told(pump, attempt)
    assert estate.device(pump).active != estate.releases[LONG].digest
    estate.moves(pump, "accept")
    pump.until(lambda: estate.told(pump, attempt))
    _runs(estate, pump, LONG)
    estate.all_told(pump)


@ONE
def test_a_retired_device_is_shut_out_for_good_and_what_runs_on_it_goes_on(
    estate: Estate, agent: Callable[..., Agent]
) -> None:
    pump = estate.joined(agent("retired"), "--async").start()
    _deployed(estate, pump, GOOD)
    estate.all_told(pump)
    estate.moves(pump, "retire")
    before = estate.lines(pump), estate.contents()
    estate.assign(pump, NEWER)
    pump.until(lambda: "device.retired" in pump.said())
    pump.end()
    pump.start()
    pump.until(lambda: pump.said().count("device.retired") == 2)
    refused = estate.plane.caller().refusal(f"/api/v1/devices/{pump.device}/accept", reason="It is back.")
    assert refused is not None
    assert refused.code == "device.already_retired"
    assert estate.lines(pump) == before[0]
    assert estate.contents()["devices"] == before[1]["devices"]
    assert pump.status().active == estate.releases[GOOD].digest


@ONE
def test_a_copy_of_a_device_is_found_out_and_both_are_shut_out_until_a_person_chooses(
    estate: Estate, agent: Callable[..., Agent], tmp_path: Path
) -> None:
    pump = estate.joined(agent("original"), "--async")
    copy = pump.copied(tmp_path / "copy")
    pump.start()
    _deployed(estate, pump, GOOD)
    pump.until(lambda: estate.device(pump).generation >= 2)
    assert estate.device(pump).trust is Trust.ACCEPTED
    copy.start()
    try:
        copy.until(lambda: estate.device(pump).trust is Trust.QUARANTINED)
        assert "copied" in estate.device(pump).trust_reason
        for each in (copy, pump):
            each.until(lambda: "device.quarantined" in each.said())  # noqa: B023
    finally:
        copy.end(signal.SIGKILL)
    assert copy.heard == set()
    assert len(estate.entries(pump, "device.quarantine")) == 1
    estate.moves(pump, "accept")
    attempt = _deployed(estate, pump, NEWER)
    assert estate.receipts(pump, attempt)[0].outcome is State.COMMITTED
    estate.all_told(pump)


@pytest.mark.real_parts
def test_a_release_and_a_bad_one_on_a_real_engine(
    engine: docker.Engine, agent: Callable[..., Agent], tmp_path: Path
) -> None:
    words = ("--engine", "docker", "--socket", engine.socket, "--pool", "10.214.0.0/16")
    with engine.entered():  # the agent probes containers, and dials a plane on the same networks
        plane = PlaneProcess(tmp_path / "plane")
        assert plane.init().returncode == 0
        estate = Estate(plane, tmp_path / "desk")
        try:
            estate.found()
            estate.bring(*(images.hand(number, names=(f"web:{number}",)) for number in (1, 2)))
            estate.make(GOOD, {"web": _web(1)})
            estate.make(
                BAD, {"web": _web(2), "worker": {"image": "web:2", "command": ["sh", "-c", f"echo {WHY}; exit 3"]}}
            )
            estate.sign()
            _patched(estate, estate.joined(agent("real", words=words)).start(), engine)
        finally:
            estate.close()


def _web(number: int) -> dict[str, object]:
    probe = {"kind": "http", "port": images.PORT, "path": "/number", "every": "200ms"}
    return {"image": f"web:{number}", "stop_signal": "SIGKILL", "x-checkvalve": {"probes": [probe]}}


def _patched(estate: Estate, pump: Agent, engine: docker.Engine) -> None:
    attempt = _deployed(estate, pump, GOOD)
    assert estate.receipts(pump, attempt)[0].outcome is State.COMMITTED
    attempt = _deployed(estate, pump, BAD)
    (said,) = estate.receipts(pump, attempt)
    assert (said.outcome, said.code, said.active) == (
        State.ROLLED_BACK,
        "gate.exited",
        estate.releases[GOOD].digest,
    )
    assert {each.service: (each.exit, each.logs) for each in said.services if each.wrong} == {"worker": (3, f"{WHY}\n")}
    filters = ("--filter", f"label={steps.DEVICE}={pump.device}", "--format", "{{.Image}}", "--no-trunc")
    pump.until(lambda: engine.run("ps", *filters) == images.hand(1).id)
    estate.all_told(pump)
    estate.verified(pump, estate.kept(pump, attempt)[0].digest)
    assert pump.end() == 0
    assert engine.run("ps", *filters) == images.hand(1).id


YEAR = 365.25 * 86_400


@ONE
def test_a_device_whose_clock_is_wrong_joins_takes_a_release_and_renews(
    estate: Estate, agent: Callable[..., Agent]
) -> None:
    ahead = _one_of(-80 * YEAR, 10 * YEAR)  # it says 1970, or ten years from now
    pump = estate.joined(agent("wrong-clock", ahead=ahead), "--async").start()
    attempt = _deployed(estate, pump, GOOD)
    (said,) = estate.receipts(pump, attempt)
    assert said.outcome is State.COMMITTED
    assert said.offset is not None
    assert abs(said.at - said.offset - clock.now().timestamp() * 1000) < 60_000
    assert (said.at < 86_400_000) == (ahead < 0)
    pump.until(lambda: estate.device(pump).generation >= 3)
    attempt = _deployed(estate, pump, BAD)
    assert estate.receipts(pump, attempt)[0].outcome is State.ROLLED_BACK
    estate.all_told(pump)
    assert estate.device(pump).trust is Trust.ACCEPTED


@ONE
def test_tokens_that_are_used_up_mistyped_over_or_of_another_plane_let_nobody_in(
    estate: Estate, agent: Callable[..., Agent]
) -> None:
    once, over, gone, good = (estate.invite() for _ in range(4))
    assert agent("first").join(once["command"]) == ""
    estate.run("device", "revoke", gone["id"], "--yes")
    estate.ends(over["id"])
    before = estate.contents()
    stranger = agent("stranger")
    for invite in (once, over, gone):
        assert stranger.join(invite["command"]) == "invite.refused"
    assert stranger.join(good["command"], "--ca-pin", "sha256:" + "0" * 64) == "link.pin"
    token = good["token"]
    assert stranger.join(good["command"], "--token", token[:-1] + ("0" if token[-1] != "0" else "1")) == "join.token"
    assert estate.contents() == before
    assert stranger.join(good["command"]) == ""


def _one_of(*choices: T) -> T:
    """Choose one of a matrix by a seed that is printed; over the runs each has its turn."""
    seed = random.randrange(1_000_000)
    print(f"seed {seed}")
    return random.Random(seed).choice(choices)


def _gibibyte() -> Iterator[bytes]:
    """Yield a JSON document of a GiB."""
    yield b'{"x":"'
    for _ in range(1 << 10):
        yield b"x" * (1 << 20)
    yield b'"}'


@ONE
@pytest.mark.parametrize("path", ["/v1/join", "/v1/renew", "/v1/exchange"])
def test_no_body_however_large_deep_or_wrong_changes_a_thing(estate: Estate, path: str) -> None:
    here = estate.machine(f"hostile {path}")
    size = (1 << 30) + 8
    before, memory = estate.contents(), lives.memory(estate.plane.pid)
    told = estate.asked("POST", path, _gibibyte(), here, **{"Content-Length": str(size)})
    assert told == (413, "request.too_large")
    assert estate.asked("POST", path, _gibibyte(), here) == told  # in chunks, of no length that was said
    assert lives.memory(estate.plane.pid) - memory < 100e6
    for deep in (b"[" * 8_000, b'{"x":' * 1_500, b'{"payload":' * 1_200):
        status, code = estate.asked("POST", path, deep, here)
        assert status in {400, 422}, code
        assert code in {"request.nesting", "request.invalid", "request.malformed", "envelope.form"}
    for body in (b"", b"{}", b"null", b"\xff\xfe", b'{"payload":"","payloadType":"x","signatures":[]}'):
        status, code = estate.asked("POST", path, body, here)
        assert (status in {400, 422}, isinstance(code, str)) == (True, True), body
    for method in ("GET", "PUT", "DELETE", "PATCH"):
        assert estate.asked(method, path, b"", here) == (405, "route.method")
    assert estate.contents() == before


@ONE
def test_whoever_has_no_certificate_or_a_strangers_is_not_heard(estate: Estate) -> None:
    here, other = estate.machine("heard"), estate.machine("another")
    before = estate.contents()
    report = msgspec.json.encode(here.report())
    assert estate.asked("POST", "/v1/exchange", report) == (401, "device.no_certificate")
    assert estate.asked("GET", "/v1/metadata/timestamp.json") == (401, "device.no_certificate")
    assert estate.asked("GET", f"/v1/releases/{'0' * 64}", who=here) == (404, "release.not_found")
    assert estate.asked("GET", f"/v1/blobs/sha256:{'0' * 64}", who=here) == (404, "blob.not_found")
    blob = estate.releases[GOOD].manifest.partition(b"sha256:")[2][:64].decode()
    assert estate.asked("GET", f"/v1/blobs/sha256:{blob}", who=here) == (404, "blob.not_found")
    # A renewal in another's name.
    time = here.renewal(_time(estate), device=other.id)
    assert estate.asked("POST", "/v1/renew", time) == (403, "device.unknown")
    assert estate.contents() == before


@BOTH
def test_a_receipt_with_anothers_key_or_name_is_refused_once_and_kept_by_nobody(estate: Estate) -> None:
    here, other = estate.machine("signs"), estate.machine("signs for another")
    attempt, before = clock.new_id(), estate.contents()
    forged = Machine(key=other.key, id=here.id).receipt(attempt)
    borrowed = other.receipt(attempt)
    own = Machine(key=here.key, id=other.id).receipt(attempt)
    deep = envelope.seal(here.key, receipt.RECEIPT, b"[" * 100_000)
    report = msgspec.json.encode(here.report(receipts=(forged, borrowed, own, deep)))
    for _ in range(2):
        status, said = estate.asked("POST", "/v1/exchange", report, here)
        assert (status, len(said["receipts"])) == (200, 4)
    assert estate.contents() == before
    refused = [
        each for each in estate.plane.caller().get("/api/v1/audit", action="device.receipt", limit=500)["items"]
        if each["kind"] == "refused" and each["actor"]["id"] == here.id
    ]  # fmt: skip
    codes = ["canonical.form", "receipt.device", "receipt.signature", "receipt.signature"]
    assert sorted(each["facts"]["code"] for each in refused) == codes


def _time(estate: Estate) -> str:
    """Return a time that the plane signed."""
    with httpx.Client(verify=False) as client:
        return client.get(f"{estate.plane.devices}/v1/time").headers["checkvalve-time"]
