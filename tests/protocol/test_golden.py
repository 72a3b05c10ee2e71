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
from checkvalve.protocol import enrol, errand, exchange, filling, receipt, time, values, workload
from checkvalve.protocol.enrol import Join, Joined, Renewal, Renewed
from checkvalve.protocol.errand import Bundle, Done, Logs, Reboot, Restart
from checkvalve.protocol.exchange import Answer, Deploy, Hold, Report, State
from checkvalve.protocol.version import HISTORY

GOLDEN = Path(__file__).parent / "golden"
SECOND, THIRD, FOURTH = GOLDEN / "2", GOLDEN / "3", GOLDEN / "4"
ATTEMPT = "06e5q0kq3w8v9z2x4c6b8n0m2b"


def _key(name: str, folder: Path = SECOND) -> keys.PublicKey:
    return keys.load_public((folder / name).read_bytes())


def _payload(name: str, kind: str, key: str, folder: Path = SECOND) -> bytes:
    return envelope.unseal(envelope.read((folder / name).read_bytes()), kind, _key(key, folder))


def _plain(name: str, kind: type[Any], folder: Path = SECOND) -> Any:  # noqa: ANN401 - whatever was decoded
    data = (folder / name).read_bytes()
    said = msgspec.json.decode(data, type=kind)
    assert _known(json.loads(msgspec.json.encode(said)), json.loads(data)) == json.loads(data), "it is not understood"
    return said


def _known(said: Any, old: Any) -> Any:  # noqa: ANN401 - JSON
    """Return what was said, without the fields that came later: an old message says nothing of them."""
    if isinstance(said, dict) and isinstance(old, dict):
        return {name: _known(value, old[name]) for name, value in said.items() if name in old}
    if isinstance(said, list) and isinstance(old, list) and len(said) == len(old):
        return [_known(*each) for each in zip(said, old, strict=True)]
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


def manifest_3() -> None:
    data = (THIRD / "manifest.json").read_bytes()
    said = workload.read(data)
    assert (said.v, workload.write(said)) == (2, data)
    assert workload.digest(data) == "sha256:84e3434350dae384d8748a8542ce23dda1ee873d9245418218e2c3c17d2951d1"
    given = values.read((THIRD / "values.json").read_bytes())
    filled = filling.fill(said, given.variables)
    pump = filled.services["historian"]
    assert pump.environment == {"PLC": "10.20.0.5", "PRICE": "5$"}
    assert pump.devices[0].source == "/dev/serial/by-id/usb-FTDI"


def values_3() -> None:
    data = (THIRD / "values.json").read_bytes()
    said = values.read(data)
    assert values.write(said) == data
    assert said.release == workload.digest((THIRD / "manifest.json").read_bytes())
    assert values.identity(said) == "sha256:ca6d57a3821ecd9976004dce9c6ffa24cb74c589ba141404a69d2ada36f2b4d7"
    assert said.secrets.keys() == {"plc-pin"}


def orders_3() -> None:
    said = exchange.orders(_payload("orders.json", exchange.ORDERS, "orders.pub", THIRD))
    deploy, hold = (exchange.item(item) for item in said.items)
    assert isinstance(deploy, Deploy)
    assert deploy.filled == values.digest((THIRD / "values.json").read_bytes())
    assert isinstance(hold, Hold)
    assert (hold.tags[0].by, hold.tags[0].number) == ("plane", "P-2026-118")


def report_3() -> None:
    said = _plain("report-full.json", Report, THIRD)
    assert said.state == exchange.digest(said.status)
    assert said.status.values == values.digest((THIRD / "values.json").read_bytes())
    assert [tag.by for tag in said.status.held] == ["device", "plane"]
    assert said.events[1].facts["values"] == said.status.values


def receipt_3() -> None:
    sealed = envelope.read((THIRD / "receipt.json").read_bytes())
    said = receipt.verified(sealed, _key("device.pub", THIRD))
    assert said.values == values.digest((THIRD / "values.json").read_bytes())
    assert receipt.write(said) == sealed.payload


def answer_3() -> None:
    assert _plain("answer.json", Answer, THIRD).orders == envelope.read((THIRD / "orders.json").read_bytes())


def _done(name: str) -> Done:
    sealed = envelope.read((FOURTH / name).read_bytes())
    said = errand.verified(sealed, _key("device.pub", FOURTH))
    assert errand.write(said) == sealed.payload
    return said


def orders_4() -> None:
    said = exchange.orders(_payload("orders.json", exchange.ORDERS, "orders.pub", FOURTH))
    logs, restart, bundle, reboot = (exchange.item(item) for item in said.items)
    assert isinstance(logs, Logs)
    assert (logs.service, logs.since, logs.lines, logs.until) == ("historian", 3_600, 500, 1_795_419_379_050)
    assert isinstance(restart, Restart)
    assert restart.service == "historian"
    assert isinstance(bundle, Bundle)
    assert isinstance(reboot, Reboot)


def done_4() -> None:
    said = _done("done.json")
    assert (said.kind, said.outcome, said.code, said.offset) == ("logs", "done", "", -1_200)
    assert said.content is not None
    assert said.content.size == 8_123


def refused_4() -> None:
    said = _done("refused.json")
    assert (said.kind, said.outcome, said.code, said.begun) == ("reboot", "refused", "permit.no", 0)
    assert said.content is None


def report_4() -> None:
    said = _plain("report-full.json", Report, FOURTH)
    done, refused = (errand.verified(each, _key("device.pub", FOURTH)) for each in said.receipts)
    assert (done.errand, refused.outcome) == (said.events[-1].facts["errand"], "refused")
    assert done.head == digests.sha256_hex(canonical.dumps(msgspec.to_builtins(said.events[-1])))


OF_3: dict[str, Callable[[], None]] = {
    "answer.json": answer_3,
    "manifest.json": manifest_3,
    "orders.json": orders_3,
    "receipt.json": receipt_3,
    "report-full.json": report_3,
    "values.json": values_3,
}

OF_4: dict[str, Callable[[], None]] = {
    "done.json": done_4,
    "orders.json": orders_4,
    "refused.json": refused_4,
    "report-full.json": report_4,
}

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


@pytest.mark.parametrize("name", OF_3)
def test_a_message_of_capability_3_is_still_understood(name: str) -> None:
    OF_3[name]()


@pytest.mark.parametrize("name", OF_4)
def test_a_message_of_capability_4_is_still_understood(name: str) -> None:
    OF_4[name]()


def test_every_golden_message_is_read() -> None:
    for folder, readers in ((SECOND, READERS), (THIRD, OF_3), (FOURTH, OF_4)):
        assert {file.name for file in folder.iterdir()} - {"device.pub", "orders.pub"} == set(readers)
    assert {int(folder.name) for folder in GOLDEN.iterdir()} <= {step.capability for step in HISTORY}
