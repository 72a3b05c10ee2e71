# SPDX-License-Identifier: Apache-2.0
"""What an approval of a rollout is an approval of. The plane and whoever votes make the digest apart from each other.

So that a plane which shows one thing and counts another is found out, a client votes with the digest it made of what it
showed.
"""

from checkvalve import canonical
from checkvalve.canonical import Json
from checkvalve.crypto import digests

INTENT_VERSION = 1
INTENT_FIELDS = frozenset({"approvals", "change", "note", "release", "selector", "v"})


def digest(rollout: str, scope: str, name: str, intent: bytes) -> str:
    """Return the SHA-256, in hex, of what is approved: this intent, as this rollout, under this name, in this scope."""
    what: dict[str, Json] = {
        "intent": digests.sha256_hex(intent),
        "name": name,
        "rollout": rollout,
        "scope": scope,
        "v": INTENT_VERSION,
    }
    return digests.sha256_hex(canonical.dumps(what))
