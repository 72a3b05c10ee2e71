# SPDX-License-Identifier: Apache-2.0
"""A device in a network namespace of its own, its plane in another, a cable between, and `nmap` at the plane's end.

Rules: 1. the scanner is shown to find what is there: a TCP and a UDP port that somebody opens beside the agent are
found; 2. the kernel of the device answers as often as it is asked (`icmp_ratelimit` 0), so that a closed UDP port says
so, and silence is not taken for closed; 3. what is counted are ports that said that they are closed; 4. all the time
that a scan takes, releases are rolled out, good ones and bad ones, and the agent is asked what it listens on, too.
"""

import asyncio
import contextlib
import itertools
import os
import signal
import socket
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from checkvalve import clock
from checkvalve.protocol.exchange import State
from tests.agent.engine.images import Made
from tests.agent.living import Living, sockets
from tests.agent.plane import Estate, Relay, port, served
from tests.crypto import world
from tests.parts import docker
from tests.parts.missing import missing

PLANE, DEVICE = "10.219.0.1", "10.219.0.2"
PORT = 8443
BESIDE = 40_404  # a port that somebody opens, to be found
EVERY = 65_535
MOST_ASKED = 1_000  # UDP ports
_SCAN = 600.0  # seconds, on a machine that is busy


@dataclass(frozen=True)
class Scanned:
    """What a scan found: how many ports said that they are closed, and what the others said, by port."""

    closed: int
    others: dict[int, str]


@dataclass
class Seen:
    """What was found while releases were rolled out."""

    tcp: Scanned
    udp: Scanned
    ended: list[State] = field(default_factory=list)  # the rollouts
    heard: set[str] = field(default_factory=set)  # sockets of the agent that listened


class Cabled(Living):
    """The agent of a device that has a cable to its plane, and nothing else."""

    def __init__(self, estate: Estate, directory: Path, words: tuple[str, ...], namespace: int) -> None:
        super().__init__(estate, f"https://{PLANE}:{PORT}", directory / "device", words, directory / "log")
        self.namespace = namespace

    async def _start(self, *words: str, piped: bool = False, kill_at: int = 0) -> asyncio.subprocess.Process:
        assert not kill_at
        enter = (docker._program("nsenter"), "--target", str(self.namespace), "--net")
        run = (*enter, sys.executable, "-m", "tests.agent.process", *words)
        if piped:
            pipe = asyncio.subprocess.PIPE
            return await asyncio.create_subprocess_exec(*run, stdout=pipe, stderr=pipe)
        with self.log.open("ab") as log:
            return await asyncio.create_subprocess_exec(*run, stdout=log, stderr=log)


@contextlib.contextmanager
def apart() -> Iterator[int]:
    """Lend a network namespace that nobody is in, by the process that holds it."""
    for name, package in (("nmap", "nmap"), ("ip", "iproute2")):
        if not docker._program(name):
            missing(name, f"apt-get install {package}")
    if os.geteuid() != 0:
        missing("A network namespace", "run the tests as root")
    words = "setpriv --pdeathsig KILL unshare -n sh -c".split()
    holder = subprocess.Popen(
        [*words, "ip link set lo up && echo up && exec cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == b"up\n"
        yield holder.pid
    finally:
        holder.kill()
        holder.communicate()


@contextlib.contextmanager
def cabled(device: int, plane: int) -> Iterator[None]:
    """Have a cable between the networks of two processes; rule 2."""
    with docker.entered(device):
        _ip("link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", str(plane))
        Path("/proc/sys/net/ipv4/icmp_ratelimit").write_text("0")
    for process, address in ((device, DEVICE), (plane, PLANE)):
        with docker.entered(process):
            _ip("address", "add", f"{address}/24", "dev", "cable")
            _ip("link", "set", "cable", "up")
    try:
        yield
    finally:
        with docker.entered(plane):
            _ip("link", "delete", "cable")


def scanned(directory: Path, namespace: int, words: tuple[str, ...], releases: tuple[Made, ...], *, udp: int) -> Seen:
    """Scan a device of a namespace while releases are rolled out to it in turn; `udp`: how many ports of those."""
    with apart() as plane, cabled(namespace, plane), docker.entered(plane):
        return asyncio.run(_scanned(directory, namespace, words, releases, udp))


async def _scanned(
    directory: Path, namespace: int, words: tuple[str, ...], releases: tuple[Made, ...], udp: int
) -> Seen:
    async with _living(directory, namespace, words) as device:
        agent = await device.begin()
        first, *others = releases
        assert await device.deploy(first) is State.COMMITTED
        ended, heard = list[State](), set[str]()
        scans = asyncio.ensure_future(asyncio.gather(_nmap("-sS", "-p-"), _nmap("-sU", "--top-ports", str(udp))))
        for made in itertools.cycle(others):  # rule 4
            attempt = device.order(made)
            await device.until(_over(device, attempt, agent.pid, heard), _SCAN)
            outcome = device.told(attempt)
            assert outcome is not None
            ended.append(outcome)
            if scans.done():
                break
        tcp, udp_ = await scans
        with _open_ports(namespace):  # rule 1
            assert (await _nmap("-sS", "-p", str(BESIDE))).others == {BESIDE: "open"}
            assert (await _nmap("-sU", "-p", str(BESIDE))).others == {BESIDE: "open|filtered"}
        return Seen(tcp, udp_, ended, heard)


def _over(device: Living, attempt: str, agent: int, heard: set[str]) -> Callable[[], bool]:
    def over() -> bool:
        heard.update(sockets(agent))
        return device.told(attempt) is not None

    return over


@contextlib.asynccontextmanager
async def _living(directory: Path, namespace: int, words: tuple[str, ...]) -> AsyncIterator[Cabled]:
    """Lend a device that has joined its plane over the cable."""
    begun = clock.monotonic()
    estate = Estate(lambda: world.NOON + timedelta(seconds=clock.monotonic() - begun))
    estate.plane.interval = 1
    (directory / "plane").mkdir()
    async with served(estate.plane, directory / "plane") as listener:
        relay = Relay(port(listener.address))
        server = await asyncio.start_server(relay.take, PLANE, PORT)
        device = Cabled(estate, directory, words, namespace)
        try:
            await device.join()
            yield device
        finally:
            if device.process is not None and device.process.returncode is None:
                await device.end(signal.SIGKILL)
            relay.let_go()
            server.close()


async def _nmap(*way: str) -> Scanned:
    """Scan the device from where this thread is."""
    words = ("-n", "-Pn", "-T5", "--max-retries", "5", "-oX", "-", *way, DEVICE)
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(docker._program("nmap"), *words, stdout=pipe, stderr=pipe)
    out, err = await asyncio.wait_for(process.communicate(), _SCAN)
    assert process.returncode == 0, err.decode()
    return read(out)


def read(said: bytes) -> Scanned:
    """Return what a scan found, of its XML."""
    root = ET.fromstring(said)
    (ports,) = root.iterfind("host/ports")
    closed = sum(int(each.attrib["count"]) for each in ports.iterfind("extraports[@state='closed']"))
    others = {int(each.attrib["portid"]): _state(each) for each in ports.iterfind("port")}
    closed += sum(state == "closed" for state in others.values())
    silent = sum(int(each.attrib["count"]) for each in ports.iterfind("extraports") if each.attrib["state"] != "closed")
    found = {number: state for number, state in others.items() if state != "closed"}
    return Scanned(closed, found | ({0: f"{silent} silent"} if silent else {}))


def _state(port_: ET.Element) -> str:
    (state,) = port_.iterfind("state")
    return state.attrib["state"]


@contextlib.contextmanager
def _open_ports(namespace: int) -> Iterator[None]:
    """Have somebody else listen on a device."""
    with contextlib.ExitStack() as opened:
        with docker.entered(namespace):
            stream = opened.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            datagrams = opened.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        stream.bind((DEVICE, BESIDE))
        stream.listen()
        datagrams.bind((DEVICE, BESIDE))
        yield


def _ip(*words: str) -> None:
    done = subprocess.run([docker._program("ip"), *words], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
