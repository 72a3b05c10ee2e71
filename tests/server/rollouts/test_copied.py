# SPDX-License-Identifier: Apache-2.0
"""What a plan says of volumes: which are copied at the switch, and how long that stopped them on these devices."""

import msgspec
import pytest

from checkvalve.protocol.exchange import Copied, State, Status
from checkvalve.protocol.workload import Manifest, Volume
from checkvalve.server.rollouts import copied
from tests.agent import world

NOTHING, DAMAGED, OLD = b"", b'{"copied":7', msgspec.json.encode({"state": "idle"})


def release(**policies: str) -> Manifest:
    volumes = {name: msgspec.convert({"policy": policy}, Volume) for name, policy in policies.items()}
    return world.manifest({"web": world.service("web")}, ["web"], volumes=volumes)


def told(*copies: tuple[str, int, int]) -> bytes:
    found = tuple(Copied(volume=volume, size=size, ms=ms, at=1) for volume, size, ms in copies)
    return msgspec.json.encode(Status(state=State.COMMITTED, copied=found))


def test_a_release_that_copies_nothing_says_nothing() -> None:
    assert copied.sentences(release(counts="keep"), [told(("counts", 1, 1))]) == []


@pytest.mark.parametrize("status", [NOTHING, DAMAGED, OLD, told(("another", 1, 1))], ids=range(4))
def test_what_was_never_copied_is_not_known(status: bytes) -> None:
    first, back = copied.sentences(release(recipes="snapshot"), [status])
    assert first.endswith("stands still meanwhile: for how long is not known until the first copy.")
    assert "set aside: checkvalve-agent volume export" in back


def test_the_longest_of_all_devices_is_told_with_its_size_and_on_how_many_it_was_measured() -> None:
    both = [told(("recipes", 24 << 20, 3_440)), told(("recipes", 1 << 10, 90))]
    (known, _) = copied.sentences(release(recipes="snapshot"), both)
    assert known == (
        "The volume recipes is copied where there is one already, and what uses it stands still meanwhile: at most "
        "3.4 s for 24.0 MiB when it was copied last."
    )
    (some, _) = copied.sentences(release(recipes="snapshot"), [*both, NOTHING])
    assert some.endswith("when it was copied last, on 2 of 3 devices; elsewhere not known until the first copy.")
    first, second, _ = copied.sentences(release(b="snapshot", a="snapshot"), [told(("b", 5, 3_600_000))])
    assert "volume a " in first
    assert "60 min for 1 KiB" in second
