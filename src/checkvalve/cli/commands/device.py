# SPDX-License-Identifier: Apache-2.0
"""Devices, and whether they are let in: `device list|show|edit|quarantine|accept|retire|key`."""

from enum import StrEnum
from typing import Annotated

import msgspec
import typer

from checkvalve.cli import devices, output, times
from checkvalve.cli.commands import device_errand, device_invite, device_receipt
from checkvalve.cli.failures import UsageError
from checkvalve.cli.invocation import USUAL, All, Invocation, Limit, noun, verb
from checkvalve.protocol import fleet

Which = Annotated[str, typer.Argument(metavar="DEVICE", help="Name or id, of `device list`.")]
Why = Annotated[str, typer.Option(metavar="TEXT", help="It stands in the record, and where the device is shown.")]


class Trust(StrEnum):
    """Whether a device is let in."""

    accepted = "accepted"
    observe = "observe"
    quarantined = "quarantined"
    retired = "retired"


class Liveness(StrEnum):
    """How long ago it was heard."""

    online = "online"
    late = "late"
    offline = "offline"
    never_seen = "never_seen"


class Condition(StrEnum):
    """The worst that is known of it."""

    degraded = "degraded"
    quarantined = "quarantined"
    crashing = "crashing"
    failed = "failed"
    silent = "silent"
    never_seen = "never_seen"
    late = "late"
    changing = "changing"
    well = "well"
    retired = "retired"


class Order(StrEnum):
    """What a list goes by."""

    name = "name"
    silent = "silent"
    crashing = "crashing"


def register(app: typer.Typer) -> None:
    """Add the noun."""
    group = noun(app, "device", "Devices: who is let in, what they run, what they told and signed.")
    device_invite.register(group)
    verb(group, "list", "checkvalve device list --tag pump --liveness offline", scoped=True)(listed)
    verb(group, "show", "checkvalve device show pump-3", scoped=True)(show)
    edited = 'checkvalve device edit pump-3 --name "pump 3" --tag north --move "Norra Water/Visby"'
    verb(group, "edit", edited, scoped=True)(edit)
    locked = 'checkvalve device quarantine pump-3 --reason "cabinet was found open"'
    verb(group, "quarantine", locked, scoped=True)(quarantine)
    verb(group, "accept", 'checkvalve device accept pump-3 --reason "looked at it on site"', scoped=True)(accept)
    verb(group, "retire", 'checkvalve device retire pump-3 --reason "replaced by pump-4"', scoped=True)(retire)
    verb(group, "key", "checkvalve device key pump-3 > pump-3.pub", scoped=True)(key)
    device_receipt.register(group)
    device_errand.register(group)


def listed(  # noqa: PLR0913 - one filter each
    run: Invocation,
    *,
    tag: Annotated[list[str], typer.Option(metavar="TAG", help="With this tag only; said again, with both.")] = [],  # noqa: B006
    text: Annotated[str, typer.Option(metavar="TEXT", help="With this in name or tags only.")] = "",
    held: Annotated[bool, typer.Option("--held", help="Those that a lock-out tag hangs for only.")] = False,
    trust: Annotated[Trust | None, typer.Option(help="Let in like this only.")] = None,
    liveness: Annotated[Liveness | None, typer.Option(help="Heard like this only.")] = None,
    condition: Annotated[list[Condition], typer.Option(help="Like this only; said again, like either.")] = [],  # noqa: B006
    sort: Annotated[
        Order, typer.Option(help="By name, or those first that are silent longest, or that crash most.")
    ] = Order.name,
    limit: Limit = USUAL,
    every: All = False,
    after: Annotated[str, typer.Option(metavar="MARK", help="Go on after this one.")] = "",
) -> None:
    """List devices, or those within `--scope`."""
    query = {
        "tag": tag,
        "text": text,
        "held": "true" if held else "",
        "trust": trust.value if trust else "",
        "liveness": liveness.value if liveness else "",
        "condition": [each.value for each in condition],
        "sort": sort.value,
    }
    data = run.listed("/api/v1/devices", None if every else limit, after, "after", **query)
    run.show_list(
        data,
        fleet.Device,
        ("NAME", "CONDITION", "LIVENESS", "SEEN", "TRUST", "RUNS", "ATTEMPT", "HELD", "TAGS", "SCOPE", "ID"),
        lambda one: (
            one.name,
            one.condition or "-",
            one.liveness,
            times.short(one.seen_at),
            one.trust,
            devices.runs(one),
            one.state.value if one.attempt else "-",
            devices.held(one),
            " ".join(one.tags),
            run.called(one.scope),
            one.id,
        ),
        "There are no devices like that; let some in with: checkvalve device invite --site SITE",
        "after",
    )


def show(run: Invocation, device: Which) -> None:
    """Show a device: whether it is let in, what runs on it, and how far its attempt has come."""
    one = devices.device(run, device)
    data = run.plane.raw("GET", f"/api/v1/devices/{one.id}")

    def shown(found: fleet.WholeDevice) -> None:
        output.fields(devices.pairs(run, found))
        rows = devices.workloads(found)
        if rows:
            output.table(("SERVICE", "IMAGE", "STATE", "HEALTH", "RESTARTS", "CRASHES"), rows)
        if found.held:
            output.table(("HELD BY", "REASON", "NUMBER", "SINCE", "WHERE", "ID"), devices.holds(run, found))

    run.show(data, fleet.WholeDevice, shown, lambda found: found.id)


def edit(
    run: Invocation,
    device: Which,
    *,
    name: Annotated[str, typer.Option(metavar="NAME", help="Its new name.")] = "",
    tag: Annotated[list[str], typer.Option(metavar="TAG", help="Give it this tag; may be said again.")] = [],  # noqa: B006
    untag: Annotated[list[str], typer.Option(metavar="TAG", help="Take this tag away; may be said again.")] = [],  # noqa: B006
    move: Annotated[str, typer.Option(metavar="SCOPE", help="The site or area where it stands now.")] = "",
) -> None:
    """Change what people say of a device: its name, its tags, its place."""
    if not (name or tag or untag or move):
        raise UsageError("cli.nothing", "What to change is not said.", "Give --name, --tag, --untag or --move.")
    one = devices.device(run, device)
    tags = tuple(dict.fromkeys([*(had for had in one.tags if had not in untag), *tag]))
    body = fleet.DeviceChange(
        name=name or None,
        tags=tags if tag or untag else None,
        scope=run.path(move) if move else None,
    )
    data = run.plane.raw("PATCH", f"/api/v1/devices/{one.id}", body)

    def shown(made: fleet.WholeDevice) -> None:
        said = f", tagged {' '.join(made.tags)}" if made.tags else ""
        output.say(f"It is {made.name} in {run.called(made.scope)} now{said}.")

    run.show(data, fleet.WholeDevice, shown, lambda made: made.id)


def quarantine(run: Invocation, device: Which, *, reason: Why) -> None:
    """Shut a device out until it is accepted again. What runs on it goes on."""
    one = devices.device(run, device)
    run.agreed(
        f"{one.name} ({one.id}) in {run.called(one.scope)} is shut out from its next request on.",
        "What runs on it goes on running; it takes nothing new.",
        "Quarantine it?",
    )
    _switched(run, one, "quarantine", reason, f"{one.name} is shut out until: checkvalve device accept {one.id}")


def accept(run: Invocation, device: Which, *, reason: Why) -> None:
    """End a quarantine."""
    one = devices.device(run, device)
    run.agreed(f"{one.name} ({one.id}) was shut out: {one.trust_reason or 'nobody said why'}", "Let it in again?")
    _switched(run, one, "accept", reason, f"{one.name} is let in again.")


def retire(run: Invocation, device: Which, *, reason: Why) -> None:
    """Take a device out of service, for ever. What runs on it is not stopped."""
    one = devices.device(run, device)
    run.agreed(
        f"{one.name} ({one.id}) in {run.called(one.scope)} is shut out for ever; its key never comes back.",
        "What it told and signed stays. The machine may join again, by a new invite, as a new device.",
        "Retire it?",
    )
    _switched(run, one, "retire", reason, f"{one.name} is retired.")


def key(run: Invocation, device: Which) -> None:
    """Print the public key that a device signs its receipts with. Its fingerprint stands in the entry of its join."""
    one = devices.device(run, device)
    if run.flags.as_json:
        output.json(msgspec.json.encode({"key": one.key, "public": one.public}))
    elif run.flags.quiet:
        output.say(one.key)
    else:
        for line in one.public.splitlines():
            output.say(line)


def _switched(run: Invocation, one: fleet.WholeDevice, verb: str, reason: str, sentence: str) -> None:
    data = run.plane.raw("POST", f"/api/v1/devices/{one.id}/{verb}", fleet.Reason(reason=reason))
    run.show(data, fleet.WholeDevice, lambda _: output.say(sentence), lambda made: made.id)
