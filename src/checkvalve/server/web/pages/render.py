# SPDX-License-Identifier: Apache-2.0
"""Templates and static files. Files are read once; a file's address holds its digest, so that browsers may keep it.

Templates escape everything they are given and fail on a name they are not given.
"""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from litestar import Response, get
from litestar.exceptions import NotFoundException
from litestar.params import FromPath
from litestar.status_codes import HTTP_200_OK

from checkvalve.crypto import digests
from checkvalve.server.web import auth, texts
from checkvalve.server.web.pages import times

_HERE = Path(__file__).resolve().parent.parent
_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
# Those of others lie in `vendor`, each with its version in its name.
_FILES = {path.name: path.read_bytes() for path in sorted((_HERE / "static").rglob("*")) if path.suffix in _TYPES}
_ADDRESSES = {name: f"/static/{name}?v={digests.sha256_hex(data)[:12]}" for name, data in _FILES.items()}
# Without a referrer browsers send `Origin: null` with a form, which looks as if it came from somewhere else.
_HEADERS = {"Referrer-Policy": "same-origin"}
_KEPT = {"Cache-Control": "public, max-age=31536000, immutable"}


def asset(name: str) -> str:
    """Return the address of a static file."""
    return _ADDRESSES[name]


def text(name: str) -> str:
    """Return what a static file holds."""
    return _FILES[name].decode()


def link(path: str, **query: str) -> str:
    """Return an address; what is empty is left out of it."""
    said = urlencode({name: value for name, value in query.items() if value})
    return f"{path}?{said}" if said else path


_ENVIRONMENT = Environment(
    loader=FileSystemLoader(_HERE / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.globals.update(t=texts.say, asset=asset)


def html(
    template: str,
    values: Mapping[str, Any],
    now: datetime,
    *,
    scope: str = "",
    status: int = HTTP_200_OK,
    headers: Mapping[str, str] | None = None,
) -> Response[bytes]:
    """Answer with the page; links in it keep the place `scope`, times in it are seen from `now`."""
    said = part(template, values, now, scope=scope)
    given = {**_HEADERS, **(headers or {})}
    return Response(said.encode(), media_type="text/html; charset=utf-8", status_code=status, headers=given)


def part(template: str, values: Mapping[str, Any], now: datetime, *, scope: str = "") -> str:
    """Return a template filled in, as `html` does: a page, or a part of one."""
    return _ENVIRONMENT.get_template(template).render(
        values,
        now=times.clock(now, now),
        exact=lambda moment: times.exact(datetime.fromisoformat(moment)),
        hour=lambda moment: times.clock(datetime.fromisoformat(moment), now),
        relative=lambda moment: times.relative(datetime.fromisoformat(moment), now),
        link=lambda path, **query: link(path, scope=scope, **query),
    )


@get("/static/{name:str}", opt={"permission": auth.PUBLIC}, sync_to_thread=False)
def static(name: FromPath[str]) -> Response[bytes]:
    """Answer with a file of the pages."""
    data = _FILES.get(name)
    if data is None:
        raise NotFoundException
    return Response(data, media_type=_TYPES[Path(name).suffix], headers=_KEPT)
