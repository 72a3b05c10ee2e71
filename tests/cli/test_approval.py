# SPDX-License-Identifier: Apache-2.0
"""A plane that shows one thing and holds another is found out: before a vote is sent, and before bytes are printed."""

import json
from typing import Any

import pytest

from checkvalve import canonical
from checkvalve.crypto import digests
from tests.cli.impostor import Exchange, Impostor
from tests.cli.terminal import Terminal

WHO, WHAT, WHERE = "0" * 25 + "1", "0" * 25 + "2", "/" + "0" * 25 + "3/"
FIRST = {"approvals": 1, "change": "", "note": "", "release": "a@sha256:" + "0" * 64, "selector": "all", "v": 1}
"""As intents were before they had a plan."""
INTENT = {**FIRST, "plan": {"canary": 2, "step": 5}, "v": 2}
AT = "2026-11-03T12:00:00.000Z"


def digest(intent: dict[str, Any], rollout: str = WHAT, scope: str = WHERE, name: str = "R") -> str:
    inner = digests.sha256_hex(canonical.dumps(intent))
    said: dict[str, canonical.Json] = {"intent": inner, "name": name, "rollout": rollout, "scope": scope, "v": 1}
    return digests.sha256_hex(canonical.dumps(said))


def shows(impostor: Impostor, intent: dict[str, Any], asked: str) -> None:
    """Let the plane show `intent`, and ask for approval of what `asked` is the digest of."""
    rollout = {"id": WHAT, "scope": WHERE, "name": "R", "state": "proposed", "intent": intent, "digest": asked}
    rollout |= {"approval": WHO, "made_by": WHO, "made_at": AT, "changed_at": AT}
    approval: dict[str, Any] = {"id": WHO, "scope": WHERE, "subject": f"rollout:{WHAT}", "sentence": "Start it."}
    approval |= {"digest": asked, "needed": 1, "requester": WHO, "made_at": AT, "expires_at": AT, "used_at": None}
    approval |= {"withdrawn_at": None, "standing": {"state": "waiting", "have": 0, "needed": 1}, "votes": []}
    answers = {f"/api/v1/rollouts/{WHAT}": rollout, "/api/v1/scopes": {"items": []}, "/api/v1/people": {"items": []}}

    def answer(exchange: Exchange) -> None:
        body = json.dumps(answers.get(exchange.path.partition("?")[0], approval)).encode()
        exchange.answer(200, "application/json", body)

    impostor.handler = answer


@pytest.mark.parametrize("intent", [INTENT, FIRST])
def test_the_vote_names_the_digest_of_what_was_shown(
    terminal: Terminal, impostor: Impostor, intent: dict[str, Any]
) -> None:
    impostor.signed_in_at(terminal.config)
    shows(impostor, intent, digest(intent))
    terminal.done("approval", "approve", WHO, "--yes")
    votes = [json.loads(told.body) for told in impostor.heard if told.method == "POST"]
    assert votes == [{"choice": "approve", "digest": digest(intent), "note": ""}]


def of_document(impostor: Impostor, **differs: object) -> str:
    """Let the plane show a document with what differs, and ask for approval of the one without; return its digest."""
    said: dict[str, canonical.Json] = {"kind": "clause", "text": "Data stay.\n\nHere.", "title": "T", "version": 2}
    asked = digests.sha256_hex(canonical.dumps(said))
    document: dict[str, object] = {
        **said,
        "id": WHAT,
        "scope": WHERE,
        "where": "Norra",
        "digest": asked,
        "state": "asked",
    }
    document |= {"approval": WHO, "made_by": WHO, "made_at": AT, "changed_at": AT, "approved_at": None, **differs}
    approval: dict[str, Any] = {"id": WHO, "scope": WHERE, "subject": f"document:{WHAT}", "sentence": "Ask it."}
    approval |= {"digest": asked, "needed": 1, "requester": WHO, "made_at": AT, "expires_at": AT, "used_at": None}
    approval |= {"withdrawn_at": None, "standing": {"state": "waiting", "have": 0, "needed": 1}, "votes": []}
    answers = {f"/api/v1/documents/{WHAT}": document, "/api/v1/scopes": {"items": []}, "/api/v1/people": {"items": []}}

    def answer(exchange: Exchange) -> None:
        body = json.dumps(answers.get(exchange.path.partition("?")[0], approval)).encode()
        exchange.answer(200, "application/json", body)

    impostor.handler = answer
    return asked


def test_the_words_of_a_document_are_shown_before_the_vote_that_names_their_digest(
    terminal: Terminal, impostor: Impostor
) -> None:
    impostor.signed_in_at(terminal.config)
    asked = of_document(impostor)
    assert "Data stay.\n  \n  Here." in terminal.done("approval", "show", WHO)
    assert "Data stay." in terminal("approval", "approve", WHO, "--yes").err
    votes = [json.loads(told.body) for told in impostor.heard if told.method == "POST"]
    assert votes == [{"choice": "approve", "digest": asked, "note": ""}]


@pytest.mark.parametrize(
    "differs", [{"text": "Data go."}, {"title": "Other"}, {"version": 1}, {"scope": "/"}, {"id": WHO}]
)
def test_a_document_that_is_not_what_its_digest_says_gets_no_vote(
    terminal: Terminal, impostor: Impostor, differs: dict[str, object]
) -> None:
    impostor.signed_in_at(terminal.config)
    of_document(impostor, **differs)
    refused = terminal("approval", "approve", WHO, "--yes")
    assert (refused.code, "[approval.differs]" in refused.err) == (5, True)
    assert [told for told in impostor.heard if told.method == "POST"] == []


def test_a_voter_reads_who_goes_first(terminal: Terminal, impostor: Impostor) -> None:
    impostor.signed_in_at(terminal.config)
    for intent, told in ((INTENT, "2 devices first, then the rest in waves of 5"), (FIRST, "1 device first")):
        shows(impostor, intent, digest(intent))
        assert told in terminal.done("approval", "show", WHO)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shown", "asked"),
    [
        (INTENT, digest({**INTENT, "selector": "tag=other"})),
        (INTENT, digest(INTENT, rollout=WHO)),
        (INTENT, digest(INTENT, scope="/")),
        (INTENT, digest(INTENT, name="Another")),
        (INTENT, "0" * 64),
        ({**INTENT, "force": True}, digest({**INTENT, "force": True})),
        ({**INTENT, "v": 3}, digest({**INTENT, "v": 3})),
        ({**INTENT, "v": 1}, digest({**INTENT, "v": 1})),
        ({**FIRST, "v": 2}, digest({**FIRST, "v": 2})),
        ({**INTENT, "plan": {"canary": 1}}, digest({**INTENT, "plan": {"canary": 1}})),
        (INTENT, digest({**INTENT, "plan": {"canary": 0, "step": 0}})),
        *(
            ({**INTENT, "plan": plan}, digest({**INTENT, "plan": plan}))
            for plan in ({"canary": 1, "step": 1, "at": 1}, {"canary": True, "step": 1}, {"canary": "1", "step": 1}, 1)
        ),
        ({**INTENT, "approvals": 1.5}, "0" * 64),
    ],
)
@pytest.mark.parametrize("verb", ["show", "approve", "reject"])
def test_what_is_shown_and_not_asked_for_gets_no_vote(
    terminal: Terminal, impostor: Impostor, shown: dict[str, Any], asked: str, verb: str
) -> None:
    impostor.signed_in_at(terminal.config)
    shows(impostor, shown, asked)
    said = terminal("approval", verb, WHO, "--yes")
    assert said.code == 5
    assert [told for told in impostor.heard if told.method == "POST"] == []


def test_an_entry_whose_bytes_have_another_hash_is_found_out(terminal: Terminal, impostor: Impostor) -> None:
    entry = {"id": WHO, "at": AT, "kind": "outcome", "action": "a", "actor": {"kind": "person", "id": WHO, "name": "a"}}
    entry |= {"subject": "", "scope": "/", "request": "", "reason": "", "bindings": [], "facts": {}, "leaf_hash": "00"}
    impostor.answers(200, "application/json", json.dumps(entry).encode())
    impostor.signed_in_at(terminal.config)
    said = terminal("audit", "show", WHO, "--raw")
    assert (said.code, said.out, "[entry.differs]" in said.err) == (5, "", True)
