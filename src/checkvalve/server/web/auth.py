# SPDX-License-Identifier: Apache-2.0
"""Who calls? A cookie session or an API token; and may this route be called without knowing more?

Rules: 1. every route declares `opt={"permission": …}`: a permission (judged by `calls`, where the thing is),
`SIGNED_IN`, `IN_PERSON` (a session: a token may not make tokens that reach further than itself) or `PUBLIC`; a route
without a declaration keeps the application from starting; 2. a request that shows both a token and a cookie is judged
by its token; 3. a change by cookie names the session's CSRF token and comes from one of the plane's own pages (ASVS
3.5.1); 4. a route with `opt={"watches": True}` is asked by pages, not by people: it keeps no session alive.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, cast

from litestar import Litestar, Request
from litestar.datastructures import Cookie
from litestar.enums import RequestEncodingType
from litestar.handlers import BaseRouteHandler
from litestar.routes import HTTPRoute

from checkvalve.crypto import tokens as secrets_of
from checkvalve.errors import ForbiddenError, UnauthenticatedError
from checkvalve.server.access.model import Ceiling, Permission
from checkvalve.server.audit.model import Actor
from checkvalve.server.db.database import Tx
from checkvalve.server.identity import queries as identity_queries
from checkvalve.server.identity import sessions as sessions_judge
from checkvalve.server.identity import tokens as tokens_judge
from checkvalve.server.identity import writes as identity_writes
from checkvalve.server.identity.model import Ended, Person, Session, Token
from checkvalve.server.web import plane
from checkvalve.server.web.plane import Connection, Plane

COOKIE = "__Host-checkvalve"
CALLER = "checkvalve.caller"  # the key in the ASGI scope
CSRF_HEADER = "x-csrf-token"
CSRF_FIELD = "csrf"
SAFE = frozenset({"GET", "HEAD"})


class Need(StrEnum):
    """What a route asks for where it asks for no permission."""

    PUBLIC = "public"
    SIGNED_IN = "signed in"
    IN_PERSON = "in person"


PUBLIC, SIGNED_IN, IN_PERSON = Need.PUBLIC, Need.SIGNED_IN, Need.IN_PERSON


@dataclass(frozen=True, slots=True)
class Caller:
    """A person, and what they showed: exactly one of `session` and `token`."""

    person: Person
    session: Session | None = None
    token: Token | None = None
    csrf: str = ""

    @property
    def actor(self) -> Actor:
        """Who acts. A token acts as its owner: rules such as `requester never approves` go by the person."""
        if self.token is None:
            return Actor(kind="person", id=self.person.id, name=self.person.login)
        return Actor(
            kind="token", id=self.person.id, name=f"{self.person.login} by token {self.token.id} {self.token.label}"
        )

    @property
    def own_session(self) -> Session:
        """The session, on routes that ask for one."""
        if self.session is None:
            raise TypeError("this route must declare IN_PERSON")
        return self.session

    @property
    def ceiling(self) -> Ceiling | None:
        """What the token leaves of its owner's rights."""
        if self.token is None:
            return None
        if self.token.permissions is None:
            return Ceiling(self.token.scope)
        known = {each.value for each in Permission}
        return Ceiling(
            self.token.scope, frozenset(Permission(name) for name in self.token.permissions if name in known)
        )


async def guard(connection: Connection, handler: BaseRouteHandler) -> None:
    """Let nobody in without what the route asks for; put the caller into the scope."""
    if connection.scope.get("method") == "OPTIONS":
        return  # answered by the framework with the methods there are; no other site is let in by it
    needed = declared(handler)
    if needed is PUBLIC:
        return
    caller = await identify(connection, watches=bool(handler.opt.get("watches")))
    if caller is None:
        raise UnauthenticatedError("session.none", "Nobody is signed in.", "Sign in, or send an API token.")
    if needed is IN_PERSON and caller.session is None:
        raise not_in_person()
    request = cast("Request[Any, Any, Any]", connection)
    if caller.session is not None and request.method not in SAFE:
        from_own_page(connection)
        await _with_csrf_token(request, caller)
    cast("dict[str, Any]", connection.scope)[CALLER] = caller


async def identify(connection: Connection, *, watches: bool = False) -> Caller | None:
    """Return who calls, None if nothing was shown. A page that `watches` by itself is no sign of its person.

    Raises `UnauthenticatedError` (`token.refused`, `session.ended`) for what does not hold, or not any more.
    """
    here = plane.of(connection)
    authorization = connection.headers.get("authorization")
    if authorization is not None:
        scheme, _, secret = authorization.partition(" ")
        if scheme.lower() != "bearer" or not secrets_of.well_formed(secret.strip()):
            raise _token_refused("What was sent is not an API token, or not a whole one.")
        return await _by_token(here, secret.strip())
    secret = connection.cookies.get(COOKIE, "")
    return await _by_session(here, secret, watches=watches) if secret else None


def from_own_page(connection: Connection) -> None:
    """Raise `ForbiddenError` (`csrf.origin`) if a browser says that the request comes from another site's page."""
    origin = connection.headers.get("origin")
    site = connection.headers.get("sec-fetch-site")
    origins = {each.lower().rstrip("/") for each in plane.of(connection).origins}
    if (origin is not None and origin.lower() not in origins) or site not in {None, "same-origin", "none"}:
        raise ForbiddenError(
            "csrf.origin",
            "This came from a page that is not the plane's.",
            "Open the plane's own page, and do it there.",
        )


def not_in_person() -> ForbiddenError:
    """Return what a token is told that asks for what only a session may."""
    return ForbiddenError("token.not_in_person", "An API token cannot do this.", "Sign in with your password to do it.")


def declared(handler: BaseRouteHandler) -> Permission | Need:
    """Return what the route asks for; `TypeError` if it does not say."""
    needed = handler.opt.get("permission")
    if not isinstance(needed, Permission | Need):
        raise TypeError(f"{handler} declares no permission")
    return needed


def routes(app: Litestar) -> Iterator[tuple[str, str, Permission | Need]]:
    """Yield method, path and need of every route; `TypeError` if one does not say."""
    for route in app.routes:
        if not isinstance(route, HTTPRoute):
            raise TypeError(f"{route.path} is no HTTP route: nothing guards it")
        for handler in route.route_handlers:
            for method in sorted(handler.http_methods):
                if method != "OPTIONS":  # the framework's own: see `guard`
                    yield str(method), route.path_format, declared(handler)


def cookie(secret: str) -> Cookie:
    """Return the cookie of a session; an empty `secret` takes it away."""
    return Cookie(
        key=COOKIE, value=secret, path="/", secure=True, httponly=True, samesite="lax", max_age=None if secret else 0
    )


async def _by_session(here: Plane, secret: str, *, watches: bool) -> Caller:
    found = await here.db.read("session", _session, secrets_of.digest(secret))
    now = here.now()
    if found is None or found[1].disabled_at is not None:
        raise UnauthenticatedError("session.ended", "The session has ended.", "Sign in again.")
    session, person = found
    standing = sessions_judge.judge(session, now)
    if isinstance(standing, Ended):
        raise UnauthenticatedError("session.ended", standing.reason, "Sign in again.")
    if not watches and sessions_judge.worth_noting(session, now):
        await here.db.write("session.seen", identity_writes.seen, session.id, now)
    return Caller(person, session=session, csrf=secrets_of.csrf_token(secret))


async def _by_token(here: Plane, secret: str) -> Caller:
    found = await here.db.read("token", _token, secrets_of.digest(secret))
    now = here.now()
    if found is None or found[1].disabled_at is not None:
        raise _token_refused("This API token does not hold, or not any more.")
    token, person = found
    standing = tokens_judge.judge(token, now)
    if isinstance(standing, Ended):
        raise _token_refused(standing.reason)
    if tokens_judge.worth_noting(token, now):
        await here.db.write("token.used", identity_writes.token_used, token.id, now)
    return Caller(person, token=token)


def _session(tx: Tx, digest: str) -> tuple[Session, Person] | None:
    session = identity_queries.session(tx, digest)
    return None if session is None else (session, identity_queries.person(tx, session.person))


def _token(tx: Tx, digest: str) -> tuple[Token, Person] | None:
    token = identity_queries.token(tx, digest)
    return None if token is None else (token, identity_queries.person(tx, token.person))


async def _with_csrf_token(request: Request[Any, Any, Any], caller: Caller) -> None:
    said = request.headers.get(CSRF_HEADER, "")
    forms = {RequestEncodingType.URL_ENCODED.value, RequestEncodingType.MULTI_PART.value}
    if not said and request.content_type[0] in forms:
        field = (await request.form()).get(CSRF_FIELD, "")
        said = field if isinstance(field, str) else ""
    if not secrets_of.same(said, caller.csrf):
        raise ForbiddenError(
            "csrf.token", "The request does not carry this session's token.", "Load the page anew, and do it again."
        )


def _token_refused(sentence: str) -> UnauthenticatedError:
    return UnauthenticatedError("token.refused", sentence, "Make another one on your own page, or sign in.")
