# SPDX-License-Identifier: Apache-2.0
"""Names of images: one short form, the grammar of Docker's references."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkvalve.errors import InvalidError
from checkvalve.server.supply import references

HEX = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("historian", "historian:latest"),
        ("historian:2.4", "historian:2.4"),
        ("docker.io/library/historian:2.4", "historian:2.4"),
        ("index.docker.io/library/historian", "historian:latest"),
        ("docker.io/acme/historian:2.4", "acme/historian:2.4"),
        ("library/historian", "historian:latest"),
        ("localhost/historian:2.4", "historian:2.4"),
        ("localhost/acme/historian:2.4", "acme/historian:2.4"),
        ("localhost:5000/historian", "localhost:5000/historian:latest"),
        ("registry.example/acme/historian:2.4", "registry.example/acme/historian:2.4"),
        ("REGISTRY/acme/historian", "REGISTRY/acme/historian:latest"),
        ("10/historian", "10/historian:latest"),
        ("[fd00::1]:5000/historian:2", "[fd00::1]:5000/historian:2"),
        (f"historian@sha256:{HEX}", f"historian@sha256:{HEX}"),
        (f"docker.io/library/historian:2@sha256:{HEX}", f"historian:2@sha256:{HEX}"),
        ("a__b-c---d/e.f_g", "a__b-c---d/e.f_g:latest"),
        ("x:" + "_" * 128, "x:" + "_" * 128),
        # What would be read as something else alone keeps its registry.
        ("docker.io/localhost/x", "docker.io/localhost/x:latest"),
        ("docker.io/a.b/x", "docker.io/a.b/x:latest"),
        ("localhost/library/x", "localhost/library/x:latest"),
        (f"docker.io/{HEX}", f"docker.io/{HEX}:latest"),
    ],
)
def test_a_name_has_one_short_form(text: str, short: str) -> None:
    assert references.short(text) == short
    assert references.short(short) == short


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        ":2.4",
        "@",
        "Historian",
        "historian:",
        "historian:.hidden",
        "historian:a b",
        "historian:" + "x" * 129,
        "historian:ü",
        "historian\n",
        "historian:2\n",
        "hist orian",
        "/historian",
        "historian/",
        "a//b",
        "a/./b",
        "a/../b",
        "a.-b",
        "a___b",
        "-a",
        "a-",
        "histörian",
        HEX,
        f"historian@sha256:{HEX[:-1]}",
        f"historian@sha256:{HEX.upper()}",
        f"historian@sha512:{HEX}",
        f"historian@sha256:{HEX}@sha256:{HEX}",
        "-bad-.example/x",
        "registry.example:port/x",
        "registry.example:123456/x",
        "https://registry.example/x",
        "a" * 256,
        "a/" * 5000,
        "a-" * 200_000,
    ],
)
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(InvalidError) as caught:
        references.short(text)
    assert caught.value.code == "image.name"
    assert len(caught.value.sentence) < 1000


PARTS = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=6)
NAMES = st.lists(
    st.one_of(PARTS, st.sampled_from(["library", "localhost", "docker.io", "a.b", "X", "r:5000"])), min_size=1
)


@given(st.one_of(st.builds("/".join, NAMES), st.text(max_size=60), st.from_regex(r"\A[a-z./:@-]{1,40}\Z")))
def test_short_is_its_own_form(text: str) -> None:
    try:
        once = references.short(text)
    except InvalidError:
        return
    assert references.short(once) == once


@pytest.mark.parametrize(
    ("text", "bare"), [("latest", True), ("1.0", True), ("a:1", False), ("a/b", False), ("", False)]
)
def test_a_tag_alone_is_no_name(text: str, bare: bool) -> None:  # noqa: FBT001 (a table of facts)
    assert references.tag_only(text) is bare
