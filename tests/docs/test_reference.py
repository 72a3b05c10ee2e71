# SPDX-License-Identifier: Apache-2.0
"""The reference says what the code does today."""

import pytest

from checkvalve.server.settings import Settings
from tests.docs import compose, reference


@pytest.mark.slow
@pytest.mark.parametrize("name", ["permissions", "routes", "settings", "errors", "entries", "commands", "compose"])
def test_the_page_is_what_make_docs_would_write(name: str) -> None:
    file = reference.FOLDER / f"{name}.md"
    assert file.read_text() == reference.pages()[file], f"{file} is out of date; run: make docs"


def test_every_setting_has_a_meaning() -> None:
    assert set(reference.MEANINGS) == set(Settings.__struct_fields__)


def test_an_error_code_of_the_plane_has_one_kind() -> None:
    kinds: dict[str, set[str]] = {}
    for said in reference._raised():
        if not said.place.startswith("cli/"):  # at a terminal the same mistake is one of usage
            kinds.setdefault(said.code, set()).add(said.kind)
    assert {code: kind for code, kind in kinds.items() if len(kind) > 1} == {}


def test_every_code_of_a_compose_file_is_explained() -> None:
    assert {code for code in compose.CODES if code.startswith("compose.")} == compose.codes()
