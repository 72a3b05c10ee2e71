# SPDX-License-Identifier: Apache-2.0
"""Rules on `requirements/*.txt`: every line pinned and hashed, no index named, nothing declared that is not locked."""

import re
import tomllib
from collections.abc import Iterator

_PINNED = re.compile(
    r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?==\S+(?:\s*;\s*.+?)?((?:\s+--hash=sha256:[0-9a-f]{64})*)$"
)
_ADDRESS = re.compile(
    r"(?:https?|file|git\+\w+)://?|--(?:extra-)?index-url|--find-links|--trusted-host|^\s*-[fire]\b| @ "
)


def unlocked(text: str) -> Iterator[tuple[int, str]]:
    """Yield `(line, sentence)` for each requirement that is not pinned with a hash, or that names an address."""
    pending, start = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        if _ADDRESS.search(line):
            yield number, "names an address; a lock says what, never from where"
        if line.strip().startswith("#") or not (line.strip() or pending):
            continue
        start = start if pending else number
        pending += " " + line.rstrip("\\").strip()
        if line.endswith("\\"):
            continue
        found = _PINNED.match(pending.strip())
        if found is None:
            yield start, f"is no pinned requirement: {pending.strip()[:60]}"
        elif not found.group(2):
            yield start, f"{found.group(1)} has no hash"
        pending = ""


def locked(text: str) -> set[str]:
    """Return the normalised names that a lock pins."""
    return {
        normal(found) for found in re.findall(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?==", text, re.MULTILINE)
    }


def asked_for(text: str, project: str) -> set[str]:
    """Return the normalised names that a lock pins because `project` itself asks for them (`# via`)."""
    names: set[str] = set()
    current = ""
    for line in text.splitlines():
        if found := re.match(r"([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?==", line):
            current = normal(found.group(1))
        elif re.match(rf"\s+#\s+(?:via )?\s*{re.escape(project)} \(pyproject\.toml\)", line):
            names.add(current)
    return names


def declared(pyproject: str, extra: str) -> set[str]:
    """Return the normalised names that the project needs with `extra`, extras within extras followed."""
    project = tomllib.loads(pyproject)["project"]
    wanted = list(project["dependencies"]) + list(project["optional-dependencies"][extra])
    names: set[str] = set()
    while wanted:
        found = re.match(r"([A-Za-z0-9._-]+)\s*(?:\[([^\]]*)\])?", wanted.pop())
        if found is None:
            continue
        if normal(found.group(1)) == normal(project["name"]):
            for inner in (found.group(2) or "").split(","):
                wanted += project["optional-dependencies"][inner.strip()]
        else:
            names.add(normal(found.group(1)))
    return names


def normal(name: str) -> str:
    """Return the name as an index compares it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()
