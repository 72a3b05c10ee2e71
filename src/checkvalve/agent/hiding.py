# SPDX-License-Identifier: Apache-2.0
"""Takes the secrets of a running agent's slots out of a text before it is kept, told or logged.

They are opened anew for each text: nothing of them stays in memory for it, and texts that may hold one are rare.
"""

from checkvalve.agent import hidden, identity
from checkvalve.agent.parts import Parts


def hide(parts: Parts, text: str, *, cut: bool = False) -> str:
    """Return the text without secrets; `cut` if its beginning is missing, so that the end of one may stand there."""
    if not text:
        return text
    attempt = parts.journal.position.attempt
    slots = (parts.slots.active, parts.slots.previous, parts.slots.staged(attempt) if attempt else None)
    if all(slot is None or slot.given is None or not slot.given.secrets for slot in slots):
        return text
    return hidden.of(slots, identity.opening(parts.disk)).mask(text, cut=cut)
