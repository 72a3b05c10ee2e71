# SPDX-License-Identifier: Apache-2.0
"""The passphrase of a key file: typed by a person or read from a file, never an argument, never empty by accident."""

from dataclasses import dataclass
from typing import Annotated

import typer

from checkvalve.cli import login, output
from checkvalve.cli.failures import UsageError

SHORTEST = 12  # characters, as of a password: whoever has the file tries as many as they like

File = Annotated[
    str, typer.Option(metavar="FILE", help="File with the key's passphrase, instead of typing it; - is standard input.")
]
None_ = Annotated[bool, typer.Option("--no-passphrase", help="Keep the key unsealed: whoever has the file can sign.")]


@dataclass(frozen=True)
class Asked:
    """How the passphrase is to be had."""

    file: str = ""
    none: bool = False

    def new(self, names: str) -> str:
        """Return a passphrase for keys that are made now, empty for none.

        Raises `UsageError`: `passphrase.file`, `passphrase.needed`, `passphrase.differs`, `passphrase.short`.
        """
        if self.none:
            if self.file:
                raise UsageError("passphrase.file", "A passphrase, or none: both were said.", "Give one of the two.")
            return ""
        found = _typed(f"New passphrase for {names}:", self.file)
        if not self.file and output.ask_secret("Once more:") != found:
            raise UsageError("passphrase.differs", "The two passphrases differ.", "Type them again.")
        if len(found) < SHORTEST:
            raise UsageError(
                "passphrase.short",
                f"A passphrase has at least {SHORTEST} characters: who holds the file may try for years.",
                "Use several words, or a password manager.",
            )
        return found

    def known(self, name: str) -> str:
        """Return the passphrase that opens a sealed key."""
        return _typed(f"Passphrase of {name}:", self.file)


def _typed(question: str, file: str) -> str:
    if file:
        found = login.secret(file, "passphrase.file")
    elif output.interactive():
        found = output.ask_secret(question)
    else:
        raise UsageError(
            "passphrase.needed",
            "A passphrase is needed, and nobody is there to type it.",
            "Give --passphrase-file FILE, or - for standard input. `keys make` and `keys init` take --no-passphrase.",
        )
    if not found:
        raise UsageError("passphrase.needed", "The passphrase is empty.", "Type it, or look into the file.")
    return found
