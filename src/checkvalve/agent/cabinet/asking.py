# SPDX-License-Identifier: Apache-2.0
"""Asks the running agent, from a command that a person typed."""

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from checkvalve.agent.cabinet import asked
from checkvalve.agent.cabinet.asked import Asked
from checkvalve.errors import ForbiddenError, UnavailableError

FOLDER = "/run/checkvalve-agent"
NAME = "agent.sock"
SOCKET = f"{FOLDER}/{NAME}"
PATIENCE = 120.0  # seconds without a word from the agent
CLOSED = "cabinet.closed"
LONGEST_LINE = 8 << 20  # bytes

Part = Callable[[Any], None]


def ask(path: Path, request: Asked, part: Part | None = None, patience: float = PATIENCE) -> Any:  # noqa: ANN401  # JSON
    """Return what the agent answers; each part that comes before goes to `part`.

    Raises what the agent raised, by code and kind, and `UnavailableError` (`cabinet.closed`: no agent listens there;
    `cabinet.answer`: it broke off, or is silent), `ForbiddenError` (`cabinet.forbidden`).
    """
    with _open(path, patience) as line:
        try:
            line.sendall(asked.write(request))
            with line.makefile("rb") as answer:
                return _read(answer.readline, part)
        except OSError as error:  # TimeoutError is one
            raise _broken(path, error.strerror or "it is silent") from error


def _open(path: Path, patience: float) -> socket.socket:
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    line.settimeout(patience)
    try:
        line.connect(str(path))
    except PermissionError as error:
        line.close()
        raise ForbiddenError(
            "cabinet.forbidden",
            f"You may not speak with the agent: {path} is for root and for the members of its group.",
            "Ask as root, or have yourself put into the group checkvalve.",
        ) from error
    except OSError as error:
        line.close()
        raise UnavailableError(
            CLOSED,
            f"No agent listens at {path}.",
            "Start it (systemctl start checkvalve-agent), or say where it listens: --socket-path.",
        ) from error
    return line


def _read(readline: Callable[[int], bytes], part: Part | None) -> Any:  # noqa: ANN401  # JSON
    while data := readline(LONGEST_LINE):
        try:
            said = json.loads(data)
        except ValueError:
            break
        if not isinstance(said, dict):
            break
        if "error" in said:
            raise asked.failure(said["error"])
        if "done" in said:
            return said["done"]
        if part is not None and said.get("part"):
            part(said["part"])
    raise _broken(None, "its answer broke off")


def _broken(path: Path | None, why: str) -> UnavailableError:
    where = f" at {path}" if path else ""
    return UnavailableError("cabinet.answer", f"The agent{where} gave no answer: {why}.", "Look at the agent's log.")
