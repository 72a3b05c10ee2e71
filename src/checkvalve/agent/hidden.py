# SPDX-License-Identifier: Apache-2.0
"""Masks what people are shown of this device by every secret that it knows: of all its slots, whoever said it.

A container of one slot may print what stands in a volume of another's time, so that it does not matter whose words they
are.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from checkvalve.agent import given, masking
from checkvalve.agent.steps import Slot
from checkvalve.crypto import keys
from checkvalve.errors import InvalidError


@dataclass(frozen=True, repr=False)
class Hidden:
    """The secrets of a device, a slot each."""

    secrets: tuple[dict[str, bytes], ...] = ()

    def mask(self, text: str, *, cut: bool = False) -> str:
        """Return the text without them; `cut` if it lacks its beginning."""
        for each in self.secrets:
            text = masking.masked(text, each, cut=cut)
        return text


def of(slots: Iterable[Slot | None], own: Iterable[keys.PrivateKey]) -> Hidden:
    """Return the secrets of these slots; what does not open was never laid out, so that nobody can print it."""
    tried, found = tuple(own), list[dict[str, bytes]]()
    for slot in slots:
        if slot is not None and slot.given is not None and slot.given.secrets:
            try:
                found.append(given.opened(slot.given, tried))
            except InvalidError:
                continue
    return Hidden(tuple(found))
