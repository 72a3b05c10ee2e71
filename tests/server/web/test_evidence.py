# SPDX-License-Identifier: Apache-2.0
"""Files that back answers: what is too much, not what was said, or named to do harm leaves nothing behind."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from checkvalve.crypto.digests import sha256_hex
from checkvalve.server.scorecard.model import LARGEST
from checkvalve.server.tasks import sweep
from tests.server.web import gear, scored
from tests.server.web.plant import Plant, User

PDF = b"%PDF-1.7 ports"
OCTETS = {"content-type": "application/octet-stream"}


@pytest.fixture
def operator(plant: Plant) -> User:
    return plant.users["north", "operator"]


@pytest.fixture
def there(plant: Plant) -> str:
    return scored.opened(plant, gear.site(plant, plant.organisations["north"], "Visby")).id


def send(plant: Plant, user: User, there: str, data: object = PDF, head: object = None, **query: str) -> httpx.Response:
    async def go() -> httpx.Response:
        headers = {**user.headers, **OCTETS, **(head or {})}  # type: ignore[dict-item]
        async with plant.client(**headers) as client:
            asked = {"question": "PM1", "name": "ports.pdf", **query}
            return await client.post(f"/api/v1/assessments/{there}/files", content=data, params=asked)  # type: ignore[arg-type]

    return asyncio.run(go())


def fetch(plant: Plant, user: User, path: str) -> httpx.Response:
    async def go() -> httpx.Response:
        async with plant.client(**user.headers) as client:
            return await client.get(path)

    return asyncio.run(go())


def kept(plant: Plant, user: User, there: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = fetch(plant, user, f"/api/v1/assessments/{there}").json()["evidence"]
    return found


def test_a_file_is_kept_and_comes_back_byte_for_byte_as_an_attachment(plant: Plant, operator: User, there: str) -> None:
    digest = f"sha256:{sha256_hex(PDF)}"
    answer = send(plant, operator, there, digest=digest, owner="Rut", period_from="2026-01-01", expires="2027-01-01")
    assert answer.status_code == 201, answer.text
    (one,) = answer.json()["evidence"]
    assert (one["digest"], one["size"], one["state"], one["owner"]) == (digest, len(PDF), "held", "Rut")
    back = fetch(plant, operator, f"/api/v1/evidence/{one['id']}/content")
    assert back.content == PDF
    assert back.headers["content-type"] == "application/octet-stream"
    assert back.headers["content-disposition"].startswith('attachment; filename="ports.pdf"')
    assert back.headers["x-content-type-options"] == "nosniff"


def test_a_gigabyte_is_refused_before_a_byte_of_it_is_read(plant: Plant, operator: User, there: str) -> None:
    read = []

    async def watched() -> AsyncIterator[bytes]:
        read.append(True)
        yield b""

    async def go() -> httpx.Response:
        head = {**operator.headers, **OCTETS, "content-length": str(1 << 30)}
        async with plant.client(**head) as client:
            asked = {"question": "PM1", "name": "disk.img"}
            return await client.post(f"/api/v1/assessments/{there}/files", content=watched(), params=asked)

    refused = asyncio.run(go())
    assert (refused.status_code, refused.json()["code"]) == (422, "evidence.size")
    assert refused.headers["connection"] == "close"
    assert (read, kept(plant, operator, there)) == ([], [])


def test_a_file_that_lies_about_its_length_is_let_go_as_it_comes(plant: Plant, operator: User, there: str) -> None:
    came = 0

    async def much() -> AsyncIterator[bytes]:
        nonlocal came
        while came < 4 * LARGEST:
            came += 1 << 20
            yield bytes(1 << 20)

    refused = send(plant, operator, there, much())
    assert (refused.status_code, refused.json()["code"]) == (422, "evidence.size")
    assert kept(plant, operator, there) == []
    assert plant.plane.blobs.sweep((), plant.time.timestamp() * 2).count == 0


@pytest.mark.parametrize(
    ("data", "query", "code"),
    [
        (PDF, {"digest": "sha256:" + "0" * 64}, "evidence.digest"),
        (PDF, {"digest": "md5:abc"}, "evidence.digest"),
        (b"", {}, "evidence.size"),
        (PDF, {"name": "../.."}, "evidence.name"),
        (PDF, {"name": "a" * 201}, "evidence.name"),
        (PDF, {"name": "ports\u202efdp.exe"}, "evidence.name"),
        (PDF, {"question": "ZZ9"}, "scorecard.question"),
        (PDF, {"period_from": "2027-01-01", "period_to": "2026-01-01"}, "evidence.dates"),
    ],
)
def test_what_is_wrong_leaves_nothing_behind(
    plant: Plant, operator: User, there: str, data: bytes, query: dict[str, str], code: str
) -> None:
    refused = send(plant, operator, there, data, **query)
    assert (refused.status_code, refused.json()["code"]) in ((422, code), (404, code), (400, code)), refused.text
    assert kept(plant, operator, there) == []
    assert plant.plane.blobs.sweep((), plant.time.timestamp() * 2).count == 0


def test_hostile_names_are_harmless_in_headers_and_files(plant: Plant, operator: User, there: str) -> None:
    names = {
        "..\\..\\windows\\con.txt": "_con.txt",
        "/etc/passwd": "passwd",
        'a"; filename="b.html': "a__ filename=_b.html",
        "<img src=x>.html": "_img src=x_.html",
        "Überblick.pdf": "Überblick.pdf",
    }
    for name in names:
        assert send(plant, operator, there, name=name).status_code == 201, name
    found = kept(plant, operator, there)
    assert [one["name"] for one in found] == list(names.values())
    last = fetch(plant, operator, f"/api/v1/evidence/{found[-1]['id']}/content")
    assert last.headers["content-disposition"] == (
        "attachment; filename=\"_berblick.pdf\"; filename*=UTF-8''%C3%9Cberblick.pdf"
    )


def test_a_file_that_the_disk_lost_is_said_to_be_damaged_and_heals_when_it_is_added_again(
    plant: Plant, operator: User, there: str
) -> None:
    assert send(plant, operator, there).status_code == 201
    (one,) = kept(plant, operator, there)
    digest = one["digest"].removeprefix("sha256:")
    path = plant.plane.blobs._named / digest[:2] / digest[2:]
    path.write_bytes(b"%PDF-1.7 torts")
    refused = fetch(plant, operator, f"/api/v1/evidence/{one['id']}/content")
    assert (refused.status_code, refused.json()["code"]) == (409, "evidence.damaged")
    assert [each["state"] for each in kept(plant, operator, there)] == ["damaged"]
    assert send(plant, operator, there).status_code == 201
    assert fetch(plant, operator, f"/api/v1/evidence/{one['id']}/content").content == PDF


def test_a_disk_without_room_takes_no_evidence(
    plant: Plant, operator: User, there: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(plant.plane.blobs), "free", lambda _: 100 << 20)
    refused = send(plant, operator, there)
    assert (refused.status_code, refused.json()["code"]) == (503, "blobs.full")
    assert kept(plant, operator, there) == []


def test_the_sweep_spares_what_backs_an_answer(plant: Plant, operator: User, there: str) -> None:
    assert send(plant, operator, there).status_code == 201
    (one,) = kept(plant, operator, there)
    keep = plant.db.read_now("kept", sweep._kept, plant.time)
    assert one["digest"] in keep
    assert plant.plane.blobs.sweep(keep, plant.time.timestamp() * 2).count == 0


def test_a_link_has_no_content_here_and_says_where_it_is(plant: Plant, operator: User, there: str) -> None:
    linked = scored.backed(plant, there)
    refused = fetch(plant, operator, f"/api/v1/evidence/{linked.id}/content")
    assert (refused.status_code, refused.json()["code"]) == (409, "evidence.elsewhere")
    assert linked.link in refused.json()["remedy"]


def test_another_organisation_cannot_tell_whether_it_is_there(plant: Plant, there: str) -> None:
    ident, stranger = scored.filed(plant, there).id, plant.users["south", "operator"]
    assert fetch(plant, stranger, f"/api/v1/evidence/{ident}/content").status_code == 404
    assert send(plant, stranger, there).status_code == 404


def test_two_assessments_of_a_place_are_compared_with_the_one_before(plant: Plant, operator: User) -> None:
    site = gear.site(plant, plant.organisations["north"], "Luleå")
    first = scored.closed(plant, site, "2").id
    second = scored.closed(plant, site, "3").id
    found = fetch(plant, operator, f"/api/v1/assessments/{second}/comparison").json()
    assert (found["before"]["id"], found["after"]["id"]) == (first, second)
    assert {one["change"] for one in found["sections"]} == {5.0}
    assert {(one["before"], one["after"], one["change"]) for one in found["questions"]} == {("2", "3", 1.0)}
    alone = fetch(plant, operator, f"/api/v1/assessments/{first}/comparison")
    assert (alone.status_code, alone.json()["code"]) == (404, "assessment.alone")
    around = fetch(plant, operator, f"/api/v1/assessments/{first}/comparison?before={second}").json()
    assert {one["change"] for one in around["sections"]} == {-5.0}
