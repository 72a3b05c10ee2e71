# SPDX-License-Identifier: Apache-2.0
"""`policy`: what has to be so before anything is switched on this device, shown, tried and laid down by its people.

It works without the agent: a policy is a file, and the agent reads it anew each time. It is replaced whole, and only by
one that is right, so that no moment has half of it.
"""

import argparse
import asyncio
import contextlib
import os
from pathlib import Path

import msgspec

from checkvalve import clock
from checkvalve.agent import budget, policy
from checkvalve.agent.commands import line
from checkvalve.agent.permits.real import Real
from checkvalve.agent.policy import Command, Policy
from checkvalve.agent.waiting import GOOD
from checkvalve.errors import InvalidError, NotFoundError, UnavailableError

NEW = f".{policy.FILE}.new"


def add(command: line.Add) -> None:
    """Declare it."""
    ruled = command(
        "policy",
        _policy,
        "Show, check, set or try what has to be so before anything is switched.",
        "checkvalve-agent policy set line.json",
    )
    ruled.add_argument("what", choices=("show", "check", "set", "ask"), help="ask: ask the permit now, and say so")
    ruled.add_argument("file", nargs="?", type=Path, help="a policy, as JSON (check, set)")


def _policy(args: argparse.Namespace) -> int:
    wants = args.what in ("check", "set")
    if wants != (args.file is not None):
        raise InvalidError(
            "policy.file",
            f"policy {args.what} {'needs' if wants else 'takes no'} FILE.",
            "Example: checkvalve-agent policy set line.json",
        )
    given = _given(args.file) if wants else _here(args.data)
    if args.what == "ask":
        return _ask(args, given)
    if args.what == "set":
        _replace(args.data, msgspec.json.encode(given))
    _show(args, given)
    return 0


def _given(file: Path) -> Policy:
    try:
        return policy.checked(_read(file))
    except ValueError as error:
        raise InvalidError(
            "policy.damaged", f"{file} is no policy: {str(error)[:300]}. Nothing was changed.", "Put it right first."
        ) from error


def _here(data: Path) -> Policy:
    try:
        return policy.parse(_read(data / policy.FILE))
    except NotFoundError:
        return Policy()


def _read(file: Path) -> bytes:
    """Return a file, as far as any policy goes; `NotFoundError` (`policy.missing`), `UnavailableError`."""
    try:
        with file.open("rb") as opened:
            return opened.read(policy.LARGEST + 1)
    except FileNotFoundError as error:
        raise NotFoundError("policy.missing", f"There is no file {file}.", "Say where the policy is.") from error
    except OSError as error:
        raise _failed(file, error) from error


def _replace(folder: Path, data: bytes) -> None:
    """Have the policy be this: on the platter when it returns, and whole at each moment before."""
    new = folder / NEW
    try:
        with contextlib.suppress(FileNotFoundError):
            new.unlink()
        handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        new.replace(folder / policy.FILE)
        held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(held)
        finally:
            os.close(held)
    except OSError as error:
        raise _failed(folder / policy.FILE, error) from error


def _show(args: argparse.Namespace, given: Policy) -> None:
    if args.json:
        line.tell_json(msgspec.to_builtins(given))
        return
    said = {"check": "This is a policy.", "set": "The policy is set; the next look counts by it."}
    line.tell(said.get(args.what, "What has to be so before anything is switched on this device:"))
    window = "opened by hand" if given.window == "opened" else "always open"
    line.facts({"permit": policy.words(given.permit), "window": window, "on failure": "roll back"})
    line.facts({"fetches": budget.words(given.budget)})
    if isinstance(given.permit, Command) and given.permit.timeout_s > GOOD:
        line.aside(
            f"Note: an answer is good for {GOOD:.0f} s from the moment of asking. The command is ended after "
            f"{given.permit.timeout_s:g} s, but a yes that comes later than {GOOD:.0f} s is a no."
        )


def _ask(args: argparse.Namespace, given: Policy) -> int:
    if given.permit is None:
        raise NotFoundError(
            "policy.no_permit", "The policy names no permit to ask.", "Set one: checkvalve-agent policy set FILE."
        )
    begun = clock.monotonic()
    said = asyncio.run(Real().ask(given.permit))
    took = clock.monotonic() - begun
    yes = said.yes and took <= GOOD
    why = said.sentence or ("" if yes else f"It took {took:.1f} s to answer, and an answer is good for {GOOD:.0f} s.")
    if args.json:
        line.tell_json({"yes": yes, "code": said.code, "sentence": why, "seconds": round(took, 3)})
    else:
        line.tell(f"{'Yes' if yes else 'No'}: {policy.words(given.permit)} answered after {took:.2f} s. {why}".rstrip())
    return 0 if yes else 1


def _failed(file: Path, error: OSError) -> UnavailableError:
    return UnavailableError(
        "disk.failed", f"{file} cannot be used: {error.strerror}.", "Ask as root, and see that --data is right."
    )
