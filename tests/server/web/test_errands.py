# SPDX-License-Identifier: Apache-2.0
"""Small orders over HTTP: ordered, listed, cancelled, and what they brought read, by who may."""

import asyncio
import gzip
import zlib
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkvalve.errors import ConflictError, NotFoundError, UnavailableError
from checkvalve.protocol.errands import LARGEST_TEXT
from checkvalve.server.access.model import ROOT
from checkvalve.server.blobs.store import Blobs
from checkvalve.server.errands.model import Kind
from checkvalve.server.web import contents
from tests.server.web import gear, sent
from tests.server.web.plant import Plant, User


@pytest.fixture
def operator(plant: Plant) -> User:
    return plant.users["north", "operator"]


@pytest.fixture
def pump(plant: Plant) -> str:
    return sent.able(plant, plant.organisations["north"]).id


def _send(plant: Plant, user: User | dict[str, str], method: str, path: str, body: object = None) -> httpx.Response:
    async def send() -> httpx.Response:
        async with plant.client(**(user.headers if isinstance(user, User) else user)) as client:
            return await client.request(method, f"/api/v1/{path}", json=body)

    return asyncio.run(send())


def _ids(plant: Plant, user: User, query: str = "") -> list[str]:
    return [one["id"] for one in _send(plant, user, "GET", f"errands?{query}").json()["items"]]


def _code(found: httpx.Response) -> tuple[int, str]:
    return found.status_code, found.json()["code"]


def test_what_is_ordered_waits_for_its_device_and_the_same_again_is_the_same(
    plant: Plant, operator: User, pump: str
) -> None:
    asked = {"kind": "logs", "service": "web", "since": 3600, "lines": 50, "minutes": 30}
    made = _send(plant, operator, "POST", f"devices/{pump}/errands", asked)
    assert made.status_code == 201
    one: dict[str, Any] = made.json()
    assert {name: one[name] for name in ("kind", "service", "since", "lines", "device", "state")} == {
        **{name: asked[name] for name in ("kind", "service", "since", "lines")},
        "device": pump,
        "state": "waiting",
    }
    assert (one["made_by"], one["given_at"], one["content"], one["digest"]) == (operator.person.id, None, None, "")
    assert one["until"] > one["made_at"]
    again = _send(plant, operator, "POST", f"devices/{pump}/errands", asked)
    assert again.json() == one
    assert _send(plant, operator, "GET", f"errands/{one['id']}").json() == one
    (entry, *_) = plant.entries(1)
    assert (entry.action, entry.subject) == ("errand.order", f"errand:{one['id']}")


def test_a_list_is_of_one_device_in_some_states_and_goes_on(plant: Plant, operator: User, pump: str) -> None:
    other = sent.able(plant, plant.organisations["north"]).id
    waiting, done = sent.order(plant, pump, lines=1), sent.fetched(plant, pump)
    elsewhere = sent.order(plant, other)
    assert _ids(plant, operator) == [elsewhere.id, done.id, waiting.id]
    assert _ids(plant, operator, f"device={pump}") == [done.id, waiting.id]
    assert _ids(plant, operator, f"device={pump}&state=done") == [done.id]
    assert _ids(plant, operator, "state=waiting&state=lost") == [elsewhere.id, waiting.id]
    first = _send(plant, operator, "GET", "errands?limit=1").json()
    assert _ids(plant, operator, f"before={first['next']}") == [done.id, waiting.id]
    assert _ids(plant, operator, "device=nonsense") == []
    assert _ids(plant, operator, f"scope={plant.organisations['south']}") == []


def test_one_that_waits_is_cancelled_once_and_says_if_the_device_has_it(
    plant: Plant, operator: User, pump: str
) -> None:
    errand = sent.order(plant, pump)
    sent.given(plant, errand)
    cancelled = _send(plant, operator, "POST", f"errands/{errand.id}/cancel", {"why": "Not needed."}).json()
    assert cancelled["state"] == "cancelled"
    assert cancelled["given_at"] is not None
    assert cancelled["reason"].startswith("Not needed.")
    again = _send(plant, operator, "POST", f"errands/{errand.id}/cancel", {})
    assert _code(again) == (409, "errand.ended")


WRONG: list[tuple[dict[str, Any], tuple[int, str]]] = [
    ({"kind": "shell"}, (400, "request.invalid")),
    ({"kind": "logs", "lines": 0}, (400, "request.invalid")),
    ({"kind": "logs", "script": "rm"}, (400, "request.invalid")),
    ({"kind": "logs", "minutes": 8 * 24 * 60}, (400, "request.invalid")),
    ({"kind": "restart", "service": "web"}, (422, "errand.why")),
    ({"kind": "restart", "why": "It hangs."}, (422, "errand.service")),
    ({"kind": "reboot", "service": "web", "why": "It hangs."}, (422, "errand.service")),
]


def test_what_is_no_small_order_is_refused_and_nothing_waits(plant: Plant, operator: User, pump: str) -> None:
    for asked, answer in WRONG:
        assert _code(_send(plant, operator, "POST", f"devices/{pump}/errands", asked)) == answer, asked
    assert _ids(plant, operator) == []


def test_a_device_that_is_held_or_too_old_says_why_it_is_ordered_nothing(
    plant: Plant, operator: User, pump: str
) -> None:
    old = gear.device(plant, plant.organisations["north"]).id
    assert _code(_send(plant, operator, "POST", f"devices/{old}/errands", {"kind": "logs"})) == (409, "errand.agent")
    gear.hold(plant, device=pump, name="Gun Berg")
    asked = {"kind": "reboot", "why": "It hangs."}
    refused = _send(plant, operator, "POST", f"devices/{pump}/errands", asked)
    assert _code(refused) == (409, "errand.held")
    assert "Gun Berg" in refused.json()["detail"]
    assert _send(plant, operator, "POST", f"devices/{pump}/errands", {"kind": "bundle"}).status_code == 201


def test_the_right_goes_by_what_is_ordered_and_by_what_is_cancelled(plant: Plant, operator: User, pump: str) -> None:
    def bearer(*permissions: str) -> dict[str, str]:
        return {"authorization": f"Bearer {plant.token(operator.person, ROOT, *permissions)}"}

    looks, stops = bearer("device.read", "device.logs"), bearer("device.read", "device.restart")
    logs, restart = {"kind": "logs"}, {"kind": "restart", "service": "web", "why": "It hangs."}
    for who, may, may_not in ((looks, logs, restart), (stops, restart, logs)):
        refused = _send(plant, who, "POST", f"devices/{pump}/errands", may_not)
        assert _code(refused) == (403, "access.denied")
        assert _send(plant, who, "POST", f"devices/{pump}/errands", may).status_code == 201
    ids = {kind: ident for ident, kind in zip(_ids(plant, operator), ("restart", "logs"), strict=True)}
    for who, own, other in ((looks, "logs", "restart"), (stops, "restart", "logs")):
        assert _code(_send(plant, who, "POST", f"errands/{ids[other]}/cancel", {})) == (403, "access.denied")
        assert _send(plant, who, "POST", f"errands/{ids[own]}/cancel", {}).status_code == 200


def test_logs_are_read_as_text_and_a_bundle_as_the_file_it_is(plant: Plant, operator: User, pump: str) -> None:
    logs = sent.fetched(plant, pump, sent.TEXT * 50_000)
    read = _send(plant, operator, "GET", f"errands/{logs.id}/content")
    assert (read.status_code, read.content) == (200, sent.TEXT * 50_000)
    assert read.headers["content-type"] == "text/plain; charset=utf-8"
    assert read.headers["content-length"] == str(len(read.content))
    assert read.headers["content-disposition"] == f'attachment; filename="logs-{logs.id}.txt"'
    bundle = sent.fetched(plant, pump, gzip.compress(b"a tar"), Kind.BUNDLE)
    read = _send(plant, operator, "GET", f"errands/{bundle.id}/content")
    assert (read.status_code, gzip.decompress(read.content)) == (200, b"a tar")
    assert read.headers["content-type"] == "application/gzip"
    assert read.headers["content-disposition"] == f'attachment; filename="bundle-{bundle.id}.tar.gz"'
    assert read.headers["x-content-type-options"] == "nosniff"
    told = _send(plant, operator, "GET", f"errands/{bundle.id}").json()["content"]
    assert (told["digest"], told["size"]) == (bundle.content, len(read.content))
    assert told["until"] > bundle.until.isoformat()


def test_who_may_see_that_logs_were_fetched_may_not_read_them_for_that(plant: Plant, pump: str) -> None:
    logs = sent.fetched(plant, pump)
    viewer = plant.users["north", "viewer"]
    assert _send(plant, viewer, "GET", f"errands/{logs.id}").json()["content"]["size"] == logs.size
    assert _code(_send(plant, viewer, "GET", f"errands/{logs.id}/content")) == (403, "access.denied")
    elsewhere = gear.site(plant, plant.organisations["north"])
    plant.bind(viewer.person, "operator", elsewhere)  # the right there is none here
    assert _code(_send(plant, viewer, "GET", f"errands/{logs.id}/content")) == (403, "access.denied")
    stranger = plant.users["south", "operator"]
    assert _code(_send(plant, stranger, "GET", f"errands/{logs.id}/content")) == (404, "errand.not_found")


def test_a_file_that_is_not_there_is_said_to_be_missing_and_why(plant: Plant, operator: User, pump: str) -> None:
    def said(ident: str, who: User = operator) -> str:
        answer = _send(plant, who, "GET", f"errands/{ident}/content")
        assert _code(answer) == (404, "errand.no_content")
        return str(answer.json()["detail"])

    waiting = sent.order(plant, pump, lines=1)
    sent.brings(plant, waiting, gzip.compress(b"not signed yet"))
    assert "nothing yet" in said(waiting.id)
    assert "no file" in said(sent.ends(plant, sent.order(plant, pump, Kind.REBOOT)).id)
    refused = sent.order(plant, pump, lines=2)
    assert "without a file" in said(sent.ends(plant, refused, "refused", code="disk.full", reason="No room.").id)
    old = sent.fetched(plant, pump)
    plant.later(days=30)
    operator = plant.sign_in(operator.person)
    assert "30 days" in said(old.id, operator)
    assert _code(_send(plant, operator, "GET", "errands/nonsense/content")) == (404, "errand.not_found")


# What a hostile device packs


@pytest.fixture(scope="module")
def blobs(tmp_path_factory: pytest.TempPathFactory) -> Blobs:
    return Blobs(tmp_path_factory.mktemp("blobs"))


@given(text=st.binary(max_size=2_000), times=st.integers(min_value=1, max_value=400), level=st.integers(0, 9))
def test_what_was_packed_is_read_as_it_was(blobs: Blobs, text: bytes, times: int, level: int) -> None:
    digest = blobs.put(gzip.compress(text * times, level)).digest
    assert contents.size(blobs, digest, unpacked=True) == len(text * times)
    assert b"".join(contents.read(blobs, digest, unpacked=True)) == text * times


@given(cut=st.integers(min_value=0, max_value=60), more=st.binary(max_size=30))
def test_what_is_cut_or_goes_on_is_refused_before_a_byte_is_answered(blobs: Blobs, cut: int, more: bytes) -> None:
    whole = gzip.compress(b"web | ready\n" * 9)
    wrong = whole[: max(0, len(whole) - cut)] + more
    if wrong == whole:
        return
    with pytest.raises(ConflictError) as refused:
        contents.size(blobs, blobs.put(wrong).digest, unpacked=True)
    assert refused.value.code == "errand.packing"


def test_a_small_file_that_unpacks_to_a_disk_full_is_refused(blobs: Blobs) -> None:
    pack = zlib.compressobj(9, wbits=16 + zlib.MAX_WBITS)
    zeros = bytes(1 << 20)
    bomb = b"".join(pack.compress(zeros) for _ in range((LARGEST_TEXT >> 20) + 1)) + pack.flush()
    with pytest.raises(ConflictError, match=r"errand\.packing.*64 MiB"):
        contents.size(blobs, blobs.put(bomb).digest, unpacked=True)


def test_a_file_that_was_damaged_on_the_planes_disk_is_said_to_be_so(blobs: Blobs) -> None:
    digest = blobs.put(gzip.compress(b"seen by nobody")).digest
    with pytest.raises(NotFoundError):
        contents.size(blobs, "sha256:" + "0" * 64, unpacked=True)
    with blobs.open(digest) as file:
        path = Path(file.name)
    path.write_bytes(b"something else")
    for _ in range(2):
        with pytest.raises((UnavailableError, NotFoundError)):
            contents.size(blobs, digest, unpacked=False)
