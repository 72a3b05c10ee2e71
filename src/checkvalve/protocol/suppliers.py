# SPDX-License-Identifier: Apache-2.0
"""Suppliers, what is asked of them and what they said, as the API and the CLI say them.

The plane and whoever votes make the digest of a document apart from each other, as `protocol.rollout` has it.
"""

from datetime import date
from typing import Annotated, Literal

from msgspec import Meta

from checkvalve import canonical
from checkvalve.crypto import digests
from checkvalve.protocol import api
from checkvalve.protocol.api import TEXT, Id, Name, Path, Text, Time, Word

Body = Annotated[str, Meta(max_length=40_000, pattern=TEXT)]


def digest(kind: str, version: int, title: str, text: str) -> str:
    """Return the SHA-256, in hex, of what is approved: this text under this title, as this version of this kind.

    Raises `InvalidError` (`canonical.value`) for what has no canonical form.
    """
    return digests.sha256_hex(canonical.dumps({"kind": kind, "text": text, "title": title, "version": version}))


class Document(api.Answer, frozen=True):
    """One version. `state`: draft, asked, ready (approved, not in force yet), approved, superseded."""

    id: str
    scope: str
    where: str
    kind: str
    version: int
    title: str
    text: str
    digest: str
    state: str
    approval: str | None
    made_by: str
    made_at: Time
    changed_at: Time
    approved_at: Time | None


class Sovereignty(api.Answer, frozen=True):
    """How far it is a condition of buying in an organisation. `stage`: none, draft, approved, used."""

    scope: str
    where: str
    stage: str
    reason: str


class Agreement(api.Answer, frozen=True):
    """What a supplier said to a version. `counts`: they said nothing later."""

    id: str
    document: str
    kind: str
    version: int
    said: str
    note: str
    by: str
    at: Time
    counts: bool


class Supplier(api.Answer, frozen=True):
    """A supplier with all that they said, oldest first."""

    id: str
    scope: str
    where: str
    name: str
    contact: str
    supplies: str
    support_end: date | None
    ended_at: Time | None
    ended_why: str
    changed_by: str
    changed_at: Time
    agreements: list[Agreement]


class NewDocument(api.Request, frozen=True):
    """Begin a version; without title and text from the version before, and the first from what is shipped."""

    scope: Path
    kind: Literal["clause", "questionnaire"]
    title: Name = ""
    text: Body = ""


class Written(api.Request, frozen=True):
    """Another title and text of a draft."""

    title: Name
    text: Body


class NewSupplier(api.Request, frozen=True):
    """A supplier of an organisation."""

    scope: Path
    name: Name
    contact: Text = ""
    supplies: Text = ""
    support_end: date | None = None


class SupplierChange(api.Request, frozen=True):
    """What is to be different; None stays as it is. `no_support_end` takes the date away."""

    name: Name | None = None
    contact: Text | None = None
    supplies: Text | None = None
    support_end: date | None = None
    no_support_end: bool = False


class Ending(api.Request, frozen=True):
    """A reason."""

    why: Text


class Saying(api.Request, frozen=True):
    """What a supplier said to a document in force."""

    document: Id
    said: Word
    note: Text = ""
