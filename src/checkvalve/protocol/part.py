# SPDX-License-Identifier: Apache-2.0
"""What the parts of a manifest are made of: forms of text and numbers, and their common base."""

from typing import Annotated

from msgspec import Meta, Struct

NAME = r"^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?\Z"  # of a release, service, volume, network, file, secret
VARIABLE = r"^[A-Za-z_][A-Za-z0-9_]{0,62}\Z"
LABEL = r"^[A-Za-z0-9]([A-Za-z0-9._+-]{0,61}[A-Za-z0-9])?\Z"  # of a version
DIGEST = r"^sha256:[0-9a-f]{64}\Z"
NO_NUL = r"^[^\x00]*\Z"

Name = Annotated[str, Meta(pattern=NAME)]
Label = Annotated[str, Meta(pattern=LABEL)]
Digest = Annotated[str, Meta(pattern=DIGEST)]
Text = Annotated[str, Meta(max_length=32_768, pattern=NO_NUL)]
Template = Text
"""From version 2 of a manifest on: text in which `${NAME}` is a declared variable, and `$$` a dollar sign."""
Milliseconds = Annotated[int, Meta(ge=0, le=7 * 86_400_000)]
Size = Annotated[int, Meta(ge=0, le=2**53 - 1)]
PortNumber = Annotated[int, Meta(ge=1, le=65_535)]


class Part(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Base of what a manifest holds."""
