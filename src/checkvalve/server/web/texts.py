# SPDX-License-Identifier: Apache-2.0
"""Every text that pages show, by name. `{…}` is filled in; a number chooses between names in `.one` and `.many`.

Words: a device rolls back, a person undoes; nothing here says that something is well unless it was verified. The texts
stand by subject in the files beside this one; a second language is files beside those, with the same names.
"""

from collections.abc import Mapping

from checkvalve.server.web import (
    texts_assess,
    texts_day,
    texts_errands,
    texts_estate,
    texts_fleet,
    texts_frame,
    texts_frameworks,
    texts_holds,
    texts_people,
    texts_rollouts,
    texts_scorecard,
    texts_scorecard_paper,
    texts_suppliers,
    texts_supply,
    texts_values,
)

EN: Mapping[str, str] = {
    **texts_frame.EN,
    **texts_people.EN,
    **texts_day.EN,
    **texts_supply.EN,
    **texts_fleet.EN,
    **texts_holds.EN,
    **texts_errands.EN,
    **texts_rollouts.EN,
    **texts_values.EN,
    **texts_estate.EN,
    **texts_scorecard.EN,
    **texts_scorecard_paper.EN,
    **texts_assess.EN,
    **texts_suppliers.EN,
    **texts_frameworks.EN,
}

# What an entry tells of, by action: what was done, and what was wanted where it was refused.
TOLD: Mapping[str, tuple[str, str]] = {
    **texts_people.TOLD,
    **texts_day.TOLD,
    **texts_supply.TOLD,
    **texts_fleet.TOLD,
    **texts_holds.TOLD,
    **texts_errands.TOLD,
    **texts_rollouts.TOLD,
    **texts_values.TOLD,
    **texts_estate.TOLD,
    **texts_assess.TOLD,
    **texts_suppliers.TOLD,
}
COULD_NOT = "could not"


def say(name: str, /, **values: object) -> str:
    """Return the text called `name`, filled in."""
    return EN[name].format_map(values)


def count(name: str, n: int, /, **values: object) -> str:
    """Return the text for this number: `name.one` for 1, else `name.many` with `{n}`."""
    return say(f"{name}.one" if n == 1 else f"{name}.many", n=f"{n:,}", **values)
