# SPDX-License-Identifier: Apache-2.0
"""Signing in: prove the plane first, then the person, and keep a token in place of the password.

Rules: 1. nothing but a question for its certificate goes to a plane that is not proved; 2. a password is read from a
prompt or a file and lives until the sign-in is over; 3. the session made for it ends with it.
"""

import re
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from checkvalve import clock
from checkvalve.cli import client, config, output
from checkvalve.cli.client import Client
from checkvalve.cli.config import Access, Config
from checkvalve.cli.failures import UnverifiedError, UsageError
from checkvalve.cli.invocation import Invocation
from checkvalve.crypto import tokens
from checkvalve.errors import CheckvalveError, ForbiddenError
from checkvalve.protocol import api

TOKEN_DAYS = 30
_PIN = re.compile(r"sha256:[0-9a-f]{64}")


def trust(run: Invocation, url: str, pin: str, *, system: bool) -> str:
    """Return the authority to trust at `url` as PEM, empty for the system's.

    Raises `UnverifiedError` (`plane.pin`), `UsageError` (`cli.pin`), `UnavailableError` (`plane.*`).
    """
    if pin and system:
        raise UsageError("cli.pin", "--pin and --system-trust exclude each other.", "Give one of them.")
    wanted = _pin(pin) if pin else ""
    named = config.environment_ca(run.environ)
    if system or (named and not wanted):
        return "" if system else named
    stored = config.read(config.file(run.environ))
    if not wanted and stored is not None and stored.url == url and stored.ca:
        return stored.ca  # its pin was checked at the first sign-in
    if not wanted and not output.interactive():
        raise UsageError(
            "cli.pin",
            "Without its pin nobody can tell this plane from another.",
            "Give the pin that `checkvalve serve` shows on the plane's machine: --pin sha256:...",
        )
    shown, found = client.authority(url, run.seconds)
    if wanted and found != wanted:
        raise UnverifiedError(
            "plane.pin",
            f"{url} is not the plane you mean: it shows the pin {found}, and not {wanted}.",
            "Nothing was sent to it. Check the address, and read the pin again on the plane's own machine.",
        )
    if not wanted:
        output.note(f"{url} shows the pin {found}")
        output.agree("Is that the pin that `checkvalve serve` shows on the plane's machine?")
    return shown


@contextmanager
def in_person(access: Access, login: str, password: str, seconds: float) -> Iterator[Client]:
    """Sign in with a password, and out again at the end, whatever happens in between."""
    there = Client(Access(access.url, access.ca), seconds)
    try:
        said = there.send("POST", "/api/v1/session", api.SignIn(login=login, password=password), api.SignedIn)
        there.within_session(said.csrf)
        try:
            yield there
        finally:
            _sign_out(there)
    finally:
        there.close()


def personally(run: Invocation, password_file: str, work: Callable[[Client], bytes]) -> bytes:
    """Do what a plane may grant to a person only: with the token at hand if it lets it, else signed in by password."""
    try:
        return work(run.plane)
    except ForbiddenError as error:
        if error.code != "token.not_in_person":
            raise
    me = run.plane.get("/api/v1/me", api.Me)
    typed = password(f"Password of {me.person.login}, as a token cannot do this", password_file)
    with in_person(run.plane.access, me.person.login, typed, run.seconds) as there:
        return work(there)


def issue(run: Invocation, access: Access, login: str, password: str) -> Config:
    """Exchange a password for a token, and keep that; the token of an earlier sign-in here is revoked."""
    path = config.file(run.environ)
    before = config.read(path)
    with in_person(access, login, password, run.seconds) as there:
        wanted = api.NewToken(
            label=f"cli@{socket.gethostname()}"[:100], ends_at=clock.now() + timedelta(days=TOKEN_DAYS)
        )
        issued = there.send("POST", "/api/v1/me/tokens", wanted, api.IssuedToken)
        me = there.get("/api/v1/me", api.Me)
        made = Config(
            url=access.url, login=me.person.login, token=issued.secret, token_id=issued.token.id, ca=access.ca
        )
        try:
            config.write(path, made)
        except CheckvalveError:
            there.raw("DELETE", f"/api/v1/me/tokens/{made.token_id}")
            raise
        if before is not None and (before.url, before.login) == (made.url, made.login):
            _revoke_quietly(there, before.token_id)
    return made


def adopt(run: Invocation, access: Access) -> Config:
    """Keep a token that was made elsewhere, once the plane has said whose it is."""
    there = Client(access, run.seconds)
    try:
        me = there.get("/api/v1/me", api.Me)
    finally:
        there.close()
    token_id = me.token.id if me.token else ""
    made = Config(url=access.url, login=me.person.login, token=access.token, token_id=token_id, ca=access.ca)
    config.write(config.file(run.environ), made)
    return made


def password(question: str, file: str, *, twice: bool = False) -> str:
    """Return a password from `file` (`-`: standard input), or from a person.

    Raises `UsageError`: `password.file`, `password.needed`, `password.differs`.
    """
    if file:
        found = secret(file, "password.file")
    elif output.interactive():
        found = output.ask_secret(f"{question}:")
        if twice and output.ask_secret("Once more:") != found:
            raise UsageError("password.differs", "The two passwords differ.", "Type them again.")
    else:
        raise UsageError(
            "password.needed",
            "A password is needed, and nobody is there to type it.",
            "Give --password-file FILE, or -.",
        )
    if not found:
        raise UsageError("password.needed", "The password is empty.", "Type it, or look into the file.")
    return found


def secret(file: str, code: str) -> str:
    """Return the first line of `file` (`-`: of standard input); `UsageError` (`code`)."""
    try:
        text = sys.stdin.readline() if file == "-" else Path(file).read_text()
    except (OSError, UnicodeDecodeError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or "it is no text"
        remedy = "Give a file, or - for standard input."
        raise UsageError(code, f"{file} cannot be read: {why}.", remedy) from error
    return text.partition("\n")[0].rstrip("\r")


def token(file: str) -> str:
    """Return the token in `file`; `UsageError` (`token.file`) without a word of what was there."""
    found = secret(file, "token.file").strip()
    if not tokens.well_formed(found):
        raise UsageError("token.file", f"{file} does not hold a whole API token.", "Copy it again, from cvt_ on.")
    return found


def _pin(text: str) -> str:
    tidy = text.strip().lower()
    tidy = tidy if tidy.startswith("sha256:") else f"sha256:{tidy}"
    if not _PIN.fullmatch(tidy):
        remedy = "Copy all of it from the plane's machine: sha256: and 64 digits and letters from a to f."
        raise UsageError("cli.pin", f"{text!r} is no pin.", remedy)
    return tidy


def _sign_out(there: Client) -> None:
    try:
        there.raw("DELETE", "/api/v1/session")
    except CheckvalveError as error:
        output.note(f"The session of this sign-in could not be ended, and ends by itself: {error.sentence}")


def _revoke_quietly(there: Client, token_id: str) -> None:
    try:
        there.raw("DELETE", f"/api/v1/me/tokens/{token_id}")
    except CheckvalveError:
        return  # it was revoked or has ended already
