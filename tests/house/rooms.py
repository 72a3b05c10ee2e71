# SPDX-License-Identifier: Apache-2.0
"""Rules on the rooms: what decides is pure, what acts leaves one entry, and only the owner writes a table."""

import ast
from collections.abc import Iterator, Mapping

from tests.house.tree import NOT_DECISIONS, SCHEMA, Finding, Function, Rule, Source, dotted, imports

# A decision gets these as arguments, or not at all.
IMPURE = frozenset(
    "asyncio aiohttp concurrent ctypes http httpx io logging litestar multiprocessing os pathlib psycopg queue random "
    "secrets select shutil signal socket sqlalchemy sqlite3 ssl structlog subprocess sys tempfile threading time "
    "urllib uuid uvicorn".split()
)
# Rooms speak to the database, to nothing else; who, when and at random are arguments.
OUTWARD = IMPURE - {"sqlalchemy"}
WRITING = frozenset({"insert", "update", "delete"})


def asynchronous(source: Source) -> Iterator[Finding]:
    """A room knows no event loop: its functions run whole, on a thread (ADR 0002)."""
    if not source.room:
        return
    for node in ast.walk(source.tree):
        if isinstance(node, ast.AsyncFunctionDef | ast.AsyncFor | ast.AsyncWith | ast.Await):
            yield node.lineno, "a room is synchronous"


def purity(source: Source) -> Iterator[Finding]:
    """A decision and a message of the protocol do no input or output, and read neither clock nor entropy."""
    decides = bool(source.room) and source.name not in NOT_DECISIONS - {"model"}
    if not decides and not source.within("protocol/"):
        return
    for line, module in imports(source.tree):
        if module.partition(".")[0] in IMPURE or module.startswith(("checkvalve.clock", "checkvalve.server.db")):
            yield line, f"imports {module}: what decides gets its facts, the time and chance as arguments"
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and dotted(node.func) in {"open", "input", "print"}:
            yield node.lineno, "what decides does no input or output"


def outward(source: Source) -> Iterator[Finding]:
    """A room speaks to the database only: no HTTP, no sockets, no clock, no entropy."""
    if not source.room:
        return
    for line, module in imports(source.tree):
        if module.partition(".")[0] in OUTWARD or module.startswith("checkvalve.clock"):
            yield line, f"imports {module}: a room reads neither clock nor entropy and speaks to the database only"


def face_without_sql(source: Source) -> Iterator[Finding]:
    """A face asks rooms; it knows no SQL and no table."""
    if not source.within("server/web/", "server/tasks/", "server/exchange/", "cli/"):
        return
    for line, module in imports(source.tree):
        if module.partition(".")[0] in {"sqlalchemy", "psycopg", "sqlite3", "alembic"} or module.endswith("db.schema"):
            yield line, f"imports {module}: a face knows no SQL; ask a room"


def action_signature(source: Source) -> Iterator[Finding]:
    """An action takes the transaction first and the act second: who, when, why, and the id of its entry (ADR 0003)."""
    for action in _actions(source):
        names = [argument.arg for argument in [*action.args.posonlyargs, *action.args.args]]
        if names[:2] != ["tx", "act"]:
            yield action.lineno, f"{action.name} does not take `tx` and `act` first"


def one_entry(source: Source) -> Iterator[Finding]:
    """An action that returns has recorded exactly one entry (ADR 0003).

    Read off the syntax: one `.record(…)` in the function, a statement of its own body (in no branch, loop or handler;
    a `with` is no branch), and no `return` before it.
    """
    for action in _actions(source):
        records = [node for node in ast.walk(action) if isinstance(node, ast.Call) and _records(node)]
        if len(records) != 1:
            yield action.lineno, f"{action.name} has {len(records)} calls of `record`, not exactly one"
            continue
        line = records[0].lineno
        if not any(
            isinstance(node, ast.Expr | ast.Assign | ast.Return) and _holds(node, line) for node in _always(action.body)
        ):
            yield line, f"{action.name} records in a branch, loop or handler: some path has no entry, or several"
        elif any(node.lineno < line for node in ast.walk(action) if isinstance(node, ast.Return)):
            yield line, f"{action.name} may return before it records"


def action_calls_action(source: Source) -> Iterator[Finding]:
    """An action calls no action: two entries in one transaction would tell one deed twice."""
    if not source.room:
        return
    for line, module in imports(source.tree):
        if module.startswith("checkvalve.server.") and module.endswith(".actions"):
            yield line, f"imports {module}: only a face, a tick or the exchange calls an action"
    names = {action.name for action in _actions(source)}
    for action in _actions(source):
        for node in ast.walk(action):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names:
                yield node.lineno, f"{action.name} calls the action {node.func.id}"


def owner_writes(owners: Mapping[str, str]) -> Rule:
    """Return the rule that a table is written by its room only, and there by `writes` or `actions`."""

    def table_owner(source: Source) -> Iterator[Finding]:
        if not source.ours or source.within("server/db/migrations/"):
            return
        for node in ast.walk(source.tree):
            table = _written(node, owners)
            if table and (source.room != owners[table] or source.name not in {"writes", "actions"}):
                yield node.lineno, f"writes {table}, which only server/{owners[table]}/writes.py may"  # type: ignore[attr-defined]
            if source.room and _writes_as_text(node):
                yield node.lineno, "writes by SQL text, where no rule can see the table"  # type: ignore[attr-defined]

    return table_owner


def owners_declared() -> dict[str, str]:
    """Return table -> room, as `OWNERS` in `server/db/schema.py` says; nothing if there is no schema yet."""
    if not SCHEMA.exists():
        return {}
    for node in ast.parse(SCHEMA.read_text()).body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value and "OWNERS" in map(dotted, targets):
            value: dict[str, str] = ast.literal_eval(node.value)
            return value
    return {}


def tables_declared(tree: ast.Module) -> set[str]:
    """Return the names of the tables that a schema makes with `Table("…", …)`."""
    return {
        str(node.args[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and dotted(node.func).rpartition(".")[2] == "Table"
        if node.args and isinstance(node.args[0], ast.Constant)
    }


def _actions(source: Source) -> list[Function]:
    if not source.room or source.name != "actions":
        return []
    return [node for node in source.tree.body if isinstance(node, Function) and not node.name.startswith("_")]


def _records(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "record"


def _always(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for statement in body:
        yield statement
        if isinstance(statement, ast.With):
            yield from _always(statement.body)


def _holds(node: ast.stmt, line: int) -> bool:
    return any(_records(inner) and inner.lineno == line for inner in ast.walk(node))  # type: ignore[attr-defined]


def _written(node: ast.AST, owners: Mapping[str, str]) -> str:
    """The table that a call writes: `insert(schema.t)`, `sa.update(t)`, `t.delete()`; else nothing."""
    if not isinstance(node, ast.Call):
        return ""
    before, _, verb = dotted(node.func).rpartition(".")
    if verb.rpartition("_")[2] not in WRITING:
        return ""
    candidates = [dotted(node.args[0])] if node.args else []
    for candidate in [*candidates, before]:
        table = candidate.rpartition(".")[2]
        if table in owners:
            return table
    return ""


def _writes_as_text(node: ast.AST) -> bool:
    match node:
        case ast.Call(func=func, args=[ast.Constant(value=str(said)), *_]) if dotted(func).rpartition(".")[2] == "text":
            return said.strip().partition(" ")[0].lower() in WRITING | {"replace", "truncate", "merge", "with"}
        case _:
            return False


RULES = (asynchronous, purity, outward, face_without_sql, action_signature, one_entry, action_calls_action)
