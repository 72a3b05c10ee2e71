# SPDX-License-Identifier: Apache-2.0
"""Which plane this account talks to, and with which token: one file that only its owner can read, or the environment.

Rules: 1. a token goes to no other plane than the one that issued it; 2. the file is written whole or not at all, with
mode 0600; 3. a file that others can read is refused, as its token may be theirs by now.
"""

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from checkvalve.cli.failures import UsageError
from checkvalve.crypto import certificates, tokens
from checkvalve.errors import InvalidError, UnauthenticatedError

URL, TOKEN, CA, FILE = "CHECKVALVE_URL", "CHECKVALVE_TOKEN", "CHECKVALVE_CA", "CHECKVALVE_CONFIG"

Environment = Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Config:
    """What a sign-in leaves behind. `ca` is the plane's own authority as PEM; empty is the trust of the system."""

    url: str
    login: str
    token: str = field(repr=False)
    token_id: str
    ca: str = ""


@dataclass(frozen=True)
class Access:
    """How to reach a plane: where, trusting whom, with which token (empty: none)."""

    url: str
    ca: str
    token: str = field(default="", repr=False)


def file(environ: Environment) -> Path:
    """Return where the file is, whether or not it is there."""
    named = environ.get(FILE)
    if named:
        return Path(named)
    home = environ.get("HOME")
    return (Path(home) if home else Path.home()) / ".config" / "checkvalve" / "config.json"


def read(path: Path) -> Config | None:
    """Return what the last sign-in left, None if there was none; `InvalidError` (`config.open`, `config.form`)."""
    try:
        with path.open("rb") as source:
            mode = os.fstat(source.fileno()).st_mode & 0o777
            data = source.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unusable(path, error) from error
    if mode & 0o077:
        raise InvalidError(
            "config.open",
            f"{path} holds a token, and others can read or change it (mode {mode:04o}).",
            f"If you trust them, run: chmod 600 {path}. If not, revoke the token and sign in again.",
        )
    try:
        return msgspec.json.decode(data, type=Config)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidError(
            "config.form", f"{path} is not what a sign-in writes.", "Sign in again: checkvalve login URL."
        ) from error


def write(path: Path, config: Config) -> None:
    """Write the file whole or not at all; `InvalidError` (`config.unusable`)."""
    target = Path(os.path.realpath(path))
    partial = ""
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, partial = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        with os.fdopen(descriptor, "wb") as out:
            out.write(msgspec.json.format(msgspec.json.encode(config)) + b"\n")
            out.flush()
            os.fsync(out.fileno())
        Path(partial).replace(target)
    except OSError as error:
        if partial:
            Path(partial).unlink(missing_ok=True)
        raise _unusable(path, error) from error


def forget(path: Path) -> None:
    """Take the file away, if it is there."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise _unusable(path, error) from error


def access(environ: Environment) -> Access:
    """Return how to reach the plane, from the environment first and the file for what that leaves open.

    Raises `UnauthenticatedError` (`cli.not_signed_in`) and what the parts raise.
    """
    stored = read(file(environ))
    url = address(environ[URL]) if environ.get(URL) else (stored.url if stored else "")
    if not url:
        raise UnauthenticatedError(
            "cli.not_signed_in",
            "Nobody is signed in to a plane here.",
            f"Run: checkvalve login https://PLANE:9443; or set {URL} and {TOKEN}.",
        )
    own = stored if stored is not None and stored.url == url else None  # rule 1
    token = environment_token(environ) or (own.token if own else "")
    if not token:
        raise UnauthenticatedError(
            "cli.not_signed_in",
            f"Nobody is signed in to {url} here.",
            f"Run: checkvalve login {url}; or set {TOKEN}.",
        )
    return Access(url, environment_ca(environ) or (own.ca if own else ""), token)


def environment_token(environ: Environment) -> str:
    """Return the token of the environment, or nothing; `UsageError` (`cli.token`) without a word of what was there."""
    token = environ.get(TOKEN, "").strip()
    if token and not tokens.well_formed(token):
        raise UsageError(
            "cli.token", f"{TOKEN} does not hold a whole API token.", "Set it again, from where it is kept."
        )
    return token


def environment_ca(environ: Environment) -> str:
    """Return the authority of the environment as PEM, or nothing; `UsageError` (`cli.ca`)."""
    named = environ.get(CA, "")
    if not named:
        return ""
    remedy = f"Let {CA} name the plane's ca.pem, or unset it."
    try:
        data = Path(named).read_bytes()
    except OSError as error:
        raise UsageError("cli.ca", f"{named} cannot be read: {error.strerror}.", remedy) from error
    try:
        certificates.from_pem(data)
        return data.decode("ascii")
    except (InvalidError, UnicodeDecodeError) as error:
        raise UsageError("cli.ca", f"{named} holds no certificate in PEM.", remedy) from error


def address(text: str) -> str:
    """Return the address of a plane as `https://host[:port]`; `UsageError` (`cli.url`) for anything else."""
    wrong = UsageError("cli.url", f"{text!r} is no address of a plane.", "Give it as https://plane.example:9443.")
    try:
        parts = urlsplit(text if "://" in text else f"https://{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        raise wrong from None
    if "@" in parts.netloc:  # a password in it must not be repeated on the terminal
        raise UsageError("cli.url", "An address holds no login.", "Give it as https://plane.example:9443.")
    if parts.scheme == "http":
        raise UsageError("cli.url", "A plane is reached over TLS only.", "Write https:// instead of http://.")
    if parts.scheme != "https" or not host or parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise wrong
    if any(char.isspace() or not char.isprintable() for char in host):
        raise wrong
    named = f"[{host}]" if ":" in host else host
    return f"https://{named}" + ("" if port in {None, 443} else f":{port}")


def _unusable(path: Path, error: OSError) -> InvalidError:
    why = error.strerror or type(error).__name__
    return InvalidError(
        "config.unusable", f"{path} cannot be used: {why}.", f"Repair that, or let {FILE} name another."
    )
