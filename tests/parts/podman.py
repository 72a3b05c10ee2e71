# SPDX-License-Identifier: Apache-2.0
"""A Podman of the tests' own, apart from this machine as `docker` keeps its daemon, and asked by Docker's client.

Podman is no daemon: what answers at the socket may end while containers run on, each below a process of its own. What
a daemon does after a power cut, Debian's `podman-restart.service` does for Podman, and so does this part. Nothing of
health is to be seen here: Podman leaves the times of checks to systemd.
"""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.parts import docker
from tests.parts.docker import Engine

_SOON = 60.0
_NEEDED = {
    "/usr/bin/podman": "podman",
    "/usr/bin/crun": "crun",
    "/usr/lib/podman/netavark": "netavark aardvark-dns",
    "/usr/sbin/iptables": "iptables",
    "/usr/bin/docker": "docker.io",
    "/bin/busybox": "busybox-static",
}
_ENGINE = """
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
[network]
network_backend = "netavark"
network_config_dir = "/run/lasting/networks"
"""
_STORAGE = """
[storage]
driver = "vfs"
graphroot = "/run/lasting/storage"
runroot = "/run/containers"
"""
# What lasts in there lies in a mount of its own; the rest of /run is empty after a power cut, and so is /dev/shm, where
# Podman has its locks.
_INSIDE = """
mount -t tmpfs none /run && mkdir /run/lasting && mount -t tmpfs none /run/lasting && mount -t tmpfs none /dev/shm
ip link set lo up
if mountpoint -q /sys/fs/cgroup/unified; then umount /sys/fs/cgroup/unified; fi # crun has it one way or the other
while podman system service --time=0 unix://$1/docker.sock; [ -e $1/again ]; do
    if [ -e $1/power ]; then
        mount -t tmpfs none /dev/shm && mount -t tmpfs none $1/empty && mkdir $1/empty/lasting
        mount --move /run/lasting $1/empty/lasting && umount -l /run && mount --move $1/empty /run
        for link in $(ip -o link show type bridge | cut -d: -f2); do ip link delete $link; done
        iptables -F; iptables -X; iptables -t nat -F; iptables -t nat -X
        podman start --all --filter restart-policy=always
        rm $1/power
    fi
    rm -f $1/docker.sock $1/again
done
"""


class Podman(Engine):
    """A running Podman."""

    def restart(self, *, power: bool = False, how: signal.Signals = signal.SIGTERM) -> None:
        """End what answers and start it again; `power`: everything ends at once, and /run is empty."""
        if power:
            (self.directory / "power").touch()
        (self.directory / "again").touch()
        for process in self._inside():
            if power or "podman\0system\0service" in docker._command(process):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(process), signal.SIGKILL if power else how)
        if not docker._wait(lambda: not (self.directory / "again").exists() and self.answers(), _SOON):
            pytest.fail("Podman did not start again:\n" + (self.directory / "log").read_text()[-4000:])

    def _inside(self) -> set[str]:
        """Return the processes in there but the first, which starts the others."""
        first = Path(f"/proc/{self.leader.pid}/task/{self.leader.pid}/children").read_text().split()[0]
        return docker._within("pid", str(Path(f"/proc/{first}/ns/pid").readlink())) - {first}


@contextlib.contextmanager
def running(directory: Path) -> Iterator[Podman]:
    """Lend a Podman whose files are in the empty `directory`; skips or fails where it cannot be had."""
    for program, package in _NEEDED.items():
        if not Path(program).exists():
            # Nothing installs it, so that nothing requires it either.
            pytest.skip(f"{program} is missing: apt-get install --no-install-recommends {package}")
    if os.geteuid() != 0:
        pytest.skip("A Podman of the tests' own is missing: run the tests as root")
    (directory / "engine.conf").write_text(_ENGINE)
    (directory / "storage.conf").write_text(_STORAGE)
    (directory / "empty").mkdir()
    apart = "setpriv --pdeathsig KILL unshare -n -m --propagation private -p --fork --kill-child --mount-proc".split()
    environment = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": str(directory),
        "CONTAINERS_CONF": f"{directory}/engine.conf",
        "CONTAINERS_STORAGE_CONF": f"{directory}/storage.conf",
    }
    with (directory / "log").open("wb") as log:
        leader = subprocess.Popen(
            [*apart, "sh", "-c", _INSIDE, "sh", str(directory)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            env=environment,
            start_new_session=True,
        )
    engine = Podman(directory, leader)
    try:
        if not docker._wait(lambda: leader.poll() is not None or engine.answers(), _SOON) or leader.poll() is not None:
            pytest.fail("Podman did not start:\n" + (directory / "log").read_text()[-4000:])
        yield engine
    finally:
        engine.stop()
