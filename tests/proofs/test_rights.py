# SPDX-License-Identifier: Apache-2.0
"""The decision and an independent engine agree in many thousand worlds."""

from hypothesis import HealthCheck, given, seed, settings

from checkvalve.server.access.decide import decide
from checkvalve.server.access.model import Context, Permission, Principal
from tests.conftest import NOON
from tests.proofs import book
from tests.server.access import worlds
from tests.server.access.test_oracle import cedar_allows

ROUNDS = 10
WORLDS = 5_000


def test_fifty_thousand_worlds_get_the_same_answer_from_cedar() -> None:
    for number in book.rounds(f"decide and Cedar agree, {WORLDS} worlds a round", ROUNDS):

        @seed(number)
        @settings(max_examples=WORLDS, database=None, suppress_health_check=list(HealthCheck))
        @given(worlds.principals(), worlds.permissions, worlds.scopes, worlds.contexts)
        def agree(principal: Principal, permission: Permission, scope: str, context: Context) -> None:
            expected = cedar_allows(principal, permission, scope, context)
            assert decide(principal, permission, scope, NOON, context).allow == expected

        agree()
