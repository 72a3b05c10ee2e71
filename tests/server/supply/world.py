# SPDX-License-Identifier: Apache-2.0
"""An organisation with images, signers with keys of their own, and a root of trust, in a real database."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from checkvalve.crypto import keys, metadata
from checkvalve.ids import DraftId, ImageId, PersonId, ReleaseId
from checkvalve.server.audit.model import PLANE, Act
from checkvalve.server.supply import actions, queries
from checkvalve.server.supply import draft as drafts
from checkvalve.server.supply.composed import Asked, Prepared
from checkvalve.server.supply.model import Anchor, Blob, Draft, Found, Image, Release
from tests.server.rollouts import world

AMD, ARM = "linux/amd64", "linux/arm64/v8"
LAYER = "application/vnd.oci.image.layer.v1.tar"


def digest(text: str) -> str:
    """Return the digest of a text: of any blob that only has to differ."""
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def blob(text: str, size: int = 1_000) -> Blob:
    """Return a blob that is no layer."""
    return Blob(digest(text), size, "application/json")


def found(*names: str, content: str = "", platform: str = AMD, layers: Sequence[str] = ("base", "app")) -> Found:
    """Return an image as an archive brings it; its identity is its content, the first name if nothing else is said."""
    content = f"{content or names[0]} for {platform}"
    return Found(
        names=names,
        platform=platform,
        config=blob(f"config of {content}", 500),
        manifest=blob(f"manifest of {content}", 300),
        layers=tuple(Blob(digest(f"layer {one}"), 10_000, LAYER, digest(f"unpacked {one}")) for one in layers),
    )


def source(name: str = "press-line", version: str = "1", image: str = "historian:2.4", port: int = 8080) -> bytes:
    """Return a compose file."""
    return (
        f"name: {name}\n"
        "services:\n"
        "  web:\n"
        f"    image: {image}\n"
        f"    ports: ['{port}:80']\n"
        "x-checkvalve:\n"
        f"  version: '{version}'\n"
    ).encode()


@dataclass
class World(world.World):
    """The organisation of rollouts, another one, three signers of whom two must sign, and the plane's own key."""

    online: keys.PrivateKey = field(default_factory=keys.make)
    masters: list[keys.PrivateKey] = field(default_factory=lambda: [keys.make(), keys.make()])
    signers: dict[PersonId, keys.PrivateKey] = field(default_factory=dict)
    foreign: str = ""
    maker: PersonId = field(init=False)

    def __post_init__(self) -> None:
        """Make scopes and people; the root of trust and images come when a test asks for them."""
        super().__post_init__()
        self.foreign = self.place("/", "organisation")
        self.maker = self.person()
        self.signers = {self.person(): keys.make() for _ in range(3)}

    def root(
        self,
        version: int = 1,
        *,
        needed: int = 2,
        targets: Sequence[keys.PrivateKey] = (),
        days: int = 365,
        online: keys.PrivateKey | None = None,
        by: Sequence[keys.PrivateKey] = (),
    ) -> bytes:
        """Return a root of trust, signed by both masters."""
        payload = metadata.new_root(
            version=version,
            expires=self.now + timedelta(days=days),
            root=[key.public_key() for key in self.masters],
            root_threshold=2,
            targets=[key.public_key() for key in targets or self.signers.values()],
            targets_threshold=needed,
            online=(online or self.online).public_key(),
        )
        return metadata.assemble(payload, [metadata.sign(payload, key) for key in by or self.masters])

    def install(self, root: bytes | None = None) -> Anchor:
        """Give the plane a root of trust."""
        data = self.root() if root is None else root
        return self.database.write_now("trust.root", actions.trust_root, self.act(self.maker), data, self.online)

    def refresh(self) -> Anchor:
        """Sign snapshot and timestamp anew, as the plane does by itself."""
        act = Act(id=self.act(self.maker).id, at=self.now, actor=PLANE)
        return self.database.write_now("trust.refresh", actions.refresh, act, self.online)

    def bring(self, *brought: Found, scope: str = "") -> list[Image]:
        """Import images, into the organisation if no scope is named."""
        ids = [ImageId(self.new_id()) for _ in brought]
        act = self.act(self.maker)
        return self.database.write_now("image.import", actions.import_, act, scope or self.org, brought, ids)

    def remove(self, image: ImageId) -> Image:
        """Remove an image."""
        return self.database.write_now("image.remove", actions.remove, self.act(self.maker), image)

    def made(self, text: bytes | None = None, scope: str = "", name: str = "", version: str = "") -> Release:
        """Make a release, at the site if no scope is named."""
        act, release, draft = self.act(self.maker), ReleaseId(self.new_id()), DraftId(self.new_id())
        where, said = scope or self.site, source() if text is None else text
        return self.database.write_now(
            "release.create", actions.create, act, release, draft, where, Asked(said, name, version)
        )

    def withdraw(self, release: ReleaseId, reason: str = "It leaks.") -> Draft:
        """Ask for a withdrawal."""
        draft, act = DraftId(self.new_id()), self.act(self.maker)
        return self.database.write_now("release.withdraw", actions.withdraw, act, draft, release, reason)

    def floor(self, release: ReleaseId, reason: str = "Older ones leak.") -> Draft:
        """Ask for a floor."""
        draft, act = DraftId(self.new_id()), self.act(self.maker)
        return self.database.write_now("release.floor", actions.floor, act, draft, release, reason)

    def renew(self, scope: str = "/") -> Draft:
        """Open a draft that changes nothing, the plane's own if no scope is named."""
        draft, act = DraftId(self.new_id()), self.act(self.maker)
        return self.database.write_now("draft.open", actions.renew, act, draft, scope)

    def discard(self, draft: DraftId) -> Draft:
        """Give a draft up."""
        return self.database.write_now("draft.discard", actions.discard, self.act(self.maker), draft)

    def sign(
        self, person: PersonId, draft: DraftId, key: keys.PrivateKey | None = None, payload: bytes | None = None
    ) -> Draft:
        """Sign a draft as it is, or other bytes in its place."""
        given = metadata.sign(payload or self.draft(draft).payload, key or self.signers[person])
        return self.give(person, draft, drafts.digest(self.draft(draft)), given)

    def give(self, person: PersonId, draft: DraftId, said: str, given: metadata.Signature) -> Draft:
        """Hand a signature in."""
        act = self.act(person)
        return self.database.write_now("draft.sign", actions.sign, act, draft, said, given, self.online)

    def published(self) -> Draft:
        """Let two people sign the open draft."""
        draft = self.open().id
        first, second, *_ = self.signers
        self.sign(first, draft)
        return self.sign(second, draft)

    def release(self, release: ReleaseId) -> Release:
        """Read a release."""
        return self.database.read_now("release", queries.release, release)

    def draft(self, draft: DraftId) -> Draft:
        """Read a draft."""
        return self.database.read_now("draft", queries.draft, draft)

    def open(self) -> Draft:
        """Read the open draft."""
        found = self.database.read_now("draft", queries.open_draft)
        assert found
        return found

    def image(self, image: ImageId) -> Image:
        """Read an image."""
        return self.database.read_now("image", queries.image, image)

    def anchor(self) -> Anchor:
        """Read what is handed out."""
        return self.database.read_now("anchor", queries.anchor)

    def named(self, text: str, scope: str = "") -> Release:
        """Read what a text means at a scope, the site if none is named."""
        return self.database.read_now("named", queries.named, scope or self.site, text)

    def checked(self, text: bytes, scope: str = "") -> Prepared:
        """Read what a compose file would become at a scope, the site if none is named."""
        return self.database.read_now("check", queries.prepared, scope or self.site, Asked(text))


def started(database: object, new_id: object, now: datetime) -> World:
    """Return a world with a root of trust and one image."""
    made = World(database, new_id, now)  # type: ignore[arg-type]
    made.install()
    made.bring(found("historian:2.4"))
    return made
