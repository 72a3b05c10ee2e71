# SPDX-License-Identifier: Apache-2.0
"""Suppliers, documents and frameworks from a terminal, against a real plane."""

import json
from pathlib import Path

from tests.cli.terminal import Terminal
from tests.cli.test_scorecard import _place


def test_a_clause_is_drafted_written_and_asked_for_and_suppliers_are_kept(signed_in: Terminal, tmp_path: Path) -> None:
    place = _place(signed_in).partition("/")[0]
    made = json.loads(signed_in.done("document", "draft", place, "clause", "--json"))
    assert "Operation without the supplier" in signed_in.done("document", "show", made["id"])
    file = tmp_path / "clause.txt"
    file.write_text("Data stay here.\n")
    assert "is draft" in signed_in.done("document", "write", made["id"], str(file))
    assert "is asked" in signed_in.done("document", "ask", made["id"])
    early = signed_in("document", "adopt", made["id"])
    assert "[approval.waiting]" in early.err
    assert "is draft" in signed_in.done("document", "take-back", made["id"])
    assert "clause" in signed_in.done("document", "list")
    wrong = signed_in("document", "draft", place, "letter")
    assert (wrong.code, "[cli.kind]" in wrong.err) == (2, True)
    supplier = json.loads(
        signed_in.done("supplier", "add", place, "Pumpline AB", "--support-end", "2031-12-31", "--json")
    )["id"]
    assert "Pumpline AB" in signed_in.done("supplier", "list")
    signed_in.done("supplier", "change", supplier, "--contact", "Ola", "--support-end", "none")
    refused = signed_in("supplier", "record", supplier, made["id"], "sent")
    assert "[document.state]" in refused.err
    assert "draft" in signed_in.done("supplier", "sovereignty")
    signed_in.done("supplier", "export", str(tmp_path / "suppliers.csv"))
    assert b"Pumpline AB" in (tmp_path / "suppliers.csv").read_bytes()
    assert "no supplier any more" in signed_in.done("supplier", "end", supplier, "--reason", "sold")


def test_frameworks_and_checks_are_listed(signed_in: Terminal) -> None:
    assert len(json.loads(signed_in.done("framework", "list", "--json"))["items"]) == 18
    assert "Art. 21(2)(b)" in signed_in.done("framework", "show", "nis2")
    assert "patch.verify" in signed_in.done("framework", "checks", "--subject", "patch")
    none = signed_in("framework", "show", "nothing")
    assert "[framework.not_found]" in none.err
