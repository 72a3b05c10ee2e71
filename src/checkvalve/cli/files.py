# SPDX-License-Identifier: Apache-2.0
"""Files that people name on a command line: read in bounds, made all or none, replaced whole.

Rules: 1. nothing that is there is overwritten, as a key exists once; 2. several files are made all or none; 3. what is
changed is written beside it first, so that whoever reads it meets the old one or the new one.
"""

import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from checkvalve.cli.failures import UsageError
from checkvalve.errors import ConflictError, InvalidError

SECRET, OPEN = 0o600, 0o644


@dataclass(frozen=True)
class New:
    """What a new file holds, and who may read it."""

    data: bytes
    mode: int = OPEN


def read(file: str, largest: int) -> bytes:
    """Return what `file` (`-`: standard input) holds; `UsageError` (`file.unreadable`, `file.size`)."""
    try:
        if file == "-":
            data = sys.stdin.buffer.read(largest + 1) if hasattr(sys.stdin, "buffer") else sys.stdin.read().encode()
        else:
            with Path(file).open("rb") as source:
                data = source.read(largest + 1)
    except (OSError, ValueError) as error:
        raise unreadable(file, error) from error
    if len(data) > largest:
        raise UsageError(
            "file.size", f"{file} is larger than {largest} bytes, which no such file is.", "Give another file."
        )
    return data


def unreadable(file: str, error: Exception) -> UsageError:
    """Return what to say of a file that cannot be read."""
    why = (error.strerror if isinstance(error, OSError) else None) or "it has no such name"
    return UsageError("file.unreadable", f"{file} cannot be read: {why}.", "Give a file that is there, and yours.")


def shared(file: str) -> bool:
    """Tell whether others than its owner may read or change a file."""
    return file != "-" and bool(Path(file).stat().st_mode & 0o077)


def absent(*paths: Path) -> None:
    """Raise `ConflictError` (`key.exists`) if one of them is there: before anybody types a passphrase."""
    for path in paths:
        if path.exists() or path.is_symlink():
            raise _exists(path)


def make(wanted: Mapping[Path, New]) -> None:
    """Make these files and the folders above them; `ConflictError` (`key.exists`), `InvalidError` (`file.unusable`)."""
    made: list[Path] = []
    try:
        for path, new in wanted.items():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, new.mode)  # rule 1
            made.append(path)
            _fill(descriptor, new)
    except OSError as error:
        for path in made:  # rule 2
            path.unlink(missing_ok=True)
        there = isinstance(error, FileExistsError) and Path(error.filename) == path
        raise _exists(path) if there else _unusable(path, error) from error


def replace(path: Path, data: bytes) -> None:
    """Write a file that is there anew, with the mode it has; `InvalidError` (`file.unusable`)."""
    target, partial = Path(os.path.realpath(path)), ""
    try:
        mode = target.stat().st_mode & 0o777
        descriptor, partial = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        _fill(descriptor, New(data, mode))
        Path(partial).replace(target)  # rule 3
    except OSError as error:
        if partial:
            Path(partial).unlink(missing_ok=True)
        raise _unusable(path, error) from error


def _fill(descriptor: int, new: New) -> None:
    with os.fdopen(descriptor, "wb") as out:
        os.fchmod(descriptor, new.mode)
        out.write(new.data)
        out.flush()
        os.fsync(descriptor)


def _exists(path: Path) -> ConflictError:
    return ConflictError(
        "key.exists",
        f"{path} is there already, and nothing is overwritten: a key that is lost is lost for good.",
        "Give another name or folder, or move it away yourself.",
    )


def _unusable(path: Path, error: OSError) -> InvalidError:
    why = error.strerror or type(error).__name__
    return InvalidError("file.unusable", f"{path} cannot be written: {why}.", "Nothing was left there. Repair that.")
