# SPDX-License-Identifier: Apache-2.0
"""What differs between two releases, line by line."""

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings

from checkvalve.protocol import workload
from checkvalve.protocol.declared import File, Placed, Secret, Variable
from checkvalve.protocol.reach import Bind, Device, Limits, Log, Ulimit
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


@pytest.mark.slow
@given(files(), files())
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])  # most files are bad
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
    "healthy_first": ("x",),
    "files": (Placed(name="x", target="/x"),),
    "secrets": (Placed(name="x", target="/x"),),
    "devices": (Device(source="/dev/x", target="/dev/x"),),
    "binds": (Bind(source="/x", target="/x"),),
    "extra_hosts": {"X": "10.0.0.1"},
    "cap_add": ("CHOWN",),
    "group_add": ("x",),
    "sysctls": {"net.x": "1"},
    "ulimits": {"nofile": Ulimit(soft=1, hard=2)},
    "limits": Limits(pids=7),
    "log": Log(driver="none"),
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


def told(**changed: object) -> list[tuple[str, str, str]]:
    """Return the differences after fields of the pump station's manifest were changed, there and back."""
    after = msgspec.structs.replace(BEFORE, v=2, **changed)
    found = [(one.path, one.before, one.after) for one in difference.between(BEFORE, after)]
    back = [(one.path, one.after, one.before) for one in difference.between(after, BEFORE)]
    assert sorted(found) == sorted(back)
    return found


def test_what_values_fill_is_told_in_words() -> None:
    variables = (Variable(name="PLC", kind="address"), Variable(name="PORT", kind="port", default="502"))
    assert told(variables=variables, files=(File(name="conf"),), secrets=(Secret(name="key"),)) == [
        ("variables.PLC", "", "address, must be set"),
        ("variables.PORT", "", "port, 502 unless it is set"),
        ("files.conf", "", "file, must be set"),
        ("secrets.key", "", "secret, must be set"),
    ]
    one = msgspec.structs.replace(BEFORE, v=2, variables=variables)
    other = msgspec.structs.replace(one, variables=(variables[0], Variable(name="PORT", kind="port", default="503")))
    [line] = difference.between(one, other)
    assert (line.path, line.before, line.after) == ("variables.PORT.default", "502", "503")


def test_what_a_release_allows_comes_before_all_else() -> None:
    lines = told(allow=("privileged",), host_paths=("/srv",), gate=workload.Gate())
    assert lines[:2] == [("allow", "", "privileged"), ("host_paths", "", "/srv")]


def test_what_a_service_has_of_the_device_is_told_by_its_path_inside() -> None:
    bridge = msgspec.structs.replace(
        BEFORE.services["opc-bridge"],
        devices=(Device(source="/dev/serial/by-id/a", target="/dev/ttyPLC", rights="rw"),),
        binds=(Bind(source="/srv/recipes", target="/recipes", read_only=True),),
        secrets=(Placed(name="key", target="/run/secrets/key", mode=0o400, uid=7),),
        limits=Limits(memory=64 * 1024 * 1024, cpus=500),
        log=Log(size=1024 * 1024),
        networks=(workload.Attachment(network="plant", ipv4="10.20.0.5"),),
    )
    path = "services.opc-bridge"
    lines = told(services=BEFORE.services | {"opc-bridge": bridge})
    assert (f"{path}.networks.plant", "plant also as bridge", "plant 10.20.0.5") in lines
    assert [line for line in lines if ".networks." not in line[0]] == [
        (f"{path}.secrets./run/secrets/key", "", "key (0400, 7:0)"),
        (f"{path}.devices./dev/ttyPLC", "", "/dev/serial/by-id/a (rw)"),
        (f"{path}.binds./recipes", "", "/srv/recipes (read only)"),
        (f"{path}.limits.cpus", "", "0.5"),
        (f"{path}.limits.memory", "", "64m"),
        (f"{path}.log.size", "10m", "1m"),
    ]


def test_a_network_is_told_by_what_makes_it_one() -> None:
    one = workload.Network(driver="macvlan", parent="eth1", subnet="10.20.0.0/24")
    assert told(networks=BEFORE.networks | {"field": one}) == [
        ("networks.field", "", "macvlan network 10.20.0.0/24 on eth1")
    ]


def test_the_same_text_in_two_versions_is_no_difference_but_the_version() -> None:
    old = msgspec.structs.replace(BEFORE.services["historian"], environment={"A": "a$b"})
    new = msgspec.structs.replace(old, environment={"A": "a$$b"})
    one = msgspec.structs.replace(BEFORE, services=BEFORE.services | {"historian": old})
    other = msgspec.structs.replace(BEFORE, v=2, services=BEFORE.services | {"historian": new})
    [line] = difference.between(one, other)
    assert (line.path, line.before, line.after) == ("v", "1", "2")
