# SPDX-License-Identifier: Apache-2.0
"""The words of a compose file that a release takes, those it does not, and what to write instead of them."""

import ast
import re
from collections.abc import Mapping
from pathlib import Path

from checkvalve.server.supply import keywords

ROOM = Path("src/checkvalve/server/supply")
PLACES: dict[str, tuple[str, Mapping[str, str]]] = {
    "At the top": ("", keywords.TOP),
    "`x-checkvalve` at the top": ("x-checkvalve", keywords.X_TOP),
    "A variable": ("x-checkvalve.variables.NAME", keywords.X_VARIABLE),
    "A file": ("x-checkvalve.files.NAME", keywords.X_FILE),
    "A secret": ("x-checkvalve.secrets.NAME", keywords.X_SECRET),
    "A file in compose's words": ("configs.NAME", keywords.CONFIG),
    "A secret in compose's words": ("secrets.NAME", keywords.SECRET),
    "A service": ("services.NAME", keywords.CONTAINER),
    "`x-checkvalve` of a service": ("services.NAME.x-checkvalve", keywords.X_CONTAINER),
    "A health check": ("services.NAME.healthcheck", keywords.HEALTH),
    "A mount in its long form": ("services.NAME.volumes[]", keywords.MOUNT),
    "A path of the device in a long mount": ("services.NAME.volumes[].bind", keywords.MOUNT_BIND),
    "A tmpfs in a long mount": ("services.NAME.volumes[].tmpfs", keywords.MOUNT_TMPFS),
    "A device in its long form": ("services.NAME.devices[]", keywords.DEVICE),
    "A file or secret in its long form": ("services.NAME.configs[]", keywords.PLACED),
    "A limit of a service": ("services.NAME.ulimits.NAME", keywords.ULIMIT),
    "Deployment": ("services.NAME.deploy", keywords.DEPLOY),
    "What a service may use": ("services.NAME.deploy.resources.limits", keywords.LIMITS),
    "What is kept for a service": ("services.NAME.deploy.resources.reservations", keywords.RESERVATIONS),
    "Logging": ("services.NAME.logging", keywords.LOGGING),
    "Options of logging": ("services.NAME.logging.options", keywords.LOG_OPTIONS),
    "A port in its long form": ("services.NAME.ports[]", keywords.PORT),
    "A network of a service": ("services.NAME.networks.NAME", keywords.ATTACHMENT),
    "A dependency in its long form": ("services.NAME.depends_on.NAME", keywords.DEPENDENCY),
    "A network": ("networks.NAME", keywords.NETWORK),
    "The options of a network": ("networks.NAME.driver_opts", keywords.NETWORK_OPTIONS),
    "The addresses of a network": ("networks.NAME.ipam", keywords.IPAM),
    "The subnet of a network": ("networks.NAME.ipam.config[]", keywords.SUBNET),
    "A volume": ("volumes.NAME", keywords.VOLUME),
    "`x-checkvalve` of a volume": ("volumes.NAME.x-checkvalve", keywords.X_VOLUME),
}
CODES = {
    "compose.size": "the file is larger than a release may be",
    "compose.syntax": "it is not YAML",
    "compose.tag": "a YAML tag that makes something else of a value",
    "compose.bomb": "it grows beyond what any compose file needs, by aliases or by nesting",
    "compose.duplicate": "a key stands twice in one place",
    "compose.unknown": "no word of Compose; the nearest one is named",
    "compose.unsupported": "a word of Compose that a release does not take",
    "compose.type": "a list where a text is due, and the like",
    "compose.value": "a value that is not one of those possible",
    "compose.missing": "something a release needs is not there",
    "compose.variable": "`${NAME}` that is not declared, or where none may stand; a dollar sign is written `$$`",
    "compose.version": "no version that a release can have",
    "compose.name": "no name that a release, service, volume or network can have",
    "compose.reference": "it names something that is not declared, or goes in a circle",
    "compose.allow": "it needs a word below `x-checkvalve`: `allow`, or `host_paths`; signers are shown it",
    "compose.podman": "Podman cannot do it, and the release is for devices that have Podman (`--engine podman`)",
    "compose.too_many": "more is wrong than is told at once",
    "image.unknown": "nobody imported an image of this name here",
    "image.ambiguous": "the name leads to images of several platforms",
}


def page(made: str) -> str:
    """Return the page; `made` says how it came to be."""
    lines = [
        "# Words of a compose file",
        made,
        "A release is made of a file in the form of the [Compose Specification](https://compose-spec.io).",
        "A word is taken, or refused with what to write instead; none is ignored in silence.\n",
    ]
    for title, (path, words) in PLACES.items():
        taken = ", ".join(f"`{word}`" for word, instead in words.items() if not instead)
        lines += [f"## {title}", "", *([f"At `{path}`.", ""] if path else []), f"Taken: {taken}.", ""]
        refused = [f"| `{word}` | {instead} |" for word, instead in sorted(words.items()) if instead]
        if refused:
            lines += ["| not taken | instead |", "|---|---|", *refused, ""]
    lines += ["## What can be wrong", "", "| code | when |", "|---|---|"]
    lines += [f"| `{code}` | {when} |" for code, when in CODES.items()]
    return "\n".join(lines) + "\n"


def codes() -> set[str]:
    """Return the codes that reading a compose file gives, as the code has them: whole, or as `refuse` takes them."""
    found: set[str] = set()
    for file in ROOM.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            match node:
                case ast.Constant(value=str(text)) if re.fullmatch(r"compose\.[a-z_]+", text):
                    found.add(text)
                case ast.Call(func=ast.Attribute(attr="refuse"), args=[ast.Constant(value=str(text)), *_]):
                    found.add(f"compose.{text}")
                case _:
                    pass
    return found
