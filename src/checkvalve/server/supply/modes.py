# SPDX-License-Identifier: Apache-2.0
"""Which mode of a file is `0440`?

Rule: a mode is octal and begins with a nought, as 0440, "0440" or 0o440: without it YAML and people mean two numbers.
"""

import re

from checkvalve.server.supply.document import Kind
from checkvalve.server.supply.place import Place
from checkvalve.server.supply.sentences import brief

OCTAL = re.compile(r"[0-7]{3,5}\Z")
_WRITTEN = re.compile(r"0o?([0-7]{3,4})\Z")


def read(place: Place, most: int = 0o777) -> int | None:
    """Return the mode that stands here, `most` at most; None if it is refused."""
    instead = f"Write it in octal with a nought before it, as 0440; {most:04o} at most."
    if not place.is_a(Kind.NUMBER, Kind.TEXT, instead=instead):
        return None
    text = place.node.text if place.node.kind is Kind.NUMBER else place.text()
    if text is None:
        return None
    parts = _WRITTEN.match(text)
    if parts is None or int(parts[1], 8) > most:
        place.refuse("value", f"{brief(text) or 'Empty text'} is no mode that is taken here.", instead)
        return None
    return int(parts[1], 8)
