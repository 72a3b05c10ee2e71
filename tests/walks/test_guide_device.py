# SPDX-License-Identifier: Apache-2.0
"""The commands of the guide that are typed at a device, run in their order against an agent there."""

import asyncio
import re
from pathlib import Path

import pytest

from checkvalve.agent import main
from checkvalve.protocol.exchange import State
from tests.agent import small
from tests.agent.cabinet import opened
from tests.agent.device import Device, told
from tests.parts.guide import GUIDE, blocks, commands

pytestmark = pytest.mark.slow

ID = re.compile("[0-9a-z]{6,26}…?")
ASKS = ("doctor", "policy")  # they say by their exit code what they found


@pytest.mark.parametrize(("page", "least"), [("cabinet.md", 9), ("permits.md", 8)])
def test_what_the_guide_says_can_be_typed_at_a_device(
    page: str, least: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pages = list(commands(page, "checkvalve-agent"))
    assert len(pages) >= least
    (tmp_path / "line.json").write_text(blocks("permits.md", "json")[0])
    monkeypatch.chdir(tmp_path)

    @told
    async def play() -> None:
        device, hung = Device(), ""
        assert await device.deploy(small.quick(1)) is State.COMMITTED
        assert await device.deploy(small.quick(2)) is State.COMMITTED
        await device.settle()
        async with opened(device, tmp_path) as cabinet:
            for words in pages:
                said = _typed(words, hung, tmp_path)
                where = () if words[0] == "policy" else ("--socket-path", str(cabinet.path))
                code = await asyncio.to_thread(main.run, [*said, "--data", str(cabinet.data), *where])
                out, err = capsys.readouterr()
                assert code == 0 or (code == 1 and words[0] in ASKS and "[" not in err), (said, out, err)
                if words[0] == "hold":
                    hung = out.split()[-1]

    play()


def _typed(words: list[str], hung: str, folder: Path) -> list[str]:
    """Return a command of the guide with the tag that hangs, in this directory, and so that it ends."""
    said = [str(folder / Path(word).name) if word.startswith("/tmp/") else word for word in words]
    said = [word for word in said if word not in {"--follow", "--watch"}]
    if said[0] == "release-hold":
        said = [hung if ID.fullmatch(word) else word for word in said]
    if "--server" in said:  # no plane is there
        at = said.index("--server") + 1
        said[at] = "https://127.0.0.1:9"
    return [*said, "--yes"] if said == ["back"] else said


def test_every_policy_that_the_guide_shows_is_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pages = [page.name for page in GUIDE.glob("*.md")]
    shown = [each for page in pages for each in blocks(page, "json")]
    assert len(shown) >= 4
    for text in shown:
        (tmp_path / "line.json").write_text(text)
        assert main.run(["policy", "check", str(tmp_path / "line.json"), "--data", str(tmp_path)]) == 0, text
    assert "the command /usr/local/bin/line-stopped" in capsys.readouterr().out
