# SPDX-License-Identifier: Apache-2.0
"""Rules on where dangerous things may stand: clock and entropy, crypto, TLS, printing."""

import ast
from collections.abc import Iterator

from tests.house.tree import Finding, Source, dotted, imports

READS_THE_CLOCK = frozenset(
    "time.time time.time_ns time.monotonic time.monotonic_ns time.perf_counter time.perf_counter_ns "
    "datetime.now datetime.utcnow datetime.today date.today "
    "datetime.datetime.now datetime.datetime.utcnow datetime.datetime.today datetime.date.today".split()
)
CRYPTO = frozenset({"hashlib", "hmac", "cryptography"})
ENTROPY = frozenset({"random", "secrets", "uuid"})
TLS_PLACES = (
    "crypto/",
    "server/web/",
    "server/outside/",
    "server/main.py",
    "cli/",
    "demo/",
    "agent/link/",
    "mirror/",
)
PRINTING = ("cli/output.py", "demo/", "server/main.py", "agent/commands/")


def clock(source: Source) -> Iterator[Finding]:
    """Only `clock` reads the time; everyone else gets it as an argument."""
    if not source.ours or source.within("clock.py"):
        return
    for node in ast.walk(source.tree):
        said = dotted(node) if isinstance(node, ast.Attribute) else ""
        if said in READS_THE_CLOCK:
            yield node.lineno, f"{said} reads the clock; only `clock` may"  # type: ignore[attr-defined]
    for line, module in imports(source.tree):
        if module in READS_THE_CLOCK and module.startswith("time."):
            yield line, f"{module} reads the clock; only `clock` may"


def entropy(source: Source) -> Iterator[Finding]:
    """Only `clock` draws entropy, and `crypto` for its own keys and nonces; an id is made by `clock.new_id`."""
    if not source.ours or source.within("clock.py", "crypto/"):
        return
    for line, module in imports(source.tree):
        if module.partition(".")[0] in ENTROPY or module == "os.urandom":
            yield line, f"imports {module}; entropy comes from `clock`, as an argument"
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Attribute) and dotted(node) == "os.urandom":
            yield node.lineno, "os.urandom; entropy comes from `clock`, as an argument"


def crypto(source: Source) -> Iterator[Finding]:
    """Only `crypto` imports a crypto library: what is approved for use is read in one folder."""
    if not source.ours or source.within("crypto/"):
        return
    for line, module in imports(source.tree):
        if module.partition(".")[0] in CRYPTO:
            yield line, f"imports {module}; only `crypto` may"


def tls(source: Source) -> Iterator[Finding]:
    """`ssl` stands where connections are made or taken, nowhere else."""
    if not source.ours or source.within(*TLS_PLACES):
        return
    for line, module in imports(source.tree):
        if module.partition(".")[0] == "ssl":
            yield line, "imports ssl, and makes or takes no connection here"


def printing(source: Source) -> Iterator[Finding]:
    """What speaks to a terminal stands in few files; the rest returns, raises or logs."""
    if not source.ours or source.within(*PRINTING):
        return
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and dotted(node.func) in {"print", "pprint.pprint", "sys.stdout.write"}:
            yield node.lineno, "prints; return, raise or log instead"


RULES = (clock, entropy, crypto, tls, printing)
