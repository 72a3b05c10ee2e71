# SPDX-License-Identifier: Apache-2.0
"""What fills a release on one device: a document that its orders name by digest.

Canonical JSON, made once by the plane for a device and an attempt, kept by both as bytes. Secrets are in it only as
sealed to the device's key (`crypto.seal`), bound to device, name and version; so the document may lie on a disk, in a
database and in a backup. What two documents *mean* is compared by `identity`: sealing twice gives other bytes.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, cast

import msgspec
from msgspec import Meta, Struct

from checkvalve import canonical
from checkvalve.crypto import digests
from checkvalve.errors import InvalidError
from checkvalve.protocol.api import Id
from checkvalve.protocol.declared import LARGEST_SECRET, MOST, FileText, VariableName, VariableText
from checkvalve.protocol.part import Digest, Name

LARGEST = 1 << 20  # bytes of a document
NONE = ""  # digest and identity of no values at all


class Sealed(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A secret for one device. `version` is the plane's id of what it holds; it changes with every rotation."""

    version: Id
    data: Annotated[bytes, Meta(max_length=LARGEST_SECRET + 256)]  # base64 in JSON


class Values(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Texts by name. Only what the release declares; what it has a default for may be left out."""

    device: Id
    release: Digest
    variables: Annotated[dict[VariableName, VariableText], Meta(max_length=MOST)]
    files: Annotated[dict[Name, FileText], Meta(max_length=MOST)]
    secrets: Annotated[dict[Name, Sealed], Meta(max_length=MOST)]
    v: Literal[1] = 1


def write(values: Values) -> bytes:
    """Return the one sequence of bytes of a document; `InvalidError` (`values.size`, `canonical.value`)."""
    data = canonical.dumps(cast("canonical.Json", msgspec.to_builtins(values)))
    if len(data) > LARGEST:
        raise InvalidError("values.size", f"Values are {len(data)} bytes; {LARGEST} is the most.", "Shorten files.")
    return data


def read(data: bytes) -> Values:
    """Return the document of its bytes; `InvalidError` (`values.size`, `canonical.form`, `values.form`)."""
    if len(data) > LARGEST:
        raise InvalidError("values.size", f"Values are {len(data)} bytes; {LARGEST} is the most.", "Shorten files.")
    plain: Any = canonical.loads(data)
    try:
        return msgspec.convert(plain, Values)
    except msgspec.ValidationError as error:
        raise InvalidError("values.form", f"These bytes are no values: {error}.", "Ask for them again.") from error


def digest(data: bytes) -> str:
    """Return `sha256:` and 64 hex digits of a document's bytes: what orders and slots name."""
    return "sha256:" + digests.sha256_hex(data)


def identity(values: Values) -> str:
    """Return `sha256:…` of what the values are, whatever device and whatever release they are for, and however sealed.

    Two documents with one identity leave containers of one release the same.
    """
    return meaning(
        {
            **{f"file/{name}": mark(text.encode()) for name, text in values.files.items()},
            **{f"secret/{name}": sealed.version for name, sealed in values.secrets.items()},
            **{f"variable/{name}": mark(text.encode()) for name, text in values.variables.items()},
        }
    )


def mark(content: bytes) -> str:
    """Return what stands for a text in `meaning`."""
    return digests.sha256_hex(content)


def meaning(marks: Mapping[str, str]) -> str:
    """Return the identity of values by their marks: `kind/name` -> `mark` of a text, version of a secret."""
    return "sha256:" + digests.sha256_hex(canonical.dumps(dict(marks))) if marks else NONE


def context(device: str, name: str, version: str) -> bytes:
    """Return what a secret is sealed together with: it opens as nothing else."""
    return f"checkvalve secret v1\n{device}\n{name}\n{version}".encode()
