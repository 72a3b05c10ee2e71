# SPDX-License-Identifier: Apache-2.0
"""Which release does this text name, and what do people read of one?"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from checkvalve import ids
from checkvalve.cli import output, times
from checkvalve.cli.invocation import Invocation
from checkvalve.cli.progress import duration
from checkvalve.errors import ConflictError, NotFoundError
from checkvalve.protocol import rights as reach
from checkvalve.protocol import supply, workload

DIGITS = 12  # of a digest or a key's id: what lists show of it
NO_RIGHTS = "nothing beyond its containers"
_RIGHTS: Mapping[reach.Kind, str] = {
    "privileged": "all rights over the device",
    "host-root": "all files of the device",
    "engine-socket": "command of the engine that runs it",
    "host-network": "the device's own network, as if it ran outside a container",
    "capability": "the capability",
    "device": "the device",
    "host-path": "files of the device",
    "interface": "an address of its own on the interface",
    "sysctl": "the setting of its kernel",
    "group": "the group",
}


def release(run: Invocation, text: str) -> supply.Release:
    """Return the release that an id, `name@version` or `name@sha256:...` names.

    What was discarded counts only where nothing else has the name. Raises `NotFoundError` (`release.unknown`),
    `ConflictError` (`release.ambiguous`).
    """
    tidy = text.strip()
    if ids.well_formed(tidy.lower()):
        return run.plane.get(f"/api/v1/releases/{tidy.lower()}", supply.Release)
    name, _, which = tidy.partition("@")
    place = {"scope": run.within()} if run.flags.scope else {}
    every = run.every("/api/v1/releases", supply.Release, "before", name=name, **place)
    found = [one for one in every if one.name == name and which in {one.version, one.digest}]
    found = [one for one in found if one.state != "discarded"] or found[:1]
    if len(found) == 1:
        return found[0]
    if found:
        listed = [f"{one.id}  {run.called(one.scope)}" for one in found]
        remedy = "\n".join(["Say --scope, or give the id:", *listed])
        raise ConflictError("release.ambiguous", f"{text!r} names {len(found)} releases.", remedy)
    near = [f"{one.name}@{one.version}" for one in every if one.name == name and one.state != "discarded"][:10]
    remedy = "\n".join(["There are:", *near]) if near else "`checkvalve release list` shows them: name@version."
    raise NotFoundError("release.unknown", f"No release that you may see is called {text!r}.", remedy)


def open_draft(run: Invocation) -> supply.Draft | None:
    """Return the draft that waits for signatures, if there is one that this person may see."""
    found = run.every("/api/v1/drafts", supply.Draft, "before", state="open")
    return found[0] if found else None


def required_draft(run: Invocation) -> supply.Draft:
    """Return the draft that waits for signatures; `NotFoundError` (`draft.not_found`)."""
    found = open_draft(run)
    if found is None:
        raise NotFoundError(
            "draft.not_found",
            "No draft waits for signatures.",
            "`checkvalve release create FILE` opens one; so do withdraw, floor and renew.",
        )
    return found


def short(digest: str) -> str:
    """Return a digest or a key's id as lists have it."""
    return digest.removeprefix("sha256:")[:DIGITS]


def state(one: supply.Release) -> str:
    """Return what may be done with a release."""
    return f"{one.state}, below the floor" if one.below_floor else one.state


def pairs(run: Invocation, one: supply.Release) -> list[tuple[str, str]]:
    """Return what to show of a release."""
    return [
        ("name", one.name),
        ("version", f"{one.version}  (number {one.number} of its line)"),
        ("state", state(one)),
        ("ref", one.ref),
        ("id", one.id),
        ("scope", f"{run.called(one.scope)}  {one.scope}"),
        ("made by", f"{run.login(one.made_by)}, {times.short(one.made_at)}"),
        ("changed", times.short(one.changed_at)),
    ]


def images(manifest: workload.Manifest) -> list[tuple[str, str, str, str]]:
    """Return service, image, config digest and platform of all that a manifest runs."""
    return [
        (name, manifest.images[one.image].name, short(one.image), manifest.images[one.image].platform)
        for name, one in sorted(manifest.services.items())
    ]


def gate(manifest: workload.Manifest) -> str:
    """Return what a device must see before it keeps a release."""
    wanted = manifest.gate
    restarts = f"at most {wanted.max_restarts} restarts" if wanted.max_restarts else "no restart"
    grace, soak = duration(wanted.start_grace_ms / 1000), duration(wanted.soak_ms / 1000)
    return f"after {grace} healthy, and so for {soak}, with {restarts}"


def volumes(manifest: workload.Manifest) -> str:
    """Return the data that outlives a container, and what a rollback does with it."""
    return ", ".join(f"{name} ({one.policy})" for name, one in sorted(manifest.volumes.items()))


def rights(manifest: workload.Manifest) -> list[str]:
    """Return what a release may do on the device beyond its containers, a line each; the grave first, and marked."""
    return [f"{'!' if one.grave else ' '} {_right(one)}" for one in reach.rights(manifest)]


def _right(one: reach.Right) -> str:
    what = f" {one.what}" if one.what else ""
    return f"{one.service or 'any service, if a value says so'}: {_RIGHTS[one.kind]}{what}"


def differences(found: Sequence[supply.Difference]) -> None:
    """Print what differs between two releases."""
    output.table(("WHAT", "BEFORE", "AFTER"), [(one.path, one.before or "-", one.after or "-") for one in found])


def signed(run: Invocation, one: supply.Draft) -> Iterable[tuple[str, str]]:
    """Yield who has signed a draft, and who may still."""
    yield "signatures", f"{len(one.signatures)} of {one.needed}"
    given = {each.keyid for each in one.signatures}
    for each in one.signatures:
        yield "signed", f"{short(each.keyid)}  {run.login(each.person)}, {times.short(each.at)}"
    if one.state == "open":
        for keyid in one.keyids:
            if keyid not in given:
                yield "may sign", short(keyid)


def draft(run: Invocation, one: supply.Draft, tell: Callable[[str], None]) -> None:
    """Tell what a draft changes, and how far it is."""
    changes: list[tuple[str, str]] = [
        (each.kind, f"{each.sentence}  ({each.reason})" if each.reason else each.sentence) for each in one.changes
    ]
    output.fields(
        [
            ("id", one.id),
            ("state", one.state),
            ("scope", f"{run.called(one.scope)}  {one.scope}"),
            ("list", f"version {one.version}, until {times.short(one.expires)}"),
            ("digest", one.digest),
            *(changes or [("changes", "none: the list is renewed as it is")]),
            *signed(run, one),
            ("opened by", f"{run.login(one.made_by)}, {times.short(one.made_at)}"),
        ],
        tell,
    )
