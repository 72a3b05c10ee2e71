# SPDX-License-Identifier: Apache-2.0
"""A waterworks that makes releases: its plane, the people who may, their keys, and what they make releases of."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.cli.terminal import Outcome, Terminal, password_file, sign_in
from tests.parts.archives import Image, docker, layer
from tests.parts.plane import PASSWORD, PlaneProcess

_numbers = itertools.count(1)


def plane(directory: Path) -> PlaneProcess:
    """Return a plane of one's own, running."""
    (directory / "password").write_text(PASSWORD + "\n")
    made = PlaneProcess(directory / "plane")
    said = made.init("--name", "norra")
    assert said.returncode == 0, said.stderr
    return made.start()


def manager(admin: Terminal, there: Terminal, plane: PlaneProcess, login: str, scope: str) -> Terminal:
    """Make somebody who imports, makes and signs in `scope`, and sign them in at their own terminal."""
    words = ["--name", login.title(), "--scope", scope, "--password-file", password_file(plane), "--quiet"]
    admin.done("person", "create", login, *words)
    admin.done("binding", "create", login, "release-manager", "--scope", scope)
    sign_in(there, plane, login)
    return there


def fresh(word: str) -> str:
    """Return a name that nothing else in this process has."""
    return f"{word}{next(_numbers)}"


def archive(path: Path, name: str) -> Image:
    """Write an image that no other test has, and return it."""
    made = Image(names=[name], layers=[layer(base=name.encode()), layer(app=b"app")])
    path.write_bytes(docker([made]))
    return made


def compose(name: str, version: str, image: str, more: str = "") -> str:
    """Return a compose file of one service, with a volume."""
    return f"""\
name: {name}
services:
  web:
    image: {image}
    ports: ["8080:80"]
    volumes: ["data:/data"]
{more}volumes:
  data: {{}}
x-checkvalve:
  version: {version}
"""


@dataclass
class Works:
    """Anna and Bo make and sign releases, each with a key of their own; both must sign (`keys`)."""

    plane: PlaneProcess
    folder: Path
    admin: Terminal
    anna: Terminal
    bo: Terminal
    name: str = field(default_factory=lambda: fresh("pump-"))

    def make(self, version: str = "1.0.0", more: str = "", *, name: str = "") -> Outcome:
        """Let Anna make a release."""
        path = self.folder / "compose.yaml"
        path.write_text(compose(name or self.name, version, f"{self.name}:1", more))
        return self.anna("release", "create", str(path), "--scope", "Works Water", "--yes")

    def sign(self, who: Terminal, *words: str) -> Outcome:
        """Let somebody sign what waits, with the key of their name."""
        key = self.folder / f"{'anna' if who is self.anna else 'bo'}.key"
        return who("release", "sign", "--key", str(key), "--yes", *words)

    def publish(self) -> None:
        """Let both sign."""
        for who in (self.anna, self.bo):
            said = self.sign(who)
            assert said.code == 0, said.err

    def published(self, version: str = "1.0.0", more: str = "") -> str:
        """Make and publish a release, and return what people call it."""
        said = self.make(version, more)
        assert said.code == 0, said.out + said.err
        self.publish()
        return f"{self.name}@{version}"


def works(plane: PlaneProcess, folder: Path, terminals: Callable[[str], Terminal]) -> Works:
    """Return the works at `plane`, with an image of their own and no draft open; the first call makes the people."""
    admin, anna, bo = (terminals(login) for login in ("admin", "anna", "bo"))
    sign_in(admin, plane, "admin")
    made = Works(plane, folder, admin, anna, bo)
    if not (folder / "root.json").exists():
        admin.done("scope", "create", "organisation", "Works Water")
        for login, terminal in (("anna", anna), ("bo", bo)):
            manager(admin, terminal, plane, login, "/")
            admin.done("keys", "make", login, "--out", str(folder), "--no-passphrase")
        (folder / "online.pub").write_text(admin.done("trust", "plane-key") + "\n")
        pubs = [word for login in ("anna", "bo") for word in ("--targets", str(folder / f"{login}.pub"))]
        words = ["--plane-key", str(folder / "online.pub"), "--out", str(folder), "--no-passphrase"]
        admin.done("keys", "init", *words, *pubs, "--targets-threshold", "2")
        admin.done("trust", "install", str(folder / "root.json"), "--yes")
    else:
        sign_in(anna, plane, "anna")
        sign_in(bo, plane, "bo")
        anna("release", "discard", "--yes")
    archive(folder / "image.tar", f"{made.name}:1")
    anna.done("image", "import", str(folder / "image.tar"), "--scope", "Works Water")
    return made
