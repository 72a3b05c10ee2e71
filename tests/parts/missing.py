# SPDX-License-Identifier: Apache-2.0
"""A part that is missing fails where parts are required (CI) and is skipped with a loud reason elsewhere."""

import os
from typing import NoReturn

import pytest


def missing(part: str, remedy: str) -> NoReturn:
    """Fail or skip the test that asked for `part`."""
    text = f"{part} is missing: {remedy}"
    if os.environ.get("CHECKVALVE_REQUIRE_PARTS"):
        pytest.fail(text)
    pytest.skip(text)
