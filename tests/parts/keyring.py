# SPDX-License-Identifier: Apache-2.0
"""The device CA and the orders key of a plane that is no process, in memory."""

from datetime import datetime, timedelta

from checkvalve.crypto import certificates, keys
from checkvalve.server.keys import Authority, OrdersKey


def plane(now: datetime, name: str = "test plane") -> tuple[Authority, OrdersKey]:
    """Return an authority, good for ten years around `now`, and the orders key that it certified."""
    key, orders = keys.make(), keys.make()
    begins, ends = now - timedelta(days=3_650), now + timedelta(days=3_650)
    der = certificates.issue_authority(key, f"{name} device CA", not_before=begins, not_after=ends, serial=1)
    certified = certificates.issue_orders(der, key, orders.public_key(), not_before=begins, not_after=ends, serial=2)
    return Authority(der, key), OrdersKey(certified, orders)
