# SPDX-License-Identifier: Apache-2.0
"""Typed ids: 128 bits, ordered by time of making, never a sequence that tells how many there are.

Form: 26 characters of lower-case Crockford base 32 (48 bits of milliseconds, 80 of entropy), so that ids sort as text
in both databases and can be read out over a telephone. Making one needs a clock and entropy: `checkvalve.clock.new_id`.
"""

import re
from typing import NewType

ScopeId = NewType("ScopeId", str)
PersonId = NewType("PersonId", str)
BindingId = NewType("BindingId", str)
TokenId = NewType("TokenId", str)
SessionId = NewType("SessionId", str)
EntryId = NewType("EntryId", str)
ApprovalId = NewType("ApprovalId", str)
RolloutId = NewType("RolloutId", str)
ImageId = NewType("ImageId", str)
ReleaseId = NewType("ReleaseId", str)
DraftId = NewType("DraftId", str)
DeviceId = NewType("DeviceId", str)
InviteId = NewType("InviteId", str)
AttemptId = NewType("AttemptId", str)
ValueId = NewType("ValueId", str)
HoldId = NewType("HoldId", str)
ErrandId = NewType("ErrandId", str)
AssessmentId = NewType("AssessmentId", str)
ReplyId = NewType("ReplyId", str)
DecisionId = NewType("DecisionId", str)
EvidenceId = NewType("EvidenceId", str)
GapId = NewType("GapId", str)
DeclarationId = NewType("DeclarationId", str)
SupplierId = NewType("SupplierId", str)
DocumentId = NewType("DocumentId", str)
AgreementId = NewType("AgreementId", str)

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
LENGTH = 26
_FORM = re.compile(rf"[0-7][{ALPHABET}]{{{LENGTH - 1}}}")


def encode(milliseconds: int, entropy: bytes) -> str:
    """Return the id of this moment (Unix milliseconds, 48 bits) and these 10 bytes of entropy."""
    if not 0 <= milliseconds < 1 << 48 or len(entropy) != 10:
        message = "an id takes 48 bits of milliseconds and 10 bytes of entropy"
        raise ValueError(message)
    number = milliseconds << 80 | int.from_bytes(entropy)
    return "".join(ALPHABET[number >> shift & 31] for shift in range(5 * (LENGTH - 1), -1, -5))


def well_formed(text: str) -> bool:
    """Tell whether `text` has the form of an id; it says nothing of existence."""
    return _FORM.fullmatch(text) is not None
