# SPDX-License-Identifier: Apache-2.0
"""A device whose way to its plane is bad, or leads to somebody who talks nonsense: nothing of it harms the device.

1. The work goes on: what runs is as it was, whatever the way is like.
2. Nothing is believed that the plane did not say, and each failure is a sentence that names its layer.
3. It gets through as soon as it can, by itself; blobs go on where they broke off, and what is told twice counts once.

The device has a simulated engine, disk and clock; way, TLS and plane are real. Pauses are of the simulated clock, and
cost nothing here. What takes its time on a line is scaled down: two seconds of latency and the patience of a device 20
times, a proxy that cuts at 60 s and the rate of its line 240 times.
"""

import asyncio
import gzip
import io
import random
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from checkvalve import clock
from checkvalve.agent.clocks.simulated import BEGIN
from checkvalve.agent.link import tls
from checkvalve.agent.link.tls import Patience, Tls
from checkvalve.agent.ports import Link, Replied
from checkvalve.errors import CheckvalveError
from checkvalve.protocol import exchange, time, workload
from checkvalve.protocol.exchange import LONGEST_WAIT, Report, State
from tests.agent import small
from tests.agent.device import Device, told
from tests.agent.engine.images import Made
from tests.agent.plane import Estate, Listener, port, served
from tests.parts import archives, proxy
from tests.parts.proxy import FAIR, Proxy, Rogue, Weather

pytestmark = pytest.mark.slow

SEED = int.from_bytes(clock.entropy(4))
SCALE = 20  # the device's own patience is 10, 10 and 30 s
PATIENCE = Patience(connect=10 / SCALE, answer=10 / SCALE, stall=30 / SCALE)
QUICK = Patience(connect=0.15, answer=0.15, stall=0.15)  # where nothing is to be had by waiting
SIZE = 300_000
DIGEST = f"sha256:{'a' * 64}"
REPORT = msgspec.json.encode(Report(capability=1, journal="0" * 26, seq=0, generation=1, state="0" * 64, clock=1))


class Far:
    """A device that runs a first release, and what lies between it and its plane."""

    def __init__(self, device: Device, way: Proxy, listener: Listener) -> None:
        self.device, self.way, self.listener = device, way, listener
        self.before = small.quick(1).digest

    async def dials(self, address: str, patience: Patience, by: str = "") -> None:
        """Have it dial there from now on."""
        parts = self.device.parts
        await parts.link.close()
        parts.dial = lambda who: Tls((address,), who.ca, who.pair(), proxy=by, patience=patience)
        parts.link = parts.dial(parts.identity)

    async def goes_on(self, times: int) -> None:
        """Let it visit the plane so often; meanwhile what runs is as it was."""
        device = self.device
        for _ in range(times):
            await device.visit.turn()
            for _ in range(3):
                await device.work.turn()
                await device.clock.advance(5.0)
            assert device.runs == self.before
            assert device.at_rest

    async def unharmed(self, attempt: str, stride: float = 2.0) -> None:
        """Have the attempt end well, and all be told once."""
        device = self.device
        await device.drive(lambda: device.ended(attempt), turns=30_000, stride=stride)
        assert device.position.state is State.COMMITTED
        await device.settle()
        assert [each.seq for each in device.events] == list(range(1, device.parts.journal.seq + 1))
        assert device.events == device.parts.journal.events(0, 1_000)
        assert [each.attempt for each in device.receipts].count(attempt) == 1


@asynccontextmanager
async def far(directory: Path, patience: Patience) -> AsyncIterator[Far]:
    device = Device(seed=SEED)
    print(f"seed {SEED}")
    async with served(device.plane, directory) as listener, proxy.between(port(listener.address), SEED) as way:
        made = Far(device, way, listener)
        await made.dials(way.address, patience)
        try:
            assert await device.deploy(small.quick(1)) is State.COMMITTED
            await device.settle()
            yield made
        finally:
            await device.parts.link.close()


def large(number: int) -> Made:
    """Return a release with a layer that no bad line carries in one go."""
    plain = small.quick(number).read
    hand = archives.Image(layers=[archives.layer(pad=random.Random(number).randbytes(SIZE))])
    (layer,) = hand.layers
    (image,) = plain.images.values()
    (described,) = image.layers
    digest = archives.sha(layer)
    described = structs.replace(described, digest=digest, diff_id=digest, size=len(layer))
    image = structs.replace(image, config=hand.id, config_size=len(hand.config_bytes), layers=(described,))
    services = {name: structs.replace(each, image=hand.id) for name, each in plain.services.items()}
    read = structs.replace(plain, images={hand.id: image}, services=services)
    return Made(workload.write(read), {hand.id: hand.config_bytes, digest: layer})


# ---- Bad ways that lead there. ----


@told
async def test_two_seconds_of_latency_only_take_their_time(tmp_path: Path) -> None:
    async with far(tmp_path, PATIENCE) as met:
        met.way.weather = Weather(latency=2 / SCALE)
        met.way.let_go()
        await met.unharmed(met.device.order(large(2)))


@told
async def test_a_release_gets_through_though_of_ten_pieces_three_break_the_line(tmp_path: Path) -> None:
    async with far(tmp_path, PATIENCE) as met:
        met.way.weather = Weather(breaks=0.3)
        before = met.way.down
        # It may take hours to be told of it all, and this plane signs orders once: these are good for a month.
        until = int((BEGIN + timedelta(days=30)).timestamp() * 1000)
        await met.unharmed(met.device.order(large(2), expires_at=until), stride=30.0)
        assert met.way.broken > 10
        asked = [path for path in met.listener.asked if path.startswith("/v1/blobs/")]
        assert len(asked) > 5
        assert met.way.down - before < len(asked) * SIZE / 2, "it went on where it broke off"


@told
async def test_a_proxy_that_cuts_at_sixty_seconds_only_takes_its_time(tmp_path: Path) -> None:
    assert LONGEST_WAIT < 60, "an exchange that is held is answered before it is cut"
    async with far(tmp_path, PATIENCE) as met:
        seconds = 0.25
        met.way.weather = Weather(lives=seconds, rate=round(SIZE / (4 * seconds)))  # five connections for one layer
        met.way.let_go()
        before = met.way.down
        await met.unharmed(met.device.order(large(2)))
        assert met.way.broken >= 3
        assert met.way.down - before < 1.8 * SIZE, "nothing was fetched twice but what was under way"


@told
async def test_an_exchange_that_is_cut_while_it_is_held_costs_one_more(tmp_path: Path) -> None:
    async with far(tmp_path, PATIENCE) as met:
        held = list[str]()

        async def hold(request: web.Request) -> web.StreamResponse:
            held.append(request.path)
            await asyncio.Event().wait()
            raise AssertionError

        met.way.weather = Weather(lives=0.25)
        met.listener.instead = hold
        await met.dials(met.way.address, PATIENCE)
        await named(met.device.parts.link, "plane", "broke off", wait=LONGEST_WAIT)
        assert held == ["/v1/exchange"] * 2, "it is said once more at once, for a kept connection may have been let go"
        met.listener.instead = None
        await met.unharmed(met.device.order(small.quick(2)))


# ---- Ways that lead nowhere. ----

PORTAL = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 30\r\n\r\n<html>Welcome, hotel!</html>\r\n"
MOVED = b"HTTP/1.1 302 Found\r\nLocation: https://portal.example/\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize(
    ("weather", "layer", "words"),
    [
        (Weather(silent=True), "route", "does not answer"),
        (Weather(says=PORTAL), "tls", "handshake"),
        (Weather(says=MOVED), "tls", "handshake"),
        (Weather(says=b""), "tls", "handshake"),
        (Weather(swallows=0), "route", "does not answer"),
        (Weather(swallows=500), "route", "does not answer"),
        (Weather(swallows=2_000), "plane", "did not answer in time"),
    ],
    ids=[
        "silent",
        "portal",
        "redirect",
        "closes",
        "half-open at once",
        "half-open in the handshake",
        "half-open after it",
    ],
)
@told
async def test_a_way_that_leads_nowhere_is_named_and_harms_nothing(
    tmp_path: Path, weather: Weather, layer: str, words: str
) -> None:
    async with far(tmp_path, QUICK) as met:
        met.way.weather = weather
        met.way.let_go()
        attempt = met.device.order(small.quick(2))
        await met.goes_on(2)
        assert met.device.parts.shared.silent is not None
        await named(met.device.parts.link, layer, words)
        met.way.weather = FAIR
        met.way.let_go()
        await met.unharmed(attempt)


@told
async def test_a_line_that_goes_dead_within_a_blob_is_given_up_and_gone_on_with(tmp_path: Path) -> None:
    async with far(tmp_path, QUICK) as met:
        met.way.weather = Weather(swallows=SIZE // 3)
        attempt = met.device.order(large(2))
        before = met.way.down
        await met.unharmed(attempt)
        assert met.way.down - before < 1.5 * SIZE


@pytest.mark.parametrize("says", [PORTAL, MOVED, b"HTTP/1.1 407 Who\r\nContent-Length: 0\r\n\r\n", b"\0" * 100])
@told
async def test_an_http_proxy_that_shows_a_portal_is_named_and_harms_nothing(tmp_path: Path, says: bytes) -> None:
    async with far(tmp_path, QUICK) as met, proxy.between(port(met.listener.address), SEED, connect=True) as by:
        await met.dials(met.listener.address, QUICK, by.address)
        by.weather = Weather(says=says)
        attempt = met.device.order(small.quick(2))
        await met.goes_on(2)
        assert met.device.parts.shared.silent is not None
        await named(met.device.parts.link, "tls" if says == PORTAL else "proxy", "hotel", shown=False)
        by.weather = FAIR
        await met.unharmed(attempt)


async def named(link: Link, layer: str, words: str, *, shown: bool = True, wait: float = 0) -> None:
    """See that an exchange fails with a sentence, which names this layer, and holds these words or does not."""
    with pytest.raises(CheckvalveError) as caught:
        await link.exchange(REPORT, wait)
    assert caught.value.facts["layer"] == layer
    assert (words in caught.value.sentence) is shown, caught.value.sentence
    assert caught.value.remedy


# ---- A plane that answers garbage. ----


def answer(body: bytes, *lines: str, status: str = "200 OK", length: str = "") -> bytes:
    said = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {length or len(body)}", *lines])
    return said.encode() + b"\r\n\r\n" + body


BOMB = gzip.compress(bytes(20_000_000))
DEEP = b'{"x":' + b"[" * 200_000 + b"]" * 200_000 + b"}"
ORDERS = b'{"orders":{"payload":"%s","payloadType":"x","signatures":[]}}'
GARBAGE = {
    "nothing": b"",
    "random": random.Random(1).randbytes(3_000),
    "zeros": bytes(3_000),
    "html": PORTAL,
    "redirect": MOVED,
    "huge header": answer(b"", "X: " + "x" * 100_000),
    "many headers": answer(b"", *("X: x" for _ in range(20_000))),
    "header without a name": answer(b"", ": x"),
    "zero in a header": answer(b"", "X: \0"),
    "two lengths": answer(b"{}", "Content-Length: 7"),
    "negative length": answer(b"{}", length="-1"),
    "a length that is none": answer(b"{}", length="two"),
    "a length too large": answer(b"{}", length="99999999999999999999"),
    "cut short": answer(b'{"known":', length="500"),
    "no json": answer(b"OK"),
    "no utf-8": answer(b'{"known":"\xff\xfe"}'),
    "wrong json": answer(b'{"known":-1}'),
    "another json": answer(b"[]"),
    "deep json": answer(DEEP),
    "deep problem": answer(DEEP, status="403 No"),
    "wrong orders": answer(ORDERS % b"e30="),
    "too large": answer(b" " * (tls.LARGEST_ANSWER + 1)),
    "packed": answer(BOMB, "Content-Encoding: gzip"),
    "packed and not so": answer(b"{}", "Content-Encoding: br"),
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    "chunk of no length": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
    "chunk too large": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nx",
    "chunks of chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "to be continued": b"HTTP/1.1 100 Continue\r\n\r\n" * 1_000,
    "another protocol": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nx",
    "a status that is none": b"HTTP/1.1 99999 ?\r\nContent-Length: 0\r\n\r\n",
    "no status": b"HTTP/1.1  \r\n\r\n",
    "http 0.9": b"hello",
    "http 2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "cookies": answer(b"", "Set-Cookie: a=b; Expires=\xff", "Set-Cookie: =", "Set-Cookie: [;]", status="204 No"),
    "times": answer(b"", f"{time.HEADER}: {'9' * 400}.x", status="204 No"),
    "other digits": answer(b"", f"{exchange.NEXT}: ²", status="204 No"),
    "a next that is far": answer(b"", f"{exchange.NEXT}: {'9' * 5_000}", status="204 No"),
    "wait for ever": answer(b"{}", f"Retry-After: {'9' * 5_000}", status="429 No"),
}


@told
async def test_a_plane_that_answers_garbage_is_named_and_harms_nothing(tmp_path: Path) -> None:
    async with far(tmp_path, QUICK) as met, proxy.rogue(met.device.plane, tmp_path) as liar:
        device = met.device
        attempt = device.order(small.quick(2))
        await met.dials(liar.address, QUICK)
        believed = device.parts.believed.trusted
        at = device.position
        for name, said in GARBAGE.items():
            liar.says = said
            device.parts.shared.silent = None
            await met.goes_on(1)
            assert "defect" not in str(device.parts.shared.silent), name
            assert device.position == at, name
        assert device.parts.believed.trusted == believed
        assert device.runs == met.before
        await met.dials(met.way.address, PATIENCE)
        await met.unharmed(attempt)


@told
async def test_garbage_in_place_of_what_people_signed_is_never_believed(tmp_path: Path) -> None:
    async with far(tmp_path, QUICK) as met:
        device, attempts = met.device, list[str]()
        for number, (spoil, body) in enumerate(
            (spoil, body) for spoil in (_metadata, _manifest, _blobs) for body in (b"", b"[]", b"x" * 5_000, DEEP)
        ):
            made = small.quick(number + 2)
            attempts.append(device.order(made))
            spoil(device, made, body)
            trusted = device.parts.believed.trusted
            await met.goes_on(8)
            assert spoil is not _metadata or device.parts.believed.trusted == trusted
            device.estate.publish()
        await met.unharmed(device.order(small.quick(50)))
        assert not {attempt for attempt in attempts if device.position.ended.get(attempt) is State.COMMITTED}


def _metadata(device: Device, _: Made, body: bytes) -> None:
    device.plane.metadata.update(dict.fromkeys(device.plane.metadata, body))


def _manifest(device: Device, made: Made, body: bytes) -> None:
    device.plane.manifests[made.digest] = body


def _blobs(device: Device, made: Made, body: bytes) -> None:
    device.plane.blobs = {**device.plane.blobs, **dict.fromkeys(made.blobs, body)}


# ---- The link alone. ----

Asking = Callable[[Tls], Coroutine[Any, Any, object]]


async def _whole(link: Tls) -> bytes:
    return b"".join([piece async for piece in link.blob(DIGEST, 10)])


QUESTIONS: dict[str, Asking] = {
    "exchange": lambda link: link.exchange(REPORT, 0),
    "timestamp": lambda link: link.metadata("timestamp", 0),
    "manifest": lambda link: link.manifest(DIGEST),
    "values": lambda link: link.values(DIGEST),
    "blob": _whole,
    "time": lambda link: link.time(),
    "renewal": lambda link: link.renew(b"{}"),
    "file": lambda link: link.put("0" * 26, DIGEST, io.BytesIO(b"{}"), 2),
    "joining": lambda link: link.join(b"{}"),
    "about": lambda link: link.about(),
}


class Nonsense:
    """A link to somebody who says what one likes, in a loop that goes on from one example to the next."""

    def __init__(self, loop: asyncio.AbstractEventLoop, liar: Rogue, link: Tls) -> None:
        self._loop, self._liar, self._link = loop, liar, link

    def hears(self, question: str, said: bytes, *, hangs: bool = False) -> object:
        """Return what the link makes of it: a value, or the error it raised, if it is one of ours."""
        return self._loop.run_until_complete(self._ask(question, said, hangs=hangs))

    async def _ask(self, question: str, said: bytes, *, hangs: bool) -> object:
        self._liar.says, self._liar.hangs = said, hangs
        try:
            return await QUESTIONS[question](self._link)
        except CheckvalveError as error:
            return error


def named_well(heard: object) -> bool:
    """Tell whether it is no error, or one with a code and a sentence, and its layer if it is of the link."""
    if not isinstance(heard, CheckvalveError):
        return True
    of_link = heard.code.startswith("link.")
    return bool(heard.code and heard.sentence) and (not of_link or heard.facts["layer"] in {"route", "tls", "plane"})


@pytest.fixture(scope="module")
def nonsense(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nonsense]:
    loop = asyncio.new_event_loop()
    after = AsyncExitStack()
    estate = Estate()
    who = estate.device()
    liar = loop.run_until_complete(
        after.enter_async_context(proxy.rogue(estate.plane, tmp_path_factory.mktemp("liar")))
    )
    link = Tls((liar.address,), who.ca, who.pair(), patience=Patience(connect=5.0, answer=0.2, stall=0.2))
    after.push_async_callback(link.close)
    yield Nonsense(loop, liar, link)
    loop.run_until_complete(after.aclose())
    loop.close()


@pytest.mark.parametrize("question", QUESTIONS)
def test_garbage_of_every_kind_is_an_error_with_a_sentence_or_what_was_said(nonsense: Nonsense, question: str) -> None:
    for name, said in GARBAGE.items():
        heard = nonsense.hears(question, said)
        assert named_well(heard), name
        if isinstance(heard, bytes):
            assert heard in said, name  # as it came: nothing was unpacked, and the digest will say
        elif question == "exchange":
            assert isinstance(heard, CheckvalveError) or name in HARMLESS, name


HARMLESS = {"cookies", "times", "other digits", "a next that is far", "packed and not so"}


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\n", answer(b"", length="9"), answer(b"{}", length="900")])
def test_an_answer_that_stops_halfway_is_given_up(nonsense: Nonsense, said: bytes) -> None:
    heard = nonsense.hears("exchange", said, hangs=True)
    assert isinstance(heard, CheckvalveError)
    assert heard.code == "link.unreachable"
    assert "in time" in heard.sentence


@st.composite
def spoiled(draw: st.DrawFn) -> bytes:
    """Return what a plane might have answered, with some bytes of it changed, gone, or put in."""
    kinds = (b"{}", b'{"known":7,"tell":true,"receipts":["%s"]}' % (b"a" * 64), ORDERS % b"e30=", PROBLEM)
    body = draw(st.sampled_from(kinds))
    headers = draw(st.lists(st.sampled_from(HEADERS), max_size=3))
    whole = answer(body, *headers, status=draw(st.sampled_from(STATUSES)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(whole)))
        whole = whole[:at] + draw(st.binary(max_size=8)) + whole[at + draw(st.integers(0, 8)) :]
    return whole


PROBLEM = b'{"title":"no","status":403,"detail":"Gone.","code":"device.retired","facts":{"retry_after":3}}'
STATUSES = (
    "200 OK",
    "201 Made",
    "204 No",
    "206 Part",
    "302 Go",
    "401 Who",
    "403 No",
    "404 None",
    "416 Off",
    "429 Slow",
)
HEADERS = (
    "Transfer-Encoding: chunked",
    "Content-Encoding: gzip",
    "Content-Range: bytes 10-20/30",
    "Connection: close",
    "Retry-After: 9",
    "Location: //",
    f"{exchange.NEXT}: 60",
    f"{time.HEADER}: 1.AAAA",
    "Set-Cookie: a=b",
)


@settings(max_examples=120)
@given(question=st.sampled_from(sorted(QUESTIONS)), said=st.one_of(st.binary(max_size=300), spoiled()))
def test_whatever_bytes_come_the_link_raises_errors_of_ours_only(
    nonsense: Nonsense, question: str, said: bytes
) -> None:
    heard = nonsense.hears(question, said)
    assert isinstance(heard, CheckvalveError | Replied | bytes | str | None)
    assert named_well(heard)
