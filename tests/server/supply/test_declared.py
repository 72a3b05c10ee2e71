# SPDX-License-Identifier: Apache-2.0
"""What a compose file leaves open, where values stand in it, and what of it is literal."""

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from checkvalve.errors import InvalidError
from checkvalve.protocol import filling, workload
from checkvalve.protocol.declared import File, Secret, Variable
from checkvalve.server.supply import compose
from checkvalve.server.supply.composed import Composed
from tests.server.supply.test_compose import GATEWAY, GOOD, PUMP_STATION, good, problems
from tests.server.supply.test_compose_meaning import TEXTS, dumped, manifest

SET = {"TAG": "PU-014", "BROKER": "10.1.0.9", "ADDRESS": "10.20.0.31"}

# What the code before values made of these files, to the last byte.
PUMP_STATION_DIGEST = "sha256:6ad07ef4aae943c80d17c739c0cb3e083ded71adbbc29617f9ffd044ae13e539"
DOLLARS_DIGEST = "sha256:7f7365de1e6b3b5ece5e5d249df05ecaeaa9db59608ea006c94e633451382492"
DOLLARS = """
name: many
x-checkvalve: {version: '1', soak: 3s}
services:
  web:
    image: press:1
    command: run 'a $$b' $$HOME
    entrypoint: [sh, -c, 'echo $$A $$$$']
    environment: {A: a$$b, B: 1, C: true}
    hostname: press-1
    labels: {a: $$x}
    ports: ['127.0.0.1:80:80', '[0:0::1]:81:81/udp', '8000-8001:8000-8001']
    healthcheck: {test: echo $$X}
    networks: {default: {aliases: [b]}, plant: }
    tmpfs: [/tmp]
    restart: always
    x-checkvalve: {probes: [{kind: exec, command: [echo, $$Y]}]}
networks: {plant: {internal: true, driver: bridge}}
"""


def declaring(variables: str, body: str, rest: str = "") -> str:
    return (
        f"name: a\nx-checkvalve: {{version: '1', variables: {{{variables}}}}}\n"
        f"services: {{web: {{image: press:1, restart: always, {body}}}}}\n{rest}"
    )


def filled(variables: str, body: str, rest: str = "", **values: str) -> workload.Service:
    return filling.fill(manifest(good(declaring(variables, body, rest))), values).services["web"]


def test_a_release_without_values_has_the_digest_that_it_always_had() -> None:
    for source, digest in ((PUMP_STATION.read_text(), PUMP_STATION_DIGEST), (DOLLARS, DOLLARS_DIGEST)):
        made = manifest(good(source))
        assert made.v == 1
        assert workload.digest(workload.write(made)) == digest


def test_the_gateway_is_a_release_that_values_fill() -> None:
    composed = good(GATEWAY.read_bytes())
    assert composed.notes == ("Left out, for their profiles are not enabled: trace.",)
    made = manifest(composed)
    assert made.v == workload.VERSION
    assert workload.read(workload.write(made)) == made
    reader = filling.fill(made, SET).services["reader"]
    assert reader.command is not None
    assert reader.command[-1] == "mqtts://10.1.0.9:8883/PU-014"
    assert reader.environment["PRICE"] == "5 $"
    assert reader.hostname == "gateway-PU-014"
    assert [at.ipv4 for at in reader.networks] == ["", "10.20.0.31"]
    assert filling.fill(made, SET).networks["plant"].parent == "eth1"


def test_all_of_a_declaration_is_kept_by_name() -> None:
    source = """
name: a
x-checkvalve:
  version: '1'
  variables:
    Z: {type: number, default: -0.5, help: of zero}
    B: true
    A: {choices: [x, 2]}
    N:
  files: {b: {default: "5 $$"}, a: }
  secrets: {key: {help: of the door}}
configs: {c: {content: text}, d: {}}
secrets: {other: {}, third: }
services: {web: {image: press:1, restart: always, environment: [A=$A, "B=$B-${N}", Z=$Z]}}
"""
    made = good(source)
    assert made.variables == (
        Variable(name="A", kind="choice", choices=("x", "2")),
        Variable(name="B", default="true"),
        Variable(name="N"),
        Variable(name="Z", kind="number", default="-0.5", help="of zero"),
    )
    assert made.files == (
        File(name="a"),
        File(name="b", default="5 $"),
        File(name="c", default="text"),
        File(name="d"),
    )
    assert made.secrets == (Secret(name="key", help="of the door"), Secret(name="other"), Secret(name="third"))
    assert made.services["web"].settings.environment == {"A": "${A}", "B": "${B}-${N}", "Z": "${Z}"}
    assert "No service uses these: a, b, c, d, key, other, third." in made.notes


def test_what_is_declared_and_used_nowhere_is_noted() -> None:
    assert good(declaring("A: , B: x", "environment: {X: $B}")).notes == ("Nothing uses these variables: A.",)


def test_a_variable_stays_within_its_word_of_a_command() -> None:
    one = filled("A: ", "command: \"run --to=$A '${A}' $$A\"", A='x y"; rm')
    assert one.command == ("run", '--to=x y"; rm', 'x y"; rm', "$A")


def test_a_value_is_not_looked_at_again() -> None:
    assert filled("A: , B: b", "environment: {X: $A$B}", A="${B}$$").environment == {"X": "${B}$$b"}


def test_a_port_may_be_bound_to_an_address_that_values_give() -> None:
    one = filled(
        "A: , B: ''", "ports: ['${A}:502:502', '[$A]:503:503', {target: 80, published: 80, host_ip: $B}]", A="::1"
    )
    assert [(port.address, port.published) for port in one.ports] == [("::1", 502), ("::1", 503), ("", 80)]


NET = "networks: {lan: {ipam: {config: [{subnet: $NET, gateway: $GATE}]}}}"
LAN = "NET: 10.0.0.0/24, GATE: 10.0.0.254, ADDRESS: "


@pytest.mark.parametrize(
    "values", [{"ADDRESS": "10.0.1.5"}, {"ADDRESS": "10.0.0.5", "NET": "10.0.0.0/25"}, {"ADDRESS": "x"}]
)
def test_a_value_that_leaves_its_network_fills_nothing(values: dict[str, str]) -> None:
    body = "networks: {lan: {ipv4_address: $ADDRESS}}"
    assert filled(LAN, body, NET, ADDRESS="10.0.0.5").networks[0].ipv4 == "10.0.0.5"
    with pytest.raises(InvalidError) as error:
        filled(LAN, body, NET, **values)
    assert error.value.code == "values.address"


def test_defaults_that_cannot_be_together_are_told_at_their_place() -> None:
    body = "networks: {lan: {ipv4_address: $ADDRESS}}"
    found = problems(declaring("NET: 10.0.0.0/24, GATE: 10.0.0.254, ADDRESS: 10.1.0.5", body, NET))
    assert [(one.path, one.sentence) for one in found] == [
        ("services.web.networks.lan.ipv4_address", "10.1.0.5 is not in 10.0.0.0/24, the subnet of lan.")
    ]


def test_addresses_and_subnets_are_written_in_their_usual_form() -> None:
    rest = "networks: {lan: {ipam: {config: [{subnet: 'FD00:0::/64', ip_range: 'fd00:0::0:0/80'}]}}}"
    body = "networks: {lan: {ipv6_address: 'FD00::0:5', mac_address: '02:42:0A:00:00:05'}}"
    made = manifest(good(declaring("", body, rest)))
    assert made.networks["lan"] == workload.Network(subnet="fd00::/64", range="fd00::/80")
    assert made.services["web"].networks == (
        workload.Attachment(network="lan", ipv6="fd00::5", mac="02:42:0a:00:00:05"),
    )


PROFILED = """
name: a
x-checkvalve: {version: '1'}
services:
  web: {image: press:1, restart: always, depends_on: {t: {condition: service_started, required: false}}}
  t: {image: press:1, restart: always, profiles: [debug, other]}
  u: {build: ., profiles: [build]}
"""


@pytest.mark.parametrize(
    ("profiles", "services", "after"),
    [((), ["web"], ()), (("other",), ["t", "web"], ("t",)), (("debug", "other"), ["t", "web"], ("t",))],
)
def test_a_service_with_profiles_is_there_if_one_is_enabled(
    profiles: tuple[str, ...], services: list[str], after: tuple[str, ...]
) -> None:
    found = compose.read(PROFILED.encode(), profiles=profiles)
    assert isinstance(found, Composed)
    assert sorted(found.services) == services
    assert found.services["web"].settings.after == after
    assert any(note.startswith("Left out") and "u" in note for note in found.notes)


def test_a_profile_that_stands_nowhere_is_refused_with_the_nearest() -> None:
    found = compose.read(PROFILED.encode(), profiles=("debgu",))
    assert not isinstance(found, Composed)
    assert [(one.code, one.instead) for one in found] == [("compose.reference", "Did you mean `debug`?")]


def test_a_file_of_which_nothing_is_left_is_refused() -> None:
    found = problems(GOOD.replace(b"restart: always", b"profiles: [a]"))
    assert [(one.code, one.path) for one in found] == [("compose.missing", "services")]


def test_a_file_and_a_help_have_their_limits() -> None:
    long = yaml.safe_dump({"name": "a", "x-checkvalve": {"version": "v1", "files": {"f": {"default": "é" * 40_000}}}})
    assert {one.code for one in problems(long)} == {"compose.value", "compose.missing"}
    many = "".join(f"V{number}: a, " for number in range(201))
    assert [one.code for one in problems(declaring(many, "init: true"))] == ["compose.value"]


# ---- Laws ----


@given(st.lists(TEXTS, min_size=1, max_size=5), st.booleans())
@settings(max_examples=50, deadline=None)
def test_a_literal_text_is_the_same_in_every_version(texts: list[str], newer: bool) -> None:  # noqa: FBT001
    meant = [text.replace("$$", "$") for text in texts]
    service = {"image": "press:1", "command": texts, "entrypoint": texts, "environment": {"A": texts[0]}}
    top = {"version": "v1", "variables": {"X": "y"} if newer else {}}
    made = manifest(good(dumped({"name": "a", "x-checkvalve": top, "services": {"web": service}})))
    assert made.v == 1 + newer
    web = filling.fill(made, {}).services["web"]
    assert (web.command, web.entrypoint, web.environment) == (tuple(meant), tuple(meant), {"A": meant[0]})


PARTS = st.sampled_from(
    ["$", "$$", "{", "}", "A", "${A}", "$A", "${B", "\\", "'", '"', " ", ":-", "${A:-$A}", "x", ";"]
)


@pytest.mark.slow
@given(st.lists(PARTS, max_size=8).map("".join), st.text("$A{}x:/.", max_size=5))
@settings(max_examples=200, deadline=None)
def test_any_text_with_dollar_signs_is_refused_or_filled(text: str, value: str) -> None:
    service = {
        "image": "press:1",
        "command": text,
        "environment": {"T": text},
        "hostname": text,
        "ports": [f"{text}:80:80"],
        "networks": {"lan": {"ipv4_address": text, "mac_address": text}},
        "extra_hosts": {"a": text},
    }
    lan = {"driver": "macvlan", "driver_opts": {"parent": text}, "ipam": {"config": [{"subnet": text}]}}
    top = {"version": "v1", "variables": {"A": None}}
    for keys in (("command", "environment"), tuple(service)):
        some = {key: service[key] for key in ("image", *keys)}
        file = {"name": "a", "x-checkvalve": top, "services": {"web": some}, "networks": {"lan": lan}}
        found = compose.read(dumped(file if keys != ("command", "environment") else file | {"networks": {}}).encode())
        if not isinstance(found, Composed):
            assert all(one.sentence and one.instead for one in found)
            continue
        made = manifest(found)
        assert workload.read(workload.write(made)) == made
        try:
            web = filling.fill(made, {"A": value}).services["web"]
        except InvalidError as error:
            assert error.code.startswith("values.")  # noqa: PT017
        else:
            if "A" not in text:
                assert web.environment == {"T": text.replace("$$", "$")}
