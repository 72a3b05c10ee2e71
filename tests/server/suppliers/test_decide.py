# SPDX-License-Identifier: Apache-2.0
"""What a document holds, where it stands, and how far sovereignty is a condition of buying."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from checkvalve.errors import CheckvalveError
from checkvalve.ids import AgreementId, ApprovalId, DocumentId, PersonId, SupplierId
from checkvalve.server.approvals.model import Approved, Expired, Rejected, Standing, Waiting
from checkvalve.server.suppliers import csvs, decide, shipped
from checkvalve.server.suppliers.model import Agreement, Document, Kind, Said, Stage, State

NOW = datetime(2026, 11, 24, tzinfo=UTC)
ANNA = PersonId("1" * 26)
ONE = Document(
    DocumentId("d" * 26), "/o/", Kind.CLAUSE, 1, "T", "Text", "", None, ANNA, NOW, ANNA, NOW - timedelta(days=1)
)


@pytest.mark.parametrize(
    ("approved", "asked", "in_force", "state"),
    [
        (False, None, 0, State.DRAFT),
        (False, Waiting(0, 1), 0, State.ASKED),
        (False, Approved((ANNA,)), 0, State.READY),
        (False, Rejected(ANNA, "no"), 0, State.DRAFT),
        (False, Expired(NOW), 0, State.DRAFT),
        (True, None, 1, State.APPROVED),
        (True, None, 2, State.SUPERSEDED),
    ],
)
def test_a_document_stands_where_its_approval_and_later_versions_put_it(
    *, approved: bool, asked: Standing | None, in_force: int, state: State
) -> None:
    document = replace(ONE, approved_at=NOW if approved else None, approval=ApprovalId("a" * 26))
    assert decide.state(document, asked, in_force) is state


def test_the_digest_is_of_kind_version_title_and_text() -> None:
    first = decide.written(ONE, "T", "Text")
    assert len(first.digest) == 64
    assert first.digest == decide.written(ONE, " T ", "Text\r\n").digest
    changes = (
        decide.written(ONE, "T", "Text."),
        decide.written(ONE, "T2", "Text"),
        decide.written(replace(ONE, version=2), "T", "Text"),
        decide.written(replace(ONE, kind=Kind.QUESTIONNAIRE), "T", "Text"),
    )
    assert len({first.digest, *(each.digest for each in changes)}) == 5


@pytest.mark.parametrize("text", ["", " \n ", "a\x00b", "a\u202eb", "\x1b[31m", "a" * 40_001])
def test_a_text_that_cannot_be_read_as_what_it_is_is_refused(text: str) -> None:
    with pytest.raises(CheckvalveError, match="The text has between 1 and 40000 characters"):
        decide.written(ONE, "T", text)


def test_lines_of_a_text_keep_their_order_and_their_indent() -> None:
    assert decide.written(ONE, "T", "One\r\n  two  \n\nthree").text == "One\n  two\n\nthree"


def _said(said: Said) -> Agreement:
    return Agreement(AgreementId("g" * 26), SupplierId("s" * 26), ONE.id, said, "", ANNA, NOW)


@pytest.mark.parametrize(
    ("clauses", "agreed", "stage"),
    [
        ([], [], Stage.NONE),
        ([(ONE, State.DRAFT)], [], Stage.DRAFT),
        ([(ONE, State.READY)], [_said(Said.AGREED)], Stage.DRAFT),
        ([(replace(ONE, approved_at=NOW), State.APPROVED)], [], Stage.APPROVED),
        ([(replace(ONE, approved_at=NOW), State.APPROVED)], [_said(Said.SENT)], Stage.APPROVED),
        ([(replace(ONE, approved_at=NOW), State.APPROVED)], [_said(Said.AGREED)], Stage.USED),
        ([(replace(ONE, approved_at=NOW - timedelta(days=730)), State.APPROVED)], [_said(Said.AGREED)], Stage.USED),
        ([(replace(ONE, approved_at=NOW - timedelta(days=731)), State.APPROVED)], [_said(Said.AGREED)], Stage.DRAFT),
    ],
)
def test_sovereignty_is_used_when_a_fresh_clause_is_in_force_and_a_supplier_agreed(
    clauses: list[tuple[Document, State]], agreed: list[Agreement], stage: Stage
) -> None:
    found = decide.sovereignty(clauses, agreed, NOW)
    assert found.stage is stage
    assert found.reason.endswith(".")


def test_the_newest_word_of_a_supplier_counts() -> None:
    earlier = replace(_said(Said.AGREED), at=NOW - timedelta(days=1))
    (counts,) = decide.newest([_said(Said.REFUSED), earlier]).values()
    assert counts.said is Said.REFUSED


def test_what_is_shipped_is_a_clause_and_twelve_questions() -> None:
    assert len(shipped.shipped().questionnaire.question) == 12
    for kind in Kind:
        title, text = shipped.draft(kind)
        assert decide.written(replace(ONE, kind=kind), title, text).text == text


def test_no_cell_of_an_export_is_calculated() -> None:
    data = csvs.write([("=1+1", "+1", "-1", "@x", "\tx", "'=x", "plain", "")]).decode("utf-8-sig")
    assert data.split("\r\n")[1] == "'=1+1,'+1,'-1,'@x,'\tx,''=x,plain,"
