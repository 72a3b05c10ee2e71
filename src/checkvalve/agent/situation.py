# SPDX-License-Identifier: Apache-2.0
"""What a device is about to decide on, all of it, and the few questions that every decision asks of it.

Whoever carries out moves keeps to this: 1. observe, fold `health.look` over `watched(…)` if there is one, ask
`plan.move`, carry out that one move, and begin again; 2. keep a watch always: at a start and after each `Note` it is
`health.noted`, and after each `Do` it is `health.did` of the steps that the engine was there to take, whatever came of
them; 3. what failed goes into `failure`, with its move in `failed`, until another move has been carried out; 4. `tries`
counts failures since a `Rest` without one.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from checkvalve.agent import findings, health
from checkvalve.agent.asides import Left
from checkvalve.agent.budget import Means
from checkvalve.agent.health import Watch
from checkvalve.agent.steps import Container, Do, Failure, Move, Note, Observed, Policy, Position, Slot, Step, Stop
from checkvalve.agent.waiting import Local, Permitted
from checkvalve.protocol.exchange import State
from checkvalve.protocol.workload import Image, Manifest

SHORTEST_PAUSE, LONGEST_PAUSE = 5.0, 600.0  # seconds between tries
STOP_GRACE_MS = 10_000  # of containers whose manifest is not known any more
RUNS = frozenset({"running", "restarting", "paused"})
GOING = frozenset({"removing", "dead"})


@dataclass(frozen=True)
class Situation:
    """`held` are digests of whole blobs on disk; `now` is seconds of the clock that the watch's times are of."""

    position: Position
    observed: Observed
    active: Slot | None
    previous: Slot | None
    staged: Slot | None
    held: frozenset[str]
    watch: Watch | None
    failure: Failure | None
    now: float
    failed: Move | None = None  # what `failure` came of; None: of the attempt, whatever else there is to do
    tries: int = 0  # failures in a row
    local: Local = field(default_factory=Local)  # policy, tags and window, as they are now
    permit: Permitted | None = None  # the permit's last answer
    means: Means | None = None  # to fetch with, before the switch; and what there is, while volumes are set aside
    left: tuple[Left, ...] = ()  # volumes that were left behind

    @property
    def watching(self) -> Watch:
        """Return the watch, one that has seen nothing if there is none."""
        return self.watch or health.begin(self.now)

    @property
    def vain(self) -> tuple[Step, ...]:
        """Return the steps among which is one that failed last; () if none did."""
        return self.failed.steps if self.failure is not None and isinstance(self.failed, Do) else ()


def watched(position: Position, active: Slot | None, staged: Slot | None) -> Slot | None:
    """Return the slot whose containers are to be looked at."""
    return staged if position.state in {State.SWITCHING, State.VERIFYING} else active


def pause(tries: int) -> float:
    """Return how many seconds to wait after so many failures: 5 s at first, twice as long each time, at most 10 min."""
    return min(SHORTEST_PAUSE * 2.0 ** min(max(tries, 0), 10), LONGEST_PAUSE)


def note(state: State, failure: Failure) -> Note:
    """Return the note that says why in the failure's words."""
    return Note(state, failure.code, failure.sentence, failure.services)


def blobs(image: Image) -> dict[str, int]:
    """Return what an image is rebuilt from: digest -> size of its config and layers."""
    return {image.config: image.config_size, **{layer.digest: layer.size for layer in image.layers}}


def all_blobs(manifest: Manifest) -> dict[str, int]:
    """Return what a whole release is rebuilt from."""
    return {digest: size for image in manifest.images.values() for digest, size in blobs(image).items()}


def strangers(slot: Slot | None, observed: Observed) -> tuple[Container, ...]:
    """Return the device's containers that are not those of this slot, in name and place."""
    mine = [] if slot is None else list(findings.own(slot, observed).values())
    return tuple(each for each in observed.containers if each not in mine)


def calm(containers: Iterable[Container], situation: Situation) -> tuple[Step, ...]:
    """Return the next steps towards none of these running, now or after a restart of the engine; () if that is so.

    Their policy goes first: a stopped container with `restart: always` runs again when the engine restarts. Then they
    are stopped, each after those that depend on it.
    """
    there = [each for each in containers if each.state not in GOING]
    if loud := [each for each in there if each.policy != "no"]:
        return tuple(Policy(each.name, "no") for each in loud)
    manifests = {slot.attempt: slot.manifest for slot in _known(situation)}
    running = [each for each in there if each.state in RUNS]
    needed = {(each.attempt, name) for each in running if each.attempt in manifests for name in _after(manifests, each)}
    free = [each for each in running if (each.attempt, each.service) not in needed]
    return tuple(Stop(each.name, _grace_ms(manifests, each)) for each in free or running)


def _known(situation: Situation) -> list[Slot]:
    return [slot for slot in (situation.active, situation.previous, situation.staged) if slot is not None]


def _after(manifests: Mapping[str, Manifest], each: Container) -> tuple[str, ...]:
    service = manifests[each.attempt].services.get(each.service)
    return () if service is None else service.after


def _grace_ms(manifests: Mapping[str, Manifest], each: Container) -> int:
    manifest = manifests.get(each.attempt)
    service = None if manifest is None else manifest.services.get(each.service)
    return STOP_GRACE_MS if service is None else service.stop_grace_ms
