# SPDX-License-Identifier: Apache-2.0
"""How does a person read: their roles with bounds and origin, and what this caller can change about them?"""

from checkvalve.server.access import queries as access_queries
from checkvalve.server.access import roles
from checkvalve.server.access.model import ROOT, Binding, Permission
from checkvalve.server.identity.model import Person
from checkvalve.server.web import texts
from checkvalve.server.web.pages import times
from checkvalve.server.web.pages.view import Data, View, when

DAYS = (1, 7, 30, 90, 365)


def row(view: View, person: Person) -> Data:
    """Return one row of the list."""
    held = _held(view, person)
    names = sorted({binding.role for binding in held or ()})
    active = person.disabled_at is None
    return {
        "id": person.id,
        "name": person.name,
        "login": person.login,
        "home": person.home,
        "where": view.where(person.home),
        "roles": "-" if held is None else ", ".join(names),
        "made_at": when(person.made_at),
        "state": "done" if active else "unknown",
        "word": texts.say("person.active" if active else "person.disabled"),
        "href": view.link(f"/people/{person.id}"),
    }


def whole(view: View, person: Person) -> Data:
    """Return the data of one person's page."""
    held = _held(view, person)
    binds = _places(view) if person.id != view.me else []
    return {
        **row(view, person),
        "sentence": _sentence(person, held),
        "detail": texts.say("person.detail"),
        "bindings": None if held is None else [_binding(view, one) for one in held],
        "binds": binds,
        "roles": [{"value": name, "label": f"{name}: {role.sentence}"} for name, role in roles.BUILT_IN.items()],
        "days": [{"value": "", "label": texts.say("days.never")}]
        + [{"value": str(n), "label": texts.count("days", n)} for n in DAYS],
        "verb": _verb(view, person),
    }


def _held(view: View, person: Person) -> list[Binding] | None:
    seen = view.reach.get(Permission.ACCESS_READ)
    return access_queries.bindings_of(view.tx, seen, person.id) if seen else None


def _sentence(person: Person, held: list[Binding] | None) -> str:
    if person.disabled_at is not None:
        return texts.say("person.sentence_disabled", name=person.name)
    if held is None:
        return texts.say("person.sentence_unseen", name=person.name)
    if not held:
        return texts.say("person.sentence_none", name=person.name)
    return texts.count("person.sentence", len(held), name=person.name)


def _binding(view: View, binding: Binding) -> Data:
    role = roles.BUILT_IN.get(binding.role)
    made = times.relative(binding.made_at, view.now) if binding.made_at else ""
    return {
        "id": binding.id,
        "role": binding.role,
        "sentence": role.sentence if role else "",
        "scope": binding.scope,
        "where": view.where(binding.scope),
        "not_before": when(binding.not_before),
        "not_after": when(binding.not_after),
        "bounds": _bounds(view, binding),
        "origin": texts.say("person.origin_by", when=made, who=view.person(binding.made_by)),
        "may_end": view.may(Permission.ACCESS_MANAGE, binding.scope),
    }


def _bounds(view: View, binding: Binding) -> str:
    said = []
    if binding.not_before is not None and binding.not_before > view.now:
        said.append(texts.say("person.from", when=times.exact(binding.not_before)))
    if binding.not_after is not None:
        ended = "person.ended" if binding.not_after <= view.now else "person.until"
        said.append(texts.say(ended, when=times.exact(binding.not_after)))
    if binding.networks:
        said.append(texts.say("person.networks", networks=", ".join(str(each) for each in binding.networks)))
    return ", ".join(said) or texts.say("person.always")


def _places(view: View) -> list[Data]:
    if not view.holds(Permission.ACCESS_MANAGE):
        return []
    options: list[Data] = []
    if view.may(Permission.ACCESS_MANAGE, ROOT):
        options.append({"value": ROOT, "label": view.where(ROOT)})
    places = view.places(Permission.ACCESS_MANAGE)
    return options + [{"value": place.path, "label": view.where(place.path)} for place in places]


def _verb(view: View, person: Person) -> Data | None:
    if not view.may(Permission.PERSON_MANAGE, person.home):
        return None
    name = "enable" if person.disabled_at is not None else "disable"
    own = person.id == view.me
    return {
        "name": name,
        "label": texts.say(f"person.{name}"),
        "why": texts.say("person.own" if own else f"person.{name}_why"),
        "style": "danger" if name == "disable" else "",
        "enabled": not own,
    }
