# SPDX-License-Identifier: Apache-2.0
"""What a program that is not ours makes of the plane's metadata: the client of python-tuf, from a pinned root on."""

import tempfile
from collections.abc import Iterator, Mapping

from tuf.api.exceptions import DownloadHTTPError, RepositoryError  # noqa: TID251 - the point is that it is not our code
from tuf.ngclient import FetcherInterface, Updater  # noqa: TID251 - as above

from checkvalve.demo.caller import Caller

BELIEVED = "believed"


class _Files(FetcherInterface):
    """A server of the files that were fetched."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        super().__init__()
        self._files = files

    def _fetch(self, url: str) -> Iterator[bytes]:
        data = self._files.get(url.rpartition("/")[2])
        if data is None:
            raise DownloadHTTPError(url, 404)
        yield data


def fetch(caller: Caller) -> dict[str, bytes]:
    """Return the files under the names that a client asks for: `timestamp.json`, `N.snapshot.json` and so on."""
    versions = {one["role"]: one["version"] for one in caller.get("/api/v1/trust")["metadata"]}
    names = ("timestamp.json", *(f"{versions[role]}.{role}.json" for role in ("snapshot", "targets")))
    return {name: caller.raw(f"/api/v1/trust/{name}") for name in names}


def believes(pinned: bytes, files: Mapping[str, bytes]) -> str:
    """Return `believed`, or the name of the error with which the client refuses."""
    with tempfile.TemporaryDirectory() as directory:
        client = Updater(directory, "https://plane.invalid/", fetcher=_Files(files), bootstrap=pinned)
        try:
            client.refresh()
        except RepositoryError as error:
            return type(error).__name__
    return BELIEVED
