# SPDX-License-Identifier: Apache-2.0
"""The plane's online key: made once, kept, and its public half beside it to be carried to the signers."""

import stat
from pathlib import Path

import pytest

from checkvalve.crypto import keys as crypto_keys
from checkvalve.errors import InvalidError
from checkvalve.server import keys


def test_the_online_key_is_made_once_and_only_its_public_half_is_for_others(tmp_path: Path) -> None:
    made = keys.online(tmp_path / "keys")
    assert crypto_keys.spki(keys.online(tmp_path / "keys").public_key()) == crypto_keys.spki(made.public_key())
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "keys").iterdir()}
    assert modes == {"online.key": 0o600, "online.pub": 0o644}
    public = (tmp_path / "keys" / "online.pub").read_bytes()
    assert public.startswith(b"-----BEGIN PUBLIC KEY-----\n")
    assert crypto_keys.spki(crypto_keys.load_public(public)) == crypto_keys.spki(made.public_key())


@pytest.mark.parametrize("content", [None, b"", b"that of another key"])
def test_a_public_half_that_is_missing_or_another_is_written_anew(tmp_path: Path, content: bytes | None) -> None:
    key = keys.online(tmp_path)
    public = tmp_path / "online.pub"
    public.unlink() if content is None else public.write_bytes(content)
    keys.online(tmp_path)
    assert public.read_bytes() == crypto_keys.dump_public(key.public_key())


def test_a_key_file_that_is_none_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "online.key").write_bytes(b"half a fi")
    with pytest.raises(InvalidError) as refused:
        keys.online(tmp_path)
    assert refused.value.code == "key.form"
    assert (tmp_path / "online.key").read_bytes() == b"half a fi"


def test_what_a_power_cut_left_behind_is_no_key(tmp_path: Path) -> None:
    (tmp_path / "online.key.partial").write_bytes(b"half a fi")
    keys.online(tmp_path)
    assert not list(tmp_path.glob("*.partial"))
