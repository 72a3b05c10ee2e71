# SPDX-License-Identifier: Apache-2.0
"""Which right does a small order take? To look is one thing, to stop what runs another."""

from collections.abc import Mapping

from checkvalve.server.access.model import Permission
from checkvalve.server.errands.model import Kind

RIGHT: Mapping[Kind, Permission] = {
    Kind.LOGS: Permission.DEVICE_LOGS,
    Kind.BUNDLE: Permission.DEVICE_LOGS,
    Kind.RESTART: Permission.DEVICE_RESTART,
    Kind.REBOOT: Permission.DEVICE_RESTART,
}
"""To order one of this kind and to take it back. What it brought is read with the right to bring it."""
