# SPDX-License-Identifier: Apache-2.0
"""What backs answers, and what changed: `scorecard evidence|evidence-add|evidence-get|evidence-remove|compare`."""

from functools import partial
from pathlib import Path
from typing import Annotated, BinaryIO

import msgspec
import typer

from checkvalve.cli import output, scorecard
from checkvalve.cli.client import reference
from checkvalve.cli.failures import UsageError
from checkvalve.cli.invocation import Invocation, verb
from checkvalve.crypto.digests import Running
from checkvalve.protocol import scorecard as forms

LARGEST = 64 << 20  # bytes of a file that is fetched; a plane keeps at most 32 MiB
PIECE = 1 << 20
Ident = Annotated[str, typer.Argument(metavar="ID", help="Of `scorecard list`.")]
Kept = Annotated[str, typer.Argument(metavar="EVIDENCE", help="Of `scorecard evidence`.")]
Date = Annotated[str, typer.Option(metavar="DATE", help="As 2027-03-31.")]
Text = Annotated[str, typer.Option(metavar="TEXT")]


def register(group: typer.Typer) -> None:
    """Add the verbs."""
    ident = "06e5q0kq3w8v9z2x4c6b8n0m1a"
    verb(group, "evidence", f"checkvalve scorecard evidence {ident}")(listed)
    verb(group, "evidence-add", f"checkvalve scorecard evidence-add {ident} AI1 ports.pdf --owner 'Rut Ek'")(add)
    verb(group, "evidence-get", f"checkvalve scorecard evidence-get {ident} ports.pdf")(fetch)
    verb(group, "evidence-remove", f"checkvalve scorecard evidence-remove {ident} --reason 'of another site'")(remove)
    verb(group, "compare", f"checkvalve scorecard compare {ident}")(compare)


def listed(run: Invocation, assessment: Ident) -> None:
    """List what backs the answers of an assessment, with the digest of each."""
    data = run.plane.raw("GET", _at(assessment))

    def shown(whole: forms.Whole) -> None:
        _tell(whole.evidence)

    run.show(data, forms.Whole, shown, lambda whole: "\n".join(one.id for one in whole.evidence))


def add(  # noqa: PLR0913 - one field each
    run: Invocation,
    assessment: Ident,
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="Such as AI1.")],
    file: Annotated[str, typer.Argument(metavar="[FILE]", help="At most 32 MiB.")] = "",
    *,
    link: Annotated[str, typer.Option(metavar="URL", help="In place of FILE: where it is kept.")] = "",
    digest: Annotated[str, typer.Option(metavar="SHA256", help="Of what is behind --link: sha256:...")] = "",
    name: Annotated[str, typer.Option(metavar="NAME", help="Else that of the file.")] = "",
    owner: Text = "",
    note: Text = "",
    period_from: Date = "",
    period_to: Date = "",
    expires: Date = "",
) -> None:
    """Back an answer with a file that the plane keeps, or with the address and digest of one kept elsewhere."""
    if bool(file) == bool(link):
        raise UsageError("cli.evidence", "Evidence is a file or an address.", "Give FILE, or --link and --digest.")
    about = {"question": question.upper(), "name": name or Path(file or link).name, "owner": owner, "note": note}
    dates = {"period_from": period_from, "period_to": period_to, "expires": expires}
    about |= {key: value for key, value in dates.items() if value}
    if link:
        body = _form({**about, "link": link, "digest": digest})
        data = run.plane.raw("POST", _at(assessment, "evidence"), body)
    else:
        data = _sent(run, assessment, file, {key: value for key, value in about.items() if value})
    run.show(data, forms.Whole, _added, lambda whole: whole.evidence[-1].id)


def fetch(
    run: Invocation,
    evidence: Kept,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write it; it must not exist.")],
) -> None:
    """Write a file that backs an answer; the plane checks its digest before it sends it."""
    data = run.plane.document(f"/api/v1/evidence/{reference(evidence)}/content", LARGEST)
    running = Running()
    running.update(data)
    try:
        with file.open("xb") as out:
            out.write(data)
    except OSError as error:
        raise UsageError("cli.file", f"{file} cannot be written: {error.strerror}.", "Name another file.") from error
    output.say(f"{file}: {len(data)} bytes, sha256:{running.hexdigest()}")


def remove(
    run: Invocation,
    evidence: Kept,
    *,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why it backs nothing; it stays in the history.")],
) -> None:
    """Say that evidence backs no answer any more; what it was stays in the history of its assessment."""
    data = run.plane.raw("POST", f"/api/v1/evidence/{reference(evidence)}/remove", forms.Why(why=reason))
    run.show(data, forms.Evidence, lambda one: output.say(f"{one.name} was removed."), lambda one: one.id)


def compare(
    run: Invocation,
    assessment: Ident,
    *,
    before: Annotated[str, typer.Option(metavar="ID", help="Else the one of the same place before it.")] = "",
) -> None:
    """Say what changed since an earlier assessment, and what of the two is not alike."""
    query = {"before": reference(before)} if before else {}
    data = run.plane.raw("GET", _at(assessment, "comparison"), query=query)

    def shown(found: forms.Comparison) -> None:
        output.say(f"From {found.before.title} to {found.after.title}:")
        rows = [(one.title, one.before or "-", one.after or "-", _change(one)) for one in found.sections]
        output.table(("SECTION", "EARLIER", "LATER", "CHANGE"), rows)
        changed = [one for one in found.questions if one.before != one.after]
        told = [(one.id, scorecard.said(one.before), scorecard.said(one.after), one.title) for one in changed]
        output.table(("ID", "EARLIER", "LATER", "QUESTION"), told)
        for note in found.notes:
            output.note(note)

    run.show(data, forms.Comparison, shown, lambda found: found.before.id)


def _form(about: dict[str, str]) -> forms.Link:
    try:
        return msgspec.convert(about, forms.Link, strict=False)
    except msgspec.ValidationError as error:
        raise UsageError("cli.evidence", f"That cannot be sent: {error}.", "Dates are as 2027-03-31.") from error


def _sent(run: Invocation, assessment: str, file: str, about: dict[str, str]) -> bytes:
    try:
        with Path(file).open("rb") as source:
            about["digest"], size = _digest(source)
            source.seek(0)
            pieces = iter(partial(source.read, PIECE), b"")
            return run.plane.upload(_at(assessment, "files"), pieces, size, lambda _: None, query=about)
    except OSError as error:
        raise UsageError("cli.file", f"{file} cannot be read: {error.strerror}.", "Name another file.") from error


def _digest(source: BinaryIO) -> tuple[str, int]:
    running = Running()
    while piece := source.read(PIECE):
        running.update(piece)
    return f"sha256:{running.hexdigest()}", running.size


def _added(whole: forms.Whole) -> None:
    one = whole.evidence[-1]
    output.say(f"{one.name} backs {one.question}: {one.digest}")


def _tell(rows: list[forms.Evidence]) -> None:
    output.table(
        ("ID", "QUESTION", "STATE", "NAME", "OWNER", "DIGEST"),
        [(one.id, one.question, one.state, one.name, one.owner or "-", one.digest) for one in rows],
    )


def _change(one: forms.Line) -> str:
    return "-" if one.change is None else f"{one.change:+g}"


def _at(assessment: str, *more: str) -> str:
    return "/".join(("/api/v1/assessments", reference(assessment), *more))
