# SPDX-License-Identifier: Apache-2.0
"""The nouns and verbs against a real plane, each test under names of its own."""

import json
from collections.abc import Callable

import pytest

from checkvalve.crypto import merkle
from tests.cli.depot import RELEASE, Depot
from tests.cli.terminal import Terminal, password_file, sign_in
from tests.parts.plane import PASSWORD, PlaneProcess

pytestmark = pytest.mark.slow


def person(admin: Terminal, plane: PlaneProcess, login: str, role: str, scope: str) -> str:
    """Make somebody with a role, and return their id."""
    words = ["--name", login.title(), "--scope", scope, "--password-file", password_file(plane), "--quiet"]
    made = admin.done("person", "create", login, *words)
    admin.done("binding", "create", login, role, "--scope", scope)
    return made


def test_the_tree_is_made_listed_and_renamed_by_name(signed_in: Terminal) -> None:
    org = signed_in.done("scope", "create", "organisation", "Tree Water", "--quiet")
    assert "Made site Visby" in signed_in.done("scope", "create", "site", "Visby", "--scope", "tree water")
    signed_in.done("--scope", "Tree Water/Visby", "scope", "create", "area", "Pumps")
    listed = signed_in.done("scope", "list", "--scope", "TREE WATER")
    assert "Tree Water/Visby/Pumps" in listed
    assert org in listed
    answer = json.loads(signed_in.done("scope", "list", "--scope", "Tree Water", "--json"))
    assert [one["name"] for one in answer["items"]] == ["Tree Water", "Visby", "Pumps"]
    assert signed_in.done("scope", "list", "--scope", "Tree Water", "-q").split() == [
        one["id"] for one in answer["items"]
    ]
    assert "Pumping" in signed_in.done("scope", "rename", "Tree Water/Visby/Pumps", "Pumping")
    said = signed_in("scope", "rename", "Tree Water/Nowhere", "X")
    assert said.code == 1
    assert "Tree Water/Visby" in said.err
    assert signed_in("scope", "create", "site", "Lost").code == 2


def test_a_name_that_two_sites_have_lists_both(signed_in: Terminal) -> None:
    for org in ("East Water", "West Water"):
        signed_in.done("scope", "create", "organisation", org)
        signed_in.done("scope", "create", "site", "Twin", "--scope", org)
    said = signed_in("scope", "list", "--scope", "twin")
    assert said.code == 1
    assert "East Water/Twin" in said.err
    assert "West Water/Twin" in said.err


def test_people_are_made_shown_shut_out_and_let_in(
    signed_in: Terminal, plane: PlaneProcess, terminals: Callable[[str], Terminal]
) -> None:
    signed_in.done("scope", "create", "organisation", "People Water")
    ident = person(signed_in, plane, "bo.people", "viewer", "People Water")
    assert "viewer" in signed_in.done("person", "show", "BO.People")
    assert ident in signed_in.done("person", "list", "--scope", "People Water")
    bo = terminals("bo")
    sign_in(bo, plane, "bo.people")
    assert signed_in("person", "disable", "bo.people").code == 2
    signed_in.done("person", "disable", "bo.people", "--yes")
    said = bo("whoami")
    assert said.code == 1
    assert "checkvalve login" in said.err
    signed_in.done("person", "enable", ident)
    assert "bo.people is called Bo Ek now." in signed_in.done("person", "rename", "bo.people", "Bo Ek")
    assert "Bo Ek" in signed_in.done("person", "list", "--scope", "People Water")
    assert signed_in.done("person", "list", "--scope", "People Water", "-q") == ident
    sign_in(bo, plane, "bo.people")
    assert signed_in("person", "show", "nobody.people").code == 1


def test_a_password_is_set_from_standard_input_and_never_shown(
    signed_in: Terminal, plane: PlaneProcess, terminals: Callable[[str], Terminal]
) -> None:
    signed_in.done("scope", "create", "organisation", "Password Water")
    person(signed_in, plane, "cleo", "viewer", "Password Water")
    said = signed_in("person", "password", "cleo", "--password-file", "-", stdin="another long enough phrase\n")
    assert (said.code, "another long" in said.out + said.err) == (0, False)
    cleo = terminals("cleo")
    words = ["--pin", plane.pin, "--login", "cleo", "--password-file", "-"]
    assert cleo("login", plane.url, *words, stdin=f"{PASSWORD}\n").code == 1
    cleo.done("login", plane.url, *words, stdin="another long enough phrase\n")
    old = cleo.home / "old"
    old.write_text("another long enough phrase\n")
    own = ["person", "password", "cleo", "--old-password-file", str(old)]
    cleo.done(*own, "--password-file", password_file(plane))
    cleo.done("login", plane.url, *words, stdin=f"{PASSWORD}\n")
    assert signed_in("person", "password", "cleo", "--password-file", "-", stdin="short\n").code == 1


def test_a_role_is_given_listed_and_taken_away(signed_in: Terminal, plane: PlaneProcess) -> None:
    signed_in.done("scope", "create", "organisation", "Binding Water")
    person(signed_in, plane, "dag", "viewer", "Binding Water")
    assert "operator" in signed_in.done("role", "list", "-q").split()
    words = ["dag", "operator", "--scope", "Binding Water", "--until", "7d", "--network", "192.0.2.0/24"]
    made = signed_in.done("binding", "create", *words, "--quiet")
    listed = signed_in.done("binding", "list", "--person", "dag")
    assert made in listed
    assert "192.0.2.0/24" in listed
    assert "Binding Water" in listed
    assert made in signed_in.done("binding", "list", "--scope", "Binding Water", "-q").split()
    first = signed_in("binding", "list", "--person", "dag", "--limit", "1")
    assert made not in first.out
    cursor = first.err.split("--after ")[1].split()[0]
    assert signed_in.done("binding", "list", "--person", "dag", "--after", cursor, "-q") == made
    assert made in signed_in.done("binding", "list", "--person", "dag", "--limit", "1", "--all")
    assert signed_in("binding", "create", "dag", "operator").code == 2
    assert signed_in("binding", "create", "dag", "king", "--scope", "Binding Water").code == 1
    assert signed_in("binding", "revoke", made).code == 2
    signed_in.done("binding", "revoke", made, "--yes")
    assert made not in signed_in.done("binding", "list", "--person", "dag")


def test_a_token_is_shown_once_listed_without_its_secret_and_revoked(signed_in: Terminal, plane: PlaneProcess) -> None:
    secret = ["--password-file", password_file(plane)]
    said = signed_in("token", "create", "export", "--permission", "rollout.read", "--until", "2d", *secret)
    assert said.code == 0
    assert said.out.startswith("cvt_")
    assert "shown this once" in said.err
    listed = signed_in.done("token", "list", *secret)
    assert "export" in listed
    assert "rollout.read" in listed
    assert "cvt_" not in listed
    made = next(line.split()[0] for line in listed.splitlines() if "export" in line)
    signed_in.done("token", "revoke", made, "--yes", *secret)
    assert made not in signed_in.done("token", "list", *secret)
    said = signed_in("token", "list")
    assert (said.code, "--password-file" in said.err) == (2, True)


def test_the_record_is_filtered_and_read_in_stretches(signed_in: Terminal) -> None:
    for number in range(4):
        signed_in.done("scope", "create", "organisation", f"Record Water {number}")
    found = json.loads(signed_in.done("audit", "list", "--action", "scope.", "--limit", "2", "--json"))
    assert len(found["items"]) == 2
    assert found["next"] == found["items"][-1]["id"]
    after = json.loads(signed_in.done("audit", "list", "--action", "scope.", "--before", found["next"], "--json"))
    assert found["items"][-1]["id"] not in [one["id"] for one in after["items"]]
    said = signed_in("audit", "list", "--action", "scope.", "--actor", "admin", "--since", "1h", "--limit", "2")
    assert "There is more" in said.err
    assert "admin" in said.out
    here = json.loads(signed_in.done("audit", "list", "--scope", "Record Water 3", "--json"))
    assert {one["scope"] for one in here["items"]} == {here["items"][0]["scope"]}
    shown = signed_in.done("audit", "show", found["items"][0]["id"])
    assert "scope.create" in shown
    raw = signed_in("audit", "show", found["items"][0]["id"], "--raw").out
    assert merkle.leaf_hash(raw.encode()).hex() == found["items"][0]["leaf_hash"]
    assert "Record Water" in shown
    assert signed_in.done("audit", "list", "--since", "2099-01-01") == ""


def test_a_rollout_is_drafted_proposed_approved_by_another_and_started(
    signed_in: Terminal, plane: PlaneProcess, terminals: Callable[[str], Terminal]
) -> None:
    depot = Depot(plane, signed_in, signed_in).has("press-1")
    scope = depot.name
    drafter, voter = terminals("drafter"), terminals("voter")
    person(signed_in, plane, "oda", "operator", scope)
    person(signed_in, plane, "vera", "access-approver", scope)
    signed_in.done("binding", "create", "oda", "access-approver", "--scope", scope)
    sign_in(drafter, plane, "oda")
    sign_in(voter, plane, "vera")
    words = ["--release", RELEASE, "--selector", "tag:press", "--change", "MOC-1042"]
    rollout = drafter.done("rollout", "draft", "Press line", *words, "--scope", scope, "--quiet")
    assert drafter("rollout", "start", rollout, "--yes").code == 1
    approval = drafter.done("rollout", "propose", rollout, "--quiet")

    early = drafter("rollout", "start", rollout, "--yes")
    assert (early.code, "[rollout.not_approved]" in early.err) == (3, True)
    own = drafter("approval", "approve", approval, "--yes")
    assert (own.code, "[approval.own]" in own.err) == (3, True)
    assert voter("rollout", "start", rollout, "--yes").code == 3

    shown = voter.done("approval", "show", approval)
    for told in (RELEASE, "tag:press", "1 device first", "MOC-1042", "Press line", scope, "oda", "waits: 0 of 1"):
        assert told in shown
    asked = voter("approval", "approve", approval)
    assert (asked.code, RELEASE in asked.err) == (2, True)
    assert approval in voter.done("approval", "list", "--waiting")
    assert approval not in drafter.done("approval", "list", "--waiting", "--scope", scope)
    assert rollout in drafter.done("rollout", "list", "--state", "proposed", "--all", "-q").split()
    assert "[request.invalid]" in drafter("rollout", "list", "--state", "flying").err
    assert "approved" in voter.done("approval", "approve", approval, "--yes", "--note", "agreed with the shift")
    assert approval not in voter.done("approval", "list", "--waiting")
    assert approval in voter.done("approval", "list", "--scope", scope)
    assert "agreed with the shift" in voter.done("approval", "show", approval)
    assert "has started" in drafter.done("rollout", "start", rollout, "--yes")
    assert "started" in drafter.done("rollout", "show", rollout)
    assert rollout in drafter.done("rollout", "list", "--state", "started", "--scope", scope)
    assert drafter("rollout", "start", rollout, "--yes").code == 1


def test_a_rejected_rollout_does_not_start(
    signed_in: Terminal, plane: PlaneProcess, terminals: Callable[[str], Terminal]
) -> None:
    depot = Depot(plane, signed_in, signed_in)
    drafter, voter = terminals("drafter"), terminals("voter")
    person(signed_in, plane, "olle", "operator", depot.name)
    person(signed_in, plane, "vide", "access-approver", depot.name)
    sign_in(drafter, plane, "olle")
    sign_in(voter, plane, "vide")
    words = ["--release", RELEASE, "--selector", "all", "--scope", depot.name]
    rollout = drafter.done("rollout", "draft", "Wrong", *words, "-q")
    approval = drafter.done("rollout", "propose", rollout, "-q")
    assert "rejected" in voter.done("approval", "reject", approval, "--yes", "--note", "wrong release")
    said = drafter("rollout", "start", rollout, "--yes")
    assert (said.code, "wrong release" in said.err) == (3, True)
    assert "cancelled" in drafter.done("rollout", "cancel", rollout, "--yes")


def test_what_one_may_not_see_does_not_exist_and_what_one_may_not_do_is_refused(
    signed_in: Terminal, plane: PlaneProcess, terminals: Callable[[str], Terminal]
) -> None:
    for scope in ("Own Water", "Foreign Water"):
        signed_in.done("scope", "create", "organisation", scope)
    viewer = terminals("viewer")
    person(signed_in, plane, "erik", "viewer", "Own Water")
    sign_in(viewer, plane, "erik")
    assert "Foreign" not in viewer.done("scope", "list")
    assert "Foreign" not in viewer("scope", "list", "--scope", "Foreign Water").err.replace("'Foreign Water'", "")
    assert viewer("person", "list").code == 3
    assert viewer("scope", "rename", "Own Water", "Mine").code == 3
    assert viewer.done("rollout", "list") == ""
