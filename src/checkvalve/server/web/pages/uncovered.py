# SPDX-License-Identifier: Apache-2.0
"""What this version does not cover, said on a page of its own: an empty list would read as `nothing is wrong`."""

from litestar import get
from litestar.handlers import HTTPRouteHandler

from checkvalve.server.web import auth, texts
from checkvalve.server.web.calls import Called
from checkvalve.server.web.pages import frame
from checkvalve.server.web.pages.frame import Answer, Asked, Page
from checkvalve.server.web.pages.view import Data


def _handler(name: str) -> HTTPRouteHandler:
    page = Page("uncovered.html", name, f"{name}.title")
    data: Data = {part: texts.say(f"{name}.{part}") for part in ("sentence", "detail", "means")}

    @get([f"/{name}", f"/{name}.json"], opt={"permission": auth.SIGNED_IN})
    async def uncovered(request: Asked, call: Called) -> Answer:
        return await frame.show(request, call, page, lambda _: data)

    return uncovered


handlers = [_handler(name) for name in ("exposure",)]
