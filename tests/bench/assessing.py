# SPDX-License-Identifier: Apache-2.0
"""The scorecard over TLS: an answer, and the page of a company that has assessed all of its sites."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from checkvalve.demo.caller import Caller
from checkvalve.demo.stage import Stage
from tests.bench.measure import Measure, median_of, seconds

SITES = 40
LOOKS = 20


def measures() -> Iterator[Measure]:
    """Measure an answer with its entry, and the Compliance page."""
    with tempfile.TemporaryDirectory() as text:
        stage = Stage(Path(text), keep=False)
        stage.make_plane("admin")
        stage.start()
        try:
            yield from _measured(stage.caller("admin"))
        finally:
            stage.leave()


def _measured(admin: Caller) -> Iterator[Measure]:
    org = admin.post("/api/v1/scopes", parent="/", kind="organisation", name="Bench")["path"]
    took: list[float] = []
    for number in range(SITES):
        site = admin.post("/api/v1/scopes", parent=org, kind="site", name=f"Site {number}")["path"]
        took += _assessed(admin, site)
    took.sort()
    yield Measure(
        "one answer of an assessment, with its entry",
        took[len(took) // 2] * 1000,
        "ms",
        "",
        f"median of {len(took)} one after the other; the answer brings all of the assessment back",
    )
    yield Measure(
        f"the Compliance page of {SITES} sites that are all assessed",
        median_of(LOOKS, lambda: seconds(lambda: admin.get("/compliance.json"))) * 1000,
        "ms",
        "",
        f"median of {LOOKS}; its JSON twin, {SITES * 25} answers behind it",
    )


def _assessed(admin: Caller, site: str) -> list[float]:
    made = admin.post("/api/v1/assessments", scope=site)
    at = f"/api/v1/assessments/{made['assessment']['id']}"
    took = [
        seconds(lambda: admin.post(f"{at}/replies", question=question["id"], said="3"))  # noqa: B023 - called at once
        for question in made["questions"]
    ]
    admin.post(f"{at}/close")
    return took
