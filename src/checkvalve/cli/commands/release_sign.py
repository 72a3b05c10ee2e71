# SPDX-License-Identifier: Apache-2.0
"""Putting one's name to what may run: `release sign`.

Rules: 1. what is shown is made here from the bytes to sign (`cli.signing`); 2. the published list that these are
compared with is the plane's word, unless --root says whom to believe; 3. the key is opened after the question, and only
the signature travels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated

import typer

from checkvalve import clock
from checkvalve.cli import files, output, passphrases, releases, signing
from checkvalve.cli.client import reference
from checkvalve.cli.commands import keys as key_commands
from checkvalve.cli.failures import UnverifiedError
from checkvalve.cli.invocation import Invocation, verb
from checkvalve.cli.releases import short
from checkvalve.cli.signing import List
from checkvalve.crypto import digests, keyfile, metadata, trustset
from checkvalve.errors import ConflictError, InvalidError, NotFoundError
from checkvalve.protocol import supply, workload

_INSTANT = timedelta(seconds=1)
_CHAIN = 1024  # roots that follow one another: more is no plane's life
Pinned = Annotated[
    str, typer.Option("--root", metavar="FILE", help="A root of trust you believe; the published list is proved by it.")
]


def register(group: typer.Typer) -> None:
    """Add the verb."""
    verb(group, "sign", "checkvalve release sign --key keys/targets.key")(sign)


@dataclass(frozen=True)
class Published:
    """The list that is published. With --root: who may sign the next, and whether today's root vouches for this one."""

    now: List
    signers: tuple[str, ...] | None = None
    vouched: bool = True


@dataclass(frozen=True)
class Asked:
    """A draft with the bytes to sign, and what they change."""

    draft: supply.Draft
    payload: bytes
    change: signing.Change


def sign(
    run: Invocation,
    *,
    key: Annotated[str, typer.Option("--key", metavar="FILE", help="Your own key file, NAME.key.")],
    passphrase_file: passphrases.File = "",
    draft: Annotated[str, typer.Option(metavar="ID", help="Which draft; the open one without.")] = "",
    root: Pinned = "",
) -> None:
    """Sign what waits for signatures, after reading what it is. The last signature needed publishes it."""
    sealed = files.read(key, keyfile.LARGEST)
    whose = keyfile.described(sealed)
    found = run.plane.get(f"/api/v1/drafts/{reference(draft)}", supply.Draft) if draft else releases.required_draft(run)
    published = _published(run, root)
    _may_sign(found, whose.keyid, whose.name, published.signers)
    asked = _asked(run, found, published.now)
    _show(run, asked, every=not published.vouched)
    run.agreed(f"Sign exactly this, as {whose.name}?")
    private = key_commands.opened(sealed, key, passphrase_file)  # rule 3
    made = metadata.sign(asked.payload, private)
    body = supply.NewSignature(digest=digests.sha256_hex(asked.payload), keyid=made.keyid, signature=made.signature)
    data = run.plane.raw("POST", f"/api/v1/drafts/{reference(found.id)}/signatures", body)
    run.show(data, supply.Draft, _signed, lambda one: one.state)


def _published(run: Invocation, root: str) -> Published:
    """Return the list that is published: as the plane says, or proved from `root` on (rule 2)."""
    if not root:
        file = _file(run, "targets.json")
        return Published(_list(file))
    try:
        return _proved(run, _chain(run, files.read(root, metadata.LARGEST)))
    except InvalidError as error:
        raise UnverifiedError(
            "trust.unproved",
            f"What the plane publishes is not proved by the root of trust you gave: {error.sentence}",
            "Do not sign. If people's keys were changed since the last list, give the root from before; else compare "
            "its digest with the other signers, and have the plane looked at.",
        ) from error


def _chain(run: Invocation, pinned: bytes) -> list[trustset.Trusted]:
    """Return trust in the pinned root, and in each that follows it."""
    chain = [trustset.begin(pinned)]
    while len(chain) < _CHAIN:
        following = _file(run, f"{chain[-1].root_version + 1}.root.json")
        if following is None:
            break
        chain.append(trustset.with_root(chain[-1], following))
    return chain


def _proved(run: Invocation, chain: Sequence[trustset.Trusted]) -> Published:
    now, root = clock.now(), chain[-1].root
    signers = next(one.keyids for one in metadata.roles(root) if one.name == metadata.TARGETS)
    timestamp = _file(run, "timestamp.json")
    if timestamp is None:
        return Published(signing.NOTHING, signers)
    trusted = trustset.with_timestamp(chain[-1], timestamp, now)
    trusted = trustset.with_snapshot(trusted, _wanted(run, trusted), now)
    targets = _wanted(run, trusted)
    # The timestamp proves that it is the newest. One that has run out must be renewed, and that is a signature.
    at = min(now, metadata.seen(targets).expires - _INSTANT)
    try:
        return Published(_list(trustset.with_targets(trusted, targets, at).targets), signers)
    except InvalidError as error:
        if error.code != "metadata.signature" or not any(_signed_under(each.root, targets) for each in chain[:-1]):
            raise
    return Published(_list(targets), signers, vouched=False)  # the people were changed since: all of it is shown


def _wanted(run: Invocation, trusted: trustset.Trusted) -> bytes:
    """Return the file that the last one names, by its version: the plane may go on in between."""
    role, version = trustset.wanted(trusted) or (metadata.TARGETS, 0)
    return _file(run, f"{version}.{role}.json") or b""


def _signed_under(root: bytes, targets: bytes) -> bool:
    role = next(one for one in metadata.roles(root) if one.name == metadata.TARGETS)
    given = metadata.signed_by(root, metadata.TARGETS, metadata.payload(targets), metadata.signatures(targets))
    return len(given) >= role.threshold


def _may_sign(draft: supply.Draft, keyid: str, name: str, signers: tuple[str, ...] | None) -> None:
    if draft.state != "open":
        raise ConflictError(
            "draft.closed", f"This draft is {draft.state} already.", "`checkvalve release draft` shows the open one."
        )
    if keyid not in draft.keyids or (signers is not None and keyid not in signers):
        raise InvalidError(
            "draft.signature",
            f"{name} ({short(keyid)}) is no key that the root of trust names for what may run.",
            "Sign with a key that `checkvalve trust show` lists under targets.",
        )
    if any(one.keyid == keyid for one in draft.signatures):
        raise ConflictError("draft.twice", f"{name} has signed this draft already.", "Others must sign now.")


def _asked(run: Invocation, draft: supply.Draft, before: List) -> Asked:
    payload = run.plane.document(f"/api/v1/drafts/{reference(draft.id)}/payload", supply.LARGEST_METADATA)
    return Asked(draft, payload, signing.change(before, signing.exact(payload, draft)))


def _show(run: Invocation, asked: Asked, *, every: bool) -> None:
    """Tell what would be signed, once it is what the plane says (rule 1)."""
    made = {
        each.release: run.plane.get(f"/api/v1/releases/{reference(each.release)}", supply.Release)
        for each in asked.draft.changes
    }
    signing.told(asked.change, asked.draft, made)
    manifests: dict[str, workload.Manifest] = {}
    for one in made.values():
        path = workload.target(one.scope, one.name, one.digest)
        if path in asked.change.added:
            data = run.plane.document(f"/api/v1/releases/{reference(one.id)}/manifest", workload.LARGEST)
            manifests[path] = signing.manifest(asked.change, one, data)
    for line in signing.lines(asked.change, asked.draft, manifests, run.called, every=every):
        if not run.flags.quiet:
            output.note(line)


def _signed(one: supply.Draft) -> None:
    if one.state == "published":
        output.say(f"Signed and published: list {one.version} is what may run now.")
        for each in one.changes:
            output.say(each.sentence)
        return
    given = {each.keyid for each in one.signatures}
    waiting = ", ".join(short(keyid) for keyid in one.keyids if keyid not in given)
    output.say(f"Signed: {len(one.signatures)} of {one.needed} signatures; still to come from: {waiting}")


def _file(run: Invocation, name: str) -> bytes | None:
    try:
        return run.plane.document(f"/api/v1/trust/{name}", supply.LARGEST_METADATA)
    except NotFoundError:
        return None


def _list(file: bytes | None) -> List:
    if file is None:
        return signing.NOTHING
    try:
        return signing.read(metadata.payload(file))
    except InvalidError as error:
        raise signing.differs("the published list cannot be read") from error
