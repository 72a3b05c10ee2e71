# SPDX-License-Identifier: Apache-2.0
"""Who a device is: one commit, a key that stays, and renewals that leave a working certificate wherever they stop."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

import msgspec
import pytest

from checkvalve.agent import identity
from checkvalve.agent.disk.simulated import PowerCut, SimulatedDisk
from checkvalve.agent.identity import Identity
from checkvalve.agent.link.simulated import Simulated
from checkvalve.crypto import certificates, keys
from checkvalve.errors import CheckvalveError, InvalidError, UnavailableError
from checkvalve.protocol.enrol import Renewed
from checkvalve.protocol.exchange import Report
from tests.agent.plane import Estate
from tests.crypto.world import NOON


class Device:
    """A device that has joined, on a disk of its own."""

    def __init__(self, seed: int = 0) -> None:
        self.estate = Estate()
        self.disk = SimulatedDisk(seed=seed)
        self.first = self.estate.device(self.disk)
        self.plane = self.estate.plane
        self.link = Simulated(self.plane, self.first.device)

    @property
    def here(self) -> Identity:
        """Return who the device is by its disk alone."""
        found = identity.load(self.disk)
        assert found is not None
        return found

    def renewed(self) -> Identity:
        return asyncio.run(identity.renew(self.disk, self.here, self.link))

    def exchanged(self) -> None:
        """Have an exchange that names the generation in use, and settle what follows from its answer."""
        here = self.here
        said = Report(
            capability=1, journal="0" * 26, seq=0, generation=here.generation, state="0" * 64, clock=1_793_707_200_000
        )
        asyncio.run(self.link.exchange(msgspec.json.encode(said), 0))
        identity.confirmed(self.disk, here)

    @property
    def generations(self) -> tuple[int, int]:
        """Return what the plane would let in: the current generation and the pending one, or 0."""
        member = self.plane.kept.members[self.first.device]
        return member.generation, member.pending


def test_a_device_that_has_not_joined_is_nobody() -> None:
    assert identity.load(SimulatedDisk()) is None


def test_what_was_saved_is_who_it_is() -> None:
    device = Device()
    assert device.here == device.first
    assert device.here.organisation == device.estate.plane.scope.split("/")[1]
    assert keys.spki(device.here.key.public_key()) == keys.spki(device.first.key.public_key())


def test_the_key_shows_in_no_text_and_not_in_identity_json() -> None:
    device = Device()
    assert "PRIVATE" not in repr(device.first)
    assert b"PRIVATE" not in device.disk.read(identity.FILE)


def test_a_damaged_identity_or_key_is_said_and_not_guessed() -> None:
    for name, code in ((identity.FILE, "identity.damaged"), ("key", "identity.key")):
        device = Device()
        device.disk.damage(device.first.key_name if name == "key" else name, b"\0\0\0")
        with pytest.raises(InvalidError) as caught:
            identity.load(device.disk)
        assert caught.value.code == code
        assert "--again" in caught.value.remedy


def test_a_certificate_is_due_for_renewal_at_two_thirds_of_its_life() -> None:
    device = Device()
    assert device.plane.lifetime == timedelta(hours=24)
    assert not identity.due(device.first, NOON + timedelta(hours=15, minutes=59))
    assert identity.due(device.first, NOON + timedelta(hours=16))
    assert identity.due(device.first, NOON + timedelta(days=4_000))


def test_a_renewed_certificate_is_used_at_once_and_counts_after_an_exchange() -> None:
    device = Device()
    device.renewed()
    assert device.here.generation == 2
    assert device.here.current == device.first.current
    assert device.generations == (1, 2)
    device.exchanged()
    assert device.here.pending is None
    assert (device.here.generation, device.generations) == (2, (2, 0))


def test_a_certificate_that_ran_out_years_ago_is_renewed_by_the_key() -> None:
    device = Device()
    device.plane.knobs.skew = timedelta(days=4_000)
    device.renewed()
    assert not identity.due(device.here, NOON + timedelta(days=4_000))


def test_a_lost_answer_to_a_renewal_is_asked_for_again() -> None:
    device = Device()
    device.plane.knobs.drops = 1
    with pytest.raises(UnavailableError):
        device.renewed()
    assert device.here == device.first
    assert device.generations == (1, 2)
    device.renewed()
    device.exchanged()
    assert (device.here.generation, device.generations) == (2, (2, 0))


def test_renewals_follow_each_other_also_without_an_exchange_in_between() -> None:
    device = Device()
    second = device.renewed()
    third = device.renewed()
    assert third.generation == 3
    assert third.current == second.pending
    device.exchanged()
    assert device.generations == (3, 0)


def test_after_a_power_cut_at_any_moment_the_certificate_in_use_is_one_that_the_plane_takes() -> None:
    for at in range(100):
        device = Device(seed=at)
        device.disk.cut_after(at)
        try:
            device.renewed()
            device.exchanged()
            device.renewed()
        except PowerCut:
            device.disk.crash()
        else:
            return  # no operation was left to cut
        assert device.here.generation in device.generations
        for _ in range(2):
            device.renewed()
            device.exchanged()
        assert device.here.generation == device.generations[0]
    pytest.fail("a renewal does not end")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda _, other: {"certificate": other.certificate("0" * 26, keys.make().public_key())}, "authority"),
        (lambda plane, _: {"certificate": plane.certificate("0" * 26, keys.make().public_key())}, "another device"),
        (lambda _, other: {"orders": certificates.to_pem(other.orders_certificate).decode()}, "authority"),
        (lambda plane, _: {"orders": plane.listener("a")[0]}, "not one for that use"),
        (lambda *_: {"certificate": "nothing"}, "not a certificate"),
        (lambda *_: {"generation": 0}, "generation 0"),
    ],
)
def test_what_is_not_for_this_device_by_its_own_authority_is_not_taken(
    change: Callable[..., dict[str, object]], why: str
) -> None:
    device = Device()
    changes = change(device.plane, Estate().plane)
    with pytest.raises(InvalidError) as caught:
        asyncio.run(identity.renew(device.disk, device.here, _Lying(device, changes)))
    assert caught.value.code == "renew.answer"
    assert why in caught.value.sentence
    assert device.here == device.first


def test_a_certificate_for_another_key_is_not_taken() -> None:
    device = Device()
    certificate = device.plane.certificate(device.first.device, keys.make().public_key())
    with pytest.raises(CheckvalveError) as caught:
        asyncio.run(identity.renew(device.disk, device.here, _Lying(device, {"certificate": certificate})))
    assert "another key" in str(caught.value)


def test_an_answer_that_is_none_is_not_taken() -> None:
    device = Device()
    with pytest.raises(InvalidError) as caught:
        asyncio.run(identity.renew(device.disk, device.here, _Lying(device, None)))
    assert caught.value.code == "renew.answer"


def test_a_device_observes_for_as_long_as_the_file_is_there() -> None:
    device = Device()
    assert not identity.observes(device.disk)
    device.disk.replace(identity.OBSERVE, identity.OBSERVING)
    assert identity.observes(device.disk)
    device.disk.remove(identity.OBSERVE)
    assert not identity.observes(device.disk)


class _Lying(Simulated):
    """A way on which the answer to a renewal is changed; None: it is replaced by something else."""

    def __init__(self, device: Device, changes: dict[str, object] | None) -> None:
        super().__init__(device.plane, device.first.device)
        self._changes = changes

    async def renew(self, envelope: bytes) -> bytes:
        came = await super().renew(envelope)
        if self._changes is None:
            return b"<html>"
        return msgspec.json.encode(msgspec.structs.replace(msgspec.json.decode(came, type=Renewed), **self._changes))
