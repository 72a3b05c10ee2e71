# SPDX-License-Identifier: Apache-2.0
"""Messages as programs of each capability sent them, kept for ever: what is on the wire is still understood whole.

A file here is never changed. A new capability adds a folder (ADR 0005).
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from checkvalve import canonical
from checkvalve.crypto import digests, envelope, keys
from checkvalve.protocol import enrol, exchange, receipt, time
from checkvalve.protocol.enrol import Join, Joined, Renewal, Renewed
from checkvalve.protocol.exchange import Answer, Deploy, Report, State
from checkvalve.protocol.version import HISTORY

GOLDEN = Path(__file__).parent / "golden"
SECOND = GOLDEN / "2"
ATTEMPT = "06e5q0kq3w8v9z2x4c6b8n0m2b"


def _key(name: str) -> keys.PublicKey:
    return keys.load_public((SECOND / name).read_bytes())


def _payload(name: str, kind: str, key: str) -> bytes:
    return envelope.unseal(envelope.read((SECOND / name).read_bytes()), kind, _key(key))


def _plain(name: str, kind: type[Any]) -> Any:  # noqa: ANN401 - whatever was decoded
    data = (SECOND / name).read_bytes()
    said = msgspec.json.decode(data, type=kind)
    assert json.loads(msgspec.json.encode(said)) == json.loads(data), "something of it is not understood"
    return said


def report_idle() -> None:
    said = _plain("report-idle.json", Report)
    assert (said.capability, said.seq, said.generation, said.wait) == (2, 5, 3, 55)
    assert (said.epoch, said.counter, said.status, said.events, said.receipts) == (1, 7, None, (), ())


def report_full() -> None:
    said = _plain("report-full.json", Report)
    assert said.state == exchange.digest(said.status)
    assert said.status.state is State.VERIFYING
    assert [event.kind for event in said.events] == ["boot", "order", "state", "note", "state"]
    before = ""
    for event in said.events:
        assert event.prev == before
        before = digests.sha256_hex(canonical.dumps(msgspec.to_builtins(event)))
    assert receipt.verified(said.receipts[0], _key("device.pub")).head == before


def answer() -> None:
    said = _plain("answer.json", Answer)
    assert (said.known, said.tell, len(said.receipts)) == (5, True, 1)
    assert said.orders == envelope.read((SECOND / "orders.json").read_bytes())


def orders() -> None:
    said = exchange.orders(_payload("orders.json", exchange.ORDERS, "orders.pub"))
    assert (said.plane, said.epoch, said.counter, said.v) == ("norra", 1, 8, 1)
    first, second = (exchange.item(item) for item in said.items)
    assert isinstance(first, Deploy)
    assert first.attempt == ATTEMPT
    assert second == "weather"


def join() -> None:
    said = msgspec.json.decode(_payload("join.json", enrol.JOIN, "device.pub"), type=Join)
    assert (said.name, said.capability) == ("pump-7", 2)
    assert keys.fingerprint(keys.load_public(said.public.encode())) == keys.fingerprint(_key("device.pub"))


def renewal() -> None:
    said = msgspec.json.decode(_payload("renewal.json", enrol.RENEWAL, "device.pub"), type=Renewal)
    assert said.generation == 3
    assert time.read(said.time, _key("orders.pub"))


def joined() -> None:
    said = _plain("joined.json", Joined)
    assert (said.generation, said.observe, said.place) == (1, True, ["Norra Kraft", "Visby"])


def renewed() -> None:
    assert _plain("renewed.json", Renewed).generation == 4


def receipt_() -> None:
    sealed = envelope.read((SECOND / "receipt.json").read_bytes())
    said = receipt.verified(sealed, _key("device.pub"))
    assert (said.outcome, said.code, said.offset) == (State.ROLLED_BACK, "gate.exit", -86_400_000)
    assert receipt.write(said) == sealed.payload


def time_() -> None:
    assert time.read((SECOND / "time.txt").read_text().strip(), _key("orders.pub")) == 1_795_418_479_050


READERS: dict[str, Callable[[], None]] = {
    "answer.json": answer,
    "join.json": join,
    "joined.json": joined,
    "orders.json": orders,
    "receipt.json": receipt_,
    "renewal.json": renewal,
    "renewed.json": renewed,
    "report-full.json": report_full,
    "report-idle.json": report_idle,
    "time.txt": time_,
}


@pytest.mark.parametrize("name", READERS)
def test_a_message_of_capability_2_is_still_understood(name: str) -> None:
    READERS[name]()


def test_every_golden_message_is_read() -> None:
    kept = {file.name for file in SECOND.iterdir()} - {"device.pub", "orders.pub"}
    assert kept == set(READERS)
    assert {int(folder.name) for folder in GOLDEN.iterdir()} <= {step.capability for step in HISTORY}
