# SPDX-License-Identifier: Apache-2.0
"""The form of every refusal over HTTP (RFC 9457): what happened, its stable code, and what to do next."""

import msgspec

MEDIA_TYPE = "application/problem+json"


class Problem(msgspec.Struct, kw_only=True, frozen=True):
    """A problem document. `type` stays `about:blank` (RFC 9457, 4.2.1): the `code` is what programs go by.

    `request` is the id under which the plane's log and the record speak of the same request.
    """

    title: str
    status: int
    detail: str
    code: str
    type: str = "about:blank"
    remedy: str = ""
    facts: dict[str, str | int] = {}
    request: str = ""


def decode(data: bytes) -> Problem | None:
    """Return the problem that `data` is, or None: a proxy or portal in between answers in words of its own."""
    try:
        return msgspec.json.decode(data, type=Problem)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
