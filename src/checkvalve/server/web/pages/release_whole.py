# SPDX-License-Identifier: Apache-2.0
"""What is in a release, what differs from the one before, and may it run? With what the caller can do, and why not.

Rules: 1. what cannot be done is said in the words of the rule that would refuse it; 2. a release is compared with the
one before it that the caller may read; 3. bytes that are not what the digest names are never passed off as the
release.
"""

from collections.abc import Callable

from checkvalve.errors import CheckvalveError
from checkvalve.protocol import rights, workload
from checkvalve.server.access import queries as access_queries
from checkvalve.server.access.model import Permission
from checkvalve.server.audit import queries as audit_queries
from checkvalve.server.rollouts import queries as rollout_queries
from checkvalve.server.supply import difference
from checkvalve.server.supply import draft as drafts
from checkvalve.server.supply import queries as supply_queries
from checkvalve.server.supply import standing as standings
from checkvalve.server.supply.model import Change, ChangeKind, Draft, DraftState, Release, State
from checkvalve.server.web import texts
from checkvalve.server.web.pages import progress, release_view, running, words
from checkvalve.server.web.pages.view import Data, View, when

ROLLOUTS = 5
STORY = 20
DIFFERENCES = 200  # rows; the command shows the rest


def whole(view: View, release: Release) -> Data:
    """Return the data of one release's page."""
    manifest = workload.read(release.manifest)
    open_draft = supply_queries.open_draft(view.tx)
    far, named = release_view.far(release), release_view.named(release)
    size = release_view.size(release.size)
    who, where = view.person(release.made_by), view.where(release.scope)
    return {
        **release_view.row(view, release),
        "detail": texts.say("release.detail", number=release.number, who=who, where=where, size=size),
        "scope": release.scope,
        "changed_at": when(release.changed_at),
        **_next(release, far, named),
        "waits": _waits(view, release, open_draft),
        "services_n": texts.count("release.services_n", len(manifest.services)),
        "services_cards": running.services(manifest),
        "gate": running.gate(manifest),
        "volumes": running.volumes(manifest),
        "networks": running.networks(manifest),
        "rights": running.rights_of(manifest),
        "exclusive": [release_view.plainly(one) for one in rights.exclusive(manifest)],
        "host_paths": ", ".join(release_view.plainly(one) for one in manifest.host_paths),
        "open": running.open_(manifest),
        **_differences(view, release, manifest),
        "source": release_view.plainly(release.source.decode(errors="replace")),
        "source_size": f"{len(release.source):,}",
        "manifest_size": f"{len(release.manifest):,}",
        "manifest_href": f"/api/v1/releases/{release.id}/manifest",
        "show_command": texts.say("release.command_show", ref=release_view.called(release)),
        "signed": _signed(view, release),
        "deeds": _deeds(view, release, open_draft),
        "rollout": _rollout(view, release),
        "rollouts": _rollouts(view, release),
        "story": _story(view, release),
    }


def _next(release: Release, far: str, named: str) -> Data:
    """Return its state as a sentence and what that means; rule 3 comes first."""
    intact = workload.digest(release.manifest) == release.digest
    name = far if intact else "differs"
    said = {
        "sentence": texts.say(f"release.is_{name}", named=named),
        "next": texts.say(f"release.next_{name}"),
        "next_why": texts.say(f"release.next_{name}_why"),
    }
    return {**said, "intact": intact, "next_shape": release_view.SHAPES[far] if intact else "bad"}


def _waits(view: View, release: Release, draft: Draft | None) -> Data | None:
    """Return what the open draft would do with this release, if the caller may read the draft."""
    mine = [one for one in draft.changes if one.release.id == release.id] if draft else []
    if draft is None or not mine or not view.may(Permission.RELEASE_READ, draft.scope):
        return None
    said = [texts.say(f"release.waits_{one.kind}") for one in mine if one.kind is not ChangeKind.ADD]
    return {**release_view.waits(view, draft), "said": " ".join(said)}


def _signed(view: View, release: Release) -> Data | None:
    """Return who signed the draft that added it, if the caller may read that."""
    draft = release_view.adding(view, release)
    if draft is None:
        return None
    how = release_view.signing(view, draft) if draft.state is DraftState.OPEN else None
    return {
        "href": view.link(f"/drafts/{draft.id}"),
        "words": texts.say("draft.have", have=len(how.counting), needed=how.needed)
        if how
        else texts.say(f"draft.word_{draft.state}"),
        "shape": release_view.DRAFT_SHAPES[draft.state],
        "version": draft.version,
        "signatures": [
            {"keyid": one.keyid, "person": view.person(one.person), "at": when(one.at)} for one in draft.signatures
        ],
        "sign_command": texts.say("release.command_sign") if how else "",
    }


def _differences(view: View, release: Release, manifest: workload.Manifest) -> Data:
    before = supply_queries.previous(view.tx, release, view.seen(Permission.RELEASE_READ))  # rule 2
    if before is None:
        return _compared(texts.say("release.differences_first"), "first" if release.number == 1 else "unseen")
    found = difference.between(workload.read(before.manifest), manifest)
    title = texts.say("release.differences", named=release_view.named(before))
    rows: list[Data] = [{"path": one.path, "before": one.before, "after": one.after} for one in found[:DIFFERENCES]]
    more = texts.say("release.differences_more", n=DIFFERENCES) if len(found) > DIFFERENCES else ""
    return {
        **_compared(title, ""),
        "previous_href": view.link(f"/releases/{before.id}"),
        "previous_see": texts.say("release.see", named=release_view.named(before)),
        "differences": rows,
        "differences_more": more,
        "diff_command": texts.say("release.command_diff", ref=release_view.called(release)),
    }


def _compared(title: str, none: str) -> Data:
    return {
        "differences_title": title,
        "previous_href": "",
        "previous_see": "",
        "differences": [],
        "differences_more": "",
        "diff_command": "",
        "differences_none": none,
    }


def _deeds(view: View, release: Release, draft: Draft | None) -> list[Data]:
    changes: tuple[Change, ...] = draft.changes if draft else ()
    listed = drafts.listed(supply_queries.anchor(view.tx).targets)
    judged: tuple[tuple[str, Callable[[], None]], ...] = (
        ("withdraw", lambda: standings.withdrawn(release, changes)),
        ("floor", lambda: standings.floored(release, listed, changes)),
    )
    right = release_view.no_right(view, Permission.RELEASE_CREATE, release.scope)
    found = []
    for name, judge in judged:
        reason = _refused(judge) or right or _refused(lambda: drafts.joined(draft, release.scope))
        why = texts.say(f"release.{name}_why")
        found.append(release_view.deed(name, "release", reason, why, style="danger" if name == "withdraw" else ""))
    return found


def _refused(judge: Callable[[], object]) -> str:
    """Return why not (rule 1), or nothing."""
    try:
        judge()
    except CheckvalveError as error:
        return f"{error.sentence} {error.remedy}".strip()
    return ""


def _rollout(view: View, release: Release) -> Data:
    reason = _refused(lambda: standings.taken(release, release.ref))
    if release.state is State.DISCARDED:
        reason = texts.say("release.rollout_no")
    if not reason and not view.holds(Permission.ROLLOUT_DRAFT):
        reason = release_view.no_right(view, Permission.ROLLOUT_DRAFT, release.scope)
    href = view.link("/rollouts/new", release=release.ref)
    return {**release_view.deed("rollout", "release", reason, texts.say("release.rollout_why")), "href": href}


def _rollouts(view: View, release: Release) -> list[Data]:
    seen = view.reach.get(Permission.ROLLOUT_READ)
    found = rollout_queries.of_release(view.tx, release.id, seen, limit=ROLLOUTS) if seen else []
    return [progress.row(view, one) for one in found]


def _story(view: View, release: Release) -> list[Data] | None:
    if not view.may(Permission.AUDIT_READ, release.scope):
        return None
    seen = access_queries.entries_within(view.seen(Permission.AUDIT_READ))
    found = audit_queries.latest(view.tx, seen, limit=STORY, subject=f"release:{release.id}")
    return [words.told(view, entry) for entry in found]
