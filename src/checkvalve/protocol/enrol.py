# SPDX-License-Identifier: Apache-2.0
"""How a device becomes known, and stays so: joining with a token, and renewing its certificate.

Both are DSSE envelopes signed by the device's own key, so that the plane has proof of it even behind a proxy that ends
TLS. A renewal carries the plane's signed time as its challenge: it proves that the key is in use *now*, with a
certificate that ran out years ago just as with none.
"""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

from checkvalve.protocol.api import Id, Name, Word

JOIN = "application/vnd.checkvalve.join+json"
RENEWAL = "application/vnd.checkvalve.renewal+json"

LARGEST = 16 * 1024  # bytes of a join or renewal

Pem = Annotated[str, Meta(max_length=8_192)]


class LinkClass(StrEnum):
    """How a device is reached: it polls and waits, it comes once per interval, or (to come) files are carried."""

    REMOTE = "remote"
    ASYNC = "async"


class Join(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Payload of `POST /v1/join`. The same token with the same key returns the same device: an answer may be lost."""

    token: Annotated[str, Meta(max_length=200)]
    public: Pem  # the device's key; the envelope is signed with its private half
    name: Name  # what people call it until they call it otherwise: the host's name
    machine: Word = ""  # a digest that tells two machines apart
    agent: Word = ""  # version of the agent
    capability: Annotated[int, Meta(ge=1, le=1_000_000)] = 1


class Joined(Struct, kw_only=True, frozen=True):
    """What a device keeps of its plane. Texts are PEM; `root` is the first root of TUF that it believes, as a file."""

    device: Id
    plane: Word  # the plane's name
    certificate: Pem
    authority: Pem
    orders: Pem  # certificate of the key that signs orders and time
    root: Annotated[str, Meta(max_length=4 << 20)]
    link: LinkClass
    interval: int  # seconds between two exchanges of an idle device
    generation: int
    observe: bool
    scope: str  # path of ids of the site or area; its first id is the organisation's
    place: list[str]  # names from the organisation down, for people


class Renewal(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Payload of `POST /v1/renew`. `time` is the newest signed time the device has of this plane (`protocol.time`)."""

    device: Id
    generation: int  # the newest one the device holds a certificate of
    time: Annotated[str, Meta(max_length=400)]


class Renewed(Struct, kw_only=True, frozen=True):
    """The next certificate. It counts from the first exchange that names its generation; until then both do."""

    certificate: Pem
    orders: Pem
    generation: int
    link: LinkClass
    interval: int
