# SPDX-License-Identifier: Apache-2.0
"""Nothing on a device can be dialled, not while releases are rolled out to it either: `nmap` asks each of its ports.

All TCP ports, with an engine that is simulated; with a real one, and more UDP ports: `tests/proofs/test_no_port.py`.
"""

from pathlib import Path

import pytest

from checkvalve.protocol.exchange import State
from tests.agent import small
from tests.parts import closed

pytestmark = [pytest.mark.slow, pytest.mark.real_parts]


def test_no_port_of_a_device_is_open_while_releases_are_rolled_out(tmp_path: Path) -> None:
    releases = (small.quick(1), small.quick(2), small.exits(3))
    with closed.apart() as device:
        seen = closed.scanned(tmp_path, device, ("--engine", "simulated"), releases, udp=100)
    print(f"{seen.tcp.closed} TCP ports and {seen.udp.closed} UDP ports are closed, {len(seen.ended)} rollouts")
    assert (seen.tcp.closed, seen.tcp.others) == (closed.EVERY, {})
    assert (seen.udp.closed, seen.udp.others) == (100, {})
    assert seen.heard == set()
    assert {State.COMMITTED} <= set(seen.ended) <= {State.COMMITTED, State.ROLLED_BACK}
