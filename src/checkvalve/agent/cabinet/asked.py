# SPDX-License-Identifier: Apache-2.0
"""What is said through the agent's socket: a request, and the answer to it, each a line of JSON.

An answer is any number of parts (`{"part": …}`), and then the one line that ends it: `{"done": …}`, or `{"error":
{code, kind, remedy, sentence}}`. Empty parts are passed over: they show the agent whether anybody still listens.
"""

import json
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from checkvalve.errors import (
    CheckvalveError,
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    StaleError,
    ThrottledError,
    UnauthenticatedError,
    UnavailableError,
)
from checkvalve.protocol.api import TEXT

LARGEST = 64 * 1024  # bytes of a request
MOST_LINES = 10_000
LONGEST_WINDOW = 480  # minutes
PIECE = 48 * 1024  # bytes of a file in one part, before base64

_Reason = Annotated[str, Meta(min_length=1, max_length=500, pattern=TEXT)]
_Short = Annotated[str, Meta(max_length=100, pattern=TEXT)]
_Volume = Annotated[str, Meta(min_length=1, max_length=200, pattern=TEXT)]
_KINDS = {
    each.kind: each
    for each in (
        ConflictError,
        ForbiddenError,
        InvalidError,
        NotFoundError,
        StaleError,
        ThrottledError,
        UnauthenticatedError,
        UnavailableError,
    )
}


class Request(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True, tag_field="do"):
    """What may be asked for. `data` is the directory of the device that is meant; "" for whichever answers here."""

    data: Annotated[str, Meta(max_length=4_096)] = ""


class Status(Request, frozen=True, tag="status"):
    """Say where the device stands."""


class Logs(Request, frozen=True, tag="logs"):
    """Read what containers say. `service` "": all of them; `since` is in seconds before now, 0: from the beginning."""

    service: _Short = ""
    lines: Annotated[int, Meta(ge=1, le=MOST_LINES)] = 200
    since: Annotated[int, Meta(ge=0, le=366 * 86_400)] = 0
    follow: bool = False
    attempt: _Short = ""


class Back(Request, frozen=True, tag="back"):
    """Return to the slot before; `dry` only says to which."""

    dry: bool = False


class Hang(Request, frozen=True, tag="hold"):
    """Hang a tag; `name` "": of who asks."""

    reason: _Reason
    number: _Short = ""
    name: _Short = ""


class Lift(Request, frozen=True, tag="release-hold"):
    """Lift a tag that was hung here; with `all`, each of them."""

    id: _Short = ""
    all: bool = False


class Open(Request, frozen=True, tag="window-open"):
    """Let switches begin for so many minutes from now."""

    minutes: Annotated[int, Meta(ge=1, le=LONGEST_WINDOW)]


class Close(Request, frozen=True, tag="window-close"):
    """Let that be over."""


class Check(Request, frozen=True, tag="doctor"):
    """Look at everything that the device needs."""


class Bundle(Request, frozen=True, tag="support-bundle"):
    """Make a support bundle; its bytes come as base64, part by part."""


class Volumes(Request, frozen=True, tag="volumes"):
    """List the volumes; the engine may read all of its disk for their sizes."""


class Export(Request, frozen=True, tag="volume-export"):
    """Make a tar of a volume: first what it is, then its bytes as base64, part by part. `aside`: the set-aside one."""

    name: _Volume
    aside: bool = False


class Drop(Request, frozen=True, tag="volume-drop"):
    """Drop a volume that no slot uses; `dry` only says which."""

    name: _Volume
    dry: bool = False


Asked = Status | Logs | Back | Hang | Lift | Open | Close | Check | Bundle | Volumes | Export | Drop


def read(data: bytes) -> Asked:
    """Return what is asked for; `InvalidError` (`cabinet.form`)."""
    try:
        found: Asked = msgspec.json.decode(data, type=Asked)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidError(
            "cabinet.form", f"This is no request: {str(error)[:300]}.", "One JSON object a line."
        ) from error
    return found


def write(asked: Asked) -> bytes:
    """Return the line that asks for it."""
    return msgspec.json.encode(asked) + b"\n"


def part(value: Any) -> bytes:  # noqa: ANN401  # whatever JSON takes
    """Return the line of one part of an answer."""
    return json.dumps({"part": value}).encode() + b"\n"


def done(value: Any) -> bytes:  # noqa: ANN401  # as above
    """Return the line that ends an answer."""
    return json.dumps({"done": value}).encode() + b"\n"


def failed(error: CheckvalveError) -> bytes:
    """Return the line that says why there is none."""
    said = {"code": error.code, "kind": error.kind, "remedy": error.remedy, "sentence": error.sentence}
    return json.dumps({"error": said}).encode() + b"\n"


def failure(said: Any) -> CheckvalveError:  # noqa: ANN401  # of the other end
    """Return the error that such a line holds."""
    plain = said if isinstance(said, dict) else {}
    texts = {name: str(plain.get(name, "")) for name in ("code", "kind", "remedy", "sentence")}
    kind = _KINDS.get(texts["kind"], UnavailableError)
    return kind(texts["code"] or "cabinet.answer", texts["sentence"], texts["remedy"])
