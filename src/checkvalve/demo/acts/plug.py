# SPDX-License-Identifier: Apache-2.0
"""Act: the plug is pulled on the plane while people work, and the record is compared with what they were told."""

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from checkvalve.demo.caller import Caller
from checkvalve.demo.facts import Fact
from checkvalve.demo.stage import Stage

TITLE = "The plug is pulled on the plane while people work"
ENOUGH = 200

Change = tuple[str, str]  # subject and the name it was given


def play(stage: Stage) -> list[Fact]:
    """Rename every place over and over, kill the plane, start it again, and compare."""
    admin = stage.caller("admin")
    places = [place for place in _all(admin, "/api/v1/scopes") if place["kind"] == "site"]
    told: list[Change] = []
    enough = threading.Event()
    with ThreadPoolExecutor(len(places)) as pool:
        for place in places:
            pool.submit(_work, admin, place, told, enough)
        enough.wait(60)
        stage.kill()
    seconds = stage.start()
    kept = [_change(entry) for entry in _all(admin, "/api/v1/audit", action="scope.rename")]
    lost = len(set(told) - set(kept))
    doubled = sum(count - 1 for count in Counter(kept).values())
    newest = dict(reversed(kept))
    now = {f"scope:{place['id']}": place["name"] for place in _all(admin, "/api/v1/scopes")}
    differing = sum(now[subject] != name for subject, name in newest.items())
    for place in places:
        admin.patch(f"/api/v1/scopes/{place['id']}", name=place["name"])
    return [
        Fact(
            "Whatever the plane acknowledged is there after a power cut, each with exactly one entry",
            f"{len(told)} acknowledged, {lost} lost, {doubled} doubled; {differing} of {len(newest)} places differ "
            f"from their last entry; back in {seconds:.1f} s",
            "0 lost, 0 doubled, 0 differ",
            "kill -9 the plane while you work, start it, compare",
            not lost and not doubled and not differing and len(told) >= ENOUGH and len(newest) == len(places),
        )
    ]


def _work(caller: Caller, place: dict[str, Any], told: list[Change], enough: threading.Event) -> None:
    # The plane dies in mid-answer by intent: what was not acknowledged is not counted.
    with contextlib.suppress(httpx.HTTPError):
        for number in range(10_000):
            name = f"{place['name']}, trial {number}"
            caller.patch(f"/api/v1/scopes/{place['id']}", name=name)
            told.append((f"scope:{place['id']}", name))
            if len(told) >= ENOUGH:
                enough.set()


def _change(entry: dict[str, Any]) -> Change:
    return entry["subject"], entry["facts"]["after"]["name"]


def _all(caller: Caller, path: str, **query: str) -> Iterator[dict[str, Any]]:
    page = caller.get(path, **query)
    while True:
        yield from page["items"]
        if not page["next"]:
            return
        page = caller.get(path, **query, before=page["next"])
