# SPDX-License-Identifier: Apache-2.0
"""What a terminal says of small orders: what they wait for, how they ended, what to do next; and hostile logs."""

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkvalve import lines
from checkvalve.cli import errands, output
from checkvalve.cli.commands import device_errand
from checkvalve.cli.failures import UsageError
from checkvalve.errors import ConflictError
from checkvalve.protocol import errands as forms
from checkvalve.protocol import fleet
from checkvalve.protocol.enrol import LinkClass
from checkvalve.protocol.exchange import State

NOW = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)
IDENT = "06e5q0kq3w8v9z2x4c6b8n0m1a"


def moment(minutes: float) -> str:
    return (NOW + timedelta(minutes=minutes)).isoformat()


def order(**more: Any) -> forms.Errand:  # noqa: ANN401 - of the order
    fields: dict[str, Any] = {
        "id": IDENT,
        "device": IDENT,
        "scope": "/",
        "kind": "restart",
        "service": "web",
        "since": 0,
        "lines": 0,
        "why": "It hangs.",
        "made_by": IDENT,
        "made_at": moment(-1),
        "until": moment(15),
        "state": "waiting",
        "given_at": None,
        "ended_at": None,
        "code": "",
        "reason": "",
        "content": None,
        "digest": "",
    }
    return forms.Errand(**fields | more)


def device(link: LinkClass, seen: float | None, liveness: str = "online") -> fleet.Device:
    return fleet.Device(
        id=IDENT,
        scope="/",
        name="pump-3",
        tags=[],
        trust="accepted",
        trust_reason="",
        liveness=liveness,
        link=link,
        seen_at=None if seen is None else moment(seen),
        state=State.IDLE,
        attempt="",
        active="",
        joined_at=moment(-999),
        held=[],
        window=None,
    )


@pytest.mark.parametrize(
    ("link", "seen", "liveness", "said"),
    [
        (LinkClass.REMOTE, -0.1, "online", "pump-3 holds its connection and hears of it at once."),
        (LinkClass.ASYNC, -3, "online", "Waits for the next visit of pump-3: about 12 min at its interval; "),
        (LinkClass.ASYNC, -16, "late", "Waits for the next visit of pump-3, which is due; "),
        (LinkClass.REMOTE, -180, "offline", "pump-3 is off line, last heard 3 h ago; "),
        (LinkClass.ASYNC, None, "never_seen", "pump-3 was never heard; "),
    ],
    ids=["linked", "visits", "due", "off line", "never heard"],
)
def test_what_it_waits_for_is_said_with_how_long_that_takes(
    link: LinkClass, seen: float | None, liveness: str, said: str
) -> None:
    told = errands.waits(order(), device(link, seen, liveness), 900, NOW)[1]
    assert told.startswith(said)
    assert told.endswith(" at once.") or "it may begin this until 2026-11-23 14:15Z." in told


def test_what_was_given_and_what_is_over_time_is_said_so() -> None:
    pump = device(LinkClass.REMOTE, 0)
    assert "was given it 30 s ago" in errands.waits(order(given_at=moment(-0.5)), pump, 60, NOW)[1]
    over = order(given_at=moment(-90), until=moment(-60))
    assert "may not be begun any more" in errands.waits(over, pump, 60, NOW)[1]


@pytest.mark.parametrize(
    ("state", "code", "said", "following"),
    [
        ("done", "", "pump-3: the restart of web is done: It runs again.", ""),
        ("refused", "hold.hung", "pump-3 refused the restart of web: It runs again. [hold.hung]", "device show pump-3"),
        ("refused", "permit.no", "pump-3 refused the restart of web", "at the line itself"),
        ("refused", "errand.late", "pump-3 refused the restart of web", "--within 12h"),
        ("refused", "odd.code", "pump-3 refused the restart of web", "device log pump-3"),
        ("failed", "restart.ended", "pump-3: the restart of web failed", "device log pump-3"),
        ("lost", "errand.lost", "Nothing was heard of the restart of web", "device show pump-3"),
        ("cancelled", "errand.cancelled", "The restart of web for pump-3 was cancelled", "Order it again"),
    ],
)
def test_how_it_ended_is_said_with_what_to_do_next(state: str, code: str, said: str, following: str) -> None:
    one = order(state=state, code=code, reason="It runs again.", ended_at=moment(0))
    assert errands.ended(one, "pump-3").startswith(said)
    assert following in " ".join(errands.following(one, "pump-3"))
    assert bool(errands.following(one, "pump-3")) == (state != "done")


def test_a_name_with_blanks_can_be_copied_into_the_command_that_is_proposed() -> None:
    (line,) = errands.following(order(state="failed", reason="No."), "pump 3")
    assert 'device show "pump 3"' in line


class Screen(io.StringIO):
    """Standard output, where somebody looks."""

    def isatty(self) -> bool:
        return True


@given(data=st.binary(max_size=300))
def test_no_logs_steer_a_terminal_and_all_lines_are_there(data: bytes) -> None:
    with pytest.MonkeyPatch.context() as here:
        screen = Screen()
        here.setattr("sys.stdout", screen)
        output.text(data)
    shown = screen.getvalue()
    assert all(lines.visible(each) for each in shown if each not in "\n\t")
    assert shown.count("\n") == data.decode(errors="replace").removesuffix("\n").count("\n") + 1


def test_logs_that_a_program_reads_are_as_the_device_sent_them(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    said = b"web | \x1b[31mhot\x1b[0m\r\nweb | \xff"
    output.text(said)
    assert capsysbinary.readouterr().out == said


@pytest.mark.parametrize("span", ["59", "0m", "8d", "soon"])
def test_how_long_it_may_be_begun_is_said_in_its_bounds(span: str) -> None:
    with pytest.raises(UsageError) as refused:
        device_errand._minutes(span)
    assert refused.value.code == "cli.time"
    assert [device_errand._minutes(each) for each in ("", "30m", "7d")] == [None, 30, 7 * 24 * 60]


def test_where_a_file_goes_is_judged_before_anything_is_ordered(tmp_path: Path) -> None:
    taken = tmp_path / "logs.txt"
    taken.touch()
    with pytest.raises(ConflictError) as there:
        device_errand._target(str(taken), no_wait=False)
    assert there.value.code == "file.exists"
    with pytest.raises(UsageError) as never:
        device_errand._target("new", no_wait=True)
    assert never.value.code == "cli.output"
