# SPDX-License-Identifier: Apache-2.0
"""What a device knows and can do, as values: slots, what an engine shows, its steps, and the moves of an attempt.

Names in the engine are a function of device, slot and what they name, so that a step may be taken twice. Every step
leaves things as it says, however often it is taken and wherever it was cut short before.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from checkvalve import canonical
from checkvalve.agent.policy import Permit
from checkvalve.crypto import digests
from checkvalve.protocol import workload
from checkvalve.protocol.exchange import State
from checkvalve.protocol.values import Values
from checkvalve.protocol.workload import Manifest, Network, Service

# Labels of everything a device makes in its engine.
DEVICE = "checkvalve.device"
SERVICE = "checkvalve.service"
ATTEMPT = "checkvalve.attempt"
RELEASE = "checkvalve.release"

_PLAIN = Network()


@dataclass(frozen=True)
class Slot:
    """One installed release with its values: `active`, `previous` or `staged`. It is the attempt that brought it.

    `volumes` gives each volume of the manifest its name in the engine; `copies` says which of those are copied, before
    the first start, from which other (policy `snapshot`: the old slot's volume stays as it was).
    """

    device: str
    attempt: str
    release: str  # sha256:… of the manifest
    target: str  # TUF target it was listed as
    number: int  # its place in its line
    manifest: Manifest  # with its variables filled in (`protocol.filling`)
    volumes: Mapping[str, str] = field(default_factory=dict)
    copies: Mapping[str, str] = field(default_factory=dict)
    values: str = ""  # digest of the values it runs with; "" if none were given
    given: Values | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """The slot in the names of its containers: the end of the attempt's id, which is its random part."""
        return self.attempt[-8:]

    @property
    def places(self) -> bool:
        """Whether a service of it finds a file or a secret at some path: they have to be laid out first."""
        return any(service.files or service.secrets for service in self.manifest.services.values())

    def container(self, service: str) -> str:
        """Return the container's name in the engine."""
        return f"{self.device}-{service}-{self.name}"

    def network(self, name: str) -> str:
        """Return the network's name in the engine: of its definition, so that both slots share one."""
        network = self.manifest.networks[name]
        said: dict[str, canonical.Json] = {"internal": network.internal, "name": name}
        for key in ("driver", "parent", "subnet", "gateway", "range"):  # those of version 1 keep their names
            if (value := getattr(network, key)) != getattr(_PLAIN, key):
                said[key] = value
        definition = digests.sha256_hex(canonical.dumps(said))
        return f"{self.device}-{name}-{definition[:8]}"


@dataclass(frozen=True, slots=True)
class Container:
    """A container of this device, as the engine shows it. `state` and `health` are the engine's own words."""

    id: str
    name: str
    service: str
    attempt: str
    release: str
    image: str  # config digest
    state: Literal["created", "running", "paused", "restarting", "removing", "exited", "dead"]
    exit_code: int = 0
    health: Literal["", "starting", "healthy", "unhealthy"] = ""
    restarts: int = 0
    policy: str = "no"
    started: bool = False  # it has run at least once
    last_exit: int | None = None  # how it ended before it ran again, if the engine told
    oom: bool = False  # memory ran out when it ended last
    networks: frozenset[str] | None = None  # those it is on, and that are still the same ones; None: not known


@dataclass(frozen=True, slots=True)
class Ground:
    """What a network of this device takes for itself: subnets, and the host's interface it is on ("": none)."""

    network: str
    subnets: tuple[str, ...] = ()
    parent: str = ""


@dataclass(frozen=True)
class Observed:
    """What the engine shows at one moment. Containers, networks and volumes are this device's own."""

    containers: tuple[Container, ...] = ()
    images: frozenset[str] = frozenset()  # config digests, of whomever
    networks: frozenset[str] = frozenset()
    volumes: frozenset[str] = frozenset()
    halves: frozenset[str] = frozenset()  # volumes that are awaited, or copies that were cut short
    laid: frozenset[str] = frozenset()  # attempts whose files and secrets lie where their containers look for them
    grounds: frozenset[Ground] = frozenset()  # of those networks that are known to take one
    begun: frozenset[str] = frozenset()  # config digests of images whose load by this device was cut short

    def of(self, attempt: str) -> dict[str, Container]:
        """Return the containers of one slot, by service."""
        return {each.service: each for each in self.containers if each.attempt == attempt}


# ---- Steps: what an engine does. ----


@dataclass(frozen=True)
class Load:
    """Load an image from the device's own blobs; afterwards the engine holds exactly `image.config`."""

    image: workload.Image


@dataclass(frozen=True)
class MakeNetwork:
    """Have a network."""

    name: str
    internal: bool
    definition: Network = _PLAIN


@dataclass(frozen=True)
class Lay:
    """Have the files and secrets of a slot where its containers look for them; secrets in memory only."""

    slot: Slot


@dataclass(frozen=True)
class Unlay:
    """Have none of those of an attempt."""

    attempt: str


@dataclass(frozen=True)
class MakeVolume:
    """Have a volume."""

    name: str


@dataclass(frozen=True)
class CopyVolume:
    """Have volume `target` hold exactly what `source` holds. `image` is any that the engine has, to reach them by.

    A copy that was cut short is begun anew: `target` exists for `Observed` only when it is whole.
    """

    source: str
    target: str
    image: str


@dataclass(frozen=True)
class Create:
    """Have the container of `service`, created and not started, with restart policy `no`."""

    slot: Slot
    service: str


@dataclass(frozen=True)
class Policy:
    """Have a container's restart policy be `policy`, in compose's words."""

    container: str
    policy: str


@dataclass(frozen=True)
class Stop:
    """Have a container not running: ask it by its stop signal, and kill it after `grace_ms`."""

    container: str
    grace_ms: int


@dataclass(frozen=True)
class Start:
    """Have a container started."""

    container: str


@dataclass(frozen=True)
class Remove:
    """Have no such container. Volumes stay."""

    container: str


@dataclass(frozen=True)
class DropNetwork:
    """Have no such network. Containers on it that do not run are taken off; one that runs refuses it."""

    name: str


@dataclass(frozen=True)
class DropVolume:
    """Have no such volume; one that a container mounts refuses it. `why` is for people, and is written down."""

    name: str
    why: str


@dataclass(frozen=True)
class DropImage:
    """Have the engine hold this image no more, unless something else uses it; of one `begun`, only what a cut left."""

    image: str
    begun: bool = False

    @property
    def key(self) -> str:
        """What names this step apart from that of the whole image."""
        return f"{self.image} begun" if self.begun else self.image


Step = (
    Load
    | MakeNetwork
    | Lay
    | Unlay
    | MakeVolume
    | CopyVolume
    | Create
    | Policy
    | Stop
    | Start
    | Remove
    | DropNetwork
    | DropVolume
    | DropImage
)


@dataclass(frozen=True)
class Wrong:
    """Why a service failed, for the receipt."""

    service: str
    code: str
    sentence: str


@dataclass(frozen=True)
class Failure:
    """Something that was tried and did not work, or that was seen and is not right."""

    code: str  # `gate.exited`, `engine.load`, `fetch.space`, …
    sentence: str
    services: tuple[Wrong, ...] = ()


# ---- What the journal says, folded into one value. ----


@dataclass(frozen=True)
class Position:
    """Where the device stands: the newest attempt, its state, and what it must not forget.

    `target`, `number` are of the attempt's release. `boots` counts starts of the agent within this attempt.
    `cause` is why the attempt was turned back, whatever happened on the way back. `ran` are oneshots that ended as they
    must, as `release/service`. `ended` are outcomes of the last attempts.
    """

    state: State = State.IDLE
    attempt: str = ""
    release: str = ""
    target: str = ""
    number: int = 0
    values: str = ""  # digest of the values it is to run with
    code: str = ""
    reason: str = ""
    boots: int = 0
    cause_code: str = ""
    cause: str = ""
    owed: bool = False  # last known good was to be brought back, and has not been yet
    tries: int = 0  # returns to last known good that failed, while DEGRADED and since the agent's last start
    epoch: int = 0  # of the newest accepted order
    counter: int = 0
    ran: frozenset[str] = frozenset()
    ended: Mapping[str, State] = field(default_factory=dict)
    next_attempt: str = ""  # accepted while another one was past its return: taken up when that one has ended
    next_target: str = ""
    next_values: str = ""


def ran(slot: Slot, service: str) -> str:
    """Return how `Position.ran` names a oneshot that ended as it must."""
    return f"{slot.release}/{service}"


def policy_of(service: Service) -> str:
    """Return the restart policy a committed container has; a oneshot is never run again by the engine."""
    return "no" if service.kind == "oneshot" else service.restart


# ---- Moves: what the device does next. `plan.move` returns one of them. ----


@dataclass(frozen=True)
class Rest:
    """Nothing to do until something happens, or `seconds` are over.

    `failure` is what is not as it must be meanwhile, for people to see.
    """

    seconds: float = 60.0
    failure: Failure | None = None


@dataclass(frozen=True)
class Note:
    """Write that the attempt is now in `state`; what it says is done only after it is on disk.

    With `attempt` and `target` it begins another attempt; empty, it is about the current one.
    """

    state: State
    code: str = ""
    reason: str = ""
    services: tuple[Wrong, ...] = ()
    attempt: str = ""
    target: str = ""
    values: str = ""


@dataclass(frozen=True)
class Obtain:
    """Get the attempt's manifest, verify it against its TUF target, and lay out its slot as `staged`."""


@dataclass(frozen=True)
class Fetch:
    """Get these blobs (digest -> size), and check room for them first; `limited` by what the policy allows."""

    blobs: Mapping[str, int]
    limited: bool = False


@dataclass(frozen=True)
class Do:
    """Take these steps, all at once: none waits for another."""

    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Ran:
    """Write that these oneshots have ended as they must."""

    names: tuple[str, ...]


@dataclass(frozen=True)
class Look:
    """Probe and observe again after `seconds`: the gate is watching."""

    seconds: float


@dataclass(frozen=True)
class Commit:
    """Make the staged slot the active one: the pointer file, and nothing else, is the commit."""


@dataclass(frozen=True)
class Forget:
    """Drop slots and blobs that neither the active nor the previous slot needs."""


@dataclass(frozen=True)
class Ask:
    """Ask the permit to change, and decide again at once: an answer is good for two seconds."""

    permit: Permit


Move = Rest | Note | Obtain | Fetch | Do | Ran | Look | Commit | Forget | Ask
