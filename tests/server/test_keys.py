# SPDX-License-Identifier: Apache-2.0
"""The plane's keys: made once, kept, and what is to be known of them beside them."""

import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from checkvalve.crypto import certificates
from checkvalve.crypto import keys as crypto_keys
from checkvalve.errors import InvalidError
from checkvalve.server import keys
from tests.conftest import NOON


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


def test_the_orders_key_stays_and_its_certificate_is_issued_anew_at_two_thirds_of_its_life(tmp_path: Path) -> None:
    authority = keys.make_authority(tmp_path, "norra", NOON, bytes(16))
    made = keys.orders(tmp_path, authority, NOON, bytes(16))
    assert certificates.is_orders(made.certificate)
    assert certificates.issued_by(made.certificate, authority.certificate)
    assert stat.S_IMODE((tmp_path / "orders.key").stat().st_mode) == 0o600
    for days, same in ((1, True), (480, True), (490, False)):
        again = keys.orders(tmp_path, authority, NOON + timedelta(days=days), bytes(16))
        assert (again.certificate == made.certificate) is same
        assert crypto_keys.spki(again.key.public_key()) == crypto_keys.spki(made.key.public_key())
    assert again.certificate == keys.orders(tmp_path, authority, NOON + timedelta(days=491), bytes(16)).certificate


def test_an_orders_certificate_of_another_authority_is_replaced(tmp_path: Path) -> None:
    other = keys.make_authority(tmp_path / "other", "other", NOON, bytes(16))
    keys.orders(tmp_path, other, NOON, bytes(16))
    authority = keys.make_authority(tmp_path, "norra", NOON, bytes(16))
    assert certificates.issued_by(keys.orders(tmp_path, authority, NOON, bytes(16)).certificate, authority.certificate)


def test_the_key_of_secrets_is_made_once_and_is_for_the_plane_alone(tmp_path: Path) -> None:
    made = keys.values(tmp_path / "keys", bytes(range(32)))
    assert made == bytes(range(32)) == keys.values(tmp_path / "keys", bytes(32))
    (file,) = (tmp_path / "keys").iterdir()
    assert (file.name, stat.S_IMODE(file.stat().st_mode)) == ("values.key", 0o600)


@pytest.mark.parametrize("content", [b"", bytes(31), bytes(33)])
def test_a_key_of_secrets_that_is_none_is_refused_and_kept(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "values.key").write_bytes(content)
    with pytest.raises(InvalidError) as refused:
        keys.values(tmp_path, bytes(32))
    assert refused.value.code == "key.form"
    assert (tmp_path / "values.key").read_bytes() == content


def test_of_two_processes_that_make_the_key_of_secrets_at_once_both_have_the_same(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        made = list(
            threads.map(lambda number: keys.values(tmp_path / str(number // 8), bytes([number]) * 32), range(64))
        )
    assert [len(set(made[begin : begin + 8])) for begin in range(0, 64, 8)] == [1] * 8
