# SPDX-License-Identifier: Apache-2.0
"""What hangs for this device, what is it to be told of that, and may this tag be hung or lifted?

Rules: 1. a tag hangs at a place for every device below it, or on one device; 2. it is never changed, so that its id
stands for all of it; 3. a device is told all tags that hang for it, the oldest first and at most `TOLD`: one holds it
as well as many, and the newer ones are told as older ones are lifted; 4. a device whose agent knows of no tags is told
of none, and nothing is ordered of it while one hangs: it would not wait; 5. a tag says who hung it and why; 6. it is
lifted once, and whoever lifts what another hung says why.
"""

from collections.abc import Iterable

from checkvalve import canonical, lines
from checkvalve.crypto import digests
from checkvalve.errors import ConflictError, InvalidError
from checkvalve.ids import HoldId
from checkvalve.protocol.exchange import Status, Tag
from checkvalve.server.access.model import ROOT
from checkvalve.server.fleet.model import Hanging, Hold

CAPABILITY = 3  # of an agent that knows of tags
TOLD = 16  # of the plane's; the device's own have as much room in its status
MOST = 100  # at one place
LONGEST_NAME = 100
LONGEST_REASON = 1_000
NONE = "none"  # of orders that tell that no tag hangs


def places(scope: str) -> list[str]:
    """Return the places whose tags hang for what stands at `scope`: itself and those above, the organisation first."""
    parts = scope.strip("/").split("/")
    return ["/" + "/".join(parts[: end + 1]) + "/" for end in range(len(parts))] if scope != ROOT else []


def hangs(hold: Hold, scope: str, device: str) -> bool:
    """Tell whether a tag that was not lifted hangs for a device that stands at `scope` (rule 1)."""
    return scope.startswith(hold.scope) if hold.device is None else hold.device == device


def hanging(hanging: Hanging, scope: str, device: str) -> list[HoldId]:
    """Return the ids of the tags that hang for a device, the oldest first (rule 1)."""
    found = [*hanging.devices.get(device, ())]
    for place in places(scope):
        found += hanging.places.get(place, ())
    return sorted(found)


def digest(tags: Iterable[str]) -> str:
    """Return what stands for the tags of these ids, whatever their order (rule 2): SHA-256 in hex, empty for none."""
    idents = sorted(set(tags))
    return digests.sha256_hex(canonical.dumps(list(idents))) if idents else ""


def told(tags: Iterable[HoldId]) -> list[HoldId]:
    """Return those of the tags that hang for a device that it is told of (rule 3)."""
    return sorted(tags)[:TOLD]


def known(status: Status) -> str:
    """Return the digest of the plane's tags that a device says it knows of."""
    return digest(tag.id for tag in status.held if tag.by == "plane")


def locked(status: Status) -> bool:
    """Tell whether a tag hangs at the device itself."""
    return any(tag.by == "device" for tag in status.held)


def knows_tags(capability: int) -> bool:
    """Tell whether an agent of this capability knows of tags (rule 4)."""
    return capability >= CAPABILITY


def tag(hold: Hold, where: str) -> Tag:
    """Return the tag as a device is told of it; `where` is what people call the place."""
    at = max(0, round(hold.made_at.timestamp() * 1000))
    short = where if len(where) <= LONGEST_NAME else "…" + where[1 - LONGEST_NAME :]
    return Tag(id=hold.id, name=hold.name, reason=hold.reason, number=hold.number, at=at, by="plane", where=short)


def name(text: str) -> str:
    """Return who hung a tag as it is kept (rule 5); `InvalidError` (`hold.name`)."""
    tidy = _line(
        "hold.name", "The name on a tag", text, LONGEST_NAME, "Write who is to be asked, as people on site do."
    )
    if not tidy:
        raise InvalidError("hold.name", "A tag has a name.", "Write who is to be asked about it.")
    return tidy


def number(text: str) -> str:
    """Return the number of a permit to work as it is kept, or nothing; `InvalidError` (`hold.number`)."""
    return _line("hold.number", "The number on a tag", text, LONGEST_NAME, "Copy it from the permit to work.")


def reason(text: str) -> str:
    """Return why a tag hangs as it is kept (rule 5); `InvalidError` (`hold.reason`)."""
    tidy = _line("hold.reason", "The reason on a tag", text, LONGEST_REASON, "Say it in a few words.")
    if not tidy:
        raise InvalidError("hold.reason", "A tag says why it hangs.", "Say what is being done there, in a few words.")
    return tidy


def one_more(there: int) -> None:
    """Refuse a tag where `MOST` hang already; `ConflictError` (`hold.many`)."""
    if there >= MOST:
        raise ConflictError(
            "hold.many", f"{there} tags hang here already.", "Nothing is switched here. Lift those that are over first."
        )


def lifting(hold: Hold, by: str, why: str) -> str:
    """Return why the person with id `by` lifts a tag, as it is kept (rule 6).

    Raises `ConflictError` (`hold.lifted`), `InvalidError` (`hold.reason`).
    """
    if hold.lifted_at is not None:
        raise ConflictError("hold.lifted", "The tag was lifted already.", "Nothing is left to do.")
    tidy = _line("hold.reason", "The reason", why, LONGEST_REASON, "Say it in a few words.")
    if not tidy and hold.made_by != by:
        raise InvalidError(
            "hold.reason",
            f"This tag was hung by somebody else: {hold.name}.",
            "Ask them. If you lift it, say why: it stands in the record.",
        )
    return tidy


def _line(code: str, what: str, text: str, longest: int, remedy: str) -> str:
    tidy = lines.tidy(text, longest)
    if len(tidy) > longest or not lines.plain(tidy):
        raise InvalidError(
            code, f"{what} is one line of at most {longest} characters, without control characters.", remedy
        )
    return tidy
