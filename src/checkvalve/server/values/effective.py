# SPDX-License-Identifier: Apache-2.0
"""What does each name that a release declares get on a device, and what has it there now?

Rules: 1. what is set comes before the release's own default; 2. what runs is what the device was given with the release
it runs, and where that said nothing, that release's default; 3. a secret is told by its version, never by its text.
"""

from collections.abc import Mapping

from checkvalve.protocol.values import Values
from checkvalve.protocol.workload import Manifest
from checkvalve.server.values import fit
from checkvalve.server.values.model import Bound, Effective, Entry, Kind


def rows(manifest: Manifest, bound: Bound, running: Manifest | None, given: Values | None) -> list[Effective]:
    """Return a row for each name, variables first; `running` and `given` are what runs there, None for nothing."""
    has = {} if running is None else _has(running, given)
    lacks = {(lack.kind, lack.name): lack.sentence for lack in bound.lacks}
    found = []
    for what, (kind, name, default) in fit.declares(manifest).items():
        entry = bound.entries.get(what)
        found.append(
            Effective(
                kind,
                name,
                value=default if entry is None else _told(entry),
                runs=has.get(what),
                place="" if entry is None else entry.place,
                entry=entry,
                default=entry is None and default is not None,
                lack=lacks.get((kind, name), ""),
            )
        )
    return found


def _told(entry: Entry) -> str:
    return entry.id if entry.key.kind is Kind.SECRET else fit.text(entry)


def _has(manifest: Manifest, given: Values | None) -> Mapping[str, str | None]:
    texts: dict[Kind, Mapping[str, str]] = {kind: {} for kind in Kind}
    if given is not None:
        texts[Kind.VARIABLE], texts[Kind.FILE] = given.variables, given.files
        texts[Kind.SECRET] = {name: sealed.version for name, sealed in given.secrets.items()}
    return {what: texts[kind].get(name, default) for what, (kind, name, default) in fit.declares(manifest).items()}
