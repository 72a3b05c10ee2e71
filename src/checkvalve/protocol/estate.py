# SPDX-License-Identifier: Apache-2.0
"""The declared estate in the operators' API: what there is at each place, whether it is managed or not.

`kind` is `device` (could run the agent) or `legacy` (behind a gateway). Two spellings of a class that differ in case
only are one class. Percentages divide by the declared devices.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from checkvalve.protocol.api import Name, Path, Request, Text, Time

Kind = Literal["device", "legacy"]
Number = Annotated[int, Meta(ge=0, le=1_000_000, description="How many there are; 0 ends the class.")]


class NewDeclaration(Request, frozen=True, rename={"class_name": "class"}):
    """How many of a class there are at a place, from now on."""

    scope: Path
    kind: Kind
    class_name: Name
    number: Number
    note: Text = ""


class Declaration(Struct, kw_only=True, frozen=True, rename={"class_name": "class"}):
    """What was declared. `where` names the place; of a class counts the newest."""

    id: str
    scope: str
    where: str
    kind: str
    class_name: str
    number: int
    note: str
    made_by: str
    made_by_name: str
    made_at: Time


class Share(Struct, kw_only=True, frozen=True):
    """What a site declares, its areas included, or an organisation without a site; and how much of it is managed.

    `managed` counts devices that are enrolled and let in, now. `cover`: nothing, undeclared (managed, and none
    declared), none, part, whole, more (more managed than declared); `reason` says it in a sentence.
    """

    scope: str
    where: str
    devices: int
    legacy: int
    managed: int
    cover: str
    reason: str


class Totals(Struct, kw_only=True, frozen=True):
    """The sums over everything one may see of the place asked for; `places` is how many declare something."""

    devices: int
    legacy: int
    managed: int
    places: int


class Estate(Struct, kw_only=True, frozen=True):
    """What is declared: `places` and `totals` of all of it, `items` a stretch of its classes.

    `next` asks for the classes that follow (`after`); `at` is the moment asked for, null for now.
    """

    totals: Totals
    places: list[Share]
    items: list[Declaration]
    next: str | None = None
    at: Time | None = None


class Change(Struct, kw_only=True, frozen=True, rename={"class_name": "class"}):
    """What declaring does to one class. `what`: added, changed, ended. `before` is null where nothing counted."""

    what: str
    scope: str
    where: str
    kind: str
    class_name: str
    number: int
    note: str
    before: int | None = None


class Changes(Struct, kw_only=True, frozen=True):
    """What was declared, or with `dry_run` would be. `changes` holds the first ones; the numbers are of all."""

    dry_run: bool
    added: int
    changed: int
    ended: int
    unchanged: int
    changes: list[Change]
