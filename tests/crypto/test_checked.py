# SPDX-License-Identifier: Apache-2.0
"""A file that can tell whether it is still what was written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkvalve.crypto import checked
from checkvalve.errors import InvalidError


@given(st.binary(max_size=200))
def test_what_was_written_is_read(data: bytes) -> None:
    assert checked.read(checked.write(data)) == data


@given(st.binary(max_size=200), st.data())
def test_no_flipped_bit_and_no_missing_byte_goes_unnoticed(data: bytes, draw: st.DataObject) -> None:
    file = bytearray(checked.write(data))
    at = draw.draw(st.integers(0, len(file) - 1))
    for damaged in (file[:at], file[:at] + bytes([file[at] ^ 1 << draw.draw(st.integers(0, 7))]) + file[at + 1 :]):
        with pytest.raises(InvalidError, match=r"file\.damaged"):
            checked.read(bytes(damaged))


@given(st.binary(max_size=200))
def test_what_was_never_written_is_not_read(file: bytes) -> None:
    with pytest.raises(InvalidError, match=r"file\.damaged"):
        checked.read(file)
