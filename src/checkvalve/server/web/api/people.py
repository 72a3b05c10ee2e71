# SPDX-License-Identifier: Apache-2.0
"""People: `/api/v1/people`."""

from collections.abc import Callable, Sequence

from litestar import Router, get, post
from litestar.params import FromPath, JSONBody

from checkvalve.ids import PersonId
from checkvalve.protocol import api
from checkvalve.server.access import actions as access_actions
from checkvalve.server.access import queries as access_queries
from checkvalve.server.access.model import ROOT, Permission, Visibility
from checkvalve.server.audit.model import Act
from checkvalve.server.db.database import Tx
from checkvalve.server.identity import actions as identity_actions
from checkvalve.server.identity import logins, passwords
from checkvalve.server.identity import queries as identity_queries
from checkvalve.server.identity.model import Person
from checkvalve.server.web import sign_in
from checkvalve.server.web.api import answers
from checkvalve.server.web.api.paging import USUAL, After, Limit, Within, stretch
from checkvalve.server.web.calls import NO_ID, Call, Called, Place, in_scope, named


@get("/", opt={"permission": Permission.PERSON_READ}, summary="People, by login")
async def listed(call: Called, within: Within = ROOT, limit: Limit = USUAL, after: After = "") -> api.Page[api.Person]:
    """List the people who are at home where one may see; `after` is a login."""
    found = await call.ask(
        "people",
        lambda tx, seen: identity_queries.people(tx, access_queries.people_within(seen), limit=limit + 1, after=after),
        scope=within,
    )
    return stretch(found, limit, lambda one: one.login, answers.person)


@get("/{person_id:str}", opt={"permission": Permission.PERSON_READ}, summary="A person")
async def one(call: Called, person_id: FromPath[str]) -> api.Person:
    """Answer with a person."""

    def question(tx: Tx, seen: Visibility) -> Person:
        found = identity_queries.person(tx, PersonId(person_id))
        visible = found.home.startswith(seen.prefixes)
        return found if visible else identity_queries.person(tx, PersonId(NO_ID))

    return answers.person(await call.ask("person", question))


@post("/", opt={"permission": Permission.PERSON_MANAGE}, summary="Make a person")
async def create(call: Called, data: JSONBody[api.NewPerson]) -> api.Person:
    """Make a person who may sign in and holds no rights yet."""
    made_id = PersonId(call.plane.new_id())
    subject, where = f"person:{made_id}", in_scope(data.home)
    await call.may("person.create", subject, where, lambda _: passwords.check(data.password, logins.check(data.login)))
    stored = await sign_in.store(call.plane, data.password)

    def make(tx: Tx, act: Act) -> Person:
        person = Person(made_id, data.login, data.name, data.home, act.at)
        return identity_actions.create_person(tx, act, person, stored)

    return answers.person(await call.act("person.create", subject, where, make))


@post("/{person_id:str}/disable", opt={"permission": Permission.PERSON_MANAGE}, status_code=200, summary="Shut out")
async def disable(call: Called, person_id: FromPath[str]) -> api.Person:
    """Shut a person out: sessions end now, tokens stop."""
    return await _switch(call, person_id, "person.disable", access_actions.disable_person)


@post("/{person_id:str}/enable", opt={"permission": Permission.PERSON_MANAGE}, status_code=200, summary="Let in again")
async def enable(call: Called, person_id: FromPath[str]) -> api.Person:
    """Let a person in again, with the roles that still hold."""
    return await _switch(call, person_id, "person.enable", access_actions.enable_person)


@post("/{person_id:str}/name", opt={"permission": Permission.PERSON_MANAGE}, status_code=200, summary="Rename")
async def rename(call: Called, person_id: FromPath[str], data: JSONBody[api.PersonName]) -> api.Person:
    """Give a person another name; the login stays."""
    after = await call.act(
        "person.rename",
        named("person", person_id),
        Place(_home, person_id),
        lambda tx, act: identity_actions.rename_person(tx, act, PersonId(person_id), data.name),
    )
    return answers.person(after)


@post(
    "/{person_id:str}/password", opt={"permission": Permission.PERSON_MANAGE}, status_code=204, summary="New password"
)
async def password(call: Called, person_id: FromPath[str], data: JSONBody[api.NewPassword]) -> None:
    """Give a person another password and end their sessions."""
    subject, where = named("person", person_id), Place(_wherever_they_act, person_id)

    def check(tx: Tx) -> None:
        passwords.check(data.password, identity_queries.person(tx, PersonId(person_id)).login)

    await call.may("person.set_password", subject, where, check)
    stored = await sign_in.store(call.plane, data.password)
    await call.act(
        "person.set_password",
        subject,
        where,
        lambda tx, act: identity_actions.set_password(tx, act, PersonId(person_id), stored),
    )


async def _switch(call: Call, person_id: str, action: str, change: Callable[[Tx, Act, PersonId], None]) -> api.Person:
    def work(tx: Tx, act: Act) -> Person:
        change(tx, act, PersonId(person_id))
        return identity_queries.person(tx, PersonId(person_id))

    return answers.person(await call.act(action, named("person", person_id), Place(_home, person_id), work))


def _home(tx: Tx, person_id: str) -> Sequence[str]:
    return (identity_queries.person(tx, PersonId(person_id)).home,)


def _wherever_they_act(tx: Tx, person_id: str) -> Sequence[str]:
    # Whoever sets a password can sign in with it: they must hold the right wherever that person has a role.
    everywhere = Visibility((ROOT,))
    held = access_queries.bindings_of(tx, everywhere, PersonId(person_id))
    return (*_home(tx, person_id), *(binding.scope for binding in held))


router = Router("/people", route_handlers=[listed, one, create, disable, enable, rename, password], tags=["people"])
