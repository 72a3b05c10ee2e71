# SPDX-License-Identifier: Apache-2.0
"""Act: a plane out of nothing, three water sites, and the people who work there."""

from concurrent.futures import ThreadPoolExecutor

from checkvalve import clock
from checkvalve.demo.facts import Fact
from checkvalve.demo.stage import Stage

TITLE = "A plane out of nothing, three water sites, seven people"
ADMIN = "admin"
SITES = ("Visby waterworks", "Malmö pumping", "Luleå reservoir")
# login, name, organisation, roles; Anna could approve, but never what she asked for herself
PEOPLE = (
    ("anna", "Anna Lind, operations", "Norra Water", "operator access-approver"),
    ("bo", "Bo Ek, operations", "Norra Water", "operator"),
    ("ingrid", "Ingrid Berg, shift lead", "Norra Water", "access-approver"),
    ("rut", "Rut Dahl, releases", "Norra Water", "release-manager"),
    ("nils", "Nils Ek, engineering", "Norra Water", "release-manager"),
    ("maja", "Maja Holm, audit", "Norra Water", "auditor"),
    ("otto", "Otto Syd, operations", "Syd Energi", "operator"),
)


def play(stage: Stage) -> list[Fact]:
    """Make the plane and fill its tree."""
    began = clock.monotonic()
    stage.make_plane(ADMIN)
    stage.start()
    seconds = clock.monotonic() - began
    admin = stage.caller(ADMIN)
    for organisation, sites in (("Norra Water", SITES), ("Syd Energi", ("Ystad substation",))):
        top = admin.post("/api/v1/scopes", parent="/", kind="organisation", name=organisation)["path"]
        stage.places[organisation] = top
        for site in sites:
            stage.places[site] = admin.post("/api/v1/scopes", parent=top, kind="site", name=site)["path"]
    for login, name, organisation, held in PEOPLE:
        stage.people[login] = f"demo {clock.entropy(12).hex()}"
        home = stage.places[organisation]
        made = admin.post("/api/v1/people", login=login, name=name, home=home, password=stage.people[login])
        stage.ids[login] = made["id"]
        for role in held.split():
            bound = admin.post("/api/v1/bindings", person=made["id"], role=role, scope=home)
            stage.ids[f"binding of {login}"] = bound["id"]
    with ThreadPoolExecutor() as pool:
        names = pool.map(lambda login: stage.caller(login).get("/api/v1/me")["person"]["login"], stage.people)
        signed_in = len(set(names) & stage.people.keys())
    return [
        Fact(
            "One command makes a plane, one runs it; both listeners speak TLS",
            f"ready {seconds:.1f} s after nothing was there",
            "< 20 s",
            f"curl --cacert {stage.home}/keys/authority.crt {stage.url}/readyz",
            seconds < 20,
        ),
        Fact(
            "People see and do what their role allows where they are bound",
            f"{signed_in} of {len(stage.people)} signed in; {len(stage.places)} places in two organisations",
            "all",
            "checkvalve person list; checkvalve binding list",
            signed_in == len(PEOPLE) + 1,
        ),
    ]
