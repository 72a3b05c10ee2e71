# SPDX-License-Identifier: Apache-2.0
"""People: who can sign in, and on one person's page which roles they hold, with what an administrator can change."""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

from litestar import get, post
from litestar.params import FromPath
from litestar.response import Redirect

from checkvalve.ids import BindingId, PersonId
from checkvalve.server.access import actions as access_actions
from checkvalve.server.access import queries as access_queries
from checkvalve.server.access.model import ROOT, Binding, Permission
from checkvalve.server.audit.model import Act
from checkvalve.server.db.database import Tx
from checkvalve.server.identity import actions as identity_actions
from checkvalve.server.identity import logins, passwords
from checkvalve.server.identity import queries as identity_queries
from checkvalve.server.identity.model import Person
from checkvalve.server.web import sign_in, texts
from checkvalve.server.web.calls import NO_ID, Call, Called, Place, in_scope
from checkvalve.server.web.pages import frame, person_view
from checkvalve.server.web.pages.frame import Answer, Asked, Page, Retry
from checkvalve.server.web.pages.view import Data, View, known

LIST = Page("people.html", "access", "people.title")
ONE = Page("person.html", "access", "people.title")
_READ = {"permission": Permission.PERSON_READ}
_MANAGE = {"permission": Permission.PERSON_MANAGE}
_BIND = {"permission": Permission.ACCESS_MANAGE}


@get(["/people", "/people.json"], opt=_READ)
async def listed(request: Asked, call: Called) -> Answer:
    """Answer with the people who are at home where one may see."""
    return await _list(request, call)


@post("/people", opt=_MANAGE)
async def create(request: Asked, call: Called) -> Answer | Redirect:
    """Make a person who may sign in and holds no role yet."""
    made = PersonId(call.plane.new_id())

    async def do(form: Mapping[str, str]) -> None:
        subject, home, login = f"person:{made}", form.get("home", ""), form.get("login", "")
        secret, name = form.get("password", ""), form.get("name", "")
        where = in_scope(home)
        await call.may("person.create", subject, where, lambda _: passwords.check(secret, logins.check(login)))
        stored = await sign_in.store(call.plane, secret)

        def make(tx: Tx, act: Act) -> Person:
            return identity_actions.create_person(tx, act, Person(made, login, name, home, act.at), stored)

        await call.act("person.create", subject, where, make)

    return await frame.change(request, do, lambda retry: _list(request, call, retry), f"/people/{made}")


@get("/people/{person_id:str}", opt=_READ)
async def one(request: Asked, call: Called, person_id: FromPath[str]) -> Answer:
    """Answer with one person."""
    return await _one(request, call, person_id)


@post("/people/{person_id:str}/bind", opt=_BIND)
async def bind(request: Asked, call: Called, person_id: FromPath[str]) -> Answer | Redirect:
    """Give a role."""
    made = BindingId(call.plane.new_id())

    def binding(form: Mapping[str, str], act: Act) -> Binding:
        days = form.get("days", "")
        ends = act.at + timedelta(days=int(days)) if days in {str(n) for n in person_view.DAYS} else None
        return Binding(
            id=made,
            person=PersonId(known(person_id)),
            role=form.get("role", ""),
            scope=form.get("scope", ""),
            not_after=ends,
            made_by=act.actor.id,
            made_at=act.at,
        )

    async def do(form: Mapping[str, str]) -> None:
        where = in_scope(form.get("scope", ""))
        await call.act(
            "binding.create", f"binding:{made}", where, lambda tx, act: access_actions.bind(tx, act, binding(form, act))
        )

    return await _change(request, call, person_id, do)


@post("/people/{person_id:str}/unbind", opt=_BIND)
async def unbind(request: Asked, call: Called, person_id: FromPath[str]) -> Answer | Redirect:
    """Take a role away, at once."""

    async def do(form: Mapping[str, str]) -> None:
        wanted = BindingId(known(form.get("binding", "")))
        await call.act(
            "binding.revoke",
            f"binding:{wanted}",
            Place(_scope, wanted),
            lambda tx, act: access_actions.unbind(tx, act, wanted),
        )

    return await _change(request, call, person_id, do)


@post("/people/{person_id:str}/disable", opt=_MANAGE)
async def disable(request: Asked, call: Called, person_id: FromPath[str]) -> Answer | Redirect:
    """Shut a person out."""
    return await _switch(request, call, person_id, "person.disable", access_actions.disable_person)


@post("/people/{person_id:str}/enable", opt=_MANAGE)
async def enable(request: Asked, call: Called, person_id: FromPath[str]) -> Answer | Redirect:
    """Let a person in again."""
    return await _switch(request, call, person_id, "person.enable", access_actions.enable_person)


def look(view: View) -> Data:
    """Return the list's data."""
    found = identity_queries.people(view.tx, access_queries.people_within(view.seen(Permission.PERSON_READ)))
    disabled = sum(person.disabled_at is not None for person in found)
    more = f" {texts.count('people.disabled', disabled)}" if disabled else ""
    homes = [(ROOT, view.where(ROOT))] if view.may(Permission.PERSON_MANAGE, ROOT) else []
    homes += [(place.path, view.where(place.path)) for place in view.places(Permission.PERSON_MANAGE)]
    return {
        "sentence": texts.count("people.sentence", len(found) - disabled) + more,
        "detail": texts.say("people.detail"),
        "items": [person_view.row(view, person) for person in found],
        "homes": [{"value": path, "label": name} for path, name in homes],
    }


async def _list(request: Asked, call: Call, retry: Retry | None = None) -> Answer:
    return await frame.show(request, call, LIST, look, retry=retry)


async def _one(request: Asked, call: Call, person_id: str, retry: Retry | None = None) -> Answer:
    def look_at(view: View) -> Data:
        seen = view.seen(Permission.PERSON_READ)
        found = identity_queries.person(view.tx, PersonId(known(person_id)))
        visible = found.home.startswith(seen.prefixes)
        return person_view.whole(view, found if visible else identity_queries.person(view.tx, PersonId(NO_ID)))

    return await frame.show(request, call, ONE, look_at, retry=retry)


async def _change(
    request: Asked, call: Call, person_id: str, do: Callable[[Mapping[str, str]], object]
) -> Answer | Redirect:
    then = f"/people/{known(person_id)}"
    return await frame.change(request, do, lambda retry: _one(request, call, person_id, retry), then)


async def _switch(
    request: Asked, call: Call, person_id: str, action: str, work: Callable[[Tx, Act, PersonId], None]
) -> Answer | Redirect:
    async def do(_: Mapping[str, str]) -> None:
        wanted = PersonId(known(person_id))
        await call.act(action, f"person:{wanted}", Place(_home, wanted), lambda tx, act: work(tx, act, wanted))

    return await _change(request, call, person_id, do)


def _home(tx: Tx, person_id: str) -> Sequence[str]:
    return (identity_queries.person(tx, PersonId(person_id)).home,)


def _scope(tx: Tx, binding_id: str) -> Sequence[str]:
    return (access_queries.binding(tx, BindingId(binding_id)).scope,)


handlers = [listed, create, one, bind, unbind, disable, enable]
