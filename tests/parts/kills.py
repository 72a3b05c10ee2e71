# SPDX-License-Identifier: Apache-2.0
"""The power is cut while people work; then what the plane acknowledged is compared with what it has."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx

from checkvalve.demo.caller import Caller
from tests.parts.plane import PlaneProcess

WORKERS = 4


@dataclass(frozen=True)
class Found:
    """What a round found; the three lists are to be empty."""

    acknowledged: int
    lost: list[str]
    without_entry: list[str]
    doubled: list[str]


def killed_after(plane: PlaneProcess, mark: str, count: int) -> Found:
    """Make places from several threads, kill the plane once `count` are acknowledged, start it again, compare."""
    admin = plane.caller()
    told: list[str] = []

    def work(worker: int) -> None:
        try:
            for number in range(10_000):
                name = f"{mark} {worker} {number}"
                made = admin.post("/api/v1/scopes", parent="/", kind="organisation", name=name)
                told.append(made["id"])
                if len(told) == count:
                    plane.kill()
        except httpx.HTTPError:
            pass  # the power went while it was asked: nothing was acknowledged

    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(work, range(WORKERS)))
    plane.start()
    fresh = plane.caller()
    rows = {item["id"] for item in fresh.get("/api/v1/scopes")["items"]}
    entries = Counter(
        item["subject"].removeprefix("scope:") for item in everything(fresh, "/api/v1/audit", "scope.create")
    )
    return Found(
        acknowledged=len(told),
        lost=sorted(set(told) - rows),
        without_entry=sorted(rows ^ set(entries)),
        doubled=sorted(row for row, times in entries.items() if times > 1),
    )


def everything(caller: Caller, path: str, action: str) -> Iterator[dict[str, Any]]:
    """Yield all entries of one action, page by page."""
    page = caller.get(path, action=action, limit=500)
    while True:
        yield from page["items"]
        if not page["next"]:
            return
        page = caller.get(path, action=action, limit=500, before=page["next"])
