# SPDX-License-Identifier: Apache-2.0
"""What people have laid down at this device: policy, tags and window, read anew each time it is asked for.

It is never remembered: who hangs a tag, closes the window or writes another policy is heard at the next look.
"""

from checkvalve.agent import holds, policy, window
from checkvalve.agent.policy import Policy
from checkvalve.agent.ports import Clock, Disk
from checkvalve.agent.steps import Failure
from checkvalve.agent.waiting import Local
from checkvalve.errors import CheckvalveError, InvalidError, NotFoundError
from checkvalve.protocol.exchange import Tag


def read(disk: Disk, clock: Clock) -> Local:
    """Return all of it. It raises for nothing: what cannot be read is a `Failure` in its place."""
    opened = window.opened(disk, clock)
    return Local(_policy(disk), _tags(disk), opened.ends if opened else None)


def rules(disk: Disk) -> Policy:
    """Return the device's policy; `InvalidError` (`policy.damaged`), `UnavailableError` (`disk.failed`)."""
    if disk.size(policy.FILE) > policy.LARGEST:
        raise policy.too_large()
    try:
        data = disk.read(policy.FILE)
    except NotFoundError:
        return Policy()
    return policy.parse(data)


def _policy(disk: Disk) -> Policy | Failure:
    try:
        return rules(disk)
    except InvalidError as error:
        return Failure(error.code, error.sentence)
    except CheckvalveError as error:
        return Failure("policy.damaged", f"The local policy cannot be read: {error.sentence} Nothing is switched.")


def _tags(disk: Disk) -> tuple[Tag, ...] | Failure:
    try:
        return holds.all_(disk)
    except InvalidError as error:
        return Failure(error.code, f"{error.sentence} {error.remedy}")
    except CheckvalveError as error:
        return Failure("hold.damaged", f"The lock-out tags cannot be read: {error.sentence} One may hang.")
