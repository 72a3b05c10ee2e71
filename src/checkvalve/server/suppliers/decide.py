# SPDX-License-Identifier: Apache-2.0
"""What a supplier or a document may be called and hold, where a document stands, and how far all of it counts."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from checkvalve import lines
from checkvalve.errors import ConflictError, ForbiddenError, InvalidError
from checkvalve.ids import DocumentId, PersonId, SupplierId
from checkvalve.server.approvals.model import Approved, Standing, Waiting
from checkvalve.server.suppliers.model import (
    LONGEST_LINE,
    LONGEST_NAME,
    LONGEST_TEXT,
    Agreement,
    Document,
    Kind,
    Said,
    Sovereignty,
    Stage,
    State,
    Supplier,
)

WAITS = {
    State.DRAFT: "is a draft: nobody has asked for approval",
    State.ASKED: "waits for another person's approval",
    State.READY: "is approved, and waits to be put into force",
    State.SUPERSEDED: "is superseded, and the later one is gone",
}
FRESH = timedelta(days=730)  # an approval is looked at again every two years (question RE5)


def kind(text: str) -> Kind:
    """Return the kind of a document; `InvalidError` (`document.kind`)."""
    try:
        return Kind(text)
    except ValueError:
        raise InvalidError("document.kind", "A document is a clause or a questionnaire.", "Name one of them.") from None


def said(text: str) -> Said:
    """Return what came of a document; `InvalidError` (`agreement.said`)."""
    try:
        return Said(text)
    except ValueError:
        sentence = "A document was sent, answered, agreed or refused."
        raise InvalidError("agreement.said", sentence, "Name one of the four.") from None


def line(code: str, what: str, text: str, longest: int = LONGEST_LINE) -> str:
    """Return one line as it is kept; `InvalidError` (`code`)."""
    tidy = lines.tidy(text, longest)
    if len(tidy) > longest or not lines.plain(tidy):
        sentence = f"{what} is one line of at most {longest} characters, without control characters."
        raise InvalidError(code, sentence, "Say it in a few words.")
    return tidy


def needed(code: str, what: str, text: str, longest: int = LONGEST_LINE) -> str:
    """Return one line that must be there; `InvalidError` (`code`)."""
    tidy = line(code, what, text, longest)
    if not tidy:
        raise InvalidError(code, f"{what} is missing.", "Say it in a few words.")
    return tidy


def text(given: str) -> str:
    """Return the text of a document as it is kept: lines of NFC text; `InvalidError` (`document.text`)."""
    plain = given.replace("\r\n", "\n").replace("\r", "\n")
    rows = [lines.tidy(f".{row}", LONGEST_TEXT)[1:] for row in plain[: LONGEST_TEXT + 1].strip().split("\n")]
    if len(plain) > LONGEST_TEXT or not plain.strip() or not all(lines.plain(row) for row in rows):
        raise InvalidError(
            "document.text",
            f"The text has between 1 and {LONGEST_TEXT} characters, and none that cannot be seen.",
            "Paste it as plain text.",
        )
    return "\n".join(rows)


def written(document: Document, title: str, body: str) -> Document:
    """Return a document with this title and text, and the digest of both with kind and version.

    Raises `InvalidError` (`document.title`, `document.text`).
    """
    named, kept = needed("document.title", "A title", title, LONGEST_NAME), text(body)
    fresh = replace(document, title=named, text=kept)
    return replace(fresh, digest=fresh.contents)


def askable(document: Document, person: PersonId) -> None:
    """Refuse to ask for the approval of another's words; `ForbiddenError` (`document.not_writer`).

    Whoever asks never counts as a voter. Were it somebody else than who wrote, they could approve their own text.
    """
    if document.changed_by != person:
        raise ForbiddenError(
            "document.not_writer",
            "Only who wrote a draft last asks for its approval, so that nobody approves their own words.",
            "Ask them, or save the text yourself first.",
        )


def supplier(wanted: Supplier, others: Iterable[Supplier]) -> Supplier:
    """Return a supplier as it is kept beside `others` of the same organisation.

    Raises `InvalidError` (`supplier.name`, `supplier.text`), `ConflictError` (`supplier.taken`).
    """
    name = needed("supplier.name", "A name", wanted.name, LONGEST_NAME)
    if any(lines.folded(other.name) == lines.folded(name) and other.id != wanted.id for other in others):
        raise ConflictError("supplier.taken", f"There is a supplier {name} already.", "Change that one.")
    contact = line("supplier.text", "A contact", wanted.contact)
    return replace(
        wanted, name=name, contact=contact, supplies=line("supplier.text", "What they supply", wanted.supplies)
    )


def state(document: Document, asked: Standing | None, in_force: int) -> State:
    """Return where a document stands: by its approval, and by the newest version of its kind in force (0: none)."""
    if document.approved_at is not None:
        return State.SUPERSEDED if document.version < in_force else State.APPROVED
    match asked:
        case Approved():
            return State.READY
        case Waiting():
            return State.ASKED
        case _:
            return State.DRAFT


def in_state(document: Document, stands: State, *wanted: State) -> None:
    """Refuse what does not fit to where a document stands; `ConflictError` (`document.state`)."""
    if stands not in wanted:
        names = " or ".join(each.value for each in wanted)
        raise ConflictError(
            "document.state",
            f"Version {document.version} of the {document.kind.value} is {stands.value}; this asks for one that is "
            f"{names}.",
            "A final text is changed by a new version: begin one.",
        )


def newest(agreements: Iterable[Agreement]) -> Mapping[tuple[SupplierId, DocumentId], Agreement]:
    """Return what counts for each supplier and document."""
    ordered = sorted(agreements, key=lambda each: (each.at, each.id))
    return {(each.supplier, each.document): each for each in ordered}


def sovereignty(clauses: Sequence[tuple[Document, State]], agreed: Iterable[Agreement], now: datetime) -> Sovereignty:
    """Return how far sovereignty is a condition of buying: by the clauses, and by what suppliers who remain say now."""
    if not clauses:
        return Sovereignty(Stage.NONE, "Nobody has written down what suppliers must keep to.")
    force = next((document for document, stands in clauses if stands is State.APPROVED), None)
    if force is None or force.approved_at is None:
        newest_draft, stands = max(
            ((document.version, state_) for document, state_ in clauses), key=lambda each: each[0]
        )
        return Sovereignty(Stage.DRAFT, f"Version {newest_draft} of the clause {WAITS[stands]}.")
    if now - force.approved_at > FRESH:
        when = force.approved_at.date()
        return Sovereignty(Stage.DRAFT, f"The clause was approved on {when}, and not looked at again for two years.")
    ids = {document.id for document, _ in clauses}
    said_yes = {each.supplier for each in agreed if each.said is Said.AGREED and each.document in ids}
    if not said_yes:
        return Sovereignty(
            Stage.APPROVED, f"Version {force.version} of the clause is in force; no supplier has agreed yet."
        )
    who = "1 supplier has" if len(said_yes) == 1 else f"{len(said_yes)} suppliers have"
    return Sovereignty(Stage.USED, f"Version {force.version} of the clause is in force; {who} agreed to the clause.")
