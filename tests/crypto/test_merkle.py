# SPDX-License-Identifier: Apache-2.0
"""Leaf hashes against the values of other implementations of RFC 6962."""

import pytest

from checkvalve.crypto import merkle


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (b"", "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"),
        (b"L123456", "395aa064aa4c29f7010acfe3f25db9485bbd4b91897b6ad7ad547639252b4d56"),
    ],
)
def test_a_leaf_hash_is_that_of_the_transparency_logs(entry: bytes, expected: str) -> None:
    assert merkle.leaf_hash(entry).hex() == expected
