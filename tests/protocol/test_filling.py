# SPDX-License-Identifier: Apache-2.0
"""What a manifest says once its variables have values: exactly what stands there, and never more than was declared."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkvalve.errors import InvalidError
from checkvalve.protocol import filling
from checkvalve.protocol.declared import Variable
from checkvalve.protocol.reach import Bind, Device
from checkvalve.protocol.workload import Attachment, Image, Manifest, Network, Port, Service

CONFIG = "sha256:" + "2" * 64
IMAGE = Image(config=CONFIG, config_size=1, manifest=CONFIG, name="pump", platform="linux/amd64", layers=())
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)
DOLLARS = st.text("${}AB_1", max_size=12)


def manifest(service: Service | None = None, *variables: Variable, **more: Any) -> Manifest:  # noqa: ANN401
    declared = variables or (Variable(name="A"), Variable(name="B", default="b"))
    usual: dict[str, Any] = {"v": 2, "services": {"pump": service or Service(image=CONFIG)}, "variables": declared}
    return Manifest(name="pump", version="1", images={CONFIG: IMAGE}, **usual | more)


def environment(template: str, given_: dict[str, str], **more: Any) -> str:  # noqa: ANN401
    said = manifest(Service(image=CONFIG, environment={"X": template}), **more)
    return filling.fill(said, given_).services["pump"].environment["X"]


def code(call: Callable[[], object]) -> str:
    with pytest.raises(InvalidError) as caught:
        call()
    return caught.value.code


@given(TEXTS, DOLLARS)
def test_a_literal_says_itself(text: str, dollars: str) -> None:
    for each in (text, dollars, text + dollars):
        assert filling.names(filling.literal(each)) == set()
        assert environment(filling.literal(each), {"A": "a"}) == each


@given(DOLLARS | TEXTS)
def test_a_value_is_not_looked_at_again(value: str) -> None:
    assert environment("<${A}|$$|${B}>", {"A": value}) == f"<{value}|$|b>"


@given(DOLLARS)
def test_any_template_is_filled_whole_or_refused(template: str) -> None:
    try:
        names = filling.names(template)
    except InvalidError as error:
        assert error.code == "values.template"  # noqa: PT017 - it need not be raised
        assert code(lambda: environment(template, {"A": "a"})) == "values.template"
        return
    if names <= {"A", "B"}:
        plain = re.sub(r"\$\{(\w)\}", lambda each: each[1].lower(), template.replace("$$", "\1")).replace("\1", "$")
        assert environment(template, {"A": "a"}) == plain
    else:
        assert code(lambda: environment(template, {"A": "a"})) == "values.template"


@pytest.mark.parametrize(
    "template", ["$", "$A", "${", "${A", "${A-b}", "${A:-b}", "${1}", "${}", "a$b", "$${$", "${A B}"]
)
def test_what_is_no_template_is_refused(template: str) -> None:
    assert code(lambda: filling.names(template)) == "values.template"


def test_in_version_1_a_dollar_sign_is_a_letter() -> None:
    said = manifest(Service(image=CONFIG, environment={"X": "${A} $ $$"}), v=1)
    assert filling.fill(said, {}) is said


def test_defaults_are_taken_and_what_has_none_must_be_given() -> None:
    assert environment("${A}${B}", {"A": "1"}) == "1b"
    assert environment("${A}${B}", {"A": "1", "B": ""}) == "1"
    assert code(lambda: environment("x", {})) == "values.missing"


def test_what_is_not_declared_is_not_filled_in_whoever_gives_it() -> None:
    assert code(lambda: environment("${C}", {"A": "", "C": "c"})) == "values.template"


@pytest.mark.parametrize(
    ("variable", "good", "bad"),
    [
        (Variable(name="A", kind="number"), ["0", "-1.5", "12"], ["", "01", "1e3", "1.", "nan", "\uff11"]),
        (Variable(name="A", kind="boolean"), ["true", "false"], ["True", "1", ""]),
        (Variable(name="A", kind="address"), ["10.0.0.1", "fd00::5"], ["10.0.0.1/8", "localhost", ""]),
        (Variable(name="A", kind="network"), ["10.0.0.0/8"], ["10.0.0.1/8", "10.0.0.0", ""]),
        (Variable(name="A", kind="port"), ["1", "65535"], ["0", "65536", "080", "-1", "99999999"]),
        (Variable(name="A", kind="choice", choices=("x", "y")), ["x"], ["z", ""]),
        (Variable(name="A", pattern="[a-z]+"), ["abc"], ["", "abc\n", "A", "a b"]),
        (Variable(name="A", pattern="(a"), [], ["(a", "a"]),
    ],
)
def test_a_value_is_of_its_kind(variable: Variable, good: list[str], bad: list[str]) -> None:
    said = manifest(None, variable)
    for each in good:
        assert filling.variables(said, {"A": each}) == {"A": each}
    for each in bad:
        assert code(lambda each=each: filling.variables(said, {"A": each})) == "values.misfit"  # type: ignore[misc]


def bound(source: str, given_: str, *paths: str, **more: Any) -> str:  # noqa: ANN401
    service = Service(image=CONFIG, binds=(Bind(source=source, target="/x"),))
    filled = filling.fill(manifest(service, host_paths=paths, **more), {"A": given_})
    return filled.services["pump"].binds[0].source


@given(st.text("./a~\\", max_size=12))
def test_no_value_leads_a_bind_out_of_what_the_release_declares(value: str) -> None:
    try:
        found = bound("/srv/data/${A}", value, "/srv/data")
    except InvalidError as error:
        assert error.code == "values.path"  # noqa: PT017 - it need not be raised
    else:
        assert found == f"/srv/data/{value}"
        assert not {"..", ".", ""} & set(found.split("/")[1:])


@pytest.mark.parametrize("value", ["../etc", "a/../../etc", "a//b", "", ".", "a/.", "a/"])
def test_a_path_that_is_not_plain_is_refused(value: str) -> None:
    assert code(lambda: bound("/srv/data/${A}", value, "/srv/data")) == "values.path"


@pytest.mark.parametrize(
    "value", ["/", "/srv", "/srv/database", "//srv/data", "srv/data", "/etc/passwd", "/run/docker.sock"]
)
def test_a_whole_path_as_a_value_stays_below_what_is_declared(value: str) -> None:
    assert code(lambda: bound("${A}", value, "/srv/data")) == "values.path"


def test_the_whole_machine_and_the_engine_need_their_permission() -> None:
    assert bound("${A}", "/", allow=("host-root",)) == "/"
    assert bound("${A}", "/run/docker.sock", allow=("engine-socket",)) == "/run/docker.sock"
    assert code(lambda: bound("${A}", "/etc", allow=("engine-socket",))) == "values.path"


@pytest.mark.parametrize("value", ["/etc/shadow", "/dev/../etc/shadow", "/devices"])
def test_a_device_is_one_below_dev(value: str) -> None:
    service = Service(image=CONFIG, devices=(Device(source="${A}", target="/dev/x"),))
    assert code(lambda: filling.fill(manifest(service), {"A": value})) == "values.path"


def test_addresses_are_addresses_afterwards_in_their_usual_form() -> None:
    service = Service(
        image=CONFIG,
        networks=(Attachment(network="line", ipv4="${A}"),),
        ports=(Port(target=80, published=80, address="${A}"),),
        extra_hosts={"plc": "${A}"},
    )
    said = manifest(service, networks={"line": Network(subnet="${B}", gateway="${A}")})
    filled = filling.fill(said, {"A": "10.0.0.5", "B": "10.0.0.0/24"})
    pump = filled.services["pump"]
    assert (pump.networks[0].ipv4, pump.ports[0].address, pump.extra_hosts) == (*["10.0.0.5"] * 2, {"plc": "10.0.0.5"})
    assert (filled.networks["line"].subnet, filled.networks["line"].gateway) == ("10.0.0.0/24", "10.0.0.5")
    for given_ in ({"A": "plc.example", "B": "10.0.0.0/24"}, {"A": "10.0.0.5", "B": "10.0.0.1/24"}):
        assert code(lambda given_=given_: filling.fill(said, given_)) == "values.address"  # type: ignore[misc]


def test_everything_that_may_hold_a_template_is_filled() -> None:
    service = Service(
        image=CONFIG,
        command=("run", "${A}"),
        entrypoint=("${A}",),
        environment={"X": "${A}"},
        hostname="${A}",
        networks=(Attachment(network="line", mac="${A}"),),
        sysctls={"net.x": "${A}"},
    )
    said = manifest(service, networks={"line": Network(parent="${A}")})
    filled = filling.fill(said, {"A": "eth1"})
    pump = filled.services["pump"]
    assert (pump.command, pump.entrypoint, pump.hostname) == (("run", "eth1"), ("eth1",), "eth1")
    assert (pump.environment, pump.sysctls, pump.networks[0].mac) == ({"X": "eth1"}, {"net.x": "eth1"}, "eth1")
    assert filled.networks["line"].parent == "eth1"
    assert "${" not in repr(filled)


@pytest.mark.parametrize(
    ("first", "second", "clash"),
    [("10.0.0.1", "10.0.0.1", True), ("10.0.0.1", "10.0.0.2", False)],
)
def test_two_services_that_get_one_address_or_one_port_by_their_values_are_refused(
    first: str,
    second: str,
    clash: bool,  # noqa: FBT001 - of the table
) -> None:
    def service(variable: str, *, port: bool) -> Service:
        if port:
            return Service(image=CONFIG, ports=(Port(target=502, published=502, address=f"${{{variable}}}"),))
        return Service(image=CONFIG, networks=(Attachment(network="plant", ipv4=f"${{{variable}}}"),))

    for port in (False, True):
        said = manifest(
            services={"a": service("A", port=port), "b": service("B", port=port)},
            networks={"plant": Network(subnet="10.0.0.0/24")},
        )
        values = {"A": first, "B": second}
        if clash:
            assert code(lambda said=said, values=values: filling.fill(said, values)) == "values.clash"  # type: ignore[misc]
        else:
            filling.fill(said, values)
