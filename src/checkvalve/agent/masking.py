# SPDX-License-Identifier: Apache-2.0
"""How does a text read without the secrets that stand in it? Containers print what they like, and logs go to people.

Nothing that a container printed leaves the device before (walk values, 12).

Rules: 1. what goes are a secret's text, its base64, URL-encoded and JSON forms, and each line of `SHORTEST` characters
or more of a secret of several; with and without the white space around it, and with that inside made one blank; 2. the
longest goes first, so that no end of it is left; 3. where a text was cut at its beginning, the end of a secret may
stand there: it goes too; 4. what masking leaves is looked through again: if a secret still stands in a line, the line
goes, and if it stands in the whole, the whole does.
"""

import base64
import json
import re
from collections.abc import Iterator, Mapping
from urllib.parse import quote, quote_plus

SHORTEST = 6  # characters of a line of a secret that is masked on its own
GONE = "[masked]"
_PEEK = 32  # characters that are compared first


def masked(text: str, secrets: Mapping[str, bytes], *, cut: bool = False) -> str:
    """Return the text with `[secret NAME]` for each secret in it; `cut` if it lacks its beginning (rule 3)."""
    forms = {form: name for name, secret in secrets.items() for form in _forms(secret)}
    if not text or not forms:
        return text
    longest = sorted(forms, key=lambda form: (-len(form), form))
    found = _beginning(text, longest, forms) if cut else text
    pattern = re.compile("|".join(re.escape(form) for form in longest))  # rule 2
    found = pattern.sub(lambda each: _mark(forms[each[0]]), found)
    lines = [line if pattern.search(line) is None else _gone(line, pattern) for line in found.splitlines(keepends=True)]
    found = "".join(lines)
    return found if pattern.search(found) is None else ""  # rule 4


def _forms(secret: bytes) -> set[str]:
    """Return what a secret looks like where it is printed (rule 1)."""
    text = secret.decode(errors="replace")
    texts = {text, text.strip(), " ".join(text.split())}
    lines = text.splitlines()
    if len(lines) > 1:
        texts |= {line for each in lines for line in (each, each.strip()) if len(line) >= SHORTEST}
    return {form for each in texts for form in _written(each)} | set(_encoded(secret))


def _written(text: str) -> Iterator[str]:
    if text.strip():
        yield from (text, quote(text, safe=""), quote(text), quote_plus(text), json.dumps(text)[1:-1])
        yield from _encoded(text.encode())


def _encoded(secret: bytes) -> Iterator[str]:
    if secret.strip():
        for said in (base64.b64encode(secret).decode(), base64.urlsafe_b64encode(secret).decode()):
            yield from (said, said.rstrip("="))


def _beginning(text: str, longest: list[str], forms: Mapping[str, str]) -> str:
    """Return the text without the end of a secret at its beginning (rule 3)."""
    size, form = max((_end(text, each), each) for each in longest)
    return _mark(forms[form]) + text[size:] if size else text


def _end(text: str, form: str) -> int:
    """Return how many characters of the end of a form the text begins with."""
    start = form.find(text[0], 1)
    while start > 0:
        if text.startswith(form[start : start + _PEEK]) and text.startswith(form[start:]):
            return len(form) - start
        start = form.find(text[0], start + 1)
    return 0


def _mark(name: str) -> str:
    return f"[secret {name}]"


def _gone(line: str, pattern: re.Pattern[str]) -> str:
    """Return what stands for a line that a secret is still in; not even that, if a secret is in it."""
    end = line[len(line.rstrip("\r\n")) :]
    return end if pattern.search(GONE) else GONE + end
