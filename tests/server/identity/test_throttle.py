# SPDX-License-Identifier: Apache-2.0
"""The throttle: its table, and the laws that make it fair to the person and slow for the guesser."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkvalve.server.identity import throttle
from tests.conftest import NOON

SECOND = timedelta(seconds=1)
instants = st.integers(0, 1_200_000).map(lambda milliseconds: NOON - timedelta(milliseconds=milliseconds))
failures = st.lists(instants, max_size=40)


@pytest.mark.parametrize(
    ("count", "seconds"),
    [
        *((count, 0) for count in range(6)),
        (6, 1),
        (7, 2),
        (8, 4),
        (9, 8),
        (10, 16),
        (11, 32),
        (12, 64),
        (13, 128),
        (14, 256),
        (15, 300),
        (1000, 300),
    ],
)
def test_five_failures_are_free_and_each_further_one_doubles_the_wait(count: int, seconds: int) -> None:
    assert throttle.judge([NOON] * count, NOON) == seconds


def test_a_part_of_a_second_is_waited_whole() -> None:
    assert throttle.judge([NOON] * 7, NOON + timedelta(milliseconds=1)) == 2
    assert throttle.judge([NOON] * 7, NOON + timedelta(milliseconds=1001)) == 1
    assert throttle.judge([NOON] * 7, NOON + 2 * SECOND) == 0


def test_failures_are_forgotten_at_fifteen_minutes_and_not_before() -> None:
    old = [NOON - throttle.FORGOTTEN] * 99
    assert throttle.judge([*old, *[NOON] * 5], NOON) == 0
    almost = [NOON - throttle.FORGOTTEN + timedelta(milliseconds=1)] * 5
    assert throttle.judge([*almost, NOON], NOON) == 1


def test_failures_of_a_clock_that_was_set_back_do_not_count() -> None:
    assert throttle.judge([NOON + timedelta(days=400)] * 99, NOON) == 0


@given(failures)
def test_who_waits_the_told_time_is_let_in(had: list[datetime]) -> None:
    assert throttle.judge(had, NOON + throttle.judge(had, NOON) * SECOND) == 0


@given(failures, instants)
def test_one_more_failure_never_shortens_the_wait(had: list[datetime], another: datetime) -> None:
    assert throttle.judge([*had, another], NOON) >= throttle.judge(had, NOON)


@given(failures, st.timedeltas(timedelta(0), timedelta(minutes=20)))
def test_time_never_lengthens_the_wait(had: list[datetime], passed: timedelta) -> None:
    assert throttle.judge(had, NOON + passed) <= throttle.judge(had, NOON)


@given(st.lists(instants | instants.map(lambda at: at + timedelta(days=1)), max_size=40))
def test_nobody_waits_longer_than_five_minutes_whatever_the_clock_did(had: list[datetime]) -> None:
    assert 0 <= throttle.judge(had, NOON) <= throttle.LONGEST


@given(failures)
def test_the_newest_few_say_all(had: list[datetime]) -> None:
    newest = sorted(had)[-throttle.MOST :]
    assert throttle.judge(newest, NOON) == throttle.judge(had, NOON)


def test_who_guesses_as_fast_as_told_gets_about_a_thousand_tries_a_day() -> None:
    tries: list[datetime] = []
    now = NOON
    while now < NOON + timedelta(days=1):
        tries.append(now)
        now += max(throttle.judge(tries[-throttle.MOST :], now) * SECOND, timedelta(milliseconds=1))
    assert len(tries) < 1100


def test_failures_from_elsewhere_are_counted_apart() -> None:
    here = throttle.key("anna", "192.0.2.7")
    assert throttle.key("anna", "192.0.2.8") != here
    assert throttle.key("bo", "192.0.2.7") != here
    assert throttle.key(" ANNA ", "192.0.2.7") == here
    assert throttle.key("anna", "::ffff:192.0.2.7") == here


def test_a_network_of_ipv6_is_one_place() -> None:
    assert throttle.key("anna", "2001:db8::1") == throttle.key("anna", "2001:db8::ffff:1")
    assert throttle.key("anna", "2001:db8::1") != throttle.key("anna", "2001:db8:0:1::1")


@given(st.text(), st.text())
def test_any_text_gives_a_key_of_bounded_size(login: str, address: str) -> None:
    assert all(len(part) <= 64 for part in throttle.key(login, address))
