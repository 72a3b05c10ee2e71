# SPDX-License-Identifier: Apache-2.0
"""The shape of every file, and proof that each rule on it can fail."""

import pytest

from tests.house import shape, tree
from tests.house.tree import Rule, Source

HEAD = f'{shape.SPDX}\n"""Says what the module is for, and why."""\n'
GOOD = HEAD + "import json\n\n\ndef size(text: str) -> int:\n    return len(json.dumps(text))\n"
LONG_FUNCTION = "def judge() -> None:\n" + "    pass\n" * 60

BAD: list[tuple[Rule, str, str]] = [
    (shape.first_line, "src/checkvalve/ids.py", '"""No licence, though a docstring."""\n'),
    (shape.first_line, "tests/test_ids.py", f"#!/usr/bin/env python3\n{HEAD}"),
    (shape.docstring, "src/checkvalve/ids.py", f"{shape.SPDX}\nIDS = 1\n"),
    (shape.docstring, "src/checkvalve/ids.py", f'{shape.SPDX}\n"""Ids."""\n'),
    (shape.size, "src/checkvalve/ids.py", HEAD + "A = 1\n" * 400),
    (shape.size, "tests/test_ids.py", HEAD + "A = 1\n" * 800),
    (shape.size, "src/checkvalve/ids.py", HEAD + LONG_FUNCTION),
    (shape.size, "src/checkvalve/ids.py", HEAD + "# long: short\n" + LONG_FUNCTION),
    (shape.late_import, "src/checkvalve/cli/main.py", HEAD + "def run() -> None:\n    from checkvalve import ids\n"),
    (shape.late_import, "src/checkvalve/cli/main.py", HEAD + "def run() -> None:\n    import checkvalve.ids\n"),
    (shape.late_import, "src/checkvalve/a.py", HEAD + "def run() -> None:\n    import_module('checkvalve.ids')\n"),
    (shape.name, "src/checkvalve/server/utils.py", HEAD),
    (shape.name, "src/checkvalve/server/audit/entry_service.py", HEAD),
    (shape.name, "src/checkvalve/common/ids.py", HEAD),
    (shape.name, "src/checkvalve/ids.py", HEAD + "class IdManager:\n    pass\n"),
    (shape.name, "src/checkvalve/ids.py", HEAD + "class PersonDTO:\n    pass\n"),
]

FINE: list[tuple[Rule, str, str]] = [
    *((rule, "src/checkvalve/ids.py", GOOD) for rule in shape.RULES),
    (shape.size, "tests/test_ids.py", HEAD + "A = 1\n" * 700),
    (shape.size, "src/checkvalve/ids.py", HEAD + "# long: a table of all states and events\n" + "A = 1\n" * 500),
    (shape.size, "src/checkvalve/ids.py", HEAD + "A = 1\n" * 9 + "# long: one arm for each state\n" + LONG_FUNCTION),
    (shape.late_import, "src/checkvalve/main.py", HEAD + "def run() -> None:\n    import_module('checkvalve.cli')\n"),
    (shape.late_import, "src/checkvalve/a.py", HEAD + "def run() -> None:\n    import json\n"),
    (shape.name, "src/checkvalve/ids.py", HEAD + "class ServiceHealth:\n    pass\n"),
]


@pytest.mark.parametrize("rule", shape.RULES, ids=lambda rule: rule.__name__)
def test_the_tree_keeps_the_rule(rule: Rule) -> None:
    assert tree.broken(rule) == []


@pytest.mark.parametrize(("rule", "path", "text"), BAD)
def test_the_rule_catches_what_it_is_for(rule: Rule, path: str, text: str) -> None:
    assert list(rule(Source(path, text)))


@pytest.mark.parametrize(("rule", "path", "text"), FINE)
def test_the_rule_lets_good_code_be(rule: Rule, path: str, text: str) -> None:
    assert list(rule(Source(path, text))) == []


def test_every_rule_has_something_it_catches() -> None:
    assert {rule for rule, _, _ in BAD} == set(shape.RULES)


def test_the_rules_see_the_whole_tree() -> None:
    paths = {source.path for source in tree.sources()}
    assert {"src/checkvalve/errors.py", "tests/house/tree.py"} <= paths
