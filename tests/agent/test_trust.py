# SPDX-License-Identifier: Apache-2.0
"""Whom a device obeys: every order and every release that must be refused is, and for the right reason."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkvalve import canonical
from checkvalve.agent import trust
from checkvalve.agent.steps import Failure
from checkvalve.agent.trust import BUILT, Floor, Offer
from checkvalve.crypto import envelope, keys, trustset
from checkvalve.crypto.envelope import Envelope
from checkvalve.protocol import exchange, receipt
from checkvalve.protocol.exchange import Deploy, Orders
from tests.crypto import world

KEY, OTHER = keys.make(), keys.make()
DEVICE, ATTEMPT = "0" * 26, "1" * 26
NOW = 1_793_707_200_000
HOUR = 3_600_000
PLAIN = Orders(plane="north", device=DEVICE, epoch=2, counter=7, issued_at=NOW, expires_at=NOW + HOUR, items=())


def _canonical(orders: Orders) -> bytes:
    return canonical.dumps(msgspec.json.decode(msgspec.json.encode(orders)))


def sealed(orders: Orders = PLAIN, key: keys.PrivateKey = KEY, kind: str = exchange.ORDERS) -> Envelope:
    return envelope.seal(key, kind, _canonical(orders))


def judged(given: Envelope, *, floor: int = NOW, epoch: int = 2, counter: int = 6) -> Orders | Failure:
    return trust.orders(
        given, key=KEY.public_key(), plane="north", device=DEVICE, floor_ms=floor, epoch=epoch, counter=counter
    )


def code(said: object) -> str:
    assert isinstance(said, Failure)
    assert said.sentence.endswith(".")
    return said.code


def changed(**fields: object) -> Envelope:
    return sealed(msgspec.structs.replace(PLAIN, **fields))


def test_orders_of_the_plane_for_this_device_are_taken() -> None:
    assert judged(sealed()) == PLAIN


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (sealed(kind=receipt.RECEIPT), "order.kind"),
        (sealed(key=OTHER), "order.signature"),
        (envelope.seal(KEY, exchange.ORDERS, b"{}"), "order.form"),
        (envelope.seal(KEY, exchange.ORDERS, _canonical(PLAIN) + b" "), "order.form"),
        (changed(plane="south"), "order.plane"),
        (changed(device="2" * 26), "order.audience"),
        (changed(expires_at=NOW), "order.expired"),
        (changed(counter=6), "order.replayed"),
        (changed(epoch=1, counter=900), "order.replayed"),
    ],
)
def test_orders_are_refused_by_rule(given: Envelope, why: str) -> None:
    assert code(judged(given)) == why


def test_orders_whose_payload_was_changed_on_the_way_are_refused() -> None:
    good = sealed()
    forged = Envelope(good.payload.replace(b"north", b"south"), good.payload_type, good.signatures)
    assert code(judged(forged)) == "order.signature"


def test_a_restored_plane_is_obeyed_in_its_next_epoch() -> None:
    assert isinstance(judged(changed(epoch=3, counter=1)), Orders)


def test_orders_are_good_until_the_floor_reaches_their_end() -> None:
    assert isinstance(judged(sealed(), floor=NOW + HOUR - 1), Orders)
    assert code(judged(sealed(), floor=NOW + HOUR)) == "order.expired"


@given(
    st.tuples(st.integers(0, 3), st.integers(0, 3)),
    st.tuples(st.integers(0, 3), st.integers(0, 3)),
)
def test_of_two_orders_the_same_or_an_older_one_is_never_taken_after_a_newer(
    before: tuple[int, int], then: tuple[int, int]
) -> None:
    said = judged(changed(epoch=then[0], counter=then[1]), epoch=before[0], counter=before[1])
    assert isinstance(said, Orders) == (then > before)


# ---- What may run. ----


@dataclass
class Told:
    """A deployment, and what the device believes when it hears of it."""

    asked: Deploy | str
    trusted: trustset.Trusted
    organisation: str = world.ORG
    now: datetime = world.NOON
    observe: bool = False

    def judged(self) -> Offer | Failure:
        return trust.deploy(
            self.asked, self.trusted, organisation=self.organisation, now=self.now, observe=self.observe
        )


def told(origin: world.Origin | None = None) -> Told:
    client = world.client(origin or world.repository())
    client.refresh(origin or world.repository())
    return Told(Deploy(attempt=ATTEMPT, target=world.target(1)[0]), client.trusted)


@pytest.fixture
def origin() -> world.Origin:
    return world.repository()


def test_a_listed_release_of_the_own_organisation_is_taken(origin: world.Origin) -> None:
    path, listed = world.target(1)
    assert told(origin).judged() == Offer(ATTEMPT, path, f"sha256:{listed.sha256}", 1, listed.length)


def test_an_unknown_kind_is_refused_by_name(origin: world.Origin) -> None:
    said = replace(told(origin), asked="wipe").judged()
    assert code(said) == "order.unsupported"
    assert isinstance(said, Failure)
    assert "wipe" in said.sentence


def test_a_device_that_observes_takes_nothing(origin: world.Origin) -> None:
    assert code(replace(told(origin), observe=True).judged()) == "device.observes"


def test_an_order_names_the_values_that_fill_it_or_none(origin: world.Origin) -> None:
    one = told(origin)
    assert isinstance(one.asked, Deploy)
    offer = one.judged()
    assert isinstance(offer, Offer)
    assert offer.values == ""
    one.asked = msgspec.structs.replace(one.asked, values={"digest": "sha256:" + "a" * 64})
    offer = one.judged()
    assert isinstance(offer, Offer)
    assert offer.values == "sha256:" + "a" * 64
    asked = {"kind": "deploy", "attempt": ATTEMPT, "target": "x", "values": {"variables": "x"}}
    assert code(trust.item(msgspec.Raw(msgspec.json.encode(asked)))) == "order.form"


def test_what_nobody_signed_is_not_taken(origin: world.Origin) -> None:
    one = told(origin)
    one.asked = Deploy(attempt=ATTEMPT, target=world.target(2)[0])
    assert code(one.judged()) == "release.not_listed"


def test_a_release_of_another_organisation_is_not_taken_and_one_of_all_is(origin: world.Origin) -> None:
    path, listed = world.target(1)
    everybodys = path.partition("/")[2]
    origin.targets[everybodys] = listed
    origin.publish_all()
    one = told(origin)
    assert code(replace(one, organisation="01jd0000000000000000000009").judged()) == "release.foreign"
    assert code(replace(one, organisation="").judged()) == "release.foreign"
    for organisation in (world.ORG, "01jd0000000000000000000009", ""):
        asked = Deploy(attempt=ATTEMPT, target=everybodys)
        assert isinstance(replace(one, organisation=organisation, asked=asked).judged(), Offer)


@pytest.mark.parametrize(("floor", "taken"), [(1, True), (2, True), (3, False)])
def test_nothing_below_the_floor_of_its_line_is_taken(origin: world.Origin, floor: int, taken: bool) -> None:  # noqa: FBT001
    path, listed = world.target(2)
    origin.targets[path] = listed
    origin.floors = {path.rpartition("/")[0]: floor}
    origin.publish_all()
    one = replace(told(origin), asked=Deploy(attempt=ATTEMPT, target=path))
    assert isinstance(one.judged(), Offer) == taken
    if not taken:
        assert code(one.judged()) == "release.below_floor"


def test_expired_metadata_stop_the_taking_of_a_release(origin: world.Origin) -> None:
    one = told(origin)
    assert code(replace(one, now=world.LATER + timedelta(seconds=1)).judged()) == "trust.stale"
    assert isinstance(replace(one, now=datetime(1970, 1, 1, tzinfo=UTC)).judged(), Offer)


def test_a_list_that_a_newer_one_has_replaced_is_not_taken_from(origin: world.Origin) -> None:
    client = world.client(origin)
    client.refresh(origin)
    origin.targets.clear()  # withdrawn
    origin.publish_all()
    client.trusted = trustset.with_timestamp(client.trusted, origin.files["timestamp"], world.NOON)
    one = replace(told(origin), trusted=client.trusted, asked=Deploy(attempt=ATTEMPT, target=world.target(1)[0]))
    assert code(one.judged()) == "trust.stale"


def test_a_device_that_could_fetch_no_list_takes_nothing(origin: world.Origin) -> None:
    assert code(replace(told(origin), trusted=trustset.begin(origin.roots[0])).judged()) == "trust.stale"


def test_one_item_refuses_itself_and_not_the_others() -> None:
    deploy = Deploy(attempt=ATTEMPT, target="press/x.json")
    assert trust.item(msgspec.Raw(msgspec.json.encode(deploy))) == deploy
    assert code(trust.item(msgspec.Raw(b'{"kind":"wipe"}'))) == "order.unsupported"
    for data in (b"{}", b"[]", b'{"kind":1}', b'{"kind":"deploy"}', b'{"kind":"deploy","attempt":"1","more":1}'):
        assert code(trust.item(msgspec.Raw(data))) == "order.form"


def test_the_organisation_is_the_first_id_of_a_place() -> None:
    assert [trust.organisation(each) for each in ("/", "/org/", "/org/site/area/")] == ["", "org", "org"]


# ---- Time. ----


def test_a_fresh_device_believes_that_it_is_at_least_as_late_as_its_program() -> None:
    assert Floor().at(0) == BUILT


def test_the_floor_goes_on_between_two_signed_times_and_never_runs_ahead_of_them() -> None:
    floor = Floor().heard(NOW, 100.0)
    assert floor.unix(100.0) == NOW
    assert NOW + 990_000 <= floor.unix(1_100.0) <= NOW + 1_000_000


@given(st.lists(st.tuples(st.integers(0, 2**45), st.floats(0, 1e7)), max_size=10))
def test_the_floor_never_goes_back_and_is_never_below_what_was_heard(heard: list[tuple[int, float]]) -> None:
    floor, monotonic, newest = Floor(), 0.0, 0
    for milliseconds, passed in heard:
        before, monotonic = floor.unix(monotonic), monotonic + passed
        floor = floor.heard(milliseconds, monotonic)
        newest = max(newest, milliseconds)
        assert floor.unix(monotonic) >= max(before, newest)


def test_a_floor_at_the_end_of_time_is_still_a_moment() -> None:
    assert Floor().heard(2**53 - 1, 0.0).at(1e9).year == 9999
    assert code(judged(sealed(), floor=Floor().heard(2**53 - 1, 0.0).unix(0.0))) == "order.expired"
