# SPDX-License-Identifier: Apache-2.0
"""A proxy is read as people write it, and nothing of its password is said again; a source is an address or a name."""

import asyncio
import base64
import contextlib
import io
import json
import sys
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkvalve.agent import enrol, identity, main
from checkvalve.agent.disk import files
from checkvalve.agent.link import dialling
from checkvalve.crypto import tokens
from checkvalve.errors import InvalidError
from tests.agent.plane import Estate, listening

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)


@given(TEXT, TEXT)
def test_whatever_stands_in_name_and_password_comes_to_the_proxy_in_utf_8(name: str, password: str) -> None:
    read = dialling.proxy(f"http://{quote(name, safe='')}:{quote(password, safe='')}@192.0.2.1:3128")
    assert read is not None
    assert (read.url, read.readable) == ("http://192.0.2.1:3128", "192.0.2.1:3128")
    said = read.headers.get("Proxy-Authorization", "Basic Og==")
    assert base64.b64decode(said.removeprefix("Basic ")).decode() == f"{name}:{password}"


@pytest.mark.parametrize(
    ("typed", "url"),
    [
        ("http://proxy:3128", "http://proxy:3128"),
        (" proxy:3128/ ", "http://proxy:3128"),
        ("http://[2001:db8::1]:3128", "http://[2001:db8::1]:3128"),
        ("proxy", "http://proxy:80"),
    ],
)
def test_a_proxy_is_taken_as_people_write_it(typed: str, url: str) -> None:
    read = dialling.proxy(typed)
    assert read is not None
    assert (read.url, read.headers) == (url, {})
    assert dialling.proxy("") is dialling.proxy(None) is None


@pytest.mark.parametrize(
    "typed",
    [
        "http://pump:hush/7@proxy:3128",
        "http://pump:hush#7@proxy:3128",
        "http://pump:hush?7@proxy:3128",
        "http://pump:hush%ff@proxy:3128",
        "https://pump:hush@proxy:3128",
        "socks5://pump:hush@proxy:1080",
        "http://pump:hush@:3128",
        "http://pump:hush@proxy:port",
        "http://pump:hush@[proxy:3128",
        "http://pump:hush@proxy:3128/path",
    ],
)
def test_what_is_no_proxy_is_refused_before_joining_and_not_repeated(typed: str) -> None:
    token = tokens.join_token(b"\1" * 32)
    with pytest.raises(InvalidError) as raised:
        enrol.invitation(["192.0.2.10"], token, "sha256:" + "0" * 64, proxy=typed)
    assert raised.value.code == "link.proxy"
    assert "hush" not in repr(raised.value) + raised.value.sentence + raised.value.remedy
    assert raised.value.__context__ is None  # nor in what a trace of it would show


@pytest.mark.parametrize("typed", ["192.0.2.7", "2001:db8::7", "eth1", "enp3s0.4094", ""])
def test_a_source_is_an_address_or_an_interface(typed: str) -> None:
    assert dialling.source(f" {typed} ") == typed
    assert (dialling.factory(typed) is not None) == typed.startswith("e")


@pytest.mark.parametrize("typed", ["an interface", "a/b", "interface-of-the-plant"])
def test_what_can_be_neither_is_refused(typed: str) -> None:
    with pytest.raises(InvalidError) as raised:
        dialling.source(typed)
    assert raised.value.code == "link.source"


def test_a_device_is_told_another_way_while_its_agent_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def typed(*words: str) -> tuple[int, str]:
        code = main.run(["dial", "--data", str(tmp_path), *words])
        said = capsys.readouterr()
        assert "hush" not in said.out + said.err
        return code, said.out + said.err

    assert "agent.not_joined" in typed("--source", "eth1")[1]
    with contextlib.closing(files.take(tmp_path)) as disk:
        joined = Estate().device(disk)
        assert "agent.running" in typed("--source", "eth1")[1]
    monkeypatch.setattr(sys, "stdin", io.StringIO("http://pump:hush@192.0.2.1:3128\n"))
    assert typed("--server", "192.0.2.10:7443,[2001:db8::10]:7443", "--proxy", "-", "--source", "eth1") == typed()
    assert (
        typed()[1].split()
        == (
            "plane at https://192.0.2.10:7443 else at https://[2001:db8::10]:7443 "
            "proxy 192.0.2.1:3128, with name and password from eth1"
        ).split()
    )
    assert "link.proxy" in typed("--proxy", "http://pump:hush/7@192.0.2.1:3128")[1]
    assert "link.source" in typed("--source", "not one")[1]
    assert "join.address" in typed("--server", "http://192.0.2.10")[1]
    assert json.loads(typed("--proxy", "", "--json")[1])["proxy"] == ""
    with contextlib.closing(files.take(tmp_path)) as disk:
        changed = identity.load(disk)
    assert changed == replace(joined, addresses=changed.addresses, proxy="", source="eth1") if changed else False


def test_the_doctor_dials_by_the_interface_too() -> None:
    async def play() -> None:
        async def take(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"here")
            await writer.drain()
            writer.close()

        async with listening(take) as port:
            reader, writer = await dialling.connected("127.0.0.1", port, "lo")
            assert await reader.read() == b"here"
            writer.close()
        with pytest.raises(OSError, match="device"):
            await dialling.connected("127.0.0.1", port, "nosuch0")
        with pytest.raises(ConnectionRefusedError):
            await dialling.connected("127.0.0.1", 1, "lo")

    asyncio.run(play())
