# SPDX-License-Identifier: Apache-2.0
"""Act: entries of the record and a receipt are taken home, checked without the plane, and edited by one byte."""

from msgspec import structs
from rich.markup import escape

from checkvalve.canonical import loads
from checkvalve.crypto import envelope, keys, merkle
from checkvalve.demo import rollouts, station
from checkvalve.demo.facts import Fact
from checkvalve.demo.stage import Stage
from checkvalve.errors import InvalidError
from checkvalve.protocol.exchange import State

TITLE = "The record and the receipts are final bytes: one edited byte is named"


def play(stage: Stage) -> list[Fact]:
    """Take some home, check them, edit one byte, check again."""
    return [_entries(stage), _receipt(stage)]


def _entries(stage: Stage) -> Fact:
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
    return Fact(
        "Each entry's bytes are canonical and hash to what the plane listed; an edited one is found by name",
        f"{len(taken)} entries checked, {len(differing)} differ; after the edit: {', '.join(found)[-26:]}",
        "0 differ, then exactly the edited one",
        f"checkvalve audit show {victim}",
        not differing and found == [victim] and len(taken) > 1,
    )


def _receipt(stage: Stage) -> Fact:
    """Have the verifier look, with no plane and no network, at a receipt and at one that was made to say less."""
    agent, maja = stage.agent(stage.ids["canary"]), stage.caller("maja")
    kept = next(each for each in rollouts.receipts(maja, agent) if each.outcome is State.ROLLED_BACK)
    key, whole, edited = (stage.directory / f"{agent.name}{end}" for end in (".pub", ".json", "-edited.json"))
    key.write_bytes(keys.dump_public(agent.key))
    data = maja.raw(f"/api/v1/receipts/{kept.digest}")
    whole.write_bytes(data)
    edited.write_bytes(_forged(data))
    verify = ("verify", "receipt", str(edited), "--key", str(key))
    good, said = (stage.complaint("", "verify", "receipt", str(file), "--key", str(key)) for file in (whole, edited))
    stage.say(f"[dim]$ checkvalve {' '.join(verify)}[/dim]")
    stage.say(f"[dim]{escape(said)}[/dim]")
    return Fact(
        "A receipt is checked with no plane and no network; edited by one byte it is refused, and named",
        f"{agent.name} signed that {station.ref(station.BROKEN)} ended with 1: {'refused' if good else 'holds'}; with "
        f"the 1 made a 0: {'refused' if said else 'holds'}",
        "holds, then refused",
        f"checkvalve {' '.join(verify)}",
        not good and edited.name in said and len(edited.read_bytes()) == len(data),
    )


def _forged(data: bytes) -> bytes:
    """Return a receipt that says its service ended with 0, not with 1: one byte of what was signed."""
    sealed = envelope.read(data)
    return envelope.write(structs.replace(sealed, payload=sealed.payload.replace(b'"exit":1', b'"exit":0', 1)))


def _holds(data: bytes, leaf: str) -> bool:
    try:
        loads(data)
    except InvalidError:
        return False
    return merkle.leaf_hash(data).hex() == leaf
