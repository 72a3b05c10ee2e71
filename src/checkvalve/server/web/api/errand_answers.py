# SPDX-License-Identifier: Apache-2.0
"""How do small orders read as answers of the API? The forms are `protocol.errands`."""

from checkvalve.protocol import errands as forms
from checkvalve.server.audit.compose import rfc3339
from checkvalve.server.errands import ending
from checkvalve.server.errands.model import Errand, Kind
from checkvalve.server.web.api.answers import time


def errand(value: Errand) -> forms.Errand:
    """Answer with a small order."""
    kept = ending.kept_until(value) if value.digest else None  # what the device did not sign is no file of it yet
    return forms.Errand(
        id=value.id,
        device=value.device,
        scope=value.scope,
        kind=value.kind.value,
        service=value.service,
        since=value.since,
        lines=value.lines,
        why=value.why,
        made_by=value.made_by,
        made_at=rfc3339(value.made_at),
        until=rfc3339(value.until),
        state=value.state.value,
        given_at=time(value.given_at),
        ended_at=time(value.ended_at),
        code=value.code,
        reason=value.reason,
        content=forms.Brought(digest=value.content, size=value.size, until=time(kept)) if kept else None,
        digest=value.digest,
    )


def file(value: Errand) -> str:
    """Return what the file that it brought is called where somebody saves it: ASCII, and no more than a name."""
    return f"{value.kind}-{value.id}.{'txt' if value.kind is Kind.LOGS else 'tar.gz'}"
