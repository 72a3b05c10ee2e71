# SPDX-License-Identifier: Apache-2.0
"""Archives as bodies: taken as they come, refused as early as can be, and nothing left of what was broken off."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from checkvalve.canonical import Json
from checkvalve.server.audit.model import Kind
from checkvalve.server.web import imports
from tests.server.web import goods
from tests.server.web.plant import Plant, User

TAR = {"content-type": "application/x-tar"}
PATH = "/api/v1/images"
MEGABYTE = 1 << 20


def _manager(plant: Plant) -> User:
    return plant.users["north", "release-manager"]


async def _upload(
    plant: Plant, content: bytes | AsyncIterator[bytes], user: User | None = None, of: str = "north", **headers: str
) -> httpx.Response:
    said = {
        **(user or _manager(plant)).headers,
        **TAR,
        **{key.replace("_", "-"): each for key, each in headers.items()},
    }
    async with plant.client(**said) as client:
        return await client.post(PATH, params={"scope": plant.organisations[of]}, content=content)


def _send(
    plant: Plant, content: bytes | AsyncIterator[bytes], user: User | None = None, of: str = "north", **headers: str
) -> httpx.Response:
    return asyncio.run(_upload(plant, content, user, of, **headers))


def _ask(plant: Plant, method: str, path: str, user: User | None = None, **more: Any) -> httpx.Response:  # noqa: ANN401
    async def send() -> httpx.Response:
        async with plant.client(**(user or _manager(plant)).headers) as client:
            return await client.request(method, path, **more)

    return asyncio.run(send())


def _code(answer: httpx.Response) -> tuple[int, Json]:
    return answer.status_code, answer.json()["code"]


def _images(plant: Plant) -> list[Json]:
    found: list[Json] = _ask(plant, "GET", PATH).json()["items"]
    return found


def _left(plant: Plant) -> list[Path]:
    return list((plant.directory / "blobs" / "incoming").iterdir())


class Counted:
    """A body that is `size` bytes long and says how many of them were taken."""

    def __init__(self, size: int) -> None:
        self.size, self.taken = size, 0

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._pieces()

    async def _pieces(self) -> AsyncIterator[bytes]:
        while self.taken < self.size:
            self.taken += 1 << 16
            yield bytes(1 << 16)


def test_an_archive_becomes_images_and_one_entry(plant: Plant) -> None:
    answer = _send(plant, goods.archive("docker.io/library/historian:2.4"))
    assert answer.status_code == 201, answer.text
    said = answer.json()
    (image,) = said["images"]
    assert (image["names"], image["scope"]) == (["historian:2.4"], plant.organisations["north"])
    assert (said["added"], said["known"], said["skipped"]) == (image["size"], 0, [])
    assert plant.plane.blobs.has(image["config"])
    assert plant.plane.blobs.has(image["manifest"])
    assert _left(plant) == []
    entry = plant.entries(1)[0]
    assert (entry.kind, entry.action, entry.scope) == (Kind.OUTCOME, "image.import", image["scope"])
    assert entry.request == answer.headers["x-request-id"]
    assert _images(plant) == [image]
    assert _ask(plant, "GET", f"{PATH}/{image['id']}").json() == image


def test_an_archive_that_comes_twice_adds_nothing(plant: Plant) -> None:
    first, again = (_send(plant, goods.archive()).json() for _ in range(2))
    assert again["images"][0]["id"] == first["images"][0]["id"]
    assert (again["added"], again["known"]) == (0, first["added"])


def test_an_import_does_not_tell_what_another_organisation_has(plant: Plant) -> None:
    sealed, south = goods.archive(), plant.users["south", "release-manager"]
    first = _send(plant, sealed).json()
    again = _send(plant, sealed, south, of="south").json()
    assert (again["added"], again["known"]) == (first["added"], first["known"]) == (first["images"][0]["size"], 0)


def test_an_image_that_is_removed_is_gone_and_can_come_again(plant: Plant) -> None:
    first = _send(plant, goods.archive()).json()["images"][0]
    assert _ask(plant, "DELETE", f"{PATH}/{first['id']}").json() == first
    assert _code(_ask(plant, "GET", f"{PATH}/{first['id']}")) == (404, "image.not_found")
    assert _send(plant, goods.archive()).json()["images"][0]["id"] != first["id"]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "archive.empty"),
        (b"this is no archive", "archive.form"),
        (bytes(10_240), "archive.empty"),
        (goods.archive()[:3_000], "archive.truncated"),
    ],
)
def test_what_is_no_archive_is_refused_recorded_and_gone(plant: Plant, content: bytes, code: str) -> None:
    assert _code(_send(plant, content)) == (422, code)
    entry = plant.entries(1)[0]
    assert (entry.kind, entry.action, entry.facts["code"]) == (Kind.REFUSED, "image.import", code)
    assert _left(plant) == []
    assert _images(plant) == []


@pytest.mark.parametrize(
    ("who", "expected"), [(("north", "viewer"), (403, "access.denied")), (("south", "release-manager"), (404, None))]
)
def test_who_may_not_import_is_told_before_a_byte_is_read(
    plant: Plant, who: tuple[str, str], expected: tuple[int, str | None]
) -> None:
    body = Counted(MEGABYTE)
    answer = _send(plant, aiter(body), plant.users[who])
    assert (answer.status_code, answer.json()["code"]) == (expected[0], expected[1] or "scope.not_found")
    assert body.taken == 0
    assert answer.headers["connection"] == "close"
    assert plant.entries(1)[0].kind == Kind.REFUSED


def test_an_import_from_another_sites_page_is_refused_before_a_byte_is_read(plant: Plant) -> None:
    user, body = _manager(plant), Counted(MEGABYTE)
    assert _code(_send(plant, aiter(body), user, x_csrf_token="")) == (403, "csrf.token")
    assert _code(_send(plant, aiter(body), user, origin="https://evil.test")) == (403, "csrf.origin")
    for kind in ("application/x-www-form-urlencoded", "multipart/form-data", "text/plain", "", "application/json"):
        assert _code(_send(plant, aiter(body), user, content_type=kind)) == (415, "request.media_type"), kind
    assert body.taken == 0


def test_an_archive_is_read_where_it_is_imported_and_nowhere_else(plant: Plant) -> None:
    answer = _ask(plant, "POST", "/api/v1/releases", content=goods.archive(), headers=TAR)
    assert _code(answer) == (415, "request.media_type")


def test_a_scope_must_be_named(plant: Plant) -> None:
    assert _code(_ask(plant, "POST", PATH, content=goods.archive(), headers=TAR)) == (400, "request.invalid")


def test_an_archive_that_says_it_is_too_large_is_refused_before_a_byte_is_read(plant: Plant) -> None:
    plant.plane.imports.largest = MEGABYTE
    body = Counted(2 * MEGABYTE)
    assert _code(_send(plant, aiter(body), content_length=str(body.size))) == (422, "archive.size")
    assert body.taken == 0


@pytest.mark.parametrize("said", ["", "1000"])
def test_an_archive_that_grows_too_large_is_read_no_further(plant: Plant, said: str) -> None:
    plant.plane.imports.largest = 3 * MEGABYTE
    body = Counted(100 * MEGABYTE)
    headers = {"content_length": said} if said else {}
    answer = _send(plant, aiter(body), None, **headers)
    assert _code(answer) == (422, "archive.size")
    assert str(3 * MEGABYTE) in answer.json()["detail"]
    assert body.taken <= 3 * MEGABYTE + (1 << 17)
    assert plant.entries(1)[0].facts["code"] == "archive.size"
    assert _left(plant) == []


def test_a_disk_without_room_is_told_with_its_numbers_before_a_byte_is_read(plant: Plant) -> None:
    plant.plane.imports.largest = 1 << 60
    body, size = Counted(MEGABYTE), 1 << 50
    answer = _send(plant, aiter(body), content_length=str(size))
    assert _code(answer) == (503, "blobs.full")
    facts = answer.json()["facts"]
    assert facts["needed"] == 2 * size + imports.SPARE
    assert str(facts["free"]) in answer.json()["detail"]
    assert answer.headers["retry-after"] == "5"
    assert body.taken == 0


def test_two_archives_at_a_time_and_everybody_else_is_served_meanwhile(plant: Plant) -> None:
    async def story() -> None:
        go, began = asyncio.Event(), asyncio.Semaphore(0)

        async def held() -> AsyncIterator[bytes]:
            data = goods.archive()
            yield data[:1000]
            began.release()
            await go.wait()
            yield data[1000:]

        two = [asyncio.create_task(_upload(plant, held())) for _ in range(imports.MOST)]
        for _ in two:
            await began.acquire()
        third = await _upload(plant, goods.archive())
        assert _code(third) == (503, "image.busy")
        assert third.headers["retry-after"] == "5"
        async with plant.client(**_manager(plant).headers) as client:
            assert (await client.get("/api/v1/me")).status_code == 200
        go.set()
        assert [(await each).status_code for each in two] == [201, 201]
        assert (await _upload(plant, goods.archive())).status_code == 201

    asyncio.run(story())


def test_an_archive_that_stalls_is_given_up_and_its_place_is_free(plant: Plant) -> None:
    plant.plane.imports.silence = 0.02

    async def silent() -> AsyncIterator[bytes]:
        yield goods.archive()[:1000]
        await asyncio.Event().wait()

    for _ in range(imports.MOST + 1):
        assert _code(_send(plant, silent())) == (422, "archive.slow")
    assert _left(plant) == []
    plant.plane.imports.silence = imports.SILENCE
    assert _send(plant, goods.archive()).status_code == 201


def test_a_client_that_goes_away_leaves_nothing_but_an_entry(plant: Plant) -> None:
    user, sent = _manager(plant), iter([True, False])
    query = httpx.QueryParams(scope=plant.organisations["north"])
    headers = {**user.headers, **TAR, "host": "plane.test:9443", "content-length": "100000"}

    async def receive() -> dict[str, Any]:
        if next(sent):
            return {"type": "http.request", "body": goods.archive()[:1000], "more_body": True}
        return {"type": "http.disconnect"}

    async def send(_: Any) -> None:  # noqa: ANN401 - nobody listens any more
        return

    scope: Any = {
        "type": "http",
        "method": "POST",
        "path": PATH,
        "raw_path": PATH.encode(),
        "query_string": str(query).encode(),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "client": ("192.0.2.7", 40_000),
        "server": ("plane.test", 9443),
        "scheme": "https",
        "http_version": "1.1",
        "asgi": {"version": "3.0"},
        "root_path": "",
        "extensions": {},
    }
    asyncio.run(plant.door(scope, receive, send))  # type: ignore[arg-type]
    entry = plant.entries(1)[0]
    assert (entry.kind, entry.facts["code"]) == (Kind.REFUSED, "archive.broken_off")
    assert _left(plant) == []
    assert _images(plant) == []


def test_a_right_that_ends_while_the_archive_comes_is_not_used(plant: Plant) -> None:
    person = plant.person(plant.organisations["north"])
    binding = plant.bind(person, "release-manager", plant.organisations["north"])
    user = plant.sign_in(person)

    async def taken_away() -> AsyncIterator[bytes]:
        data = goods.archive()
        yield data[:1000]
        await asyncio.to_thread(plant.unbind, binding)
        yield data[1000:]

    assert _send(plant, taken_away(), user).status_code in {403, 404}
    assert _images(plant) == []
    assert plant.entries(1)[0].kind == Kind.REFUSED


def test_lists_of_images_come_in_stretches_and_by_name(plant: Plant) -> None:
    made = [goods.image(plant, plant.organisations["north"], f"pump:{number}").id for number in range(3)]
    goods.image(plant, plant.organisations["south"], "pump:0")
    first = _ask(plant, "GET", f"{PATH}?limit=2").json()
    rest = _ask(plant, "GET", f"{PATH}?limit=2&before={first['next']}").json()
    assert [one["id"] for one in [*first["items"], *rest["items"]]] == made[::-1]
    assert rest["next"] is None
    assert [one["id"] for one in _ask(plant, "GET", f"{PATH}?name=pump:1").json()["items"]] == [made[1]]
