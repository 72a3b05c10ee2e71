# SPDX-License-Identifier: Apache-2.0
"""Do these values fill this release on this device, and what do they come to (walk values, 8)?

Rules of `accepted`: 1. they are the bytes that the order names, which is asked before anybody looks into them; 2. they
are for this device and for this release; 3. they give what the release declares, and nothing else; 4. nothing without a
default is left out; 5. every secret opens with this device's key, for it was sealed to it, and is not too large; 6. the
filled release is one (`protocol.filling`).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from checkvalve.agent.steps import Slot
from checkvalve.crypto import keys, seal
from checkvalve.errors import InvalidError
from checkvalve.protocol import filling, values
from checkvalve.protocol.declared import LARGEST_SECRET, Placed
from checkvalve.protocol.values import Sealed, Values
from checkvalve.protocol.workload import Manifest


@dataclass(frozen=True, slots=True)
class Thing:
    """A file or a secret of a service, and what is to stand in it."""

    service: str
    placed: Placed
    mark: str  # of the text of a file, and the version of a secret: what changes with it
    content: bytes = field(repr=False)


def accepted(
    data: bytes, *, digest: str, device: str, release: str, manifest: Manifest, key: keys.PrivateKey
) -> Values:
    """Return the document of these bytes. `digest` is what the order names, `release` is `sha256:…` of the manifest.

    Raises `InvalidError`: `values.mismatch`, `values.device`, `values.release`, `values.undeclared`, `values.missing`,
    `values.secret`, and those of `values.read` and `filling.fill`.
    """
    if values.digest(data) != digest:  # rule 1
        raise _wrong("values.mismatch", f"The plane sent {len(data)} bytes of values that are not those of the order.")
    found = values.read(data)
    if found.device != device:  # rule 2
        raise _wrong("values.device", f"The values are for the device {found.device}, not for this one.")
    if found.release != release:
        raise _wrong("values.release", f"The values are for the release {found.release}, and the order is for another.")
    _declared(found, manifest)
    sufficient(found, manifest)
    opened(found, (key,))
    return found


def sufficient(found: Values | None, manifest: Manifest) -> None:
    """Refuse values that leave something open (rules 4 and 6); None are no values at all.

    Raises `InvalidError`: `values.missing`, and those of `filling.fill`.
    """
    filling.fill(manifest, found.variables if found else {})
    files: Mapping[str, str] = found.files if found else {}
    secrets: Mapping[str, Sealed] = found.secrets if found else {}
    lacking = [f"file {each.name}" for each in manifest.files if each.default is None and each.name not in files]
    lacking += [f"secret {each.name}" for each in manifest.secrets if each.name not in secrets]
    if lacking:
        raise _wrong("values.missing", f"The {lacking[0]} has no value.")


def opened(found: Values, own: Iterable[keys.PrivateKey]) -> dict[str, bytes]:
    """Return the secrets, each opened with the first of these keys that does; `InvalidError` (`values.secret`)."""
    tried = tuple(own)
    return {name: _opened(found.device, name, sealed, tried) for name, sealed in found.secrets.items()}


def files(slot: Slot) -> Iterator[Thing]:
    """Yield the files that services of a slot find somewhere: as they were given, else as the release has them."""
    texts = {each.name: each.default or "" for each in slot.manifest.files}
    texts |= slot.given.files if slot.given else {}
    for name, service in slot.manifest.services.items():
        for placed in service.files:
            content = texts[placed.name].encode()
            yield Thing(name, placed, values.mark(content), content)


def secrets(slot: Slot, own: Iterable[keys.PrivateKey]) -> Iterator[Thing]:
    """Yield the secrets that services of a slot find somewhere; `InvalidError` (`values.secret`, `values.missing`)."""
    texts = opened(slot.given, own) if slot.given else {}
    for name, service in slot.manifest.services.items():
        for placed in service.secrets:
            if slot.given is None or placed.name not in texts:
                raise _wrong("values.missing", f"The secret {placed.name} has no value.")
            yield Thing(name, placed, slot.given.secrets[placed.name].version, texts[placed.name])


def has_secrets(manifest: Manifest) -> bool:
    """Tell whether a service finds a secret somewhere."""
    return any(service.secrets for service in manifest.services.values())


def same(one: Slot, other: Slot) -> bool:
    """Tell whether two slots come to the same containers: one release, with values of one meaning."""
    return one.release == other.release and _meaning(one) == _meaning(other)


def _meaning(slot: Slot) -> str:
    return values.identity(slot.given) if slot.given else values.NONE


def _declared(found: Values, manifest: Manifest) -> None:
    """Rule 3."""
    strange = {
        "variable": found.variables.keys() - {each.name for each in manifest.variables},
        "file": found.files.keys() - {each.name for each in manifest.files},
        "secret": found.secrets.keys() - {each.name for each in manifest.secrets},
    }
    for kind, names in strange.items():
        for name in sorted(names):
            raise _wrong("values.undeclared", f"The release declares no {kind} {name}, and there is a value for it.")


def _opened(device: str, name: str, sealed: Sealed, own: tuple[keys.PrivateKey, ...]) -> bytes:
    """Rule 5. No word of what is inside goes into an error."""
    context = values.context(device, name, sealed.version)
    for key in own:
        try:
            content = seal.open_(key, sealed.data, context)
        except InvalidError:
            continue
        if len(content) <= LARGEST_SECRET:
            return content
    raise _wrong("values.secret", f"The secret {name} does not open with the key of this device.")


def _wrong(code: str, sentence: str) -> InvalidError:
    return InvalidError(code, sentence, "Look at what is set for this device, and begin another attempt.")
