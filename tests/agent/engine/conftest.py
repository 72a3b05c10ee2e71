# SPDX-License-Identifier: Apache-2.0
"""Both engines for those tests that are asked of each."""

from collections.abc import Iterator

import pytest

from checkvalve.agent.engine.ground import Ground
from tests.agent.engine.benches import Bench, RealBench, SimulatedBench
from tests.parts import docker


@pytest.fixture(scope="session")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[docker.Engine]:
    """Lend one dockerd for all tests of this process."""
    with docker.running(tmp_path_factory.mktemp("dockerd")) as engine:
        yield engine


@pytest.fixture(params=["simulated", pytest.param("docker", marks=[pytest.mark.real_parts, pytest.mark.slow])])
def bench(request: pytest.FixtureRequest) -> Bench:
    """Lend each engine."""
    if request.param == "simulated":
        return SimulatedBench(Ground())
    return RealBench(request.getfixturevalue("daemon"))


@pytest.fixture
def real(daemon: docker.Engine) -> RealBench:
    """Lend the real engine alone."""
    return RealBench(daemon)
