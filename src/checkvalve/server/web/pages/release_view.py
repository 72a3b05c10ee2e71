# SPDX-License-Identifier: Apache-2.0
"""How do releases, images, drafts and the root of trust read? In words, each with the shape of its state.

Rules: 1. "may run" is said of what is published and not below its floor, of nothing else; 2. a signature counts only if
the root of trust names its key now; 3. a draft is shown to whoever may read releases at its organisation; 4. what
people wrote is shown as it is, with what cannot be seen in it (control and direction characters) spelled out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from checkvalve import lines
from checkvalve.crypto import metadata
from checkvalve.errors import NotFoundError
from checkvalve.server.access.model import ROOT, Permission, Visibility
from checkvalve.server.supply import draft as drafts
from checkvalve.server.supply import queries as supply_queries
from checkvalve.server.supply.model import Change, Draft, DraftState, Image, Release, State
from checkvalve.server.web import texts
from checkvalve.server.web.pages import times
from checkvalve.server.web.pages.view import Data, View, when

NAMED = 3  # services or names shown in a row
SOON = timedelta(days=30)
_STEP = timedelta(days=1)
BELOW = "below"
SHAPES: Mapping[str, str] = {
    State.PUBLISHED: "ok",
    BELOW: "refused",
    State.DRAFTED: "warn",
    State.WITHDRAWN: "refused",
    State.DISCARDED: "done",
}
DRAFT_SHAPES: Mapping[DraftState, str] = {
    DraftState.OPEN: "warn",
    DraftState.PUBLISHED: "ok",
    DraftState.DISCARDED: "done",
}
_UNITS = ("KiB", "MiB", "GiB", "TiB")
_ORDINALS = ("first", "second", "third")


class _Running(msgspec.Struct):
    """What a list needs of a manifest; the whole of it is read where it is shown."""

    services: dict[str, msgspec.Raw]


@dataclass(frozen=True, slots=True)
class Signing:
    """How far a draft is: the keys that may sign it, those of them that did, and how many must."""

    needed: int
    keyids: tuple[str, ...]
    counting: frozenset[str]

    @property
    def missing(self) -> int:
        """How many more people must sign."""
        return max(0, self.needed - len(self.counting))


def far(release: Release) -> str:
    """Return how far a release has come: its state, or that it fell below its floor (rule 1)."""
    return BELOW if release.state is State.PUBLISHED and release.below_floor else release.state.value


def may_run(release: Release) -> bool:
    """Tell whether devices may take it (rule 1)."""
    return far(release) == State.PUBLISHED


def row(view: View, release: Release) -> Data:
    """Return one row of the list."""
    names = sorted(msgspec.json.decode(release.manifest, type=_Running).services)
    shown = ", ".join(names[:NAMED])
    more = len(names) - NAMED
    return {
        "id": release.id,
        "name": release.name,
        "version": release.version,
        "number": release.number,
        "state": release.state.value,
        "far": far(release),
        "shape": SHAPES[far(release)],
        "word": texts.say(f"release.far_{far(release)}"),
        "services": names,
        "services_words": texts.say("releases.services_more", names=shown, n=more) if more > 0 else shown,
        "size": release.size,
        "size_words": size(release.size),
        "digest": digits(release.digest),
        "ref": release.ref,
        "where": view.where(release.scope),
        "made_by": view.person(release.made_by),
        "made_at": when(release.made_at),
        "href": view.link(f"/releases/{release.id}"),
    }


def image(view: View, one: Image) -> Data:
    """Return one row of the images."""
    names, more = list(one.found.names[:NAMED]), len(one.found.names) - NAMED
    return {
        "id": one.id,
        "names": names,
        "names_more": texts.say("images.names_more", n=more) if more > 0 else "",
        "platform": one.found.platform,
        "config": digits(one.found.config.digest),
        "size": one.found.size,
        "size_words": size(one.found.size),
        "used_by": one.used_by,
        "used_words": texts.count("images.used", one.used_by) if one.used_by else texts.say("images.unused"),
        "where": view.where(one.scope),
        "made_by": view.person(one.made_by),
        "made_at": when(one.made_at),
    }


def readable(view: View) -> Visibility:
    """Return where the caller may read releases, whatever place is looked at: one thing is not narrowed by a place."""
    view.seen(Permission.RELEASE_READ)
    return view.reach[Permission.RELEASE_READ]


def visible_draft(view: View) -> Draft | None:
    """Return the open draft if it concerns the place looked at and the caller may read it (rule 3)."""
    found = supply_queries.drafts(view.tx, readable(view), limit=1, state=DraftState.OPEN)
    return next((one for one in found if one.scope.startswith(view.scope) or view.scope.startswith(one.scope)), None)


def to_sign(view: View) -> Draft | None:
    """Return the open draft if the caller may sign it and has not; whether they hold a key, the plane cannot know."""
    draft = visible_draft(view) if view.holds(Permission.RELEASE_READ) else None
    if draft is None or not view.may(Permission.RELEASE_SIGN, draft.scope):
        return None
    return None if any(one.person == view.me for one in draft.signatures) else draft


def means(draft: Draft) -> str:
    """Return what a draft means once it is signed, in a line."""
    said = changes(draft)
    if len(said) > NAMED:
        said = [*said[:NAMED], texts.say("draft.changes_more", n=len(said) - NAMED)]
    return texts.say("releases.draft_means", changes=" ".join(said))


def adding(view: View, release: Release) -> Draft | None:
    """Return the draft in which a release was added, if the caller may read it."""
    return supply_queries.draft_of(view.tx, release.id, readable(view))


def root(view: View) -> bytes | None:
    """Return the root of trust of now."""
    try:
        return supply_queries.file(view.tx, metadata.ROOT)
    except NotFoundError:
        return None


def signing(view: View, draft: Draft) -> Signing:
    """Return how far a draft is (rule 2)."""
    data = root(view)
    role = next((one for one in metadata.roles(data) if one.name == metadata.TARGETS), None) if data else None
    if data is None or role is None:
        return Signing(0, (), frozenset())
    given = [metadata.Signature(keyid=one.keyid, signature=one.signature) for one in draft.signatures]
    counting = metadata.signed_by(data, metadata.TARGETS, draft.payload, given)
    return Signing(role.threshold, role.keyids, frozenset(counting))


def signatures_missing(how: Signing) -> str:
    """Return `its second signature` where one is missing, else `2 more signatures`."""
    have = len(how.counting)
    if how.missing == 1 and have < len(_ORDINALS):
        return texts.say(f"releases.{_ORDINALS[have]}")
    return texts.count("releases.more_signatures", how.missing)


def changes(draft: Draft) -> list[str]:
    """Return what a draft changes as sentences; that it changes nothing is one too."""
    return [sentence(one) for one in draft.changes] or [texts.say("draft.change_none")]


def sentence(change: Change) -> str:
    """Return what a signer reads."""
    return texts.say(f"draft.change_{change.kind}", named=named(change.release))


def signers(view: View, draft: Draft) -> str:
    """Return the names of who signed."""
    return ", ".join(dict.fromkeys(view.person(one.person) for one in draft.signatures))


def waits(view: View, draft: Draft) -> Data:
    """Return the open draft as it stands above lists: what it means, who signed, who must still."""
    how = signing(view, draft)
    missing = [keyid for keyid in how.keyids if keyid not in how.counting]
    signed = [texts.say("draft.next_signed", who=signers(view, draft))] if draft.signatures else []
    still = [texts.count("releases.draft_still", how.missing, keys=_keys(missing))] if how.missing else []
    return {
        "id": draft.id,
        "sentence": texts.say("releases.draft", signatures=signatures_missing(how)),
        "means": means(draft),
        "who": " ".join([*signed, *still]),
        "changes": changes(draft),
        "have": len(how.counting),
        "needed": how.needed,
        "may_sign": missing,
        "href": view.link(f"/drafts/{draft.id}"),
    }


def _keys(keyids: list[str]) -> str:
    keys = ", ".join(keyid[:12] for keyid in keyids[:NAMED])
    more = len(keyids) - NAMED
    return texts.say("releases.keys_more", keys=keys, n=more) if more > 0 else keys


def stale(view: View, draft: Draft) -> bool:
    """Tell whether an open draft can no longer be signed: the list went on, or it ran out."""
    if draft.state is not DraftState.OPEN:
        return False
    published = drafts.listed(supply_queries.anchor(view.tx).targets)
    return draft.version != published.version + 1 or draft.expires_at <= view.now


def trust(view: View) -> Data | None:
    """Return what is wrong with the age of what devices believe, the worst first; None if nothing is."""
    anchor = supply_queries.anchor(view.tx)
    files = {"root": anchor.root, "targets": anchor.targets, "online": anchor.timestamp}
    ends = {name: metadata.seen(file).expires for name, file in files.items() if file is not None}
    for name, moment in ends.items():
        if moment <= view.now:
            return _age(view, "bad", f"expired_{name}", name, moment)
    for name, moment in ends.items():
        if name != "online" and moment <= view.now + SOON:
            return _age(view, "warn", f"soon_{name}", name, moment)
    return None


def _age(view: View, shape: str, text: str, name: str, moment: datetime) -> Data:
    return {
        "shape": shape,
        "sentence": texts.say(f"trust.{text}", when=times.relative(moment, view.now)),
        "why": texts.say(f"trust.{text}_why"),
        "command": "" if name == "online" else texts.say(f"trust.command_{name}"),
    }


def named(release: Release) -> str:
    """Return `pump-station 2.4.1`."""
    return f"{release.name} {release.version}"


def called(release: Release) -> str:
    """Return what a command is given to mean this release."""
    return release.id if release.state is State.DISCARDED else f"{release.name}@{release.version}"


def digits(digest: str) -> str:
    """Return a digest's hex digits."""
    return digest.removeprefix("sha256:")


def size(count: int) -> str:
    """Return a number of bytes as people read it: `12 B`, `3.4 GiB`."""
    if count < 1024:
        return f"{count} B"
    value, unit = count / 1024, 0
    while value >= 1024 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{value:.1f} {_UNITS[unit]}"


def plainly(text: str) -> str:
    """Return a text with what cannot be seen in it spelled out (rule 4)."""
    return "".join(c if c in "\n\t" or lines.visible(c) else f"\\u{ord(c):04x}" for c in text)


def no_right(view: View, permission: Permission, path: str) -> str:
    """Return why the caller may not, or nothing if they may."""
    if view.may(permission, path):
        return ""
    return texts.say("release.no_right", permission=permission, where=view.where(path) if path != ROOT else path)


def deed(name: str, noun: str, reason: str, why: str, *, style: str = "") -> Data:
    """Return something the caller can do; with `reason` they cannot."""
    label = texts.say(f"{noun}.{name}")
    return {"name": name, "label": label, "why": reason or why, "enabled": not reason, "style": style}
