# SPDX-License-Identifier: Apache-2.0
"""Which subnet does a network of the device get?

Rules: 1. the smallest that is at hand, in order, of the pool that the operator gave; 2. never one that overlaps with
what the engine has already; 3. the pool is divided into sixteen or more, each for 13 to 253 containers.
"""

import ipaddress
from collections.abc import Iterable

from checkvalve.errors import ConflictError, InvalidError


def pool(text: str) -> ipaddress.IPv4Network:
    """Return the network that `text` says; `InvalidError` (`engine.pool`)."""
    try:
        found = ipaddress.IPv4Network(text)
    except ValueError as error:
        raise InvalidError("engine.pool", f"{text} is no IPv4 network.", "Write it as 10.213.0.0/16.") from error
    if not 8 <= found.prefixlen <= 28:
        raise InvalidError("engine.pool", f"{text} has not a fit size.", "Give a network from /8 to /28.")
    return found


def free(of: ipaddress.IPv4Network, taken: Iterable[str]) -> str:
    """Return the subnet for the next network; `ConflictError` (`engine.pool_full`) if there is none left."""
    there = [network for text in taken if (network := _read(text)) is not None]
    size = max(of.prefixlen, min(28, max(24, of.prefixlen + 4)))  # rule 3
    for subnet in of.subnets(new_prefix=size):
        if not any(subnet.overlaps(other) for other in there):
            return str(subnet)
    raise ConflictError(
        "engine.pool_full", f"No subnet is left of {of} for a network.", "Give the agent a larger network (--pool)."
    )


def _read(text: str) -> ipaddress.IPv4Network | None:
    try:
        return ipaddress.IPv4Network(text, strict=False)
    except ValueError:
        return None
