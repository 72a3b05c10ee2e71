# SPDX-License-Identifier: Apache-2.0
"""The water company's devices, one in each state that somebody may find it in, with what it told and truly signed."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from checkvalve import canonical
from checkvalve.crypto import digests, envelope, keys
from checkvalve.ids import AttemptId, DeviceId
from checkvalve.protocol import receipt as receipts
from checkvalve.protocol.enrol import LinkClass
from checkvalve.protocol.exchange import Event, Listening, State, Status, Workload, digest
from checkvalve.protocol.receipt import Receipt, Seen, Step
from checkvalve.server.audit.model import Act, Actor
from checkvalve.server.db.database import Tx
from checkvalve.server.fleet import actions as fleet_actions
from checkvalve.server.fleet import writes as fleet_writes
from checkvalve.server.fleet.model import Device, Kept, Line
from checkvalve.server.supply.model import Release
from tests.parts import fleet
from tests.server.web.pages.estate import Estate

HISTORIAN, BRIDGE = "sha256:" + "5e" * 32, "sha256:" + "b1" * 32
WELL = (
    Workload(service="historian", image=HISTORIAN, state="running", health="healthy"),
    Workload(service="opc-bridge", image=BRIDGE, state="running", health="healthy", restarts=1),
)
BROKEN = (
    Workload(service="historian", image=HISTORIAN, state="restarting", health="unhealthy", restarts=41),
    Workload(service="opc-bridge", image=BRIDGE, state="running", health="healthy"),
)
HOST = (
    Listening(protocol="tcp", address="0.0.0.0", port=22),
    Listening(protocol="tcp", address="127.0.0.1", port=631),
    Listening(protocol="tcp", address="192.0.2.20", port=4840),
    Listening(protocol="udp", address="::", port=161),
)
LOGS = """historian: opening /var/lib/historian/values.db
historian: schema is 41, this program knows 40
historian: refusing to write to a newer store
historian: exit 1
"""
EXITED = "The service historian exited with 1, 3 times in 5 minutes."
STUCK = "The service historian does not start, neither in 2.4.0 nor in 2.3.0: no space left on device."


@dataclass
class Machines:
    """Devices of an estate; `releases` are those of `stock.Stock.few`."""

    estate: Estate
    releases: dict[str, Release]
    devices: dict[str, Device] = field(default_factory=dict)
    secrets: dict[str, keys.PrivateKey] = field(default_factory=dict)

    def few(self) -> "Machines":
        """Make them."""
        now, before = self.releases["published"].digest, self.releases["below"].digest
        after = self.releases["drafted"].digest
        runs: dict[str, Any] = {"active": now, "previous": before, "release": now}
        self._well(runs)
        self._rolled_back({"active": before, "previous": "", "release": now})
        stuck = self.device("pump-08", "Norra Water/Visby", ("line=3", "pump"), ago=120)
        self.says(stuck, State.DEGRADED, ago=2, code="gate.exited", reason=STUCK, **runs | {"workloads": BROKEN})
        self.tells(stuck, now, (State.SWITCHING, State.ROLLING_BACK, State.DEGRADED), STUCK, ago=30)
        self.signs(stuck, now, State.DEGRADED, STUCK, ago=28)
        busy = self.device("chlor-01", "Norra Water/Gävle/Dosing", ("chlorine",), ago=9_000, offset=740_000)
        self.says(busy, State.VERIFYING, ago=1, **runs | {"release": after, "active": now})
        self.tells(
            busy, after, (State.OFFERED, State.FETCHING, State.STAGED, State.SWITCHING, State.VERIFYING), "", ago=9
        )
        silent = self.device("well-33", "Norra Water/Visby", ("field", "pump"), ago=9_000)
        self.says(silent, State.COMMITTED, ago=3 * 24 * 60, **runs)
        locked = self.device("gate-01", "Norra Water/Visby", ("gate",), ago=9_000)
        self.says(locked, State.COMMITTED, ago=190, **runs)
        act = self.estate.act(self.estate.actor("olof"), ago=180)
        self.estate.db.write_now("q", fleet_actions.quarantine, act, locked.id, "The cabinet was found open.")
        watched = self.device("view-01", "Norra Water/Örebro/Line A", ("scada",), ago=700, observe=True)
        self.says(watched, State.IDLE, ago=1, observe=True)
        self._crashes(runs)
        self.device("spare-01", "Norra Water/Malmö", ("spare",), ago=40)
        return self

    def device(
        self,
        name: str,
        where: str,
        tags: Sequence[str] = (),
        *,
        ago: float = 60,
        observe: bool = False,
        link: LinkClass = LinkClass.ASYNC,
        offset: int | None = 140,
    ) -> Device:
        """Let a device join."""
        at, key = self.estate.moment(ago), keys.make()

        def put(tx: Tx) -> Device:
            scope = self.estate.places[where]
            invite = fleet.invited(tx, self.estate.new_id, scope, at, tags=tags, link=link, observe=observe)
            changes = {"offset": offset, "machine": digests.sha256_hex(name.encode())}
            return fleet.joined(tx, self.estate.new_id, invite, at, name=name, key=key.public_key(), changes=changes)

        made = self.estate.db.write_now("join", put)
        self.devices[name], self.secrets[name] = made, key
        return made

    def says(self, device: Device, state: State, *, ago: float = 0, **status: Any) -> Status:  # noqa: ANN401
        """Let a device be heard with this status."""
        attempt = status.pop("attempt", "") or (self.estate.new_id(ago) if state is not State.IDLE else "")
        fields: dict[str, Any] = {"agent": "0.3.0", "engine": "docker 27.3.1", "link": device.link.value}
        fields |= {"listeners": HOST, "workloads": WELL if status.get("active") else ()}
        said = Status(state=state, attempt=attempt, **fields | status)
        changes: dict[str, Any] = {
            "status": canonical.dumps(msgspec.to_builtins(said)),
            "status_digest": digest(said),
            "state": state,
            "attempt": attempt,
            "active": said.active,
            "crashing": sum(box.crashes > 0 for box in said.workloads),
            "seen_at": self.estate.moment(ago),
        }
        self.estate.db.write_now("visit", fleet_writes.visited, device.id, changes)  # type: ignore[arg-type]
        return said

    def tells(self, device: Device, release: str, states: Sequence[State], reason: str, *, ago: float) -> None:
        """Let a device tell how an attempt went, a minute a state; the last one has the reason."""
        journal, attempt = self.estate.new_id(ago), self.estate.new_id(ago)
        start = int(self.estate.moment(ago + len(states)).timestamp() * 1000)
        order = Event(seq=2, at=start, kind="order", attempt=attempt, facts={"epoch": 1, "counter": 7, "target": "t"})
        events = [Event(seq=1, at=start - 900_000, kind="boot"), order]
        for number, state in enumerate(states):
            why = reason if number == len(states) - 1 else ""
            at = start + (number + 1) * 60_000
            events.append(
                Event(seq=number + 3, at=at, kind="state", attempt=attempt, state=state, release=release, reason=why)
            )
        came = self.estate.moment(ago)
        kept = [
            Line(journal, one.seq, one.attempt, one.state, canonical.dumps(msgspec.to_builtins(one)), came)
            for one in events
        ]
        self.estate.db.write_now("lines", fleet_writes.add_lines, device.id, kept)

    def signs(
        self,
        device: Device,
        release: str,
        outcome: State,
        reason: str,
        *,
        ago: float,
        logs: str = LOGS,
        attempt: str = "",
    ) -> Kept:
        """Let a device hand in a receipt."""
        attempt, at = AttemptId(attempt or self.estate.new_id(ago)), int(self.estate.moment(ago).timestamp() * 1000)
        failed = outcome is not State.COMMITTED
        historian = Seen(service="historian", image=HISTORIAN, state="running", health="healthy")
        if failed:
            broken: dict[str, Any] = {
                "probes": {"http:8086/ready": "connection refused"},
                "wrong": "It exited.",
                "logs": logs,
            }
            historian = Seen(service="historian", image=HISTORIAN, state="exited", exit=1, restarts=3, **broken)
        said = Receipt(
            device=device.id,
            attempt=attempt,
            release=release,
            target="north/pump-station/5e.json",
            outcome=outcome,
            code="gate.exited" if failed else "",
            reason=reason,
            active=release,
            steps=(
                Step(state=State.SWITCHING, at=at - 90_000),
                Step(state=State.VERIFYING, at=at - 60_000),
                Step(state=outcome, at=at, reason=reason),
            ),
            services=(historian, Seen(service="opc-bridge", image=BRIDGE, state="running", health="healthy")),
            data={"values": "kept"},
            at=at,
            offset=140,
            journal=self.estate.new_id(ago),
            first=3,
            last=9,
            head=digests.sha256_hex(b"line 9"),
            agent="0.3.0",
            engine="docker 27.3.1",
        )
        sealed = envelope.seal(self.secrets[device.name], receipts.RECEIPT, receipts.write(said))
        kept = Kept(
            device=device.id,
            digest=envelope.digest(sealed),
            scope=device.scope,
            attempt=attempt,
            release=release,
            outcome=outcome,
            code=said.code,
            reason=reason,
            envelope=envelope.write(sealed),
            came_at=self.estate.moment(ago),
        )
        return self.estate.db.write_now("receipt", fleet_actions.receive, self._act(device, ago), kept)

    def _well(self, runs: dict[str, Any]) -> None:
        well = self.device("pump-07", "Norra Water/Visby", ("line=3", "pump"), ago=9_000)
        self.says(well, State.COMMITTED, ago=0.2, **runs)
        states = (State.OFFERED, State.FETCHING, State.STAGED, State.SWITCHING, State.VERIFYING, State.COMMITTED)
        self.tells(well, runs["release"], states, "", ago=300)
        self.signs(well, runs["previous"], State.COMMITTED, "", ago=700)
        self.signs(well, runs["release"], State.COMMITTED, "", ago=299)

    def _rolled_back(self, runs: dict[str, Any]) -> None:
        back = self.device("mixer-02", "Norra Water/Malmö/Filter hall", ("mixer",), ago=9_000)
        self.says(back, State.ROLLED_BACK, ago=1, code="gate.exited", reason=EXITED, **runs)
        states = (State.SWITCHING, State.VERIFYING, State.ROLLING_BACK, State.ROLLED_BACK)
        self.tells(back, runs["release"], states, EXITED, ago=55)
        self.signs(back, runs["release"], State.ROLLED_BACK, EXITED, ago=54)

    def _crashes(self, runs: dict[str, Any]) -> None:
        since = int(self.estate.moment(95).timestamp() * 1000)
        historian, bridge = (msgspec.structs.replace(box, since=since) for box in WELL)
        for name, died in (
            ("dose-02", (msgspec.structs.replace(historian, crashes=1, restarts=1, exit=137, oom=True), bridge)),
            (
                "dose-03",
                (
                    msgspec.structs.replace(historian, crashes=2, restarts=2, exit=1),
                    msgspec.structs.replace(bridge, crashes=41, restarts=41, exit=139),
                ),
            ),
        ):
            made = self.device(name, "Norra Water/Gävle/Dosing", ("chlorine",), ago=9_000)
            self.says(made, State.COMMITTED, ago=0.4, **runs | {"workloads": died})

    def _act(self, device: Device, ago: float) -> Act:
        return self.estate.act(Actor("device", DeviceId(device.id), device.name), ago)
