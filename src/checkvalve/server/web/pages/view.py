# SPDX-License-Identifier: Apache-2.0
"""What a page is made from: one transaction, the caller's reach in it, the place and the query of the address."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from checkvalve import ids
from checkvalve.errors import NotFoundError
from checkvalve.ids import DocumentId, PersonId, RolloutId
from checkvalve.server.access import decide
from checkvalve.server.access import queries as access_queries
from checkvalve.server.access.model import ROOT, Permission, Scope, Visibility
from checkvalve.server.approvals import queries as approval_queries
from checkvalve.server.approvals.model import Approval
from checkvalve.server.audit.compose import rfc3339
from checkvalve.server.db.database import Tx
from checkvalve.server.identity import queries as identity_queries
from checkvalve.server.rollouts import queries as rollout_queries
from checkvalve.server.rollouts.model import Rollout
from checkvalve.server.suppliers import queries as supplier_queries
from checkvalve.server.suppliers.model import Document
from checkvalve.server.web import calls, texts
from checkvalve.server.web.calls import NO_ID, Call
from checkvalve.server.web.pages import render

Data = dict[str, object]


@dataclass
class View:
    """One look at the plane. `scope` is the place that the address names, `/` for all; everything is narrowed to it."""

    tx: Tx
    call: Call
    now: datetime
    scope: str
    query: Mapping[str, str]
    reach: Mapping[Permission, Visibility]
    _people: dict[str, str] = field(default_factory=dict)
    _places: dict[str, str] = field(default_factory=dict)

    @classmethod
    def open(cls, tx: Tx, call: Call, query: Mapping[str, str]) -> "View":
        """Look as `call` may; `NotFoundError` (`scope.not_found`) for a place that is not there for the caller."""
        scope = query.get("scope", ROOT) or ROOT
        call.locate(tx, calls.in_scope(scope))
        return cls(tx, call, call.plane.now(), scope, query, call.reach(tx))

    @property
    def me(self) -> PersonId:
        """Whose look it is."""
        return self.call.caller.person.id

    def may(self, permission: Permission, path: str) -> bool:
        """Tell whether the caller holds `permission` at `path` here and now."""
        seen = self.reach.get(permission)
        return seen is not None and path.startswith(seen.prefixes)

    def holds(self, permission: Permission) -> bool:
        """Tell whether the caller holds `permission` anywhere."""
        return permission in self.reach

    def seen(self, permission: Permission) -> Visibility:
        """Return where the caller holds `permission` within `scope`; `ForbiddenError` (`access.denied`) if nowhere."""
        held = self.reach.get(permission)
        if held is None:
            raise calls.denied((f"No role of yours holds {permission} here and now.",))
        return decide.narrowed(held, self.scope)

    def person(self, person_id: str) -> str:
        """Return the name of a person, or the id of one who is not there."""
        if person_id not in self._people:
            try:
                self._people[person_id] = identity_queries.person(self.tx, PersonId(person_id)).name
            except NotFoundError:
                self._people[person_id] = person_id
        return self._people[person_id]

    def where(self, path: str) -> str:
        """Return `Norra Water / Visby` for a path."""
        if path not in self._places:
            names = access_queries.names(self.tx, path)
            self._places[path] = " / ".join(names) or texts.say("place.all")
        return self._places[path]

    def rollout(self, subject: str) -> Rollout | None:
        """Return the rollout that `rollout:ID` names, if the caller may see it."""
        noun, _, ident = subject.partition(":")
        seen = self.reach.get(Permission.ROLLOUT_READ)
        if noun != "rollout" or seen is None:
            return None
        try:
            return rollout_queries.rollout(self.tx, RolloutId(known(ident)), seen)
        except NotFoundError:
            return None

    def document(self, subject: str) -> Document | None:
        """Return the document that `document:ID` names, if the caller may see it."""
        noun, _, ident = subject.partition(":")
        seen = self.reach.get(Permission.SUPPLIER_READ)
        if noun != "document" or seen is None:
            return None
        try:
            return supplier_queries.document(self.tx, DocumentId(known(ident)), seen)
        except NotFoundError:
            return None

    def link(self, path: str, **query: str) -> str:
        """Return an address that keeps the place looked at."""
        return render.link(path, scope="" if self.scope == ROOT else self.scope, **query)

    def waiting(self) -> list[Approval]:
        """Return what waits for the caller's vote, within the place looked at, oldest first."""
        if not self.holds(Permission.APPROVAL_VOTE) or not self.holds(Permission.APPROVAL_READ):
            return []
        found = approval_queries.waiting_for(self.tx, self.seen(Permission.APPROVAL_READ), self.me, self.now)
        return [one for one in found if self.may(Permission.APPROVAL_VOTE, one.scope)]

    def places(self, permission: Permission) -> list[Scope]:
        """Return the places at which the caller holds `permission`, in the order of the tree."""
        held = self.reach.get(permission)
        found = access_queries.listed(self.tx, held) if held else []
        for place in found:  # so that `where` need not ask for each of a thousand sites
            parent = place.path[: place.path.rstrip("/").rfind("/") + 1]
            if parent == ROOT or parent in self._places:
                above = "" if parent == ROOT else f"{self._places[parent]} / "
                self._places[place.path] = above + place.name
        return found


def known(text: str) -> str:
    """Return `text` if it has the form of an id, else an id that nothing has; without the ending of a JSON twin."""
    ident = text.removesuffix(".json")
    return ident if ids.well_formed(ident) else NO_ID


def when(moment: datetime | None) -> str | None:
    """Return a moment as data of a page."""
    return None if moment is None else rfc3339(moment)
