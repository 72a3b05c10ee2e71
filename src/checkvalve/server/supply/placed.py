# SPDX-License-Identifier: Apache-2.0
"""Which files and secrets does a service get, and where does it find them?

Rules: 1. `configs` names files and `secrets` secrets that the release declares; 2. without a target a secret is found
at /run/secrets/NAME and a file at /NAME, as in compose; a secret's target without a slash is a name in /run/secrets;
3. each path in the container is the target of one thing.
"""

from collections.abc import Collection
from typing import Literal

from checkvalve.protocol.declared import SECRETS, Placed
from checkvalve.server.supply import keywords, modes, paths
from checkvalve.server.supply.document import Kind
from checkvalve.server.supply.paths import Targets
from checkvalve.server.supply.place import Place
from checkvalve.server.supply.sentences import brief

Sort = Literal["configs", "secrets"]
MOST_ID = 2**31 - 1
_WHAT = {"configs": "file", "secrets": "secret"}


def placed(place: Place | None, sort: Sort, declared: Collection[str], targets: Targets) -> tuple[Placed, ...]:
    """Return the files or the secrets of a service, by their paths in it."""
    if place is None or not place.is_a(Kind.LIST, instead=f"Write a list of names: `- name`, as `{sort}` has them."):
        return ()
    found = {}
    for item in place.items():
        one = _long(item, sort) if item.node.kind is Kind.MAP else _short(item, sort)
        if one is None:
            continue
        if one.name not in declared:
            words = f"No {_WHAT[sort]} {brief(one.name)} is declared."
            near = item.near(one.name, declared)
            item.refuse("reference", words, near or f"Declare it below `{sort}` at the top, or in `x-checkvalve`.")
        elif targets.claim(item, one.target):
            found[one.target] = one
    return tuple(found[target] for target in sorted(found))


def _short(item: Place, sort: Sort) -> Placed | None:
    name = item.text()
    if name is None:
        return None
    target = paths.target(item, _usual(name, sort))
    return Placed(name=name, target=target) if target else None


def _usual(name: str, sort: Sort) -> str:
    return (SECRETS if sort == "secrets" else "/") + name


def _long(item: Place, sort: Sort) -> Placed | None:
    if not item.keys(keywords.PLACED):
        return None
    source, at = item.at("source"), item.at("target")
    if source is None:
        item.refuse("missing", "It does not say which one it is.", f"Write its name in `{sort}` as `source`.")
        return None
    name, said = source.text(), at.text() if at else ""
    if name is None or said is None:
        return None
    text = said or _usual(name, sort)
    target = paths.target(at or item, SECRETS + text if sort == "secrets" and "/" not in text else text)  # rule 2
    mode = item.at("mode")
    bits = modes.read(mode) if mode else 0o444
    uid, gid = (_number(item.at(key)) for key in ("uid", "gid"))
    if target is None or bits is None or uid is None or gid is None:
        return None
    return Placed(name=name, target=target, mode=bits, uid=uid, gid=gid)


def _number(place: Place | None) -> int | None:
    return place.whole(0, MOST_ID) if place else 0
