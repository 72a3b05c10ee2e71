# SPDX-License-Identifier: Apache-2.0
"""One integer says what a program understands; both ends send theirs, and each speaks no newer than the other's."""

from typing import NamedTuple


class Step(NamedTuple):
    """What one capability number added, and when it was given out. Steps are appended and never changed."""

    capability: int
    date: str
    added: str


HISTORY = (
    Step(1, "2026-11-23", "The operators' API, and what a device reads of the plane and of its own certificate."),
    Step(2, "2026-11-23", "The device channel: joining, renewing, exchanges with orders, lines, receipts, files."),
    Step(3, "2026-11-23", "Manifests of version 2; values and secrets; tags; small things of the host."),
    Step(4, "2026-11-23", "Errands: logs, restart of a service, support bundle, reboot."),
)

CAPABILITY = HISTORY[-1].capability
