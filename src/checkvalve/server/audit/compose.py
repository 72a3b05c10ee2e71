# SPDX-License-Identifier: Apache-2.0
"""What are the final bytes of an entry? Canonical JSON, at most 65,535 bytes (C2SP tlog-tiles, entry bundles).

Rules: 1. nothing that came from outside may make recording fail, so text that has no UTF-8 form is replaced, and facts
that are too large give way to their digest and size; 2. times are RFC 3339 in UTC with milliseconds; 3. the order of
names is the canonical one, so equal acts have equal bytes.
"""

from collections.abc import Mapping
from datetime import UTC, datetime

from checkvalve import canonical
from checkvalve.canonical import Json
from checkvalve.crypto import digests
from checkvalve.server.audit.model import Act, Kind

LARGEST = 65_535
VERSION = 1
_TEXT = 2_000  # characters of any one text of the envelope


def compose(act: Act, kind: Kind, action: str, subject: str, scope: str, facts: Mapping[str, Json]) -> bytes:
    """Return the bytes to keep. `facts` hold no secrets: callers name what changed, before and after."""
    entry: dict[str, Json] = {
        "action": action,
        "actor": {"id": _clean(act.actor.id), "kind": act.actor.kind, "name": _clean(act.actor.name)},
        "address": _clean(act.address),
        "at": rfc3339(act.at),
        "bindings": list(act.bindings),
        "facts": _cleaned(facts),
        "id": act.id,
        "kind": kind.value,
        "reason": _clean(act.reason),
        "request": _clean(act.request),
        "scope": _clean(scope),
        "subject": _clean(subject),
        "v": VERSION,
    }
    data = canonical.dumps(entry)
    if len(data) <= LARGEST:
        return data
    whole = canonical.dumps(entry["facts"])
    entry["facts"] = {"too_large": {"bytes": len(whole), "sha256": digests.sha256_hex(whole)}}
    data = canonical.dumps(entry)
    if len(data) > LARGEST:  # hundreds of bindings: name how many and which, by digest
        every = canonical.dumps(entry["bindings"])
        entry["bindings"] = [f"{len(act.bindings)} bindings, sha256 {digests.sha256_hex(every)}"]
        data = canonical.dumps(entry)
    return data


def rfc3339(moment: datetime) -> str:
    """Return `2026-11-03T14:02:00.123Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _clean(text: str) -> str:
    return text[:_TEXT].encode("utf-8", "replace").decode()


def _cleaned(value: Json, depth: int = 0) -> Json:
    if depth > canonical.DEPTH // 2:
        return "nested too deep to record"
    match value:
        case str():
            return value.encode("utf-8", "replace").decode()
        case Mapping():
            return {_clean(str(name)): _cleaned(item, depth + 1) for name, item in value.items()}
        case list() | tuple():
            return [_cleaned(item, depth + 1) for item in value]
        case int() if abs(value) > canonical.LARGEST:
            return str(value)
        case _:
            return value
