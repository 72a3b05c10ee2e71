# SPDX-License-Identifier: Apache-2.0
"""Which image does a compose file mean by a name?

Rules: 1. images of the release's scope and of those above it count, and the nearest scope that knows the name decides;
2. a pinned digest is the image's config or its manifest, and then the name before it is only a word; 3. a name without
a digest means one platform, or it is ambiguous: a release runs the same bytes everywhere; 4. what one image is called
in the release does not depend on the order of services.
"""

import difflib
from collections.abc import Mapping, Sequence

from checkvalve.protocol import workload
from checkvalve.server.supply.composed import Problem, Reference
from checkvalve.server.supply.model import Image

ALIKE = 5  # problems that are told what is alike
NEAREST = 3


def images(
    references: Sequence[Reference], offered: Sequence[Image], names: Sequence[str]
) -> tuple[Mapping[Reference, workload.Image], tuple[Problem, ...]]:
    """Return the image of each reference, or a problem for each one that has none.

    `offered` are the images at the scope and above it, `names` all names that are known there. Problems are
    `image.unknown` and `image.ambiguous`.
    """
    chosen: dict[Reference, Image] = {}
    problems: list[Problem] = []
    for reference in sorted(references, key=lambda one: one.line):
        match _nearest(reference, offered):
            case [image]:
                chosen[reference] = image
            case []:
                # Looking for what is alike is slow; whoever has more wrong than this knows why.
                problems.append(_unknown(reference, names if len(problems) < ALIKE else ()))
            case several:
                problems.append(_ambiguous(reference, several))
    called: dict[str, str] = {}
    for reference, image in chosen.items():  # rule 4
        config = image.found.config.digest
        called[config] = min(called.get(config, reference.text), reference.text)
    found = {one: _part(image, called[image.found.config.digest]) for one, image in chosen.items()}
    return found, tuple(problems)


def _nearest(reference: Reference, offered: Sequence[Image]) -> list[Image]:
    meant = [image for image in offered if _means(reference, image)]
    nearest = max((len(image.scope) for image in meant), default=0)  # rule 1: they are prefixes of one another
    return sorted((one for one in meant if len(one.scope) == nearest), key=lambda one: one.found.platform)


def _means(reference: Reference, image: Image) -> bool:
    if reference.digest:  # rule 2
        return reference.digest in {image.found.config.digest, image.found.manifest.digest}
    return reference.text in image.found.names


def _part(image: Image, name: str) -> workload.Image:
    found = image.found
    return workload.Image(
        config=found.config.digest,
        config_size=found.config.size,
        manifest=found.manifest.digest,
        name=name,
        platform=found.platform,
        layers=tuple(
            workload.Layer(digest=one.digest, size=one.size, media_type=one.media_type, diff_id=one.diff_id)
            for one in found.layers
        ),
    )


def _unknown(reference: Reference, names: Sequence[str]) -> Problem:
    near = difflib.get_close_matches(reference.text, sorted(names), NEAREST)
    what = f"{reference.text}@{reference.digest}" if reference.digest else reference.text
    known = f"Known here and alike: {', '.join(near)}. Or" if near else "Save the image to a file, and"
    instead = f"{known} bring it with `checkvalve image import FILE`."
    return Problem(
        reference.line, reference.path, "image.unknown", f"Nobody imported the image {what} for this place.", instead
    )


def _ambiguous(reference: Reference, several: Sequence[Image]) -> Problem:  # rule 3
    choices = ", ".join(f"{reference.text}@{one.found.config.digest} ({one.found.platform})" for one in several)
    return Problem(
        reference.line,
        reference.path,
        "image.ambiguous",
        f"{reference.text} is here for {len(several)} platforms.",
        f"Write one of these: {choices}.",
    )
