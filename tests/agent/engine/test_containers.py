# SPDX-License-Identifier: Apache-2.0
"""What a service becomes in Docker's words, and engines' answers in ours; test_docker.py shows that Docker agrees."""

import ipaddress
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkvalve.agent import places, steps
from checkvalve.agent.engine import containers, host, networks, reading, refusals, streams, subnets
from checkvalve.agent.engine.wire import RefusedError
from checkvalve.agent.steps import Ground, Slot
from checkvalve.errors import CheckvalveError
from checkvalve.protocol.declared import Placed
from checkvalve.protocol.reach import Bind, Device, Limits, Log, Ulimit
from checkvalve.protocol.workload import (
    Attachment,
    Check,
    HttpProbe,
    Manifest,
    Mount,
    Network,
    Port,
    Service,
    Volume,
)
from tests.agent.engine import images
from tests.agent.engine.benches import new_device, slot


def of(**said: Any) -> Slot:  # noqa: ANN401 -- fields of a service
    made = images.data(1)
    service = msgspec.structs.replace(made.read.services["web"], **said)
    manifest = msgspec.structs.replace(made.read, services={"web": service})
    return replace(slot("d", made, attempt="0" * 26), manifest=manifest, copies={})


def body(**said: Any) -> dict[str, Any]:  # noqa: ANN401 -- fields of a service
    return containers.wanted(of(**said), "web").body


def test_labels_of_ours_count_more_than_those_of_a_release() -> None:
    said = body(labels={steps.DEVICE: "another", "plant": "north"})["Labels"]
    assert (said[steps.DEVICE], said["plant"]) == ("d", "north")


def test_a_service_without_networks_is_on_none() -> None:
    said = body(networks=())
    assert said["HostConfig"]["NetworkMode"] == "none"
    assert said["NetworkingConfig"]["EndpointsConfig"] == {}


def test_a_container_is_made_with_policy_no_whatever_is_declared() -> None:
    assert body(restart="always")["HostConfig"]["RestartPolicy"] == {"Name": "no"}


def test_a_grace_is_never_shorter_than_it_was_given() -> None:
    assert [body(stop_grace_ms=ms)["StopTimeout"] for ms in (0, 1, 1_000, 1_001)] == [0, 1, 1, 2]


def test_a_check_of_none_switches_the_images_off_and_no_check_leaves_it() -> None:
    assert body(check=Check(test=("NONE",)))["Healthcheck"] == {"Test": ["NONE"]}
    assert "Healthcheck" not in body(check=None)


def test_what_is_not_said_is_the_images_own() -> None:
    said = body(command=None, entrypoint=None, user="", working_dir="", hostname="", stop_signal="")
    assert {"Cmd", "Entrypoint", "User", "WorkingDir", "Hostname", "StopSignal"} & said.keys() == set()


def test_a_volume_that_is_to_be_a_copy_stays_empty_until_it_is_one() -> None:
    whole = of()
    copied = replace(whole, copies={whole.volumes["data"]: "old"})
    assert containers.wanted(whole, "web").copies == ()
    assert containers.wanted(copied, "web").copies == (whole.volumes["data"],)
    [mount] = containers.wanted(copied, "web").body["HostConfig"]["Mounts"]
    assert mount["VolumeOptions"]["NoCopy"] is True


FIELDS: dict[str, Any] = {
    "command": ("a",),
    "entrypoint": ("b",),
    "environment": {"A": "1"},
    "labels": {"a": "1"},
    "user": "1",
    "working_dir": "/a",
    "hostname": "h",
    "init": True,
    "read_only": True,
    "no_new_privileges": True,
    "cap_drop": ("ALL",),
    "tmpfs": ("/t",),
    "stop_signal": "SIGHUP",
    "stop_grace_ms": 7_000,
    "check": Check(test=("CMD", "true")),
    "mounts": (),
    "networks": (),
    "ports": (Port(target=1, published=1),),
    "files": (Placed(name="recipe", target="/etc/recipe"),),
    "secrets": (Placed(name="pin", target="/run/secrets/pin"),),
    "devices": (Device(source="/dev/ttyS0", target="/dev/meter"),),
    "binds": (Bind(source="/srv/data", target="/data"),),
    "host_network": True,
    "extra_hosts": {"plc": "10.20.0.9"},
    "cap_add": ("NET_ADMIN",),
    "group_add": ("20",),
    "sysctls": {"net.ipv4.ip_forward": "1"},
    "ulimits": {"nofile": Ulimit(soft=1, hard=2)},
    "limits": Limits(pids=5),
    "log": Log(files=2),
    "privileged": True,
}


@pytest.mark.parametrize("field", sorted(FIELDS))
def test_another_content_has_another_definition(field: str) -> None:
    plain, other = containers.wanted(of(), "web"), containers.wanted(of(**{field: FIELDS[field]}), "web")
    assert plain.definition != other.definition
    assert plain.definition == containers.wanted(of(), "web").definition


def test_every_field_of_a_service_reaches_the_container_or_is_the_agents() -> None:
    """A field that is added to the manifest is thought of here."""
    agents = {
        "image",
        "kind",
        "exit",
        "each_switch",
        "rerun_on_rollback",
        "restart",
        "probes",
        "start_grace_ms",
        "after",
        "healthy_first",
    }
    assert set(Service.__struct_fields__) == agents | FIELDS.keys()


# ---- What a service has of its host. ----


def test_a_container_of_version_1_keeps_the_definition_that_it_was_made_with() -> None:
    """Digests of the agent before version 2: with another one, whatever runs would be made anew by an update of it."""
    image = "sha256:" + "1" * 64
    full = Service(
        image=image,
        command=("-c", "sleep $$ 100000"),
        entrypoint=("sh",),
        environment={"A": "1", "EMPTY": ""},
        labels={"plant": "north"},
        user="1000:1000",
        working_dir="/tmp",
        hostname="historian",
        init=True,
        read_only=True,
        no_new_privileges=True,
        cap_drop=("ALL",),
        tmpfs=("/run", "/tmp"),
        stop_signal="SIGKILL",
        stop_grace_ms=1_500,
        check=Check(test=("CMD", "true"), interval_ms=1_000, timeout_ms=2_000, retries=4, start_period_ms=0),
        mounts=(Mount(volume="data", target="/data"), Mount(volume="shared", target="/shared", read_only=True)),
        networks=(Attachment(network="front", aliases=("hist",)), Attachment(network="back")),
        ports=(
            Port(target=80, published=18_180, address="127.0.0.1"),
            Port(target=53, published=18_153, protocol="udp"),
        ),
        probes=(HttpProbe(port=80),),
    )
    manifest = Manifest(
        name="historian",
        version="1",
        services={"web": full, "bare": Service(image=image)},
        images={},
        networks={"front": Network(), "back": Network(internal=True)},
        volumes={"data": Volume(policy="snapshot"), "shared": Volume()},
    )
    volumes = {"data": "d-data", "shared": "d-shared"}
    of_old = Slot("d" * 26, "0" * 25 + "1", image, "org/historian/x.json", 1, manifest, volumes, {"d-data": "old"})

    def definition(service: str, *, podman: bool = False) -> str:
        return containers.wanted(of_old, service, podman=podman, files="/f", secrets="/s").definition

    assert definition("web") == "b1be6653f0a8e705b63be1ab7c00547eced953fb6d188baa6a427e45170263dc"
    assert definition("web", podman=True) == "4fa9276d07838b0447310043f6daec928440a03ba2b8e4ea665bf51fbcf856a1"
    assert definition("bare") == "ebcc7da28d92f7cceabd046117b51d71f8ec5f3eb0133707cbd22bbe99918ca0"
    assert definition("bare", podman=True) == "1161a21a64b6fdd17489f3df76955921d441bf5584a59190d5f6a23396e8299f"
    assert [of_old.network(name)[-14:] for name in ("front", "back")] == ["front-78366a99", "-back-949aefaa"]


def test_a_service_that_has_the_hosts_network_is_on_no_other() -> None:
    said = body(networks=(), host_network=True)
    assert said["HostConfig"]["NetworkMode"] == "host"
    assert said["NetworkingConfig"] == {"EndpointsConfig": {}}


def test_the_network_with_a_hardware_address_is_the_one_a_container_is_made_on() -> None:
    """This API has one hardware address a container, which is that of its first network."""
    of_two = images.release(
        images.image(1),
        {
            "web": images.service(
                images.image(1),
                networks=(
                    Attachment(network="a", ipv6="fd00::5"),
                    Attachment(network="b", ipv4="10.20.0.5", mac="02:42:ac:11:00:05"),
                ),
            )
        },
        networks={"a": Network(), "b": Network(subnet="10.20.0.0/24")},
        v=2,
    )
    where = slot("d", of_two)
    wanted = containers.wanted(where, "web")
    assert wanted.body["MacAddress"] == "02:42:ac:11:00:05"
    assert wanted.body["HostConfig"]["NetworkMode"] == where.network("b")
    assert list(wanted.attached) == [where.network("b"), where.network("a")]
    assert wanted.attached[where.network("a")]["IPAMConfig"] == {"IPv6Address": "fd00::5"}
    assert wanted.body["NetworkingConfig"]["EndpointsConfig"][where.network("b")] == {
        "Aliases": ["web"],
        "IPAMConfig": {"IPv4Address": "10.20.0.5"},
        "MacAddress": "02:42:ac:11:00:05",
    }


def test_files_and_secrets_are_mounted_read_only_from_where_they_were_laid() -> None:
    where = of(files=FIELDS["files"], secrets=FIELDS["secrets"], binds=FIELDS["binds"], mounts=())
    mounts = containers.wanted(where, "web", files="/data/files", secrets="/run/own").body["HostConfig"]["Mounts"]
    assert [(each["Source"], each["Target"], each["ReadOnly"]) for each in mounts] == [
        (places.file("/data/files", where.attempt, "web", "recipe"), "/etc/recipe", True),
        (places.secret("/run/own", where.attempt, "web", "pin"), "/run/secrets/pin", True),
        ("/srv/data", "/data", False),
    ]
    assert {each["Type"] for each in mounts} == {"bind"}  # which Docker never makes the source of


@pytest.mark.parametrize(
    ("log", "docker", "podman"),
    [
        (Log(), host.LOGS, host.PODMAN_LOGS),
        (
            Log(size=5_000, files=2),
            {"Type": "json-file", "Config": {"max-size": "5000", "max-file": "2"}},
            {"Type": "k8s-file", "Config": {"max-size": "5000"}},
        ),
        (
            Log(driver="local", files=1),
            {"Type": "local", "Config": {"max-size": "10485760", "max-file": "1", "compress": "false"}},
            {"Type": "k8s-file", "Config": {"max-size": "10485760"}},
        ),
        (Log(driver="journald"), {"Type": "journald", "Config": {}}, {"Type": "journald", "Config": {}}),
        (Log(driver="none", size=1), {"Type": "none", "Config": {}}, {"Type": "none", "Config": {}}),
        (
            Log(size=0),
            {"Type": "json-file", "Config": {"max-size": "10485760", "max-file": "3"}},
            {"Type": "k8s-file", "Config": {"max-size": "10485760"}},
        ),
    ],
)
def test_what_engines_keep_of_a_log_has_a_bound(log: Log, docker: dict[str, Any], podman: dict[str, Any]) -> None:
    assert (host.log(log, podman=False), host.log(log, podman=True)) == (docker, podman)


def test_limits_are_said_in_the_engines_units_and_only_those_that_are_set() -> None:
    said = body(limits=Limits(memory=1 << 26, cpus=250))["HostConfig"]
    assert (said["Memory"], said["NanoCpus"]) == (1 << 26, 250_000_000)
    assert {"MemoryReservation", "CpusetCpus", "PidsLimit", "ShmSize"} & said.keys() == set()


def test_what_is_in_memory_has_the_options_after_its_path() -> None:
    said = body(tmpfs=("/run:size=64m,mode=1777", "/tmp"))["HostConfig"]["Tmpfs"]
    assert said == {"/run": "size=64m,mode=1777", "/tmp": ""}


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ('invalid mount config for type "bind": bind source path does not exist: /srv/a b', "/srv/a b"),
        ('error gathering device information while adding custom device "/dev/ttyS9": no such file', "/dev/ttyS9"),
        ("container create: stat /dev/ttyS9: no such file or directory", "/dev/ttyS9"),
        ("invalid subinterface vlan name eth7, example formatting is eth0.10", "eth7"),
        ("parent interface eth7 does not exist", "eth7"),
    ],
)
def test_what_a_release_needs_of_the_device_and_does_not_find_is_told_by_its_name(said: str, wanted: str) -> None:
    found = refusals.told("web", RefusedError(400, said))
    assert (found.code, wanted in found.sentence, "of this device, and it is not there" in found.sentence) == (
        "engine.refused", True, True,
    )  # fmt: skip
    other = RefusedError(500, "Address already in use")
    assert refusals.told("web", other) is other


# ---- What engines answer. ----


def test_an_image_of_the_containerd_store_is_known_by_the_name_it_was_loaded_with() -> None:
    config, manifest = "a" * 64, "sha256:" + "b" * 64
    ours = {"Id": manifest, "RepoTags": [f"checkvalve/d:{config}"], "RepoDigests": [f"checkvalve/d@{manifest}"]}
    classic = {"Id": "sha256:" + "c" * 64, "RepoTags": [f"checkvalve/d:{config}"], "RepoDigests": []}
    pulled = {"Id": "sha256:" + "d" * 64, "RepoTags": ["web:1"], "RepoDigests": [f"web@{manifest}"]}
    found = reading.images([ours, classic, pulled])
    assert found[manifest] == f"sha256:{config}"
    assert found[classic["Id"]] == classic["Id"]  # type: ignore[index]
    assert reading.by_manifest([classic, pulled]) is False
    said = {"Id": "1", "Image": manifest, "State": {"Status": "running"}}
    assert reading.container(said, found).image == f"sha256:{config}"


def test_the_words_of_podman_are_put_into_dockers() -> None:
    for word, state in (("configured", "created"), ("initialized", "created"), ("stopped", "exited"), ("odd", "dead")):
        said = {"Id": "1", "Name": "web", "Image": "e" * 64, "State": {"Status": word}}
        found = reading.container(said, {})
        assert (found.state, found.image, found.policy) == (state, "sha256:" + "e" * 64, "no")


def test_a_volume_with_a_mark_beside_it_is_not_there() -> None:
    listed: list[dict[str, Any]] = [{"Name": "a"}, {"Name": "b"}, {"Name": "b.begun", "Labels": {reading.OF: "b"}}]
    assert reading.volumes(listed) == {"a"}


def test_an_address_is_the_first_by_the_networks_name() -> None:
    networks = {"b": {"IPAddress": "10.0.0.2"}, "a": {"IPAddress": "", "GlobalIPv6Address": "fd00::1"}}
    assert reading.address({"NetworkSettings": {"Networks": networks}}) == "10.0.0.2"
    assert reading.address({}) == ""


# ---- Subnets and streams. ----


def test_an_address_that_this_device_reaches_counts_more_than_a_hidden_one() -> None:
    said = {"NetworkSettings": {"Networks": {"a": {"IPAddress": "10.0.0.1"}, "b": {"IPAddress": "10.0.0.2"}}}}
    assert [reading.address(said, hidden) for hidden in ({"a"}, {"a", "b"}, set())] == ["10.0.0.2"] + ["10.0.0.1"] * 2
    assert reading.address({"HostConfig": {"NetworkMode": "host"}} | said) == "127.0.0.1"


def test_a_container_is_on_a_network_if_that_is_the_one_of_today() -> None:
    on = {"same": {"NetworkID": "1"}, "new": {"NetworkID": "2"}, "fresh": {"NetworkID": ""}, "podman": {}, "gone": {}}
    said = {"Id": "1", "NetworkSettings": {"Networks": on}}
    ids = {"same": "1", "new": "3", "fresh": "4", "podman": "5"}
    assert reading.container(said, {}, ids).networks == frozenset({"same", "fresh", "podman"})
    assert reading.container(said, {}).networks is None


def test_what_is_listed_as_ended_or_never_begun_does_not_run() -> None:
    words = ["created", "configured", "exited", "stopped", "removing", "running", "paused", "restarting", "stopping"]
    assert [each for each in words if reading.idle({"State": each})] == words[:5]
    assert not reading.idle({})


def test_what_a_network_takes_is_read_of_its_subnets_and_its_interface() -> None:
    ipam = {"Config": [{"Subnet": "fd00::/64"}, {"Subnet": "10.20.0.0/24"}]}
    listed: list[dict[str, Any]] = [
        {"Name": "docker", "IPAM": ipam, "Options": {"parent": "eth1"}},
        {"Name": "podman", "IPAM": {}, "Labels": {"checkvalve.parent": "eth2"}},
        {"Name": "bare", "IPAM": {"Config": None}, "Options": None},
    ]
    assert networks.grounds(listed) == {
        Ground("docker", ("10.20.0.0/24", "fd00::/64"), "eth1"),
        Ground("podman", (), "eth2"),
        Ground("bare"),
    }


@given(st.integers(8, 28), st.integers(0, 20))
def test_subnets_of_a_pool_never_overlap_and_lie_in_it(size: int, count: int) -> None:
    pool = subnets.pool(str(ipaddress.IPv4Network((10 << 24, size))))
    taken: list[str] = ["fd00::/64", "", "nonsense"]
    for _ in range(count):
        if len(taken) - 3 == 2 ** (max(size, min(28, max(24, size + 4))) - size):
            with pytest.raises(CheckvalveError, match="No subnet is left"):
                subnets.free(pool, taken)
            return
        subnet = ipaddress.IPv4Network(subnets.free(pool, taken))
        assert subnet.subnet_of(pool)
        assert not any(subnet.overlaps(ipaddress.IPv4Network(other)) for other in taken[3:])
        taken.append(str(subnet))


@pytest.mark.parametrize("text", ["", "10.0.0.0", "10.0.0.1/16", "fd00::/64", "0.0.0.0/0", "10.0.0.0/30"])
def test_a_pool_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(CheckvalveError) as raised:
        subnets.pool(text)
    assert raised.value.code == "engine.pool"


def frame(stream: int, text: bytes) -> bytes:
    return bytes([stream, 0, 0, 0]) + len(text).to_bytes(4, "big") + text


@given(
    st.lists(st.tuples(st.integers(0, 2), st.text(max_size=20))),
    st.integers(1, 40),
    st.integers(0, 60),
    st.integers(1, 9),
)
def test_frames_are_read_the_same_however_they_are_cut(
    frames: list[tuple[int, str]], limit: int, asked: int, step: int
) -> None:
    whole = b"".join(frame(stream, text.encode()) for stream, text in frames)
    tail = streams.Tail(limit)
    for at in range(0, len(whole), step):
        tail.add(whole[at : at + step])
    text = "".join(text for _, text in frames).replace("\0", "\ufffd")
    got = tail.text(min(limit, asked))
    assert len(got.encode()) <= min(limit, asked)
    assert text.endswith(got) or "\ufffd" in got


def test_a_stream_without_frames_is_text_as_it_is() -> None:
    tail = streams.Tail(100)
    tail.add(b"plain words")
    tail.add(b" and more\xff\0")
    assert tail.text(100) == "plain words and more\ufffd\ufffd"


def test_the_devices_name_is_in_the_name_of_its_image() -> None:
    device = new_device()
    assert reading.image_name(device, "sha256:" + "a" * 64) == f"checkvalve/{device}:{'a' * 64}"
