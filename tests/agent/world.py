# SPDX-License-Identifier: Apache-2.0
"""A device without a device: a pure model of engine, disk and journal on which moves are carried out, and cut short.

How a service behaves is said by its image. The engine's own restarts, and what a restart of the engine does to stopped
containers, are modelled as the real one has them. Every write and every step is one operation; `cut_after` says which
of them is the last before the power goes.
"""

import hashlib
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from checkvalve.agent import exclusive, health, plan, recover, waiting
from checkvalve.agent.health import Watch
from checkvalve.agent.situation import all_blobs
from checkvalve.agent.steps import (
    Ask,
    Commit,
    Container,
    CopyVolume,
    Create,
    Do,
    DropImage,
    DropNetwork,
    DropVolume,
    Failure,
    Fetch,
    Forget,
    Ground,
    Lay,
    Load,
    Look,
    MakeNetwork,
    MakeVolume,
    Move,
    Note,
    Observed,
    Obtain,
    Policy,
    Position,
    Ran,
    Remove,
    Rest,
    Slot,
    Start,
    Step,
    Stop,
    Unlay,
)
from checkvalve.agent.waiting import Local, Permitted, Said
from checkvalve.protocol import workload
from checkvalve.protocol.exchange import ENDED, Event, State
from checkvalve.protocol.workload import Attachment, Gate, Image, Layer, Manifest, Mount, Network, Service, Volume

DEVICE = "0dev000000000000000000dev0"
ALWAYS = frozenset({"always", "unless-stopped"})

_States = Literal["created", "running", "paused", "restarting", "removing", "exited", "dead"]
_Health = Literal["", "starting", "healthy", "unhealthy"]


class Cut(Exception):  # noqa: N818  # it is no error: the power went
    """The power went."""


def digest(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def image(name: str) -> Image:
    """Return an image of two layers, one of which is its own."""
    layers = tuple(
        Layer(digest=digest(f"layer {each}"), size=1_000, media_type="tar", diff_id=digest(f"unpacked {each}"))
        for each in ("base", name)
    )
    config = digest(f"config {name}")
    return Image(
        config=config, config_size=100, manifest=digest(f"m {name}"), name=name, platform="linux/amd64", layers=layers
    )


def service(name: str, **how: object) -> Service:
    """Return a service of the image `name`, on the one network."""
    plain: dict[str, object] = {"networks": (Attachment(network="default"),), **how}
    return Service(image=image(name).config, **plain)  # type: ignore[arg-type]  # a test says what it needs


def manifest(
    images: Mapping[str, Service],
    names: Sequence[str],
    *,
    version: str = "1",
    gate: Gate | None = None,
    volumes: Mapping[str, Volume] | None = None,
) -> Manifest:
    """Return a release of these services; `names` are of the images that they run."""
    return Manifest(
        name="line",
        version=version,
        services=dict(images),
        images={each.config: each for each in map(image, names)},
        networks={"default": Network()},
        volumes=dict(volumes or {}),
        gate=gate or Gate(start_grace_ms=30_000, soak_ms=10_000),
    )


def line(version: str, **how: object) -> Manifest:
    """Return a release of two services, of which `web` comes after `db`; images are named for the version."""
    gate = how.pop("gate", None)
    web = service(f"web{version}", after=("db",), **how)
    db = service(f"db{version}", mounts=(Mount(volume="data", target="/data"),))
    return manifest(
        {"web": web, "db": db},
        [f"web{version}", f"db{version}"],
        version=version,
        gate=gate if isinstance(gate, Gate) else None,
        volumes={"data": Volume()},
    )


def attempt(number: int) -> str:
    return f"0att{number:022d}"


def slot(number: int, what: Manifest, *, copies: Mapping[str, str] | None = None, copied: bool = False) -> Slot:
    """Return the slot that attempt `number` brings; its volumes are its own if they are `copied`."""
    release = workload.digest(workload.write(what))
    name = attempt(number)[-8:]
    volumes = {each: f"{DEVICE}-{each}-{name}" if copied else f"{DEVICE}-{each}" for each in what.volumes}
    return Slot(
        device=DEVICE,
        attempt=attempt(number),
        release=release,
        target=f"org/line/{release.removeprefix('sha256:')}.json",
        number=number,
        manifest=what,
        volumes=volumes,
        copies=dict(copies or {}),
    )


@dataclass
class Behaviour:
    """What containers of an image do."""

    exit_code: int | None = None  # ends with it
    after: float = 0.0  # so many seconds after each start
    health: _Health = ""
    loads: bool = True
    creates: bool = True
    starts: bool = True
    probe: str = ""  # why its probes do not pass


@dataclass
class Engine:
    """What an engine would do."""

    now: float = 0.0
    behaviours: dict[str, Behaviour] = field(default_factory=dict)  # by name of the image
    containers: dict[str, Container] = field(default_factory=dict)
    started_at: dict[str, float] = field(default_factory=dict)
    put_down: set[str] = field(default_factory=set)  # stopped, not ended by themselves
    images: set[str] = field(default_factory=set)
    networks: set[str] = field(default_factory=set)
    grounds: dict[str, Ground] = field(default_factory=dict)
    births: dict[str, int] = field(default_factory=dict)  # of networks: another one may have the same name
    on: dict[str, dict[str, int]] = field(default_factory=dict)  # container -> its networks, as they were born
    volumes: set[str] = field(default_factory=set)
    laid: set[str] = field(default_factory=set)  # attempts: in memory, so that a restart of the machine takes it
    bound: set[str] = field(default_factory=set)  # containers that are given files or secrets
    in_use: set[str] = field(default_factory=set)  # images that somebody else's containers use
    names: dict[str, str] = field(default_factory=dict)  # config -> name of the image

    def behaviour(self, config: str) -> Behaviour:
        return self.behaviours.get(self.names.get(config, ""), Behaviour())

    def observed(self) -> Observed:
        for name in list(self.containers):
            self._age(name)
        return Observed(
            tuple(
                replace(self.containers[name], networks=self._networks(name) if name in self.on else None)
                for name in sorted(self.containers)
            ),
            frozenset(self.images),
            frozenset(self.networks),
            frozenset(self.volumes),
            laid=frozenset(self.laid),
            grounds=frozenset(each for each in self.grounds.values() if each.network in self.networks),
        )

    def do(self, step: Step) -> Failure | None:  # noqa: C901, PLR0912  # one case a step
        """Take a step; return why it failed."""
        match step:
            case Load(what):
                self.names[what.config] = what.name
                if not self.behaviour(what.config).loads:
                    return Failure("engine.load", f"{what.name} will not load.")
                self.images.add(what.config)
            case MakeNetwork(name, _, what):
                return self._make_network(name, what)
            case MakeVolume(name):
                self.volumes.add(name)
            case CopyVolume(source, target, carrier):
                assert source in self.volumes
                assert carrier in self.images
                self.volumes.add(target)
            case Lay(where):
                self.laid.add(where.attempt)
            case Unlay(attempt_):
                self.laid.discard(attempt_)
            case Create(where, name):
                return self._create(where, name)
            case Policy(name, policy):
                if name in self.containers:
                    self.containers[name] = replace(self.containers[name], policy=policy)
            case Stop(name):
                self._stop(name)
            case Start(name):
                return self._start(name)
            case Remove(name):
                self.containers.pop(name, None)
                self.on.pop(name, None)
            case DropNetwork(name):
                return self._drop_network(name)
            case DropVolume(name):
                self.volumes.discard(name)
            case DropImage(config):
                self.images -= {config} - self.in_use
        return None

    def restart(self) -> None:
        """Restart the engine, as a power cycle does: what may run again does, stopped `always` containers too."""
        self.observed()
        self.laid.clear()
        for name, each in self.containers.items():
            ran = each.state in {"running", "restarting"}
            if (
                name not in self.bound
                and each.started
                and each.policy in ALWAYS
                and (each.policy == "always" or name not in self.put_down)
            ):
                self.containers[name] = replace(each, state="running", health=self.behaviour(each.image).health)
                self.started_at[name] = self.now
            elif ran or each.state == "paused":
                self.containers[name] = replace(each, state="exited", exit_code=137, health="")

    def _age(self, name: str) -> None:
        """Let what ends by itself end, and run again if the engine has been told so."""
        each = self.containers[name]
        how = self.behaviour(each.image)
        if each.state == "restarting" and how.exit_code is None:
            self.containers[name] = replace(each, state="running", started=True, health=how.health)
        if each.state not in {"running", "restarting"} or how.exit_code is None:
            return
        if self.now < self.started_at.get(name, self.now) + how.after:
            return
        again = each.policy in ALWAYS or (each.policy == "on-failure" and how.exit_code != 0)
        state: _States = "restarting" if again else "exited"
        self.containers[name] = replace(
            each, state=state, exit_code=how.exit_code, health="", restarts=each.restarts + again
        )
        self.put_down.discard(name)

    def _make_network(self, name: str, what: Network) -> Failure | None:
        """Have a network, unless what it takes is taken."""
        wanted = exclusive.ground(name, what)
        if name not in self.networks:
            for each in self.grounds.values():
                shared = any(exclusive.overlap(one, other) for one in wanted.subnets for other in each.subnets)
                if each.network in self.networks and (shared or (wanted.parent and wanted.parent == each.parent)):
                    return Failure("engine.refused", f"{name} overlaps with {each.network}.")
            self.births[name] = self.births.get(name, 0) + 1
        self.networks.add(name)
        self.grounds[name] = wanted
        return None

    def _drop_network(self, name: str) -> Failure | None:
        if any(name in on and self.containers[each].state in {"running", "paused"} for each, on in self.on.items()):
            return Failure("engine.refused", f"{name} has active endpoints.")
        self.networks.discard(name)
        return None

    def _networks(self, container: str) -> frozenset[str]:
        """Return the networks that a container is on and that are still the same."""
        on = self.on[container].items()
        return frozenset(name for name, birth in on if name in self.networks and self.births.get(name) == birth)

    def _create(self, where: Slot, name: str) -> Failure | None:
        wanted = where.manifest.services[name]
        missing = {where.network(each.network) for each in wanted.networks} - self.networks
        assert not missing, f"{name} needs networks that are not there: {missing}"
        assert wanted.image in self.images, f"{name} needs an image that is not there"
        if not self.behaviour(wanted.image).creates:
            return Failure("engine.refused", f"{name} cannot be created.")
        container = where.container(name)
        if container not in self.containers:
            on = (where.network(each.network) for each in wanted.networks)
            self.on[container] = {each: self.births.setdefault(each, 1) for each in on}
            if wanted.files or wanted.secrets:
                self.bound.add(container)
            self.containers[container] = Container(
                container, container, name, where.attempt, where.release, wanted.image, "created"
            )
        return None

    def _stop(self, name: str) -> None:
        each = self.containers.get(name)
        if each is not None and each.state in {"running", "restarting", "paused"}:
            self.containers[name] = replace(each, state="exited", exit_code=143, health="")
            self.put_down.add(name)

    def _start(self, name: str) -> Failure | None:
        each = self.containers.get(name)
        if each is None:
            return Failure("engine.refused", f"There is no container {name}.")
        how = self.behaviour(each.image)
        if not how.starts:
            return Failure("engine.refused", f"{name} cannot be started.")
        if name in self.bound and each.attempt not in self.laid:
            return Failure("engine.refused", f"What {name} is given does not lie there.")
        if name in self.on and self._networks(name) != self.on[name].keys():
            return Failure("engine.refused", f"A network of {name} is gone.")
        if each.state in {"created", "exited"}:
            self.containers[name] = replace(each, state="running", started=True, restarts=0, health=how.health)
            self.started_at[name] = self.now
            self.put_down.discard(name)
        return None


@dataclass
class Device:  # long: it is the whole of what carries out moves, in the order that `situation` asks for
    """What carries out moves on the model. `moves` are all that were made, `events` the journal."""

    releases: Mapping[str, Slot] = field(default_factory=dict)  # target -> what Obtain lays out
    engine: Engine = field(default_factory=Engine)
    seed: int = 0
    plane: bool = True  # it can be reached
    active: Slot | None = None
    previous: Slot | None = None
    slots: dict[str, Slot] = field(default_factory=dict)
    held: set[str] = field(default_factory=set)
    events: list[Event] = field(default_factory=list)
    first: Position = field(default_factory=Position)
    position: Position = field(default_factory=Position)
    watch: Watch | None = None
    failure: Failure | None = None
    failed: Move | None = None
    tries: int = 0
    local: Local = field(default_factory=Local)  # what people have laid down here
    says: Callable[[], Said] = lambda: Said(yes=True)  # the permit's answer
    permitted: Permitted | None = None
    moves: list[Move] = field(default_factory=list)
    cut_after: int | None = None
    operations: int = 0

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        for each in self.releases.values():
            self.engine.names |= {config: what.name for config, what in each.manifest.images.items()}

    # ---- What tests do to it. ----

    def install(self, where: Slot) -> None:
        """Have a slot active and running, as after a commit long ago."""
        for each in where.manifest.images.values():
            self.engine.names[each.config] = each.name
            self.engine.images.add(each.config)
        for key, network in where.manifest.networks.items():
            assert self.engine.do(MakeNetwork(where.network(key), network.internal, network)) is None
        self.engine.volumes |= set(where.volumes.values())
        if where.places:
            self.engine.laid.add(where.attempt)
        for name, what in where.manifest.services.items():
            self.engine.do(Create(where, name))
            self.engine.do(Start(where.container(name)))
            self.engine.do(Policy(where.container(name), what.restart if what.kind == "service" else "no"))
        self.held |= all_blobs(where.manifest).keys()
        self.slots[where.attempt] = where
        self.active = where
        self.first = Position(
            state=State.COMMITTED,
            attempt=where.attempt,
            release=where.release,
            target=where.target,
            number=where.number,
        )
        self.position = self.first
        self.watch = health.begin(self.engine.now)

    def order(self, where: Slot) -> None:
        """Accept an order."""
        facts: dict[str, str | int] = {"epoch": 1, "counter": self.position.counter + 1, "target": where.target}
        self._write("order", attempt=where.attempt, facts=facts)

    def restart(self) -> None:
        """Start the agent: what was only in its memory is gone."""
        self.failure, self.failed, self.tries, self.permitted = None, None, 0, None
        self._write("boot", attempt=self.position.attempt, state=self.position.state)
        note = recover.recover(self.position, self.active)
        if note is not None:
            self._note(note)
        self.watch = health.noted(None, self.position.state, self.engine.now)

    def run(self, most: int = 400) -> Move:
        """Make moves until the device rests with no attempt open and nothing wrong; return the last move."""
        for _ in range(most):
            move = self.turn()
            if isinstance(move, Rest) and self.position.state in ENDED and move.failure is None:
                return move
        return self.moves[-1]

    def until(self, state: State, most: int = 400) -> None:
        """Make moves until the device is in this state."""
        for _ in range(most):
            if self.position.state is state:
                return
            self.turn()
        message = f"the device never came to {state}, it is {self.position.state} by {self.moves[-5:]}"
        raise AssertionError(message)

    # ---- One turn. ----

    def turn(self) -> Move:
        """Look, ask, and carry out one move."""
        observed = self.engine.observed()
        staged = self.slots.get(self.position.attempt)
        if (where := plan.watched(self.position, self.active, staged)) is not None:
            watch = self.watch or health.begin(self.engine.now)
            probes = {
                due.key: self.engine.behaviour(self.engine.containers[due.container].image).probe
                for due in health.probes_due(watch, where, observed, self.engine.now)
            }
            self.watch = health.look(watch, where, observed, probes, self.position.ran, self.engine.now)
        move = plan.move(self.situation(observed, staged))
        self.moves.append(move)
        self._carry_out(move, observed)
        return move

    def situation(self, observed: Observed, staged: Slot | None) -> plan.Situation:
        return plan.Situation(
            position=self.position,
            observed=observed,
            active=self.active,
            previous=self.previous,
            staged=staged,
            held=frozenset(self.held),
            watch=self.watch,
            failure=self.failure,
            now=self.engine.now,
            failed=self.failed,
            tries=self.tries,
            local=self.local,
            permit=self.permitted,
        )

    def _carry_out(self, move: Move, observed: Observed) -> None:
        match move:
            case Rest(seconds, failure):
                self.failure = None
                self.tries = 0 if failure is None else self.tries
                self.engine.now += seconds
            case Look(seconds):
                self.failure = None
                self.engine.now += seconds
            case Note():
                self._note(move)
            case Ask(permit):
                asked = self.engine.now
                self.permitted = waiting.heard(permit, self.says(), asked, self.engine.now, self.permitted)
                then = plan.move(self.situation(observed, self.slots.get(self.position.attempt)))
                self.moves.append(then)
                if not isinstance(then, Ask):
                    self._carry_out(then, observed)
            case Ran(names):
                for name in names:
                    self._write("note", facts={"ran": name})
            case _:
                self._tried(move, self._do(move, observed))

    def _tried(self, move: Move, failure: Failure | None) -> None:
        self.failure, self.failed = failure, move if failure else None
        self.tries += failure is not None

    def _do(self, move: Obtain | Fetch | Do | Commit | Forget, observed: Observed) -> Failure | None:
        match move:
            case Obtain():
                if not self.plane or self.position.target not in self.releases:
                    return Failure("release.not_listed", "It is not there.")
                self._operation()
                self.slots[self.position.attempt] = replace(
                    self.releases[self.position.target], attempt=self.position.attempt
                )
            case Fetch(blobs):
                for each in blobs:
                    if not self.plane:
                        return Failure("link.unreachable", "The plane is out of reach.")
                    self._operation()
                    self.held.add(each)
            case Commit():
                self._operation()
                staged = self.slots[self.position.attempt]
                self.previous, self.active = self.active, staged
            case Forget():
                self._operation()
                keep = [each for each in (self.active, self.previous) if each is not None]
                self.slots = {each.attempt: each for each in keep}
                self.held &= {blob for each in keep for blob in all_blobs(each.manifest)}
            case Do(steps):
                return self._steps(steps, observed)
        return None

    def _steps(self, steps: Sequence[Step], observed: Observed) -> Failure | None:
        """Take the steps in any order: none waits for another."""
        failures = []
        try:
            for step in self.chance.sample(list(steps), len(steps)):
                self._operation()
                failures.append(self._step(step))
        finally:
            self.watch = health.did(self.watch or health.begin(self.engine.now), observed, steps, self.engine.now)
        return next((each for each in failures if each is not None), None)

    def _step(self, step: Step) -> Failure | None:
        if isinstance(step, Load):
            assert {step.image.config, *(each.digest for each in step.image.layers)} <= self.held
        return self.engine.do(step)

    def _note(self, note: Note) -> None:
        if note.state is State.SWITCHING:
            self.permitted = None
        target = note.target or self.position.target
        release = "" if note.attempt else self.position.release
        self._write(
            "state",
            attempt=note.attempt or self.position.attempt,
            state=note.state,
            release=release,
            code=note.code,
            reason=note.reason,
            facts={"target": target, "number": self.position.number},
        )
        self.watch = health.noted(self.watch, note.state, self.engine.now)
        self.failure, self.failed, self.tries = None, None, 0

    def _write(  # the fields of an event
        self,
        kind: Literal["boot", "order", "state", "note"],
        *,
        attempt: str = "",
        state: State = State.IDLE,
        release: str = "",
        code: str = "",
        reason: str = "",
        facts: Mapping[str, str | int] | None = None,
    ) -> None:
        self._operation()
        event = Event(
            seq=len(self.events) + 1,
            at=int(self.engine.now * 1000),
            kind=kind,
            attempt=attempt,
            state=state,
            release=release,
            code=code,
            reason=reason,
            facts=dict(facts or {}),
        )
        self.events.append(event)
        self.position = recover.fold(self.position, event)

    def _operation(self) -> None:
        """Count an operation; the one after the last is never done."""
        self.operations += 1
        if self.cut_after is not None and self.operations > self.cut_after:
            self.cut_after = None
            raise Cut


# ---- What tests ask of it. ----


def is_right(device: Device, where: Slot | None) -> bool:
    """Tell whether exactly this slot runs, whole, with its declared policies, and nothing else of ours is there."""
    observed = device.engine.observed()
    if where is None:
        return not observed.containers
    here = observed.of(where.attempt)
    services = where.manifest.services
    return len(here) == len(observed.containers) and all(
        name in here
        and here[name].state == "running"
        and here[name].image == services[name].image
        and here[name].policy == services[name].restart
        for name in services
        if services[name].kind == "service"
    )


def loud(device: Device) -> set[str]:
    """Return the attempts that have a container which the engine would start by itself."""
    return {each.attempt for each in device.engine.containers.values() if each.policy != "no"}
