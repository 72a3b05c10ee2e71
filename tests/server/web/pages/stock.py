# SPDX-License-Identifier: Apache-2.0
"""What the water company may run: a root of trust of two signers, images, releases in each state, drafts."""

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from checkvalve.crypto import keys, metadata
from checkvalve.ids import DraftId, ImageId, ReleaseId
from checkvalve.server import keys as plane_keys
from checkvalve.server.audit.model import Act
from checkvalve.server.supply import actions as supply_actions
from checkvalve.server.supply import draft as drafts
from checkvalve.server.supply import queries as supply_queries
from checkvalve.server.supply.composed import Asked
from checkvalve.server.supply.model import Draft, Release
from tests.server.supply import world
from tests.server.web.pages.estate import Estate

EXAMPLE = Path(__file__).parents[4] / "examples" / "compose" / "pump-station.yaml"
LONG = "quay-side-" + "n" * 45 + "-station"


@dataclass
class Stock:
    """Images and releases of an estate. Maria and Nina sign; both must."""

    estate: Estate
    where: str = "Norra Water"
    master: keys.PrivateKey = field(default_factory=keys.make)
    signers: dict[str, keys.PrivateKey] = field(default_factory=lambda: {"maria": keys.make(), "nina": keys.make()})
    online: keys.PrivateKey = field(init=False)

    def __post_init__(self) -> None:
        """Let Nina be there."""
        self.online = plane_keys.online(self.estate.directory / "keys")
        if "nina" not in self.estate.people:
            self.estate.person("nina", "Nina Falk", self.scope, ago=900)
            self.estate.bind("nina", "release-manager", self.scope, self.estate.people["karin"], ago=890)

    @property
    def scope(self) -> str:
        return self.estate.places[self.where]

    def trust(self, days: float = 365, needed: int = 2, ago: float = 880) -> "Stock":
        """Give the plane its root of trust."""
        payload = metadata.new_root(
            version=1,
            expires=(self.estate.moment(0) + timedelta(days=days)).replace(microsecond=0),
            root=[self.master.public_key()],
            root_threshold=1,
            targets=[*(key.public_key() for key in self.signers.values()), keys.make().public_key()],
            targets_threshold=needed,
            online=self.online.public_key(),
        )
        root = metadata.assemble(payload, [metadata.sign(payload, self.master)])
        self.estate.db.write_now("root", supply_actions.trust_root, self._act("karin", ago), root, self.online)
        return self

    def images(self, *names: str, ago: float = 870) -> "Stock":
        """Import images, each with the layers of an ordinary one."""
        found = [world.found(name, layers=("base", name)) for name in names]
        ids = [ImageId(self.estate.new_id(ago)) for _ in found]
        self.estate.db.write_now("images", supply_actions.import_, self._act("maria", ago), self.scope, found, ids)
        return self

    def release(self, text: str, version: str = "", name: str = "", ago: float = 0) -> Release:
        """Make a release."""
        made, draft = ReleaseId(self.estate.new_id(ago)), DraftId(self.estate.new_id(ago))
        act = self._act("maria", ago)
        return self.estate.db.write_now(
            "release", supply_actions.create, act, made, draft, self.scope, Asked(text.encode(), name, version)
        )

    def sign(self, *logins: str, ago: float = 0) -> None:
        """Let people sign the open draft."""
        for login in logins:
            draft = self.draft()
            given = metadata.sign(draft.payload, self.signers[login])
            digest = drafts.digest(draft)
            act = self._act(login, ago)
            self.estate.db.write_now("sign", supply_actions.sign, act, draft.id, digest, given, self.online)

    def withdraw(self, release: Release, reason: str, ago: float = 0) -> Draft:
        """Draft a withdrawal."""
        draft, act = DraftId(self.estate.new_id(ago)), self._act("maria", ago)
        return self.estate.db.write_now("withdraw", supply_actions.withdraw, act, draft, release.id, reason)

    def floor(self, release: Release, reason: str, ago: float = 0) -> Draft:
        """Draft a floor."""
        draft, act = DraftId(self.estate.new_id(ago)), self._act("maria", ago)
        return self.estate.db.write_now("floor", supply_actions.floor, act, draft, release.id, reason)

    def discard(self, ago: float = 0) -> None:
        """Give the open draft up."""
        act = self._act("maria", ago)
        self.estate.db.write_now("discard", supply_actions.discard, act, self.draft().id)

    def draft(self) -> Draft:
        """Read the open draft."""
        found = self.estate.db.read_now("draft", supply_queries.open_draft)
        assert found
        return found

    def few(self) -> dict[str, Release]:
        """Make one release in each state, the newest waiting for its second signature."""
        self.images("plant/historian:2.4.0", "plant/opc-bridge:1.9.2", ago=860)
        text = EXAMPLE.read_text()
        made = {"below": self.release(text, "2.3.0", ago=800)}
        self.sign("maria", "nina", ago=790)
        made["withdrawn"] = self.release(text.replace("soak: 5m", "soak: 2m"), "2.3.1", ago=700)
        self.sign("maria", "nina", ago=690)
        self.withdraw(made["withdrawn"], "The historian loses an hour after a power cut.", ago=650)
        self.sign("nina", "maria", ago=640)
        made["discarded"] = self.release(text, "2.4.0-rc1", ago=500)
        self.discard(ago=490)
        made["published"] = self.release(text.replace("RETENTION: 90d", "RETENTION: 120d"), "2.4.0", ago=400)
        self.floor_of(made["published"])
        self.images("plant/historian:2.4.1", ago=60)
        newer = text.replace("historian:2.4.0", "historian:2.4.1").replace("retries: 3", "retries: 5")
        made["drafted"] = self.release(newer, "2.4.1", ago=50)
        self.sign("nina", ago=20)
        return made

    def floor_of(self, release: Release) -> None:
        """Publish the open draft, then make `release` the floor of its line."""
        self.sign("maria", "nina", ago=390)
        self.floor(release, "Older ones lose an hour after a power cut.", ago=380)
        self.sign("maria", "nina", ago=370)

    def many(self, count: int = 300) -> Release:
        """Make many releases, and last one of forty services with long names that waits for two signatures."""
        self.images("plant/historian:2.4.0", ago=860)
        line = "name: {}\nservices: {{ web: {{ image: 'plant/historian:2.4.0', ports: ['{}:80'] }} }}\n"
        for number in range(count):
            self.release(
                line.format(("edge-base", "press-line", "scada-view")[number % 3], 8000 + number), f"1.{number}"
            )
            if number % 100 == 99:
                self.sign("maria", "nina")
        self.images(*(f"registry.plant.example/{LONG}/{number}:2026.11.{number}" for number in range(110)), ago=500)
        return self.release(forty(), "2026.11.23+build.4711.gdeadbeef", LONG)

    def _act(self, login: str, ago: float) -> Act:
        return self.estate.act(self.estate.actor(login), ago)


def forty() -> str:
    """Return a compose file of forty services, with all that is long in it."""
    lines = ["services:"]
    for number in range(40):
        lines += [
            f"  worker-{number:02}-{'x' * 40}:",
            f"    image: registry.plant.example/{LONG}/{number}:2026.11.{number}",
            f"    command: [run, --endpoint, 'opc.tcp://plc-{number}.station.example:4840/{'path/' * 12}']",
            "    environment:",
            f"      A_RATHER_LONG_NAME_OF_A_VARIABLE_{number}: '{'0123456789abcdef' * 8}'",
            '      DIRECTION: "left\\u202eright"',
            f"    ports: ['{9000 + number}:80']",
            "    volumes: ['values:/var/lib/values']",
        ]
    return "\n".join([*lines, "volumes:", "  values: {}", ""])
