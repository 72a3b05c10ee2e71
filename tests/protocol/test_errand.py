# SPDX-License-Identifier: Apache-2.0
"""What is said of an errand: one sequence of bytes, signed as itself, with a bound."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from checkvalve import canonical
from checkvalve.crypto import envelope, keys
from checkvalve.errors import InvalidError
from checkvalve.protocol import errand, exchange, receipt
from checkvalve.protocol.errand import LARGEST_CONTENT, LONGEST, MOST_LINES, Content, Done

KEY = keys.make()
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=60)
COUNTS = st.integers(0, 2**53 - 1)
CONTENTS = st.builds(Content, digest=st.just("sha256:" + "a" * 64), size=st.integers(0, LARGEST_CONTENT))
WORDS = st.builds(
    Done,
    device=TEXTS,
    errand=TEXTS,
    kind=st.sampled_from(["logs", "restart", "bundle", "reboot"]),
    outcome=st.sampled_from(["done", "refused", "failed"]),
    code=TEXTS,
    reason=TEXTS,
    begun=COUNTS,
    at=COUNTS,
    offset=st.none() | st.integers(-(2**53) + 1, 2**53 - 1),
    content=st.none() | CONTENTS,
    journal=TEXTS,
    seq=COUNTS,
    head=st.just("b" * 64),
    agent=TEXTS,
    v=st.just(1),
)
SAID = Done(device="d", errand="e", kind="reboot", outcome="done", at=2, journal="j", seq=1, head="", agent="1")


@given(WORDS)
def test_what_is_said_is_read_back_from_its_one_form(said: Done) -> None:
    data = errand.write(said)
    assert errand.read(data) == said
    with pytest.raises(InvalidError, match="canonical"):
        errand.read(data.replace(b":", b": ", 1))


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"outcome": "lost"}, "errand.form"),
        ({"kind": "script"}, "errand.form"),
        ({"more": 1}, "errand.form"),
        ({"v": 2}, "errand.form"),
        ({"at": -1}, "errand.form"),
        ({"content": {"digest": "", "size": LARGEST_CONTENT + 1}}, "errand.form"),
        ({"reason": "x" * 20_000}, "errand.size"),
    ],
    ids=["outcome", "kind", "field", "version", "time", "content", "size"],
)
def test_anything_else_is_refused(changed: dict[str, Any], code: str) -> None:
    plain = {**msgspec.to_builtins(SAID), **changed}
    with pytest.raises(InvalidError) as caught:
        errand.read(canonical.dumps(plain))
    assert caught.value.code == code


def test_it_is_signed_as_itself_and_by_its_device() -> None:
    sealed = envelope.seal(KEY, errand.ERRAND, errand.write(SAID))
    assert errand.verified(sealed, KEY.public_key()) == SAID
    for strange, code in (
        (structs.replace(sealed, payload_type=receipt.RECEIPT), "envelope.kind"),
        (envelope.seal(KEY, receipt.RECEIPT, sealed.payload), "envelope.kind"),
        (structs.replace(sealed, payload=errand.write(structs.replace(SAID, at=3))), "envelope.signature"),
        (envelope.seal(keys.make(), errand.ERRAND, sealed.payload), "envelope.signature"),
    ):
        with pytest.raises(InvalidError) as caught:
            errand.verified(strange, KEY.public_key())
        assert caught.value.code == code


@pytest.mark.parametrize(
    ("item", "kind"),
    [
        ({"kind": "logs", "id": "e", "until": 1}, errand.Logs),
        ({"kind": "logs", "id": "e", "until": 1, "lines": MOST_LINES + 1}, None),
        ({"kind": "logs", "id": "e", "until": 1, "since": LONGEST + 1}, None),
        ({"kind": "restart", "id": "e", "until": 1, "service": "web"}, errand.Restart),
        ({"kind": "restart", "id": "e", "until": 1, "service": ""}, None),
        ({"kind": "restart", "id": "e", "until": 1}, None),
        ({"kind": "bundle", "id": "e", "until": 1}, errand.Bundle),
        ({"kind": "reboot", "id": "e", "until": 1}, errand.Reboot),
        ({"kind": "reboot", "id": "e"}, None),
        ({"kind": "reboot", "id": "e", "until": 1, "script": "rm -rf /"}, None),
    ],
    ids=["logs", "lines", "since", "restart", "nothing", "no-service", "bundle", "reboot", "no-end", "script"],
)
def test_an_item_of_orders_is_one_of_four_things_and_takes_nothing_more(
    item: dict[str, Any], kind: type[errand.Item] | None
) -> None:
    raw = msgspec.Raw(json.dumps(item).encode())
    if kind is None:
        with pytest.raises(InvalidError) as caught:
            exchange.item(raw)
        assert caught.value.code == "orders.form"
    else:
        assert isinstance(exchange.item(raw), kind)
