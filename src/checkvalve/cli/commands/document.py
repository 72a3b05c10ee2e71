# SPDX-License-Identifier: Apache-2.0
"""What is asked of suppliers: `document list|draft|show|write|ask|take-back|adopt`."""

from typing import Annotated, Literal, cast

import typer

from checkvalve.cli import files, output, times
from checkvalve.cli.client import reference
from checkvalve.cli.failures import UsageError
from checkvalve.cli.invocation import Invocation, noun, verb
from checkvalve.protocol import suppliers as forms

LARGEST = 200_000  # bytes of a text
Ident = Annotated[str, typer.Argument(metavar="ID", help="Of `document list`.")]


def register(app: typer.Typer) -> None:
    """Add the noun."""
    group = noun(
        app, "document", "What you ask of suppliers: a clause and a questionnaire, approved version by version."
    )
    ident = "06e5q0kq3w8v9z2x4c6b8n0m1a"
    verb(group, "list", "checkvalve document list", scoped=True)(listed)
    verb(group, "draft", 'checkvalve document draft "Norra Water" clause')(draft)
    verb(group, "show", f"checkvalve document show {ident} > clause.txt")(show)
    verb(group, "write", f"checkvalve document write {ident} clause.txt")(write)
    verb(group, "ask", f"checkvalve document ask {ident}")(ask)
    verb(group, "take-back", f"checkvalve document take-back {ident}")(take_back)
    verb(group, "adopt", f"checkvalve document adopt {ident}")(adopt)


def listed(run: Invocation) -> None:
    """List every version, the newest first."""
    data = run.plane.raw("GET", "/api/v1/documents", query={"scope": run.within()})
    run.show_list(
        data,
        forms.Document,
        ("ID", "WHERE", "KIND", "VERSION", "STATE", "CHANGED", "TITLE"),
        lambda one: (
            one.id,
            one.where,
            one.kind,
            str(one.version),
            one.state,
            times.short(one.approved_at or one.changed_at),
            one.title,
        ),
        "Nothing is asked of suppliers yet; begin with: checkvalve document draft ORGANISATION clause",
    )


def draft(
    run: Invocation,
    place: Annotated[str, typer.Argument(metavar="ORGANISATION", help="Who asks.")],
    kind: Annotated[str, typer.Argument(metavar="KIND", help="clause or questionnaire.")],
) -> None:
    """Begin the next version: the first from a text that is ready to use, later ones from the one before."""
    if kind not in ("clause", "questionnaire"):
        raise UsageError("cli.kind", f"{kind!r} is no kind of document.", "Name clause or questionnaire.")
    wanted = cast("Literal['clause', 'questionnaire']", kind)
    data = run.plane.raw("POST", "/api/v1/documents", forms.NewDocument(scope=run.path(place), kind=wanted))
    run.show(data, forms.Document, _told, _ident)


def show(run: Invocation, document: Ident) -> None:
    """Print the text of a version."""
    run.show(run.plane.raw("GET", _at(document)), forms.Document, lambda one: output.say(one.text), _ident)


def write(
    run: Invocation,
    document: Ident,
    file: Annotated[str, typer.Argument(metavar="FILE", help="Plain text, UTF-8. - is standard input.")],
    *,
    title: Annotated[str, typer.Option(metavar="TEXT", help="Else the title stays.")] = "",
) -> None:
    """Write another text into a draft."""
    try:
        text = files.read(file, LARGEST).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError("cli.text", f"{file} is not UTF-8 text.", "Save it as plain text, UTF-8.") from error
    if "\0" in text:
        raise UsageError("cli.text", f"{file} holds NUL, which no text has.", "Save it as plain text, UTF-8.")
    had = run.plane.get(_at(document), forms.Document)
    data = run.plane.raw("POST", _at(document), forms.Written(title=title or had.title, text=text))
    run.show(data, forms.Document, _told, _ident)


def ask(run: Invocation, document: Ident) -> None:
    """Ask another person to approve a draft; its text is final from then on."""
    data = run.plane.raw("POST", _at(document, "ask"))

    def shown(one: forms.Document) -> None:
        _told(one)
        output.note(f"Another person approves it with: checkvalve approval approve {one.approval}")

    run.show(data, forms.Document, shown, _ident)


def take_back(run: Invocation, document: Ident) -> None:
    """Take the request for approval back; the document is a draft again."""
    run.show(run.plane.raw("POST", _at(document, "take-back")), forms.Document, _told, _ident)


def adopt(run: Invocation, document: Ident) -> None:
    """Put an approved document into force; an earlier version is superseded."""
    run.show(run.plane.raw("POST", _at(document, "adopt")), forms.Document, _told, _ident)


def _told(one: forms.Document) -> None:
    output.say(f"Version {one.version} of the {one.kind} of {one.where} is {one.state}: {one.id}")


def _ident(one: forms.Document) -> str:
    return one.id


def _at(document: str, *more: str) -> str:
    return "/".join(("/api/v1/documents", reference(document), *more))
