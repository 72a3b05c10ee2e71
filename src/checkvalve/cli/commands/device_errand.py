# SPDX-License-Identifier: Apache-2.0
"""Small orders to one device: `device logs|restart|bundle|reboot`, `device errands|errand|cancel`."""

import contextlib
import re
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from checkvalve.cli import awaiting, client, devices, errands, files, output, times
from checkvalve.cli.failures import UsageError
from checkvalve.cli.invocation import USUAL, All, Before, Invocation, Limit, verb
from checkvalve.cli.progress import size
from checkvalve.errors import ConflictError, ForbiddenError, NotFoundError
from checkvalve.protocol import api, fleet
from checkvalve.protocol import errands as forms
from checkvalve.protocol.errand import LARGEST_CONTENT, MOST_LINES

Which = Annotated[str, typer.Argument(metavar="DEVICE", help="Name or id, of `device list`.")]
Service = Annotated[str, typer.Argument(metavar="SERVICE", help="As `device show` lists it.")]
Reason = Annotated[str, typer.Option(metavar="TEXT", help="Why; it stands in the record.")]
Within = Annotated[
    str, typer.Option(metavar="SPAN", help="How long it may be begun: 30m, 12h, 7d; without, 15m, async 24h.")
]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Order it and leave; look later with `device errand`.")]
Output = Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="Save there what it brings.")]
Ident = Annotated[str, typer.Argument(metavar="ID", help="Of `device errands`.")]

_UNFIT = re.compile(r"[^0-9A-Za-z._-]+")  # for the name of a file


class State(StrEnum):
    """How a small order stands."""

    waiting = "waiting"
    done = "done"
    refused = "refused"
    failed = "failed"
    cancelled = "cancelled"
    lost = "lost"


def register(group: typer.Typer) -> None:
    """Add the verbs."""
    verb(group, "logs", "checkvalve device logs pump-3 web --since 2h --lines 500", scoped=True)(logs)
    why = '--why "stuck since the sensor was changed"'
    verb(group, "restart", f"checkvalve device restart pump-3 web {why}", scoped=True)(restart)
    verb(group, "bundle", "checkvalve device bundle pump-3 --output pump-3.tar.gz", scoped=True)(bundle)
    why = '--why "new kernel, MOC-1042"'
    verb(group, "reboot", f"checkvalve device reboot pump-3 {why} --within 2h", scoped=True)(reboot)
    verb(group, "errands", "checkvalve device errands pump-3 --state waiting", scoped=True)(listed)
    verb(group, "errand", "checkvalve device errand 06e5q0kq3w8v9z2x4c6b8n0m1a")(errand)
    verb(group, "cancel", "checkvalve device cancel 06e5q0kq3w8v9z2x4c6b8n0m1a")(cancel)


def logs(  # noqa: PLR0913 - one field each
    run: Invocation,
    device: Which,
    service: Annotated[str, typer.Argument(metavar="SERVICE", help="As `device show` lists it; else all.")] = "",
    *,
    since: Annotated[str, typer.Option(metavar="SPAN", help="How long ago to begin: 30m, 2h, 1d.")] = "",
    lines: Annotated[int, typer.Option(min=1, max=MOST_LINES, help="The newest so many of each container.")] = 200,
    why: Reason = "",
    within: Within = "",
    no_wait: NoWait = False,
    out: Output = "",
) -> None:
    """Fetch what the containers of a device said, and print it. Its own journal is `device log`.

    Secrets of the release are masked at the device.
    """
    seconds = round(times.span(since).total_seconds()) if since else 0
    body = forms.NewErrand(kind="logs", service=service, since=seconds, lines=lines, minutes=_minutes(within), why=why)
    _ordered(run, devices.device(run, device), body, _target(out, no_wait=no_wait), wait=not no_wait)


def restart(
    run: Invocation, device: Which, service: Service, *, why: Reason, within: Within = "", no_wait: NoWait = False
) -> None:
    """Stop the container of one service on a device and start it again, the same one. It needs no permit."""
    body = forms.NewErrand(kind="restart", service=service, minutes=_minutes(within), why=why)
    _ordered(run, devices.device(run, device), body, None, wait=not no_wait)


def bundle(
    run: Invocation, device: Which, *, why: Reason = "", within: Within = "", no_wait: NoWait = False, out: Output = ""
) -> None:
    """Fetch a support bundle of a device into a file: here, named for the device, without `--output`."""
    body = forms.NewErrand(kind="bundle", minutes=_minutes(within), why=why)
    _ordered(run, devices.device(run, device), body, _target(out, no_wait=no_wait), wait=not no_wait)


def reboot(run: Invocation, device: Which, *, why: Reason, within: Within = "", no_wait: NoWait = False) -> None:
    """Start the whole machine of a device anew. Its permit, its window and lock-out tags are asked there first."""
    body = forms.NewErrand(kind="reboot", minutes=_minutes(within), why=why)
    one = devices.device(run, device)
    running = [box.service for box in one.status.workloads if box.state == "running"] if one.status else []
    run.agreed(
        f"The machine of {one.name} ({one.id}) in {run.called(one.scope)} is started anew, as soon as it hears of it.",
        f"This stops meanwhile: {', '.join(running)}." if running else "It has not said what runs there.",
        "Reboot it?",
    )
    _ordered(run, one, body, None, wait=not no_wait)


def listed(
    run: Invocation,
    device: Annotated[str, typer.Argument(metavar="DEVICE", help="Name or id; else those within --scope.")] = "",
    *,
    state: Annotated[State | None, typer.Option(help="In this state only.")] = None,
    limit: Limit = USUAL,
    every: All = False,
    before: Before = "",
) -> None:
    """List small orders, newest first, and what came of them."""
    one = devices.device(run, device) if device else None
    query = {"device": one.id if one else "", "state": state.value if state else ""}
    data = run.listed("/api/v1/errands", None if every else limit, before, **query)
    called = {} if one or run.flags.as_json or run.flags.quiet else _names(run, data)
    run.show_list(
        data,
        forms.Errand,
        ("ID", *([] if one else ["DEVICE"]), "WHAT", "STATE", "ORDERED", "BY", "UNTIL", "ENDED", "WHAT CAME OF IT"),
        lambda each: (
            each.id,
            *([] if one else [called.get(each.device, each.device)]),
            errands.what(each),
            errands.state(each),
            times.short(each.made_at),
            run.login(each.made_by),
            times.short(each.until),
            times.short(each.ended_at),
            errands.outcome(each),
        ),
        "Nothing was ordered like that; fetch logs, for instance, with: checkvalve device logs DEVICE",
    )


def errand(run: Invocation, ident: Ident, *, no_wait: NoWait = False, out: Output = "") -> None:
    """Look at a small order: wait until it has ended, and print or save what it brought."""
    target = _target(out, no_wait=no_wait)
    data = run.plane.raw("GET", errands.at(ident))
    one = client.decode(data, forms.Errand)
    _followed(run, _device(run, one), data, target, wait=not no_wait)


def cancel(run: Invocation, ident: Ident, *, why: Reason = "") -> None:
    """Take back a small order that waits. A device that was given it already may do it all the same."""
    data = run.plane.raw("POST", errands.at(ident, "cancel"), forms.Cancelling(why=why))

    def shown(one: forms.Errand) -> None:
        output.say(errands.ended(one, _device(run, one).name))
        if one.given_at:
            output.note("The device was given it before: it may do it all the same, and then that counts.")

    run.show(data, forms.Errand, shown, lambda one: one.id)


def _ordered(
    run: Invocation, device: fleet.WholeDevice, body: forms.NewErrand, target: Path | None, *, wait: bool
) -> None:
    data = run.plane.raw("POST", f"/api/v1/devices/{device.id}/errands", body)
    made = client.decode(data, forms.Errand)
    _followed(run, device, data, target, f"Ordered the {errands.what(made)} of {device.name}  {made.id}", wait=wait)


def _followed(
    run: Invocation, device: fleet.WholeDevice, data: bytes, target: Path | None, first: str = "", *, wait: bool
) -> None:
    """Tell how a small order stands, or wait for its end and hand over what it brought."""
    one = client.decode(data, forms.Errand)
    if wait:
        data, one = awaiting.follow(run, data, device, first)
    if one.state == "waiting":
        run.show(data, forms.Errand, lambda each: _stands(each, device), lambda each: each.id)
        return
    if run.flags.as_json or run.flags.quiet:
        run.show(data, forms.Errand, lambda _: None, lambda each: each.id)
    awaiting.judged(run, one, device.name)
    _handed_over(run, one, device.name, target)


def _stands(one: forms.Errand, device: fleet.WholeDevice) -> None:
    output.say(f"{one.id}  {errands.what(one)}, {device.name}: {errands.state(one)}, until {times.short(one.until)}")
    for line in errands.following(one, device.name):
        output.note(line)


def _handed_over(run: Invocation, one: forms.Errand, name: str, target: Path | None) -> None:
    brief = run.flags.as_json or run.flags.quiet
    if one.content is None or (brief and target is None):
        if not brief:
            output.say(errands.ended(one, name))
        return
    if target is None and one.kind == "bundle":
        target = Path(f"{_UNFIT.sub('-', name)}-bundle-{one.id}.tar.gz")
    largest = forms.LARGEST_TEXT if one.kind == "logs" else LARGEST_CONTENT
    data = run.plane.document(errands.at(one.id, "content"), largest)
    if target is None:
        _printed(data)
        return
    files.make({target: files.New(data, files.SECRET)})
    if not brief:
        output.say(f"{target}: {size(len(data))}. Read it before you send it on.")


def _printed(data: bytes) -> None:
    if data:
        output.text(data)
    else:
        output.note("The containers said nothing in that time.")


def _target(out: str, *, no_wait: bool) -> Path | None:
    """Return where to save, if anywhere, before anything is ordered.

    Raises `UsageError` (`cli.output`), `ConflictError` (`file.exists`).
    """
    if not out:
        return None
    if no_wait:
        raise UsageError(
            "cli.output", "With --no-wait nothing is there to save yet.", "Leave --output to `device errand ID`, later."
        )
    target = Path(out)
    if target.exists() or target.is_symlink():
        raise ConflictError("file.exists", f"{out} is there already, and nothing is overwritten.", "Give another name.")
    return target


def _minutes(within: str) -> int | None:
    """Return how long it may be begun; None where that is left to the plane. `UsageError` (`cli.time`)."""
    if not within:
        return None
    minutes = times.span(within) // timedelta(minutes=1)
    if not 1 <= minutes <= forms.LONGEST_WAIT:
        raise UsageError("cli.time", f"{within} is too short or too long.", "Give 1m to 7d.")
    return minutes


def _device(run: Invocation, one: forms.Errand) -> fleet.WholeDevice:
    return run.plane.get(f"/api/v1/devices/{one.device}", fleet.WholeDevice)


def _names(run: Invocation, data: bytes) -> dict[str, str]:
    """Return what the devices of a list are called; those that one may not see are left out."""
    names = {}
    for ident in {each.device for each in client.decode(data, api.Page[forms.Errand]).items}:
        with contextlib.suppress(ForbiddenError, NotFoundError):
            names[ident] = run.plane.get(f"/api/v1/devices/{ident}", fleet.WholeDevice).name
    return names
