# SPDX-License-Identifier: Apache-2.0
"""Today: is anything wrong, is anything changing, can we prove it? A sentence first, then cards, then lists."""

from dataclasses import dataclass
from datetime import timedelta

from litestar import get

from checkvalve.server.access import queries as access_queries
from checkvalve.server.access.model import Permission
from checkvalve.server.approvals import queries as approval_queries
from checkvalve.server.approvals.model import Approval
from checkvalve.server.audit import queries as audit_queries
from checkvalve.server.fleet.model import Condition, Device
from checkvalve.server.rollouts import queries as rollout_queries
from checkvalve.server.rollouts import start as starts
from checkvalve.server.rollouts.model import Go, Rollout, State
from checkvalve.server.supply.model import Draft
from checkvalve.server.web import auth, texts
from checkvalve.server.web.calls import Called
from checkvalve.server.web.pages import crash_view, fleet_view, frame, holding, progress, release_view, times, words
from checkvalve.server.web.pages.frame import Answer, Asked, Page
from checkvalve.server.web.pages.view import Data, View, when

PAGE = Page("today.html", "today", "today.title")
NEEDS = 8  # rows; the rest is one press away
RECENT = 10
COUNTED = 1_000
_DAY = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Change:
    """Rollouts that are under way, by what they wait for."""

    live: tuple[Rollout, ...] = ()
    paused: tuple[Rollout, ...] = ()
    waiting: int = 0
    ready: int = 0
    stuck: tuple[Rollout, ...] = ()


@get(["/today", "/today.json"], opt={"permission": auth.SIGNED_IN})
async def today(request: Asked, call: Called) -> Answer:
    """Answer with the state of things."""
    return await frame.show(request, call, PAGE, look)


def look(view: View) -> Data:
    """Return the page's data."""
    waiting, change, draft = view.waiting(), _change(view), release_view.to_sign(view)
    devices, needy = fleet_view.needy(view, NEEDS), fleet_view.needy_n(view)
    crashing = crash_view.found(view)
    paused = frame.paused(view)
    needs = [_paused(view, one) for one in paused[:NEEDS]]
    needs += [_device(view, one) for one in devices] + [_need(view, one) for one in waiting[:NEEDS]]
    needs += [_sign(view, draft)] if draft else []
    first = _first(view, waiting[0]) if waiting else None
    return {
        "sentence": _sentence(
            len(waiting) + (draft is not None), len(change.stuck), needy, len(paused), crashing.number
        ),
        "detail": texts.say("today.detail"),
        "first": _first_paused(view, paused[0]) if paused else first or (_first_sign(view, draft) if draft else None),
        "cards": [_fleet(view), _changing(view, change), _exposure(view), _proof(view)],
        "needs": needs,
        "needs_more": len(waiting) if len(waiting) > NEEDS else 0,
        "devices_more": needy if needy > NEEDS else 0,
        **crash_view.rows(view, crashing),
        **holding.held(view),
        "live": [progress.row(view, one) for one in change.live[:NEEDS]],
        "recent": _recent(view),
    }


def _sentence(waiting: int, stuck: int, needy: int, paused: int, crashing: int) -> str:
    said = [texts.count("today.paused", paused)] if paused else []
    said += [texts.count("today.devices", needy)] if needy else []
    said += [texts.count("today.crashing", crashing)] if crashing else []
    if stuck:
        said.append(texts.count("today.stuck", stuck))
    elif waiting:
        said.append(texts.count("today.waits", waiting))
    return " ".join(said) or texts.say("today.well")


def _change(view: View) -> Change:
    if not view.holds(Permission.ROLLOUT_READ):
        return Change()
    seen = view.seen(Permission.ROLLOUT_READ)
    waiting, ready, stuck = 0, 0, []
    for one in rollout_queries.listed(view.tx, seen, state=State.PROPOSED, limit=COUNTED):
        standing = rollout_queries.standing(view.tx, one, view.now)
        verdict = starts.judge(one, standing, rollout_queries.obstacle(view.tx, one))
        if isinstance(verdict, Go):
            ready += 1
        elif verdict.code == "rollout.not_approved":
            waiting += 1
        else:
            stuck.append(one)
    paused = rollout_queries.listed(view.tx, seen, state=State.PAUSED, limit=COUNTED)
    started = rollout_queries.listed(view.tx, seen, state=State.STARTED, limit=COUNTED)
    return Change((*paused, *started), tuple(paused), waiting, ready, tuple(stuck))


def _need(view: View, approval: Approval) -> Data:
    row = words.request(view, approval, approval_queries.standing(view.tx, approval, view.now))
    press = texts.say("today.review")
    return {**row, "label": texts.say("today.approve", what=row["title"]), "shape": "warn", "press": press}


def _paused(view: View, rollout: Rollout) -> Data:
    name = release_view.plainly(rollout.name)
    return {
        "id": rollout.id,
        "title": name,
        "label": texts.say("today.rollout_paused", name=name),
        "shape": "warn",
        "press": texts.say("today.decide"),
        "what": release_view.plainly(rollout.reason)[: fleet_view.REASON],
        "where": view.where(rollout.scope),
        "asked_by": view.person(rollout.made_by),
        "since": when(rollout.changed_at),
        "due": None,
        "href": view.link(f"/rollouts/{rollout.id}"),
    }


def _device(view: View, device: Device) -> Data:
    how = fleet_view.condition(view, device)
    status = fleet_view.status(device) if how is Condition.DEGRADED else None
    name = release_view.plainly(device.name)
    reason = status.reason if status else device.trust_reason
    return {
        "id": device.id,
        "title": name,
        "label": texts.say(f"today.device_{how}", name=name),
        "shape": fleet_view.SHAPES[how],
        "press": texts.say("today.see"),
        "what": release_view.plainly(reason)[: fleet_view.REASON],
        "where": view.where(device.scope),
        "asked_by": "-",
        "since": when(device.changed_at if status is None else device.seen_at),
        "due": None,
        "href": view.link(f"/devices/{device.id}"),
    }


def _sign(view: View, draft: Draft) -> Data:
    title = texts.say("today.sign_what", version=draft.version)
    return {
        "id": draft.id,
        "title": title,
        "label": texts.say("today.sign", what=title),
        "shape": "warn",
        "press": texts.say("today.review"),
        "what": release_view.means(draft),
        "where": view.where(draft.scope),
        "asked_by": view.person(draft.made_by),
        "since": when(draft.changed_at),
        "due": None,
        "href": view.link(f"/drafts/{draft.id}"),
    }


def _first_paused(view: View, rollout: Rollout) -> Data:
    what = texts.say("today.first_paused", name=rollout.name)
    return {"what": what, "why": release_view.plainly(rollout.reason), "href": view.link(f"/rollouts/{rollout.id}")}


def _first_sign(view: View, draft: Draft) -> Data:
    what, why = texts.say("today.sign_first"), release_view.means(draft)
    return {"what": what, "why": why, "href": view.link(f"/drafts/{draft.id}")}


def _first(view: View, approval: Approval) -> Data:
    due, since = times.relative(approval.expires_at, view.now), times.relative(approval.made_at, view.now)
    who, rollout = view.person(approval.requester), view.rollout(approval.subject)
    asks = texts.say("approval.asks", who=who, name=rollout.name) if rollout else ""
    return {
        "what": asks or texts.say("approval.asks_else", who=who, what=approval.sentence),
        "why": texts.say("today.first_why", where=view.where(approval.scope), since=since, due=due),
        "href": view.link(f"/approvals/{approval.id}"),
    }


def _card(key: str, number: str, unit: str, state: str, word: str, text: str, href: str) -> Data:
    title = texts.say(f"card.{key}")
    return {
        "key": key,
        "title": title,
        "number": number,
        "unit": unit,
        "state": state,
        "word": word,
        "text": text,
        "href": href,
    }


def _fleet(view: View) -> Data:
    found, href = fleet_view.tallies(view), view.link("/fleet")
    if found is None:
        word, text = texts.say("card.fleet_unseen"), texts.say("card.fleet_unseen_text")
        return _card("fleet", "-", texts.say("card.fleet_none_unit"), "unknown", word, text, href)
    counts = fleet_view.counted(found)
    if not counts.all:
        word, text = texts.say("card.fleet_none"), texts.say("card.fleet_none_text")
        return _card("fleet", "0", texts.say("card.fleet_none_unit"), "unknown", word, text, href)
    worst = next(each for each in Condition if counts.how[each])
    well, rest = worst is Condition.WELL, fleet_view.says(counts, worst)
    word = texts.say("card.fleet_well") if well else texts.count(f"fleet.says.{worst}", counts.how[worst])
    text = texts.say("card.fleet_text", said=rest) if rest else texts.say("card.fleet_quiet")
    number = f"{counts.heard:,}"
    return _card(
        "fleet", number, texts.count("card.fleet_unit", counts.all), fleet_view.SHAPES[worst], word, text, href
    )


def _changing(view: View, change: Change) -> Data:
    number, unit = f"{len(change.live):,}", texts.count("card.change_unit", len(change.live))
    href = view.link("/rollouts")
    if change.paused:
        state, word = "warn", texts.count("card.change_paused", len(change.paused))
        href = view.link("/rollouts", state="paused")
    elif change.stuck:
        state, word = "warn", texts.count("card.change_stuck", len(change.stuck))
        href = view.link("/rollouts", state="proposed")
    elif change.waiting:
        state, word = "warn", texts.count("card.change_waiting", change.waiting)
    elif change.ready:
        state, word = "info", texts.count("card.change_ready", change.ready)
    elif change.live:
        state, word = "info", texts.say("card.change_started")
    else:
        none, text = texts.say("card.change_none"), texts.say("card.change_none_text")
        return _card("change", number, unit, "done", none, text, href)
    if change.live:
        newest = change.live[0]
        text = texts.say("card.change_text_live", name=newest.name, far=progress.progress(view, newest))
    elif change.ready:
        text = texts.count("card.change_text_ready", change.ready)
    else:
        text = texts.say("card.change_text_quiet")
    return _card("change", number, unit, state, word, text, href)


def _exposure(view: View) -> Data:
    word, text = texts.say("card.exposure_word"), texts.say("card.exposure_text")
    return _card("exposure", "-", texts.say("card.exposure_unit"), "unknown", word, text, view.link("/exposure"))


def _proof(view: View) -> Data:
    if not view.holds(Permission.AUDIT_READ):
        word, text = texts.say("card.proof_unseen"), texts.say("card.proof_unseen_text")
        return _card("proof", "-", "", "done", word, text, view.link("/today"))
    seen = access_queries.entries_within(view.seen(Permission.AUDIT_READ))
    found = audit_queries.latest(view.tx, seen, limit=COUNTED, since=view.now - _DAY)
    number = f"{len(found):,}" + ("+" if len(found) == COUNTED else "")
    latest = audit_queries.latest(view.tx, seen, limit=1)
    when = times.relative(latest[0].at, view.now) if latest else "-"
    text = texts.say("card.proof_text", when=when)
    unit, word = texts.count("card.proof_unit", len(found)), texts.say("card.proof_word")
    return _card("proof", number, unit, "unknown", word, text, view.link("/audit"))


def _recent(view: View) -> list[Data] | None:
    if not view.holds(Permission.AUDIT_READ):
        return None
    seen = access_queries.entries_within(view.seen(Permission.AUDIT_READ))
    return [words.told(view, entry) for entry in audit_queries.latest(view.tx, seen, limit=RECENT)]


handlers = [today]
