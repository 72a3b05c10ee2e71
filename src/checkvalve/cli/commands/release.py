# SPDX-License-Identifier: Apache-2.0
"""What may run: `release create|list|show|diff`, and the draft of the list that people sign (`release_draft`)."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec
import typer

from checkvalve.cli import client, files, output, releases
from checkvalve.cli.commands import release_draft, release_sign
from checkvalve.cli.failures import UnverifiedError, UsageError
from checkvalve.cli.invocation import USUAL, All, Before, Invocation, Limit, noun, verb
from checkvalve.cli.progress import size
from checkvalve.cli.releases import short
from checkvalve.errors import ConflictError, InvalidError
from checkvalve.protocol import supply, workload

Engine = Literal["docker", "podman"]
Which = Annotated[str, typer.Argument(metavar="RELEASE", help="name@version, or the id, of `release list`.")]


def register(app: typer.Typer) -> None:
    """Add the noun."""
    group = noun(app, "release", "What may run: made of compose files, signed by people with keys.")
    example = 'checkvalve release create compose.yaml --scope "Norra Water" --version 2.4.1'
    verb(group, "create", example, scoped=True)(create)
    verb(group, "list", "checkvalve release list --state published", scoped=True)(listed)
    verb(group, "show", "checkvalve release show pump-station@2.4.1", scoped=True)(show)
    verb(group, "diff", "checkvalve release diff pump-station@2.4.1", scoped=True)(diff)
    release_draft.register(group)
    release_sign.register(group)


def create(
    run: Invocation,
    file: Annotated[str, typer.Argument(metavar="FILE", help="A compose file; - is standard input.")],
    *,
    name: Annotated[str, typer.Option(metavar="NAME", help="Instead of what the file says.")] = "",
    version: Annotated[str, typer.Option(metavar="VERSION", help="Instead of what the file says.")] = "",
    profile: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="With the services of this profile; may be repeated.")
    ] = None,
    engine: Annotated[
        Engine, typer.Option(metavar="NAME", help="What its devices have, docker or podman; refuses what that cannot.")
    ] = "docker",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would become, and stop.")] = False,
) -> None:
    """Make a release of a compose file, in `--scope`. It may run once people have signed it."""
    scope = run.required_scope()
    body = supply.NewRelease(
        scope=scope, source=_text(file), name=name, version=version, profiles=tuple(profile or ()), engine=engine
    )
    data = run.plane.raw("POST", "/api/v1/releases/check", body)
    checked = client.decode(data, supply.Checked)
    if checked.problems:
        _refuse(run, file, data, checked)
    if dry_run:
        run.show(data, supply.Checked, _tell, lambda one: one.digest)
        return
    if checked.same:
        raise ConflictError(
            "release.same",
            f"This is {checked.same} already, to the last byte; nothing was made.",
            "Take that one; to make it anew, give it another --version.",
        )
    if not run.flags.as_json and not run.flags.quiet:
        _tell(checked)
    run.agreed("Make this release?")
    made_data = run.plane.raw("POST", "/api/v1/releases", body)
    made = client.decode(made_data, supply.Release)
    if made.digest != checked.digest:
        raise UnverifiedError(
            "release.differs",
            f"What was made ({short(made.digest)}) is not what was shown ({short(checked.digest)}).",
            "An image was imported in between, or worse. Look: checkvalve release draft; and discard it.",
        )
    run.show(made_data, supply.Release, lambda one: _made(run, one), lambda one: one.id)


def listed(
    run: Invocation,
    *,
    name: Annotated[str, typer.Option(metavar="NAME", help="Of this name only.")] = "",
    state: Annotated[str, typer.Option(metavar="STATE", help="drafted, published, withdrawn or discarded only.")] = "",
    limit: Limit = USUAL,
    every: All = False,
    before: Before = "",
) -> None:
    """List releases, newest first."""
    data = run.listed("/api/v1/releases", None if every else limit, before, name=name, state=state)
    run.show_list(
        data,
        supply.Release,
        ("NAME@VERSION", "NO.", "STATE", "DIGEST", "SIZE", "SERVICES", "SCOPE"),
        lambda one: (
            f"{one.name}@{one.version}",
            str(one.number),
            releases.state(one),
            short(one.digest),
            size(one.size),
            " ".join(one.services),
            run.called(one.scope),
        ),
        "There are no releases like that; make one with: checkvalve release create compose.yaml --scope SCOPE",
    )


def show(run: Invocation, release: Which) -> None:
    """Show a release: what it runs, and who has signed it."""
    one = releases.release(run, release)
    data = run.plane.raw("GET", f"/api/v1/releases/{one.id}")
    run.show(data, supply.Release, lambda found: _shown(run, found), lambda found: found.id)


def diff(run: Invocation, release: Which) -> None:
    """Show what differs between a release and the one before it."""
    one = releases.release(run, release)
    data = run.plane.raw("GET", f"/api/v1/releases/{one.id}/differences")
    if run.flags.as_json:
        output.json(data)
        return
    found = client.decode(data, list[supply.Difference])
    if run.flags.quiet:
        for each in found:
            output.say(each.path)
    elif found:
        releases.differences(found)
    else:
        output.note("Nothing differs from the release before.")


def _text(file: str) -> str:
    data = files.read(file, workload.LARGEST)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError("file.text", f"{file} is no text in UTF-8.", "Give a compose file.") from error


def _refuse(run: Invocation, file: str, data: bytes, checked: supply.Checked) -> None:
    if run.flags.as_json:
        output.json(data)
    else:
        for one in checked.problems:
            instead = f" / {one.instead}" if one.instead else ""
            output.say(f"{'stdin' if file == '-' else Path(file).name}:{one.line}  {one.path}  {one.sentence}{instead}")
    count = len(checked.problems)
    raise InvalidError(
        "compose.problems",
        f"{count} {'thing is' if count == 1 else 'things are'} wrong in {file}; nothing was changed.",
        "Each line above says where, and what to write instead.",
    )


def _tell(checked: supply.Checked) -> None:
    output.say(f"{checked.name} {checked.version}  {checked.digest}")
    for note in checked.notes:
        output.say(f"note: {note}")
    may = releases.rights(msgspec.convert(checked.manifest, workload.Manifest)) if checked.manifest else []
    if may:
        output.say("What it may do on the device:")
    for line in may:
        output.say(f"  {line}")
    if checked.same:
        output.say(f"This is {checked.same} already.")
    elif not checked.previous:
        output.say("It is the first of its name here.")
    elif checked.differences:
        output.say(f"What differs from {checked.previous}:")
        releases.differences(checked.differences)
    else:
        output.say(f"Nothing differs from {checked.previous} but the version.")


def _made(run: Invocation, one: supply.Release) -> None:
    output.say(f"Made {one.name} {one.version}  {one.ref}")
    draft = releases.open_draft(run)
    if draft is None:
        output.note("The draft that it waits in is not for you to see.")
        return
    count = f"{draft.needed} signature{'' if draft.needed == 1 else 's'}"
    output.say(f"It may run after {count}. Each signer: checkvalve release sign --key NAME.key")


def _shown(run: Invocation, one: supply.Release) -> None:
    output.fields(releases.pairs(run, one))
    data = run.plane.document(f"/api/v1/releases/{one.id}/manifest", workload.LARGEST)
    if workload.digest(data) != one.digest:
        raise UnverifiedError(
            "release.differs",
            "The manifest that the plane shows is not that of this release.",
            "Do not sign or roll it out. Have the plane looked at.",
        )
    manifest = workload.read(data)
    output.fields(
        [
            ("size", f"{size(one.size)} for a device that has none of it"),
            ("gate", releases.gate(manifest)),
            ("volumes", releases.volumes(manifest)),
        ]
    )
    output.table(("SERVICE", "IMAGE", "CONFIG", "PLATFORM"), releases.images(manifest))
    may = releases.rights(manifest)
    output.say(f"What it may do on the device{':' if may else f': {releases.NO_RIGHTS}.'}")
    for line in may:
        output.say(f"  {line}")
    drafts = run.every("/api/v1/drafts", supply.Draft, "before")
    for draft in drafts:
        if any(change.release == one.id and change.kind == "add" for change in draft.changes):
            output.fields([("draft", f"{draft.id}  {draft.state}"), *releases.signed(run, draft)])
            return
