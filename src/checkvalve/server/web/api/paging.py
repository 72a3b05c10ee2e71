# SPDX-License-Identifier: Apache-2.0
"""Lists come in stretches, and are narrowed to a place.

Newest first goes on with `before`; people (by login) and bindings (oldest first) go on with `after`. `limit` is how
many items an answer has at most, `next` asks for those that follow; an answer without `next` is the last.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, TypeVar

from litestar.exceptions import ValidationException
from litestar.params import QueryParameter

from checkvalve.ids import well_formed
from checkvalve.protocol import api

V = TypeVar("V")
A = TypeVar("A")

USUAL = 100  # items, where the caller does not say how many

Word = Annotated[str, QueryParameter(max_length=100, pattern=api.TEXT)]
Within = Annotated[
    str, QueryParameter(name="scope", max_length=400, pattern=api.PATH, description="What lies in this place only.")
]
Limit = Annotated[int, QueryParameter(ge=1, le=500, description="How many at most.")]
Before = Annotated[str, QueryParameter(max_length=100, description="`next` of the stretch had before.")]
After = Annotated[
    str, QueryParameter(max_length=100, pattern=api.TEXT, description="`next` of the stretch had before.")
]


def moment(name: str, at: datetime | None) -> datetime | None:
    """Return a time of a query in UTC; `ValidationException` for one without a zone, or that no clock shows."""
    if at is None:
        return None
    if at.tzinfo is None:
        raise ValidationException(f"{name}: name the offset of the time, such as Z")
    try:
        return at.astimezone(UTC)
    except OverflowError as error:
        raise ValidationException(f"{name}: no clock shows this time") from error


def last(before: str) -> str:
    """Return the id to go on from; what is no id goes on from nothing, so that the list is empty."""
    return before if not before or well_formed(before) else "0"


def stretch(found: Sequence[V], limit: int, mark: Callable[[V], str], answer: Callable[[V], A]) -> api.Page[A]:
    """Answer with the first `limit` of `found`, which holds one more if there is one; `mark` is where they end."""
    here = found[:limit]
    return api.Page(items=[answer(one) for one in here], next=mark(here[-1]) if len(found) > limit else None)
