# SPDX-License-Identifier: Apache-2.0
"""Networks that cannot be twice, and addresses that two containers want: simulated as Docker has it, and on Docker."""

import subprocess

import pytest

from checkvalve.agent import exclusive, steps
from checkvalve.agent.ports import Engine
from checkvalve.agent.steps import Ground, Slot
from checkvalve.errors import CheckvalveError
from checkvalve.protocol.workload import Attachment, Network, Port, TcpProbe
from tests.agent.engine import hosts, images
from tests.agent.engine.benches import Bench, RealBench, all_of, made, made_of, new_device, seen, slot

SUBNET, ADDRESS = "10.41.0.0/24", "10.41.0.9"


def plant(device: str, *, number: int = 1, published: int = 0, **said: str) -> tuple[Slot, images.Made]:
    """Return a release of one service with an address of its own on a network with a subnet of its own."""
    built = images.image(1)
    ports = (Port(target=80, published=published),) if published else ()
    web = images.service(
        built, command=("sleep", "100000"), networks=(Attachment(network="plant", ipv4=ADDRESS),), ports=ports
    )
    network = Network(**({"subnet": SUBNET} | said))  # type: ignore[arg-type]  # a test says what it needs
    release = hosts.release(built, {"web": web}, number, networks={"plant": network})
    return slot(device, release), release


async def refused(engine: Engine, step: steps.Step) -> str:
    with pytest.raises(CheckvalveError) as raised:
        await engine.do(step)
    assert raised.value.code == "engine.refused"
    return raised.value.sentence


def test_subnets_that_overlap_are_refused_and_shown_for_what_they_take(bench: Bench) -> None:
    device = new_device()
    of, release = plant(device)
    wider = Network(subnet="10.41.0.0/16")

    async def story() -> None:
        engine = bench.engine(device, release.blobs)
        await made(engine, of)
        found = await engine.observe()
        assert Ground(of.network("plant"), (SUBNET,)) in found.grounds
        words = await refused(engine, steps.MakeNetwork(f"{device}-wider", internal=False, definition=wider))
        assert not bench.real or "overlaps" in words or "already used" in words
        assert (await engine.observe()).networks == found.networks
        await all_of(engine, steps.Remove(of.container("web")), steps.DropNetwork(of.network("plant")))
        await engine.do(steps.MakeNetwork(f"{device}-wider", internal=False, definition=wider))
        await engine.do(steps.DropNetwork(f"{device}-wider"))
        await engine.close()

    bench.run(story)


def test_one_address_and_one_port_are_taken_by_who_runs_and_not_by_who_is_there(bench: Bench) -> None:
    """So a switch may make its containers while the old ones run, and has to stop those before it starts any."""
    device = new_device()
    (old, release), (new, _) = plant(device, published=18_551), plant(device, number=2, published=18_551)

    async def story() -> None:
        engine = bench.engine(device, release.blobs)
        await made(engine, old, start=True)
        await all_of(engine, *made_of(new))
        assert await refused(engine, steps.Start(new.container("web")))
        await engine.do(steps.Stop(old.container("web"), 1_000))
        await engine.do(steps.Start(new.container("web")))
        assert (await seen(engine, new.container("web"))).state == "running"
        assert await refused(engine, steps.Start(old.container("web")))
        for each in (old, new):
            await engine.do(steps.Remove(each.container("web")))
        await engine.do(steps.DropNetwork(new.network("plant")))
        await engine.close()

    bench.run(story)


def test_a_network_goes_unless_something_runs_on_it_and_who_was_on_it_is_seen_to_be_off(bench: Bench) -> None:
    device = new_device()
    of, release = plant(device)
    web, network = of.container("web"), of.network("plant")

    async def story() -> None:
        engine = bench.engine(device, release.blobs)
        await made(engine, of, start=True)
        assert (await seen(engine, web)).networks == frozenset({network})
        assert await refused(engine, steps.DropNetwork(network))
        assert (await seen(engine, web)).state == "running"
        await all_of(engine, steps.Stop(web, 1_000), steps.DropNetwork(network), steps.DropNetwork(network))
        found = await engine.observe()
        assert (found.networks, found.grounds) == (frozenset(), frozenset())
        assert (await seen(engine, web)).networks == frozenset()
        await all_of(engine, *made_of(of))
        if (await seen(engine, web)).networks != frozenset({network}):  # Podman goes by the name
            assert "not found" in await refused(engine, steps.Start(web))
            await all_of(engine, steps.Remove(web), steps.Create(of, "web"))
        await engine.do(steps.Start(web))
        await all_of(engine, steps.Remove(web), steps.DropNetwork(network))
        await engine.close()

    bench.run(story)


# ---- On an interface of the host: only on a real engine. ----


def on_an_interface(real: RealBench, *, alone: bool = True) -> None:
    """Have a container on macvlan, with an interface that is no more than a pair of ends."""
    for words in ("add plant0 type veth peer name plant1", "set plant0 up", "set plant1 up"):
        assert real.docker.inside("ip", "link", *words.split()).wait() == 0
    device = new_device()
    of, release = plant(device, driver="macvlan", parent="plant0")
    web = of.container("web")
    other = Network(driver="macvlan", parent="plant0", subnet="10.42.0.0/24")

    async def story() -> None:
        engine = real.engine(device, release.blobs)
        await made(engine, of, start=True)
        assert exclusive.ground(of.network("plant"), of.manifest.networks["plant"]) in (await engine.observe()).grounds
        said = await engine.probe(web, TcpProbe(port=80, timeout_ms=1_000))
        assert "probe it by a command" in said
        if alone:
            assert await refused(engine, steps.MakeNetwork(f"{device}-other", internal=False, definition=other))
        nowhere = Network(driver="macvlan", parent="plant7", subnet="10.43.0.0/24")
        words = await refused(engine, steps.MakeNetwork(f"{device}-none", internal=False, definition=nowhere))
        assert "needs the interface plant7 of this device" in words
        await all_of(engine, steps.Stop(web, 1_000), steps.DropNetwork(of.network("plant")))
        await engine.do(steps.Remove(web))
        await engine.close()

    real.run(story)
    assert real.docker.inside("ip", "link", "delete", "plant0", output=subprocess.DEVNULL).wait() == 0


@pytest.mark.real_parts
@pytest.mark.slow
def test_a_container_on_an_interface_of_the_host_has_it_for_this_network_alone(real: RealBench) -> None:
    on_an_interface(real)
