# SPDX-License-Identifier: Apache-2.0
"""Every port of a device with a real engine is asked by `nmap` while releases are rolled out: all are closed."""

import tempfile
from pathlib import Path

import pytest

from checkvalve.agent import steps
from checkvalve.protocol.exchange import State
from tests.agent.engine import images
from tests.parts import closed, docker
from tests.proofs import book

pytestmark = [pytest.mark.slow, pytest.mark.real_parts]

ROUNDS = 3
POOL = "10.218.0.0/16"


@pytest.mark.timeout(900)
def test_no_port_of_a_device_on_a_real_engine_is_open_while_releases_are_rolled_out() -> None:
    with tempfile.TemporaryDirectory(prefix="checkvalve-closed-") as name, docker.running(Path(name)) as engine:
        proof = f"no port open during rollouts: {closed.EVERY} TCP, {closed.MOST_ASKED} UDP, real engine"
        for number in book.rounds(proof, ROUNDS):
            directory = Path(name) / str(number)
            directory.mkdir()
            releases = (images.pair(1), images.pair(2), images.exits(3), images.data(4))
            words = ("--engine", "docker", "--socket", engine.socket, "--pool", POOL)
            seen = closed.scanned(directory, engine.leader.pid, words, releases, udp=closed.MOST_ASKED)
            print(f"{seen.tcp.closed} TCP and {seen.udp.closed} UDP ports closed during {len(seen.ended)} rollouts")
            assert (seen.tcp, seen.udp) == (closed.Scanned(closed.EVERY, {}), closed.Scanned(closed.MOST_ASKED, {}))
            assert seen.heard == set()
            assert {State.COMMITTED} <= set(seen.ended) <= {State.COMMITTED, State.ROLLED_BACK}
            ours = engine.run("ps", "-aq", "--filter", f"label={steps.DEVICE}").split()
            engine.run("rm", "-f", *ours)
