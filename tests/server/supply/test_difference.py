# SPDX-License-Identifier: Apache-2.0
"""What differs between two releases, line by line."""

import msgspec
import pytest
from hypothesis import given, settings

from checkvalve.protocol import workload
from checkvalve.server.supply import difference
from tests.server.supply.test_compose import PUMP_STATION, good
from tests.server.supply.test_compose_meaning import dumped as written
from tests.server.supply.test_compose_meaning import files, manifest

TEXT = PUMP_STATION.read_text()
BEFORE = manifest(good(TEXT))


def changed(old: str, new: str) -> list[tuple[str, str, str]]:
    """Return the differences after one place of the pump station was written anew."""
    assert TEXT.count(old) >= 1
    after = manifest(good(TEXT.replace(old, new)))
    return [(one.path, one.before, one.after) for one in difference.between(BEFORE, after)]


def test_the_same_release_has_no_difference() -> None:
    assert difference.between(BEFORE, manifest(good(TEXT))) == []


def test_a_first_release_is_told_part_by_part() -> None:
    lines = difference.between(None, BEFORE)
    assert [one.path for one in lines] == [
        "name",
        "version",
        "gate.start_grace",
        "gate.soak",
        "gate.max_restarts",
        "services.historian",
        "services.migrate",
        "services.opc-bridge",
        "networks.controllers",
        "networks.plant",
        "volumes.values",
    ]
    assert all(one.before == "" for one in lines)
    assert lines[3].after == "5m"
    image = BEFORE.services["migrate"].image.removeprefix("sha256:")[:12]
    assert lines[6].after == f"oneshot of plant/historian:2.4.0 ({image})"
    assert [one.after for one in lines[8:]] == ["network", "internal network", "volume (snapshot)"]


def test_a_duration_is_shown_for_people() -> None:
    assert changed("soak: 5m", "soak: 90s") == [("gate.soak", "5m", "1m30s")]
    assert changed("start_grace: 90s", "start_grace: 2m") == [("services.opc-bridge.start_grace", "1m30s", "2m")]


def test_an_image_is_shown_by_name_and_twelve_digits() -> None:
    [line] = changed("plant/opc-bridge:1.9.2", "plant/opc-bridge:1.9.3")
    assert line[0] == "services.opc-bridge.image"
    assert line[1].startswith("plant/opc-bridge:1.9.2 (")
    assert len(line[1]) == len("plant/opc-bridge:1.9.2 ()") + 12


def test_images_that_look_alike_are_shown_in_full() -> None:
    bridge = BEFORE.services["opc-bridge"]
    twin = bridge.image[:-1] + ("0" if bridge.image[-1] != "0" else "1")
    images = {key: image for key, image in BEFORE.images.items() if key != bridge.image}
    images[twin] = msgspec.structs.replace(BEFORE.images[bridge.image], config=twin)
    services = BEFORE.services | {"opc-bridge": msgspec.structs.replace(bridge, image=twin)}
    [line] = difference.between(BEFORE, msgspec.structs.replace(BEFORE, services=services, images=images))
    assert bridge.image in line.before
    assert twin in line.after


def test_the_same_image_that_came_another_way_is_one_line() -> None:
    key = BEFORE.services["opc-bridge"].image
    images = BEFORE.images | {key: msgspec.structs.replace(BEFORE.images[key], manifest="sha256:" + "0" * 64)}
    [line] = difference.between(BEFORE, msgspec.structs.replace(BEFORE, images=images))
    assert line.path.endswith(".manifest")


def test_a_service_more_or_less_is_one_line() -> None:
    more = changed("  historian:\n", "  extra: {image: press:1}\n  historian:\n")
    assert [line[0] for line in more] == ["services.extra", "networks.default"]
    without = msgspec.structs.replace(
        BEFORE, services={name: one for name, one in BEFORE.services.items() if name != "opc-bridge"}
    )
    [line] = difference.between(BEFORE, without)
    assert (line.path, line.after) == ("services.opc-bridge", "")


def test_variables_and_mounts_are_told_one_by_one() -> None:
    assert changed("LOG_LEVEL: info", "LOG_LEVEL: debug\n      LOG: file") == [
        ("services.historian.environment.LOG", "", "file"),
        ("services.historian.environment.LOG_LEVEL", "info", "debug"),
    ]
    assert changed("    tmpfs: /tmp\n", "") == [("services.historian.tmpfs", '["/tmp"]', "[]")]
    moved = changed("- values:/var/lib/historian\n    tmpfs", "- values:/data:ro\n    tmpfs")
    assert moved == [
        ("services.historian.mounts./data", "", '{"volume": "values", "target": "/data", "read_only": true}'),
        (
            "services.historian.mounts./var/lib/historian",
            '{"volume": "values", "target": "/var/lib/historian", "read_only": false}',
            "",
        ),
    ]


def test_a_check_is_told_field_by_field() -> None:
    assert changed("interval: 10s\n      timeout: 3s", "interval: 1m\n      timeout: 3s") == [
        ("services.historian.check.interval", "10s", "1m")
    ]


def test_a_side_stays_one_short_line() -> None:
    [line] = changed("LOG_LEVEL: info", 'LOG_LEVEL: "a\\nb\\e[31m' + "x" * 5_000 + '"')
    assert line[2].startswith("a\\u000ab\\u001b[31mxxx")
    assert len(line[2]) < 450


@given(files(), files())
@settings(max_examples=10, deadline=None)
def test_there_is_a_difference_exactly_when_the_manifests_differ(one: object, other: object) -> None:
    before, after = manifest(good(written(one))), manifest(good(written(other)))
    assert difference.between(before, before) == []
    lines = difference.between(before, after)
    assert bool(lines) == (workload.write(before) != workload.write(after))
    assert all(line.before != line.after for line in lines)


OTHER: dict[str, object] = {
    "kind": "oneshot",
    "exit": 7,
    "command": ("x",),
    "entrypoint": ("x",),
    "environment": {"X": "x"},
    "labels": {"X": "x"},
    "cap_drop": ("CHOWN",),
    "tmpfs": ("/x",),
    "restart": "on-failure",
    "check": workload.Check(test=("CMD", "x")),
    "probes": (workload.TcpProbe(port=7),),
    "mounts": (),
    "networks": (),
    "ports": (),
    "after": (),
}


@pytest.mark.parametrize("field", [field for field in workload.Service.__struct_fields__ if field != "image"])
def test_every_field_of_a_service_is_looked_at(field: str) -> None:
    old = BEFORE.services["historian"]
    value = getattr(old, field)
    other = OTHER.get(field, not value if isinstance(value, bool) else 7 if field.endswith("_ms") else "x")
    services = BEFORE.services | {"historian": msgspec.structs.replace(old, **{field: other})}
    lines = difference.between(BEFORE, msgspec.structs.replace(BEFORE, services=services))
    assert lines
    assert all(line.path.startswith(f"services.historian.{field.removesuffix('_ms')}") for line in lines)
