# SPDX-License-Identifier: Apache-2.0
"""What a compose file may say of the device that a service runs on, and what must be allowed for it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checkvalve.protocol import filling, rights, workload
from checkvalve.protocol.declared import Placed
from checkvalve.protocol.reach import Bind, Device, Limits, Log, Ulimit
from checkvalve.server.supply import compose, keywords, podman, sizes
from checkvalve.server.supply.composed import Composed, Problem
from tests.server.supply.test_compose import good, problems
from tests.server.supply.test_compose_meaning import dumped, manifest

MIB = 1024 * 1024
TOP = """name: a
configs: {conf: {content: 'a: 1'}}
secrets: {key: {}}
volumes: {data: }
"""


def source(body: str, extension: str = "", rest: str = "") -> str:
    """Return a file with one service, whose words are `body` in flow style."""
    return f"{TOP}x-checkvalve: {{version: '1'{extension}}}\nservices: {{web: {{image: press:1, {body}}}}}\n{rest}"


def one(body: str, extension: str = "") -> workload.Service:
    """Return what that service becomes, as a device reads it."""
    made = manifest(good(source(body, extension)))
    return filling.fill(workload.read(workload.write(made)), {}).services["web"]


def wrong(body: str, extension: str = "") -> list[Problem]:
    """Return what is wrong with that service."""
    return list(problems(source(body, extension)))


@pytest.mark.parametrize(
    ("body", "field", "value"),
    [
        ("devices: [/dev/ttyUSB0]", "devices", (Device(source="/dev/ttyUSB0", target="/dev/ttyUSB0"),)),
        ("devices: ['/dev/serial/by-id/usb-1:/dev/ttyPLC:wr', /dev/null:r]", "devices",
         (Device(source="/dev/null", target="/dev/null", rights="r"),
          Device(source="/dev/serial/by-id/usb-1", target="/dev/ttyPLC", rights="rw"))),
        ("devices: [{source: '/dev/serial/by-path/pci-0:1', target: /dev/ttyPLC, permissions: rw}]", "devices",
         (Device(source="/dev/serial/by-path/pci-0:1", target="/dev/ttyPLC", rights="rw"),)),
        ("network_mode: host", "host_network", True),
        ("network_mode: host", "networks", ()),
        ("network_mode: none", "networks", ()),
        ("network_mode: none", "host_network", False),
        ("cap_add: [net_admin, CAP_SYS_TIME, NET_ADMIN]", "cap_add", ("NET_ADMIN", "SYS_TIME")),
        ("cap_add: [CHOWN], cap_drop: [ALL]", "cap_add", ("CHOWN",)),
        ("group_add: [dialout, 20, '20']", "group_add", ("20", "dialout")),
        ("sysctls: {net.ipv4.ip_forward: 1, kernel.msgmax: '65536'}", "sysctls",
         {"net.ipv4.ip_forward": "1", "kernel.msgmax": "65536"}),
        ("sysctls: [net.core.somaxconn=4096, fs.mqueue.msg_max=100]", "sysctls",
         {"net.core.somaxconn": "4096", "fs.mqueue.msg_max": "100"}),
        ("tmpfs: '/run:size=64m,mode=01777,noexec,uid=1000'", "tmpfs",
         ("/run:mode=1777,noexec,size=67108864,uid=1000",)),
        ("tmpfs: [/tmp, '/run:ro']", "tmpfs", ("/run:ro", "/tmp")),
        ("volumes: [{type: tmpfs, target: /run, tmpfs: {size: 1g, mode: 0o1777}, read_only: true}]", "tmpfs",
         ("/run:mode=1777,ro,size=1073741824",)),
        ("volumes: [{type: tmpfs, target: /run}]", "tmpfs", ("/run",)),
        ("shm_size: 128mb", "limits", Limits(shm=128 * MIB)),
        ("ulimits: {nofile: {soft: 1024, hard: '4096'}, core: 0, memlock: -1}", "ulimits",
         {"nofile": Ulimit(soft=1024, hard=4096), "core": Ulimit(soft=0, hard=0), "memlock": Ulimit(soft=-1, hard=-1)}),
        ("extra_hosts: {plc: 10.20.0.5, hmi: 'fd00::5'}", "extra_hosts", {"plc": "10.20.0.5", "hmi": "fd00::5"}),
        ("extra_hosts: ['plc:10.20.0.5', 'hmi=fd00:0::5', 'scada:[::1]']", "extra_hosts",
         {"plc": "10.20.0.5", "hmi": "fd00::5", "scada": "::1"}),
        ("logging: {driver: local, options: {max-size: 1m, max-file: '5'}}", "log", Log("local", MIB, 5)),
        ("logging: {driver: journald}", "log", Log(driver="journald")),
        ("logging: {driver: none}", "log", Log(driver="none")),
        ("logging: {options: {max-size: 1m}}", "log", Log(size=MIB)),
        ("environment: {TZ: Europe/Stockholm}", "environment", {"TZ": "Europe/Stockholm"}),
        ("mem_limit: 64m, mem_reservation: 32m, cpus: 0.5, cpuset: '3,0-1', pids_limit: 100", "limits",
         Limits(memory=64 * MIB, reserved=32 * MIB, cpus=500, cpuset="0-1,3", pids=100)),
        ("deploy: {resources: {limits: {cpus: '1.5', memory: 64M, pids: 9}, reservations: {memory: 32m}}}", "limits",
         Limits(memory=64 * MIB, reserved=32 * MIB, cpus=1_500, pids=9)),
        ("cpus: 2, deploy: {resources: {limits: {cpus: '2.0', memory: 64m}}}", "limits",
         Limits(memory=64 * MIB, cpus=2_000)),
        ("pids_limit: -1", "limits", Limits()),
        ("configs: [conf]", "files", (Placed(name="conf", target="/conf"),)),
        ("secrets: [key]", "secrets", (Placed(name="key", target="/run/secrets/key"),)),
        ("secrets: [{source: key, target: plc.pem, mode: 0400, uid: '1000', gid: 20}]", "secrets",
         (Placed(name="key", target="/run/secrets/plc.pem", mode=0o400, uid=1000, gid=20),)),
        ("configs: [{source: conf, target: /etc/app//app.yaml, mode: '0440'}]", "files",
         (Placed(name="conf", target="/etc/app/app.yaml", mode=0o440),)),
    ],
)  # fmt: skip
def test_a_word_becomes_what_it_says(body: str, field: str, value: object) -> None:
    assert getattr(one(body), field) == value


@pytest.mark.parametrize(
    ("body", "extension", "field", "value"),
    [
        ("privileged: true", "allow: [privileged]", "privileged", True),
        ("cap_add: [ALL]", "allow: [privileged]", "cap_add", ("ALL",)),
        ("volumes: ['/srv/recipes:/recipes:ro']", "host_paths: [/srv]", "binds",
         (Bind(source="/srv/recipes", target="/recipes", read_only=True),)),
        ("volumes: [{type: bind, source: /srv, target: /srv, bind: {create_host_path: false}}]", "host_paths: [/srv]",
         "binds", (Bind(source="/srv", target="/srv"),)),
        ("volumes: ['/var/run/docker.sock:/run/docker.sock']", "allow: [engine-socket]", "binds",
         (Bind(source="/var/run/docker.sock", target="/run/docker.sock"),)),
        ("volumes: ['/:/host:ro']", "allow: [host-root]", "binds", (Bind(source="/", target="/host", read_only=True),)),
        ("volumes: ['${PLACE}/log:/log']", "host_paths: [/srv], variables: {PLACE: /srv}", "binds",
         (Bind(source="/srv/log", target="/log"),)),
        ("devices: ['${PLC}:/dev/ttyPLC']", "variables: {PLC: /dev/ttyUSB0}", "devices",
         (Device(source="/dev/ttyUSB0", target="/dev/ttyPLC"),)),
        ("extra_hosts: ['plc:${PLC}']", "variables: {PLC: {kind: address, default: 10.20.0.5}}", "extra_hosts",
         {"plc": "10.20.0.5"}),
        ("environment: {TZ: '${TZ}', A: 'a$$b'}", "variables: {TZ: UTC}", "environment", {"TZ": "UTC", "A": "a$b"}),
    ],
)  # fmt: skip
def test_what_is_declared_and_allowed_is_taken(body: str, extension: str, field: str, value: object) -> None:
    assert getattr(one(body, f", {extension}"), field) == value


@pytest.mark.parametrize(
    ("body", "extension", "code", "instead"),
    [
        ("privileged: true", "", "allow", "`allow: [privileged]` below `x-checkvalve`"),
        ("privileged: true", "allow: [host-root]", "allow", "`allow: [privileged, host-root]`"),
        ("cap_add: [ALL]", "", "allow", "`allow: [privileged]`"),
        ("volumes: ['/run/docker.sock:/x']", "host_paths: [/run]", "allow", "`allow: [engine-socket]`"),
        ("volumes: ['/run:/x']", "host_paths: [/run]", "allow", "`allow: [engine-socket]`"),
        ("volumes: ['/:/x']", "", "allow", "`allow: [host-root]`"),
        ("volumes: ['/proc/1/root:/x']", "host_paths: [/proc]", "allow", "`allow: [host-root]`"),
        ("volumes: ['/srv/a:/x']", "", "allow", "`host_paths: [/srv/a]` below `x-checkvalve`"),
        ("volumes: ['/srv/ab:/x']", "host_paths: [/srv/a]", "allow", "`host_paths: [/srv/a, /srv/ab]`"),
        ("volumes: ['${X}:/x']", "variables: {X: {}}", "allow", "`host_paths: [/srv/recipes]`"),
    ],
)
def test_what_is_not_allowed_is_refused_with_the_line_to_add(
    body: str, extension: str, code: str, instead: str
) -> None:
    [found] = wrong(body, f", {extension}" if extension else "")
    assert found.code == f"compose.{code}"
    assert instead in found.instead


@pytest.mark.parametrize(
    ("body", "code", "path"),
    [
        ("devices: [/etc/passwd]", "value", "devices.0"),
        ("devices: [/dev/../etc/passwd]", "value", "devices.0"),
        ("devices: [nvidia.com/gpu=all]", "value", "devices.0"),
        ("devices: ['/dev/a:/dev/b:rx']", "value", "devices.0"),
        ("devices: ['/dev/a:/dev/b:c:d']", "value", "devices.0"),
        ("devices: ['/dev/a:/dev/x', '/dev/b:/dev/x']", "value", "devices.1"),
        ("devices: [{target: /dev/a}]", "missing", "devices.0"),
        ("devices: [{source: /dev/a, permissions: rr}]", "value", "devices.0.permissions"),
        ("network_mode: bridge", "unsupported", "network_mode"),
        ("network_mode: 'service:db'", "unsupported", "network_mode"),
        ("network_mode: host, ports: ['80:80']", "value", "ports"),
        ("network_mode: none, networks: [default]", "value", "networks"),
        ("network_mode: none, x-checkvalve: {probes: [{kind: tcp, port: 80}]}", "value", "x-checkvalve.probes"),
        ("cap_add: [NET_ADMIM]", "value", "cap_add.0"),
        ("cap_add: [CHOWN], cap_drop: [CHOWN]", "value", "cap_add.0"),
        ("group_add: [a b]", "value", "group_add.0"),
        ("sysctls: {vm.overcommit_memory: 1}", "value", "sysctls"),
        ("sysctls: {kernel.core_pattern: x}", "value", "sysctls"),
        ("sysctls: {net: 1}", "value", "sysctls"),
        ("network_mode: host, sysctls: {net.ipv4.ip_forward: 1}", "value", "sysctls"),
        ("tmpfs: '/run:size=0'", "value", "tmpfs"),
        ("tmpfs: '/run:suid'", "value", "tmpfs"),
        ("tmpfs: '/run:exec,noexec'", "value", "tmpfs"),
        ("tmpfs: '/run:size=1m,size=2m'", "value", "tmpfs"),
        ("tmpfs: '/run:'", "value", "tmpfs"),
        ("volumes: [{type: tmpfs, target: /run, tmpfs: {mode: 1777}}]", "value", "volumes.0.tmpfs.mode"),
        ("volumes: [{type: volume, source: data, target: /x, tmpfs: {size: 1m}}]", "value", "volumes.0.tmpfs"),
        ("volumes: [{type: npipe, source: data, target: /x}]", "value", "volumes.0.type"),
        ("volumes: [{type: bind, target: /x}]", "missing", "volumes.0"),
        ("volumes: ['/srv//a:/x']", "value", "volumes.0"),
        ("volumes: ['/srv/../etc:/x']", "value", "volumes.0"),
        ("volumes: ['data:/run/secrets/key'], secrets: [key]", "value", "secrets.0"),
        ("shm_size: 1", "value", "shm_size"),
        ("mem_limit: 1m", "value", "mem_limit"),
        ("mem_limit: lots", "value", "mem_limit"),
        ("mem_limit: 64m, mem_reservation: 65m", "value", "mem_reservation"),
        ("mem_limit: 64m, deploy: {resources: {limits: {memory: 65m}}}", "value", "deploy.resources.limits.memory"),
        ("deploy: {resources: {reservations: {cpus: '1'}}}", "unsupported", "deploy.resources.reservations.cpus"),
        ("cpus: 0", "value", "cpus"),
        ("cpus: 0.0001", "value", "cpus"),
        ("cpus: 1e3", "value", "cpus"),
        ("cpuset: '3-1'", "value", "cpuset"),
        ("cpuset: 'all'", "value", "cpuset"),
        ("pids_limit: 0", "value", "pids_limit"),
        ("ulimits: {nofiles: 1}", "value", "ulimits.nofiles"),
        ("ulimits: {nofile: {soft: 2, hard: 1}}", "value", "ulimits.nofile.soft"),
        ("ulimits: {nofile: {soft: -1, hard: 1}}", "value", "ulimits.nofile.soft"),
        ("ulimits: {nofile: {soft: 2}}", "missing", "ulimits.nofile"),
        ("extra_hosts: ['plc']", "value", "extra_hosts.0"),
        ("extra_hosts: {plc: host-gateway}", "value", "extra_hosts.plc"),
        ("extra_hosts: ['plc:10.0.0.1', 'plc:10.0.0.2']", "duplicate", "extra_hosts.1"),
        ("logging: {driver: syslog}", "value", "logging.driver"),
        ("logging: {driver: none, options: {max-size: 1m}}", "value", "logging.options"),
        ("logging: {options: {max-size: '-1'}}", "value", "logging.options.max-size"),
        ("logging: {options: {tag: x}}", "unknown", "logging.options.tag"),
        ("secrets: [other]", "reference", "secrets.0"),
        ("configs: [key]", "reference", "configs.0"),
        ("configs: [{target: /x}]", "missing", "configs.0"),
        ("configs: [{source: conf, target: x}]", "value", "configs.0.target"),
        ("configs: [{source: conf, mode: 440}]", "value", "configs.0.mode"),
        ("configs: [{source: conf, mode: 04440}]", "value", "configs.0.mode"),
        ("configs: [conf, conf]", "value", "configs.1"),
        ("environment: {A: '${B}'}", "variable", "environment.A"),
        ("environment: {A: .inf}", "type", "environment.A"),
        ("environment: {A: .NaN}", "type", "environment.A"),
    ],
)
def test_what_no_device_could_run_is_refused_where_it_stands(body: str, code: str, path: str) -> None:
    found = wrong(body)
    assert [(each.code, each.path) for each in found] == [(f"compose.{code}", f"services.web.{path}")]


@pytest.mark.parametrize("paths", ["[/]", "[srv]", "[/srv/]", "[/srv/../etc]", "['/srv/${X}']"])
def test_a_declared_path_of_the_device_is_absolute_and_written_in_one_way(paths: str) -> None:
    found = wrong("user: a", f", host_paths: {paths}")
    assert [each.path for each in found] == ["x-checkvalve.host_paths.0"]


def test_what_is_allowed_and_not_used_is_noted() -> None:
    found = good(source("user: a", ", allow: [privileged, host-root], host_paths: [/srv/a, /srv/b]"))
    assert "`allow` has privileged, host-root, and no service uses it." in found.notes
    assert "`host_paths` has /srv/a, /srv/b, and no service mounts from there." in found.notes
    used = good(source("privileged: true, volumes: ['/srv/a/b:/b']", ", allow: [privileged], host_paths: [/srv/a]"))
    assert not [note for note in used.notes if "no service" in note]


WORDS = st.sampled_from([word for word, said in keywords.CONTAINER.items() if not said])
INSIDE = st.sampled_from(
    "source target type driver options soft hard limits reservations resources memory cpus pids condition size mode "
    "uid max-size max-file read_only tmpfs bind create_host_path permissions nofile net.x db data".split()
)
LEAVES = st.one_of(
    st.sampled_from(
        ["", "/", "/dev/a", "/srv:/a:ro", "${A}", "${A}:${A}:${A}", "$$", "a:b:c:d", "=", ":", "64m", "0400", "host",
         "db", "service_healthy", "ALL", "1-0", "tmpfs", "-1", "/run:size=1m", "é", "data:/x"]
    ),
    st.integers(-2, 9**16),
    st.booleans(),
    st.none(),
    st.floats(allow_nan=False),
)  # fmt: skip
NODES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(INSIDE, inner, max_size=3)),
    max_leaves=6,
)


@pytest.mark.slow
@given(st.dictionaries(WORDS, NODES, min_size=1, max_size=4), st.booleans())
@settings(max_examples=400, deadline=None)
def test_whatever_stands_below_a_word_is_answered(body: dict[str, object], allowed: bool) -> None:  # noqa: FBT001
    extension: dict[str, object] = {"version": "1", "variables": {"A": "/srv/x"}}
    if allowed:
        extension |= {"allow": ["privileged", "engine-socket", "host-root"], "host_paths": ["/srv"]}
    services = {"web": {"image": "press:1"} | body, "db": {"image": "press:1"}}
    whole = {"name": "a", "x-checkvalve": extension, "services": services, "volumes": {"data": None}}
    found = compose.read(dumped(whole).encode())
    if isinstance(found, Composed):
        made = manifest(found)
        assert workload.read(workload.write(made)) == made
        rights.rights(filling.fill(made, {}))
        rights.exclusive(made)
        podman.notes(found)
    else:
        assert all(problem.line >= 1 and problem.instead for problem in found)


WAITS = """name: a
x-checkvalve: {{version: '1'}}
services:
  db: {{image: press:1, restart: always, {db}}}
  web: {{image: press:1, restart: always, depends_on: {{db: {{condition: service_healthy}}}}}}
"""


@pytest.mark.parametrize(
    ("db", "noted"),
    [
        ("healthcheck: {test: [CMD, a]}", False),
        ("x-checkvalve: {probes: [{kind: tcp, port: 80}]}", False),
        ("user: a", True),
    ],
)
def test_a_service_waits_for_what_can_be_healthy(db: str, *, noted: bool) -> None:
    composed = good(WAITS.format(db=db))
    web = composed.services["web"].settings
    assert (web.after, web.healthy_first) == (("db",), ("db",))
    assert any("image's own check" in note for note in composed.notes) == noted


@pytest.mark.parametrize("db", ["healthcheck: {disable: true}"])
def test_what_can_never_be_healthy_is_not_waited_for(db: str) -> None:
    assert [each.path for each in problems(WAITS.format(db=db))] == ["services.web.depends_on.db.condition"]


def test_what_a_profile_left_out_is_waited_for_only_if_it_need_not_be_there() -> None:
    text = """name: a
x-checkvalve: {version: '1'}
services:
  extra: {image: press:1, profiles: [extra]}
  web: {image: press:1, depends_on: {extra: {condition: service_started, required: REQUIRED}}}
"""
    assert [each.path for each in problems(text.replace("REQUIRED", "true"))] == ["services.web.depends_on.extra"]
    assert good(text.replace("REQUIRED", "false")).services["web"].settings.after == ()
    both = compose.read(text.replace("REQUIRED", "true").encode(), profiles=["extra"])
    assert isinstance(both, Composed)
    assert both.services["web"].settings.after == ("extra",)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0", 0), ("1", 1), ("1b", 1), ("64k", 65_536), ("64KB", 65_536), ("64KiB", 65_536), ("1.5m", 1_572_864),
        ("1 gb", 1 << 30), ("2t", 2 << 40), ("0.1k", None), ("", None), ("m", None), ("-1", None), ("1x", None),
        ("1.2345k", None), ("\uff11", None),
    ],
)  # fmt: skip
def test_a_size_is_a_whole_number_of_bytes(text: str, count: int | None) -> None:
    assert sizes.read(text) == count


@given(st.integers(0, 1 << 49))
def test_a_size_that_is_shown_is_read_again(count: int) -> None:
    assert sizes.read(sizes.shown(count)) == count
