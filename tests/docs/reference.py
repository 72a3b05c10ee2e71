# SPDX-License-Identifier: Apache-2.0
"""Every page of `docs/reference` that is made from the code, as text."""

import ast
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from checkvalve.server.access import roles
from checkvalve.server.access.model import Permission
from checkvalve.server.settings import Listener, Settings
from checkvalve.server.web import app
from tests.docs import commands, compose
from tests.docs.plane import nowhere

SOURCE = Path("src/checkvalve")
FOLDER = Path("docs/reference")
MADE = "Made by `make docs` from the code; never edited by hand.\n"

MEANINGS = {
    "plane": "what people call this plane",
    "names": "DNS names and IP addresses it is reached by; all stand in its certificate, no other `Host` is answered",
    "database": "`sqlite:` (a file in the data directory) or `postgresql://user@host/database`",
    "operators": "address and port of the listener for people, API and CLI",
    "devices": "address and port of the listener for devices",
    "operators_certificate": "PEM chain of the company's own; empty is the plane's own. Read again on SIGHUP",
    "operators_key": "the key that belongs to it, PEM, unencrypted, mode 0600",
    "blobs": "directory of images, on a disk of its own if you like; empty is `blobs` in the data directory",
    "largest_archive": "bytes of the largest archive that `image import` takes",
    "log": "`debug`, `info`, `warning` or `error`; JSON lines on standard error, plain ones on a terminal",
    "scheme": "a file with other bands of the scorecard; a path that is not absolute begins in the data directory",
}


class Said(NamedTuple):
    """An error or entry as the code says it."""

    code: str
    kind: str
    sentence: str
    place: str


def pages() -> dict[Path, str]:
    """Return each page by its file."""
    made: dict[str, Callable[[], str]] = {
        "permissions.md": _permissions,
        "routes.md": _routes,
        "settings.md": _settings,
        "errors.md": _errors,
        "entries.md": _entries,
        "commands.md": lambda: commands.page(MADE),
        "compose.md": lambda: compose.page(MADE),
    }
    return {FOLDER / name: page() for name, page in made.items()}


def _permissions() -> str:
    heads = " | ".join(f"`{role}`" for role in roles.BUILT_IN)
    lines = [
        "# Permissions and roles",
        MADE,
        *(f"- **{role.name}**: {role.sentence}" for role in roles.BUILT_IN.values()),
        "",
        f"| permission | {heads} |",
        "|---|" + "---|" * len(roles.BUILT_IN),
    ]
    for permission in Permission:
        held = " | ".join("yes" if permission in role.permissions else "" for role in roles.BUILT_IN.values())
        lines.append(f"| `{permission}` | {held} |")
    return "\n".join(lines) + "\n"


def _routes() -> str:
    lines = ["# Routes of the operators' listener", MADE, "| method | path | needs |", "|---|---|---|"]
    lines += [f"| {method} | `{path}` | {need} |" for method, path, need in app.routes(nowhere())]
    return "\n".join(lines) + "\n"


def _settings() -> str:
    lines = ["# Settings", MADE, "One TOML file, `checkvalve.toml`, in the data directory.\n"]
    lines += ["| setting | default | meaning |", "|---|---|---|"]
    defaults = Settings()
    for name in Settings.__struct_fields__:
        value = getattr(defaults, name)
        said = f"{value.address}:{value.port}" if isinstance(value, Listener) else value
        text = ", ".join(said) if isinstance(said, tuple) else said
        lines.append(f"| `{name}` | {f'`{text}`' if text else ''} | {MEANINGS[name]} |")
    return "\n".join(lines) + "\n"


def _errors() -> str:
    lines = [
        "# Error codes",
        MADE,
        "A code is stable; its sentence may be told better one day. `…` stands for what differs.\n",
    ]
    lines += ["| code | kind | sentence | from |", "|---|---|---|---|"]
    seen: dict[str, Said] = {}
    for said in sorted(_raised()):
        seen.setdefault(said.code, said)
    lines += [f"| `{s.code}` | {s.kind} | {s.sentence} | `{s.place}` |" for s in seen.values()]
    return "\n".join(lines) + "\n"


def _entries() -> str:
    lines = [
        "# What the record tells",
        MADE,
        "Each act leaves one entry of one of these names.\n",
        "| action | from |",
        "|---|---|",
    ]
    lines += [f"| `{action}` | `{place}` |" for action, place in sorted(set(_recorded()))]
    return "\n".join(lines) + "\n"


def _raised() -> Iterator[Said]:
    for place, node in _calls():
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name.endswith("Error") and len(node.args) >= 2 and isinstance(node.args[0], ast.Constant):
            code = node.args[0].value
            if isinstance(code, str) and "." in code and " " not in code:
                yield Said(code, name.removesuffix("Error"), _text(node.args[1]), place)


def _recorded() -> Iterator[tuple[str, str]]:
    for place, node in _calls():
        if isinstance(node.func, ast.Attribute) and node.func.attr == "record" and len(node.args) > 2:
            action = node.args[2]
            if isinstance(action, ast.Constant):
                yield str(action.value), place


def _calls() -> Iterator[tuple[str, ast.Call]]:
    for file in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call):
                yield str(file.relative_to(SOURCE)), node


def _text(node: ast.expr) -> str:
    match node:
        case ast.Constant(value=str(text)):
            return text.replace("|", "\\|")
        case ast.JoinedStr(values=parts):
            return "".join(_text(part) if isinstance(part, ast.Constant) else "…" for part in parts)
        case _:
            return "…"
