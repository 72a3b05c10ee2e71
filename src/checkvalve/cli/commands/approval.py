# SPDX-License-Identifier: Apache-2.0
"""What waits for people's yes: `approval list|show|approve|reject`.

Rules: 1. what is approved is shown in full before the question; 2. the digest of the vote is that of what was shown,
made here from it, so that a plane that shows one thing and counts another is found out.
"""

from collections.abc import Callable, Mapping
from typing import Annotated

import typer

from checkvalve import canonical
from checkvalve.cli import client, output, rollouts, times
from checkvalve.cli.client import reference
from checkvalve.cli.failures import UnverifiedError
from checkvalve.cli.invocation import USUAL, All, Before, Invocation, Limit, noun, verb
from checkvalve.errors import CheckvalveError
from checkvalve.protocol import api, suppliers
from checkvalve.protocol import rollout as protocol

Id = Annotated[str, typer.Argument(metavar="ID", help="Of `approval list`.")]
Note = Annotated[str, typer.Option(help="What the others should know; it stands in the record.")]


def register(app: typer.Typer) -> None:
    """Add the noun."""
    group = noun(app, "approval", "What waits for people's yes.")
    verb(group, "list", "checkvalve approval list --waiting", scoped=True)(listed)
    verb(group, "show", "checkvalve approval show 06e5q0kq3w8v9z2x4c6b8n0m1a")(show)
    verb(group, "approve", 'checkvalve approval approve 06e5q0kq3w8v9z2x4c6b8n0m1a --note "agreed with the shift"')(
        approve
    )
    verb(group, "reject", 'checkvalve approval reject 06e5q0kq3w8v9z2x4c6b8n0m1a --note "wrong release"')(reject)


def listed(
    run: Invocation,
    *,
    waiting: Annotated[bool, typer.Option("--waiting", help="Those that wait for your vote only.")] = False,
    limit: Limit = USUAL,
    every: All = False,
    before: Before = "",
) -> None:
    """List what was asked for and how it stands, newest first."""
    data = run.listed("/api/v1/approvals", None if every else limit, before, waiting="true" if waiting else "")
    run.show_list(
        data,
        api.Approval,
        ("ID", "STANDS", "WHAT", "ASKED BY", "EXPIRES"),
        lambda one: (one.id, _stands(one), one.sentence, run.login(one.requester), times.short(one.expires_at)),
        "Nothing waits for approval; what rollouts propose will be here.",
    )


def show(run: Invocation, approval: Id) -> None:
    """Show exactly what is asked, and who has said what."""
    data = run.plane.raw("GET", f"/api/v1/approvals/{reference(approval)}")

    def shown(one: api.Approval) -> None:
        _tell(run, one, output.say)

    run.show(data, api.Approval, shown, lambda one: one.id)


def approve(run: Invocation, approval: Id, *, note: Note = "") -> None:
    """Say yes to exactly what is shown."""
    _vote(run, approval, note, approve=True)


def reject(run: Invocation, approval: Id, *, note: Note = "") -> None:
    """Say no; one no ends the request."""
    _vote(run, approval, note, approve=False)


def _vote(run: Invocation, approval_id: str, note: str, *, approve: bool) -> None:
    address = f"/api/v1/approvals/{reference(approval_id)}"
    one = run.plane.get(address, api.Approval)
    digest = _tell(run, one, output.note)
    run.agreed("Approve exactly this?" if approve else "Reject this?")
    body = api.NewVote(choice="approve" if approve else "reject", digest=digest, note=note)
    data = run.plane.raw("POST", f"{address}/votes", body)
    after = client.decode(data, api.Approval)
    run.done(data, f"Your {'yes' if approve else 'no'} is counted: {_stands(after)}.")


def _tell(run: Invocation, one: api.Approval, tell: Callable[[str], None]) -> str:
    """Tell what is asked, and return the digest of what was told."""
    pairs = [("what", one.sentence), ("subject", one.subject), ("scope", f"{run.called(one.scope)}  {one.scope}")]
    digest, text = one.digest, ""
    kind, _, ident = one.subject.partition(":")
    if kind == "rollout":
        rollout = run.plane.get(f"/api/v1/rollouts/{reference(ident)}", protocol.Rollout)
        digest = _digest(rollout)
        _same(one, ident, digest, rollout)
        pairs += [("rollout", rollout.name)]
        pairs += [("release", str(rollout.intent["release"])), ("selector", str(rollout.intent["selector"]))]
        pairs += [("plan", rollouts.plan(rollout.intent))]
        pairs += [(name, str(rollout.intent[name])) for name in ("change", "note")]
    if kind == "document":
        document = run.plane.get(f"/api/v1/documents/{reference(ident)}", suppliers.Document)
        digest, text = _of_document(document), document.text
        _same(one, ident, digest, document)
        pairs += [("document", f"{document.kind}, version {document.version}"), ("title", document.title)]
    pairs += [
        ("digest", one.digest),
        ("asked by", f"{run.login(one.requester)}, {times.short(one.made_at)}"),
        ("expires", times.short(one.expires_at)),
        ("stands", _stands(one)),
    ]
    pairs += [(vote.choice, f"{run.login(vote.person)}, {times.short(vote.at)}  {vote.note}") for vote in one.votes]
    output.fields(pairs, tell)
    for line in text.split("\n") if text else []:  # rule 1
        tell(f"  {line}")
    return digest


def _same(one: api.Approval, ident: str, digest: str, shown: protocol.Rollout | suppliers.Document) -> None:
    if digest != one.digest or shown.scope != one.scope or shown.id != ident:
        raise UnverifiedError(
            "approval.differs",
            "What the plane shows is not what its digest says would be approved.",
            "Do not vote. Take a newer checkvalve; if it says the same, have the plane looked at.",
        )


def _of_document(document: suppliers.Document) -> str:
    """Return the digest of what a document says, made from that (rule 2)."""
    try:
        return suppliers.digest(document.kind, document.version, document.title, document.text)
    except CheckvalveError as error:
        raise UnverifiedError("approval.unknown", "The document's text has no digest.", "Do not vote.") from error


def _digest(rollout: protocol.Rollout) -> str:
    """Return the digest of a rollout's intent, as this rollout in this scope: what the plane's approval names."""
    intent = rollout.intent
    if not _known(intent):
        raise UnverifiedError(
            "approval.unknown",
            "This rollout says more than this version of checkvalve can show.",
            "Take a newer checkvalve, or vote on the plane's own page.",
        )
    try:
        return protocol.digest(rollout.id, rollout.scope, rollout.name, canonical.dumps(intent))
    except CheckvalveError as error:
        raise UnverifiedError("approval.unknown", "The rollout's intent has no digest.", "Do not vote.") from error


def _known(intent: Mapping[str, object]) -> bool:
    """Tell whether this is an intent of which everything is shown; one of version 1 has no plan."""
    if intent.get("v") == 1:
        return set(intent) == protocol.INTENT_FIELDS - {"plan"}
    known = set(intent) == protocol.INTENT_FIELDS and intent["v"] == protocol.INTENT_VERSION
    plan = intent.get("plan")
    whole = isinstance(plan, dict) and set(plan) == protocol.PLAN_FIELDS and all(type(n) is int for n in plan.values())
    return known and whole


def _stands(one: api.Approval) -> str:
    standing = one.standing
    if standing.state == "waiting":
        return f"waits: {standing.have} of {standing.needed} approvals"
    return standing.state
