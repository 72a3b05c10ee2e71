# SPDX-License-Identifier: Apache-2.0
"""Receipts are checked without a plane: the right ones pass, and of each wrong one it is said what is wrong with it."""

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from checkvalve import canonical
from checkvalve.crypto import certificates, envelope, keys
from checkvalve.protocol import receipt as receipts
from checkvalve.protocol.exchange import State
from checkvalve.protocol.receipt import Receipt, Seen, Step
from tests.cli.terminal import Outcome, Terminal

DEVICE = "06e5q0kq3w8v9z2x4c6b8n0m1a"
OTHER = "06e5q0kq3w8v9z2x4c6b8n0m1b"
KEY, STRANGER, AUTHORITY = keys.make(), keys.make(), keys.make()
BEGINS = datetime(2026, 1, 1, tzinfo=UTC)
ENDS = BEGINS + timedelta(days=900)
SIGNED = Receipt(
    device=DEVICE,
    attempt=OTHER,
    release="sha256:" + "b" * 64,
    target="org/press-line/b.json",
    outcome=State.ROLLED_BACK,
    code="gate.exited",
    reason="web exited with code 3.",
    active="sha256:" + "a" * 64,
    steps=(Step(state=State.SWITCHING, at=0), Step(state=State.ROLLED_BACK, at=2**53 - 1, code="gate.exited")),
    services=(
        Seen(
            service="web",
            image="sha256:" + "c" * 64,
            state="exited",
            exit=3,
            probes={"http:8080/ready": "It answered 500.", "tcp:8080": ""},
            wrong="It exited.",
            logs="no luck\n\x1b[31mred",
        ),
    ),
    data={"history": "kept"},
    at=1_793_707_200_000,
    offset=None,
    journal=OTHER,
    first=3,
    last=9,
    head="f" * 64,
    agent="0.3.0",
    engine="docker 20.10.24",
)


class Desk:
    """An auditor's folder, with the device's public key, and a certificate of it and its authority's."""

    def __init__(self, terminal: Terminal, folder: Path) -> None:
        self.folder, self._terminal = folder, terminal
        self.key = self.put("device.pub", keys.dump_public(KEY.public_key()))
        ca = certificates.issue_authority(AUTHORITY, "CA", not_before=BEGINS, not_after=ENDS, serial=1)
        self.authority = self.put("ca.pem", certificates.to_pem(ca))
        self.certificate = self.put("device.crt", self.certified(DEVICE, ca))

    def certified(self, device: str, ca: bytes, by: keys.PrivateKey = AUTHORITY) -> bytes:
        der = certificates.issue_device(ca, by, KEY.public_key(), device, not_before=BEGINS, not_after=ENDS, serial=2)
        return certificates.to_pem(der)

    def put(self, name: str, data: bytes) -> str:
        (self.folder / name).write_bytes(data)
        return str(self.folder / name)

    def verify(self, data: bytes, *words: str) -> Outcome:
        given = words or ("--key", self.key)
        return self._terminal("verify", "receipt", self.put("receipt.json", data), *given)


@pytest.fixture
def desk(terminal: Terminal, tmp_path: Path) -> Desk:
    return Desk(terminal, tmp_path)


def _sealed(payload: bytes | None = None, key: keys.PrivateKey = KEY, kind: str = receipts.RECEIPT) -> bytes:
    return envelope.write(envelope.seal(key, kind, receipts.write(SIGNED) if payload is None else payload))


def _changed(data: bytes, **fields: Any) -> bytes:  # noqa: ANN401 - JSON
    return json.dumps(json.loads(data) | fields).encode()


def test_a_receipt_that_the_device_signed_passes_and_is_shown(desk: Desk) -> None:
    said = desk.verify(_sealed())
    assert said.code == 0, said.err
    for told in (
        "signed by this key",
        "rolled_back",
        "web exited with code 3. [gate.exited]",
        DEVICE,
        "never compared",
        "volume history  kept",
        "http:8080/ready: It answered 500.",
        "lines 3 to 9",
        keys.fingerprint(KEY.public_key()),
        "no luck",
        "1970-01-01 00:00:00Z",
        f"{2**53 - 1} ms since 1970",
    ):
        assert told in said.out, told
    assert "\x1b" not in said.out, "what a container wrote does not steer the terminal"


def test_json_and_quiet_say_what_programs_want(desk: Desk) -> None:
    digest = envelope.digest(envelope.read(_sealed()))
    found = json.loads(desk.verify(_sealed(), "--key", desk.key, "--json").out)
    assert found["digest"] == digest
    assert canonical.dumps(found["receipt"]) == receipts.write(SIGNED)
    assert desk.verify(_sealed(), "--key", desk.key, "--quiet").out.strip() == digest


def test_a_certificate_names_the_device_and_the_authority_names_the_plane(desk: Desk) -> None:
    words = ("--certificate", desk.certificate)
    assert desk.verify(_sealed(), *words).code == 0
    assert desk.verify(_sealed(), *words, "--authority", desk.authority).code == 0
    foreign = certificates.issue_authority(STRANGER, "CA", not_before=BEGINS, not_after=ENDS, serial=1)
    other = desk.put("other.pem", certificates.to_pem(foreign))
    said = desk.verify(_sealed(), *words, "--authority", other)
    assert (said.code, "[receipt.authority]" in said.err) == (5, True)
    ca = certificates.from_pem(Path(desk.authority).read_bytes())
    said = desk.verify(_sealed(), "--certificate", desk.put("b.crt", desk.certified(OTHER, ca)))
    assert (said.code, "[receipt.device]" in said.err) == (5, True)
    assert OTHER in said.err
    assert DEVICE in said.err


def test_a_changed_byte_and_another_key_are_told_apart(desk: Desk) -> None:
    sealed = _sealed()
    payload = base64.b64decode(json.loads(sealed)["payload"])
    changed = base64.b64encode(payload.replace(b"rolled_back", b"committed  ")).decode()
    data = _changed(sealed, payload=changed)
    said = desk.verify(data)
    assert (said.code, "[envelope.signature]" in said.err) == (5, True)
    at = data.index(changed.encode())
    assert f"bytes {at} to {at + len(changed)}" in said.err
    assert "was changed after it was signed" in said.err
    said = desk.verify(_sealed(key=STRANGER))
    assert (said.code, "another key's" in said.err) == (5, True)
    assert keys.fingerprint(STRANGER.public_key()) in said.err


def test_every_changed_byte_of_the_envelope_is_found(desk: Desk) -> None:
    sealed = _sealed()
    for at in range(0, len(sealed), 97):
        changed = sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :]
        said = desk.verify(changed)
        if said.code == 0:  # the hint of whose key it is, or a bit of base64 that stands for nothing
            assert envelope.read(changed).payload == envelope.read(sealed).payload
        else:
            assert said.code == 5, said.err


@pytest.mark.parametrize(
    ("data", "code", "told"),
    [
        (b"", "envelope.form", "no signed document"),
        (b"{", "envelope.form", "no signed document"),
        (b"{}", "envelope.form", "payload"),
        (_changed(_sealed(), signatures=[]), "envelope.form", "signatures"),
        (_sealed(kind="application/vnd.checkvalve.orders+json"), "envelope.kind", "vnd.checkvalve.orders"),
        (_sealed(b"{}"), "receipt.form", "device"),
        (_sealed(b'{"a": 1}'), "canonical.form", "from byte 5 on"),
        (_sealed(b'{"a":1,}'), "canonical.form", "from byte"),
        (_sealed(receipts.write(SIGNED).replace(b'"v":1', b'"v":2')), "receipt.form", "$.v"),
        (_sealed(receipts.write(SIGNED).replace(b'"exit":3', b'"exit":"3"')), "receipt.form", "$.services[0].exit"),
    ],
)
def test_what_is_no_receipt_is_told_by_its_first_wrong_place(desk: Desk, data: bytes, code: str, told: str) -> None:
    said = desk.verify(data)
    assert said.code == 5, said.err
    assert f"[{code}]" in said.err
    assert told in said.err


def test_whose_signature_it_must_carry_has_to_be_said_once(desk: Desk) -> None:
    both = ("--key", desk.key, "--certificate", desk.certificate)
    for words in (both, ("--authority", desk.authority), ("--key", desk.key, "--authority", desk.authority)):
        said = desk.verify(_sealed(), *words)
        assert (said.code, "[cli.key]" in said.err) == (2, True)
    said = desk.verify(_sealed(), "--key", desk.certificate)
    assert (said.code, "[key.form]" in said.err) == (1, True)
    said = desk.verify(_sealed(), "--key", str(desk.folder / "absent"))
    assert (said.code, "[file.unreadable]" in said.err) == (2, True)
