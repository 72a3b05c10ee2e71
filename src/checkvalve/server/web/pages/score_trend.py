# SPDX-License-Identifier: Apache-2.0
"""How did a place come to where it is? Closed assessments as two lines: in all, and the lowest section of each."""

from collections.abc import Sequence

from checkvalve.protocol import scorecard as said
from checkvalve.server.web import texts
from checkvalve.server.web.pages import score_view
from checkvalve.server.web.pages.view import Data

WIDE, HIGH, EDGE = 1_000, 200, 12  # units of the drawing


def drawn(closed: Sequence[said.Assessment]) -> Data | None:
    """Return the lines of what was closed at one place, oldest first; None of fewer than two."""
    scored = [(one, one.declared) for one in closed if one.declared and one.declared.total is not None]
    if len(scored) < 2:
        return None
    step = (WIDE - 2 * EDGE) / (len(scored) - 1)
    points = [_point(one, found, EDGE + step * number) for number, (one, found) in enumerate(scored)]
    first, last = points[0], points[-1]
    return {
        "says": texts.say(
            "trend.says",
            where=scored[-1][0].where,
            first=str(first["total"]),
            from_=str(first["date"]),
            last=str(last["total"]),
            to=str(last["date"]),
            most=str(last["most"]),
            low_first=str(first["low"]),
            low_last=str(last["low"]),
        ),
        "points": points,
        "total": " ".join(f"{one['x']},{one['y']}" for one in points),
        "lowest": " ".join(f"{one['x']},{one['low_y']}" for one in points),
    }


def _point(one: said.Assessment, found: said.Score, x: float) -> Data:
    lowest = min((each for each in found.sections if each.score is not None), key=_share)
    total, low = score_view.score(found.total), score_view.score(lowest.score)
    date = (one.ended_at or one.opened_at)[:10]
    return {
        "x": round(x),
        "y": _height((found.total or 0) / found.most),
        "low_y": _height(_share(lowest)),
        "date": date,
        "total": total,
        "most": found.most,
        "low": texts.say("score.of", score=low, most=str(lowest.most)),
        "label": texts.say("trend.point", date=date, total=total, most=str(found.most), low=low),
    }


def _share(section: said.Section) -> float:
    return (section.score or 0) / section.most


def _height(share: float) -> int:
    return round(HIGH - EDGE - share * (HIGH - 2 * EDGE))
