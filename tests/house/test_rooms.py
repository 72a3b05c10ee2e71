# SPDX-License-Identifier: Apache-2.0
"""The rooms: what decides is pure, what acts leaves one entry, the owner writes; and proof that each rule can fail."""

import ast

import pytest

from tests.house import rooms, tree
from tests.house.tree import Rule, Source

ACTIONS = "src/checkvalve/server/rollouts/actions.py"
WRITES = "src/checkvalve/server/rollouts/writes.py"
JUDGE = "src/checkvalve/server/rollouts/judge.py"
PAGE = "src/checkvalve/server/web/pages/fleet.py"

START = "def start(tx, act, rollout):\n"
RECORD = "    audit_writes.record(tx, act, 'rollout.start', rollout, '/')\n"

owner = rooms.owner_writes({"rollouts": "rollouts", "people": "identity"})
ALL = (*rooms.RULES, owner)

BAD: list[tuple[Rule, str, str]] = [
    (rooms.asynchronous, JUDGE, "async def wave():\n    pass\n"),
    (rooms.asynchronous, WRITES, "class Row:\n    async def read(self):\n        pass\n"),
    (rooms.purity, JUDGE, "import time\n"),
    (rooms.purity, JUDGE, "from os import environ\n"),
    (rooms.purity, JUDGE, "import random\n"),
    (rooms.purity, JUDGE, "import sqlalchemy as sa\n"),
    (rooms.purity, JUDGE, "from checkvalve import clock\n"),
    (rooms.purity, JUDGE, "from checkvalve.server.db.database import Tx\n"),
    (rooms.purity, JUDGE, "text = open('/etc/hosts').read()\n"),
    (rooms.purity, "src/checkvalve/server/rollouts/model.py", "import asyncio\n"),
    (rooms.purity, "src/checkvalve/protocol/exchange.py", "import os\n"),
    (rooms.outward, ACTIONS, "from checkvalve import clock\n"),
    (rooms.outward, WRITES, "import httpx\n"),
    (rooms.outward, WRITES, "from litestar import Request\n"),
    (rooms.face_without_sql, PAGE, "import sqlalchemy as sa\n"),
    (rooms.face_without_sql, PAGE, "from checkvalve.server.db import schema\n"),
    (rooms.face_without_sql, "src/checkvalve/cli/commands/fleet.py", "import sqlite3\n"),
    (rooms.action_signature, ACTIONS, "def start(act, tx, rollout):\n" + RECORD),
    (rooms.action_signature, ACTIONS, "def start(tx, rollout, act):\n" + RECORD),
    (rooms.action_signature, ACTIONS, "def start():\n" + RECORD),
    (rooms.one_entry, ACTIONS, START + "    writes.start(tx, rollout)\n"),
    (rooms.one_entry, ACTIONS, START + RECORD + RECORD),
    (rooms.one_entry, ACTIONS, START + "    for _ in rollout:\n    " + RECORD),
    (rooms.one_entry, ACTIONS, START + "    if rollout:\n    " + RECORD),
    (rooms.one_entry, ACTIONS, START + "    try:\n    " + RECORD + "    except ValueError:\n        pass\n"),
    (rooms.one_entry, ACTIONS, START + "    if not rollout:\n        return\n" + RECORD),
    (rooms.one_entry, ACTIONS, START + "    def later():\n    " + RECORD),
    (rooms.action_calls_action, ACTIONS, "from checkvalve.server.approvals import actions as approvals_actions\n"),
    (rooms.action_calls_action, WRITES, "from checkvalve.server.approvals import actions\n"),
    (rooms.action_calls_action, ACTIONS, "import checkvalve.server.approvals.actions\n"),
    (rooms.action_calls_action, ACTIONS, START + RECORD + "def again(tx, act):\n    start(tx, act, 1)\n"),
    (owner, WRITES, "tx.run(sa.insert(schema.people).values(id=1))\n"),
    (owner, WRITES, "tx.run(update(people).values(id=1))\n"),
    (owner, WRITES, "tx.run(schema.people.delete())\n"),
    (owner, WRITES, "tx.run(sqlite.insert(schema.people))\n"),
    (owner, WRITES, "tx.run(sqlite_insert(schema.people))\n"),
    (owner, "src/checkvalve/server/rollouts/queries.py", "tx.run(insert(schema.rollouts))\n"),
    (owner, PAGE, "tx.run(insert(schema.rollouts))\n"),
    (owner, WRITES, "tx.run(sa.text('DELETE FROM people'))\n"),
]

FINE: list[tuple[Rule, str, str]] = [
    (rooms.asynchronous, PAGE, "async def show():\n    pass\n"),
    (rooms.purity, JUDGE, "import enum\nfrom datetime import datetime\nfrom checkvalve.server.rollouts import model\n"),
    (rooms.purity, WRITES, "import sqlalchemy as sa\n"),
    (rooms.outward, WRITES, "import sqlalchemy as sa\nfrom checkvalve.server.db.database import Tx\n"),
    (rooms.face_without_sql, PAGE, "from checkvalve.server.rollouts import queries\n"),
    (rooms.action_signature, ACTIONS, START + RECORD + "def _inner(rollout):\n    pass\n"),
    (
        rooms.one_entry,
        ACTIONS,
        START + "    if not rollout:\n        raise ValueError\n" + RECORD + "    return rollout\n",
    ),
    (rooms.one_entry, ACTIONS, START + "    with tx.savepoint():\n    " + RECORD),
    (rooms.action_calls_action, PAGE, "from checkvalve.server.rollouts import actions\n"),
    (
        rooms.action_calls_action,
        ACTIONS,
        "from checkvalve.server.audit import writes as audit_writes\n" + START + RECORD,
    ),
    (owner, WRITES, "tx.run(sa.insert(schema.rollouts).values(id=1))\n"),
    (owner, WRITES, "tx.all(sa.select(schema.people))\nseen.update(names)\n"),
    (owner, WRITES, "tx.all(sa.text('SELECT 1'))\n"),
]


@pytest.mark.parametrize("rule", rooms.RULES, ids=lambda rule: rule.__name__)
def test_the_tree_keeps_the_rule(rule: Rule) -> None:
    assert tree.broken(rule) == []


@pytest.mark.parametrize(("rule", "path", "text"), BAD)
def test_the_rule_catches_what_it_is_for(rule: Rule, path: str, text: str) -> None:
    assert list(rule(Source(path, text)))


@pytest.mark.parametrize(("rule", "path", "text"), FINE)
def test_the_rule_lets_good_code_be(rule: Rule, path: str, text: str) -> None:
    assert list(rule(Source(path, text))) == []


def test_every_rule_has_something_it_catches_and_something_it_lets_be() -> None:
    assert {rule for rule, _, _ in BAD} == {rule for rule, _, _ in FINE} == set(ALL)


def test_a_table_is_written_by_its_room_only() -> None:
    assert tree.broken(rooms.owner_writes(rooms.owners_declared())) == []


def test_every_table_has_an_owner_and_every_owner_is_a_room() -> None:
    owners = rooms.owners_declared()
    assert rooms.tables_declared(ast.parse(tree.SCHEMA.read_text())) == set(owners)
    assert set(owners.values()) <= set(tree.rooms())


def test_a_table_is_held_by_a_variable_of_its_name() -> None:
    # `insert(schema.people)` is read off the syntax: a table under another name would be written unseen.
    held = {
        (target, str(node.value.args[0].value))
        for node in ast.parse(tree.SCHEMA.read_text()).body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call)
        if tree.dotted(node.value.func).endswith("Table") and isinstance(node.value.args[0], ast.Constant)
        for target in map(tree.dotted, node.targets)
    }
    assert held == {(name, name) for name in rooms.owners_declared()}
