# SPDX-License-Identifier: Apache-2.0
"""How long must this login wait, at this address, before its next password is looked at?

Rules: 1. five failures cost nothing; after each further one the wait doubles, from 1 second to 300; 2. a failure is
forgotten after 15 minutes; 3. failures are counted for a login *and* the network it was tried from, so nobody can lock
a person out from elsewhere: who guesses from behind the same address can make them wait, 300 seconds at a time; 4. a
failure that lies ahead of now is of a clock that was set back, and does not count.

The caller notes a try as a failure before it looks at the password, and takes all of them back when it was right: then
many tries at once gain nothing. A try that has to wait is not looked at and not noted. Who keeps guessing at one login
from one address has about a thousand tries a day.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from ipaddress import IPv6Address, IPv6Network, ip_address

from checkvalve.server.identity import logins

FREE = 5
LONGEST = 300  # seconds
FORGOTTEN = timedelta(minutes=15)
MOST = FREE + 10
"""More failures of one key than the newest so many change nothing and need not be kept."""

_SECOND = timedelta(seconds=1)
_NETWORK = 64  # bits of IPv6 that one subscriber has at least (RFC 6177)


def judge(failures: Sequence[datetime], now: datetime) -> int:
    """Return the whole seconds to wait; 0 is go on. `failures` are those of one key, in any order."""
    counted = [at for at in failures if timedelta(0) <= now - at < FORGOTTEN]
    beyond = len(counted) - FREE
    if beyond <= 0:
        return 0
    wait = min(LONGEST, 1 << min(beyond, MOST - FREE) - 1)
    left = max(counted) + wait * _SECOND - now
    return max(0, -(-left // _SECOND))


def key(login: str, address: str) -> tuple[str, str]:
    """Return what failures are counted under: the login that was meant, and the address (of IPv6 the /64)."""
    return logins.known_as(login) or "", _network(address)


def _network(address: str) -> str:
    try:
        parsed = ip_address(address)
    except ValueError:
        return address[:64]
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(IPv6Network((int(parsed), _NETWORK), strict=False))
