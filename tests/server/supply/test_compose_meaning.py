# SPDX-License-Identifier: Apache-2.0
"""What a good compose file becomes: each word by itself, whole files, and the laws that hold for all of them."""

import random

import msgspec
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from checkvalve.protocol import workload
from checkvalve.server.supply import compose, order, words
from checkvalve.server.supply.composed import Composed, Reference
from tests.server.supply.test_compose import BROKEN, GATEWAY, GOOD, PUMP_STATION, good
from tests.server.supply.world import digest

Plain = dict[str, object]


def image(reference: Reference) -> workload.Image:
    return workload.Image(
        config=reference.digest or digest(reference.text),
        config_size=1_000,
        manifest=digest(f"manifest {reference.text}"),
        name=reference.text,
        platform="linux/amd64",
        layers=(),
    )


def manifest(composed: Composed) -> workload.Manifest:
    return compose.assemble(composed, {one: image(one) for one in composed.references})


def one(body: str, rest: str = "") -> workload.Service:
    """Return what a service becomes whose words are `body`, in flow style."""
    source = f"name: a\nx-checkvalve: {{version: '1'}}\nservices: {{web: {{image: press:1, {body}}}}}\n{rest}"
    return manifest(good(source)).services["web"]


@pytest.mark.parametrize(
    ("body", "field", "value"),
    [
        ("command: ", "command", None),
        ("command: []", "command", ()),
        ("command: ''", "command", ()),
        ("command: [sh, -c, a; b]", "command", ("sh", "-c", "a; b")),
        ("command: run 'a b' \"c \\\\\\\" $$d\" e\\ f", "command", ("run", "a b", 'c \\" $d', "e f")),
        ("entrypoint: run --x=\"1 2\"'3'", "entrypoint", ("run", "--x=1 23")),
        ("environment: {A: 1, B: true, C: 2.5, D: '', E: a$$b, F: 22:22, G: yes, H: 2001-01-01}", "environment",
         {"A": "1", "B": "true", "C": "2.5", "D": "", "E": "a$b", "F": "22:22", "G": "yes", "H": "2001-01-01"}),
        ("environment: [A=1=2, B=]", "environment", {"A": "1=2", "B": ""}),
        ("labels: {a: , b: 1}", "labels", {"a": "", "b": "1"}),
        ("labels: [a, b=1]", "labels", {"a": "", "b": "1"}),
        ("user: 1000", "user", "1000"),
        ("user: '1000:1000'", "user", "1000:1000"),
        ("working_dir: /srv/app", "working_dir", "/srv/app"),
        ("hostname: press-1.plant", "hostname", "press-1.plant"),
        ("init: true", "init", True),
        ("read_only: TRUE", "read_only", True),
        ("restart: no", "restart", "no"),
        ("restart: 'no'", "restart", "no"),
        ("user: a", "restart", "unless-stopped"),
        ("x-checkvalve: {kind: oneshot}", "restart", "no"),
        ("restart: on-failure", "restart", "on-failure"),
        ("stop_grace_period: 1m30s", "stop_grace_ms", 90_000),
        ("stop_grace_period: 0", "stop_grace_ms", 0),
        ("stop_signal: SIGRTMIN+3", "stop_signal", "SIGRTMIN+3"),
        ("stop_signal: 15", "stop_signal", "15"),
        ("cap_drop: [net_raw, CAP_CHOWN, NET_RAW]", "cap_drop", ("CHOWN", "NET_RAW")),
        ("security_opt: [no-new-privileges]", "no_new_privileges", True),
        ("security_opt: []", "no_new_privileges", False),
        ("tmpfs: /tmp", "tmpfs", ("/tmp",)),
        ("tmpfs: [/tmp, /run/]", "tmpfs", ("/run", "/tmp")),
        ("healthcheck: {disable: true}", "check", workload.Check(test=("NONE",))),
        ("healthcheck: {test: NONE}", "check", workload.Check(test=("CMD-SHELL", "NONE"))),
        ("healthcheck: {test: [CMD, a], disable: false, interval: 1.5s, retries: '5'}", "check",
         workload.Check(test=("CMD", "a"), interval_ms=1_500, retries=5)),
        ("networks: []", "networks", (workload.Attachment(network="default"),)),
        ("networks: {default: {aliases: [b, a, b]}}", "networks",
         (workload.Attachment(network="default", aliases=("a", "b")),)),
        ("ports: ['8080:80', '127.0.0.1:53:53/udp', '[0:0::1]:90:90']", "ports", (
            workload.Port(target=80, published=8080),
            workload.Port(target=53, published=53, address="127.0.0.1", protocol="udp"),
            workload.Port(target=90, published=90, address="::1"),
        )),
        ("ports: [22:22]", "ports", (workload.Port(target=22, published=22),)),
        ("ports: ['10-12:20-22/udp']", "ports",
         tuple(workload.Port(target=20 + n, published=10 + n, protocol="udp") for n in range(3))),
        ("ports: ['0.0.0.0:1:1', '[::]:1:1']", "ports",
         (workload.Port(target=1, published=1, address="0.0.0.0"), workload.Port(target=1, published=1, address="::"))),
        ("ports: [{target: 80, published: '8080', host_ip: 127.0.0.1, protocol: tcp}]", "ports",
         (workload.Port(target=80, published=8080, address="127.0.0.1"),)),
        ("x-checkvalve: {start_grace: 90s}", "start_grace_ms", 90_000),
        ("x-checkvalve: {kind: oneshot, exit: 3}", "exit", 3),
        ("x-checkvalve: {probes: [{kind: exec, command: run it}]}", "probes",
         (workload.ExecProbe(command=("run", "it")),)),
        ("x-other: {anything: [goes]}", "user", ""),
    ],
)  # fmt: skip
def test_a_word_becomes_what_it_says(body: str, field: str, value: object) -> None:
    assert getattr(one(body), field) == value


def test_volumes_are_mounted_in_the_order_of_their_targets() -> None:
    body = "volumes: ['b:/z:ro', 'a:/x//y/:rw', {type: volume, source: a, target: /b, read_only: true}]"
    assert one(body, "volumes: {a: , b: {x-checkvalve: {policy: snapshot}}}").mounts == (
        workload.Mount(volume="a", target="/b", read_only=True),
        workload.Mount(volume="a", target="/x/y"),
        workload.Mount(volume="b", target="/z", read_only=True),
    )


def test_an_anchor_and_a_merge_key_stand_for_what_they_name() -> None:
    source = """
    name: a
    x-checkvalve: {version: '1'}
    x-one: &one {user: a, init: true, environment: &env {A: 1}}
    x-two: &two {user: b, read_only: true}
    services:
      web:
        <<: [*one, *two]
        image: press:1
        init: false
        environment: {<<: *env, B: 2}
    """
    composed = good(source)
    web = composed.services["web"].settings
    assert (web.user, web.init, web.read_only, web.environment) == ("a", False, True, {"A": "1", "B": "2"})
    assert "These have no effect of their own: x-one, x-two." in composed.notes


def test_a_problem_in_an_anchor_is_told_on_its_line_for_each_place() -> None:
    source = "x-a: &a {privileged: true}\nservices: {a: {<<: *a, image: i}, b: {<<: *a, image: i}}\n"
    found = compose.read(source.encode(), "a", "1")
    assert not isinstance(found, Composed)
    assert [(one.line, one.path) for one in found] == [(1, "services.a.privileged"), (1, "services.b.privileged")]


def test_a_pinned_image_keeps_its_digest() -> None:
    pinned = "docker.io/library/press:1@sha256:" + "5e" * 32
    composed = good(GOOD.replace(b"press:1", pinned.encode()))
    assert composed.references == (Reference("press:1", "sha256:" + "5e" * 32, 3, "services.web.image"),)


def test_what_has_no_effect_is_noted() -> None:
    source = "version: '3'\nservices: {web: {image: i, expose: [80]}, b: {image: i, restart: always}}\nvolumes: {v: }\n"
    assert good(source, "a", "1").notes == (
        "`version` of compose has no effect; the release's own stands in `x-checkvalve`.",
        "`expose` does nothing: services on one network reach every port of each other.",
        "Without `restart`, these restart unless they are stopped (in compose: never): web.",
        "No service uses these: v.",
    )


def test_without_networks_there_is_default_and_else_there_is_none() -> None:
    assert good(GOOD).networks == {"default": workload.Network()}
    other = GOOD.replace(b"restart: always", b"networks: [a]") + b"networks: {a: {internal: true, driver: bridge}}\n"
    assert good(other).networks == {"a": workload.Network(internal=True)}
    default = GOOD + b"networks: {default: {internal: true}}\n"
    assert good(default).networks == {"default": workload.Network(internal=True)}


def test_the_pump_station_is_a_release() -> None:
    composed = good(PUMP_STATION.read_bytes())
    made = manifest(composed)
    assert workload.read(workload.write(made)) == made
    assert list(made.services) == ["migrate", "historian", "opc-bridge"]
    assert made.services["migrate"].kind == "oneshot"
    assert made.volumes == {"values": workload.Volume(policy="snapshot")}
    assert made.gate == workload.Gate(start_grace_ms=45_000, soak_ms=300_000)
    assert len(made.images) == 2
    assert composed.notes == ("These have no effect of their own: x-hardened.",)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("a 'b", "A quote in it is never closed."),
        ("a | b", "No shell reads this line, so | means nothing in it."),
        ("a `b`", "No shell reads this line, so ` means nothing in it."),
        ("a\\tb", "It holds a backslash that compose and a shell read differently."),
        ("a\\", "It holds a backslash that compose and a shell read differently."),
    ],
)
def test_a_line_that_needs_a_shell_is_not_divided(line: str, said: str) -> None:
    assert words.divided(line) == said


@given(st.lists(st.text()))
def test_what_is_quoted_word_by_word_is_divided_into_the_same_words(texts: list[str]) -> None:
    quoted = " ".join("'" + text.replace("'", "'\"'\"'") + "'" for text in texts)
    assert words.divided(quoted) == tuple(texts)


# ---- Laws: files made at random -------------------------------------------------------------------------------------

NAMES = st.from_regex(r"\A[a-z0-9]([a-z0-9._-]{0,6}[a-z0-9])?\Z")
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=20).map(
    lambda t: t.replace("$", "$$")
)
TARGETS = st.from_regex(r"\A/[a-z]{1,8}(/[a-z]{1,8})?\Z")
TIMES = st.one_of(st.integers(1, 86_400).map(lambda n: f"{n}s"), st.integers(100, 5_000).map(lambda n: f"{n}ms"))
PROBES = st.one_of(
    st.fixed_dictionaries({"kind": st.just("tcp"), "port": st.integers(1, 65_535)}, optional={"every": TIMES}),
    st.fixed_dictionaries(
        {"kind": st.just("http"), "port": st.integers(1, 65_535)},
        optional={"path": TARGETS, "status": st.integers(100, 599), "timeout": TIMES},
    ),
    st.fixed_dictionaries({"kind": st.just("exec"), "command": st.lists(TEXTS, min_size=1, max_size=3)}),
)
PAIRS = st.dictionaries(
    st.from_regex(r"\A[A-Z_]{1,8}\Z"), st.one_of(TEXTS, st.booleans(), st.integers(-999, 999)), max_size=4
)


@st.composite
def containers(draw: st.DrawFn, services: list[str], networks: list[str], volumes: list[str]) -> Plain:
    oneshot = draw(st.booleans())
    restarts = ["no", "on-failure"] if oneshot else ["no", "on-failure", "always", "unless-stopped"]
    targets = draw(st.lists(TARGETS, unique=True, max_size=4))
    extension: Plain = {"kind": "oneshot", "exit": 3} if oneshot else {"probes": draw(st.lists(PROBES, max_size=3))}
    made: Plain = {
        "image": draw(
            st.sampled_from(["press:1", "plant/historian", "registry.example:5000/a:2", f"b@sha256:{'1' * 64}"])
        ),
        "x-checkvalve": extension,
        "tmpfs": targets[:1],
        "volumes": [f"{draw(st.sampled_from(volumes))}:{target}" for target in targets[1:]] if volumes else [],
        "networks": draw(st.lists(st.sampled_from([*networks, "default"]), unique=True)),
        "depends_on": draw(st.lists(st.sampled_from(services), unique=True)) if services else [],
    }
    if not oneshot and draw(st.booleans()):
        made["healthcheck"] = {
            "test": draw(st.lists(TEXTS, min_size=1).map(lambda t: ["CMD", *t])),
            "interval": draw(TIMES),
        }
    optional = st.fixed_dictionaries(
        {},
        optional={
            "command": st.one_of(st.none(), st.lists(TEXTS, max_size=3)),
            "environment": PAIRS,
            "labels": PAIRS,
            "init": st.booleans(),
            "restart": st.sampled_from(restarts),
            "stop_grace_period": TIMES,
            "cap_drop": st.lists(st.sampled_from(["ALL", "CAP_CHOWN", "net_raw"]), max_size=3),
            "security_opt": st.just(["no-new-privileges:true"]),
            "user": st.sampled_from(["1000:1000", "app"]),
        },
    )
    return made | draw(optional)


@st.composite
def files(draw: st.DrawFn) -> Plain:
    names = draw(st.lists(NAMES, unique=True, min_size=1, max_size=4))
    networks, volumes = draw(st.lists(NAMES, unique=True, max_size=2)), draw(st.lists(NAMES, unique=True, max_size=2))
    policies = st.sampled_from([None, {"x-checkvalve": {"policy": "snapshot"}}])
    services: Plain = {}
    for index, name in enumerate(names):
        services[name] = draw(containers(names[:index], networks, volumes))
        if draw(st.booleans()):
            services[name] |= {"ports": [f"{8000 + index}:80", f"127.0.0.1:{9000 + index}:90/udp"]}  # type: ignore[operator]
    return {
        "name": draw(NAMES),
        "x-checkvalve": {"version": "1.0", "soak": draw(TIMES.filter(lambda t: not t.endswith("ms")))},
        "services": services,
        "networks": dict.fromkeys(networks),
        "volumes": {name: draw(policies) for name in volumes},
    }


class Quoting(yaml.SafeDumper):
    """Puts every text in quotes: PyYAML writes by YAML 1.1, in which `08` is text as it stands."""


Quoting.add_representer(str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"'))


def dumped(file: object, *, sort_keys: bool = True, flow: bool = False) -> str:
    options = {"sort_keys": sort_keys, "default_flow_style": flow, "allow_unicode": True, "width": 10_000}
    text: str = yaml.dump(file, Dumper=Quoting, **options)  # type: ignore[call-overload]
    return text


@given(files())
@settings(max_examples=25, deadline=None)
def test_what_is_read_can_be_written_and_comes_back(file: Plain) -> None:
    made = manifest(good(dumped(file)))
    assert workload.read(workload.write(made)) == msgspec.convert(msgspec.to_builtins(made), workload.Manifest)


@given(files(), st.randoms(use_true_random=False))
@settings(max_examples=25, deadline=None)
def test_the_order_of_names_and_comments_change_no_digest(file: Plain, chance: random.Random) -> None:
    plain = dumped(file)
    turned = "# a comment\n" + dumped(_turned(file, chance), sort_keys=False, flow=True) + "# another\n"
    assert workload.write(manifest(good(plain))) == workload.write(manifest(good(turned)))


def _turned(value: object, chance: random.Random) -> object:
    if isinstance(value, dict):
        items = [(key, _turned(part, chance)) for key, part in value.items()]
        chance.shuffle(items)
        return dict(items)
    return [_turned(part, chance) for part in value] if isinstance(value, list) else value


def _answered(source: bytes) -> None:
    found = compose.read(source)
    if isinstance(found, Composed):
        data = workload.write(manifest(found))
        assert workload.write(workload.read(data)) == data
    else:
        assert found
        assert all(problem.line >= 1 for problem in found)


@pytest.mark.slow
@given(st.one_of(st.binary(max_size=300), st.text(max_size=300).map(lambda text: text.encode("utf-8", "replace"))))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_answered(source: bytes) -> None:
    _answered(source)


PIECES = st.sampled_from(
    "|\n|\n  |: |- |[|]|{|}|&a |*a|<<: *a|'|\"|#|\t|!!str |!x |$|${X}|null|1e3|0o7|\\|:|,|? |~|-|@|%|---\n|x-a: |web|"
    '> |"\\U00110000"|\u2028|\x85|\r'.split("|")
)


@given(
    st.sampled_from([PUMP_STATION, GATEWAY, *BROKEN]),
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 12), PIECES), max_size=4),
)
@settings(max_examples=300, deadline=None)
def test_a_mutilated_file_is_answered(path: object, cuts: list[tuple[int, int, str]]) -> None:
    text = path.read_text()  # type: ignore[attr-defined]
    for at, length, piece in cuts:
        start = at % (len(text) + 1)
        text = text[:start] + piece + text[start + length :]
    _answered(text.encode())


@pytest.mark.parametrize(
    ("written", "noted"),
    [("[job]", True), ("{job: {condition: service_started}}", True), (f"{{job: {{condition: {order.ENDED}}}}}", False)],
)
def test_what_depends_on_a_oneshot_starts_when_that_has_ended(written: str, *, noted: bool) -> None:
    text = f"""
name: press-line
x-checkvalve: {{version: 1.0.0}}
services:
  job: {{image: press:1, x-checkvalve: {{kind: oneshot}}}}
  web: {{image: press:1, restart: always, depends_on: {written}}}
"""
    composed = compose.read(text.encode())
    assert isinstance(composed, Composed)
    assert composed.services["web"].settings.after == ("job",)
    assert any("have ended" in note for note in composed.notes) == noted
