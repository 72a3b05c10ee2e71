# SPDX-License-Identifier: Apache-2.0
"""The pictures of the report are well-formed, stand alone, and draw what was signed and written."""

import xml.etree.ElementTree as ET
from datetime import UTC, datetime, timedelta
from pathlib import Path

from checkvalve.demo import pictures
from checkvalve.demo.fleet import Agent
from checkvalve.demo.rollouts import Member
from checkvalve.protocol.exchange import Event, State
from checkvalve.protocol.receipt import Receipt, Step

START = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)
FIRST = round(START.timestamp() * 1000)
GOOD = (State.OFFERED, State.SWITCHING, State.VERIFYING, State.COMMITTED)
BAD = (*GOOD[:3], State.ROLLING_BACK, State.ROLLED_BACK)


def _member(name: str, wave: int, states: tuple[State, ...], begins: int = 0) -> Member:
    steps = tuple(Step(state=state, at=FIRST + begins + 1000 * number) for number, state in enumerate(states))
    said = Receipt(
        device="d", attempt="a", release="", target="", outcome=states[-1], active="", steps=steps, services=(),
        at=FIRST, offset=None, journal="j", first=1, last=2, head="", agent="", engine="",
    )  # fmt: skip
    return Member(Agent(name, Path(name)), wave, states[-1].value, said)


def _texts(svg: str) -> list[str]:
    return [each.text or "" for each in ET.fromstring(svg).iter("text")]


def _rectangles(svg: str, kind: str) -> list[tuple[float, float]]:
    found = [each for each in ET.fromstring(svg).iter("rect") if each.get("class") == kind]
    return [(float(each.get("x", "0")), float(each.get("width", "0"))) for each in found]


def test_a_rollout_is_drawn_device_by_device_in_its_waves() -> None:
    svg = pictures.waves([_member("one", 0, GOOD), _member("<two>", 1, BAD, 4000)])
    texts = _texts(svg)
    assert [text for text in texts if text in ("canary", "wave 1", "one", "<two>")] == [
        "canary",
        "one",
        "wave 1",
        "<two>",
    ]
    assert ("committed" in texts, "rolled back" in texts) == (True, True)
    watched = sorted(_rectangles(svg, "watch"))[:2]
    assert watched[0][0] + watched[0][1] < watched[1][0]  # the second began after the first had ended
    assert "1 of 2 devices in 2 waves committed" in svg


def test_the_time_without_a_plane_lies_behind_what_devices_did_in_it() -> None:
    dark = (START + timedelta(seconds=2), START + timedelta(seconds=6))
    svg = pictures.waves([_member("one", 0, BAD)], dark)
    ((left, width),) = _rectangles(svg, "dark")
    back, _ = _rectangles(svg, "back")[0]
    assert left < back < left + width
    assert "no plane: 4.0 s" in _texts(svg)


def test_who_signed_nothing_is_not_drawn() -> None:
    assert "devices" in pictures.waves([Member(Agent("one", Path("one")), 0, "", None)])


def test_a_journal_is_drawn_line_by_line_with_the_cut() -> None:
    events = [
        Event(seq=1, at=FIRST, kind="state", state=State.SWITCHING),
        Event(seq=2, at=FIRST + 2500, kind="boot", state=State.SWITCHING),
        Event(seq=3, at=FIRST + 2600, kind="state", state=State.ROLLING_BACK, reason="It <restarted>."),
        Event(seq=4, at=FIRST + 3000, kind="state", state=State.ROLLED_BACK),
    ]
    texts = _texts(pictures.journal(events))
    assert [text for text in texts if text in ("switching", "boot", "rolling back", "rolled back")] == [
        "switching", "boot", "rolling back", "rolled back",
    ]  # fmt: skip
    assert "here the plug is pulled; 2.5 s to the next line" in texts
    assert "It <restarted>." in texts
    assert "12:00:02.500" in texts


def test_devices_stand_by_their_sites_with_what_they_run() -> None:
    texts = _texts(
        pictures.estate({"Visby & co": [("pump-1", "pump-station 1.1", "3 receipts signed"), ("p", "", "0")]})
    )
    assert texts == ["Visby & co", "pump-1", "pump-station 1.1", "3 receipts signed", "p", "nothing runs", "0"]
