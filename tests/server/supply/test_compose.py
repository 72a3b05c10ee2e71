# SPDX-License-Identifier: Apache-2.0
"""Broken compose files: each line that is wrong says so in a comment, and nothing else is found.

A comment is `# ! CODE PATH [LINE]` for each problem of its line, divided by `;`. LINE is for what is told elsewhere.
"""

import re
from pathlib import Path

import pytest

from checkvalve.server.supply import compose, keywords
from checkvalve.server.supply.composed import MOST_PROBLEMS, Composed, Problem

BROKEN = sorted((Path(__file__).parent / "compose").glob("*.yaml"))
PUMP_STATION = Path(__file__).parents[3] / "examples/compose/pump-station.yaml"
GATEWAY = PUMP_STATION.with_name("gateway.yaml")
GOOD = b"name: press-line\nx-checkvalve: {version: 1.0.0}\nservices: {web: {image: press:1, restart: always}}\n"


def problems(source: bytes | str, name: str = "", version: str = "") -> tuple[Problem, ...]:
    found = compose.read(source.encode() if isinstance(source, str) else source, name, version)
    assert not isinstance(found, Composed), "nothing is wrong with it"
    return found


def good(source: bytes | str, name: str = "", version: str = "") -> Composed:
    found = compose.read(source.encode() if isinstance(source, str) else source, name, version)
    assert isinstance(found, Composed), found
    return found


def announced(text: str) -> list[tuple[int, str, str]]:
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        for said in line.partition("# ! ")[2].split(";") if "# ! " in line else []:
            code, path, *where = said.strip(" ").split(" ") if " " in said.strip(" ") else (said.strip(" "), "")
            at = where[0] if where else "+0"
            found.append((number + int(at) if at.startswith("+") else int(at), path, code))
    return sorted(found)


@pytest.mark.parametrize("path", BROKEN, ids=[path.stem for path in BROKEN])
def test_every_defect_is_found_on_its_line_and_nothing_else(path: Path) -> None:
    found = problems(path.read_bytes())
    assert sorted((one.line, one.path, one.code) for one in found) == announced(path.read_text())


@pytest.mark.parametrize("path", BROKEN, ids=[path.stem for path in BROKEN])
def test_every_problem_has_a_sentence_and_says_what_to_write_instead(path: Path) -> None:
    for one in problems(path.read_bytes()):
        assert one.sentence.endswith(".")
        assert one.instead
        assert len(one.sentence) < 400
        assert one.sentence.isprintable()
        assert one.path.isprintable()


def test_problems_come_in_the_order_of_the_file() -> None:
    for path in BROKEN:
        lines = [one.line for one in problems(path.read_bytes())]
        assert lines == sorted(lines)


def test_every_code_has_a_file_that_shows_it() -> None:
    shown = {one.code for path in BROKEN for one in problems(path.read_bytes())}
    said = re.search(r"Codes are(.*?)\.\n", compose.read.__doc__ or "", re.DOTALL)
    assert said is not None
    codes = {f"compose.{word}" for word in re.findall(r"[a-z_]+", said[1].partition("one of:")[2])}
    assert codes - shown == {"compose.size", "compose.too_many"}  # too large to keep; tested below
    assert shown <= codes


@pytest.mark.parametrize(
    ("source", "code", "line"),
    [
        (b"", "compose.syntax", 1),
        (b"\xef\xbb\xbf", "compose.syntax", 1),
        (b"# nothing\n", "compose.syntax", 1),
        (b"---\n...\n", "compose.type", 2),
        (b"services:\n  \xff: 1\n", "compose.syntax", 2),
        (GOOD.decode().encode("utf-16"), "compose.syntax", 1),
        (b"a: 1\nb: \x00\n", "compose.syntax", 2),
        (b"a: 1\nb: \x1b[31m\n", "compose.syntax", 2),
        (b'a: "\\ud800"\n', "compose.syntax", 1),
        (b"%TAG ! tag:other,2000:\n---\na: !x b\n", "compose.tag", 3),
        (b"a: 'b\n", "compose.syntax", 2),
        (b"a: b: c\n", "compose.syntax", 1),
        (b"#" * 262_145, "compose.size", 1),
        (b"[" * 100_000, "compose.bomb", 1),
        (b"- " * 100_000, "compose.bomb", 1),
        (b"? " * 100_000, "compose.bomb", 1),
    ],
)
def test_what_is_no_document_is_refused(source: bytes, code: str, line: int) -> None:
    assert (code, line) in {(one.code, one.line) for one in problems(source)}


def test_a_text_that_unfolds_to_more_than_a_million_characters_is_refused() -> None:
    source = f"x-a: &a '{'a' * 30_000}'\nx-b: [{', '.join(['*a'] * 100)}]\n"
    assert [one.code for one in problems(source)] == ["compose.bomb"]


def test_a_mark_of_byte_order_and_other_line_ends_are_taken() -> None:
    assert good(b"\xef\xbb\xbf" + GOOD).name == "press-line"
    assert good(GOOD.replace(b"\n", b"\r\n")).name == "press-line"


def test_more_than_fifty_problems_are_counted() -> None:
    source = "services:\n" + "".join(f"  s{number}: {{image: press:1, privileged: true}}\n" for number in range(90))
    found = problems(source, "press-line", "1.0.0")
    assert len(found) == MOST_PROBLEMS + 1
    assert found[-1].code == "compose.too_many"
    assert found[-1].line == 52
    assert "40 problems more" in found[-1].sentence


def test_more_than_a_hundred_services_are_refused() -> None:
    source = "services:\n" + "".join(f"  s{number}: {{image: press:1}}\n" for number in range(101))
    assert [(one.code, one.line) for one in problems(source, "press-line", "1.0.0")] == [("compose.value", 1)]


def test_more_ports_than_a_service_may_have_are_refused() -> None:
    source = GOOD.replace(b"restart: always", b'ports: ["1-200:1-200", "300-400:300-400"]')
    assert [one.code for one in problems(source)] == ["compose.value"]


def test_a_tab_is_called_a_tab() -> None:
    assert problems("services:\n\tweb: {}\n")[0].instead == "Indent with spaces, not tabs."


def test_the_nearest_word_is_named() -> None:
    found = problems(GOOD.replace(b"restart", b"restrat"))
    assert [(one.sentence, one.instead) for one in found] == [
        ("Compose knows no `restrat` here.", "Did you mean `restart`?")
    ]
    found = problems(GOOD.replace(b"restart: always", b"cap_drop: [cap_net_row]"))
    assert found[0].instead == "Did you mean `NET_RAW`?"


def test_hostile_words_are_quoted_as_what_they_are() -> None:
    found = problems(GOOD.replace(b"restart", b'"\\e[31m\\u202e\\n"') + b"a" * 500 + b": 1\n")
    assert found[0].sentence == "Compose knows no `\\u001b[31m\\u202e\\u000a` here."
    assert found[1].path == "a" * 59 + "…"


def test_name_and_version_that_are_given_count_more() -> None:
    one = good(GOOD, "other", "2.0.0")
    assert (one.name, one.version) == ("other", "2.0.0")
    assert {(found.code, found.path) for found in problems(GOOD, "Other", "2 0")} == {
        ("compose.name", "name"),
        ("compose.version", "version"),
    }


def test_a_name_with_a_new_line_at_its_end_is_refused() -> None:
    assert problems(GOOD, "other\n")[0].code == "compose.name"
    assert problems(GOOD.replace(b"press-line", b'"press-line\\n"'))[0].code == "compose.name"


# The words of the specification's schema, definition by definition.
SPECIFIED = {
    "TOP": "version name include services models networks volumes secrets configs",
    "CONTAINER": "develop deploy annotations attach build blkio_config cap_add cap_drop cgroup cgroup_parent command "
    "configs container_name cpu_count cpu_percent cpu_shares cpu_quota cpu_period cpu_rt_period cpu_rt_runtime cpus "
    "cpuset credential_spec depends_on device_cgroup_rules devices dns dns_opt dns_search domainname entrypoint "
    "env_file label_file environment expose extends provider external_links extra_hosts gpus group_add healthcheck "
    "hostname image init ipc isolation labels links logging mac_address mem_limit mem_reservation mem_swappiness "
    "memswap_limit network_mode models networks oom_kill_disable oom_score_adj pid pids_limit platform ports "
    "post_start pre_stop privileged profiles pull_policy pull_refresh_after read_only restart runtime scale "
    "security_opt shm_size secrets sysctls stdin_open stop_grace_period stop_signal storage_opt tmpfs tty ulimits "
    "use_api_socket user uts userns_mode volumes volumes_from working_dir",
    "HEALTH": "disable interval retries test timeout start_period start_interval",
    "NETWORK": "name driver driver_opts ipam external internal enable_ipv4 enable_ipv6 attachable labels",
    "ATTACHMENT": "aliases interface_name ipv4_address ipv6_address link_local_ips mac_address driver_opts priority "
    "gw_priority",
    "VOLUME": "name driver driver_opts external labels",
    "MOUNT": "type source target read_only consistency bind volume tmpfs image",
    "PORT": "name mode host_ip target published protocol app_protocol",
    "DEPENDENCY": "restart required condition",
    "MOUNT_BIND": "propagation create_host_path recursive selinux",
    "MOUNT_TMPFS": "size mode",
    "DEVICE": "source target permissions",
    "PLACED": "source target uid gid mode",
    "LOGGING": "driver options",
    "ULIMIT": "soft hard",
    "DEPLOY": "mode endpoint_mode replicas labels rollback_config update_config resources restart_policy placement",
    "RESOURCES": "limits reservations",
    "LIMITS": "cpus memory pids",
    "RESERVATIONS": "cpus memory generic_resources devices",
    "IPAM": "driver config options",
    "SUBNET": "subnet ip_range gateway aux_addresses",
    "SECRET": "name environment external file labels driver driver_opts template_driver",
    "CONFIG": "name content environment file external labels template_driver",
}


@pytest.mark.parametrize("table", SPECIFIED)
def test_every_word_of_the_specification_has_its_row(table: str) -> None:
    rows = getattr(keywords, table)
    assert rows.keys() - {"x-checkvalve"} == set(SPECIFIED[table].split())
    assert all(said == "" or said.endswith(".") for said in rows.values())


@pytest.mark.parametrize("word", [word for word, said in keywords.CONTAINER.items() if said])
def test_every_refused_word_says_what_to_write_instead(word: str) -> None:
    found = problems(GOOD.replace(b"restart: always", word.encode() + b": x"))
    assert [(one.code, one.line, one.path) for one in found] == [("compose.unsupported", 3, f"services.web.{word}")]
    assert found[0].instead == keywords.CONTAINER[word]
