# SPDX-License-Identifier: Apache-2.0
"""Who would go when if a rollout were started now, and who would go back to what if it were undone?

Rules: 1. both are looked at and change nothing; 2. what is in the way stands before all else; 3. of many devices some
are named and the rest is counted.
"""

from collections.abc import Iterable, Sequence

from checkvalve.errors import CheckvalveError
from checkvalve.protocol import rights
from checkvalve.protocol import rollout as protocol
from checkvalve.server.access.model import Permission
from checkvalve.server.fleet.model import Device
from checkvalve.server.rollouts import back, moves
from checkvalve.server.rollouts import queries as rollout_queries
from checkvalve.server.rollouts.model import No, Passed, Planned, Rollout, Seat
from checkvalve.server.rollouts.moves import Move
from checkvalve.server.supply.model import Release
from checkvalve.server.web import texts
from checkvalve.server.web.pages import fleet_view, lanes, release_view
from checkvalve.server.web.pages.release_view import plainly
from checkvalve.server.web.pages.view import Data, View

NAMED = 12  # devices of a wave
WAVES = 10


def looked(view: View, rollout: Rollout) -> tuple[Planned | None, No | None]:
    """Return the plan of now, None where its selector cannot be read; and what is in the way."""
    try:
        planned = rollout_queries.planned(view.tx, rollout, view.now)
        return planned, rollout_queries.in_the_way(view.tx, rollout, planned)
    except CheckvalveError as error:
        return None, No(error.code, error.sentence, error.remedy)


def shown(view: View, rollout: Rollout, planned: Planned | None, obstacle: No | None) -> Data:
    """Return who would go when."""
    waves = planned.waves if planned else ()
    count = planned.count if planned else 0
    plan = rollout.wanted.plan
    said = protocol.said(plan.canary, plan.step)
    more = len(waves) - WAVES
    return {
        "sentence": texts.count("plan.sentence", count, plan=said) if count else texts.say("plan.none"),
        "count": count,
        "waves": [_wave(view, rollout, number, wave) for number, wave in enumerate(waves[:WAVES])],
        "waves_more": texts.count("plan.waves_more", more) if more > 0 else "",
        "passed": passed(view, planned.passed if planned else ()),
        "lacking": _lacking(view, planned) if planned else [],
        "exclusive": exclusive(view, rollout),
        "copies": copies(view, rollout, planned) if planned else [],
        "obstacle": None
        if obstacle is None
        else {
            "code": obstacle.code,
            "sentence": texts.say("plan.obstacle", sentence=obstacle.sentence),
            "remedy": obstacle.remedy,
        },
    }


def passed(view: View, found: Iterable[Passed]) -> list[Data]:
    """Return who is passed over, by why."""
    groups: dict[str, list[Device]] = {}
    for one in found:
        groups.setdefault(one.reason, []).append(one.device)
    return [
        {"reason": texts.count("plan.passed_n", len(group), reason=plainly(reason)), **_names(view, group)}
        for reason, group in sorted(groups.items(), key=lambda one: -len(one[1]))
    ]


def exclusive(view: View, rollout: Rollout) -> list[str]:
    """Return, in sentences, what of its release cannot be on a device twice."""
    manifest = rollout_queries.manifest(view.tx, rollout)  # None: what is in the way says why
    return [plainly(one) for one in rights.exclusive(manifest)] if manifest else []


def copies(view: View, rollout: Rollout, planned: Planned) -> list[str]:
    """Return, in sentences, what is copied at the switch, and for how long that stops what uses it."""
    manifest = rollout_queries.manifest(view.tx, rollout)
    return [plainly(one) for one in rollout_queries.copies(manifest, planned)]


def _lacking(view: View, planned: Planned) -> list[Data]:
    """Return what is lacking where, by what it is (rule 3)."""
    groups: dict[str, list[Device]] = {}
    for device, filling in planned.short:
        old = [texts.say("plan.old")] if filling.old else []
        for sentence in [*old, *(lack.sentence for lack in filling.lacks)]:
            groups.setdefault(sentence, []).append(device)
    found = sorted(groups.items(), key=lambda one: -len(one[1]))
    return [
        {"reason": texts.count("plan.lacking_n", len(group), lack=plainly(lack)), **_names(view, group)}
        for lack, group in found
    ]


def undoing(view: View, rollout: Rollout) -> Data:
    """Return who would go back to what (rule 1), and whether the caller may say so."""
    refused = moves.judge(rollout, Move.UNDO)
    plan = rollout_queries.way_back(view.tx, rollout) if refused is None else back.Back((), (), ())
    busy = rollout_queries.taken_besides(view.tx, rollout, plan) if refused is None else {}
    no = back.obstacle(plan, busy) if refused is None else refused
    right = release_view.no_right(view, Permission.ROLLOUT_START, rollout.scope)
    number = len(plan.going)
    if no is not None:
        sentence = texts.say("undo.sentence_no", name=rollout.name)
    elif number:
        sentence = texts.count("undo.sentence", number, name=rollout.name)
    else:
        sentence = texts.say("undo.sentence_none", name=rollout.name)
    return {
        "id": rollout.id,
        "name": rollout.name,
        "sentence": sentence,
        "detail": texts.say("undo.detail"),
        "why_not": f"{no.sentence} {no.remedy}".strip() if no is not None else right,
        "enabled": no is None and not right,
        "do": texts.count("undo.do", number) if number else texts.say("undo.do_none"),
        "going": _going(view, plan.going),
        "staying": passed(view, plan.staying),
        "untouched": texts.count("undo.untouched_n", len(plan.untouched)) if plan.untouched else "",
        "href": view.link(f"/rollouts/{rollout.id}"),
    }


def _going(view: View, going: Sequence[tuple[Seat, Release]]) -> list[Data]:
    groups: dict[str, tuple[Release, list[Device]]] = {}
    for seat, release in going:
        groups.setdefault(release.id, (release, []))[1].append(seat.device)
    return [
        {
            "words": texts.count("undo.going_n", len(devices), release=release_view.named(release)),
            "href": view.link(f"/releases/{release.id}"),
            **_names(view, devices),
        }
        for release, devices in sorted(groups.values(), key=lambda one: -len(one[1]))
    ]


def _wave(view: View, rollout: Rollout, number: int, wave: Sequence[Device]) -> Data:
    canary = lanes.has_canary(rollout)
    alone = not canary and number == 0 and len(wave) and not rollout.wanted.plan.step
    name = texts.say("wave.all") if alone else lanes.named(rollout, number)
    return {"name": name, "count": len(wave), "devices": lanes.devices(len(wave)), **_names(view, wave)}


def _names(view: View, devices: Sequence[Device]) -> Data:
    """Return the first of them by name (rule 3), where the caller may see them."""
    seen = [one for one in devices[:NAMED] if view.may(Permission.DEVICE_READ, one.scope)]
    more = len(devices) - len(seen)
    return {
        "names": [
            {
                "name": plainly(one.name),
                "where": view.where(one.scope),
                "href": view.link(f"/devices/{one.id}"),
                "shape": fleet_view.HEARD[fleet_view.liveness(view, one)],
                "word": texts.say(f"heard.{fleet_view.liveness(view, one)}"),
            }
            for one in seen
        ],
        "names_more": texts.say("plan.more", n=f"{more:,}") if more > 0 else "",
    }
