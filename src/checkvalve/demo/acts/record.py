# SPDX-License-Identifier: Apache-2.0
"""Act: an entry of the record is taken home, checked without the plane, and edited by one byte."""

from checkvalve.canonical import loads
from checkvalve.crypto import merkle
from checkvalve.demo.facts import Fact
from checkvalve.demo.stage import Stage
from checkvalve.errors import InvalidError

TITLE = "Entries are final bytes: one edited byte is named"


def play(stage: Stage) -> list[Fact]:
    """Fetch entries and their hashes, recompute, edit one byte, recompute."""
    maja = stage.caller("maja")
    listed = maja.get("/api/v1/audit", limit=50)["items"]
    taken = {item["id"]: (maja.raw(f"/api/v1/audit/{item['id']}/raw"), item["leaf_hash"]) for item in listed}
    differing = [ident for ident, (data, leaf) in taken.items() if not _holds(data, leaf)]
    victim = sorted(taken)[len(taken) // 2]
    data, leaf = taken[victim]
    edited = bytearray(data)
    edited[len(edited) // 2] ^= 1
    found = [
        ident for ident, (data, leaf) in {**taken, victim: (bytes(edited), leaf)}.items() if not _holds(data, leaf)
    ]
    return [
        Fact(
            "Each entry's bytes are canonical and hash to what the plane listed; an edited one is found by name",
            f"{len(taken)} entries checked, {len(differing)} differ; after the edit: {', '.join(found)[-26:]}",
            "0 differ, then exactly the edited one",
            f"checkvalve audit show {victim}",
            not differing and found == [victim] and len(taken) > 1,
        )
    ]


def _holds(data: bytes, leaf: str) -> bool:
    try:
        loads(data)
    except InvalidError:
        return False
    return merkle.leaf_hash(data).hex() == leaf
