# SPDX-License-Identifier: Apache-2.0
"""A support bundle helps, and holds nothing that should not leave the device."""

import base64
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checkvalve.agent import bundle
from checkvalve.agent.cabinet.asked import Bundle
from checkvalve.agent.engine.simulated import Simulated
from checkvalve.crypto import digests, keys
from checkvalve.errors import UnavailableError
from tests.agent import filled
from tests.agent.cabinet import Cabinet, opened
from tests.agent.device import Device, told


def _files(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
        found = {each.name.removeprefix("support/"): archive.extractfile(each) for each in archive}
        return {name: file.read() for name, file in found.items() if file is not None}


async def _made(cabinet: Cabinet) -> dict[str, bytes]:
    done, parts = await cabinet.parts(Bundle())
    data = b"".join(base64.b64decode(each) for each in parts)
    assert done == {"size": len(data)}
    return _files(data)


@told
async def test_a_planted_secret_a_key_and_the_values_are_in_no_file_of_it(tmp_path: Path) -> None:
    device = Device()
    made = filled.release(1)
    await filled.deploy(device, made, DOES=f"log=the pin is {filled.SECRET}", recipe="salt and pepper")
    await device.settle()
    async with opened(device, tmp_path) as cabinet:
        files = await _made(cabinet)
    whole = b"\n".join(files.values())
    key = keys.dump(device.identity.key)
    for secret in (
        filled.SECRET.encode(),
        base64.b64encode(filled.SECRET.encode()),
        b"PRIVATE KEY",
        key.splitlines()[1],
        b"salt and pepper",
        *(each.data for each in filled.document(device.identity, made).secrets.values()),
    ):
        assert secret not in whole
    assert b"the pin is [secret pin]" in whole
    assert not [name for name in files if name.endswith((".pem", ".values"))]
    assert "cabinet.support_bundle" in [each.code for each in device.parts.journal.events(0, 10_000)]


@told
async def test_it_says_where_the_device_stands_and_its_manifest_holds_every_file(tmp_path: Path) -> None:
    device = Device()
    await filled.deploy(device, filled.release(1))
    await device.settle()
    async with opened(device, tmp_path) as cabinet:
        files = await _made(cabinet)
    manifest = json.loads(files.pop("manifest.json"))
    assert manifest["left_out"] == []
    assert {name: digests.sha256_hex(data) for name, data in files.items()} == {
        name: each["sha256"] for name, each in manifest["files"].items()
    }
    assert json.loads(files["status.json"])["state"] == "committed"
    assert json.loads(files["doctor.json"])["findings"]
    assert json.loads(files["versions.json"])["agent"] == "1"
    lines = [json.loads(each) for each in files["journal.jsonl"].splitlines()]
    assert [each["seq"] for each in lines] == list(range(1, len(lines) + 1))
    assert {name.split("-")[0] for name in files if name.startswith(("logs/", "containers/"))} == {
        "logs/pump",
        "logs/web",
        "containers/pump",
        "containers/web",
    }


@told
async def test_an_engine_that_is_silent_holds_it_up_for_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent(*_: object) -> Any:  # noqa: ANN401
        raise UnavailableError("engine.unreachable", "The engine does not answer.")

    device = Device()
    await filled.deploy(device, filled.release(1))
    monkeypatch.setattr(Simulated, "inspect", silent)
    async with opened(device, tmp_path) as cabinet:
        files = await _made(cabinet)
    assert b"engine.unreachable" in files["engine.txt"]
    assert "status.json" in files


def test_what_sounds_like_a_secret_is_masked_at_any_depth() -> None:
    env = ["MQTT_PASSWORD=hush", "PATH=/bin", "API_KEY=hush", "KEYBOARD=de", "EMPTY_TOKEN=", "odd"]
    said = bundle.plain(
        {
            "Name": "/pump",
            "Args": ["--password", "hush", "--token=hush", "--line", "3", 7, ["--pin", "hush"]],
            "Config": {"Env": env, "Labels": {"com.acme.token": "hush", "com.acme.line": "3"}},
            "HostConfig": {"LogConfig": {"Config": {"splunk-token": "hush", "max-size": "1m"}}},
        }
    )
    assert "hush" not in json.dumps(said)
    assert said["Config"]["Env"][1::2] == ["PATH=/bin", "KEYBOARD=de", "odd"]
    assert said["Config"]["Labels"]["com.acme.line"] == "3"
    assert said["Args"][3:6] == ["--line", "3", 7]


def test_it_has_a_bound_and_says_what_it_left_out() -> None:
    big = {f"logs/{number}.log": bytes([number]) * (3 << 20) for number in range(10)}
    files = _files(bundle.pack({"status.json": b"{}", **big}))
    manifest = json.loads(files["manifest.json"])
    assert "status.json" in files
    assert len(manifest["left_out"]) + len(manifest["files"]) == 11
    assert sum(map(len, files.values())) < bundle.LARGEST


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(st.from_regex(r"[a-z]{1,8}/[a-z]{1,8}", fullmatch=True), st.binary(max_size=500), max_size=8))
def test_it_unpacks_to_what_was_packed_and_twice_is_the_same(files: dict[str, bytes]) -> None:
    data = bundle.pack(files)
    found = _files(data)
    found.pop("manifest.json")
    assert found == files
    assert bundle.pack(files) == data
