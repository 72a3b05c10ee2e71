# SPDX-License-Identifier: Apache-2.0
"""The machine itself, as far as a test may go: the programs that start it anew are of the test's own."""

from pathlib import Path

import pytest

from checkvalve.agent.host import real
from checkvalve.agent.host.real import Real
from checkvalve.errors import UnavailableError
from tests.agent.device import told


def _program(root: Path, path: str, text: str) -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)


@told
async def test_systemd_is_asked_where_it_runs_and_reboot_where_it_does_not(tmp_path: Path) -> None:
    _program(tmp_path, "sbin/reboot", f'echo "reboot $*" > {tmp_path}/said')
    assert Real(tmp_path, user=1000).unable().startswith("This agent may not start the machine anew")
    host = Real(tmp_path, user=0)
    assert host.unable() == ""
    await host.reboot()
    assert (tmp_path / "said").read_text() == "reboot \n"

    _program(tmp_path, "usr/bin/systemctl", f'echo "systemctl $*; $(env | grep -c HOME)" > {tmp_path}/said')
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    host = Real(tmp_path, user=1000)
    assert host.unable() == ""
    await host.reboot()
    assert (tmp_path / "said").read_text() == "systemctl --no-ask-password reboot; 0\n"


@told
async def test_an_agent_in_a_container_says_that_it_cannot_and_one_that_is_refused_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _program(tmp_path, "sbin/reboot", "echo Interactive authentication required. >&2; exit 1")
    with pytest.raises(UnavailableError, match=r"ended with 1: Interactive authentication required\.$") as caught:
        await Real(tmp_path, user=0).reboot()
    assert caught.value.code == "reboot.failed"
    _program(tmp_path, "sbin/reboot", "exec sleep 60")
    monkeypatch.setattr(real, "PATIENCE", 0.1)
    with pytest.raises(UnavailableError, match=r"did not end within"):
        await Real(tmp_path, user=0).reboot()
    (tmp_path / ".dockerenv").touch()
    assert Real(tmp_path, user=0).unable().startswith("The agent runs in a container here")
    with pytest.raises(UnavailableError, match="may not start"):
        await Real(tmp_path / "nowhere", user=0).reboot()
