# SPDX-License-Identifier: Apache-2.0
"""What devices told and signed: `device receipts|receipt|log`."""

from pathlib import Path
from typing import Annotated

import typer

from checkvalve.cli import devices, files, output, receipts, times
from checkvalve.cli.commands import verify
from checkvalve.cli.invocation import USUAL, All, Before, Invocation, Limit, verb
from checkvalve.cli.receipts import short
from checkvalve.crypto import envelope, keys
from checkvalve.errors import ConflictError, NotFoundError
from checkvalve.protocol import api, fleet

Which = Annotated[str, typer.Argument(metavar="DEVICE", help="Name or id, of `device list`.")]


def register(group: typer.Typer) -> None:
    """Add the verbs."""
    verb(group, "receipts", "checkvalve device receipts pump-3", scoped=True)(listed)
    verb(group, "receipt", "checkvalve device receipt pump-3 --out receipt.json", scoped=True)(receipt)
    verb(group, "log", "checkvalve device log pump-3 --limit 20", scoped=True)(log)


def listed(run: Invocation, device: Which, *, limit: Limit = USUAL, every: All = False, before: Before = "") -> None:
    """List what a device signed about its attempts, newest first."""
    one = devices.device(run, device)
    data = run.listed(f"/api/v1/devices/{one.id}/receipts", None if every else limit, before)
    run.show_list(
        data,
        fleet.Receipt,
        ("RECEIPT", "CAME", "OUTCOME", "RELEASE", "ATTEMPT", "CODE", "WHY"),
        lambda each: (
            short(each.digest),
            times.short(each.came_at),
            each.outcome.value,
            short(each.release),
            each.attempt,
            each.code or "-",
            each.reason,
        ),
        "It has signed nothing yet; it does so when an attempt has ended.",
        brief=lambda each: each.digest,
    )


def receipt(
    run: Invocation,
    device: Which,
    which: Annotated[
        str, typer.Argument(metavar="[RECEIPT]", help="Its digest, or how that begins; else the newest.")
    ] = "",
    *,
    out: Annotated[str, typer.Option(metavar="FILE", help="Save the signed bytes there.")] = "",
    raw: Annotated[bool, typer.Option("--raw", help="Print the signed bytes, to be checked elsewhere.")] = False,
    key: verify.KeyFile = "",
) -> None:
    """Fetch what a device signed, check its signature, and show it. Without `--key` the plane is asked for the key."""
    one = devices.device(run, device)
    found = _found(run, one, which)
    data = run.plane.document(f"/api/v1/receipts/{found.digest}", envelope.LARGEST)
    public = verify.public_key(key) if key else keys.load_public(one.public.encode())
    checked = receipts.check(data, public, f"receipt {short(found.digest)}")
    if out:
        files.make({Path(out): files.New(data)})
        run.done(b"", f"Saved to {out}. Check it anywhere: checkvalve verify receipt {out} --key DEVICE.pub")
    elif raw:
        output.exact(data)
    else:
        verify.tell(run, checked)


def log(
    run: Invocation,
    device: Which,
    *,
    attempt: Annotated[str, typer.Option(metavar="ID", help="Of this attempt only.")] = "",
    limit: Limit = USUAL,
    every: All = False,
    before: Annotated[str, typer.Option(metavar="MARK", help="Go on before this one.")] = "",
) -> None:
    """Show what a device did, newest first: the lines of its journal, by its own clock."""
    one = devices.device(run, device)
    data = run.listed(f"/api/v1/devices/{one.id}/events", None if every else limit, before, attempt=attempt)
    run.show_list(
        data,
        fleet.DeviceEvent,
        ("NO.", "AT (ITS CLOCK)", "CAME", "WHAT", "RELEASE", "CODE", "WHY", "ATTEMPT"),
        lambda each: (
            str(each.seq),
            times.short(each.at),
            times.short(each.came_at),
            each.state.value if each.kind == "state" else each.kind,
            short(each.release) or "-",
            each.code or "-",
            each.reason or "-",
            each.attempt or "-",
        ),
        "It has told nothing yet, or nothing of that attempt.",
        brief=lambda each: f"{each.journal}:{each.seq}",
    )


def _found(run: Invocation, one: fleet.WholeDevice, which: str) -> fleet.Receipt:
    path = f"/api/v1/devices/{one.id}/receipts"
    wanted = which.strip().lower().removeprefix("sha256:")
    if not wanted:
        found = run.plane.get(path, api.Page[fleet.Receipt], limit=1).items
    else:
        found = [each for each in run.every(path, fleet.Receipt, "before") if each.digest.startswith(wanted)]
    if len(found) == 1:
        return found[0]
    if found:
        remedy = "\n".join(["Give more of it:", *(each.digest for each in found[:10])])
        raise ConflictError("receipt.ambiguous", f"{len(found)} receipts of {one.name} begin with {which!r}.", remedy)
    how = f"No receipt of {one.name} begins with {which!r}." if wanted else f"{one.name} has signed nothing yet."
    raise NotFoundError("receipt.not_found", how, f"`checkvalve device receipts {one.name}` shows what there is.")
