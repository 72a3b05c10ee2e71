# SPDX-License-Identifier: Apache-2.0
"""One command, several places: the first word says which of them runs.

Imports happen only once it is known what runs (the one exception to "no late imports", ADR 0001), so that the CLI on a
laptop needs no server libraries, and the plane none of the CLI's.
"""

import importlib
import sys
from typing import NoReturn

from checkvalve.crypto import process

PLACES = {
    "init": "checkvalve.server.main",
    "serve": "checkvalve.server.main",
    "reset-password": "checkvalve.server.main",
    "new-values-key": "checkvalve.server.main",
    "demo": "checkvalve.demo.main",
}
EXTRAS = {
    "checkvalve.server.main": "server",
    "checkvalve.demo.main": "server,cli",
    "checkvalve.cli.main": "cli",
    "checkvalve.agent.main": "agent",
}


def main() -> None:
    """Run `checkvalve ...`."""
    words = sys.argv[1:]
    _run("checkvalve", PLACES.get(words[0], "checkvalve.cli.main") if words else "checkvalve.cli.main", words)


def agent() -> None:
    """Run `checkvalve-agent ...`."""
    _run("checkvalve-agent", "checkvalve.agent.main", sys.argv[1:])


def _run(program: str, place: str, words: list[str]) -> NoReturn:
    process.harden()
    try:
        module = importlib.import_module(place)
    except ModuleNotFoundError as error:
        if error.name and error.name.startswith("checkvalve"):
            raise
        sys.exit(f"{program}: {error.name} is not installed here; run: pip install 'checkvalve[{EXTRAS[place]}]'")
    sys.exit(module.run(words))


if __name__ == "__main__":
    main()
