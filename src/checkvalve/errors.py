# SPDX-License-Identifier: Apache-2.0
"""What can go wrong, in six kinds. HTTP statuses are given to them in `server/web/problems` only (ADR 0009).

A code is stable for ever (`rollout.not_approved`); the sentence says what happened, the remedy what to do next.
"""


class CheckvalveError(Exception):
    """Base of everything we raise on purpose. `args` never hold secrets: they reach logs, pages and entries."""

    kind = "error"

    def __init__(self, code: str, sentence: str, remedy: str = "", **facts: str | int) -> None:
        super().__init__(f"{code}: {sentence}")
        self.code = code
        self.sentence = sentence
        self.remedy = remedy
        self.facts = facts


class NotFoundError(CheckvalveError):
    """It is not there, or not for this actor: the two are one answer (no existence leak)."""

    kind = "not_found"


class ConflictError(CheckvalveError):
    """The state of things does not allow it now."""

    kind = "conflict"


class ForbiddenError(CheckvalveError):
    """The actor may see it and may not do this."""

    kind = "forbidden"


class InvalidError(CheckvalveError):
    """The input is wrong; nothing was changed."""

    kind = "invalid"


class StaleError(CheckvalveError):
    """Somebody changed it since the caller looked."""

    kind = "stale"


class UnavailableError(CheckvalveError):
    """A part we depend on does not answer, or is full; try again later."""

    kind = "unavailable"


class UnauthenticatedError(CheckvalveError):
    """Nobody is signed in, or what was shown as proof is not one."""

    kind = "unauthenticated"


class ThrottledError(CheckvalveError):
    """Too many tries; `facts["retry_after"]` is in seconds."""

    kind = "throttled"
