# SPDX-License-Identifier: Apache-2.0
"""Members of a tar: what tarfile writes is read the same, and what is hostile is refused in bounded time."""

import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkvalve.errors import InvalidError
from checkvalve.server.blobs import tar
from checkvalve.server.blobs.tar import Kind
from tests.parts import archives

FORMS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=300).filter(
    lambda name: not name.endswith("/")
)


def read(data: bytes) -> list[tuple[str, Kind, str, bytes]]:
    return [
        (one.name, one.kind, one.link, data[one.offset : one.offset + one.size])
        for one in tar.members(io.BytesIO(data))
    ]


def refused(data: bytes) -> str:
    with pytest.raises(InvalidError) as caught:
        read(data)
    assert len(caught.value.sentence) < 1000
    return caught.value.code


@given(st.lists(st.tuples(NAMES, st.binary(max_size=1500)), max_size=5), st.sampled_from(FORMS[1:]))
def test_files_are_read_as_tarfile_writes_them(files: list[tuple[str, bytes]], form: int) -> None:
    data = archives.tar([archives.file("first", b""), *(archives.file(*one) for one in files)], form)
    assert read(data) == [("first", Kind.FILE, "", b""), *((name, Kind.FILE, "", content) for name, content in files)]


@given(st.binary(max_size=3000), st.integers(0, 4000))
def test_any_damage_is_refused_or_harmless(noise: bytes, at: int) -> None:
    whole = archives.docker([archives.Image()], form=tarfile.PAX_FORMAT)
    try:
        read(whole[:at] + noise + whole[at + len(noise) :])
    except InvalidError as error:
        assert error.code.startswith("archive.")  # noqa: PT017 (both ends are right)


@pytest.mark.parametrize("form", FORMS)
def test_links_and_folders_are_read(form: int) -> None:
    members = [
        archives.other("f", tarfile.DIRTYPE),
        archives.file("f/a" * 30, b"1"),
        archives.other("soft", tarfile.SYMTYPE, "f/a"),
        archives.other("hard", tarfile.LNKTYPE, "f/a"),
    ]
    assert read(archives.tar(members, form)) == [
        ("f/", Kind.FOLDER, "", b""),
        ("f/a" * 30, Kind.FILE, "", b"1"),
        ("soft", Kind.SOFT, "f/a", b""),
        ("hard", Kind.HARD, "f/a", b""),
    ]


def test_a_long_name_and_a_prefix_are_read() -> None:
    name = "folder/" * 20 + "file"
    for form in FORMS:
        assert read(archives.tar([archives.file(name, b"x")], form)) == [(name, Kind.FILE, "", b"x")]


def test_a_size_in_binary_is_read() -> None:
    info = tarfile.TarInfo("big")
    info.size = 9 << 30
    data = info.tobuf(tarfile.GNU_FORMAT)
    assert next(tar.members(io.BytesIO(data))).size == 9 << 30
    info.size = -1
    assert refused(info.tobuf(tarfile.GNU_FORMAT)) == "archive.header"


@pytest.mark.parametrize("size", [512, 600, 1024, 1536, 2047])
def test_a_cut_archive_is_known_wherever_it_is_cut(size: int) -> None:
    data = archives.tar([archives.file("a", b"x" * 600), archives.file("b", b"")])
    assert refused(data[:size]) == "archive.truncated"


def test_what_is_no_tar_is_told_from_what_is_empty() -> None:
    assert refused(b"") == "archive.empty"
    assert refused(bytes(10240)) == "archive.empty"
    assert refused(b"PK\x03\x04" + bytes(2000)) == "archive.form"
    assert refused(b"short") == "archive.form"


def test_damage_after_the_first_member_is_not_taken_for_the_end() -> None:
    data = bytearray(archives.tar([archives.file("a", b""), archives.file("b", b"")]))
    data[600] ^= 1
    assert refused(bytes(data)) == "archive.header"


@pytest.mark.parametrize(
    "kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.GNUTYPE_SPARSE, b"M", b"V", b"\xff"]
)
def test_what_is_no_file_is_refused(kind: bytes) -> None:
    assert refused(archives.tar([archives.other("device", kind)])) == "archive.member"


def header(kind: bytes, size: int) -> bytes:
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize("kind", [b"x", b"g", b"L", b"K"])
def test_an_extended_header_that_declares_gigabytes_is_refused(kind: bytes) -> None:
    assert refused(header(kind, 4 << 30)) == "archive.header"
    assert refused(header(kind, tar.EXTENDED) + b"1 ") == "archive.truncated"


def test_extended_headers_in_a_long_row_are_refused() -> None:
    assert refused(header(b"x", 0) * 100_000) == "archive.header"


@pytest.mark.parametrize(
    "records",
    [
        b"x",
        b"12 path=a",
        b"99 path=a\n",
        b"0 path=a\n",
        b"6 =a\n" * 2,
        b"0" * 60_000,
        b"9 size=x\n",
        b"10 size=-1\n",
        b"-1 path=a\n",
    ],
)
def test_records_without_their_form_are_refused(records: bytes) -> None:
    padding = bytes(-len(records) % 512)
    data = header(b"x", len(records)) + records + padding + archives.tar([archives.file("a", b"")])
    assert refused(data) == "archive.header"


def test_a_sparse_file_of_pax_is_refused() -> None:
    info, _ = archives.file("a", b"")
    info.pax_headers = {"GNU.sparse.map": "0,1"}
    assert refused(archives.tar([(info, b"")], tarfile.PAX_FORMAT)) == "archive.member"
