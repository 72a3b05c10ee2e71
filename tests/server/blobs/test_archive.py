# SPDX-License-Identifier: Apache-2.0
"""What an archive holds, and every way in which it can be none."""

import bz2
import gzip
import hashlib
import lzma
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from checkvalve.errors import InvalidError, NotFoundError, UnavailableError
from checkvalve.server.blobs import archive, packing
from checkvalve.server.blobs.archive import normal
from checkvalve.server.blobs.contents import Contents, Item, Limits
from checkvalve.server.blobs.store import Blobs
from tests.parts import archives
from tests.parts.archives import file, other, sha

LIMITS = Limits(total=64 << 20)
Member = tuple[tarfile.TarInfo, bytes]


def zipped(data: bytes) -> bytes:
    """Return `data` packed without the time of day, so that every worker collects the same tests."""
    return gzip.compress(data, mtime=0)


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "blobs")


def unpack(blobs: Blobs, data: bytes, limits: Limits = LIMITS) -> Contents:
    with blobs.spool() as spooled:
        spooled.write(data)
        return archive.unpack(spooled, blobs, limits)  # type: ignore[arg-type] # IO[bytes] is what BinaryIO says of it


def refused(blobs: Blobs, data: bytes, limits: Limits = LIMITS) -> str:
    with pytest.raises(InvalidError) as caught:
        unpack(blobs, data, limits)
    assert caught.value.remedy
    assert not list(blobs._incoming.iterdir())
    return caught.value.code


def test_layers_are_stored_and_texts_are_kept(blobs: Blobs) -> None:
    image = archives.Image()
    contents = unpack(blobs, archives.docker([image]))
    config = contents.items[image.id.removeprefix("sha256:") + ".json"]
    assert contents.texts[config.digest] == image.config_bytes
    assert not blobs.has(config.digest)
    for layer in image.layers:
        assert blobs.read(sha(layer), 1 << 20) == layer
    assert sorted(contents.items) == sorted(
        ["0" * 64 + "/layer.tar", "0" * 63 + "1/layer.tar", image.id.removeprefix("sha256:") + ".json", "manifest.json"]
    )


@pytest.mark.parametrize("how", ["gzip", "zstd"])
def test_a_packed_archive_holds_the_same(blobs: Blobs, how: str) -> None:
    data = archives.docker([archives.Image()])
    plain = unpack(blobs, data)
    twice = unpack(blobs, archives.packed(data, how))
    assert {name: item.digest for name, item in plain.items.items()} == {n: i.digest for n, i in twice.items.items()}
    assert not any(item.added for item in twice.items.values())


def test_gzip_in_several_members_and_with_zeros_behind_is_whole(blobs: Blobs) -> None:
    data = archives.docker([archives.Image()])
    parts = zipped(data[:1000]) + zipped(data[1000:]) + bytes(512)
    assert unpack(blobs, parts).items.keys() == unpack(blobs, data).items.keys()


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "archive.empty"),
        (bytes(10240), "archive.empty"),
        (b"no archive at all", "archive.form"),
        (archives.docker([archives.Image()])[:3000], "archive.truncated"),
        (archives.tar([file("a", b"x" * 100)])[:560], "archive.truncated"),
        (zipped(b""), "archive.empty"),
        (zipped(archives.docker([archives.Image()]))[:-400], "archive.truncated"),
        (zstandard.compress(archives.docker([archives.Image()]))[:-100], "archive.truncated"),
        (zipped(archives.docker([archives.Image()]))[:-6] + bytes(6), "archive.packing"),
        (zipped(archives.docker([archives.Image()])) + b"garbage", "archive.packing"),
        (b"\x1f\x8b" + b"\xff" * 100, "archive.packing"),
        (b"\x28\xb5\x2f\xfd" + b"\xff" * 100, "archive.packing"),
        (lzma.compress(b"x"), "archive.packing"),
        (bz2.compress(b"x"), "archive.packing"),
    ],
)
def test_what_is_no_whole_archive_is_refused(blobs: Blobs, data: bytes, code: str) -> None:
    assert refused(blobs, data) == code


def test_other_packings_are_refused_with_what_to_use(blobs: Blobs) -> None:
    with pytest.raises(InvalidError, match="xz") as caught:
        unpack(blobs, lzma.compress(b"x"))
    assert "gzip" in caught.value.remedy


@pytest.mark.parametrize("how", ["gzip", "zstd"])
def test_a_bomb_is_stopped_at_the_limit(blobs: Blobs, how: str) -> None:
    bomb = archives.packed(bytes(32 << 20), how)
    assert len(bomb) < 100_000
    assert refused(blobs, bomb, Limits(total=1 << 20)) == "archive.size"


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ([file("/etc/passwd", b"x")], "archive.path"),
        ([file("../x", b"x")], "archive.path"),
        ([file("a/../../x", b"x")], "archive.path"),
        ([file("a" * 1025, b"x")], "archive.path"),
        ([file("a", b"x"), file("./a", b"y")], "archive.path"),
        ([file("a", b"x"), file("b/../a", b"y")], "archive.path"),
        ([file("a", b"x"), other("a", tarfile.SYMTYPE, "b"), file("b", b"y")], "archive.path"),
        ([other("a", tarfile.SYMTYPE, "b"), other("a", tarfile.SYMTYPE, "c")], "archive.path"),
        ([other("a", tarfile.SYMTYPE, "../b")], "archive.path"),
        ([other("a", tarfile.SYMTYPE, "/etc/passwd")], "archive.path"),
        ([other("a/b", tarfile.LNKTYPE, "../b")], "archive.path"),
        ([other("a", tarfile.SYMTYPE, "a")], "archive.link"),
        ([other("a", tarfile.SYMTYPE, "b"), other("b", tarfile.LNKTYPE, "a")], "archive.link"),
        ([other("a", tarfile.SYMTYPE, "nothing")], "archive.link"),
        ([other("a", tarfile.FIFOTYPE)], "archive.member"),
        ([other("a", tarfile.CHRTYPE)], "archive.member"),
        ([file("blobs/sha256/" + "a" * 64, b"x")], "archive.digest"),
        ([file("blobs/sha256/x\udcff", b"x")], "archive.digest"),
        ([file("x", b"x"), other("blobs/sha256/" + "a" * 64, tarfile.SYMTYPE, "../../x")], "archive.digest"),
        ([file("a", b"x" * (2 << 20))], "archive.size"),
        ([file(str(number), b"") for number in range(51)], "archive.members"),
        ([file(str(number), b"{%08d" % number) for number in range(12)], "archive.texts"),
    ],
)
def test_a_hostile_member_is_refused(blobs: Blobs, members: list[Member], code: str) -> None:
    data = archives.tar(members)
    assert refused(blobs, data, Limits(total=1 << 20, members=50, texts=100)) == code


def test_a_nul_in_a_name_is_refused(blobs: Blobs) -> None:
    info, data = file("x", b"1")
    info.pax_headers = {"path": "a\0b"}
    assert refused(blobs, archives.tar([(info, data)], tarfile.PAX_FORMAT)) == "archive.path"


def test_the_same_content_under_one_name_twice_is_harmless(blobs: Blobs) -> None:
    contents = unpack(blobs, archives.tar([file("a", b"x"), file("./b/../a", b"x")]))
    assert list(contents.items) == ["a"]


def test_links_are_followed_among_members_only(blobs: Blobs) -> None:
    members = [
        other("two/layer.tar", tarfile.SYMTYPE, "../one/layer.tar"),
        other("three", tarfile.LNKTYPE, "./two/layer.tar"),
        file("one/layer.tar", b"x"),
    ]
    contents = unpack(blobs, archives.tar(members))
    assert {item.digest for item in contents.items.values()} == {sha(b"x")}
    assert len(contents.items) == 3


@pytest.mark.slow
def test_a_chain_of_many_links_is_walked_once(blobs: Blobs) -> None:
    members = [other(f"{number}", tarfile.SYMTYPE, f"{number + 1}") for number in range(20_000)]
    contents = unpack(blobs, archives.tar([*members, file("20000", b"x")]))
    assert contents.items["0"] == contents.items["20000"]


def test_nothing_is_written_under_a_members_name(blobs: Blobs, tmp_path: Path) -> None:
    unpack(blobs, archives.tar([file("name", b"x"), other("folder", tarfile.DIRTYPE)]))
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [sha(b"x")[9:]]


def test_only_what_may_be_json_and_is_short_stays_in_memory(blobs: Blobs) -> None:
    members = [file("a", b" \n{}"), file("b", b"[" + b" " * 200 + b"]"), file("c", b"1.0"), file("d", b"")]
    contents = unpack(blobs, archives.tar(members), Limits(total=1 << 20, text=100))
    assert list(contents.texts.values()) == [b" \n{}"]
    assert all(blobs.has(contents.items[name].digest) for name in "bcd")


def test_the_packing_of_a_member_is_told_by_its_first_bytes(blobs: Blobs) -> None:
    members = [file(how, archives.packed(b"x", how)) for how in ("gzip", "zstd", "none")]
    contents = unpack(blobs, archives.tar(members))
    assert [item.packing for item in contents.items.values()] == ["gzip", "zstd", ""]
    assert contents.items["none"] == Item(sha(b"x"), 1, "", added=True)


@given(st.text(st.sampled_from("./ab\\"), max_size=20), st.sampled_from(["", "f", "f/g"]))
def test_a_normal_name_stays_inside_and_is_normal(name: str, folder: str) -> None:
    try:
        once = normal(name, folder)
    except InvalidError as error:
        assert error.code == "archive.path"  # noqa: PT017 (both ends are right)
        return
    assert normal(once) == once
    assert ".." not in once.split("/")
    assert not once.startswith("/")


# ---- layers without their compression


@pytest.mark.parametrize("how", ["", "gzip", "zstd"])
def test_a_layer_unpacked_is_what_was_packed(blobs: Blobs, how: str) -> None:
    data = hashlib.shake_128(b"x").digest(100_000) + bytes(3_000_000)
    stored = blobs.put(archives.packed(data, how))
    assert packing.unpacked_digest(blobs, stored.digest, 4 << 20) == (sha(data), len(data))


@pytest.mark.parametrize("extra", [-1, 0, 1])
@pytest.mark.parametrize("pieces", [1, 2])
def test_gzip_that_ends_where_a_piece_does_is_whole(blobs: Blobs, extra: int, pieces: int) -> None:
    data = bytes(pieces * (1 << 20) + extra)
    stored = blobs.put(zipped(data))
    assert packing.unpacked_digest(blobs, stored.digest, len(data)) == (sha(data), len(data))


@pytest.mark.parametrize("how", ["", "gzip", "zstd"])
def test_a_layer_beyond_the_limit_is_refused(blobs: Blobs, how: str) -> None:
    stored = blobs.put(archives.packed(bytes(3 << 20), how))
    with pytest.raises(InvalidError) as caught:
        packing.unpacked_digest(blobs, stored.digest, 1 << 20)
    assert caught.value.code == "archive.size"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (zipped(b"x" * 100)[:-1], "archive.truncated"),
        (b"\x28\xb5\x2f\xfdxxxxxxx", "archive.packing"),
        (lzma.compress(b"x"), "archive.packing"),
    ],
)
def test_a_layer_that_came_damaged_is_refused(blobs: Blobs, data: bytes, code: str) -> None:
    stored = blobs.put(data)
    with pytest.raises(InvalidError) as caught:
        packing.unpacked_digest(blobs, stored.digest, 1 << 20)
    assert caught.value.code == code
    assert blobs.has(stored.digest)


@pytest.mark.parametrize("how", ["", "gzip"])
def test_a_layer_that_was_damaged_here_is_told_and_set_aside(blobs: Blobs, how: str) -> None:
    stored = blobs.put(archives.packed(b"x" * 1000, how))
    path = blobs._path(stored.digest)
    path.write_bytes(path.read_bytes()[:-8] + b"damaged!")
    with pytest.raises(UnavailableError) as caught:
        packing.unpacked_digest(blobs, stored.digest, 1 << 20)
    assert caught.value.code == "blobs.damaged"
    assert not blobs.has(stored.digest)
    with pytest.raises(NotFoundError):
        packing.unpacked_digest(blobs, stored.digest, 1 << 20)


MEASURED = """
import sys, time, pathlib
from checkvalve.server.blobs import archive, packing
from checkvalve.server.blobs.contents import Limits
from checkvalve.server.blobs.store import Blobs
def peak():  # of this program; what getrusage says includes the one that started it
    return int(pathlib.Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
blobs = Blobs(pathlib.Path(sys.argv[2]))
before = peak()
start = time.monotonic()
with open(sys.argv[1], "rb") as file:
    contents = archive.unpack(file, blobs, Limits(total=4 << 30))
middle = time.monotonic()
print(packing.unpacked_digest(blobs, contents.items["layer.tar"].digest, 4 << 30)[1])
end = time.monotonic()
print(peak() - before, middle - start, end - middle)
"""


@pytest.mark.slow
@pytest.mark.timeout(600)  # a disk that others use too may take a minute for a gigabyte
@pytest.mark.parametrize(("outer", "large"), [("", 1 << 30), ("gzip", 1 << 28)])
def test_a_gigabyte_takes_little_memory(tmp_path: Path, outer: str, large: int) -> None:
    plain = tmp_path / "archive.tar"
    info = tarfile.TarInfo("layer.tar")
    info.size = large
    with plain.open("wb") as out:  # a hole: nothing of it is on the disk
        out.write(info.tobuf())
        out.truncate(512 + large + 1024)
    source = plain
    if outer:
        source = tmp_path / "archive.tar.gz"
        with source.open("wb") as out:
            subprocess.run(["gzip", "-1", "-c", str(plain)], check=True, stdout=out)
    ran = subprocess.run(
        [sys.executable, "-c", MEASURED, str(source), str(tmp_path / "blobs")],
        check=True,
        capture_output=True,
        text=True,
    )
    size, grown, unpacked, checked = ran.stdout.split()
    print(
        f"unpack {large / 1e6 / float(unpacked):.0f} MB/s, diff id {large / 1e6 / float(checked):.0f} MB/s, {grown} KiB"
    )
    assert int(size) == large
    assert int(grown) < 64 * 1024
    for path in (plain, source, *(tmp_path / "blobs").rglob("*/*/*")):
        if path.is_file():
            path.unlink()
