# SPDX-License-Identifier: Apache-2.0
"""What a release may do on a device is told whole, and the dangerous as dangerous."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from checkvalve.errors import InvalidError
from checkvalve.protocol import filling, reach, rights, workload
from checkvalve.protocol.declared import Variable
from checkvalve.protocol.reach import Allowed, Bind, Device

CONFIG = "sha256:" + "ab" * 32
IMAGE = workload.Image(config=CONFIG, config_size=2, manifest=CONFIG, name="press:1", platform="linux/amd64", layers=())


def manifest(
    service: workload.Service, allow: tuple[Allowed, ...] = (), host_paths: tuple[str, ...] = (), **whole: object
) -> workload.Manifest:
    """Return a release of one service."""
    made = workload.Manifest(
        name="press", version="1", services={"web": service}, images={CONFIG: IMAGE}, allow=allow, v=2
    )
    return replace(made, host_paths=host_paths, **whole)


def web(**said: object) -> workload.Service:
    """Return a service of which this is said."""
    return replace(workload.Service(image=CONFIG), **said)


def told(release: workload.Manifest) -> list[tuple[str, str, bool]]:
    """Return its rights without the names of services."""
    return [(one.kind, one.what, one.grave) for one in rights.rights(release)]


def test_a_plain_release_may_do_nothing_beyond_its_containers() -> None:
    one = web(ports=(workload.Port(target=80, published=80),), cap_drop=("ALL",), tmpfs=("/run",))
    assert rights.rights(manifest(one)) == ()


def test_the_dangerous_comes_first_in_an_order_of_its_own() -> None:
    one = web(
        privileged=True,
        host_network=True,
        cap_add=("CHOWN", "SYS_ADMIN"),
        devices=(Device(source="/dev/ttyS0", target="/dev/ttyS0"), Device(source="/dev/sda", target="/dev/sda")),
        sysctls={"net.core.somaxconn": "4096"},
        group_add=("dialout",),
    )
    assert told(manifest(one, ("privileged",))) == [
        ("privileged", "", True),
        ("host-network", "", True),
        ("capability", "SYS_ADMIN", True),
        ("device", "/dev/sda:/dev/sda:rwm", True),
        ("capability", "CHOWN", False),
        ("device", "/dev/ttyS0:/dev/ttyS0:rwm", False),
        ("sysctl", "net.core.somaxconn=4096", False),
        ("group", "dialout", False),
    ]


def test_what_is_allowed_is_told_though_no_service_uses_it() -> None:
    assert told(manifest(web(), ("host-root", "privileged"))) == [("privileged", "", True), ("host-root", "", True)]


@pytest.mark.parametrize(
    ("source", "grave"),
    [
        ("/dev/serial/by-id/usb-plc", False),
        ("/dev/serial/by-id/${NAME}", False),
        ("/dev/ttyUSB0", False),
        ("/dev/gpiochip0", False),
        ("/dev", True),
        ("/dev/mem", True),
        ("/dev/sda1", True),
        ("/dev/disk/by-id/x", True),
        ("/dev/mapper/root", True),
        ("/dev/${NAME}", True),
        ("/dev/s${NAME}", True),
        ("${NAME}", True),
    ],
)
def test_a_device_that_holds_the_machine_is_dangerous(source: str, *, grave: bool) -> None:
    one = web(devices=(Device(source=source, target="/dev/x"),))
    assert [each[2] for each in told(manifest(one))] == [grave]


@pytest.mark.parametrize(
    ("source", "read_only", "kind", "grave"),
    [
        ("/srv/recipes", False, "host-path", False),
        ("/etc/chrony", False, "host-path", True),
        ("/etc/chrony", True, "host-path", False),
        ("/proc", True, "host-path", False),
        ("/run/dbus", True, "host-path", True),
        ("/var/lib", True, "host-path", True),
        ("/", True, "host-root", True),
        ("/proc/1/root", True, "host-root", True),
        ("/run/docker.sock", True, "engine-socket", True),
        ("/run", True, "engine-socket", True),
        ("/run/podman/podman.sock", False, "engine-socket", True),
        ("${PLACE}", True, "engine-socket", True),
        ("/srv/${PLACE}", False, "host-path", False),
    ],
)
def test_a_path_of_the_device_is_told_as_what_it_gives(source: str, kind: str, *, read_only: bool, grave: bool) -> None:
    one = web(binds=(Bind(source=source, target="/x", read_only=read_only),))
    found = told(manifest(one, ("engine-socket",), ("/srv",)))
    said = f"{source}:/x" + (":ro" if read_only else "")
    assert (kind, said, grave) in found


def test_a_variable_that_may_be_a_system_path_is_dangerous() -> None:
    one = web(binds=(Bind(source="/etc/${NAME}", target="/x"), Bind(source="${PLACE}", target="/y")))
    assert [each[2] for each in told(manifest(one, (), ("/etc/app", "/srv")))] == [True, True]


PATHS = st.one_of(
    st.sampled_from(
        [
            "/",
            "/run",
            "/run/docker.sock",
            "/var/run/podman/x",
            "/proc/1/root/etc",
            "/srv/a",
            "/srv",
            "/etc",
            "/srv/../etc",
        ]
    ),
    st.text("/.srvun", min_size=1, max_size=8),
)


@given(
    st.sets(st.sampled_from(("privileged", "engine-socket", "host-root"))),
    st.sets(PATHS, max_size=3),
    PATHS,
    st.integers(0, 8),
)
def test_no_value_reaches_what_the_release_does_not_allow(
    allow: set[Allowed], host_paths: set[str], path: str, cut: int
) -> None:
    one = web(binds=(Bind(source=filling.literal(path[:cut]) + "${REST}", target="/x"),))
    release = manifest(one, tuple(sorted(allow)), tuple(sorted(host_paths)), variables=(Variable(name="REST"),))
    try:
        filled = filling.fill(release, {"REST": path[cut:]})
    except InvalidError:
        return
    source = filled.services["web"].binds[0].source
    assert reach.needed(source) in {None, *allow}
    roots = {"/"} if "host-root" in allow else set()
    roots |= set(reach.ENGINE_SOCKETS) if "engine-socket" in allow else set()
    assert any(reach.within(source, root) for root in (host_paths - {"/"}) | roots)
    kinds = {right.kind for right in rights.rights(release)}
    needed = reach.needed(source)
    assert needed is None or needed in kinds


def test_a_privileged_service_is_no_manifest_unless_that_is_allowed() -> None:
    with pytest.raises(InvalidError) as refused:
        workload.write(manifest(web(privileged=True)))
    assert refused.value.code == "manifest.rights"
    assert workload.read(workload.write(manifest(web(privileged=True), ("privileged",)))).services["web"].privileged


def test_what_cannot_be_there_twice_is_told_in_sentences() -> None:
    one = web(
        networks=(workload.Attachment(network="field", ipv4="${PLC}", mac="02:42:0a:14:00:05"),),
        ports=(workload.Port(target=502, published=502, address="10.0.0.5"), workload.Port(target=53, published=53)),
        devices=(Device(source="/dev/ttyS0", target="/dev/ttyS0"),),
    )
    networks = {"field": workload.Network(subnet="10.20.0.0/24"), "default": workload.Network()}
    assert rights.exclusive(manifest(one, networks=networks)) == (
        "The network field has the fixed subnet 10.20.0.0/24.",
        "The service web has the fixed address ${PLC} on field.",
        "The service web has the fixed address 02:42:0a:14:00:05 on field.",
        "The service web publishes port 502/tcp of the device on 10.0.0.5.",
        "The service web publishes port 53/tcp of the device.",
        "The service web uses the device /dev/ttyS0.",
    )
    assert rights.exclusive(manifest(web(host_network=True))) == ("The service web is on the device's own network.",)
    assert rights.exclusive(manifest(web())) == ()
