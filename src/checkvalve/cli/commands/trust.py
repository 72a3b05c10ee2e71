# SPDX-License-Identifier: Apache-2.0
"""Whom devices believe: `trust show|install|plane-key`."""

from typing import Annotated

import msgspec
import typer

from checkvalve import clock
from checkvalve.cli import files, output, roots, times, trustview
from checkvalve.cli.failures import UsageError
from checkvalve.cli.invocation import Invocation, noun, verb
from checkvalve.crypto import metadata
from checkvalve.errors import ConflictError
from checkvalve.protocol import supply


def register(app: typer.Typer) -> None:
    """Add the noun."""
    group = noun(app, "trust", "Whom devices believe: the root of trust and what it says.")
    verb(group, "show", "checkvalve trust show")(show)
    verb(group, "install", "checkvalve trust install root.json")(install)
    verb(group, "plane-key", "checkvalve trust plane-key > online.pub")(plane_key)


def show(run: Invocation) -> None:
    """Show who must sign what, and how long it is good."""
    run.show(run.plane.raw("GET", "/api/v1/trust"), supply.Trust, _tell, lambda one: one.root)


def install(
    run: Invocation,
    file: Annotated[str, typer.Argument(metavar="ROOT.JSON", help="A root of trust with all signatures it needs.")],
) -> None:
    """Give the plane its root of trust, or the one that follows it. A device that joins pins the one in force."""
    data = files.read(file, metadata.LARGEST)
    now = run.plane.get("/api/v1/trust", supply.Trust)
    previous = _in_force(run) if now.root else None
    told = roots.told(data, previous if roots.told(data).version > 1 else None)
    text = _text(data, file)
    online = {keyid for role in told.roles if role.name == metadata.TIMESTAMP for keyid in role.keyids}
    if online != {now.plane_keyid}:
        raise ConflictError(
            "trust.not_this_plane",
            f"{file} names another plane's key, or several.",
            "Make it with this plane's: checkvalve trust plane-key > online.pub; "
            "then keys init --plane-key online.pub.",
        )
    if not run.flags.yes:
        trustview.root(told, output.note)
    what = "Every device of this plane will believe what these people sign, from its enrolment on."
    run.agreed(what, "Install it?")
    answer = run.plane.raw("POST", "/api/v1/trust/root", supply.NewRoot(root=text))

    def shown(one: supply.Trust) -> None:
        output.say(f"Root of trust {told.version} is installed. Devices pin {one.root}")
        output.say("Next: checkvalve image import FILE, then checkvalve release create compose.yaml")

    run.show(answer, supply.Trust, shown, lambda one: one.root)


def plane_key(run: Invocation) -> None:
    """Print the plane's own public key, which a root of trust for it must name."""
    one = run.plane.get("/api/v1/trust", supply.Trust)
    if run.flags.as_json:
        output.json(msgspec.json.encode({"plane_key": one.plane_key, "plane_keyid": one.plane_keyid}))
    elif run.flags.quiet:
        output.say(one.plane_keyid)
    else:
        for line in one.plane_key.splitlines():
            output.say(line)


def _in_force(run: Invocation) -> bytes:
    """Return the root of trust that is in force on the plane."""
    return run.plane.document("/api/v1/trust/root.json", supply.LARGEST_METADATA)


def _text(data: bytes, file: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise UsageError("file.text", f"{file} is no text in UTF-8.", "Give root.json, as `keys` wrote it.") from error


def _tell(one: supply.Trust) -> None:
    if not one.root:
        output.note("This plane has no root of trust yet, and nothing may run. Make one, away from the plane:")
        output.note("  checkvalve trust plane-key > online.pub")
        output.note("  checkvalve keys init --plane-key online.pub --out keys")
        output.note("  checkvalve trust install keys/root.json")
    output.fields([("pin", one.root and f"sha256:{one.root}"), ("plane's key", one.plane_keyid)])
    if one.roles:
        rows = [(each.name, f"{each.threshold} of {len(each.keyids)}", " ".join(each.keyids)) for each in one.roles]
        output.table(("ROLE", "MUST SIGN", "KEYS"), rows)
    if one.metadata:
        now = clock.now()
        output.table(
            ("FILE", "VERSION", "EXPIRES", ""),
            [
                (
                    each.role,
                    str(each.version),
                    times.short(each.expires),
                    _life(each, trustview.in_words(each.expires, now)),
                )
                for each in one.metadata
            ],
        )


def _life(one: supply.Metadata, words: str) -> str:
    return f"EXPIRED {words}" if one.expired else words
