# SPDX-License-Identifier: Apache-2.0
"""Has this text the form of a scope path? Whether there is such a scope is for `access` to say."""

import re

from checkvalve.errors import InvalidError

LONGEST = 400
_FORM = re.compile(r"/(?:[0-9a-z_-]+/)*")


def check(text: str) -> str:
    """Return `text` if it is `/` or `/ID/ID/`; else `InvalidError` (`scope.path`)."""
    if len(text) > LONGEST or not _FORM.fullmatch(text):
        raise InvalidError(
            "scope.path", "This is not the path of a scope.", "Give it as the list of scopes has it, such as /ID/ID/."
        )
    return text
