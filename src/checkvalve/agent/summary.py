# SPDX-License-Identifier: Apache-2.0
"""What `checkvalve-agent status` tells, read from a copy of the device's small files.

An agent may be at work in the directory meanwhile, and nobody but it writes there: so its files are read into memory,
and opened there by the same rules, which mend what is damaged and would write.
"""

from dataclasses import dataclass
from pathlib import Path

from checkvalve.agent import identity
from checkvalve.agent.clocks.real import RealClock
from checkvalve.agent.disk.calls import LOCK
from checkvalve.agent.disk.simulated import SimulatedDisk
from checkvalve.agent.journal import Journal
from checkvalve.agent.ports import Disk
from checkvalve.agent.slots import Slots
from checkvalve.crypto import certificates
from checkvalve.errors import NotFoundError, UnavailableError

_FOLDERS = (".", "keys", "slots")
_LARGEST = 8 << 20  # bytes: a journal has at most half of that


@dataclass(frozen=True)
class Summary:
    """Where a device stands. Digests are `sha256:…`; an empty text says that there is none."""

    device: str
    plane: str
    place: tuple[str, ...]
    addresses: tuple[str, ...]
    certificate_until: str  # RFC 3339
    generation: int
    observe: bool
    state: str
    attempt: str
    release: str
    code: str
    reason: str
    active: str
    previous: str
    events: int


def of(directory: Path) -> Summary:
    """Return it; `NotFoundError` (`agent.not_joined`), `UnavailableError` (`disk.failed`), `InvalidError`."""
    disk = _copied(directory)
    known = identity.load(disk)
    if known is None:
        raise NotFoundError(
            "agent.not_joined",
            f"The device in {directory} has not joined a plane.",
            "Have it join one: checkvalve-agent join.",
        )
    slots = Slots(disk, identity.owner(disk, known))
    journal = Journal.open(disk, RealClock(), slots.active)
    slots.recall(journal.committed)
    position = journal.position
    _, until = certificates.validity(certificates.from_pem(known.used.certificate.encode()))
    return Summary(
        device=known.device,
        plane=known.plane,
        place=known.place,
        addresses=known.addresses,
        certificate_until=until.isoformat(),
        generation=known.generation,
        observe=identity.observes(disk),
        state=position.state.value,
        attempt=position.attempt,
        release=position.release,
        code=position.code,
        reason=position.reason,
        active=slots.active.release if slots.active else "",
        previous=slots.previous.release if slots.previous else "",
        events=journal.seq,
    )


def _copied(directory: Path) -> Disk:
    disk = SimulatedDisk()
    try:
        for folder in _FOLDERS:
            if not (directory / folder).is_dir():
                continue
            for path in (directory / folder).iterdir():
                if (
                    path.is_file()
                    and path.name != LOCK
                    and path.suffix != ".partial"
                    and path.stat().st_size < _LARGEST
                ):
                    disk.replace(str(path.relative_to(directory)), path.read_bytes())
    except FileNotFoundError:
        return _copied(directory)  # a file went while it was looked at: the agent is at work
    except OSError as error:
        raise UnavailableError(
            "disk.failed",
            f"{directory} cannot be read: {error.strerror}.",
            "Ask as the user that the agent runs as, and see that --data is right.",
        ) from error
    return disk
