# SPDX-License-Identifier: Apache-2.0
"""What a face, a tick or the exchange writes without an entry is named in one tuple, and nothing else is written so."""

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

from checkvalve.server.audit.model import TELEMETRY

SERVER = Path("src/checkvalve/server")

SAMPLE = """
await here.db.write("session.seen", identity_writes.seen, session.id, now)
await here.db.write("person.disable", identity_writes.disable, person, now)
await here.db.write("rollout.start", rollouts_actions.start, act, rollout)
"""

CROSSING = """
fleet_actions.receive(tx, act, kept)
fleet_writes.visited(tx, device.id, changes)
if given:
    supply_writes.remove_image(tx, image)
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


def called_writes(source: str) -> Iterator[str]:
    """Yield `room.function` for each function of a room's `writes` that is called in a transaction at hand."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id=module), attr=verb)) if module.endswith("_writes"):
                yield f"{module.removesuffix('_writes')}.{verb}"
            case _:
                pass


def _found(rule: Callable[[str], Iterator[str]], *places: str) -> set[str]:
    return {name for place in places for file in (SERVER / place).rglob("*.py") for name in rule(file.read_text())}


def test_the_rule_finds_what_goes_past_the_actions() -> None:
    assert list(bare_writes(SAMPLE)) == ["session.seen", "person.disable"]
    assert list(called_writes(CROSSING)) == ["fleet.visited", "supply.remove_image"]


def test_faces_ticks_and_the_exchange_write_telemetry_and_nothing_else_without_an_entry() -> None:
    assert _found(bare_writes, "web", "tasks") | _found(called_writes, "exchange") == set(TELEMETRY)
