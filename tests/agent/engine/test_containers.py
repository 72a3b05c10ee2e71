# SPDX-License-Identifier: Apache-2.0
"""What a service becomes in Docker's words, and engines' answers in ours; test_docker.py shows that Docker agrees."""

import ipaddress
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkvalve.agent import steps
from checkvalve.agent.engine import containers, reading, streams, subnets
from checkvalve.agent.steps import Slot
from checkvalve.errors import CheckvalveError
from checkvalve.protocol.workload import Check, Port, Service
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
    }
    assert set(Service.__struct_fields__) == agents | FIELDS.keys()


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
