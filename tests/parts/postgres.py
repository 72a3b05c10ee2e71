# SPDX-License-Identifier: Apache-2.0
"""A PostgreSQL cluster of the tests' own, on a Unix socket in a directory of its own."""

import os
import pwd
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from tests.parts.missing import missing


@dataclass(frozen=True)
class Cluster:
    """A running cluster; `url(name)` addresses one of its databases.

    What makes and drops them goes through one connection, which is kept: a psql for each costs more than what it does.
    """

    directory: Path
    binaries: Path
    durable: bool = False
    _lines: list[psycopg.Connection] = field(default_factory=list, repr=False, compare=False)

    def url(self, name: str) -> str:
        """Return the address of database `name`."""
        return f"postgresql://checkvalve@/{name}?host={self.directory}"

    def sql(self, text: str) -> None:
        """Run a statement."""
        self._line().execute(text.encode())

    def copy(self, template: str, name: str) -> None:
        """Make the database `name` like `template`, by its files where the server can: that writes no log of them."""
        how = " STRATEGY FILE_COPY" if self._line().info.server_version >= 150_000 else ""
        self.sql(f"CREATE DATABASE {name} TEMPLATE {template}{how}")

    def drop(self, name: str) -> None:
        """Drop a database, whoever is still there."""
        self.sql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def _line(self) -> psycopg.Connection:
        if not self._lines:
            self._lines.append(psycopg.connect(self.url("postgres"), autocommit=True))
        return self._lines[0]

    def stop(self, how: str = "immediate") -> None:
        """Stop the server."""
        while self._lines:
            self._lines.pop().close()
        _as_nobody_special([str(self.binaries / "pg_ctl"), "-D", str(self.directory / "data"), "-m", how, "-w", "stop"])

    def start(self) -> None:
        """Start the server and wait until it answers. Unless it is to be durable, it syncs nothing and is faster."""
        sync = "on" if self.durable else "off"
        options = f"-k {self.directory} -c listen_addresses= -c fsync={sync} -c max_connections=200"
        data = str(self.directory / "data")
        log = str(self.directory / "log")
        _as_nobody_special([str(self.binaries / "pg_ctl"), "-D", data, "-l", log, "-o", options, "-w", "start"])


def start(directory: Path, *, durable: bool = False) -> Cluster:
    """Make and start a cluster in the empty `directory`; skips or fails where PostgreSQL is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        missing("PostgreSQL", "apt-get install postgresql")
    cluster = Cluster(directory, found[-1].parent, durable)
    if os.geteuid() == 0:
        owner = pwd.getpwnam("postgres")
        os.chown(directory, owner.pw_uid, owner.pw_gid)
    data = str(directory / "data")
    _as_nobody_special(
        [
            str(cluster.binaries / "initdb"),
            "-D",
            data,
            "-U",
            "checkvalve",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C.UTF-8",
        ]
    )
    cluster.start()
    return cluster


def _as_nobody_special(command: Sequence[str]) -> None:
    """Run as the account `postgres` when we are root: the server refuses to run as root."""
    if os.geteuid() == 0:
        command = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", *command]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd="/")
