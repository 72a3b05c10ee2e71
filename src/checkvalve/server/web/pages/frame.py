# SPDX-License-Identifier: Apache-2.0
"""Every page in one frame: rail, places, search, what needs the caller, the account. Its JSON twin has no frame.

A page is a template and a function from a `View` to data. The same data are what `.json` answers with.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.response import Redirect
from litestar.status_codes import HTTP_200_OK, HTTP_303_SEE_OTHER

from checkvalve.errors import CheckvalveError, InvalidError, UnavailableError
from checkvalve.protocol.problem import Problem
from checkvalve.server.access.model import ROOT, Permission
from checkvalve.server.db.database import Tx
from checkvalve.server.rollouts import queries as rollout_queries
from checkvalve.server.rollouts.model import LIVE, Rollout, State
from checkvalve.server.web import problems, texts
from checkvalve.server.web.auth import Caller
from checkvalve.server.web.calls import Call
from checkvalve.server.web.pages import fleet_view, release_view, render
from checkvalve.server.web.pages.view import Data, View
from checkvalve.server.web.plane import Plane

Asked = Request[Any, Any, Any]
Answer = Response[bytes]

JSON = "application/json"
COUNTED = 99  # more than this is shown as `99+`

# Key, path, key after `g`, and the right without which the page has nothing to say.
RAIL: tuple[tuple[str, str, str, Permission | None], ...] = (
    ("today", "/today", "t", None),
    ("fleet", "/fleet", "f", None),
    ("rollouts", "/rollouts", "r", None),
    ("releases", "/releases", "e", Permission.RELEASE_READ),
    ("values", "/values", "v", Permission.VALUE_READ),
    ("access", "/people", "p", Permission.PERSON_READ),
    ("audit", "/audit", "a", Permission.AUDIT_READ),
    ("exposure", "/exposure", "x", None),
    ("compliance", "/compliance", "c", None),
    ("onboarding", "/onboarding", "o", None),
)


@dataclass(frozen=True, slots=True)
class Page:
    """A template, the item of the rail it belongs to, and the name of its title's text."""

    template: str
    here: str
    title: str


@dataclass(frozen=True, slots=True)
class Retry:
    """A form that was refused, shown again: what was wrong, and what was typed (no passwords)."""

    error: CheckvalveError
    form: Mapping[str, str]


async def show(
    request: Asked,
    call: Call,
    page: Page,
    look: Callable[[View], Data],
    *,
    retry: Retry | None = None,
    status: int = HTTP_200_OK,
    beside: Callable[[Call, Data], Awaitable[Data]] | None = None,
    **more: object,
) -> Answer:
    """Answer with the page, or with its data where the address ends in `.json`.

    `beside` returns what the template is given beside data: it follows from them, and is not read in their transaction.
    """

    def work(tx: Tx) -> tuple[Data, Data, str]:
        view = View.open(tx, call, plain(dict(request.query_params)))
        data = look(view)
        return data, (_frame(view, page.here, _again(request, page.here)) if not twin(request) else {}), view.scope

    try:
        data, frame, scope = await call.read(page.template, work)
    except UnavailableError:
        raise
    except CheckvalveError as error:
        if twin(request):
            raise
        return await _refused(request, call, page, error)
    if twin(request):
        return Response(msgspec.json.encode(data), media_type=JSON)
    values: dict[str, object] = {
        "title": texts.say(page.title),
        "data": data,
        "frame": frame,
        "twin": f"{request.url.path}.json" if request.method == "GET" else "",
        "error": retry.error if retry else None,
        "form": Form(retry.form if retry else {}),
        **(await beside(call, data) if beside else {}),
        **more,
    }
    if retry is not None:
        status = problems.STATUS[retry.error.kind]
    here = "" if scope == ROOT else scope
    return render.html(page.template, values, call.plane.now(), scope=here, status=status)


async def _refused(request: Asked, call: Call, page: Page, error: CheckvalveError) -> Answer:
    problem = problems.of(error, problems.request_id(request.scope))
    problems.note(error, problem, request.scope)
    frame = await call.read("frame", lambda tx: _frame(View.open(tx, call, {}), page.here, _again(request, page.here)))
    return refusal(problem, call.plane, frame, request.url.path, problems.headers(error))


def refusal(problem: Problem, here: Plane, frame: Data | None, again: str, headers: Mapping[str, str]) -> Answer:
    """Answer with a refusal in the frame; in none where it is not known who asks."""
    sentence, remedy = problem.detail, problem.remedy
    if problem.code.startswith("database."):
        sentence, remedy = texts.say("problem.away"), texts.say("problem.away_why")
    if problem.code == "route.not_found":
        sentence, remedy = texts.say("problem.page"), texts.say("problem.page_why")
    said = {"sentence": sentence, "remedy": remedy}
    said |= {"code": problem.code, "status": str(problem.status), "request": problem.request}
    values = {"title": texts.say("problem.title"), "twin": "", "problem": said, "frame": frame}
    values |= {"plane": here.name, "again": again}
    template = "problem_bare.html" if frame is None else "problem.html"
    return render.html(template, values, here.now(), status=problem.status, headers=headers)


async def change(
    request: Asked, do: Callable[[Mapping[str, str]], Any], again: Callable[[Retry], Any], then: str
) -> Answer | Redirect:
    """Do what a form asks and go on to `then`; a refusal shows the form again with its reason."""
    form = await fields(request)
    try:
        await do(form)
    except UnavailableError:
        raise
    except CheckvalveError as error:
        refused: Answer = await again(Retry(error, _without_secrets(form)))
        return refused
    return Redirect(then, status_code=HTTP_303_SEE_OTHER)


async def fields(request: Asked) -> dict[str, str]:
    """Return the texts of the form; `InvalidError` (`request.text`) for one that no database keeps."""
    return plain({name: value for name, value in (await request.form()).items() if isinstance(value, str)})


def plain(said: Mapping[str, str]) -> dict[str, str]:
    """Return `said`; `InvalidError` (`request.text`) if it holds NUL."""
    if any("\0" in value for value in said.values()):
        raise InvalidError("request.text", "The text holds a character that cannot be kept.", "Type it anew.")
    return dict(said)


def twin(request: Asked) -> bool:
    """Tell whether the JSON twin of a page is asked for."""
    return request.url.path.endswith(".json")


class Form(dict[str, str]):
    """What was typed; what was not is empty."""

    def __missing__(self, key: str) -> str:
        return ""


def _without_secrets(form: Mapping[str, str]) -> dict[str, str]:
    secret = {"password", "old", "new", "secret", "csrf"} | ({"content"} if form.get("kind") == "secret" else set())
    return {name: value for name, value in form.items() if name not in secret}


def bare(caller: Caller) -> Data:
    """Return the frame as far as it is known without the database."""
    everywhere = texts.say("place.root")
    return {
        "here": "",
        "csrf": caller.csrf,
        "q": "",
        "person": _person(caller),
        "needs": None,
        "needs_href": "/approvals",
        "scope": {"path": ROOT, "name": everywhere, "above": "", "last": everywhere},
        "scopes": [],
        "rail": rail(None),
    }


def _again(request: Asked, here: str) -> str:
    """Return the address that choosing another place asks: this one, or that of the item where this was a form."""
    if request.method == "GET":
        return ""
    return next((path for key, path, _, _ in RAIL if key == here), "/today")


def _frame(view: View, here: str, again: str) -> Data:
    caller = view.call.caller
    above, _, last = view.where(view.scope).rpartition(" / ")
    signs = (release_view.to_sign(view) is not None) + fleet_view.needy_n(view) + len(paused(view))
    return {
        "here": here,
        "csrf": caller.csrf,
        "q": view.query.get("q", ""),
        "person": _person(caller),
        "needs": len(view.waiting()) + signs,
        "needs_href": view.link("/today") + "#needs" if signs else view.link("/approvals"),
        "scope": {
            "path": view.scope,
            "name": view.where(view.scope),
            "above": above,
            "last": last if view.scope != ROOT else texts.say("place.root"),
        },
        "scopes": _places(view, again),
        "rail": rail(view),
    }


def rail(view: View | None) -> list[Data]:
    """Return the items of the rail; without a view, as it is for somebody of whom nothing is known."""
    items: list[Data] = []
    for key, path, letter, permission in RAIL:
        if permission is not None and (view is None or not view.holds(permission)):
            continue
        counted = _started(view) if view is not None and key == "rollouts" else ""
        href = view.link(path) if view else path
        items.append({"key": key, "href": href, "letter": letter, "label": texts.say(f"rail.{key}"), "count": counted})
    return items


def _started(view: View) -> str:
    if not view.holds(Permission.ROLLOUT_READ):
        return ""
    seen = view.seen(Permission.ROLLOUT_READ)
    started = sum(len(rollout_queries.listed(view.tx, seen, state=each, limit=COUNTED + 1)) for each in LIVE)
    return texts.say("rail.started", n=started if started <= COUNTED else f"{COUNTED}+") if started else ""


def paused(view: View) -> list[Rollout]:
    """Return the rollouts that are paused and that the caller may decide on, the newest first."""
    if not view.holds(Permission.ROLLOUT_READ) or not view.holds(Permission.ROLLOUT_START):
        return []
    found = rollout_queries.listed(view.tx, view.seen(Permission.ROLLOUT_READ), state=State.PAUSED, limit=COUNTED + 1)
    return [one for one in found if view.may(Permission.ROLLOUT_START, one.scope)]


def _places(view: View, again: str) -> list[Data]:
    everything: Data = {
        "path": ROOT,
        "name": texts.say("place.root"),
        "word": texts.say("place.plane"),
        "depth": 0,
        "href": again or "?",
    }
    nodes = view.places(Permission.SCOPE_READ)
    return [everything] + [
        {
            "path": node.path,
            "name": node.name,
            "word": texts.say(f"place.{node.kind}"),
            "depth": min(node.path.count("/") - 1, 4),
            "href": render.link(again, scope=node.path),
        }
        for node in nodes
    ]


def _person(caller: Caller) -> Data:
    person = caller.person
    return {"name": person.name, "login": person.login, "initials": _initials(person.name)}


def _initials(name: str) -> str:
    words = [word for word in name.split() if word[:1].isalnum()]
    letters = [words[0][0], words[-1][0]] if len(words) > 1 else [name[:2]]
    return "".join(letters).upper()
