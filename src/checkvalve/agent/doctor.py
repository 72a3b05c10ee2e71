# SPDX-License-Identifier: Apache-2.0
"""What is wrong here, in one sentence, and what is to be done? Judged of what `checking` saw.

Rules: 1. the layers are told in the order in which a connection goes through them, and after the first that fails there
is nothing to say of the next; 2. one address that leads to the plane is enough: what is wrong with another is odd, and
not bad; 3. what stops an attempt or the way to the plane is bad, what only limits something is odd; 4. the verdict is
the first that is bad.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from checkvalve.agent.waiting import Said, sentence
from checkvalve.errors import CheckvalveError
from checkvalve.protocol.exchange import Tag

Grade = Literal["well", "odd", "bad"]

LAYERS = ("name", "route", "proxy", "tls", "plane", "time", "trust")
CLOCK_MS = 120_000  # how far the clock may be off before it is odd
ROOM, LITTLE = 64 << 20, 512 << 20  # bytes free: below the one nothing can be fetched, below the other few releases
AUTHORITY = " device CA"  # what the name of each plane's authority ends with
MEMORY = frozenset({"tmpfs", "ramfs"})

_LIMITED = {
    "device.observes": "Remove the file `observe` in its data directory if it is to change.",
}
_SHUT_OUT = frozenset({"device.retired", "device.quarantined", "device.unknown", "device.not_found"})


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. `layer` is one of `LAYERS`, or disk, engine, policy, holds, memory, agent."""

    layer: str
    about: str  # an address, a directory, an engine
    grade: Grade
    sentence: str
    remedy: str = ""


@dataclass(frozen=True)
class Reached:
    """How far the way to the plane by one address went. `error` is None if an answer came; `offset` is in ms.

    Of who answers instead: `issuer` is of the certificate there, `pin` of the authority of another plane; `plain`: it
    speaks HTTP without TLS.
    """

    address: str
    error: CheckvalveError | None = None
    issuer: str = ""
    pin: str = ""
    plain: bool = False
    offset: int | None = None  # this device's clock minus the plane's
    seconds: float = 0.0


def ways(reached: Sequence[Reached], pin: str) -> list[Finding]:
    """Return what there is to say of each address, in their order (rules 1 and 2), and of the clock once."""
    found = [way(each, pin) for each in reached]
    if any(each.grade == "well" for each in found):
        found = [replace(each, grade="odd") if each.grade == "bad" else each for each in found]
    offsets = [each.offset for each in reached if each.offset is not None]
    return found + ([clock(offsets[0])] if offsets else [])


def way(reached: Reached, pin: str) -> Finding:
    """Return what there is to say of one address; `pin` is of the authority that this device believes."""
    error = reached.error
    if error is None:
        took = f"{reached.seconds * 1000:.0f} ms"
        known = f"The plane answers at {reached.address}, and knows this device ({took})."
        return Finding("plane", reached.address, "well", known)
    if error.code in _SHUT_OUT or error.kind == "forbidden":
        return Finding(
            "trust",
            reached.address,
            "bad",
            f"The plane answers, and does not accept this device: {error.sentence}",
            error.remedy or "Ask those who run the plane.",
        )
    if error.kind == "unauthenticated":
        return Finding("trust", reached.address, "odd", f"The plane answers: {error.sentence}", error.remedy)
    if (said := _stranger(reached, pin)) is not None:
        return said
    layer = str(error.facts.get("layer", "plane"))
    if error.code.startswith("time."):
        layer = "time"
    return Finding(layer, reached.address, "bad", error.sentence, error.remedy)


def stranger(reached: Reached, pin: str) -> Finding:
    """Return what there is to say of a plane that nobody believes yet: whether its pin is the one that people gave."""
    if pin and reached.pin != pin:
        said = f"The plane's authority has the pin {reached.pin}, and {pin} was given."
        remedy = "Compare it with the page of the invite: if that is right, somebody else answers at this address."
        return Finding("tls", reached.address, "bad", said, remedy)
    said = f"A Checkvalve plane answers; the pin of its authority is {reached.pin}."
    return Finding("plane", reached.address, "well", said, "" if pin else "Compare it with the page of the invite.")


def clock(offset: int) -> Finding:
    """Return what there is to say of the clock, which is so many ms ahead of the plane's."""
    if abs(offset) <= CLOCK_MS:
        return Finding("time", "clock", "well", f"The clock is within {abs(offset) / 1000:.1f} s of the plane's.")
    which = "ahead of" if offset > 0 else "behind"
    return Finding(
        "time",
        "clock",
        "odd",
        f"This device's clock is {_long(abs(offset))} {which} the plane's. Orders, certificates and releases go by the "
        "plane's signed time; windows and hours do not open by a clock that is off by more than 2 minutes.",
        "Set it, or give the device a time server.",
    )


def observing(*, observes: bool) -> list[Finding]:
    """Return that the device takes nothing, if it does not."""
    if not observes:
        return []
    said = "This device only observes: it reports, and refuses every change."
    return [Finding("trust", "observe", "odd", said, _LIMITED["device.observes"])]


def room(directory: str, free: int, *, writable: bool) -> Finding:
    """Return what there is to say of the disk below the data directory; `free` is in bytes."""
    mib = free >> 20
    if not writable:
        said = f"Nothing can be written to {directory}."
        return Finding("disk", directory, "bad", said, "Look whether the disk is mounted read-only, or damaged.")
    if free < ROOM:
        said = f"{mib} MiB are free in {directory}: nothing can be fetched."
        return Finding("disk", directory, "bad", said, "Make room: logs, old images, files of others.")
    if free < LITTLE:
        said = f"{mib} MiB are free in {directory}: few releases are that small."
        return Finding("disk", directory, "odd", said, "Make room before the next rollout.")
    return Finding("disk", directory, "well", f"{mib} MiB are free in {directory}.")


def engine(said: str | CheckvalveError) -> Finding:
    """Return what there is to say of the engine, which said what it is or why it did not."""
    if isinstance(said, CheckvalveError):
        return Finding("engine", "engine", "bad", said.sentence, said.remedy or "Start Docker or Podman.")
    return Finding("engine", "engine", "well", f"The engine answers: {said}.")


def memory(directory: str, filesystem: str) -> Finding:
    """Return whether secrets would lie in memory only; `filesystem` is the kernel's word, empty if it is not known."""
    if filesystem in MEMORY:
        return Finding("memory", directory, "well", f"{directory} lies in memory ({filesystem}), as secrets must.")
    said = f"{directory} is on {filesystem or 'no file system that is known'} and not in memory: releases with secrets "
    return Finding("memory", directory, "odd", said + "are refused.", "Mount a tmpfs there, or say --runtime.")


def permit(words: str, said: Said) -> Finding:
    """Return what there is to say of the permit: a no is as it should be, one that cannot be asked is not."""
    if said.yes:
        return Finding("policy", words, "well", f"The permit, {words}, says yes.")
    if said.code == "permit.no":
        return Finding("policy", words, "well", f"{said.sentence} Nothing is switched while it does.")
    return Finding("policy", words, "bad", said.sentence, "Nothing is switched while it is so: mend it, or the policy.")


def tags(hung: Sequence[Tag]) -> list[Finding]:
    """Return that tags hang, if any do."""
    remedy = f"Nothing is switched until {'it is' if len(hung) == 1 else 'they are'} lifted."
    return [Finding("holds", "holds", "odd", sentence(hung), remedy)] if hung else []


def verdict(found: Sequence[Finding]) -> tuple[bool, str]:
    """Return whether all is well enough, and the sentence that matters most (rule 4)."""
    for grade in ("bad", "odd"):
        first = next((each for each in found if each.grade == grade), None)
        if first is not None:
            return grade != "bad", " ".join(each for each in (first.sentence, first.remedy) if each)
    return True, "All is well."


def filesystem(mounts: str, path: str) -> str:
    """Return the kind of file system that an absolute path is on, by `/proc/self/mounts`; empty if it is not known."""
    best, kind = "", ""
    for line in mounts.splitlines():
        words = line.split(" ")
        if len(words) < 3:
            continue
        at = words[1].replace("\\040", " ").rstrip("/")
        if (path == at or path.startswith(f"{at}/")) and len(at) >= len(best):
            best, kind = at, words[2]
    return kind


def _stranger(reached: Reached, pin: str) -> Finding | None:
    """Return who it is that answers instead of the plane, None if that is not known."""
    if reached.pin:
        said = (
            f"A Checkvalve plane answers at {reached.address}, and it is not this device's: its pin is {reached.pin}, "
        )
        remedy = (
            "Check the address; if the plane was made anew, have the device join it: checkvalve-agent join --again."
        )
        return Finding("tls", reached.address, "bad", f"{said}and {pin} was pinned.", remedy)
    if reached.issuer:
        if reached.issuer.endswith(AUTHORITY):
            said = f"What answers at {reached.address} is a Checkvalve plane's port for people, not that for devices."
            remedy = "Say the port for devices: 8443, unless it was changed."
            return Finding("tls", reached.address, "bad", said, remedy)
        said = f"Somebody else opens TLS at {reached.address}: the certificate there was issued by {reached.issuer}."
        remedy = "Have the proxy or firewall pass connections to the plane through unopened. Nothing was sent."
        return Finding("tls", reached.address, "bad", said, remedy)
    if reached.plain:
        said = f"What answers at {reached.address} speaks HTTP without TLS: a portal, or another program at this port."
        return Finding("tls", reached.address, "bad", said, "Sign in at the portal, or check address and port.")
    return None


def _long(milliseconds: int) -> str:
    """Return a duration as people say it."""
    for size, word in ((86_400_000, "days"), (3_600_000, "hours"), (60_000, "minutes")):
        if milliseconds >= 2 * size:
            return f"{milliseconds / size:.0f} {word}"
    return f"{milliseconds / 1000:.0f} s"
