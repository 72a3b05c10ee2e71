# SPDX-License-Identifier: Apache-2.0
"""The commands that run on the plane's own machine: `init`, `serve`, `reset-password`, `new-values-key`."""

import argparse
import getpass
import json
import os
import string
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import uvloop

from checkvalve import __version__, clock
from checkvalve.crypto import metadata
from checkvalve.errors import CheckvalveError, InvalidError
from checkvalve.server import founding, running, settings
from checkvalve.server.db.database import Database
from checkvalve.server.founding import Origins
from checkvalve.server.settings import Listener, Settings

ORIGINS = Origins(clock.now, clock.new_id, clock.entropy)
HOME = "/var/lib/checkvalve"
REFUSED = 3
UNREACHABLE = 4
PASSWORD_FILE = "file with the password, - for standard input; without: asked or made"
_EXIT = {"forbidden": REFUSED, "unavailable": UNREACHABLE}


def run(words: Sequence[str]) -> int:
    """Run one command; return its exit code (0 done, 1 failed, 2 usage, 3 refused, 4 unreachable)."""
    args = _parser().parse_args(words)
    command: Callable[[argparse.Namespace], int] = args.command
    try:
        return command(args)
    except CheckvalveError as error:
        _tell_error(error, as_json=args.json)
        return _EXIT.get(error.kind, 1)


def _init(args: argparse.Namespace) -> int:
    root = _root(args.root) if args.root else None
    if root is not None and (args.data / settings.FILE).exists():
        return _give_root(args, root)
    settings.absent(args.data)
    password, made = _password(args)
    wanted = Settings(
        plane=args.name,
        names=tuple(name.strip() for name in args.names.split(",") if name.strip()),
        database=args.database,
        operators=_address(args.operators),
        devices=_address(args.devices),
    )
    done = founding.found(args.data, wanted, args.admin, password, ORIGINS, root)
    if args.json:
        said = {"data": str(done.directory), "login": done.login, "online": str(done.online)}
        _tell(json.dumps({**said, "pin": done.pin, "password": made}))
        return 0
    _tell(f"The plane {wanted.plane!r} is made in {done.directory}.")
    _tell(f"  pin       {done.pin}")
    _tell(f"  sign in   {done.login}" + (f"  password {made}  (shown once)" if made else ""))
    _tell(f"  next      checkvalve serve --data {done.directory}")
    if root is None:
        _tell(f"  releases  need a root of trust, made by those who will sign, with this plane's key {done.online}")
        _tell("            checkvalve keys init --plane-key online.pub, then here: checkvalve init --root root.json")
    return 0


def _give_root(args: argparse.Namespace, root: bytes) -> int:
    digest = founding.give_root(args.data, settings.read(args.data), root, ORIGINS)
    if args.json:
        _tell(json.dumps({"data": str(args.data), "root": digest}))
    else:
        _tell(f"The plane in {args.data} has its root of trust; devices pin {digest}.")
    return 0


def _root(name: str) -> bytes:
    try:
        with Path(name).open("rb") as file:
            return file.read(metadata.LARGEST + 1)  # what is longer is refused as such
    except OSError as error:
        sentence = f"{name} cannot be read: {error.strerror}."
        raise InvalidError("trust.file", sentence, "Give the root.json that `checkvalve keys init` wrote.") from error


def _serve(args: argparse.Namespace) -> int:
    read = settings.read(args.data)
    return uvloop.run(running.serve(args.data, read, args.role, ORIGINS, _ready_json if args.json else _ready))


def _reset_password(args: argparse.Namespace) -> int:
    read = settings.read(args.data)
    password, made = _password(args)
    database = Database.open(read.database, args.data)
    try:
        founding.reset_password(database, args.login, password, ORIGINS)
    finally:
        database.close()
    if args.json:
        _tell(json.dumps({"login": args.login, "password": made}))
    else:
        _tell(f"{args.login} has another password" + (f": {made}  (shown once)" if made else "."))
    return 0


def _new_values_key(args: argparse.Namespace) -> int:
    read = settings.read(args.data)
    with running.alone(args.data, read):
        number = founding.new_values_key(args.data, read, ORIGINS, sure=args.yes)
    if args.json:
        _tell(json.dumps({"data": str(args.data), "taken": number}))
    else:
        _tell(f"The plane in {args.data} has another key for secrets. To be set again: {number}.")
        _tell("  see what   checkvalve config history --at ORGANISATION")
        _tell(f"  keep it    back up {args.data / 'keys' / 'values.key'}; give it to each process of this plane")
    return 0


def _ready(told: running.Ready) -> None:
    _tell(f"checkvalve {__version__}, plane {told.plane!r}")
    if told.operators:
        _tell(f"  people    {told.operators}")
    if told.devices:
        _tell(f"  devices   {told.devices}")
    _tell(f"  pin       {told.pin}")
    _tell("Ready. Ctrl-C stops it.")


def _ready_json(told: running.Ready) -> None:
    _tell(json.dumps({"devices": told.devices, "operators": told.operators, "pin": told.pin, "plane": told.plane}))


def _password(args: argparse.Namespace) -> tuple[str, str]:
    """Return the password to use, and it once more if it was made here and must be shown."""
    if args.password_file == "-":
        return sys.stdin.readline().rstrip("\n"), ""
    if args.password_file:
        try:
            return Path(args.password_file).read_text().rstrip("\n"), ""
        except OSError as error:
            sentence = f"{args.password_file} cannot be read: {error.strerror}."
            raise InvalidError("password.file", sentence, "Give a file, or - for standard input.") from error
    if sys.stdin.isatty():
        first = getpass.getpass("Password (empty: make one): ")
        if first:
            if getpass.getpass("Once more: ") != first:
                raise InvalidError("password.differs", "The two passwords differ.", "Type them again.")
            return first, ""
    made = _made_password()
    return made, made


def _made_password() -> str:
    # 24 of 32 letters and digits that are hard to mistake for one another: 120 bits.
    letters = "".join(sorted(set(string.ascii_lowercase + string.digits) - set("l1o0")))
    text = "".join(letters[byte % 32] for byte in clock.entropy(24))
    return "-".join(text[start : start + 6] for start in range(0, 24, 6))


def _address(text: str) -> Listener:
    host, colon, port = text.rpartition(":")
    try:
        number = int(port)
    except ValueError:
        number = -1
    if not 0 <= number < 1 << 16:
        raise InvalidError(
            "settings.address", f"{text!r} is no address and port.", "For instance 0.0.0.0:9443 or [::]:9443."
        )
    return Listener(host.strip("[]") if colon else "127.0.0.1", number)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="checkvalve", description="Commands for the machine of the plane itself.")
    commands = parser.add_subparsers(required=True, metavar="init | serve | reset-password | new-values-key")

    def command(
        name: str, function: Callable[[argparse.Namespace], int], sentence: str, example: str
    ) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=sentence, description=sentence, epilog=f"Example: {example}")
        added.set_defaults(command=function)
        home = Path(os.environ.get("CHECKVALVE_HOME", HOME))
        added.add_argument(
            "--data", type=Path, default=home, help="data directory (default: $CHECKVALVE_HOME or %(default)s)"
        )
        added.add_argument("--json", action="store_true", help="print JSON")
        return added

    init = command(
        "init",
        _init,
        "Make a plane: keys, database, first administrator.",
        "checkvalve init --data /var/lib/checkvalve --name norra --names plane.norra.example,192.0.2.10 --admin anna",
    )
    init.add_argument("--name", default="checkvalve", help="what people call this plane")
    init.add_argument(
        "--names", default="localhost,127.0.0.1", help="DNS names and IP addresses it is reached by, with commas"
    )
    init.add_argument("--admin", default="admin", help="login of the first administrator")
    init.add_argument("--operators", default="127.0.0.1:9443", help="address and port for people")
    init.add_argument("--devices", default="127.0.0.1:8443", help="address and port for devices")
    init.add_argument("--database", default="sqlite:", help="postgresql://… instead of SQLite in the data directory")
    init.add_argument("--password-file", default="", help=PASSWORD_FILE)
    init.add_argument(
        "--root",
        default="",
        help="root.json with the public halves of the signers' keys; also for a plane that is made",
    )

    serve = command("serve", _serve, "Run the plane.", "checkvalve serve --data /var/lib/checkvalve")
    serve.add_argument("--role", choices=running.ROLES, default="all", help="one listener only (needs PostgreSQL)")

    reset = command(
        "reset-password",
        _reset_password,
        "Let a person in again from this machine.",
        "checkvalve reset-password --login anna",
    )
    reset.add_argument("--login", required=True)
    reset.add_argument("--password-file", default="", help=PASSWORD_FILE)
    anew = command(
        "new-values-key",
        _new_values_key,
        "Go on where keys/values.key is lost for good: secrets have to be set again.",
        "checkvalve new-values-key --yes",
    )
    anew.add_argument("--yes", action="store_true", help="the key is lost, and there is no backup of it")
    return parser


def _tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _tell_error(error: CheckvalveError, *, as_json: bool) -> None:
    if as_json:
        said = {"code": error.code, "remedy": error.remedy, "sentence": error.sentence}
        sys.stderr.write(json.dumps(said) + "\n")
    else:
        sys.stderr.write(f"checkvalve: {error.sentence} {error.remedy}  [{error.code}]\n")
