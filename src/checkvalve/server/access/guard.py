# SPDX-License-Identifier: Apache-2.0
"""Would this change of rights leave something that nobody may leave behind?

Rules: 1. nobody hands rights to themselves; 2. a binding ends after it begins and after now, and names a role that
exists; 3. the plane keeps at least one administrator whose right does not end by itself and does not depend on an
address.
"""

from collections.abc import Iterable
from datetime import datetime

from checkvalve.errors import ConflictError, ForbiddenError, InvalidError
from checkvalve.server.access import roles
from checkvalve.server.access.model import Binding


def new_binding(binding: Binding, actor: str, now: datetime) -> None:
    """Judge a binding that is to be made.

    Raises `ForbiddenError` (`binding.own`), `InvalidError` (`binding.role`, `binding.bounds`).
    """
    if binding.person == actor:
        raise ForbiddenError("binding.own", "Nobody gives rights to themselves.", "Ask another administrator.")
    if binding.role not in roles.BUILT_IN:
        known = ", ".join(roles.BUILT_IN)
        raise InvalidError("binding.role", f"There is no role {binding.role[:40]!r}.", f"Use one of: {known}.")
    begins, ends = binding.not_before, binding.not_after
    if ends is not None and (ends <= now or (begins is not None and ends <= begins)):
        raise InvalidError(
            "binding.bounds",
            "The binding would end before it begins.",
            "Give an end after its beginning and after now.",
        )


def still_administered(holders: Iterable[Binding], without: Binding | None = None, without_person: str = "") -> None:
    """Raise `ConflictError` (`binding.last_administrator`) if nobody would be left who can administer the plane."""
    for held in holders:
        lasting = held.not_before is None and held.not_after is None and not held.networks
        if lasting and held.person != without_person and (without is None or held.id != without.id):
            return
    raise ConflictError(
        "binding.last_administrator",
        "This would leave the plane without an administrator.",
        "Make another person platform-admin of the whole plane first, without an end.",
    )
