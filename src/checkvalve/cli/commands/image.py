# SPDX-License-Identifier: Apache-2.0
"""The images that releases are made of: `image import|list|show|remove`."""

from collections.abc import Sequence
from typing import Annotated

import msgspec
import typer

from checkvalve import clock, ids
from checkvalve.cli import archives, client, output, times
from checkvalve.cli.archives import Archive
from checkvalve.cli.invocation import USUAL, All, Before, Invocation, Limit, noun, verb
from checkvalve.cli.progress import Progress, size
from checkvalve.errors import ConflictError, NotFoundError
from checkvalve.protocol import supply

Which = Annotated[str, typer.Argument(metavar="IMAGE", help="Name (historian:2.4) or id, of `image list`.")]

_DIGITS = 12  # of a digest: what lists show of it


def register(app: typer.Typer) -> None:
    """Add the noun."""
    group = noun(app, "image", "Container images that the plane holds.")
    verb(group, "import", 'checkvalve image import historian.tar --scope "Norra Water"', scoped=True)(import_)
    verb(group, "list", 'checkvalve image list --scope "Norra Water"', scoped=True)(listed)
    verb(group, "show", "checkvalve image show historian:2.4", scoped=True)(show)
    verb(group, "remove", "checkvalve image remove historian:2.3", scoped=True)(remove)


def import_(
    run: Invocation,
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...", help="docker save or OCI archive, folder of an OCI layout; - is standard input."
        ),
    ],
) -> None:
    """Bring images to `--scope`. An image is known by its config digest; its names move with each import."""
    scope = run.required_scope()
    found = [archives.archive(file) for file in files]  # all of them are there before the first is sent
    answers = []
    for each in found:
        answers.append(_sent(run, scope, each))
        if not run.flags.as_json and not run.flags.quiet:
            _tell(each, client.decode(answers[-1], supply.Imported))
    if run.flags.as_json:
        output.json(answers[0] if len(answers) == 1 else _together(answers))
    elif run.flags.quiet:
        for answer in answers:
            for one in client.decode(answer, supply.Imported).images:
                output.say(one.id)


def listed(run: Invocation, *, limit: Limit = USUAL, every: All = False, before: Before = "") -> None:
    """List images, newest first."""
    data = run.listed("/api/v1/images", None if every else limit, before)
    run.show_list(
        data,
        supply.Image,
        ("ID", "NAME", "PLATFORM", "CONFIG", "SIZE", "RELEASES", "SCOPE", "IMPORTED"),
        lambda one: (
            one.id,
            _called(one),
            one.platform,
            short(one.config),
            size(one.size),
            str(one.used_by),
            run.called(one.scope),
            times.short(one.made_at),
        ),
        "There are no images yet; bring one with: checkvalve image import FILE --scope SCOPE",
    )


def show(run: Invocation, image: Which) -> None:
    """Show an image and where it came from."""
    data = run.plane.raw("GET", f"/api/v1/images/{_id(run, image)}")
    run.show(data, supply.Image, lambda one: output.fields(_pairs(run, one)), lambda one: one.id)


def remove(run: Invocation, image: Which) -> None:
    """Take an image away that no release runs."""
    one = run.plane.get(f"/api/v1/images/{_id(run, image)}", supply.Image)
    if not run.flags.yes:
        output.fields(_pairs(run, one), output.note)
    run.agreed("Remove it from the plane?")
    data = run.plane.raw("DELETE", f"/api/v1/images/{one.id}")
    run.done(data, f"{_called(one)} is removed.")


def short(digest: str) -> str:
    """Return a digest as lists have it: its first hex digits."""
    return digest.removeprefix("sha256:")[:_DIGITS]


def _sent(run: Invocation, scope: str, archive: Archive) -> bytes:
    progress = Progress(archive.name, archive.size, clock.monotonic)
    try:
        return run.plane.upload("/api/v1/images", archive.pieces(), archive.size, progress, query={"scope": scope})
    finally:
        output.passing("")


def _tell(archive: Archive, imported: supply.Imported) -> None:
    if imported.images:
        rows = [(_called(one), one.platform, short(one.config), size(one.size)) for one in imported.images]
        output.table(("NAME", "PLATFORM", "CONFIG", "SIZE"), rows)
    else:
        output.note(f"{archive.name} holds no image.")
    output.say(f"{archive.name}: {size(imported.added)} new, {size(imported.known)} were here already.")
    for skipped in imported.skipped:
        output.note(f"left out: {skipped}")


def _together(answers: Sequence[bytes]) -> bytes:
    every = [client.decode(answer, supply.Imported) for answer in answers]
    return msgspec.json.encode(
        supply.Imported(
            images=[image for one in every for image in one.images],
            added=sum(one.added for one in every),
            known=sum(one.known for one in every),
            skipped=[words for one in every for words in one.skipped],
        )
    )


def _id(run: Invocation, text: str) -> str:
    """Return the id of the image that somebody named; `NotFoundError` (`image.unknown`), `ConflictError`."""
    tidy = text.strip()
    if ids.well_formed(tidy.lower()):
        return tidy.lower()
    wanted = {tidy, f"{tidy}:latest"}
    place = {"scope": run.within()} if run.flags.scope else {}
    every = run.every("/api/v1/images", supply.Image, "before", **place)
    digest = tidy.removeprefix("sha256:")
    found = [
        one
        for one in every
        if wanted & set(one.names) or (len(digest) >= _DIGITS and one.config.startswith(f"sha256:{digest}"))
    ]
    if not found:
        raise NotFoundError(
            "image.unknown", f"No image that you may see is called {text!r}.", "See: checkvalve image list"
        )
    if len(found) > 1:
        listed = [f"{one.id}  {one.platform}  {run.called(one.scope)}" for one in found]
        remedy = "\n".join(["Give the id of one of them:", *listed])
        raise ConflictError("image.ambiguous", f"{text!r} names {len(found)} images.", remedy)
    return found[0].id


def _called(one: supply.Image) -> str:
    return " ".join(one.names) or "(no name)"


def _pairs(run: Invocation, one: supply.Image) -> list[tuple[str, str]]:
    return [
        ("name", _called(one)),
        ("id", one.id),
        ("scope", f"{run.called(one.scope)}  {one.scope}"),
        ("platform", one.platform),
        ("config", one.config),
        ("manifest", one.manifest),
        ("size", f"{size(one.size)} in {one.layers} layers"),
        ("runs in", f"{one.used_by} releases"),
        ("imported by", f"{run.login(one.made_by)}, {times.short(one.made_at)}"),
    ]
