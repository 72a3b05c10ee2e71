# SPDX-License-Identifier: Apache-2.0
"""A release for those whose subject is something else: a row, without the draft and the keys."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from checkvalve.protocol import workload
from checkvalve.server.access.model import ROOT
from checkvalve.server.db.database import Database, Tx
from checkvalve.server.db.schema import releases

_CONFIG = "sha256:" + "c" * 64
_IMAGE = workload.Image(
    config=_CONFIG, config_size=1, manifest="sha256:" + "d" * 64, name="edge:1", platform="linux/amd64", layers=()
)


def release(
    db: Database,
    ident: str,
    ref: str,
    now: datetime,
    *,
    version: str = "1",
    number: int = 1,
    scope: str = ROOT,
    state: str = "published",
    **says: Any,  # noqa: ANN401 - fields of Manifest
) -> None:
    """Let `ref`, as `name@sha256:…`, be a release of `scope`, in `state` from now on; of the plane's all places.

    `says` are fields of its manifest; its digest stays what `ref` says.
    """
    name, _, digest = ref.partition("@")
    services = {"edge": workload.Service(image=_CONFIG)}
    made_of: dict[str, Any] = {"name": name, "version": version, "services": services, "images": {_CONFIG: _IMAGE}}
    manifest = workload.write(workload.Manifest(**made_of | says))
    values = {"id": ident, "scope": scope, "line": workload.line(scope, name), "name": name, "version": version}
    content = {"number": number, "digest": digest, "manifest": manifest, "source": b"", "size": 1}
    made = {"made_by": "", "made_at": now, "changed_at": now}
    here = releases.c.digest == digest, releases.c.scope == scope

    def put(tx: Tx) -> None:
        if not tx.run(sa.update(releases).where(*here).values(state=state)):
            tx.run(sa.insert(releases).values(state=state, **values, **content, **made))

    db.write_now("stock", put)
