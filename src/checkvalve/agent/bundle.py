# SPDX-License-Identifier: Apache-2.0
"""A support bundle: all that helps somebody elsewhere understand this device, and nothing that would let them be it.

Rules: 1. no key, no values and no secret goes in: files are named one by one, never a folder; 2. every text is masked
by every secret of this device, and what an environment variable or label holds whose name sounds like a secret goes
whatever it is; 3. it has a bound, and what does not fit is left out by name; 4. its manifest has the SHA-256 of every
file, so that a cut copy is known; 5. what cannot be had now, for the engine is silent, is said in it.
"""

import asyncio
import gzip
import io
import json
import re
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from checkvalve.agent.hidden import Hidden
from checkvalve.agent.ports import Engine
from checkvalve.agent.steps import Container, Observed
from checkvalve.crypto import digests
from checkvalve.errors import CheckvalveError
from checkvalve.protocol.exchange import Event

LARGEST = 20 << 20  # bytes
LINES = 200  # of each service
LOG_BYTES = 256 * 1024  # of each service
MOST_EVENTS = 2_000
PATIENCE = 60.0  # seconds for all that the engine says
MASKED = "[masked]"

_SECRET = re.compile(
    r"pass|pwd|secret|token|credential|auth|cookie|private|(?:^|[^a-z])(?:key|pin|pw)(?:$|[^a-z])|key$", re.IGNORECASE
)
_IN_ADDRESS = re.compile(r"(://[^/@\s:\"]*):[^/@\s\"]+@")  # scheme://user:password@host
_ROOM = 256 * 1024  # bytes for the manifest and the archive's own


@dataclass(frozen=True)
class Source:
    """What a bundle is made of. `said` are files that are ready, by name; `engine` None: there is none to ask."""

    said: Mapping[str, Any]
    events: Sequence[Event]
    engine: Engine | None
    observed: Observed | None
    hidden: Hidden


async def made(source: Source) -> bytes:
    """Return the bundle, a gzipped tar."""
    files = {f"{name}.json": _json(value, source.hidden) for name, value in source.said.items()}
    lines = (msgspec.json.encode(each).decode() for each in source.events[-MOST_EVENTS:])
    files["journal.jsonl"] = _safe("\n".join(lines) + "\n", source.hidden)
    files |= await _of_engine(source)
    return await asyncio.to_thread(pack, files)  # the work goes on meanwhile


def pack(files: Mapping[str, bytes]) -> bytes:
    """Return the archive of these files with its manifest; what does not fit is left out by name (rules 3 and 4)."""
    kept, left_out, room = dict[str, bytes](), list[str](), LARGEST - _ROOM
    for name, data in sorted(files.items(), key=lambda item: len(item[1])):
        if len(data) + 1_024 > room:
            left_out.append(name)
            continue
        kept[name], room = data, room - len(data) - 1_024
    listed = {name: {"sha256": digests.sha256_hex(data), "size": len(data)} for name, data in sorted(kept.items())}
    manifest = json.dumps({"files": listed, "left_out": sorted(left_out)[:1_000]}, indent=1).encode()
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as archive:
        for name, data in {"manifest.json": manifest, **dict(sorted(kept.items()))}.items():
            entry = tarfile.TarInfo(f"support/{name}")
            entry.size, entry.mode = len(data), 0o600
            archive.addfile(entry, io.BytesIO(data))
    return gzip.compress(whole.getvalue(), mtime=0)


def plain(inspected: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an engine says of a container, with what sounds like a secret masked (rule 2)."""
    return dict(_without(inspected))


def secretive(name: str) -> bool:
    """Tell whether a name sounds as if what it stands for were a secret. Too often is better than too seldom."""
    return _SECRET.search(name) is not None


def _without(value: Any) -> Any:  # noqa: ANN401  # JSON of the engine
    """Return it with what stands under a name that sounds like a secret masked, at any depth."""
    if isinstance(value, Mapping):
        return {
            str(key): MASKED if isinstance(each, str) and each and secretive(str(key)) else _without(each)
            for key, each in value.items()
        }
    return _words(value) if isinstance(value, list | tuple) else value


def _words(words: Sequence[Any]) -> list[Any]:
    """Return variables (`NAME=value`) and arguments (`--name value`, `--name=value`) with secrets masked."""
    found, flag = list[Any](), False
    for each in words:
        if not isinstance(each, str):
            found.append(_without(each))
            flag = False
            continue
        name, equals, value = each.partition("=")
        hides = equals and value and secretive(name)
        found.append(MASKED if flag else f"{name}={MASKED}" if hides else each)
        flag = each.startswith("-") and not equals and secretive(each)
    return found


async def _of_engine(source: Source) -> dict[str, bytes]:
    """Return what the engine has of each container: how it was made, and its last words (rule 5)."""
    files, trouble = dict[str, bytes](), list[str]()
    if source.engine is None or source.observed is None:
        return {"engine.txt": b"The engine was not asked.\n"}
    try:
        async with asyncio.timeout(PATIENCE):
            for each in source.observed.containers:
                files |= await _container(source.engine, each, source.hidden, trouble)
    except TimeoutError:
        trouble.append("The engine was too slow: what is not here was not had in time.")
    if trouble:
        files["engine.txt"] = _safe("\n".join(trouble) + "\n", source.hidden)
    return files


async def _container(engine: Engine, each: Container, hidden: Hidden, trouble: list[str]) -> dict[str, bytes]:
    name = re.sub(r"[^A-Za-z0-9._-]", "_", f"{each.service}-{each.attempt[-8:]}")[:100]
    try:
        inspected = plain(await engine.inspect(each.name))
        said = _safe(await engine.logs(each.name, LINES, LOG_BYTES), hidden, cut=True)
    except CheckvalveError as error:
        trouble.append(f"{each.name}: {error.sentence}  [{error.code}]")
        return {}
    return {f"containers/{name}.json": _json(inspected, hidden), f"logs/{name}.log": said}


def _json(value: Any, hidden: Hidden) -> bytes:  # noqa: ANN401  # whatever JSON takes
    return _safe(json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n", hidden)


def _safe(text: str, hidden: Hidden, *, cut: bool = False) -> bytes:
    """Return a text without the device's secrets, and without passwords in addresses (rule 2)."""
    return _IN_ADDRESS.sub(rf"\1:{MASKED}@", hidden.mask(text, cut=cut)).encode()
