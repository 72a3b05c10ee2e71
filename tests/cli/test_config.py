# SPDX-License-Identifier: Apache-2.0
"""Where the token is kept, and to whom it goes."""

import stat
from pathlib import Path

import pytest

from checkvalve.cli import config
from checkvalve.cli.config import Config
from checkvalve.cli.failures import UsageError
from checkvalve.errors import CheckvalveError, InvalidError, UnauthenticatedError
from tests.cli.impostor import TOKEN

HERE = "https://plane.example:9443"
KEPT = Config(url=HERE, login="anna", token=TOKEN, token_id="0" * 26, ca="-----BEGIN")


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path)}


def test_what_was_written_is_read_again_and_only_its_owner_can(environ: dict[str, str]) -> None:
    path = config.file(environ)
    config.write(path, KEPT)
    assert config.read(path) == KEPT
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [each.name for each in path.parent.iterdir()] == ["config.json"]


def test_writing_again_replaces_a_file_that_others_could_read(environ: dict[str, str]) -> None:
    path = config.file(environ)
    config.write(path, KEPT)
    path.chmod(0o644)
    config.write(path, KEPT)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_that_cannot_be_written_leaves_the_old_one_and_nothing_beside_it(tmp_path: Path) -> None:
    in_the_way = tmp_path / "config"
    (in_the_way / "inside").mkdir(parents=True)
    with pytest.raises(InvalidError, match=r"config\.unusable"):
        config.write(in_the_way, KEPT)
    assert [each.name for each in tmp_path.iterdir()] == ["config"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o602])
def test_a_file_that_others_can_use_is_refused(environ: dict[str, str], mode: int) -> None:
    path = config.file(environ)
    config.write(path, KEPT)
    path.chmod(mode)
    with pytest.raises(InvalidError, match=r"config\.open"):
        config.access(environ)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"url": 1}', "\xff"])
def test_a_file_that_is_no_sign_in_says_so(environ: dict[str, str], text: str) -> None:
    path = config.file(environ)
    path.parent.mkdir(parents=True)
    path.write_bytes(text.encode("latin-1"))
    path.chmod(0o600)
    with pytest.raises(InvalidError, match=r"config\.form"):
        config.read(path)


def test_the_named_file_counts_before_the_usual_one(tmp_path: Path, environ: dict[str, str]) -> None:
    assert config.file({**environ, "CHECKVALVE_CONFIG": str(tmp_path / "mine")}) == tmp_path / "mine"


def test_a_token_goes_to_no_other_plane(environ: dict[str, str]) -> None:
    config.write(config.file(environ), KEPT)
    with pytest.raises(UnauthenticatedError, match=r"other\.example"):
        config.access({**environ, "CHECKVALVE_URL": "https://other.example:9443"})


def test_the_environment_may_name_the_same_plane_in_another_spelling(environ: dict[str, str]) -> None:
    config.write(config.file(environ), KEPT)
    found = config.access({**environ, "CHECKVALVE_URL": "PLANE.example:9443/"})
    assert (found.url, found.token, found.ca) == (HERE, TOKEN, KEPT.ca)


def test_the_environment_alone_is_enough(environ: dict[str, str]) -> None:
    found = config.access({**environ, "CHECKVALVE_URL": HERE, "CHECKVALVE_TOKEN": f" {TOKEN}\n"})
    assert (found.url, found.token, found.ca) == (HERE, TOKEN, "")


def test_a_broken_token_is_not_repeated(environ: dict[str, str]) -> None:
    broken = TOKEN[:-1] + "\r\nX: y"
    with pytest.raises(UsageError) as caught:
        config.access({**environ, "CHECKVALVE_URL": HERE, "CHECKVALVE_TOKEN": broken})
    assert TOKEN[4:20] not in repr(caught.value) + caught.value.remedy


def test_a_token_is_in_no_representation() -> None:
    assert TOKEN not in repr(KEPT) + repr(config.Access(HERE, "", TOKEN))


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("https://plane.example:9443", HERE),
        ("plane.example:9443", HERE),
        ("https://Plane.Example:9443/", HERE),
        ("https://plane.example", "https://plane.example"),
        ("https://plane.example:443", "https://plane.example"),
        ("https://192.0.2.10:9443", "https://192.0.2.10:9443"),
        ("https://[2001:db8::1]:9443", "https://[2001:db8::1]:9443"),
    ],
)
def test_an_address_is_kept_in_one_spelling(typed: str, meant: str) -> None:
    assert config.address(typed) == meant


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "http://plane.example",
        "https://",
        "https://a:b@plane.example",
        "https://plane.example/x",
        "ftp://plane.example",
        "https://plane.example:70000",
        "https://plane.example?x=1",
        "https://[::1",
        "https://pl ane.example",
    ],
)
def test_what_is_no_address_of_a_plane_is_refused(typed: str) -> None:
    with pytest.raises(CheckvalveError) as caught:
        config.address(typed)
    assert caught.value.kind == "usage"
    assert "a:b" not in str(caught.value)
