# SPDX-License-Identifier: Apache-2.0
"""A plant's network, as the kernel makes one: nothing of it has a name on this machine, or outlives the tests.

Each place is a process that waits, in network and mount namespaces of its own; cables (veth) are laid from inside. When
the processes have ended the kernel takes namespaces, cables, addresses and rules away, however the tests end.

    elsewhere ---- device ---- edge ---- office
    203.0.113.1   .7    .7  198.51.100.1  192.0.2.1   192.0.2.10, 2001:db8::10: the plane, and those who run it

The device's default route leads elsewhere, where no way goes on. What leaves it from its address in the plant goes to
the edge, which forwards nothing of the plant: it refuses, or drops what is for `DROPPED`. A proxy stands on the edge.
No place has a name server.
"""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.parts import docker
from tests.parts.missing import missing

PLANE, PLANE6, NAME = "192.0.2.10", "2001:db8::10", "plane.norra.example"
OPERATORS, DEVICES, PROXY = 7555, 7443, 3128  # ports; not those that a plane has by itself
EDGE, EDGE_OFFICE = "198.51.100.1", "192.0.2.1"  # the proxy listens at the second: no address of the plant's LAN
DEVICE, AWAY = "198.51.100.7", "203.0.113.7"
DROPPED = "192.0.2.66"

_OFFICE = f"""
ip addr add {PLANE}/24 dev office0
ip addr add {PLANE6}/64 dev office0 nodad
ip route add default via {EDGE_OFFICE}
"""
_EDGE = f"""
ip addr add {EDGE_OFFICE}/24 dev office1
ip addr add 2001:db8::1/64 dev office1 nodad
ip addr add {EDGE}/24 dev lan1
echo 1 > /proc/sys/net/ipv4/ip_forward
ip rule add iif lan1 to {DROPPED} pref 90 blackhole
ip rule add iif lan1 pref 100 prohibit
"""
_DEVICE = f"""
ip addr add {DEVICE}/24 dev lan0
ip addr add {AWAY}/24 dev away0
ip route add default via 203.0.113.1
ip route add default via {EDGE} table 100
ip rule add from {DEVICE} lookup 100
"""
_ELSEWHERE = """
ip addr add 203.0.113.1/24 dev away1
echo 1 > /proc/sys/net/ipv4/ip_forward
"""
_CABLES = (
    ("office", "office0", "edge", "office1"),
    ("edge", "lan1", "device", "lan0"),
    ("device", "away0", "elsewhere", "away1"),
)
_SETUPS = {"office": _OFFICE, "edge": _EDGE, "device": _DEVICE, "elsewhere": _ELSEWHERE}


@dataclass(frozen=True)
class Place:
    """A place of the plant; `leader` is its first process."""

    leader: subprocess.Popen[bytes]

    @property
    def inside(self) -> tuple[str, ...]:
        """Return the words before a command that runs it here."""
        return ("nsenter", f"--target={self.leader.pid}", "--net", "--mount", f"--wdns={Path.cwd()}")

    def run(self, script: str) -> str:
        """Run a script of the shell here; return what it printed."""
        done = subprocess.run([*self.inside, "sh", "-ec", script], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{script}\n{done.stderr}"
        return done.stdout.strip()

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Put this thread, and the programs that it starts, on the networks of this place for a while."""
        with docker.entered(self.leader.pid):
            yield


@dataclass(frozen=True)
class Plant:
    """The four places."""

    office: Place
    edge: Place
    device: Place
    elsewhere: Place


@contextlib.contextmanager
def built(directory: Path) -> Iterator[Plant]:
    """Lend a plant; skips or fails where it cannot be had. `directory` has the names of its name servers: none."""
    for program, package in (("ip", "iproute2"), ("nsenter", "util-linux"), ("unshare", "util-linux")):
        if not shutil.which(program, path="/usr/sbin:/usr/bin:/sbin:/bin"):
            missing(program, f"apt-get install {package}")
    if os.geteuid() != 0:
        missing("A plant of network namespaces", "run the tests as root")
    (directory / "resolv.conf").touch()
    with contextlib.ExitStack() as ends:
        places = {name: ends.enter_context(_place(directory / "resolv.conf")) for name in _SETUPS}
        for one, here, other, there in _CABLES:
            places[one].run(f"ip link add {here} type veth peer name {there} netns {places[other].leader.pid}")
            places[one].run(f"ip link set {here} up")
            places[other].run(f"ip link set {there} up")
        for name, setup in _SETUPS.items():
            places[name].run(f"ip link set lo up\n{setup}")
        yield Plant(**places)


@contextlib.contextmanager
def _place(resolv: Path) -> Iterator[Place]:
    apart = "setpriv --pdeathsig KILL unshare --net --mount --propagation private sh -c".split()
    script = f"mount --bind {resolv} /etc/resolv.conf && echo && exec sleep infinity"
    leader = subprocess.Popen([*apart, script], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    try:
        assert leader.stdout is not None
        if leader.stdout.readline() != b"\n":
            missing("A plant of network namespaces", "let the tests make namespaces (CAP_SYS_ADMIN)")
        yield Place(leader)
    finally:
        leader.kill()
        leader.communicate()
