# SPDX-License-Identifier: Apache-2.0
"""Why does an engine refuse a container, for those who run the plant?

Its own words stay where they say it as well as ours would. What is told anew is what a release needs of a device and
does not find there, for then somebody at the device can help: 1. a path or a device that is not there, which Docker
says as a mount is looked at and at a start, and Podman in the words of the kernel; 2. an interface that is not there.
"""

import re

from checkvalve.agent.engine.wire import RefusedError
from checkvalve.errors import ConflictError

_PATHS = (
    re.compile(r"bind source path does not exist: (?P<path>/[^\n]*?)\s*$"),
    re.compile(r'adding custom device "(?P<path>/[^"\n]*)": (?:no such file|lstat|stat)'),
    re.compile(r"(?:statfs|stat|lstat) (?P<path>/[^\n:]*): no such file or directory"),
)
_PARENT = re.compile(
    r"invalid subinterface vlan name (?P<parent>[^,\s]+)|parent interface (?P<other>\S+) does not exist"
)


def told(name: str, error: RefusedError) -> ConflictError:
    """Return the refusal of a container or network in words that help, the engine's own if there are no better ones."""
    for form in _PATHS:
        if found := form.search(error.sentence):
            return ConflictError(
                "engine.refused",
                f"{name} needs {found['path']} of this device, and it is not there.",
                "Connect or make it on the device, or correct the release or its values.",
            )
    if found := _PARENT.search(error.sentence):
        return ConflictError(
            "engine.refused",
            f"{name} needs the interface {found['parent'] or found['other']} of this device, and it is not there.",
            "Set it up on the device, or correct the release or its values.",
        )
    return error
