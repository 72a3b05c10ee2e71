# SPDX-License-Identifier: Apache-2.0
"""Certificates: what is issued, what is read, and what `openssl verify` says of it."""

import subprocess
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import NamedTuple, TypedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkvalve import ids
from checkvalve.crypto import certificates, keys
from checkvalve.errors import InvalidError

START = datetime(2026, 1, 1, tzinfo=UTC)
END = START + timedelta(days=30)


class Terms(TypedDict):
    not_before: datetime
    not_after: datetime
    serial: int


class Authority(NamedTuple):
    certificate: bytes
    key: keys.PrivateKey


def terms(not_before: datetime, not_after: datetime, serial: int) -> Terms:
    return Terms(not_before=not_before, not_after=not_after, serial=serial)


DEVICE = ids.encode(1_767_225_600_000, bytes(10))
CA_KEY = keys.make()
CA = Authority(
    certificates.issue_authority(CA_KEY, "Plant CA", **terms(START, START + timedelta(days=3650), 1)), CA_KEY
)
KEY = keys.make()
SERVER = certificates.issue_server(
    *CA, KEY.public_key(), ["plane.example", "10.1.2.3", "fd00::1", "*.plane.example"], **terms(START, END, 2)
)
CLIENT = certificates.issue_device(*CA, KEY.public_key(), DEVICE, **terms(START, END, 3))
ORDERS = certificates.issue_orders(*CA, KEY.public_key(), **terms(START, END, 4))


def openssl_verify(folder: Path, leaf: bytes, *options: str, ca: bytes = CA.certificate) -> tuple[bool, str]:
    (folder / "ca.pem").write_bytes(certificates.to_pem(ca))
    (folder / "leaf.pem").write_bytes(certificates.to_pem(leaf))
    moment = str(int((START + timedelta(days=1)).timestamp()))
    command = ["openssl", "verify", "-x509_strict", "-attime", moment, *options, "-CAfile", "ca.pem", "leaf.pem"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("leaf", "options", "good"),
    [
        (SERVER, ("-purpose", "sslserver", "-verify_hostname", "plane.example"), True),
        (SERVER, ("-purpose", "sslserver", "-verify_ip", "10.1.2.3"), True),
        (SERVER, ("-purpose", "sslserver", "-verify_ip", "fd00::1"), True),
        (SERVER, ("-purpose", "sslserver", "-verify_ip", "10.1.2.4"), False),
        (SERVER, ("-purpose", "sslclient"), False),
        (CLIENT, ("-purpose", "sslclient"), True),
        (CLIENT, ("-purpose", "sslserver"), False),
        (ORDERS, (), True),
        (ORDERS, ("-purpose", "sslclient"), False),
        (ORDERS, ("-purpose", "sslserver"), False),
    ],
)
def test_openssl_takes_a_leaf_for_its_purpose_only(
    tmp_path: Path, leaf: bytes, options: tuple[str, ...], *, good: bool
) -> None:
    assert openssl_verify(tmp_path, leaf, *options)[0] is good


def test_openssl_refuses_a_leaf_of_another_authority(tmp_path: Path) -> None:
    key = keys.make()
    other = certificates.issue_authority(key, "Plant CA", **terms(START, END, 1))
    assert not openssl_verify(tmp_path, CLIENT, ca=other)[0]
    assert certificates.issued_by(CLIENT, CA.certificate)
    assert certificates.issued_by(CA.certificate, CA.certificate)
    assert not certificates.issued_by(CLIENT, other)


def test_a_leaf_issues_nothing(tmp_path: Path) -> None:
    grandchild = certificates.issue_device(CLIENT, KEY, keys.make().public_key(), DEVICE, **terms(START, END, 9))
    (tmp_path / "between.pem").write_bytes(certificates.to_pem(CLIENT))
    good, said = openssl_verify(tmp_path, grandchild, "-untrusted", "between.pem")
    assert not good
    assert "invalid CA certificate" in said


def test_what_was_issued_is_read_back() -> None:
    assert certificates.names(SERVER) == ("plane.example", "10.1.2.3", "fd00::1", "*.plane.example")
    assert certificates.names(CLIENT) == certificates.names(CA.certificate) == ()
    assert certificates.device_id(CLIENT) == DEVICE
    assert certificates.validity(CLIENT) == (START, END)
    assert keys.spki(certificates.public_key(CLIENT)) == keys.spki(KEY.public_key())
    assert certificates.from_pem(certificates.to_pem(CLIENT)) == CLIENT
    assert certificates.fingerprint(CLIENT).startswith("sha256:")
    assert certificates.fingerprint(CLIENT) != certificates.fingerprint(SERVER)


def test_the_orders_certificate_is_known_by_its_one_name_and_is_no_devices() -> None:
    assert certificates.is_orders(ORDERS)
    assert certificates.issued_by(ORDERS, CA.certificate)
    assert not any(certificates.is_orders(der) for der in (CLIENT, SERVER, CA.certificate))
    disguised = certificates.issue_server(*CA, KEY.public_key(), ["checkvalve:orders"], **terms(START, END, 5))
    assert not certificates.is_orders(disguised)
    with pytest.raises(InvalidError) as caught:
        certificates.device_id(ORDERS)
    assert caught.value.code == "certificate.device"


def test_validity_is_kept_in_utc_and_whole_seconds() -> None:
    east = timezone(timedelta(hours=9))
    start = datetime(2026, 1, 1, 9, 0, 0, 123_000, tzinfo=east)
    leaf = certificates.issue_device(*CA, KEY.public_key(), DEVICE, **terms(start, start + timedelta(hours=1), 4))
    assert certificates.validity(leaf) == (START, START + timedelta(hours=1))
    with pytest.raises(ValueError, match="aware"):
        certificates.issue_device(*CA, KEY.public_key(), DEVICE, **terms(start.replace(tzinfo=None), END, 4))


@pytest.mark.parametrize("year", [1970, 2049, 2050, 2400])
def test_a_date_may_lie_on_either_side_of_2050(year: int) -> None:
    # RFC 5280, 4.1.2.5: UTCTime until 2049, GeneralizedTime from 2050 on.
    start = datetime(year, 6, 1, tzinfo=UTC)
    leaf = certificates.issue_device(*CA, KEY.public_key(), DEVICE, **terms(start, start + timedelta(days=1), 5))
    assert certificates.validity(leaf) == (start, start + timedelta(days=1))


@pytest.mark.parametrize("name", ["", "zürich.example", "two names", "line\nfeed", "nul\0"])
def test_a_name_no_certificate_can_hold_is_refused(name: str) -> None:
    with pytest.raises(InvalidError) as caught:
        certificates.issue_server(*CA, KEY.public_key(), [name], **terms(START, END, 6))
    assert caught.value.code == "certificate.name"


def test_a_server_needs_a_name() -> None:
    with pytest.raises(InvalidError) as caught:
        certificates.issue_server(*CA, KEY.public_key(), [], **terms(START, END, 6))
    assert caught.value.code == "certificate.name"


def test_a_long_name_stands_in_full_where_it_counts() -> None:
    name = "a" * 60 + ".station.example"
    leaf = certificates.issue_server(*CA, KEY.public_key(), [name], **terms(START, END, 7))
    assert certificates.names(leaf) == (name,)


@pytest.mark.parametrize("device", ["", "pump-1", DEVICE.upper(), DEVICE + "0"])
def test_a_device_is_named_by_its_id_only(device: str) -> None:
    with pytest.raises(InvalidError) as caught:
        certificates.issue_device(*CA, KEY.public_key(), device, **terms(START, END, 8))
    assert caught.value.code == "certificate.device"


@pytest.mark.parametrize("other", [SERVER, CA.certificate])
def test_a_certificate_of_no_device_says_so(other: bytes) -> None:
    with pytest.raises(InvalidError) as caught:
        certificates.device_id(other)
    assert caught.value.code == "certificate.device"


def read_everything(der: bytes) -> None:
    readers = (
        certificates.names,
        certificates.device_id,
        certificates.is_orders,
        certificates.validity,
        certificates.fingerprint,
        certificates.public_key,
        certificates.to_pem,
    )
    for read in readers:
        try:
            read(der)
        except InvalidError as error:
            assert error.code in {"certificate.form", "certificate.device", "key.kind"}  # noqa: PT017 - any or none may come


@given(st.binary(max_size=200))
def test_bytes_of_any_kind_raise_our_error_only(data: bytes) -> None:
    read_everything(data)


# A flipped serial number may be negative: the library reads it, and warns.
@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@given(st.integers(0, len(CLIENT) - 1), st.integers(1, 255))
def test_a_damaged_certificate_raises_our_error_only(place: int, flip: int) -> None:
    read_everything(CLIENT[:place] + bytes([CLIENT[place] ^ flip]) + CLIENT[place + 1 :])


def test_text_that_holds_no_certificate_is_refused() -> None:
    with pytest.raises(InvalidError) as caught:
        certificates.from_pem(b"nothing")
    assert caught.value.code == "certificate.form"


@given(st.binary(min_size=16, max_size=16))
def test_a_serial_number_is_positive_and_fits(entropy: bytes) -> None:
    assert 0 < certificates.serial(entropy) < 2**127
