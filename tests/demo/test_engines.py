# SPDX-License-Identifier: Apache-2.0
"""What runs the demo's containers: chosen with care, and left as it was found."""

import ipaddress
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from checkvalve.agent import main as agent
from checkvalve.agent import steps
from checkvalve.demo import engines, programs, station
from checkvalve.demo.engines import Pretended, Real
from tests.parts import docker

MARK = "/tmp/somewhere/demo"


def test_a_block_is_taken_that_no_network_and_no_route_overlaps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    routes = tmp_path / "route"
    routes.write_text(
        "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
        "eth0\t00000000\t0100A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
        "eth0\t0031D50A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"  # 10.213.49.0/24
    )
    monkeypatch.setattr(engines, "_ROUTES", routes)
    assert str(engines._free([])) == "172.30.244.0/22"
    assert str(engines._free(["172.30.0.0/16", "fd00::/64", ""])) == "192.168.236.0/22"
    assert engines._free(["0.0.0.0/0"]) is None


def test_twelve_devices_get_shares_of_the_block_that_do_not_overlap() -> None:
    engine = Real(Path("/nowhere"), "Docker", "1", "amd64", ipaddress.IPv4Network("10.213.48.0/22"))
    shares = [ipaddress.IPv4Network(engine.words(number)[-1]) for number in range(12)]
    assert sum(share.num_addresses for share in shares) == len(set().union(*map(set, shares)))


def test_without_an_engine_the_demo_says_that_it_simulates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent, "SOCKETS", ())
    monkeypatch.setenv("DOCKER_HOST", "tcp://192.0.2.1:2375")
    engine = engines.find(MARK)
    assert engine.simulated
    assert "The containers are simulated (no Docker or Podman answers here)" in engine.sentence


def test_what_is_played_is_cut_like_power(tmp_path: Path) -> None:
    box = {"id": "1", "name": "n", "device": "d", "service": "control", "attempt": "a", "release": "r", "image": "i"}
    box |= {"definition": "x", "status": "running"}
    (tmp_path / agent.SIMULATED).write_text(f'{{"now": 0.0, "boxes": {{"n": {str(box).replace(chr(39), chr(34))}}}}}')
    engine = Pretended()
    assert engine.running("d", tmp_path) == {"control": "r"}
    assert engine.cut("d", tmp_path) == 1
    assert engine.running("d", tmp_path) == {}


@pytest.mark.parametrize("version", [station.FIRST, station.PATCH, station.BROKEN])
@pytest.mark.parametrize("simulated", [True, False])
def test_only_a_simulated_engine_is_told_what_programs_do(version: str, simulated: bool) -> None:  # noqa: FBT001
    text = station.compose(version, MARK, simulated=simulated)
    assert ("CHECKVALVE_SIMULATE" in text) is (simulated and version != station.FIRST)
    assert text.count(f'{station.LABEL}: "{MARK}"') == text.count("image:")


@pytest.fixture(scope="module")
def dockerd() -> Iterator[docker.Engine]:
    """Lend a dockerd in namespaces of its own."""
    with tempfile.TemporaryDirectory(prefix="checkvalve-demo-") as directory, docker.running(Path(directory)) as lent:
        yield lent


@pytest.mark.slow
@pytest.mark.real_parts
def test_an_engine_is_tried_and_nothing_but_the_demos_own_is_removed(
    dockerd: docker.Engine, monkeypatch: pytest.MonkeyPatch, wait_until: Callable[[Callable[[], bool]], None]
) -> None:
    monkeypatch.setenv("DOCKER_HOST", dockerd.socket)
    dockerd.build("theirs:1", {"x": b"theirs"})
    theirs = dockerd.run("run", "-d", "--network", "none", "theirs:1", "/bin/busybox", "sleep", "1000")
    before = _all(dockerd)
    engine = engines.find(MARK)
    assert isinstance(engine, Real)
    assert engine.pool is not None
    assert _all(dockerd) == before  # what was tried is gone
    stays = programs.stays(engine.architecture)
    engine._loaded(station.archive({"checkvalve/device-1:" + "0" * 64: stays}, engine.architecture, b""))
    dockerd.run("network", "create", "--label", f"{steps.DEVICE}=device-1", "device-1-default")
    labels = [f"{station.LABEL}={MARK}", f"{steps.DEVICE}=device-1", f"{steps.SERVICE}=control", f"{steps.RELEASE}=r1"]
    words = [word for label in labels for word in ("--label", label)]
    ours = dockerd.run("run", "-d", "--network", "device-1-default", *words, "checkvalve/device-1:" + "0" * 64)
    assert engine.running("device-1", Path()) == {"control": "r1"}
    dockerd.run("stop", "-t", "30", ours)  # SIGTERM is enough
    assert dockerd.run("inspect", "--format", "{{.State.ExitCode}}", ours) == "0"
    dockerd.run("start", ours)
    assert engine.cut("device-1", Path()) == 1
    wait_until(lambda: engine.running("device-1", Path()) == {})
    assert engine.clear("/another/demo", ["device-2"]) == 0
    assert engine.clear(MARK, []) == 3  # a container, a network, an image
    assert _all(dockerd) == before
    assert dockerd.run("inspect", "--format", "{{.State.Running}}", theirs) == "true"
    engine.close()
    dockerd.run("rm", "-f", theirs)


def _all(dockerd: docker.Engine) -> list[set[str]]:
    """Return all containers, networks and images."""
    kinds = (("ps", "-aq"), ("network", "ls", "-q"), ("image", "ls", "-aq"))
    return [set(dockerd.run(*words).split()) for words in kinds]
