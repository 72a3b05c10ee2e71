# SPDX-License-Identifier: Apache-2.0
"""The pages for releases and drafts: what they say of each state, to whom, and what their forms change."""

import re
import shlex
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from checkvalve.crypto import keys, metadata
from checkvalve.ids import DraftId, ReleaseId
from checkvalve.server.access.model import ScopeKind
from checkvalve.server.audit.model import Kind
from checkvalve.server.db.database import Database
from checkvalve.server.supply import actions as supply_actions
from checkvalve.server.supply import draft as drafts
from checkvalve.server.supply import queries as supply_queries
from checkvalve.server.supply.composed import Asked
from checkvalve.server.supply.model import Change, ChangeKind, Draft, Release
from checkvalve.server.web import texts, texts_supply
from checkvalve.server.web.pages import release_view
from tests.parts import stock
from tests.parts.missing import missing
from tests.server.supply import world
from tests.server.web import goods
from tests.server.web.pages.estate import Estate
from tests.server.web.pages.pictures import ARGUMENTS, CHROMIUM, sign_in
from tests.server.web.pages.stock import LONG, Stock
from tests.server.web.pages.test_browser import STUMBLES
from tests.server.web.pages.test_pages import ask, by_name, data, escaped
from tests.server.web.plant import ONLINE, ROLES, Plant, User, door

pytestmark = pytest.mark.slow


@pytest.fixture
def plant(database: Database, now: datetime, tmp_path: Path) -> Iterator[Plant]:
    """Return two organisations with pages."""
    plant = Plant(database, now, tmp_path)
    plant.door = door(plant.plane, "pages")
    yield plant.build()
    plant.close()


def manager(plant: Plant) -> User:
    return plant.users["north", "release-manager"]


def made(plant: Plant, text: bytes, scope: str = "") -> Release:
    """Make a release in the north; it waits in the draft that is open, or opens one."""
    release, draft = ReleaseId(plant.new_id()), DraftId(plant.new_id())
    act, where = plant.act(manager(plant).actor), scope or plant.organisations["north"]
    return plant.db.write_now("create", supply_actions.create, act, release, draft, where, Asked(text))


def opened(plant: Plant) -> Draft:
    found = plant.db.read_now("open", supply_queries.open_draft)
    assert found
    return found


def sign(plant: Plant, user: User, key: keys.PrivateKey = goods.SIGNER) -> None:
    """Sign the open draft."""
    draft = opened(plant)
    act, given = plant.act(user.actor), metadata.sign(draft.payload, key)
    plant.db.write_now("sign", supply_actions.sign, act, draft.id, drafts.digest(draft), given, ONLINE)


def two_of_three(plant: Plant) -> list[keys.PrivateKey]:
    """Give the plane a root of trust that wants two signatures; return the keys."""
    signers = [keys.make() for _ in range(3)]
    payload = metadata.new_root(
        version=1,
        expires=plant.time + timedelta(days=365),
        root=[goods.MASTER.public_key()],
        root_threshold=1,
        targets=[key.public_key() for key in signers],
        targets_threshold=2,
        online=ONLINE.public_key(),
    )
    root = metadata.assemble(payload, [metadata.sign(payload, goods.MASTER)])
    plant.db.write_now("root", supply_actions.trust_root, plant.act(), root, ONLINE)
    goods.image(plant, plant.organisations["north"], goods.NAME)
    return signers


def source(version: str, **more: Any) -> bytes:  # noqa: ANN401 - of a compose file
    return world.source("press-line", version, goods.NAME, **more)


def shown(plant: Plant, release: Release, user: User | None = None) -> dict[str, Any]:
    return data(plant, user or manager(plant), f"/releases/{release.id}")


# The list


def test_without_a_root_of_trust_the_page_says_so_and_how_it_begins(plant: Plant) -> None:
    for role in ROLES[:-1]:
        answer = ask(plant, plant.users["north", role], "/releases")
        assert "Nothing may run yet: the plane has no root of trust." in answer.text
        for command in ("trust plane-key", "keys init --plane-key online.pub", "trust install keys/root.json"):
            assert f"checkvalve {command}" in answer.text
    assert "checkvalve image import FILE" in ask(plant, manager(plant), "/releases").text
    assert "checkvalve image import FILE" not in ask(plant, plant.users["north", "viewer"], "/releases").text


def test_the_list_says_what_may_run_and_what_waits_for_which_signature(plant: Plant) -> None:
    first, second, _ = two_of_three(plant)
    made(plant, source("1"))
    said = data(plant, manager(plant), "/releases")
    assert said["sentence"] == "No release may run; 1 waits for 2 more signatures."
    other = plant.user(plant.organisations["north"], "nina", "release-manager")
    sign(plant, manager(plant), first)
    said = data(plant, other, "/releases")
    assert said["sentence"] == "No release may run; 1 waits for its second signature."
    assert (said["draft"]["have"], said["draft"]["needed"], len(said["draft"]["may_sign"])) == (1, 2, 2)
    assert metadata.keyid(second.public_key())[:12] in said["draft"]["who"]
    assert f"Signed by {manager(plant).person.name}." in said["draft"]["who"]
    sign(plant, other, second)
    assert data(plant, other, "/releases")["sentence"] == "One release may run."
    assert data(plant, other, "/releases")["draft"] is None


def test_a_state_is_a_shape_and_a_word_and_only_what_may_run_is_green(plant: Plant) -> None:
    below, withdrawn, may = (goods.published(plant, "north") for _ in range(3))
    ask(plant, manager(plant), f"/releases/{withdrawn.id}/withdraw", {"reason": "It leaks."})
    ask(plant, manager(plant), f"/releases/{may.id}/floor", {"reason": "Older ones leak."})
    sign(plant, manager(plant))
    waits = goods.drafted(plant, "north")[0]
    rows = {row["id"]: (row["shape"], row["word"]) for row in data(plant, manager(plant), "/releases")["items"]}
    assert rows == {
        waits.id: ("warn", "waits for signatures"),
        may.id: ("ok", "may run"),
        withdrawn.id: ("refused", "withdrawn"),
        below.id: ("refused", "below the floor"),
    }


def test_discarded_releases_are_shown_when_they_are_asked_for(plant: Plant) -> None:
    release, draft = goods.drafted(plant, "north")
    ask(plant, manager(plant), f"/drafts/{draft.id}/discard", {})
    assert data(plant, manager(plant), "/releases")["items"] == []
    asked = data(plant, manager(plant), "/releases?state=discarded")
    assert [item["id"] for item in asked["items"]] == [release.id]
    assert asked["sentence"] == "One release was discarded."


def test_state_and_name_in_the_address_narrow_the_list(plant: Plant) -> None:
    goods.ready(plant, plant.organisations["north"])
    made(plant, source("1"))
    made(plant, world.source("scada", "1", goods.NAME))
    by = manager(plant)
    assert data(plant, by, "/releases?name=scada")["sentence"] == "One release called scada."
    both = data(plant, by, "/releases?state=drafted&name=scada")
    assert both["sentence"] == "One release called scada waits for signatures."
    assert "name=scada" in by_name([{"name": one["label"], **one} for one in both["show"]])["Published"]["href"]
    assert data(plant, by, "/releases?name=other")["sentence"] == "No release is like this."
    assert len(data(plant, by, "/releases?state=other")["items"]) == 2
    assert data(plant, by, "/releases?before=x")["items"] == []


@pytest.mark.slow
def test_a_hundred_are_shown_and_it_is_said_that_there_are_more(plant: Plant) -> None:
    goods.ready(plant, plant.organisations["north"])
    for number in range(102):
        made(plant, source(f"1.{number}"))
    first = data(plant, manager(plant), "/releases")
    assert first["sentence"] == "Of the newest 100 releases none may run; 100 wait for one more signature."
    rest = data(plant, manager(plant), first["older_href"])
    assert (rest["sentence"], rest["older_href"]) == ("2 older releases.", "")
    assert [item["version"] for item in rest["items"]] == ["1.1", "1.0"]


def test_images_say_who_uses_them(plant: Plant) -> None:
    goods.drafted(plant, "north")
    goods.image(plant, plant.organisations["north"], "idle:1")
    said = data(plant, manager(plant), "/releases")
    assert {image["names"][0]: image["used_words"] for image in said["images"]} == {
        goods.NAME: "1 release",
        "idle:1": "none",
    }


def test_what_has_run_out_is_said_first_with_what_to_do(plant: Plant) -> None:
    goods.published(plant, "north")
    plant.later(days=340)
    user = plant.sign_in(manager(plant).person)
    assert data(plant, user, "/releases")["trust"]["sentence"].startswith("What the plane signs itself ran out")
    plant.later(days=30)
    user = plant.sign_in(manager(plant).person)
    said = data(plant, user, "/releases")["trust"]
    assert (said["shape"], said["command"].split()[:3]) == ("bad", ["checkvalve", "keys", "init"])


# One release


def test_a_release_shows_what_is_in_it(plant: Plant) -> None:
    release = goods.published(plant, "north")
    said = shown(plant, release)
    assert said["sentence"] == f"press-line {release.version} may run."
    (service,) = said["services_cards"]
    facts = {fact["name"]: fact["lines"] for fact in service["facts"]}
    assert (service["name"], service["image"], facts["ports"]) == ("web", goods.NAME, ["all addresses:8080 to 80/tcp"])
    assert facts["check"] == ["the image's own"]
    assert said["gate"].startswith("After 30s every service must be healthy, and stay so for 2m.")
    assert said["digest"] == release.digest.removeprefix("sha256:")
    assert said["show_command"] == f"checkvalve release show press-line@{release.version}"
    assert [one["person"] for one in said["signed"]["signatures"]] == [manager(plant).person.name]
    text = ask(plant, manager(plant), f"/releases/{release.id}").text
    assert escaped(release.source.decode()) in text
    assert release.ref in text


RICH = b"""
name: press-line
x-checkvalve: { version: '9', soak: 3m, max_restarts: 2 }
services:
  web:
    image: historian:2.4
    command: [serve, --banner, "a b"]
    environment: { TEXT: "<b>left\\u202eright</b>" }
    ports: ['127.0.0.1:8080:80', '[::1]:5353:53/udp']
    volumes: ['data:/data:ro']
    networks: { inside: { aliases: [www] } }
    cap_drop: [ALL]
    read_only: true
    healthcheck: { test: [CMD, ping], interval: 10s }
    depends_on: [migrate]
    x-checkvalve:
      probes: [{ kind: http, port: 80, path: /health }, { kind: tcp, port: 80 }, { kind: exec, command: [ok] }]
  migrate:
    image: historian:2.4
    x-checkvalve: { kind: oneshot, each_switch: true, rerun_on_rollback: true }
volumes:
  data: {}
  old: { x-checkvalve: { policy: snapshot } }
networks:
  inside: { internal: true }
"""


def test_everything_a_service_says_reads_as_words(plant: Plant) -> None:
    goods.ready(plant, plant.organisations["north"])
    release = made(plant, RICH)
    said = shown(plant, release)
    migrate, web = said["services_cards"]
    facts = {fact["name"]: fact["lines"] for fact in web["facts"]}
    assert facts["command"] == ["serve --banner 'a b'"]
    assert facts["ports"] == ["127.0.0.1:8080 to 80/tcp", "[::1]:5353 to 53/udp"]
    assert (facts["mounts"], facts["networks"]) == (["data at /data, read only"], ["inside, also as www"])
    assert facts["check"][0] == "ping"
    assert [line.partition(";")[0] for line in facts["probes"]] == [
        "http 80/health answers 200",
        "tcp 80 accepts",
        "ok ends with 0",
    ]
    assert facts["bounds"] == ["file system read only, capabilities dropped: ALL"]
    kind = {fact["name"]: fact["lines"] for fact in migrate["facts"]}["kind"]
    assert kind == ["runs to its end at every switch; right when it ends with 0", "runs again on a rollback"]
    words = {one["name"]: one["words"] for one in said["volumes"]}
    assert words["data"].startswith("Data is not rolled back")
    assert words["old"].startswith("Data returns to the snapshot")
    assert said["networks"] == ["default", "inside (leads nowhere else)"]
    assert "Meanwhile 2 restarts are allowed." in said["gate"]


REACHING = b"""
name: press-line
x-checkvalve:
  version: '10'
  allow: [engine-socket]
  host_paths: [/srv]
  variables: { PLC: { kind: address, help: of the press }, LEVEL: info }
  files: { conf: { default: "<b>a: 1</b>" } }
  secrets: { key: {} }
services:
  web:
    image: historian:2.4
    environment: { PLC: "${PLC}", LEVEL: "${LEVEL}" }
    devices: [/dev/ttyUSB0]
    volumes: ['/run/docker.sock:/run/docker.sock', '/srv/<i>:/recipes:ro']
    configs: [conf]
    secrets: [{ source: key, mode: 0400, uid: 7 }]
    extra_hosts: { plc: "${PLC}" }
    sysctls: { net.core.somaxconn: 4096 }
    group_add: [dialout]
    cap_add: [NET_RAW]
    mem_limit: 64m
    cpus: 0.5
    ulimits: { nofile: 1024 }
    logging: { driver: local, options: { max-size: 1m } }
    depends_on: { db: { condition: service_healthy } }
    networks: { field: { ipv4_address: 10.20.0.5 } }
  db:
    image: historian:2.4
    network_mode: host
    healthcheck: { test: [CMD, a] }
    logging: { driver: none }
networks:
  field: { driver: macvlan, driver_opts: { parent: eth1 }, ipam: { config: [{ subnet: 10.20.0.0/24 }] } }
"""


def test_what_a_release_may_do_on_the_device_is_told_with_the_dangerous_first(plant: Plant) -> None:
    goods.ready(plant, plant.organisations["north"])
    release = made(plant, REACHING)
    said = shown(plant, release)
    assert [(one["kind"], one["service"], one["grave"]) for one in said["rights"]] == [
        ("engine-socket", "web", True),
        ("host-network", "db", True),
        ("capability", "web", False),
        ("device", "web", False),
        ("host-path", "web", False),
        ("interface", "web", False),
        ("sysctl", "web", False),
        ("group", "web", False),
    ]
    assert said["host_paths"] == "/srv"
    assert [(one["name"], one["words"], one["usual"]) for one in said["open"]] == [
        ("LEVEL", "text", "info"),
        ("PLC", "IP address", "must be set"),
        ("conf", "file", "a text of 11 bytes"),
        ("key", "secret", "must be set"),
    ]
    assert "The network field has the fixed subnet 10.20.0.0/24." in said["exclusive"]
    page = ask(plant, manager(plant), f"/releases/{release.id}").text
    assert "&lt;b&gt;a: 1&lt;/b&gt;" in page
    assert "Some of these hand the device over, or could." in page
    plain = made(plant, source("11"))
    assert "Nothing beyond its containers." in ask(plant, manager(plant), f"/releases/{plain.id}").text


def test_what_a_service_has_of_the_device_reads_as_words(plant: Plant) -> None:
    goods.ready(plant, plant.organisations["north"])
    said = shown(plant, made(plant, REACHING))
    db, web = ({fact["name"]: fact["lines"] for fact in card["facts"]} for card in said["services_cards"])
    assert (db["networks"], db["log"]) == (["the device's own"], ["nothing is kept"])
    assert web["networks"] == ["field 10.20.0.5"]
    assert said["networks"] == ["field 10.20.0.0/24 macvlan on eth1"]
    assert web["after"] == ["db, once it is healthy"]
    assert web["devices"] == ["/dev/ttyUSB0:/dev/ttyUSB0:rwm"]
    assert web["binds"] == ["/srv/<i>:/recipes:ro", "/run/docker.sock:/run/docker.sock"]
    assert web["files"] == ["conf at /conf, 0444, of 0:0"]
    assert web["secrets"] == ["key at /run/secrets/key, 0400, of 7:0"]
    assert web["extra_hosts"] == ["plc ${PLC}"]
    assert web["limits"] == ["64m of memory", "0.5 processors", "nofile 1024:1024"]
    assert web["log"] == ["local: 3 files of 1m"]
    assert web["bounds"] == ["capabilities added: NET_RAW"]


def test_what_cannot_be_seen_in_a_text_is_spelled_out_and_nothing_in_it_is_markup(plant: Plant) -> None:
    goods.ready(plant, plant.organisations["north"])
    release = made(plant, RICH + "# a comment\u202e <script>\n".encode())
    page = ask(plant, manager(plant), f"/releases/{release.id}").text
    assert "\u202e" not in page
    assert "&lt;b&gt;left\\u202eright&lt;/b&gt;" in page
    assert "# a comment\\u202e &lt;script&gt;" in page


def test_bytes_that_are_not_what_the_digest_names_are_not_passed_off_as_the_release(plant: Plant) -> None:
    stock.release(plant.db, plant.new_id(), "edge@sha256:" + "a" * 64, plant.time, scope=plant.organisations["north"])
    (row,) = data(plant, manager(plant), "/releases")["items"]
    said = data(plant, manager(plant), f"/releases/{row['id']}")
    assert (said["intact"], said["next_shape"]) == (False, "bad")
    assert said["sentence"] == "What is stored as edge 1 is not that release."


def test_what_differs_from_the_one_before_is_a_table(plant: Plant) -> None:
    goods.ready(plant, plant.organisations["north"])
    first, second = made(plant, source("1")), made(plant, source("2", port=9090))
    assert shown(plant, first)["differences_none"] == "first"
    said = shown(plant, second)
    assert said["differences_title"] == "What differs from press-line 1"
    assert {"path": "version", "before": "1", "after": "2"} in said["differences"]
    assert any("9090" in one["after"] for one in said["differences"])


def test_a_release_is_compared_only_for_who_may_read_the_one_before(plant: Plant) -> None:
    north = plant.organisations["north"]
    visby, gavle = (plant.scope(north, ScopeKind.SITE, name) for name in ("Visby", "Gavle"))
    goods.ready(plant, north)
    made(plant, source("1", port=7070), visby)
    second = made(plant, source("2"), gavle)
    local = plant.user(gavle, "local", "viewer")
    assert shown(plant, second, local)["differences_none"] == "unseen"
    assert "7070" not in ask(plant, local, f"/releases/{second.id}").text
    assert shown(plant, second)["differences_none"] == ""


def test_a_draft_that_one_may_not_read_is_not_shown_with_its_release(plant: Plant) -> None:
    site = plant.scope(plant.organisations["north"], ScopeKind.SITE, "Visby")
    goods.ready(plant, plant.organisations["north"])
    release = made(plant, source("1"), site)
    local = plant.user(site, "local", "viewer")
    said = shown(plant, release, local)
    assert (said["waits"], said["signed"]) == (None, None)
    listed = data(plant, local, "/releases")
    assert (listed["sentence"], listed["draft"]) == ("No release may run; 1 waits for signatures.", None)
    assert ask(plant, local, f"/drafts/{opened(plant).id}").status_code == 404


def test_another_organisation_is_not_there(plant: Plant) -> None:
    release, draft = goods.drafted(plant, "north")
    stranger = plant.users["south", "release-manager"]
    for path in (f"/releases/{release.id}", f"/drafts/{draft.id}"):
        assert ask(plant, stranger, path).status_code == 404, path
    for path in (f"/releases/{release.id}/withdraw", f"/releases/{release.id}/floor", f"/drafts/{draft.id}/discard"):
        assert ask(plant, stranger, path, {"reason": "x"}).status_code == 404, path
    said = data(plant, stranger, "/releases")
    assert (said["items"], said["images"], said["draft"]) == ([], [], None)
    assert data(plant, stranger, "/find?q=press")["items"] == []
    assert opened(plant).id == draft.id


# What forms change


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("withdraw", "press-line {} may not be taken any more"), ("floor", "Nothing older than press-line {} may be ")],
)
def test_a_withdrawal_and_a_floor_are_forms_that_lead_to_the_draft(plant: Plant, name: str, sentence: str) -> None:
    release = goods.published(plant, "north")
    answer = ask(plant, manager(plant), f"/releases/{release.id}/{name}", {"reason": " It\r\nleaks. "})
    assert (answer.status_code, answer.headers["location"]) == (303, f"/drafts/{opened(plant).id}")
    said = data(plant, manager(plant), answer.headers["location"])
    assert said["sentence"].startswith(sentence.format(release.version))
    assert said["sentence"].endswith(", once one more person signs.")
    assert [(one["kind"], one["reason"]) for one in said["changes"]] == [(name, "It leaks.")]
    there = by_name(shown(plant, release)["deeds"])[name]
    assert (there["enabled"], bool(there["why"])) == (False, True)
    assert shown(plant, release)["waits"]["said"].startswith("The open draft")
    assert plant.entries(1)[0].action == f"release.{name}"


@pytest.mark.parametrize("reason", ["", "  ", "x" * 2_001])
def test_without_a_reason_nothing_is_drafted_and_the_form_is_there_again(plant: Plant, reason: str) -> None:
    release = goods.published(plant, "north")
    answer = ask(plant, manager(plant), f"/releases/{release.id}/withdraw", {"reason": reason})
    assert answer.status_code == 422
    assert '<details class="deed" open>' in answer.text
    assert plant.db.read_now("open", supply_queries.open_draft) is None
    assert plant.entries(1)[0].kind is Kind.REFUSED


def test_deeds_that_cannot_be_done_say_why_in_the_words_of_the_rule(plant: Plant) -> None:
    release = goods.published(plant, "north")
    viewer = by_name(shown(plant, release, plant.users["north", "viewer"])["deeds"])
    assert all(not one["enabled"] and "release.create" in one["why"] for one in viewer.values())
    waits = goods.drafted(plant, "north")[0]
    said = shown(plant, waits)
    assert all(not one["enabled"] and "only what is published" in one["why"] for one in said["deeds"])
    assert "waits for signatures" in said["rollout"]["why"]
    for name in ("withdraw", "floor"):
        answer = ask(plant, plant.users["north", "viewer"], f"/releases/{release.id}/{name}", {"reason": "x"})
        assert answer.status_code == 403


def test_while_a_draft_is_being_signed_nothing_joins_it_and_the_page_says_so(plant: Plant) -> None:
    first, second, _ = two_of_three(plant)
    release, other = made(plant, source("1")), plant.user(plant.organisations["north"], "nina", "release-manager")
    sign(plant, manager(plant), first)
    sign(plant, other, second)
    made(plant, source("2"))
    sign(plant, other, second)
    said = by_name(shown(plant, release)["deeds"])["withdraw"]
    assert (said["enabled"], "takes no more changes" in said["why"]) == (False, True)
    assert ask(plant, manager(plant), f"/releases/{release.id}/withdraw", {"reason": "x"}).status_code == 409


def test_a_rollout_is_drafted_from_a_release_that_may_run(plant: Plant) -> None:
    release = goods.published(plant, "north")
    link = shown(plant, release)["rollout"]["href"]
    assert f'value="{release.ref}"' in ask(plant, manager(plant), link).text
    assert not shown(plant, release, plant.users["north", "auditor"])["rollout"]["enabled"]


# Drafts


def test_a_draft_says_what_signing_allows_who_signed_and_who_is_missing(plant: Plant) -> None:
    first, second, third = two_of_three(plant)
    made(plant, source("1"))
    made(plant, source("2"))
    draft = opened(plant)
    said = data(plant, manager(plant), f"/drafts/{draft.id}")
    assert said["sentence"] == "2 changes hold once 2 more people sign."
    assert said["digest"] == drafts.digest(draft)
    sign(plant, manager(plant), second)
    said = data(plant, manager(plant), f"/drafts/{draft.id}")
    assert (said["have_words"], said["next_why"].endswith("You have signed it; others must.")) == (
        "1 of 2 signatures",
        True,
    )
    assert [one["word"] for one in said["signers"]] == ["signed", "may still sign", "may still sign"]
    missing_keys = {one["keyid"] for one in said["signers"][1:]}
    assert missing_keys == {metadata.keyid(key.public_key()) for key in (first, third)}
    assert "checkvalve release sign --key" in ask(plant, manager(plant), f"/drafts/{draft.id}").text
    other = plant.user(plant.organisations["north"], "nina", "release-manager")
    sign(plant, other, third)
    after = data(plant, manager(plant), f"/drafts/{draft.id}")
    assert (after["sentence"], after["sign_command"]) == ("Signed and published: what it says holds.", "")
    assert len(after["signers"]) == 2


def test_a_renewal_is_a_draft_without_changes(plant: Plant) -> None:
    goods.published(plant, "north")
    act, made_id, north = plant.act(manager(plant).actor), DraftId(plant.new_id()), plant.organisations["north"]
    draft = plant.db.write_now("renew", supply_actions.renew, act, made_id, north)
    said = data(plant, manager(plant), f"/drafts/{draft.id}")
    assert said["sentence"].startswith("The list stays as it is and is good for another year, once one more person")
    listed = data(plant, manager(plant), "/releases")
    assert listed["sentence"] == "One release may run; a draft waits for its first signature."


def test_a_draft_that_nobody_can_sign_any_more_says_so(plant: Plant) -> None:
    draft = goods.drafted(plant, "north")[1]
    plant.later(days=366)
    user = plant.sign_in(manager(plant).person)
    said = data(plant, user, f"/drafts/{draft.id}")
    assert (said["shape"], said["next"], said["sign_command"]) == ("bad", "Nobody can sign it any more.", "")


def test_a_draft_is_discarded_by_a_form_of_the_session_and_by_no_other(plant: Plant) -> None:
    release, draft = goods.drafted(plant, "north")
    path = f"/drafts/{draft.id}"
    assert "One release is discarded with it" in ask(plant, manager(plant), path).text
    assert ask(plant, manager(plant), f"{path}/discard", {}, csrf="").status_code == 403
    assert ask(plant, plant.users["north", "viewer"], f"{path}/discard", {}).status_code == 403
    assert opened(plant).id == draft.id
    answer = ask(plant, manager(plant), f"{path}/discard", {})
    assert (answer.status_code, answer.headers["location"]) == (303, path)
    assert data(plant, manager(plant), path)["sentence"] == "This draft was discarded; nothing of it holds."
    assert shown(plant, release)["sentence"].endswith("was discarded and will never run.")
    again = ask(plant, manager(plant), f"{path}/discard", {})
    assert (again.status_code, "The draft is discarded already." in again.text) == (409, True)


def test_the_page_reads_a_change_as_every_other_face_does(plant: Plant) -> None:
    release = goods.published(plant, "north")
    for kind in ChangeKind:
        assert release_view.sentence(Change(kind, release)) == Change(kind, release).sentence


def test_whoever_may_sign_and_has_not_is_told_today(plant: Plant) -> None:
    first, _, _ = two_of_three(plant)
    made(plant, source("1"))
    said = data(plant, manager(plant), "/today")
    assert said["sentence"] == "One decision waits for you."
    assert [need["href"] for need in said["needs"]] == [f"/drafts/{opened(plant).id}"]
    assert 'href="/today#needs"' in ask(plant, manager(plant), "/fleet").text
    for org, role in (("north", "viewer"), ("north", "operator"), ("south", "release-manager")):
        assert data(plant, plant.users[org, role], "/today")["needs"] == []
    sign(plant, manager(plant), first)
    assert data(plant, manager(plant), "/today")["needs"] == []


def test_a_release_is_found_by_name_version_id_and_digest(plant: Plant) -> None:
    release = goods.published(plant, "north")
    for asked in ("press", f"press-line {release.version}", release.id, release.digest[7:19], release.ref):
        found = data(plant, manager(plant), f"/find?q={asked}")["items"]
        assert f"/releases/{release.id}" in [one["href"] for one in found], asked


@pytest.mark.parametrize("path", ["/releases", "/drafts"])
@pytest.mark.parametrize("ident", ["x", "%00", "a" * 5_000, "0" * 26])
def test_what_is_not_there_is_not_found(plant: Plant, path: str, ident: str) -> None:
    answer = ask(plant, manager(plant), f"{path}/{ident}")
    assert answer.status_code in {404, 422}
    assert 'class="rail"' in answer.text


def test_every_deed_of_releases_is_told_in_words_of_the_domain() -> None:
    assert set(texts_supply.TOLD) <= set(texts.TOLD)
    assert texts.EN["release.policy_keep"].startswith("Data is not rolled back")


@pytest.mark.parametrize("name", [name for name in texts_supply.EN if ".command_" in name])
def test_every_command_that_a_page_names_is_one(name: str) -> None:
    words = shlex.split(texts.EN[name].partition(">")[0])
    assert words[0] == "checkvalve"
    verbs = "trust plane-key|trust install|keys init|image import"
    assert re.match(rf"(release (create|renew|diff|show|sign)|{verbs})\b", " ".join(words[1:]))


# In a browser


@pytest.fixture(scope="module")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Estate, dict[str, str]]]:
    """Serve an estate with a release in each state, one of them of forty services with long names."""
    estate = Estate(tmp_path_factory.mktemp("stocked"))
    estate._ground()
    supplied = Stock(estate).trust()
    paths = {state: f"/releases/{release.id}" for state, release in supplied.few().items()}
    paths |= {"signed": f"/drafts/{supplied.draft().id}"}
    supplied.sign("maria")
    paths["long"] = f"/releases/{supplied.many(3).id}"
    paths |= {"draft": f"/drafts/{supplied.draft().id}", "list": "/releases", "all": "/releases?state=discarded"}
    with estate.served():
        yield estate, paths
    estate.close()


@pytest.fixture
def page(stocked: tuple[Estate, dict[str, str]], request: pytest.FixtureRequest) -> Iterator[Page]:
    """Return a page of Maria, who makes releases; at the end nothing may have been complained about."""
    if not Path(CHROMIUM).exists():
        missing("Chromium", "apt-get install chromium")
    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        width = getattr(request, "param", 1440)
        context = browser.new_context(ignore_https_errors=True, viewport={"width": width, "height": 844})
        page = context.new_page()
        page.on("console", lambda said: complaints.append(said.text) if said.type in {"error", "warning"} else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        sign_in(page, stocked[0], "maria")
        yield page
        browser.close()
    assert complaints == []


@pytest.mark.slow
@pytest.mark.real_parts
@pytest.mark.parametrize("page", [1440, 390], indirect=True)
def test_nobody_stumbles_and_no_page_scrolls_sideways(stocked: tuple[Estate, dict[str, str]], page: Page) -> None:
    estate, paths = stocked
    found = {}
    for name, path in paths.items():
        page.goto(estate.url + path)
        for details in page.locator("details.service:not([open]) > summary").all()[:3]:
            details.click()
        width = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        if (stumbles := page.evaluate(STUMBLES)) or width > 0:
            found[name] = (stumbles, width)
    assert found == {}
    assert LONG in page.goto(estate.url + paths["long"]).text()  # type: ignore[union-attr]


@pytest.mark.slow
@pytest.mark.real_parts
def test_a_withdrawal_asks_for_its_reason_before_anything_happens(
    stocked: tuple[Estate, dict[str, str]], page: Page
) -> None:
    estate, paths = stocked
    page.goto(estate.url + paths["draft"])
    page.get_by_text("Discard…").click()
    page.get_by_role("button", name="Discard the draft").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("This draft was discarded; nothing of it holds.")
    page.goto(estate.url + "/today")
    page.locator("main").click(position={"x": 5, "y": 5})
    page.keyboard.press("g")
    page.keyboard.press("e")
    page.wait_for_url("**/releases")
    page.goto(estate.url + paths["published"])
    reason = page.locator("#f-withdraw")
    expect(reason).to_be_hidden()
    page.get_by_text("Withdraw…").click()
    reason.fill("The historian loses an hour.")
    page.get_by_role("button", name="Draft the withdrawal").click()
    page.wait_for_url("**/drafts/*")
    expect(page.get_by_role("heading", level=1)).to_have_text(
        "pump-station 2.4.0 may not be taken any more, once 2 more people sign."
    )
