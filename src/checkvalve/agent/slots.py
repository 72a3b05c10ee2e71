# SPDX-License-Identifier: Apache-2.0
"""The slots on a device's disk, and the one pointer that says which of them is active: the only commit.

`slots/ATTEMPT.manifest` holds the manifest's bytes as they came, `slots/ATTEMPT.values` those of the values that fill
it, if there are any, and `slots/ATTEMPT.json` (`crypto.checked`) the rest.

Rules: 1. a slot is whole if all can be read, the bytes are those of its release and of its values, and these fill it;
the last file is written last;
2. the file `active` (`crypto.checked`) names the active slot and the one before it, and never one that is not whole;
3. a slot that it names is never written again; 4. if it is damaged, or names a slot that is, the device runs what the
journal says was committed last, else the other slot of the pointer, and says so: never a device that does not start;
5. a volume to keep goes by the name that it has in the active slot; one to snapshot has a name of this slot's own, and
is copied from the active slot's.
"""

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from checkvalve import canonical, ids
from checkvalve.agent.ports import Disk
from checkvalve.agent.steps import Slot
from checkvalve.crypto import checked
from checkvalve.errors import CheckvalveError, ConflictError, InvalidError, NotFoundError, UnavailableError
from checkvalve.protocol import filling, workload
from checkvalve.protocol import values as documents
from checkvalve.protocol.measure import Count
from checkvalve.protocol.workload import Manifest

FOLDER = "slots"
POINTER = "active"
_SLOT, _MANIFEST, _VALUES = ".json", ".manifest", ".values"


class _Pointer(Struct, frozen=True):
    """Attempts; `previous` is empty for the first one."""

    active: str
    previous: str = ""


class _Stored(Struct, frozen=True):
    """A slot without its manifest."""

    device: str
    attempt: str
    release: Annotated[str, Meta(pattern=workload.DIGEST)]
    target: str
    number: Count
    volumes: dict[str, str]
    copies: dict[str, str]
    values: str = ""


class Slots:
    """The slots of a device. `trouble` says what was wrong with the pointer, in a sentence; empty if nothing."""

    def __init__(self, disk: Disk, device: str) -> None:
        """Read what there is; no damage raises. After it, `recall` what the journal knows."""
        self._disk = disk
        self._device = device
        self._seen: dict[str, Slot] = {}
        self._active: Slot | None = None
        self._previous: Slot | None = None
        self.trouble = ""
        self._pointed = self._pointer()
        named = self._named()
        self._point(named)
        if named != self._names:
            lost = " and ".join(each for each in named if each not in self._names)
            self.trouble = f"What was installed by attempt {lost} is damaged or missing."

    @property
    def active(self) -> Slot | None:
        """Return the slot that runs, None on a device that never committed one."""
        return self._active

    @property
    def previous(self) -> Slot | None:
        """Return the slot that ran before it, as long as it is here."""
        return self._previous

    def recall(self, committed: Sequence[str]) -> None:
        """Mend a pointer that is damaged or gone; `committed` are the attempts that were, newest first (rule 4)."""
        if self.trouble == "" and (self._pointed is not None or not (committed or self._disk.exists(POINTER))):
            return
        named = self._named()
        self._point([*named[:1], *committed, *named[1:]])
        active = "No slot is whole." if self._active is None else f"What runs is attempt {self._active.attempt}."
        self.trouble = f"{self.trouble or 'The pointer to the active slot is damaged.'} {active}"
        with contextlib.suppress(UnavailableError):  # found again at the next start
            self._commit(*self._names)

    def staged(self, attempt: str) -> Slot | None:
        """Return the whole slot of an attempt, whichever it is; None if there is none."""
        if attempt not in self._seen:
            try:
                self._seen[attempt] = self._load(attempt)
            except CheckvalveError:
                return None
        return self._seen[attempt]

    def manifest(self, release: str) -> bytes | None:
        """Return the manifest's bytes of a release that is or was active (`sha256:…`), as they came, else None."""
        there = (slot for slot in (self._active, self._previous) if slot is not None and slot.release == release)
        return self._bytes(next(there, None), _MANIFEST, release)

    def document(self, values: str) -> bytes | None:
        """Return the bytes of values that are or were active (`sha256:…`), as they came, else None."""
        there = (slot for slot in (self._active, self._previous) if slot is not None and slot.values == values)
        return self._bytes(next(there, None), _VALUES, values)

    def stage(self, attempt: str, target: str, number: int, manifest: bytes, values: bytes = b"") -> Slot:
        """Have a slot of this release, with its volumes as they follow from the active one (rule 5).

        `values` are the bytes of what fills it, empty for nothing. Raises `ConflictError` (`slot.taken`: this attempt
        is installed already, with something else), `InvalidError` (`slot.attempt`, and those of `workload.read`,
        `values.read` and `filling.fill`), `UnavailableError` (`disk.full`, `disk.failed`).
        """
        if not ids.well_formed(attempt):
            raise InvalidError("slot.attempt", "The name of the attempt is not an id.", "This order is not taken.")
        read, release = workload.read(manifest), workload.digest(manifest)
        given, filler = (documents.read(values), documents.digest(values)) if values else (None, documents.NONE)
        read = filling.fill(read, given.variables if given else {})
        if attempt in self._names:  # rule 3
            return self._installed(attempt, release, filler)
        volumes = _volumes(self._device, attempt, read, self._active)
        copies = _copies(volumes, read, self._active)
        slot = Slot(self._device, attempt, release, target, number, read, volumes, copies, filler, given)
        stored = _Stored(self._device, attempt, release, target, number, volumes, copies, filler)
        self._seen.pop(attempt, None)
        self._disk.remove(_name(attempt, _SLOT))
        self._disk.replace(_name(attempt, _MANIFEST), manifest)
        if values:
            self._disk.replace(_name(attempt, _VALUES), values)
        self._disk.replace(_name(attempt, _SLOT), checked.write(canonical.dumps(msgspec.to_builtins(stored))))
        self._seen[attempt] = slot
        return slot

    def commit(self, attempt: str) -> None:
        """Make a slot the active one, and the active one the previous. It is read from the disk again first (rule 2).

        Raises `NotFoundError` (`slot.missing`), `InvalidError` (`slot.damaged`), `UnavailableError` (`disk.full`,
        `disk.failed`): then the active one is what it was.
        """
        if self._names[:1] == (attempt,):
            return
        slot = self._load(attempt)
        before = self._active
        self._commit(attempt, "" if before is None else before.attempt)
        self._seen[attempt] = slot
        self._active, self._previous = slot, before

    def going(self, keep: Collection[str] = ()) -> list[Slot]:
        """Return the slots that `forget` would drop, as far as they can be read."""
        stay = {*keep, *self._names}
        attempts = [name.removesuffix(_SLOT) for name in self._disk.names(FOLDER) if name.endswith(_SLOT)]
        found = (self.staged(attempt) for attempt in attempts if attempt not in stay)
        return [slot for slot in found if slot is not None]

    def forget(self, keep: Collection[str] = ()) -> None:
        """Have no slots but the active one, the previous one, and those of the attempts in `keep`."""
        stay = {*keep, *self._names}
        for name in sorted(self._disk.names(FOLDER), key=lambda each: not each.endswith(_SLOT)):
            if name.removesuffix(_SLOT).removesuffix(_MANIFEST).removesuffix(_VALUES) not in stay:
                self._disk.remove(f"{FOLDER}/{name}")
        self._seen = {attempt: slot for attempt, slot in self._seen.items() if attempt in stay}

    def _named(self) -> tuple[str, ...]:
        """Return the attempts that the pointer names."""
        pointed = self._pointed or _Pointer("")
        return tuple(each for each in (pointed.active, pointed.previous) if each)

    @property
    def _names(self) -> tuple[str, ...]:
        """Return the attempts of the active and the previous slot."""
        return tuple(each.attempt for each in (self._active, self._previous) if each is not None)

    def _point(self, attempts: Sequence[str]) -> None:
        """Have the first two of these that are whole be active and previous."""
        whole = self._whole(attempts)
        self._active = next(whole, None)
        self._previous = next(whole, None)

    def _whole(self, attempts: Sequence[str]) -> Iterator[Slot]:
        for attempt in dict.fromkeys(attempts):
            slot = self.staged(attempt) if attempt else None
            if slot is not None:
                yield slot

    def _pointer(self) -> _Pointer | None:
        try:
            return msgspec.convert(canonical.loads(checked.read(self._disk.read(POINTER))), _Pointer)
        except (NotFoundError, InvalidError, UnavailableError, msgspec.ValidationError):
            return None

    def _commit(self, active: str = "", previous: str = "") -> None:
        value = {"active": active, "previous": previous}
        self._disk.replace(POINTER, checked.write(canonical.dumps(value)))
        self._pointed = _Pointer(active, previous)

    def _bytes(self, slot: Slot | None, kind: str, digest: str) -> bytes | None:
        """Return a file of a slot if it has this digest; damage is nothing that is there."""
        if slot is None:
            return None
        try:
            data = self._disk.read(_name(slot.attempt, kind))
        except (NotFoundError, UnavailableError):
            return None
        return data if workload.digest(data) == digest else None

    def _installed(self, attempt: str, release: str, values: str) -> Slot:
        slot = self.staged(attempt)
        if slot is None or (slot.release, slot.values) != (release, values):
            raise ConflictError(
                "slot.taken",
                "This attempt has been installed here already, with another release or other values.",
                "Begin another attempt.",
            )
        return slot

    def _load(self, attempt: str) -> Slot:
        """Return a slot from the disk; `NotFoundError` (`slot.missing`), `InvalidError` (`slot.damaged`)."""
        if not ids.well_formed(attempt):
            raise _missing(attempt)
        try:
            stored = _stored(self._disk.read(_name(attempt, _SLOT)))
            data = self._disk.read(_name(attempt, _MANIFEST))
            filler = self._disk.read(_name(attempt, _VALUES)) if stored.values else b""
            given = documents.read(filler) if filler else None
            manifest = filling.fill(workload.read(data), given.variables if given else {})
        except NotFoundError as error:
            raise _missing(attempt) from error
        except InvalidError as error:
            raise _damaged(attempt) from error
        if (stored.attempt, stored.device, stored.release) != (attempt, self._device, workload.digest(data)):
            raise _damaged(attempt)
        if (documents.digest(filler) if filler else documents.NONE) != stored.values:
            raise _damaged(attempt)
        fields: dict[str, Any] = {name: getattr(stored, name) for name in _Stored.__struct_fields__}
        return Slot(manifest=manifest, given=given, **fields)


def _volumes(device: str, attempt: str, manifest: Manifest, active: Slot | None) -> dict[str, str]:
    """Return each volume's name in the engine (rule 5)."""
    there: Mapping[str, str] = {} if active is None else active.volumes
    own = Slot(device, attempt, "", "", 0, manifest).name
    return {
        name: f"{device}-{name}-{own}" if volume.policy == "snapshot" else there.get(name, f"{device}-{name}")
        for name, volume in manifest.volumes.items()
    }


def _copies(volumes: Mapping[str, str], manifest: Manifest, active: Slot | None) -> dict[str, str]:
    """Return which volumes are copied from which (rule 5)."""
    there: Mapping[str, str] = {} if active is None else active.volumes
    snapshots = {name for name, volume in manifest.volumes.items() if volume.policy == "snapshot"}
    return {volumes[name]: there[name] for name in sorted(snapshots & there.keys())}


def _stored(file: bytes) -> _Stored:
    try:
        return msgspec.convert(canonical.loads(checked.read(file)), _Stored)
    except msgspec.ValidationError as error:
        raise InvalidError("file.damaged", f"The file is of another form: {error}.") from error


def _name(attempt: str, kind: str) -> str:
    return f"{FOLDER}/{attempt}{kind}"


def _missing(attempt: str) -> NotFoundError:
    return NotFoundError("slot.missing", f"Nothing was laid out for attempt {attempt[:40]}.", "Begin another attempt.")


def _damaged(attempt: str) -> InvalidError:
    return InvalidError(
        "slot.damaged",
        f"What was laid out for attempt {attempt} has been damaged on the disk.",
        "Begin another attempt.",
    )
