# SPDX-License-Identifier: Apache-2.0
"""Is this intent well formed, and what are the bytes that people approve (walk rollout, 1 to 3)?

Rules: 1. a release is named with its digest, so that it is one thing for ever; 2. texts hold no control or format
characters, which could make a line read differently from what it is; 3. equal intents have equal bytes (RFC 8785);
4. what people approve is these bytes, as one rollout in one scope: `protocol.rollout.digest`.
"""

import re

from checkvalve import canonical, lines
from checkvalve.canonical import Json
from checkvalve.errors import InvalidError
from checkvalve.protocol import rollout
from checkvalve.server.rollouts.model import Intent, Plan
from checkvalve.server.targeting import selector as selectors

LONGEST_NAME = 100
LONGEST_SELECTOR = 1_000
LONGEST_CHANGE = 100
LONGEST_NOTE = 2_000
APPROVALS = (0, 1, 2)
MOST_CANARIES = 5
LARGEST_STEP = 10_000

_RELEASE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}@sha256:[0-9a-f]{64}")


def compose(intent: Intent) -> bytes:
    """Return the canonical bytes of `intent`, its texts in NFC and without blanks at their ends.

    Raises `InvalidError`: `rollout.release`, `rollout.selector`, `rollout.approvals`, `rollout.change`, `rollout.note`,
    `rollout.plan`, and what `selector.parse` raises.
    """
    release = intent.release.strip()
    if _RELEASE.fullmatch(release) is None:
        raise InvalidError(
            "rollout.release",
            "A release is named as name@sha256: and 64 hex digits in lower case.",
            "Copy the release's full name, with its digest.",
        )
    # `True == 1`, and would be other bytes for the same intent.
    if isinstance(intent.approvals, bool) or intent.approvals not in APPROVALS:
        raise InvalidError("rollout.approvals", "A rollout takes 0, 1 or 2 approvals.", "Choose one of these.")
    selector = _text("selector", intent.selector, LONGEST_SELECTOR)
    if not selector:
        raise InvalidError("rollout.selector", "A rollout says for which devices it is.", "Give a selector, or all.")
    selectors.parse(selector)
    return canonical.dumps(
        {
            "approvals": intent.approvals,
            "change": _text("change", intent.change, LONGEST_CHANGE),
            "note": _text("note", intent.note, LONGEST_NOTE),
            "plan": _plan(intent.plan),
            "release": release,
            "selector": selector,
            "v": rollout.INTENT_VERSION,
        }
    )


def name(text: str) -> str:
    """Return a rollout's name as it is kept; `InvalidError` (`rollout.name`)."""
    tidy = _text("name", text, LONGEST_NAME)
    if not tidy:
        raise InvalidError("rollout.name", "A rollout has a name.", "Give one that people on site understand.")
    return tidy


def sentence(named: str, intent: Intent) -> str:
    """Return what a voter is asked to approve, as a sentence; the release's digest by its first 12 digits."""
    release = intent.release[: intent.release.index(":") + 13]
    under = f", under {intent.change}" if intent.change else ""
    plan = rollout.said(intent.plan.canary, intent.plan.step)
    return f"Start rollout {named!r}: {release} on {intent.selector}, {plan}{under}."


def _plan(plan: Plan) -> dict[str, Json]:
    whole = not isinstance(plan.canary, bool) and not isinstance(plan.step, bool)
    if not (whole and 0 <= plan.canary <= MOST_CANARIES and 0 <= plan.step <= LARGEST_STEP):
        raise InvalidError(
            "rollout.plan",
            f"The canary wave has 0 to {MOST_CANARIES} devices, each further wave 1 to {LARGEST_STEP:,}.",
            "Leave the plan out for one canary and then the rest; 0 as the size of the waves is all at once.",
        )
    return {"canary": plan.canary, "step": plan.step}


def _text(field: str, text: str, longest: int) -> str:
    tidy = lines.tidy(text, longest)
    if len(tidy) > longest:
        raise InvalidError(f"rollout.{field}", f"The {field} has at most {longest} characters.", "Shorten it.")
    if not lines.plain(tidy):
        raise InvalidError(
            f"rollout.{field}", f"The {field} holds no control characters.", "Type it anew, on one line."
        )
    return tidy
