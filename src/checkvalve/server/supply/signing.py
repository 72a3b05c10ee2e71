# SPDX-License-Identifier: Apache-2.0
"""Does this signature count, and is the draft complete with it?

Rules: 1. what is signed are exactly the bytes that are there now, as their digest says, and they follow the published
list; 2. the key is one that the root of trust names now, and the root has not run out; 3. a key counts once, and so
does a person, whatever keys they hold; 4. signatures of keys that the root names no longer do not count.
"""

from datetime import datetime

from checkvalve.crypto import metadata
from checkvalve.errors import ConflictError, InvalidError, StaleError
from checkvalve.server.supply import draft as drafts
from checkvalve.server.supply import publish
from checkvalve.server.supply.model import Anchor, Draft, Signature


def judge(draft: Draft, anchor: Anchor, given: Signature, digest: str) -> tuple[Signature, ...] | None:
    """Return the signatures that make the draft complete, with `given`; None if more are needed.

    Raises `ConflictError` (`trust.none`, `trust.expired`, `draft.closed`, `draft.stale`, `draft.twice`,
    `draft.same_person`), `StaleError` (`draft.digest`), `InvalidError` (`draft.signature`).
    """
    drafts.still_open(draft)
    root = publish.valid(anchor.root, given.at)
    _same_bytes(draft, anchor, digest, given.at)
    if any(one.keyid == given.keyid for one in draft.signatures):  # rule 3
        raise ConflictError("draft.twice", "This key has signed the draft already.", "It counts; let others sign.")
    if not metadata.signs(root, metadata.TARGETS, draft.payload, _tuf(given)):  # rule 2
        raise InvalidError(
            "draft.signature",
            f"This is no signature on the draft by a key of the root of trust (key {given.keyid[:12]}).",
            "Sign the draft as it is now, with a key that `checkvalve trust show` lists for targets.",
        )
    counting = set(metadata.signed_by(root, metadata.TARGETS, draft.payload, map(_tuf, draft.signatures)))
    counted = [one for one in draft.signatures if one.keyid in counting]  # rule 4
    if any(one.person == given.person for one in counted):  # rule 3
        raise ConflictError(
            "draft.same_person", "You have signed the draft with another key.", "Another person must sign it."
        )
    complete = (*counted, given)
    return complete if len(complete) >= publish.signers(root).threshold else None


def _same_bytes(draft: Draft, anchor: Anchor, digest: str, now: datetime) -> None:  # rule 1
    if digest != drafts.digest(draft):
        raise StaleError(
            "draft.digest",
            "The draft is not what was signed; it has changed.",
            "Look at the draft again, and sign that.",
        )
    if draft.version != publish.version(anchor.targets) + 1 or draft.expires_at <= now:
        raise ConflictError(
            "draft.stale",
            "The draft no longer follows the published list, or has run out.",
            "Discard it and begin anew.",
        )


def _tuf(given: Signature) -> metadata.Signature:
    return metadata.Signature(keyid=given.keyid, signature=given.signature)
