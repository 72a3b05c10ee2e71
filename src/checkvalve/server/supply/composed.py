# SPDX-License-Identifier: Apache-2.0
"""What a compose file says, as values: all of a release but its images, or the list of what is wrong with it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from checkvalve.protocol import workload
from checkvalve.protocol.declared import File, Secret, Variable
from checkvalve.protocol.reach import Allowed
from checkvalve.server.supply.model import Release

MOST_PROBLEMS = 50


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong at one place of the file, and what to write instead. `line` counts from 1."""

    line: int
    path: str  # `services.web.privileged`; empty for the file itself
    code: str
    sentence: str
    instead: str


@dataclass(frozen=True, slots=True)
class Reference:
    """The image that a service names: `text` in its short form, `digest` if the file pins one with `@sha256:`."""

    text: str
    digest: str
    line: int
    path: str


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that differs between two releases; a side is empty where it has nothing."""

    path: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Container:
    """One service. `settings.image` is empty until the image is known."""

    reference: Reference
    settings: workload.Service


@dataclass(frozen=True, slots=True)
class Composed:
    """A release without its images. `notes` are sentences about what was read and has no effect.

    Texts that values may fill are templates, also where nothing in them is a variable.
    """

    name: str
    version: str
    services: Mapping[str, Container]
    networks: Mapping[str, workload.Network]
    volumes: Mapping[str, workload.Volume]
    gate: workload.Gate
    variables: tuple[Variable, ...] = ()
    files: tuple[File, ...] = ()
    secrets: tuple[Secret, ...] = ()
    allow: tuple[Allowed, ...] = ()
    host_paths: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def references(self) -> tuple[Reference, ...]:
        """The images that its services name, in the order of the services' names."""
        return tuple(self.services[name].reference for name in sorted(self.services))


@dataclass(frozen=True, slots=True)
class Asked:
    """A release that somebody wants made of a file; name and version, where given, count more than what it says.

    `engine` is what its devices have: what that cannot do is refused.
    """

    source: bytes
    name: str = ""
    version: str = ""
    profiles: tuple[str, ...] = ()
    engine: Literal["docker", "podman"] = "docker"


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a compose file would become. `manifest` are the release's bytes if nothing is wrong."""

    problems: tuple[Problem, ...]
    notes: tuple[str, ...] = ()
    composed: Composed | None = None
    manifest: bytes | None = None
    digest: str = ""
    previous: Release | None = None  # what `differences` compares with
    differences: tuple[Difference, ...] = ()
    same: Release | None = None  # the release that it is already


@dataclass(slots=True)
class Findings:
    """What a reading of one file has found so far."""

    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    variables: dict[str, str | None] = field(default_factory=dict)  # declared -> default
    used: set[str] = field(default_factory=set)  # variables that a template names

    def note(self, sentence: str) -> None:
        """Keep a note, once."""
        if sentence not in self.notes:
            self.notes.append(sentence)

    def told(self) -> tuple[Problem, ...]:
        """Return the problems in the order of the file; what is more than fifty is counted in one line more."""
        ordered = sorted(self.problems, key=lambda problem: problem.line)
        if len(ordered) <= MOST_PROBLEMS:
            return tuple(ordered)
        left = ordered[MOST_PROBLEMS:]
        return (
            *ordered[:MOST_PROBLEMS],
            Problem(
                left[0].line,
                "",
                "compose.too_many",
                f"From here on there are {len(left)} problems more.",
                "Correct those above, then check again.",
            ),
        )
