# SPDX-License-Identifier: Apache-2.0
"""The plane's settings: one TOML file in the data directory, each with a default that works.

`checkvalve init` writes it; `serve` reads it. An unknown name is an error that says which names there are, because a
setting that is silently ignored is one that somebody believes in.
"""

import os
import tomllib
from pathlib import Path
from typing import Annotated

import msgspec

from checkvalve.errors import ConflictError, InvalidError, NotFoundError

FILE = "checkvalve.toml"


class Listener(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Where one of the two listeners binds."""

    address: str = "127.0.0.1"
    port: int = 0


class Settings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """All settings. Ports are free to choose; `names` are the DNS names and IP addresses people and devices use."""

    plane: str = "checkvalve"
    names: tuple[str, ...] = ("localhost", "127.0.0.1")
    database: str = "sqlite:"
    operators: Listener = Listener(port=9443)
    devices: Listener = Listener(port=8443)
    operators_certificate: str = ""  # PEM chain of the company's own; empty is the plane's
    operators_key: str = ""
    blobs: str = ""  # directory of images; empty is `blobs` in the data directory
    largest_archive: Annotated[int, msgspec.Meta(ge=1 << 20)] = 16 << 30  # bytes of one `image import`
    scheme: str = ""  # file with other bands of the scorecard; empty is the one that is shipped
    log: str = "info"

    def blobs_in(self, directory: Path) -> Path:
        """Return where the blobs of the plane in `directory` are; a path that is not absolute begins there."""
        return directory / (self.blobs or "blobs")


def read(directory: Path) -> Settings:
    """Return the settings of the plane in `directory`.

    Raises `NotFoundError` (`plane.not_initialised`) or `InvalidError` (`settings.file`) naming what is wrong with it.
    """
    file = directory / FILE
    try:
        return msgspec.convert(tomllib.loads(file.read_text()), Settings)
    except FileNotFoundError as error:
        raise NotFoundError(
            "plane.not_initialised",
            f"There is no plane in {directory}.",
            f"Make one with: checkvalve init --data {directory}",
        ) from error
    except (ValueError, msgspec.ValidationError) as error:
        raise InvalidError(
            "settings.file", f"{file}: {error}.", f"Names are: {', '.join(Settings.__struct_fields__)}."
        ) from error


def absent(directory: Path) -> None:
    """Raise `ConflictError` (`plane.exists`) if there is a plane in `directory`."""
    if (directory / FILE).exists():
        remedy = f"Start it with: checkvalve serve --data {directory}"
        raise ConflictError("plane.exists", f"There is a plane in {directory} already.", remedy)


def write(directory: Path, settings: Settings) -> None:
    """Write the file whole or not at all; `ConflictError` (`plane.exists`) if there is one."""
    absent(directory)
    file = directory / FILE
    partial = file.with_suffix(".partial")
    with partial.open("w") as out:
        out.write(_toml(settings))
        out.flush()
        os.fsync(out.fileno())
    partial.rename(file)
    descriptor = os.open(directory, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def _toml(settings: Settings) -> str:
    # JSON's strings, numbers and lists are TOML's too; tables follow the plain values, as TOML wants it.
    lines = ["# Settings of this plane. Each line stands for its default; docs/guide/settings.md says what each means."]
    tables = []
    for name in Settings.__struct_fields__:
        value = getattr(settings, name)
        if isinstance(value, Listener):
            tables += ["", f"[{name}]", f"address = {_json(value.address)}", f"port = {value.port}"]
        else:
            lines.append(f"{name} = {_json(value)}")
    return "\n".join([*lines, *tables, ""])


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
