# SPDX-License-Identifier: Apache-2.0
"""Where dangerous things stand, and proof that each rule on it can fail."""

import pytest

from tests.house import places, tree
from tests.house.tree import Rule, Source

ANYWHERE = "src/checkvalve/server/db/database.py"

BAD: list[tuple[Rule, str, str]] = [
    (places.clock, ANYWHERE, "import datetime\nnow = datetime.datetime.now()\n"),
    (places.clock, ANYWHERE, "from datetime import datetime\nnow = datetime.now(UTC)\n"),
    (places.clock, ANYWHERE, "import time\nstart = time.monotonic()\n"),
    (places.clock, ANYWHERE, "import time\nread = time.time\n"),
    (places.clock, ANYWHERE, "from time import monotonic\n"),
    (places.entropy, ANYWHERE, "import random\n"),
    (places.entropy, "src/checkvalve/server/web/auth.py", "from secrets import token_bytes\n"),
    (places.entropy, ANYWHERE, "import os\nkey = os.urandom(16)\n"),
    (places.entropy, ANYWHERE, "import uuid\n"),
    (places.crypto, ANYWHERE, "import hashlib\n"),
    (places.crypto, "src/checkvalve/cli/client.py", "from cryptography import x509\n"),
    (places.crypto, ANYWHERE, "from cryptography.hazmat.primitives import hashes\n"),
    (places.tls, "src/checkvalve/server/access/queries.py", "import ssl\n"),
    (places.printing, "src/checkvalve/server/access/queries.py", "print('here')\n"),
    (places.printing, ANYWHERE, "import sys\nsys.stdout.write('here')\n"),
]

FINE: list[tuple[Rule, str, str]] = [
    (places.clock, "src/checkvalve/clock.py", "import time\nstart = time.monotonic()\n"),
    (places.clock, ANYWHERE, "from checkvalve import clock\nstart = clock.monotonic()\n"),
    (places.clock, "tests/test_a.py", "import time\nstart = time.monotonic()\n"),
    (places.entropy, "src/checkvalve/crypto/keys.py", "import secrets\n"),
    (places.crypto, "src/checkvalve/crypto/digests.py", "import hashlib\n"),
    (places.tls, "src/checkvalve/server/web/listeners.py", "import ssl\n"),
    (places.printing, "src/checkvalve/cli/output.py", "print('here')\n"),
]


@pytest.mark.parametrize("rule", places.RULES, ids=lambda rule: rule.__name__)
def test_the_tree_keeps_the_rule(rule: Rule) -> None:
    assert tree.broken(rule) == []


@pytest.mark.parametrize(("rule", "path", "text"), BAD)
def test_the_rule_catches_what_it_is_for(rule: Rule, path: str, text: str) -> None:
    assert list(rule(Source(path, text)))


@pytest.mark.parametrize(("rule", "path", "text"), FINE)
def test_the_rule_lets_good_code_be(rule: Rule, path: str, text: str) -> None:
    assert list(rule(Source(path, text))) == []


def test_every_rule_has_something_it_catches_and_something_it_lets_be() -> None:
    assert {rule for rule, _, _ in BAD} == {rule for rule, _, _ in FINE} == set(places.RULES)
