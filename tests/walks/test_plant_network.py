# SPDX-License-Identifier: Apache-2.0
"""A device in a plant: no name server, no route to its plane, a proxy with a password in between, two interfaces."""

import base64
import contextlib
import json
import shlex
import signal
import socket
import ssl
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from checkvalve.agent.doctor import LAYERS
from checkvalve.protocol.exchange import State
from checkvalve.server.rollouts.model import State as Stage
from tests.parts import archives, company, docker, gate, plant
from tests.parts.agents import PROGRAM, Agent
from tests.parts.company import Company
from tests.parts.estate import GOOD, ORGANISATION, RUT, Estate
from tests.parts.gate import Gate
from tests.parts.plane import PlaneProcess
from tests.parts.plant import DEVICE, DEVICES, NAME, OPERATORS, PLANE, PLANE6, Plant
from tests.parts.rolling import Fleet

pytestmark = [pytest.mark.slow, pytest.mark.real_parts, pytest.mark.timeout(300)]

NAMES = (PLANE, PLANE6, NAME)
FIRST, SECOND = f"https://{PLANE}:{DEVICES}", f"https://[{PLANE6}]:{DEVICES}"
WAYS = (FIRST, SECOND, f"https://{NAME}:{DEVICES}")  # as an invite has them, in their order
HOST = f"{plant.EDGE_OFFICE}:{plant.PROXY}"
PROXY = f"http://{quote(gate.USER, safe='')}:{quote(gate.PASSWORD, safe='')}@{HOST}"
SECRETS = (
    gate.PASSWORD,
    quote(gate.PASSWORD, safe=""),
    quote(gate.PASSWORD),
    base64.b64encode(f"{gate.USER}:{gate.PASSWORD}".encode()).decode(),
)
BACK = "1.0"  # seconds until the first address is tried again
AGES = -80 * 365.25 * 86_400  # seconds to 1970 and before


class OfCompany(PlaneProcess):
    """A plane whose certificate for people is the company's."""

    @property
    def authority(self) -> Path:
        """Return the root that the company's machines know."""
        return self.directory.with_name("root.pem")


class Desk(Estate):
    """People who trust what their machines trust."""

    def _signs_in(self, who: str) -> None:
        words = ("--system-trust", "--login", who, "--password-file", str(self.secret))
        self.run("login", self.plane.url, *words, who=who)


@dataclass
class Norra:
    """The plant, the plane in the office, and the proxy on the way there."""

    plant: Plant
    gate: Gate
    company: Company
    desk: Desk
    folder: Path

    @contextlib.contextmanager
    def device(self, name: str) -> Iterator[Agent]:
        """Lend a device that has joined through the proxy; in the end it has never listened."""
        agent = Agent(self.folder / name, inside=self.plant.device.inside)
        line = self.desk.invite()["command"]
        assert [word for word in shlex.split(line) if word.startswith("https:")] == list(WAYS)
        assert agent.join(line, "--name", name, "--proxy", PROXY, "--source", DEVICE) == ""
        try:
            yield agent.start()
        finally:
            agent.end(signal.SIGKILL)
        assert agent.heard == set()
        assert "Traceback" not in agent.log.read_text()

    def finds(self, *words: str) -> list[tuple[str, str, str]]:
        """Return what the doctor says of the way, at the device: each layer with its grade and its sentence."""
        done = self.typed("doctor", *words, "--json")
        said: dict[str, Any] = json.loads(done.stdout)
        found = said["findings"]
        worst = [each for grade in ("bad", "odd") for each in found if each["grade"] == grade]
        assert said["verdict"] == (f"{worst[0]['sentence']} {worst[0]['remedy']}" if worst else "All is well.")
        assert done.returncode == (1 if any(each["grade"] == "bad" for each in found) else 0)
        return [(each["layer"], each["grade"], each["sentence"]) for each in found if each["layer"] in LAYERS]

    @contextlib.contextmanager
    def opened(self) -> Iterator[None]:
        """Have the proxy open TLS for a while."""
        self.gate.opens = True
        self.gate.read.clear()
        self.gate.let_go()
        try:
            yield
        finally:
            self.gate.opens = False
            self.gate.let_go()

    def typed(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Type a command of the agent at the device."""
        command = [*self.plant.device.inside, *PROGRAM, *words]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        assert "Traceback" not in done.stderr, done.stderr
        assert_silent(f"{words[0]}", done.stdout + done.stderr)
        return done


def assert_silent(where: str, text: str) -> None:
    """See that nothing of the proxy's password stands there."""
    assert [each for each in SECRETS if each in text] == [], where


@pytest.fixture(scope="module")
def norra(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Norra]:
    """Lend the plant, its plane at work, with a release that may run; this thread is in the office meanwhile."""
    folder = tmp_path_factory.mktemp("plant")
    made = company.issued(folder, NAMES)
    with pytest.MonkeyPatch.context() as patch, plant.built(folder) as places:
        patch.setenv("SSL_CERT_FILE", str(made.root))  # what the people's machines trust
        patch.setenv("CHECKVALVE_RETURN", BACK)
        proxy = Gate(plant.EDGE_OFFICE, plant.PROXY, {NAME: PLANE}, folder / "opener.pem")
        with places.office.entered(), gate.standing(places.edge, proxy):
            plane = OfCompany(folder / "plane")
            where = ("--operators", f":{OPERATORS}", "--devices", f":{DEVICES}", "--names", ",".join(NAMES))
            done = plane.init(*where)
            assert done.returncode == 0, done.stderr
            _certified(plane.directory / "checkvalve.toml", made)
            desk = Desk(plane, folder / "desk")
            try:
                yield Norra(places, proxy, made, _stocked(desk), folder)
            finally:
                desk.close()


def _certified(file: Path, made: Company) -> None:
    text = file.read_text()
    for name, path in (("operators_certificate", made.chain), ("operators_key", made.key)):
        assert f'{name} = ""' in text
        text = text.replace(f'{name} = ""', f'{name} = "{path}"')
    file.write_text(text)


def _stocked(desk: Desk) -> Desk:
    desk.found()
    desk.run("binding", "create", RUT, "operator", "--scope", ORGANISATION)
    desk.bring(archives.Image(names=["pump:1"]))
    desk.make(GOOD, {"web": {"image": "pump:1"}})
    desk.sign()
    return desk


def test_a_device_without_a_route_takes_a_release_through_the_proxy_and_keeps_its_password(norra: Norra) -> None:
    with norra.device("pump") as pump:
        _falls_over_and_comes_back(norra, pump)
        with _cut(norra):
            _rolled_out(norra, pump)  # while the first address is dead
        assert {each.peer for each in norra.gate.asked} == {DEVICE}
        _keeps_its_password(norra, pump)


def _rolled_out(norra: Norra, pump: Agent) -> None:
    fleet = Fleet(norra.desk, norra.folder, [pump])
    fleet.caller = norra.desk.plane.caller(RUT)
    scopes = fleet.caller.get("/api/v1/scopes")["items"]
    fleet.scope = next(each["path"] for each in scopes if each["name"] == ORGANISATION)
    ident = fleet.proposed(GOOD, f"device:{pump.directory.name}")
    fleet.post(ident, "start")
    fleet.until(fleet.is_(ident, Stage.DONE))
    (seat,) = fleet.seats(ident).values()
    (said,) = norra.desk.receipts(pump, seat.member.attempt)
    assert (said.outcome, said.active) == (State.COMMITTED, norra.desk.releases[GOOD].digest)


@contextlib.contextmanager
def _cut(norra: Norra) -> Iterator[None]:
    """Have no way go to the plane's first address for a while; connections that are open end."""
    norra.plant.edge.run(f"ip route add unreachable {PLANE}/32")
    norra.gate.let_go()
    try:
        yield
    finally:
        norra.plant.edge.run(f"ip route del unreachable {PLANE}/32")


def _falls_over_and_comes_back(norra: Norra, pump: Agent) -> None:
    first, second = (each.removeprefix("https://") for each in (FIRST, SECOND))
    begun, through = len(norra.gate.asked), norra.gate.asked
    pump.until(lambda: (first, 200) in {(each.to, each.status) for each in through[begun:]})
    with _cut(norra):
        pump.until(lambda: (first, 502) in {(each.to, each.status) for each in through})
        pump.until(lambda: (through[-1].to, through[-1].status) == (second, 200))
        fresh = len(through)
    norra.gate.let_go()
    pump.until(lambda: (first, 200) in {(each.to, each.status) for each in through[fresh:]})


def _keeps_its_password(norra: Norra, pump: Agent) -> None:
    where = ("--data", str(pump.directory))
    bundles = [norra.folder / f"{name}.tar.gz" for name in ("running", "ended")]
    norra.desk.all_told(pump)
    for words in (("status",), ("doctor",), ("support-bundle", str(bundles[0]))):
        assert norra.typed(*words, *where).returncode == 0
    assert pump.end() == 0
    norra.typed("support-bundle", str(bundles[1]), "--engine", "simulated", *where)  # of its files
    for each in bundles:
        with tarfile.open(each) as archive:
            for member in archive:
                file = archive.extractfile(member)
                assert file is not None
                assert_silent(member.name, file.read().decode(errors="replace"))
    plane = norra.desk.plane.directory
    for each in (*pump.directory.rglob("*"), *plane.rglob("*"), pump.log):
        if each.is_file() and each.name != "identity.json":
            assert_silent(str(each), each.read_bytes().decode(errors="replace"))
    known = pump.directory / "identity.json"
    assert known.stat().st_mode & 0o077 == 0
    assert any(each in known.read_text() for each in SECRETS)  # here alone


def test_the_doctor_names_the_layer_that_fails_before_a_device_has_joined(norra: Norra) -> None:
    pin, way = norra.desk.plane.pin, ("--proxy", PROXY, "--source", "lan0")
    dead = [FIRST, f"https://{plant.DROPPED}:{DEVICES}", WAYS[2], f"https://{plant.EDGE}:9", SECOND]
    assert norra.finds("--server", ",".join(dead), "--source", DEVICE) == [
        ("route", "bad", f"There is no way to {FIRST}: no route to host."),
        ("route", "bad", f"{dead[1]} does not answer: it is off, or something on the way drops the packets."),
        ("name", "bad", f"No address can be found for the name {NAME}."),
        ("route", "bad", f"There is no way to {dead[3]}: nothing listens there."),
        ("route", "bad", f"There is no way to {SECOND}: it cannot be reached."),
    ]
    for proxy, said in (
        (f"http://{HOST}", f"The proxy {HOST} asks for a name and a password, and was given none (407)."),
        (
            f"http://pump:guess@{HOST}",
            f"The proxy {HOST} does not take the name and the password that it was given (407).",
        ),
        (f"http://{plant.EDGE_OFFICE}:9", f"The proxy {plant.EDGE_OFFICE}:9 cannot be reached: nothing listens there."),
    ):
        assert norra.finds("--server", FIRST, "--proxy", proxy, "--source", DEVICE) == [("proxy", "bad", said)]
    closed, wrong = f"https://{PLANE}:9", f"sha256:{'0' * 64}"
    assert norra.finds("--server", f"{FIRST},{closed}", "--ca-pin", wrong, *way) == [
        ("tls", "bad", f"The plane's authority has the pin {pin}, and {wrong} was given."),
        ("proxy", "bad", f"The proxy {HOST} does not let through to {closed}: 502."),
    ]
    through = ("--server", WAYS[2], "--ca-pin", pin, *way)  # the proxy finds the name
    well = f"A Checkvalve plane answers; the pin of its authority is {pin}."
    assert norra.finds(*through) == [("plane", "well", well)]
    with norra.opened():
        ((layer, grade, said),) = norra.finds(*through)
    assert (layer, grade, f"issued by CN={gate.OPENER}." in said) == ("tls", "bad", True)
    assert {each.peer for each in norra.gate.asked} == {DEVICE}


def test_the_doctor_of_a_device_that_has_joined_names_the_layer_the_clock_and_the_planes_no(norra: Norra) -> None:
    with norra.device("doctored") as pump:
        where = ("--data", str(pump.directory))
        pump.until((pump.directory / "agent.sock").exists)
        assert [each[:2] for each in norra.finds(*where)] == [("plane", "well")] * 3 + [("time", "well")]
        with _cut(norra):
            odd, well = ("proxy", "odd"), ("plane", "well")  # two of its addresses lead over the wire that is cut
            assert [each[:2] for each in norra.finds(*where)] == [odd, well, odd, ("time", "well")]
        with norra.opened():
            for layer, grade, said in norra.finds(*where):
                assert (layer, grade, f"issued by CN={gate.OPENER}." in said) == ("tls", "bad", True)
            assert b"exchange" not in norra.gate.read
        assert pump.end() == 0
        dial = norra.typed("dial", "--server", f"{SECOND},{FIRST}", "--source", "lan0", *where)
        assert f"proxy         {HOST}, with name and password\n" in dial.stdout
        pump.ahead = AGES
        pump.start()
        pump.until((pump.directory / "agent.sock").exists)
        *ways, (layer, grade, said) = norra.finds(*where)
        assert [each[:2] for each in ways] == [("plane", "well")] * 2
        assert f"The plane answers at {SECOND}, " in ways[0][2]
        assert (layer, grade, "days behind the plane's" in said) == ("time", "odd", True)
        for move, words in (("quarantine", "quarantine"), ("retire", "retired")):
            norra.desk.moves(pump, move)
            for layer, grade, said in norra.finds(*where)[:2]:
                assert (layer, grade, words in said) == ("trust", "bad", True), said


@pytest.mark.parametrize("name", NAMES)
def test_people_see_the_companys_certificate_and_devices_the_planes_by_every_name(norra: Norra, name: str) -> None:
    plane = norra.desk.plane
    doors = ((OPERATORS, norra.company.root, "/ca.pem"), (DEVICES, plane.directory / "keys/authority.crt", "/v1/plane"))
    for port, root, path in doors:
        trust = ssl.create_default_context(cafile=str(root))
        host = f"[{name}]" if ":" in name else name
        where = PLANE if name == NAME else name  # nobody tells a name's address here
        with socket.create_connection((where, port)) as line, trust.wrap_socket(line, server_hostname=name) as secured:
            secured.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode())
            assert secured.makefile("rb").readline().split()[1] == b"200"
            shown = dict(pair[0] for pair in secured.getpeercert()["issuer"])  # type: ignore[index,misc]
        assert (shown["commonName"] == company.BETWEEN) == (port == OPERATORS)


def test_a_plant_is_seen_nowhere_on_this_machine_and_is_gone_afterwards(tmp_path: Path) -> None:
    before = docker.traces(tmp_path)
    with plant.built(tmp_path) as places:
        assert docker.traces(tmp_path) == before
        namespace = places.device.run("readlink /proc/self/ns/net")
        assert docker.processes(namespace)
    assert docker.processes(namespace) == set()
    assert docker.traces(tmp_path) == before
