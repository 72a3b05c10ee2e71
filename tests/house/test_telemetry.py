# SPDX-License-Identifier: Apache-2.0
"""What a face writes without an entry is named in one tuple, and nothing else is written so."""

import ast
from collections.abc import Iterator
from pathlib import Path

from checkvalve.server.audit.model import TELEMETRY

WEB = Path("src/checkvalve/server/web")

SAMPLE = """
await here.db.write("session.seen", identity_writes.seen, session.id, now)
await here.db.write("person.disable", identity_writes.disable, person, now)
await here.db.write("rollout.start", rollouts_actions.start, act, rollout)
"""


def bare_writes(source: str) -> Iterator[str]:
    """Yield the name under which a face hands a room's `writes` to the database, past every action."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr.startswith("write"):
            match node.args:
                case [ast.Constant(value=str(name)), ast.Attribute(value=ast.Name(id=module)), *_] if module.endswith(
                    "writes"
                ):
                    yield name
                case _:
                    pass


def test_the_rule_finds_what_goes_past_the_actions() -> None:
    assert list(bare_writes(SAMPLE)) == ["session.seen", "person.disable"]


def test_faces_write_telemetry_and_nothing_else_without_an_entry() -> None:
    found = {name for file in WEB.rglob("*.py") for name in bare_writes(file.read_text())}
    assert found == set(TELEMETRY)
