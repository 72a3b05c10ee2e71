# SPDX-License-Identifier: Apache-2.0
"""A Docker engine of the tests' own, that shares no bridge, firewall rule, mount or socket with one of this machine.

Two daemons share `docker0` and the firewall chains, and one cuts the other's containers off. So this one runs in
network, mount and process namespaces that nobody else is in. A shell that starts the daemon is their first process:
when it has ended, the kernel ends containerd and whatever else was started, and bridges, rules and mounts are gone with
the namespaces. It ends with the tests too, however these end. Its images are in memory there, so that a busy disk does
not delay it; outside it has a directory for its socket and its log. The daemon may be started again inside the same
namespaces, as after an upgrade or a power cut, and programs of the tests may be run there, beside the containers.
"""

import contextlib
import ctypes
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from checkvalve import clock
from tests.parts.missing import missing

BUSYBOX = Path("/bin/busybox")
_SOON = 60.0
_CLONE_NEWNET = 0x40000000
_UNPLUGGED = """
for link in $(ip -o link show type bridge | cut -d: -f2); do ip link delete $link; done
iptables -F; iptables -X; iptables -t nat -F; iptables -t nat -X
"""
# A daemon that was killed may find its containerd half gone, wait for it in vain, and end with 1. A machine has a
# service manager that starts it once more; here it is this shell, three times. The first start has to work.
KEPT = """
{setup}; left=0
while :; do
    "$0" "$@"; code=$?
    if [ -e {again} ]; then rm {again}; {halt}; left=3
    elif [ $code -eq 1 ] && [ $left -gt 0 ]; then left=$((left - 1))
    else exit $code
    fi
done
"""
_FLAGS = "--data-root=/run/data --exec-root=/run/exec --pidfile=/run/pid --storage-driver=vfs".split()


@dataclass(frozen=True)
class Engine:
    """A running engine; its files are in `directory`, `leader` waits for its end."""

    directory: Path
    leader: subprocess.Popen[bytes]

    @property
    def socket(self) -> str:
        """Return the address of its API."""
        return f"unix://{self.directory}/docker.sock"

    @property
    def namespace(self) -> str:
        """Return the name of its network namespace, which no process of another has."""
        return str(Path(f"/proc/{self.leader.pid}/ns/net").readlink())

    def run(self, *words: str, stdin: BinaryIO | None = None) -> str:
        """Run the Docker client and return what it prints."""
        ran = self._client(*words, stdin=stdin)
        assert ran.returncode == 0, ran.stderr.decode()
        return ran.stdout.decode().strip()

    def ask(self, path: str) -> Any:  # noqa: ANN401 - JSON
        """Return what its API says of this path: in a hundredth of the time that its client takes."""
        with contextlib.closing(http.client.HTTPConnection("localhost", timeout=_SOON)) as asked:
            asked.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            asked.sock.connect(f"{self.directory}/docker.sock")
            asked.request("GET", path)
            return json.loads(asked.getresponse().read())

    def answers(self) -> bool:
        """Tell whether the engine answers."""
        return self._client("version", "--format", "{{.Server.Version}}").returncode == 0

    def build(self, name: str, files: dict[str, bytes], base: str = "scratch") -> str:
        """Build an image of busybox, in a layer that all of them share, and `files`; return its id."""
        folder = self.directory / "build"
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "files").mkdir(parents=True)
        shutil.copy(BUSYBOX, folder / "busybox")
        os.utime(folder / "busybox", (0, 0))
        for path, data in files.items():
            (folder / "files" / path).write_bytes(data)
        first = "COPY busybox /bin/busybox\n" if base == "scratch" else ""
        (folder / "Dockerfile").write_text(f'FROM {base}\n{first}COPY files/ /files/\nCMD ["/bin/busybox", "true"]\n')
        self.run("build", "-q", "-t", name, str(folder))
        return self.image_id(name)

    def image_id(self, name: str) -> str:
        """Return an image's id: the digest of its config."""
        return self.run("image", "inspect", "--format", "{{.Id}}", name)

    def _client(self, *words: str, stdin: BinaryIO | None = None) -> subprocess.CompletedProcess[bytes]:
        environment = {"PATH": os.defpath, "HOME": str(self.directory), "DOCKER_BUILDKIT": "0"}
        command = [_program("docker"), "-H", self.socket, *words]
        return subprocess.run(command, stdin=stdin, capture_output=True, check=False, env=environment)

    def inside(
        self, *command: str, env: Mapping[str, str] | None = None, output: BinaryIO | int | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a program that is on the containers' networks, and sees this machine's files.

        It is the leader of a process group of its own; all it prints goes to `output`.
        """
        words = [_program("nsenter"), "--target", str(self.leader.pid), "--net", *command]
        return subprocess.Popen(words, env=env, stdout=output, stderr=output, start_new_session=True)

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Put this thread, and those it starts, on the containers' networks for a while."""
        with entered(self.leader.pid):
            yield

    def restart(self, *, power: bool = False, how: signal.Signals = signal.SIGTERM) -> None:
        """End the daemon and start it again on the same data; `power`: everything ends at once, containers too."""
        (self.directory / "again").touch()
        init = [process for process in processes(self.namespace) if _command(process).startswith("sh\0")]
        apart = Path(f"/proc/{init[0]}/ns/pid").readlink()
        for process in _within("pid", str(apart)) - set(init):
            if power or _command(process).startswith(_program("dockerd")):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(process), signal.SIGKILL if power else how)
        if not _wait(lambda: not (self.directory / "again").exists() and self.answers(), 2 * _SOON):
            pytest.fail("the Docker engine did not start again:\n" + (self.directory / "log").read_text()[-4000:])

    @contextlib.contextmanager
    def halted(self) -> Iterator[Path]:
        """End all there is at once, lend where its data are, and start the daemon again on what is left of them."""
        (self.directory / "again").touch()
        (self.directory / "halt").touch()
        (init,) = (process for process in processes(self.namespace) if _command(process).startswith("sh\0"))
        apart = str(Path(f"/proc/{init}/ns/pid").readlink())
        for process in _within("pid", apart) - {init}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(process), signal.SIGKILL)
        _wait(lambda: not any(_command(each).startswith(_program("dockerd")) for each in _within("pid", apart)), _SOON)
        with self.entered():  # what a machine loses with its power
            subprocess.run(["sh", "-c", _UNPLUGGED], check=True, capture_output=True)
        yield Path(f"/proc/{init}/root/run/data")
        (self.directory / "halt").unlink()
        if not _wait(self.answers, 2 * _SOON):
            pytest.fail("the Docker engine did not start again:\n" + (self.directory / "log").read_text()[-4000:])

    def stop(self) -> None:
        """Stop it, and wait until it has ended."""
        for how in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.leader.pid, how)
            if _wait(lambda: self.leader.poll() is not None, 20.0):
                return
        pytest.fail("the Docker engine of the tests has not ended")


@contextlib.contextmanager
def running(directory: Path) -> Iterator[Engine]:
    """Lend an engine whose files are in the empty `directory`; skips or fails where it cannot be had."""
    for program, package in (("dockerd", "docker.io"), ("containerd", "containerd"), ("ip", "iproute2")):
        if not _program(program):
            missing(program, f"apt-get install {package}")
    if not BUSYBOX.exists():
        missing("busybox", "apt-get install busybox-static")
    if os.geteuid() != 0:
        missing("A Docker engine of the tests' own", "run the tests as root")
    apart = "setpriv --pdeathsig KILL unshare -n -m --propagation private -p --fork --kill-child --mount-proc".split()
    # /run is empty in there, and the namespace's own.
    setup = "mount -t tmpfs none /run && ip link set lo up"
    halt = f"while [ -e {directory}/halt ]; do sleep 0.1; done"
    inside = KEPT.format(setup=setup, again=f"{directory}/again", halt=halt)
    with (directory / "log").open("wb") as log:
        leader = subprocess.Popen(
            [
                *apart,
                "sh",
                "-c",
                inside,
                _program("dockerd"),
                *_FLAGS,
                f"--host=unix://{directory}/docker.sock",
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            start_new_session=True,
        )
    engine = Engine(directory, leader)
    try:
        if not _wait(lambda: leader.poll() is not None or engine.answers(), _SOON) or leader.poll() is not None:
            pytest.fail("the Docker engine did not start:\n" + (directory / "log").read_text()[-4000:])
        yield engine
    finally:
        engine.stop()


@contextlib.contextmanager
def entered(process: int) -> Iterator[None]:
    """Put this thread, and those it starts, on the networks of a process for a while."""
    libc = ctypes.CDLL(None, use_errno=True)
    ours, theirs = Path("/proc/thread-self/ns/net"), Path(f"/proc/{process}/ns/net")
    with ours.open("rb") as before, theirs.open("rb") as there:
        assert libc.setns(there.fileno(), _CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
        try:
            yield
        finally:
            assert libc.setns(before.fileno(), _CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())


def processes(namespace: str) -> set[str]:
    """Return the processes that are in a namespace of `Engine.namespace`."""
    return _within("net", namespace)


def _within(kind: str, namespace: str) -> set[str]:
    found = set()
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and str((entry / "ns" / kind).readlink()) == namespace:
                found.add(entry.name)
    return found


def _command(process: str) -> str:
    """Return a process's words, each with a zero after it."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{process}/cmdline").read_text()
    return ""


def traces(directory: Path) -> dict[str, set[str]]:
    """Return what an engine in `directory` could leave on this machine: links, rules, mounts, files in /run."""
    links = {path.name for path in Path("/sys/class/net").iterdir()}
    mounts = {line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()}
    run = {path.name for path in Path("/run").iterdir()}
    rules = subprocess.run([_program("iptables-save")], capture_output=True, text=True, check=False).stdout
    return {
        "links": links,
        "rules": {line for line in rules.splitlines() if not line.startswith(("#", ":"))},
        "mounts": {path for path in mounts if str(directory) in path or "docker" in path},
        "run": {name for name in run if name.startswith(("docker", "containerd"))},
    }


def _program(name: str) -> str:
    """Return the path of a program; Debian's own comes first, and the server's stands in sbin."""
    return shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin") or ""


def _wait(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = clock.monotonic() + seconds
    while not condition():
        if clock.monotonic() > deadline:
            return False
        threading.Event().wait(0.05)
    return True
