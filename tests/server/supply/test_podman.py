# SPDX-License-Identifier: Apache-2.0
"""What Podman cannot do is refused where the release is made, on its line."""

import pytest

from checkvalve.server.supply import podman
from checkvalve.server.supply.composed import Composed
from tests.server.supply.test_compose import PUMP_STATION, good

TEXT = """name: a
x-checkvalve: {version: '1', allow: [engine-socket]}
services:
  db:
    image: press:1
    tmpfs: ['/run:size=1m,uid=7,mode=1777', /tmp]
    volumes: ['data:/data', '/run/docker.sock:/run/docker.sock']
    healthcheck: {test: [CMD, a]}
    networks: [field]
networks:
  field:
    driver: ipvlan
    driver_opts: {parent: eth1}
volumes:
  data:
    x-checkvalve:
      policy: snapshot
"""


def judged(text: str) -> list[tuple[int, str]]:
    return [(one.line, one.path) for one in podman.problems(good(text), text.encode())]


def test_each_thing_that_podman_cannot_do_is_told_on_its_line() -> None:
    assert judged(TEXT) == [
        (6, "services.db.tmpfs"),
        (12, "networks.field.driver"),
        (17, "volumes.data.x-checkvalve.policy"),
    ]
    found = podman.problems(good(TEXT), TEXT.encode())
    assert all(one.code == "compose.podman" and one.sentence.endswith(".") and one.instead for one in found)
    assert "uid=7" in found[0].sentence


@pytest.mark.parametrize(("old", "new", "left"), [("snapshot", "keep", 2), ("ipvlan", "macvlan", 2), ("uid=7,", "", 2)])
def test_what_is_written_instead_is_taken(old: str, new: str, left: int) -> None:
    assert len(judged(TEXT.replace(old, new))) == left


def test_what_hangs_on_the_device_is_noted() -> None:
    found = " ".join(podman.notes(good(TEXT)))
    assert "systemd asks these healthchecks" in found
    assert "podman-docker: db." in found
    assert "a path of the device that is not there" in found


def test_a_line_is_found_in_a_whole_file() -> None:
    text = PUMP_STATION.read_text()
    composed = good(text)
    assert isinstance(composed, Composed)
    assert [text.splitlines()[one.line - 1].strip() for one in podman.problems(composed, text.encode())] == [
        line.strip() for line in text.splitlines() if "policy: snapshot" in line
    ]
