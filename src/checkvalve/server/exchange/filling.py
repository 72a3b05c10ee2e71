# SPDX-License-Identifier: Apache-2.0
"""What fills a release on the device that is about to be ordered to run it (walk values, 7).

Rules: 1. which entries fill it was fixed when the rollout started; here they become a document, once for an attempt,
with secrets unlocked and sealed to this device's key; 2. a rollout that takes another back sends the document that the
device ran with before, as it was; 3. a document is for its device alone: for any other it is as if it were not there;
4. one that cannot be made is the plane's own failure: the record says so, once, for the attempt ends with it.
"""

from checkvalve.errors import CheckvalveError
from checkvalve.ids import DeviceId
from checkvalve.server.audit import actions as audit_actions
from checkvalve.server.audit.model import PLANE
from checkvalve.server.db.database import Tx
from checkvalve.server.exchange.ground import Ground
from checkvalve.server.fleet.model import Assignment, Device
from checkvalve.server.rollouts import queries as rollout_queries
from checkvalve.server.supply import queries as supply_queries
from checkvalve.server.values import queries as value_queries
from checkvalve.server.values import writes as value_writes

OLDER = "sha256:"


def ordered(tx: Tx, ground: Ground, device: Device, assigned: Assignment) -> str:
    """Return the digest of the document that the orders name, "" if nothing fills the release.

    Raises `ConflictError` (`values.gone`), `InvalidError` (`seal.closed`: the plane has another key than it locked
    the secret with).
    """
    binding = rollout_queries.binding(tx, assigned.attempt)
    if not binding or binding.startswith(OLDER):  # rule 2
        return binding
    release = supply_queries.release(tx, assigned.release)
    made = value_writes.document(
        tx,
        key=ground.values,
        device=device,
        attempt=assigned.attempt,
        release_digest=release.digest,
        manifest=release.manifest,
        binding=binding,
        at=ground.now,
    )
    return made.digest


def refuse(tx: Tx, ground: Ground, device: Device, assigned: Assignment, error: CheckvalveError) -> None:
    """Record that what fills a release on a device cannot be had (rule 4)."""
    act = ground.act(PLANE, reason=f"{assigned.by}, attempt {assigned.attempt}")
    audit_actions.refuse(tx, act, "values.deliver", f"device:{device.id}", device.scope, error)


def document(tx: Tx, device: DeviceId, digest: str) -> bytes:
    """Return a document of this device (rule 3); `NotFoundError` (`values.not_found`)."""
    found = value_queries.document(tx, device, digest)
    return found.document
