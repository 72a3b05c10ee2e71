# SPDX-License-Identifier: Apache-2.0
"""What does a release lack on a device, with what is set for it?

Rules: 1. what a release declares without a default must be set; 2. a variable's value is of its kind; 3. the manifest
can be filled with the values: addresses are some, paths stay within what is declared; 4. all of it goes into one
document; 5. a secret is only counted: what is in it is nobody's to read, here neither.
"""

from collections.abc import Mapping

from checkvalve import ids
from checkvalve.crypto import seal
from checkvalve.errors import InvalidError
from checkvalve.protocol import declared, filling, values
from checkvalve.protocol.workload import Manifest
from checkvalve.server.values.model import Entry, Kind, Lack
from checkvalve.server.values.nearest import named

_AT_WORST = 6  # bytes of JSON for one of UTF-8, as \u0007
_BESIDES = 400  # bytes of JSON around one text: name, version, marks


def declares(manifest: Manifest) -> dict[str, tuple[Kind, str, str | None]]:
    """Return what a release leaves open: `kind/name` -> kind, name and default."""
    every = [
        *((Kind.VARIABLE, one.name, one.default) for one in manifest.variables),
        *((Kind.FILE, one.name, one.default) for one in manifest.files),
        *((Kind.SECRET, one.name, None) for one in manifest.secrets),
    ]
    return {named(kind, name): (kind, name, default) for kind, name, default in every}


def missing(manifest: Manifest, entries: Mapping[str, Entry]) -> tuple[Lack, ...]:
    """Return what has neither value nor default (rule 1)."""
    return tuple(
        Lack(kind, name, "values.missing", f"The {kind} {name} has no value.")
        for what, (kind, name, default) in declares(manifest).items()
        if default is None and what not in entries
    )


def given(entries: Mapping[str, Entry]) -> dict[str, str]:
    """Return the variables that are set, as text."""
    return {one.key.name: text(one) for one in entries.values() if one.key.kind is Kind.VARIABLE}


def text(entry: Entry) -> str:
    """Return the content of an entry that is no secret; empty if it was taken away."""
    return (entry.content or b"").decode()


def variables(manifest: Manifest, given: Mapping[str, str]) -> tuple[Lack, ...]:
    """Return what of the variables does not fit (rules 2, 3); those that are missing are not looked at."""
    wrong = tuple(
        Lack(Kind.VARIABLE, one.name, "values.misfit", f"{given[one.name][:80]!r} is no value of {one.name}. {why}")
        for one in manifest.variables
        if one.name in given and (why := declared.misfit(one, given[one.name]))
    )
    known = given.keys() | {one.name for one in manifest.variables if one.default is not None}
    if wrong or any(one.name not in known for one in manifest.variables):
        return wrong
    try:
        filling.fill(manifest, given)
    except InvalidError as error:
        return (Lack(Kind.VARIABLE, _guilty(manifest, given, error), error.code, error.sentence),)
    return ()


def size(entries: Mapping[str, Entry]) -> tuple[Lack, ...]:
    """Return whether all of it is too much for one document (rule 4)."""
    if sum(_BESIDES + _AT_WORST * len(one.content or b"") for one in entries.values()) <= values.LARGEST:
        return ()
    texts: dict[Kind, dict[str, str]] = {Kind.VARIABLE: {}, Kind.FILE: {}}
    secrets = {}
    for one in entries.values():
        if one.key.kind is Kind.SECRET:
            data = bytes(len(one.content or b"") + seal.SEAL_ADDS - seal.LOCK_ADDS)
            secrets[one.key.name] = values.Sealed(version=one.id, data=data)
        else:
            texts[one.key.kind][one.key.name] = text(one)
    document = values.Values(
        device="0" * ids.LENGTH,
        release="sha256:" + "0" * 64,
        variables=texts[Kind.VARIABLE],
        files=texts[Kind.FILE],
        secrets=secrets,
    )
    try:
        values.write(document)
    except InvalidError as error:
        largest = max((one for one in entries.values()), key=lambda one: len(one.content or b""))
        return (Lack(largest.key.kind, largest.key.name, error.code, error.sentence),)
    return ()


def _guilty(manifest: Manifest, given: Mapping[str, str], error: InvalidError) -> str:
    """Return the one variable whose text the sentence shows, "" if that does not tell which it is."""
    shown = {**{one.name: one.default or "" for one in manifest.variables}, **given}
    found = [name for name, value in shown.items() if value and repr(value)[1:-1] in error.sentence]
    return found[0] if len(found) == 1 else ""
