# SPDX-License-Identifier: Apache-2.0
"""Which volumes does a release have copied at the switch, and for how long does that stop what uses them?

Rules: 1. a volume with policy `snapshot` is copied on a device where a release that runs has one of that name already,
and from the old containers' stop until the new ones' start nothing uses it; 2. how long that takes is measured by the
device itself, and told as it was the last time: the longest of all devices counts, with its size; 3. where none was
copied yet it is not known, and that is said; 4. a status of an older agent, or a damaged one, says nothing.
"""

from collections.abc import Iterable, Iterator, Sequence

import msgspec
from msgspec import Struct

from checkvalve.protocol.exchange import Copied
from checkvalve.protocol.workload import Manifest

_MIB = 1 << 20
_BACK = (
    "Where the release fails, this data is as it was before the switch, and what the release wrote stays on the "
    "device, set aside: checkvalve-agent volume export."
)


class _Told(Struct, frozen=True):
    """The part of a device's status that matters here."""

    copied: tuple[Copied, ...] = ()


def sentences(manifest: Manifest, statuses: Iterable[bytes]) -> list[str]:
    """Return it, a sentence a volume, and what becomes of the data; [] for a release that has none copied.

    `statuses` are those of the devices that would go (`protocol.exchange.Status`, or empty).
    """
    volumes = sorted(name for name, each in manifest.volumes.items() if each.policy == "snapshot")
    if not volumes:
        return []
    told = [_read(each) for each in statuses]
    return [*_each(volumes, told), _BACK]


def _each(volumes: Sequence[str], told: Sequence[_Told]) -> Iterator[str]:
    for volume in volumes:
        known = [each for one in told for each in one.copied if each.volume == volume]
        begins = f"The volume {volume} is copied where there is one already, and what uses it stands still meanwhile"
        if not known:
            yield f"{begins}: for how long is not known until the first copy."
            continue
        longest = max(known, key=lambda each: (each.ms, each.size))
        took = f"at most {_seconds(longest.ms)} for {_size(longest.size)} when it was copied last"
        if len(known) >= len(told):
            yield f"{begins}: {took}."
        else:
            where = f"on {len(known):,} of {len(told):,} devices; elsewhere not known until the first copy"
            yield f"{begins}: {took}, {where}."


def _seconds(ms: int) -> str:
    return f"{ms / 1000:.1f} s" if ms < 120_000 else f"{-(-ms // 60_000):,} min"


def _size(size: int) -> str:
    return f"{size / _MIB:,.1f} MiB" if size >= _MIB else f"{-(-size // 1024)} KiB"


def _read(status: bytes) -> _Told:
    try:
        return msgspec.json.decode(status, type=_Told) if status else _Told()
    except msgspec.DecodeError:  # rule 4
        return _Told()
