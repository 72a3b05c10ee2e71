# SPDX-License-Identifier: Apache-2.0
"""Volumes of both engines for people: a copy is taken while one is used, and one goes only when nothing uses it."""

import io
import tarfile

import pytest

from checkvalve.agent import steps
from checkvalve.agent.ports import Engine
from checkvalve.errors import CheckvalveError
from tests.agent.engine import images
from tests.agent.engine.benches import Bench, made, new_device, slot


async def _exported(engine: Engine, volume: str) -> dict[str, str]:
    data = b"".join([piece async for piece in engine.export(volume, "data")])
    assert data.endswith(bytes(1024))
    with tarfile.open(fileobj=io.BytesIO(data)) as found:
        files = {each.name: found.extractfile(each) for each in found if each.isfile()}
        return {name: file.read().decode().strip() for name, file in files.items() if file is not None}


async def _code(engine: Engine, step: steps.Step) -> str:
    try:
        await engine.do(step)
    except CheckvalveError as error:
        return error.code
    return ""


def test_a_volume_is_weighed_taken_away_and_dropped(bench: Bench) -> None:
    device, release = new_device(), images.data(1)
    old = slot(device, release)
    new = slot(device, release, copies={"data": old.volumes["data"]})
    source, target, [image] = old.volumes["data"], new.volumes["data"], list(old.manifest.images)

    async def story() -> None:
        engine, stranger = bench.engine(device, release.blobs), bench.engine(new_device(), release.blobs)
        await made(engine, old)
        await engine.do(steps.Start(old.container("web")))
        await engine.do(steps.CopyVolume(source, target, image))
        sizes = await engine.sizes()
        assert sizes.keys() == {source, target}
        assert sizes[source] > 0
        assert engine.copied.keys() == {target}
        assert engine.copied[target] > 0
        for volume in (source, target):
            assert await _exported(engine, volume) == {"data/number": "1"}
        observed = await engine.observe()
        assert [each.state for each in observed.containers] == ["running"], "what reads a volume is not seen"
        assert await stranger.sizes() == {}
        for other, volume in ((stranger, source), (engine, f"{source}-nothing")):
            with pytest.raises(CheckvalveError) as refused:
                await _exported(other, volume)
            assert refused.value.code == "volume.not_found"

        half = engine.export(target, "data")
        await anext(half)
        await half.aclose()  # type: ignore[attr-defined]  # who takes it leaves
        assert await _code(engine, steps.DropVolume(target, "")) == ""
        assert await _code(engine, steps.DropVolume(target, "")) == ""
        assert (await engine.observe()).volumes == {source}
        await made(engine, new)  # its container awaits a copy, which never comes
        assert (await engine.observe()).halves == {target}
        await engine.do(steps.Remove(new.container("web")))
        assert await _code(engine, steps.DropVolume(target, "")) == ""
        assert (await engine.observe()).halves == set()
        await engine.do(steps.Stop(old.container("web"), 0))
        assert await _code(engine, steps.DropVolume(source, "")) == "engine.refused"
        assert await _exported(engine, source) == {"data/number": "1"}
        await engine.do(steps.Remove(old.container("web")))
        assert await _code(stranger, steps.DropVolume(source, "")) in ("", "engine.foreign")
        assert (await engine.observe()).volumes == {source}
        for each in (engine, stranger):
            await each.close()

    bench.run(story)
