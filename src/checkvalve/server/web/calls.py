# SPDX-License-Identifier: Apache-2.0
"""How a face calls a room: one transaction in which the right is judged and the thing is done (ADR 0012).

Rules: 1. whoever holds no right that reaches a place is told that it does not exist, by the very query that says so of
what does not; 2. whoever knows of the place and may not is told why; 3. a change that was refused leaves a `refused`
entry in a transaction of its own.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv6Address, ip_address
from typing import Any, TypeVar

from litestar import Request
from litestar.di import NamedDependency, Provide
from litestar.params import SkipValidation

from checkvalve import ids
from checkvalve.errors import CheckvalveError, ForbiddenError, UnavailableError
from checkvalve.ids import EntryId, ScopeId
from checkvalve.server.access import decide
from checkvalve.server.access import queries as access_queries
from checkvalve.server.access.model import ROOT, Address, Context, Permission, Principal, Visibility
from checkvalve.server.audit import actions as audit_actions
from checkvalve.server.audit.model import Act
from checkvalve.server.db.database import Tx
from checkvalve.server.web import plane, problems
from checkvalve.server.web.auth import CALLER, Caller
from checkvalve.server.web.plane import Connection, Plane

T = TypeVar("T")

NO_ID = "0" * ids.LENGTH  # well formed, and never made


@dataclass(frozen=True, slots=True)
class Place:
    """Where the thing `ident` is.

    `find` returns the scope paths where a right to it must be held, the one that the record names first; it raises
    `NotFoundError`.
    """

    find: Callable[[Tx, str], Sequence[str]]
    ident: str
    known: bool = False  # no secret: one's own things, and the plane itself


@dataclass(frozen=True, slots=True)
class Call:
    """One authenticated request. `permission` is what its route declares; None where being signed in is all it asks."""

    plane: Plane
    caller: Caller
    permission: Permission | None
    request: str
    address: Address | None

    async def act(self, action: str, subject: str, place: Place, do: Callable[[Tx, Act], T], *, reason: str = "") -> T:
        """Judge and do in one transaction. A refusal is recorded as `action` on `subject`, then raised."""
        where = [ROOT]  # as far as it is known when the refusal comes

        def work(tx: Tx) -> T:
            now, bindings = self._judged(tx, place, where)
            return do(tx, self._act(now, reason, bindings))

        try:
            return await self.plane.db.write(action, work)
        except CheckvalveError as error:
            await self._record(error, action, subject, where[0])
            raise

    async def may(self, action: str, subject: str, place: Place, check: Callable[[Tx], T]) -> T:
        """Judge and `check` without doing: for what costs work that must not stand in a transaction. `act` follows."""
        where = [ROOT]

        def work(tx: Tx) -> T:
            self._judged(tx, place, where)
            return check(tx)

        try:
            return await self.plane.db.read(action, work)
        except CheckvalveError as error:
            await self._record(error, action, subject, where[0])
            raise

    def also(self, tx: Tx, permission: Permission, path: str) -> None:
        """Judge one right more within a change, which it needs by how the thing stands. Raises `ForbiddenError`."""
        decision = decide.decide(self.principal(tx), permission, path, self.plane.now(), self._context())
        if not decision.allow:
            raise denied(decision.reasons)

    async def ask(self, name: str, question: Callable[[Tx, Visibility], T], *, scope: str = ROOT) -> T:
        """Read what the route's permission lets this caller see, of that only what lies in `scope`.

        Raises `ForbiddenError` (`access.denied`) if they hold it nowhere. A scope that they may not see into is as one
        that is not there: nothing lies in it.
        """
        permission = self.permission
        if permission is None:
            raise TypeError(name)

        def work(tx: Tx) -> T:
            principal = self.principal(tx)
            seen = decide.visible(principal, permission, self.plane.now(), self._context())
            if not seen.prefixes:
                raise denied((f"No role of yours holds {permission} here and now.",))
            return question(tx, decide.narrowed(seen, scope))

        return await self.plane.db.read(name, work)

    async def read(self, name: str, question: Callable[[Tx], T]) -> T:
        """Read what is the caller's own, or everybody's."""
        return await self.plane.db.read(name, question)

    def principal(self, tx: Tx) -> Principal:
        """Return the caller as the decision sees them, at this moment."""
        return access_queries.principal(tx, self.caller.person.id, self.caller.ceiling)

    def reach(self, tx: Tx) -> dict[Permission, Visibility]:
        """Return where the caller holds which permission, for a page to know what to offer."""
        principal, now = self.principal(tx), self.plane.now()
        held = {each: decide.visible(principal, each, now, self._context()) for each in Permission}
        return {permission: seen for permission, seen in held.items() if seen.prefixes}

    def locate(self, tx: Tx, place: Place) -> Sequence[str]:
        """Return where `place` is, if the caller knows of it; raises what its query raises for what is not there."""
        return self._known(tx, place, self._find(tx, place), self.principal(tx), self.plane.now())

    def _judged(self, tx: Tx, place: Place, where: list[str]) -> tuple[datetime, tuple[str, ...]]:
        now, principal = self.plane.now(), self.principal(tx)
        paths = self._find(tx, place)
        where[0] = paths[0]
        return now, self._bindings(principal, self._known(tx, place, paths, principal, now), now)

    async def _record(self, error: CheckvalveError, action: str, subject: str, scope: str) -> None:
        if isinstance(error, UnavailableError):
            return  # what cannot be written cannot be recorded either; the log has it
        refusal = self._act(self.plane.now(), "")
        await self.plane.db.write("refuse", audit_actions.refuse, refusal, action, subject, scope, error)

    def _find(self, tx: Tx, place: Place) -> Sequence[str]:
        return place.find(tx, place.ident if _may_exist(place.ident) else NO_ID)

    def _known(self, tx: Tx, place: Place, paths: Sequence[str], principal: Principal, now: datetime) -> Sequence[str]:
        if not place.known and not decide.knows_of(principal, paths[0], now, self._context()):
            place.find(tx, NO_ID)
            raise AssertionError(place)  # NO_ID is nowhere
        return paths

    def _bindings(self, principal: Principal, paths: Sequence[str], now: datetime) -> tuple[str, ...]:
        bindings: list[str] = []
        if self.permission is None:
            return ()
        for path in paths:
            decision = decide.decide(principal, self.permission, path, now, self._context())
            if not decision.allow:
                raise denied(decision.reasons)
            bindings += decision.bindings
        return tuple(dict.fromkeys(bindings))

    def _act(self, now: datetime, reason: str, bindings: tuple[str, ...] = ()) -> Act:
        return Act(
            id=EntryId(self.plane.new_id()),
            at=now,
            actor=self.caller.actor,
            request=self.request,
            address=str(self.address or ""),
            bindings=bindings,
            reason=reason,
        )

    def _context(self) -> Context:
        return Context(address=self.address)


Called = NamedDependency[SkipValidation[Call]]
"""How a handler asks for its call: `async def handler(call: Called) -> …`."""


async def of(request: Request[Any, Any, Any]) -> Call:
    """Return the call that this request makes; the guard has found its caller."""
    needed = request.route_handler.opt["permission"]
    return Call(
        plane=plane.of(request),
        caller=request.scope[CALLER],  # type: ignore[literal-required]
        permission=needed if isinstance(needed, Permission) else None,
        request=problems.request_id(request.scope),
        address=address(request),
    )


DEPENDENCIES = {"call": Provide(of)}
"""What an application gives its handlers."""


def address(connection: Connection) -> Address | None:
    """Return where the connection comes from; an IPv4 address stays one on a listener for both."""
    try:
        found = ip_address(connection.client.host if connection.client else "")
    except ValueError:
        return None
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        return found.ipv4_mapped
    return found


def named(noun: str, ident: str) -> str:
    """Return the subject of an entry; what a caller sent as id and has no form of one is not written down."""
    return f"{noun}:{ident if ids.well_formed(ident) else '?'}"


def denied(reasons: Sequence[str]) -> ForbiddenError:
    """Return the refusal of a right, with the decision's own reasons."""
    remedy = "Ask whoever administers access here for a role that holds it."
    return ForbiddenError("access.denied", " ".join(reasons), remedy)


def in_scope(path: str) -> Place:
    """Return the place of a node named by its path. The plane itself is no secret."""
    return Place(_at, path, known=path == ROOT)


def scope(scope_id: str) -> Place:
    """Return the place of a node named by its id."""
    return Place(lambda tx, ident: (access_queries.scope(tx, ScopeId(ident)).path,), scope_id)


def own(home: str) -> Place:
    """Return the place of what is the caller's own."""
    return Place(lambda _tx, _ident: (home,), NO_ID, known=True)


def _at(tx: Tx, path: str) -> Sequence[str]:
    node = access_queries.at(tx, path)
    return (node.path if node else ROOT,)


def _may_exist(ident: str) -> bool:
    """Tell whether a query may be asked: every part has the form of an id (no NUL, which PostgreSQL cannot take)."""
    return ident == ROOT or all(ids.well_formed(part) for part in ident.strip("/").split("/"))
