# SPDX-License-Identifier: Apache-2.0
"""Keeps the part of `.importlinter` that follows from the tree: which rooms there are, and which decisions they hold.

`python -m tests.house.contracts` says whether the file is up to date; `--write`, as `make fix` does, makes it so.
"""

import argparse
import sys

from tests.house import tree

FILE = tree.ROOT / ".importlinter"
MARK = "# ---- Below this line: made from the tree by `make fix` (tests/house/contracts.py). ----\n"

# Pure wherever they exist: the ground, the messages, and what the device decides.
PURE = (
    "canonical",
    "errors",
    "ids",
    "crypto",
    "protocol",
    "agent.trust",
    "agent.plan",
    "agent.recover",
    "agent.health",
    "agent.receipts",
    "agent.steps",
    "agent.switching",
    "agent.returning",
    "agent.upkeep",
    "agent.fetching",
    "agent.lift",
    "agent.situation",
    "agent.findings",
    "agent.exclusive",
    "agent.readiness",
    "agent.waiting",
    "agent.erranding",
    "agent.policy",
    "agent.asides",
    "agent.volumes",
    "agent.budget",
    "agent.space",
    "agent.crashes",
    "agent.doctor",
    "agent.given",
    "agent.masking",
    "agent.places",
)
# The ground and `crypto` are pure in their own way: `crypto` makes nonces and keys.
PURE_OF_FOREIGN = PURE[4:]
EFFECTS = (
    "clock",
    "server.db",
    "server.web",
    "agent.engine",
    "agent.link",
    "agent.disk",
    "agent.clocks",
    "agent.permits",
    "agent.laying",
    "agent.host",
)
FOREIGN = ("asyncio", "time", "os", "random", "secrets", "socket", "sqlalchemy", "litestar", "httpx")
QUIET = ("web", "tasks", "exchange")
DIALS = ("httpx", "ldap", "smtplib", "boto3")

AGENT = """\
[importlinter:contract:agent]
name = agent
type = layers
containers = checkvalve.agent
exhaustive = True
layers =
    (main)
    (commands)
    (enrol)
    (loop)
    (cabinet)
    (work) | (visit) | (chores) | (sending)
    (bringing) | (restarting)
    (bundling)
    (summary) | (checking) | (bundle) | (copies)
    (obtain) | (taking) | (telling)
    (evidence)
    (hiding)
    (parts) | (local)
    (engine) | (link) | (disk) | (clocks) | (journal) | (slots) | (blobs) | (spool) | (shelf) | \
(identity) | (believed) | (meter) | (posture) | (holds) | (window) | (permits) | (errands) | (host)
    (laying) | (hidden)
    (ports)
    (plan) : (recover) : (receipts) : (switching) : (returning) : (upkeep) : (fetching)
    (lift) | (space) | (crashes) | (volumes)
    (situation)
    (readiness)
    (erranding)
    (trust) : (health) : (findings) : (waiting) : (given) : (doctor)
    (exclusive) | (asides)
    (steps)
    (policy) | (masking) | (places)
    (budget)
"""


def text(current: str) -> str:
    """Return what the file should be: its fixed part as it is, the other from the tree."""
    fixed, mark, _ = current.partition(MARK)
    if not mark:
        message = f"{FILE.name} has lost its mark: {MARK.strip()}"
        raise SystemExit(message)
    return fixed + MARK + "\n".join(_contracts())


def _contracts() -> list[str]:
    rooms = tree.rooms()
    decisions = {room: tree.decisions(room) for room in rooms}
    models = [f"server.{room}.model" for room in rooms if (tree.SERVER / room / "model.py").exists()]
    pure = [f"server.{room}.{name}" for room in rooms for name in decisions[room]] + models
    parts = [
        _forbidden(
            "pure-own", "what decides touches nothing of ours that acts", [*_there(PURE), *pure], _there(EFFECTS)
        ),
        _forbidden(
            "pure-foreign",
            "what decides imports nothing that acts",
            [*_there(PURE_OF_FOREIGN), *pure],
            FOREIGN,
            direct=True,
        ),
        _forbidden(
            "outbound",
            "only `outside` opens connections",
            [*_there(tuple(f"server.{name}" for name in QUIET)), *(f"server.{room}" for room in rooms)],
            DIALS,
            direct=True,
        ),
    ]
    if _there(("agent",)):
        parts.append(AGENT)
    if rooms:
        parts.append(_rooms(rooms, sorted({name for names in decisions.values() for name in names})))
    return [part for part in parts if part]


def _there(names: tuple[str, ...]) -> list[str]:
    base = tree.ROOT / "src/checkvalve"
    paths = {name: base / name.replace(".", "/") for name in names}
    return [name for name, path in paths.items() if (path / "__init__.py").exists() or path.with_suffix(".py").exists()]


def _forbidden(
    key: str, title: str, sources: list[str], targets: tuple[str, ...] | list[str], *, direct: bool = False
) -> str:
    if not sources or not targets:
        return ""
    lines = [f"[importlinter:contract:{key}]", f"name = {title}", "type = forbidden"]
    if direct:
        lines.append("allow_indirect_imports = True")
    lines += ["source_modules =", *(f"    checkvalve.{name}" for name in sources), "forbidden_modules ="]
    lines += [f"    {name}" if direct else f"    checkvalve.{name}" for name in targets]
    return "\n".join(lines) + "\n"


def _rooms(rooms: list[str], decisions: list[str]) -> str:
    lines = [
        "[importlinter:contract:rooms]",
        "name = inside a room",
        "type = layers",
        "exhaustive = True",
        "containers =",
    ]
    lines += [f"    checkvalve.server.{room}" for room in rooms]
    lines += ["layers =", "    (actions)", "    (writes)", "    (queries)", "    (tables)"]
    # Decisions may build on each other; that they never do so in a circle is the contract `acyclic`.
    if decisions:
        lines.append("    " + " : ".join(f"({name})" for name in decisions))
    return "\n".join([*lines, "    (model)"]) + "\n"


def main() -> int:
    """Compare, or write; 1 if the file is not what the tree says."""
    parser = argparse.ArgumentParser(description="keep .importlinter in step with the tree")
    parser.add_argument("--write", action="store_true")
    current = FILE.read_text()
    wanted = text(current)
    if parser.parse_args().write:
        if wanted != current:
            FILE.write_text(wanted)
        return 0
    if wanted != current:
        sys.stderr.write(f"{FILE.name} does not say what the tree is: run `make fix`.\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
