# SPDX-License-Identifier: Apache-2.0
"""The one open draft: what joins it, who signs it, and what the last signature does."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest

from checkvalve.crypto import keys, metadata
from checkvalve.errors import CheckvalveError
from checkvalve.ids import DraftId
from checkvalve.server.access.model import Visibility
from checkvalve.server.db.database import Database
from checkvalve.server.supply import draft as drafts
from checkvalve.server.supply import queries
from checkvalve.server.supply.model import Change, ChangeKind, DraftState, Listed, State
from tests.server.supply.world import World, found, source, started


@pytest.fixture
def plant(database: Database, new_id: Callable[[], str], now: datetime) -> World:
    plant = started(database, new_id, now)
    plant.bring(found("historian:2.4"), scope="/")
    return plant


def _listed(plant: World) -> tuple[dict[str, metadata.Target], dict[str, int]]:
    return metadata.read_targets(metadata.payload(plant.anchor().targets or b""))


def test_the_first_change_opens_a_draft_and_the_next_one_joins_it(plant: World) -> None:
    first = plant.made(source(version="1"))
    draft = plant.open()
    plant.later(hours=1)
    second = plant.made(source(version="2"), scope=plant.other)
    joined = plant.open()
    assert (joined.id, joined.scope, joined.version, joined.made_at) == (draft.id, plant.org, 1, draft.made_at)
    assert [(change.kind, change.release.id) for change in joined.changes] == [
        (ChangeKind.ADD, first.id),
        (ChangeKind.ADD, second.id),
    ]
    assert joined.expires_at == plant.now + timedelta(days=365)
    assert metadata.seen(joined.payload) == metadata.Seen("targets", 1, joined.expires_at)
    targets, floors = metadata.read_targets(joined.payload)
    hex_ = first.digest.removeprefix("sha256:")
    assert targets[f"{plant.org.strip('/')}/press-line/{hex_}.json"] == metadata.Target(
        len(first.manifest), hex_, "press-line", "1", 1
    )
    assert (len(targets), floors) == (2, {})


def test_the_changes_read_as_sentences(plant: World) -> None:
    release = plant.made(source())
    plant.published()
    plant.floor(release.id)
    plant.withdraw(release.id)
    assert {change.sentence for change in plant.open().changes} == {
        "Nothing older than press-line 1 may be taken any more.",
        "press-line 1 may not be taken any more.",
    }


def test_a_change_for_another_organisation_waits(plant: World) -> None:
    plant.made(source())
    plant.refused("draft.elsewhere", plant.made, source(), plant.foreign)
    plant.refused("draft.elsewhere", plant.made, source(), "/")
    plant.published()
    release = plant.made(source(), scope="/")
    assert plant.open().scope == "/"
    assert release.target == f"press-line/{release.digest.removeprefix('sha256:')}.json"
    plant.refused("draft.elsewhere", plant.made, source(version="2"))


def test_a_draft_that_has_a_signature_takes_no_more_changes(plant: World) -> None:
    plant.made(source(version="1"))
    plant.sign(next(iter(plant.signers)), plant.open().id)
    plant.refused("draft.signed", plant.made, source(version="2"))
    plant.discard(plant.open().id)
    assert plant.made(source(version="2")).number == 2


def test_the_last_signature_that_is_needed_publishes(plant: World) -> None:
    release = plant.made(source())
    draft, (first, second, third) = plant.open(), plant.signers
    signed = plant.sign(first, draft.id)
    assert (signed.state, plant.release(release.id).state) == (DraftState.OPEN, State.DRAFTED)
    assert plant.anchor().targets is None
    plant.later(days=2)
    signed = plant.sign(second, draft.id)
    assert (signed.state, plant.release(release.id).state) == (DraftState.PUBLISHED, State.PUBLISHED)
    assert [one.person for one in signed.signatures] == [first, second]
    assert metadata.payload(plant.anchor().targets or b"") == draft.payload
    assert plant.database.read_now("draft", queries.open_draft) is None
    entry, before = plant.entries("draft.sign")
    assert (entry.facts["after"], before.facts["after"]) == ({"state": "published"}, {"state": "open"})
    assert (entry.facts["signed"], entry.facts["needed"], entry.scope) == (2, 2, plant.org)
    assert entry.facts["changes"] == [f"add {release.ref}"]
    plant.refused("draft.closed", plant.sign, third, draft.id)
    plant.refused("draft.closed", plant.discard, draft.id)


def test_each_list_follows_the_one_before(plant: World) -> None:
    first = plant.made(source(version="1"))
    plant.published()
    second = plant.made(source(version="2"))
    assert plant.open().version == 2
    plant.published()
    assert set(_listed(plant)[0]) == {first.target, second.target}


def test_a_withdrawn_release_leaves_the_list_when_the_draft_is_signed(plant: World) -> None:
    first, second = plant.made(source(version="1")), plant.made(source(version="2"))
    plant.published()
    plant.withdraw(first.id, "It leaks.")
    assert plant.open().changes[0].reason == "It leaks."
    assert plant.release(first.id).state is State.PUBLISHED
    plant.published()
    assert plant.release(first.id).state is State.WITHDRAWN
    assert set(_listed(plant)[0]) == {second.target}


def test_a_withdrawal_or_a_floor_of_what_is_not_published_is_refused(plant: World) -> None:
    release = plant.made(source())
    plant.refused("release.state", plant.withdraw, release.id)
    plant.refused("release.state", plant.floor, release.id)
    plant.published()
    plant.withdraw(release.id)
    plant.refused("release.state", plant.withdraw, release.id)
    plant.published()
    plant.refused("release.state", plant.withdraw, release.id)
    plant.refused("release.state", plant.floor, release.id)


def test_a_floor_only_rises(plant: World) -> None:
    made = [plant.made(source(version=str(version))) for version in (1, 2, 3)]
    plant.published()
    plant.floor(made[1].id)
    plant.refused("trust.floor", plant.floor, made[0].id)
    plant.refused("trust.floor", plant.floor, made[1].id)
    plant.floor(made[2].id)
    plant.published()
    line = f"{plant.org.strip('/')}/press-line"
    assert _listed(plant)[1] == {line: 3}
    assert [plant.release(one.id).below_floor for one in made] == [True, True, False]
    plant.refused("trust.floor", plant.floor, made[2].id)
    later = plant.made(source(version="4"))
    plant.published()
    plant.floor(later.id)
    assert plant.entries("release.floor")[0].facts["before"] == {"floor": 3}
    plant.discard(plant.open().id)
    assert not plant.release(made[2].id).below_floor


def test_of_floors_in_one_draft_the_highest_counts_in_whatever_order_they_are_read(plant: World) -> None:
    for version in (1, 2):
        plant.made(source(version=str(version)))
    plant.published()
    low, high = (Change(ChangeKind.FLOOR, plant.named(f"press-line@{version}")) for version in (1, 2))
    payloads = {drafts.compose(Listed(1, {}, {}), order, plant.now).payload for order in ([low, high], [high, low])}
    assert [metadata.read_targets(payload)[1] for payload in payloads] == [{high.release.line: 2}]


def test_a_renewal_is_the_same_list_for_another_year(plant: World) -> None:
    release = plant.made(source())
    plant.published()
    plant.later(days=300)
    draft = plant.renew()
    assert (draft.scope, draft.changes, draft.version) == ("/", (), 2)
    assert plant.draft(draft.id) == draft
    plant.refused("draft.open", plant.renew)
    plant.published()
    assert set(_listed(plant)[0]) == {release.target}
    assert metadata.seen(plant.anchor().targets or b"").expires == plant.now + timedelta(days=365)


def test_an_empty_list_can_be_published_before_there_is_a_release(plant: World) -> None:
    plant.renew()
    plant.published()
    assert _listed(plant) == ({}, {})


# Who signs


def test_a_signature_on_other_bytes_than_those_there_now_is_stale(plant: World) -> None:
    plant.made(source(version="1"))
    before = plant.open()
    plant.made(source(version="2"))
    person, key = next(iter(plant.signers.items()))
    given = metadata.sign(before.payload, key)
    plant.refused("draft.digest", plant.give, person, before.id, drafts.digest(before), given)
    plant.refused("draft.signature", plant.give, person, before.id, drafts.digest(plant.open()), given)


def test_only_a_key_that_the_root_names_for_targets_signs(plant: World) -> None:
    plant.made(source())
    draft, person = plant.open().id, next(iter(plant.signers))
    for key in (keys.make(), plant.online, plant.masters[0]):
        plant.refused("draft.signature", plant.sign, person, draft, key)


@pytest.mark.parametrize(
    ("keyid", "signature"),
    [
        ("00" * 32, "00" * 70),
        ("", ""),
        ("x" * 64, "zz"),
        ("own", ""),
        ("own", "00" * 100_000),
        ("own", "\0"),
        ("OWN", "own"),
    ],
)
def test_what_is_no_signature_is_refused_in_words(plant: World, keyid: str, signature: str) -> None:
    plant.made(source())
    person, key = next(iter(plant.signers.items()))
    right = metadata.sign(plant.open().payload, key)
    named = {"own": right.keyid, "OWN": right.keyid.upper()}.get(keyid, keyid)
    given = metadata.Signature(named, right.signature if signature == "own" else signature)
    plant.refused("draft.signature", plant.give, person, plant.open().id, drafts.digest(plant.open()), given)


def test_a_key_counts_once_and_a_person_counts_once(plant: World) -> None:
    plant.made(source())
    draft, (first, second, third) = plant.open().id, plant.signers
    plant.sign(first, draft)
    plant.refused("draft.twice", plant.sign, first, draft)
    plant.refused("draft.twice", plant.sign, second, draft, plant.signers[first])
    plant.refused("draft.same_person", plant.sign, first, draft, plant.signers[third])
    assert plant.sign(second, draft).state is DraftState.PUBLISHED


def test_signatures_of_keys_that_the_root_names_no_longer_do_not_count(plant: World) -> None:
    plant.made(source())
    draft, (first, second, third) = plant.open().id, plant.signers
    plant.sign(first, draft)
    new = keys.make()
    plant.install(plant.root(2, targets=[new, plant.signers[second], plant.signers[third]]))
    assert plant.sign(second, draft).state is DraftState.OPEN
    plant.refused("draft.same_person", plant.sign, second, draft, new)
    assert plant.sign(first, draft, new).state is DraftState.PUBLISHED
    assert len(metadata.signatures(plant.anchor().targets or b"")) == 2


def test_a_draft_that_has_run_out_is_signed_no_more(plant: World) -> None:
    plant.made(source())
    plant.later(days=300)
    plant.install(plant.root(2))
    plant.later(days=65)
    plant.refused("draft.stale", plant.sign, next(iter(plant.signers)), plant.open().id)
    plant.discard(plant.open().id)


def test_a_discarded_draft_takes_its_releases_with_it(plant: World) -> None:
    release = plant.made(source())
    draft = plant.open().id
    plant.sign(next(iter(plant.signers)), draft)
    discarded = plant.discard(draft)
    assert (discarded.state, plant.release(release.id).state) == (DraftState.DISCARDED, State.DISCARDED)
    assert plant.entries("draft.discard")[0].facts["releases"] == [release.ref]
    plant.refused("draft.closed", plant.sign, next(iter(plant.signers)), draft)
    assert plant.made(source()).number == 2


def test_a_discarded_withdrawal_leaves_the_release_published(plant: World) -> None:
    release = plant.made(source())
    plant.published()
    plant.withdraw(release.id)
    plant.discard(plant.open().id)
    assert plant.release(release.id).state is State.PUBLISHED


def test_a_list_shows_the_drafts_of_what_may_be_seen(plant: World) -> None:
    plant.made(source())
    ours = plant.published()
    plant.made(source(), scope="/")
    above = plant.open()

    def listed(*scopes: str, state: DraftState | None = None, before: str = "") -> list[DraftId]:
        seen = Visibility(scopes)
        found = plant.database.read_now(
            "drafts", lambda tx: queries.drafts(tx, seen, limit=10, before=before, state=state)
        )
        return [one.id for one in found]

    assert listed("/") == [above.id, ours.id]
    assert listed("/", before=above.id) == [ours.id]
    assert listed("/", state=DraftState.OPEN) == [above.id]
    assert listed(plant.org) == [ours.id]
    assert listed(plant.site) == []
    assert plant.database.read_now("scopes", queries.draft_scopes, ours.id) == (plant.org,)
    plant.refused(
        "draft.not_found", plant.database.read_now, "draft", queries.draft, above.id, Visibility((plant.org,))
    )


# At once


def test_of_two_last_signatures_at_once_one_publishes(plant: World) -> None:
    plant.made(source())
    draft, (first, *others) = plant.open().id, plant.signers
    plant.sign(first, draft)

    def sign(index: int) -> str:
        try:
            return plant.sign(others[index], draft).state.value
        except CheckvalveError as error:
            return error.code

    with ThreadPoolExecutor(2) as threads:
        assert sorted(threads.map(sign, range(2))) == ["draft.closed", "published"]
    assert len(plant.entries("draft.sign")) == 2
    assert len(metadata.signatures(plant.anchor().targets or b"")) == 2
    assert metadata.seen(plant.anchor().targets or b"").version == 1


def test_a_change_and_a_signature_at_once_never_both_count_for_other_bytes(plant: World) -> None:
    plant.made(source(version="1"))
    draft = plant.open()
    person, key = next(iter(plant.signers.items()))
    given = metadata.sign(draft.payload, key)

    def do(what: int) -> str:
        try:
            if what:
                plant.made(source(version="2"))
            else:
                plant.give(person, draft.id, drafts.digest(draft), given)
        except CheckvalveError as error:
            return error.code
        return "done"

    with ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(do, range(2)))
    assert answers in (["done", "draft.signed"], ["draft.digest", "done"])


@pytest.mark.parametrize("reason", ["", "  ", "x" * 2_001, "a\nb", "a\x1b[31mb", "a\u202eb"])
def test_what_is_taken_away_is_taken_away_for_a_reason_that_reads_as_one_line(plant: World, reason: str) -> None:
    release = plant.made()
    plant.published()
    plant.refused("release.reason", plant.withdraw, release.id, reason)
    plant.refused("release.reason", plant.floor, release.id, reason)
