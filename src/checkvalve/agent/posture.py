# SPDX-License-Identifier: Apache-2.0
"""Which sockets of this host listen: reported as it is, and judged by the plane only.

The kernel tells it in `/proc/net`, one table for each protocol and family. Rules of what counts:

1. A TCP socket counts in the state LISTEN.
2. UDP has no such state. A socket that is bound and connected to nobody counts, unless its port is one that the kernel
   gives to clients: those come and go by themselves, and an idle device is to look the same all day.
3. Only the network that the agent is in is seen: what listens inside a container is not reachable as such.
"""

import ipaddress
from collections.abc import Iterator
from pathlib import Path

from checkvalve.protocol.exchange import Listening

MOST = 500  # as many as a status takes
_LISTEN, _UNCONNECTED = "0A", "07"
_EPHEMERAL = 32_768  # Linux's own default, if it does not say


def listening(proc: Path = Path("/proc")) -> tuple[Listening, ...]:
    """Return the sockets that listen, each once, in order; at most `MOST`. What cannot be read is left out."""
    found: set[Listening] = set()
    first = _first_ephemeral(_text(proc / "sys/net/ipv4/ip_local_port_range"))
    for name in ("tcp", "tcp6", "udp", "udp6"):
        found.update(sockets(name, _text(proc / "net" / name), first))
    return tuple(sorted(found)[:MOST])


def sockets(table: str, text: str, first_ephemeral: int = _EPHEMERAL) -> Iterator[Listening]:
    """Yield what listens by one table of `/proc/net` (`tcp`, `tcp6`, `udp`, `udp6`); a line that is none is passed."""
    udp = table.startswith("udp")
    for line in text.splitlines()[1:]:
        words = line.split()
        if len(words) < 4 or words[3] != (_UNCONNECTED if udp else _LISTEN):
            continue
        host, _, port = words[1].partition(":")
        try:
            address, number = _address(host), int(port, 16)
        except ValueError:
            continue
        if udp and number >= first_ephemeral:
            continue
        yield Listening(protocol="udp" if udp else "tcp", address=address, port=number)


def _address(text: str) -> str:
    """Return an address of the kernel's form: words of 32 bits, each in the order of the machine's bytes."""
    data = bytes.fromhex(text)
    if len(data) not in {4, 16}:
        raise ValueError(text)
    words = (data[start : start + 4][::-1] for start in range(0, len(data), 4))
    return str(ipaddress.ip_address(b"".join(words)))


def _first_ephemeral(text: str) -> int:
    words = text.split()
    return int(words[0]) if words and words[0].isdigit() else _EPHEMERAL


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
