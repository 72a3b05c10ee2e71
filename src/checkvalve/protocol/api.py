# SPDX-License-Identifier: Apache-2.0
"""Requests and answers of the operators' API, for the plane and for its clients.

A request with a field that is not here is refused: a mistyped field must not be taken for its default. Answers may
grow; clients ignore what they do not know. Places are scope paths (`/ORG/SITE/`), times RFC 3339.
"""

from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

from msgspec import Meta, Struct

T = TypeVar("T")

# No text holds NUL: PostgreSQL cannot keep it, and nobody types it.
TEXT = r"^[^\x00]*\Z"
PATH = r"^/([0-9a-z]{26}/)*\Z"

Name = Annotated[str, Meta(max_length=400, pattern=TEXT)]
Word = Annotated[str, Meta(max_length=100, pattern=TEXT)]
Text = Annotated[str, Meta(max_length=2_000, pattern=TEXT)]
Path = Annotated[str, Meta(max_length=400, pattern=PATH, examples=["/"])]
Id = Annotated[str, Meta(max_length=100, pattern=TEXT)]
Secret = Annotated[str, Meta(max_length=4_096, description="A password; never shown, never recorded.")]
Moment = Annotated[datetime, Meta(tz=True)]
Time = Annotated[str, Meta(description="RFC 3339, UTC, with milliseconds.", extra_json_schema={"format": "date-time"})]


class Request(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Base of what clients send."""


class SignIn(Request, frozen=True):
    """Who signs in."""

    login: Annotated[str, Meta(max_length=1_000)]
    password: Secret


class OwnPassword(Request, frozen=True):
    """A new password for oneself."""

    old: Secret
    new: Secret


class NewPassword(Request, frozen=True):
    """A new password for somebody else."""

    password: Secret


class NewToken(Request, frozen=True):
    """An API token for oneself: at most what its owner may, below `scope`, and of that only `permissions` if given."""

    label: Word
    ends_at: Moment
    scope: Path = "/"
    permissions: Annotated[list[Word], Meta(max_length=100)] | None = None


class NewScope(Request, frozen=True):
    """A node of the tree."""

    parent: Path
    kind: Literal["organisation", "site", "area"]
    name: Name


class ScopeName(Request, frozen=True):
    """Another name of a node."""

    name: Name


class NewPerson(Request, frozen=True):
    """A person who may sign in. They hold no rights until somebody gives them a role."""

    login: Word
    name: Name
    home: Path
    password: Secret


class PersonName(Request, frozen=True):
    """Another name of a person; the login stays."""

    name: Name


class NewBinding(Request, frozen=True):
    """A role for a person in a scope, between two moments and from some networks only, if given."""

    person: Id
    role: Word
    scope: Path
    not_before: Moment | None = None
    not_after: Moment | None = None
    networks: Annotated[list[Word], Meta(max_length=100)] = []


class NewVote(Request, frozen=True):
    """A vote on exactly what `digest` names."""

    choice: Literal["approve", "reject"]
    digest: Word
    note: Text = ""


class Answer(Struct, kw_only=True, frozen=True):
    """Base of what the plane answers."""


class Page(Answer, Generic[T], frozen=True):
    """One stretch of a list; `next` asks for the one after it."""

    items: list[T]
    next: str | None = None


class Plane(Answer, frozen=True):
    """What anybody may know of a plane before signing in; `ca_pin` is compared with one had by another way."""

    name: str
    version: str
    capability: int
    ca_pin: str


class Health(Answer, frozen=True):
    """That the plane answers."""

    status: Literal["alive", "ready"]


class Person(Answer, frozen=True):
    """A person."""

    id: str
    login: str
    name: str
    home: str
    made_at: Time
    disabled_at: Time | None


class Session(Answer, frozen=True):
    """A signed-in browser or terminal."""

    id: str
    address: str
    agent: str
    made_at: Time
    seen_at: Time
    ends_at: Time
    this: bool


class SignedIn(Answer, frozen=True):
    """The secret is in the cookie; `csrf` goes into the header `X-CSRF-Token` of every change."""

    person: Person
    csrf: str


class Token(Answer, frozen=True):
    """An API token, without its secret."""

    id: str
    label: str
    scope: str
    permissions: list[str] | None
    made_at: Time
    ends_at: Time
    used_at: Time | None


class IssuedToken(Answer, frozen=True):
    """An API token with its secret, shown this once."""

    token: Token
    secret: str


class Binding(Answer, frozen=True):
    """A role somebody holds somewhere."""

    id: str
    person: str
    role: str
    scope: str
    not_before: Time | None
    not_after: Time | None
    networks: list[str]
    origin: str
    made_by: str
    made_at: Time | None


class Me(Answer, frozen=True):
    """Who is asking, and what they may do where at this moment, from this address, with what they showed."""

    person: Person
    bindings: list[Binding]
    permissions: dict[str, list[str]]
    session: Session | None
    token: Token | None
    csrf: str | None


class Scope(Answer, frozen=True):
    """A node of the tree."""

    id: str
    path: str
    parent: str
    kind: str
    name: str
    made_at: Time


class Role(Answer, frozen=True):
    """A named set of permissions."""

    name: str
    sentence: str
    permissions: list[str]


class Actor(Answer, frozen=True):
    """Who did it."""

    kind: str
    id: str
    name: str


class Entry(Answer, frozen=True):
    """One entry of the record; its final bytes are `/api/v1/audit/{id}/raw`."""

    id: str
    at: Time
    kind: str
    action: str
    actor: Actor
    subject: str
    scope: str
    request: str
    reason: str
    bindings: list[str]
    facts: dict[str, Any]
    leaf_hash: str


class Vote(Answer, frozen=True):
    """What one person said."""

    person: str
    choice: str
    note: str
    at: Time


class Standing(Answer, frozen=True):
    """How an approval stands now: `state` is waiting, approved, rejected, expired, used or withdrawn."""

    state: str
    have: int | None = None
    needed: int | None = None
    by: list[str] = []
    note: str = ""


class Approval(Answer, frozen=True):
    """Something that waits for people's yes. `digest` is of exactly what is approved; a vote names it."""

    id: str
    scope: str
    subject: str
    sentence: str
    digest: str
    needed: int
    requester: str
    made_at: Time
    expires_at: Time
    used_at: Time | None
    withdrawn_at: Time | None
    standing: Standing
    votes: list[Vote]


class DevicePlane(Answer, frozen=True):
    """What a device reads of the plane; `time` is the plane's clock. `ca` and `orders` are certificates in PEM.

    A device believes `ca` only if its key is the pinned one, and `orders` only if `ca` issued it.
    """

    name: str
    version: str
    capability: int
    ca_pin: str
    time: Time
    ca: str
    orders: str


class WhoAmI(Answer, frozen=True):
    """What the plane sees of the client certificate of this connection; `valid` is its judgement of the time."""

    device: str
    not_before: Time
    not_after: Time
    valid: bool
