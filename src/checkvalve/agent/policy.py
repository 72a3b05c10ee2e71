# SPDX-License-Identifier: Apache-2.0
"""What the people at this device have said about changes: `policy.json` beside its journal, made by them alone.

The plane neither reads nor writes it. Rules: 1. what is not exactly a policy is none, and then nothing switches: a word
misspelt must never mean less than what was meant; 2. no file is a policy too: nobody asked for anything; 3. a name that
stands twice in one object makes it none, for readers of JSON differ on which of them counts.
"""

import json
from typing import Annotated, Any, Literal, NoReturn

import msgspec
from msgspec import Meta, Struct

from checkvalve.agent.budget import Budget
from checkvalve.errors import InvalidError

FILE = "policy.json"
LARGEST = 16 * 1024  # bytes

_LARGE = f"it is larger than {LARGEST} bytes"
_NO_PATH = "the program of the permit command has to be named by its whole path"
_NO_HOLD = (
    "on_failure hold is not offered yet: a release that fails its gate always goes back to last known good, whatever "
    "the permit says by then"
)
_PATH = r"^/[^\x00]*\Z"
_Path = Annotated[str, Meta(pattern=_PATH, max_length=1_000)]
_Argument = Annotated[str, Meta(pattern=r"^[^\x00]*\Z", max_length=4_096)]
_Says = Annotated[str, Meta(pattern=r"^\S(?:[^\x00]*\S)?\Z", max_length=1_000)]


class _Part(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True, tag_field="kind"):
    """Base of the kinds of permit."""


class File(_Part, frozen=True, tag="file"):
    """Yes while the file at `path` says exactly `says`, apart from white space around it."""

    path: _Path
    says: _Says = "yes"


class Command(_Part, frozen=True, tag="command"):
    """Yes if the command ends with 0 in time, and has said `says` if there is one. It is run without a shell."""

    argv: Annotated[tuple[_Argument, ...], Meta(min_length=1, max_length=64)]
    timeout_s: Annotated[float, Meta(gt=0, le=60)] = 2.0
    says: Annotated[str, Meta(pattern=r"^(?:\S(?:[^\x00]*\S)?)?\Z", max_length=1_000)] = ""
    user: Annotated[str, Meta(pattern=r"^[^\x00]*\Z", max_length=100)] = ""


class Gpio(_Part, frozen=True, tag="gpio"):
    """Yes while a line of the host is active. It is read, and never driven."""

    chip: _Path
    line: Annotated[int, Meta(ge=0, le=65_535)]
    active: Literal["high", "low"] = "high"


Permit = File | Command | Gpio


class Policy(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What has to be so before anything is switched. `window` `opened`: only while somebody here has opened it."""

    permit: Permit | None = None
    window: Literal["always", "opened"] = "always"
    on_failure: Literal["rollback", "hold"] = "rollback"
    budget: Budget = Budget()


def parse(data: bytes) -> Policy:
    """Return the policy that the device's file holds; `InvalidError` (`policy.damaged`) says what is wrong with it."""
    try:
        return checked(data)
    except ValueError as error:
        raise _damaged(str(error)) from error


def checked(data: bytes) -> Policy:
    """Return the policy that any file holds; `ValueError` says what is wrong with it."""
    if len(data) > LARGEST:
        raise ValueError(_LARGE)
    try:
        plain = json.loads(data.decode(), object_pairs_hook=_once, parse_constant=_no_number)
        found = msgspec.convert(plain, Policy)
    except (ValueError, RecursionError, msgspec.ValidationError) as error:
        raise ValueError(str(error) or "it is no JSON") from error
    if isinstance(found.permit, Command) and not found.permit.argv[0].startswith("/"):
        raise ValueError(_NO_PATH)
    if found.on_failure == "hold":
        raise ValueError(_NO_HOLD)
    return found


def words(permit: Permit | None) -> str:
    """Return what is asked, for people: `the file /run/line/permit`."""
    match permit:
        case None:
            return "nothing"
        case File(path=path):
            return f"the file {path}"
        case Command(argv=argv):
            return f"the command {argv[0]}"
        case Gpio(chip=chip, line=line):
            return f"line {line} of {chip}"


def too_large() -> InvalidError:
    """Return what a file larger than any policy is."""
    return _damaged(_LARGE)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        message = "a name stands twice in one object"
        raise ValueError(message)
    return found


def _no_number(word: str) -> NoReturn:
    message = f"{word} is no number of JSON"
    raise ValueError(message)


def _damaged(why: str) -> InvalidError:
    return InvalidError(
        "policy.damaged",
        f"The local policy ({FILE}) is not one: {why[:300]}. Nothing is switched until it is.",
        "Put it right at the device: checkvalve-agent policy check FILE, then policy set FILE.",
    )
