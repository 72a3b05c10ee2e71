# SPDX-License-Identifier: Apache-2.0
"""What the error door calls: a refusal is recorded in a transaction of its own, because the refused one is gone."""

from checkvalve.errors import CheckvalveError
from checkvalve.server.audit import writes
from checkvalve.server.audit.model import Act, Kind
from checkvalve.server.db.database import Tx


def refuse(tx: Tx, act: Act, action: str, subject: str, scope: str, error: CheckvalveError) -> None:
    """Record that `act` wanted `action` on `subject` and was refused with `error`."""
    facts = {"code": error.code, "sentence": error.sentence}
    writes.record(tx, act, action, subject, scope, facts, kind=Kind.REFUSED)
