# SPDX-License-Identifier: Apache-2.0
"""A plane that shows a signer one thing and asks for a signature on another is found out, and nothing is signed."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace as replaced

from checkvalve.cli import signing
from checkvalve.cli.failures import UnverifiedError
from checkvalve.crypto import digests, keyfile, keys, metadata
from checkvalve.crypto.metadata import Target
from checkvalve.protocol import supply, workload
from checkvalve.protocol.declared import File, Placed, Secret, Variable
from checkvalve.protocol.reach import Bind, Device, Limits, Log, Ulimit
from tests.cli.impostor import Exchange, Impostor
from tests.cli.terminal import Outcome, Terminal

ORG = "/01m83ag4vcsrkmftwg41mvthp4/"
ENDS = datetime(2027, 11, 3, 14, 0, 0, tzinfo=UTC)
KEY = keys.make()


def manifest(version: str, name: str = "pump", **gate: int) -> bytes:
    """Return a release's bytes."""
    config = "sha256:" + "ab" * 32
    image = workload.Image(
        config=config, config_size=2, manifest=config, name=f"{name}:1", platform="linux/amd64", layers=()
    )
    services = {"web": workload.Service(image=config)}
    return workload.write(
        workload.Manifest(
            name=name, version=version, services=services, images={config: image}, gate=workload.Gate(**gate)
        )
    )


def target(data: bytes, version: str, number: int, name: str = "pump") -> tuple[str, Target]:
    path = workload.target(ORG, name, workload.digest(data))
    return path, Target(len(data), digests.sha256_hex(data), name, version, number)


def payload(version: int, targets: Mapping[str, Target], floors: Mapping[str, int]) -> bytes:
    return metadata.new_targets(version=version, expires=ENDS, targets=targets, floors=floors)


LINE = workload.line(ORG, "pump")
ONE, TWO, THREE = (manifest(version) for version in ("1.0.0", "1.1.0", "1.2.0"))
FIRST, SECOND, THIRD = (
    target(data, version, number)
    for data, version, number in ((ONE, "1.0.0", 1), (TWO, "1.1.0", 2), (THREE, "1.2.0", 3))
)


@dataclass(frozen=True)
class Plane:
    """What a plane shows: two published releases, and a draft that adds a third, takes off the first, and sets a floor.

    Each test bends one thing.
    """

    published: tuple[int, Mapping[str, Target], Mapping[str, int]] = (4, dict([FIRST, SECOND]), {LINE: 1})
    drafted: tuple[int, Mapping[str, Target], Mapping[str, int]] = (5, dict([SECOND, THIRD]), {LINE: 2})
    manifests: Mapping[str, bytes] = field(default_factory=lambda: {"1.0.0": ONE, "1.1.0": TWO, "1.2.0": THREE})
    changes: tuple[tuple[str, str], ...] = (("add", "1.2.0"), ("withdraw", "1.0.0"), ("floor", "1.1.0"))
    digest: str = ""
    version: int = 5
    expires: str = "2027-11-03T14:00:00.000Z"
    releases: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # what is bent of a release, by version

    @property
    def payload(self) -> bytes:
        return payload(*self.drafted)

    @property
    def draft(self) -> supply.Draft:
        changes = [
            supply.Change(
                kind=kind,  # type: ignore[arg-type]
                release=self.release(version).id,
                name="pump",
                version=version,
                digest=self.release(version).digest,
                sentence=f"pump {version}",
                reason="",
            )
            for kind, version in self.changes
        ]
        return supply.Draft(
            id="06e5q0kq3w8v9z2x4c6b8n0m1a",
            scope=ORG,
            state="open",
            version=self.version,
            digest=self.digest or digests.sha256_hex(self.payload),
            expires=self.expires,
            changes=changes,
            signatures=[],
            needed=1,
            keyids=[metadata.keyid(KEY.public_key())],
            made_by="",
            made_at="",
        )

    def release(self, version: str) -> supply.Release:
        number = int(version.split(".")[1]) + 1
        original = {"1.0.0": ONE, "1.1.0": TWO, "1.2.0": THREE}[version]
        one = supply.Release(
            id=f"{number:026}",
            scope=ORG,
            name="pump",
            version=version,
            number=number,
            digest=workload.digest(original),
            ref="",
            state="drafted",
            below_floor=False,
            images=[],
            services=[],
            size=0,
            made_by="",
            made_at="",
            changed_at="",
        )
        return msgspec.structs.replace(one, **self.releases.get(version, {}))


def shown(plane: Plane) -> list[str]:
    """Return what a signer reads of this plane."""
    before = signing.read(payload(*plane.published))
    change = signing.change(before, signing.exact(plane.payload, plane.draft))
    made = {one.release: plane.release(one.version) for one in plane.draft.changes}
    signing.told(change, plane.draft, made)
    manifests = {}
    for one in made.values():
        path = workload.target(one.scope, one.name, one.digest)
        if path in change.added:
            manifests[path] = signing.manifest(change, one, plane.manifests[one.version])
    return list(signing.lines(change, plane.draft, manifests, lambda path: path, every=False))


def test_what_is_shown_is_made_of_the_bytes() -> None:
    text = "\n".join(shown(Plane()))
    assert "+ pump 1.2.0 (number 3) may run" in text
    assert "- pump 1.0.0 (number 1) may not be taken any more" in text
    assert f"^ nothing of {LINE}  ({ORG}) below number 2 may be taken any more; now it is 1" in text
    assert "web  pump:1  abababababab  linux/amd64" in text
    assert "As they are: 1 others." in text


EVIL = target(manifest("1.3.0"), "1.3.0", 4)
WIDER = manifest("1.2.0", soak_ms=1)
BENT = {
    "other bytes than its digest": Plane(digest="0" * 64),
    "another version than it says": Plane(version=6),
    "another expiry than it says": Plane(expires="2026-12-03T14:00:00.000Z"),
    "a list that follows another": Plane(published=(3, dict([FIRST, SECOND]), {})),
    "a list that follows a later one": Plane(published=(5, dict([FIRST, SECOND]), {})),
    "a release more than it says": Plane(drafted=(5, dict([SECOND, THIRD, EVIL]), {LINE: 2})),
    "a release less than it says": Plane(drafted=(5, dict([SECOND]), {LINE: 2})),
    "a release in place of another": Plane(drafted=(5, dict([SECOND, EVIL]), {LINE: 2})),
    "a published release that vanishes": Plane(drafted=(5, dict([THIRD]), {LINE: 2})),
    "a withdrawal that does not happen": Plane(drafted=(5, dict([FIRST, SECOND, THIRD]), {LINE: 2})),
    "a published release that changes": Plane(
        drafted=(5, {SECOND[0]: replace(SECOND[1], number=9), THIRD[0]: THIRD[1]}, {LINE: 2})
    ),
    "a floor that sinks": Plane(published=(4, dict([FIRST, SECOND]), {LINE: 3})),
    "a floor that vanishes": Plane(drafted=(5, dict([SECOND, THIRD]), {})),
    "a floor that rises too far": Plane(drafted=(5, dict([SECOND, THIRD]), {LINE: 3})),
    "a floor that does not rise": Plane(drafted=(5, dict([SECOND, THIRD]), {LINE: 1})),
    "a floor of another line": Plane(drafted=(5, dict([SECOND, THIRD]), {LINE: 2, "other/pump": 1})),
    "another manifest than is signed": Plane(manifests={"1.2.0": WIDER}),
    "a manifest that is none": Plane(manifests={"1.2.0": b"{}"}),
    "no manifest": Plane(manifests={"1.2.0": b""}),
    "another organisation": Plane(releases={"1.2.0": {"scope": "/06e5q0kq3w8v9z2x4c6b8n0m1a/"}}),
    "another number than is signed": Plane(releases={"1.2.0": {"number": 4}}),
    "two stories of a version": Plane(releases={"1.2.0": {"digest": workload.digest(WIDER)}}),
    "a number that is not above its line's": Plane(
        published=(4, {FIRST[0]: FIRST[1], SECOND[0]: replace(SECOND[1], number=7)}, {LINE: 1}),
        drafted=(5, {SECOND[0]: replace(SECOND[1], number=7), THIRD[0]: THIRD[1]}, {LINE: 2}),
    ),
}


@pytest.mark.parametrize("what", BENT)
def test_a_plane_that_bends_it_is_found_out(what: str) -> None:
    with pytest.raises(UnverifiedError) as error:
        shown(BENT[what])
    assert error.value.code == "draft.differs"
    assert error.value.remedy.startswith("Do not sign.")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[" * 100_000,
        b'{"_type":"root"}',
        metadata.new_root(
            version=5,
            expires=ENDS,
            root=[KEY.public_key()],
            root_threshold=1,
            targets=[KEY.public_key()],
            targets_threshold=1,
            online=keys.make().public_key(),
        ),
        payload(5, dict([SECOND]), {}).replace(b"1.1.0", b"1.1.0\x1b"),
    ],
    ids=["nothing", "empty", "nested", "half", "a root", "control"],
)
def test_bytes_that_are_no_list_are_not_signed(data: bytes) -> None:
    with pytest.raises(UnverifiedError, match=r"draft\.differs"):
        signing.exact(data, Plane(digest=digests.sha256_hex(data)).draft)


def answers(plane: Plane) -> Callable[[Exchange], None]:
    """Return what answers as this plane does."""
    file = metadata.assemble(payload(*plane.published), [])

    def handler(exchange: Exchange) -> None:
        kind, *words = exchange.path.removeprefix("/api/v1/").partition("?")[0].split("/")
        answer: object
        match kind, words:
            case "drafts", []:
                answer = {"items": [plane.draft], "next": None}
            case "drafts", [_, "payload"]:
                answer = plane.payload
            case "releases", [ident, *more]:
                one = next(each for each in map(plane.release, plane.manifests) if each.id == ident)
                answer = plane.manifests[one.version] if more else one
            case "trust", _:
                answer = file
            case "scopes", _:
                answer = {"items": [], "next": None}
            case _:
                answer = plane.draft
        body = answer if isinstance(answer, bytes) else msgspec.json.encode(answer)
        exchange.answer(200, "application/json", body)

    return handler


@pytest.fixture
def sign(terminal: Terminal, impostor: Impostor, tmp_path: Path) -> Callable[[], Outcome]:
    """Sign what the impostor shows, without being asked."""
    impostor.signed_in_at(terminal.config)
    key = tmp_path / "anna.key"
    key.write_bytes(keyfile.seal(KEY, "anna", "", bytes(16), bytes(12)))
    return lambda: terminal("release", "sign", "--key", str(key), "--yes")


def test_only_the_signature_travels_and_only_for_what_was_shown(
    sign: Callable[[], Outcome], impostor: Impostor
) -> None:
    impostor.handler = answers(Plane())
    said = sign()
    assert said.code == 0, said.err
    sent = [told for told in impostor.heard if told.method == "POST"]
    assert [told.path for told in sent] == ["/api/v1/drafts/06e5q0kq3w8v9z2x4c6b8n0m1a/signatures"]
    body = json.loads(sent[0].body)
    assert set(body) == {"digest", "keyid", "signature"}
    assert keys.verify(KEY.public_key(), bytes.fromhex(body["signature"]), Plane().payload)


@pytest.mark.parametrize(
    ("kind", "body", "code"),
    [
        ("text/html", b"<title>Sign in to the hotel</title>", "plane.not_json"),
        ("application/json", bytes(supply.LARGEST_METADATA + 1), "plane.too_large"),
        ("application/json", b"", "draft.differs"),
    ],
)
def test_a_payload_that_is_none_is_not_signed(
    sign: Callable[[], Outcome], impostor: Impostor, kind: str, body: bytes, code: str
) -> None:
    rest = answers(Plane())

    def handler(exchange: Exchange) -> None:
        if exchange.path.endswith("/payload"):
            exchange.answer(200, kind, body)
        else:
            rest(exchange)

    impostor.handler = handler
    said = sign()
    assert f"[{code}]" in said.err
    assert said.code in {4, 5}
    assert "hotel" not in said.err
    assert [told for told in impostor.heard if told.method != "GET"] == []


def test_a_bent_draft_ends_with_exit_code_5_and_nothing_is_sent(
    sign: Callable[[], Outcome], impostor: Impostor
) -> None:
    impostor.handler = answers(BENT["a release more than it says"])
    said = sign()
    assert (said.code, "[draft.differs]" in said.err) == (5, True)
    assert "pump 1.3.0 would be added, and it does not say so" in said.err
    assert [told for told in impostor.heard if told.method != "GET"] == []


OTHER: dict[str, Any] = {
    "image": "sha256:" + "cd" * 32,
    "kind": "oneshot",
    "exit": 1,
    "each_switch": True,
    "rerun_on_rollback": True,
    "command": ("run",),
    "entrypoint": ("sh",),
    "environment": {"PLC": "10.20.0.11"},
    "labels": {"line": "a"},
    "user": "1000",
    "working_dir": "/srv",
    "hostname": "press",
    "init": True,
    "read_only": True,
    "no_new_privileges": True,
    "cap_drop": ("ALL",),
    "tmpfs": ("/run",),
    "restart": "always",
    "stop_signal": "SIGINT",
    "stop_grace_ms": 1,
    "check": workload.Check(test=("NONE",)),
    "probes": (workload.TcpProbe(port=80),),
    "start_grace_ms": 1,
    "mounts": (workload.Mount(volume="data", target="/data"),),
    "networks": (workload.Attachment(network="field"),),
    "ports": (workload.Port(target=80, published=8080),),
    "after": ("other",),
    "healthy_first": ("other",),
    "files": (Placed(name="conf", target="/conf"),),
    "secrets": (Placed(name="key", target="/key"),),
    "devices": (Device(source="/dev/ttyS0", target="/dev/ttyS0"),),
    "binds": (Bind(source="/srv", target="/srv"),),
    "host_network": True,
    "extra_hosts": {"plc": "10.20.0.11"},
    "cap_add": ("NET_ADMIN",),
    "group_add": ("dialout",),
    "sysctls": {"net.ipv4.ip_forward": "1"},
    "ulimits": {"nofile": Ulimit(soft=1, hard=2)},
    "limits": Limits(memory=64 << 20),
    "log": Log(driver="none"),
    "privileged": True,
}


def runs(said: Mapping[str, Any], **whole: Any) -> list[str]:  # noqa: ANN401 - of Manifest
    """Return what a signer reads of a release with one service of which this is said."""
    web = workload.Service(**{"image": "sha256:" + "ab" * 32, **said})
    image = workload.Image(
        config=web.image, config_size=2, manifest=web.image, name="pump:1", platform="linux/amd64", layers=()
    )
    made = workload.Manifest(name="pump", version="1", services={"web": web}, images={web.image: image})
    return list(signing._runs(replaced(made, **whole)))


@pytest.mark.parametrize("name", [one.name for one in msgspec.structs.fields(workload.Service)])
def test_nothing_of_a_service_is_signed_unseen(name: str) -> None:
    assert runs({name: OTHER[name]}) != runs({})


WHOLE: dict[str, Any] = {
    "networks": {"field": workload.Network(internal=True)},
    "volumes": {"data": workload.Volume()},
    "gate": workload.Gate(max_restarts=1),
    "variables": (Variable(name="PLC"),),
    "files": (File(name="conf", default="a: 1"),),
    "secrets": (Secret(name="key"),),
    "allow": ("host-root",),
    "host_paths": ("/srv",),
}


@pytest.mark.parametrize("name", WHOLE)
def test_nothing_of_a_release_is_signed_unseen(name: str) -> None:
    shown_above = {"name", "version", "services", "images", "v"}
    assert WHOLE.keys() | shown_above == {one.name for one in msgspec.structs.fields(workload.Manifest)}
    assert runs({}, **{name: WHOLE[name]}) != runs({})


@pytest.mark.parametrize("name", [one.name for one in msgspec.structs.fields(workload.Network)])
def test_nothing_of_a_network_is_signed_unseen(name: str) -> None:
    other = {"internal": True, "driver": "macvlan"}.get(name, "10.20.0.0/24")
    one = replaced(workload.Network(), **{name: other})
    assert runs({}, networks={"field": one}) != runs({}, networks={"field": workload.Network()})


def test_all_of_a_files_default_is_signed_and_shown() -> None:
    text = "\n".join(runs({}, files=(File(name="conf", default="first\nlast"),)))
    assert "    file      conf: 10 bytes unless it is set\n              | first\n              | last\n" in text


@pytest.mark.parametrize("name", [one.name for one in msgspec.structs.fields(Placed)])
def test_nothing_of_a_file_that_a_container_gets_is_signed_unseen(name: str) -> None:
    usual = Placed(name="conf", target="/conf")
    other = replaced(usual, **{name: {"name": "keys", "target": "/keys"}.get(name, 0o600)})
    assert "    lays      web: file conf at /conf (0444, 0:0)" in runs({"files": (usual,)})
    assert runs({"files": (other,)}) != runs({"files": (usual,)})
    assert runs({"secrets": (other,)}) != runs({"secrets": (usual,)}) != runs({"files": (usual,)})


def test_what_it_may_do_is_told_with_the_dangerous_first() -> None:
    said = {
        "devices": (Device(source="/dev/serial/by-id/plc", target="/dev/ttyPLC", rights="rw"),),
        "binds": (Bind(source="/run/docker.sock", target="/run/docker.sock"),),
        "privileged": True,
    }
    found = runs(said, allow=("privileged", "engine-socket"))
    assert found[found.index("    What it may do on the device (! hands it over, or could):") + 1 :] == [
        "    ! web: all rights over the device",
        "    ! web: command of the engine that runs it /run/docker.sock:/run/docker.sock",
        "      web: the device /dev/serial/by-id/plc:/dev/ttyPLC:rw",
    ]


def test_a_release_without_rights_says_so() -> None:
    assert runs({})[-1] == "    What it may do on the device: nothing beyond its containers."
