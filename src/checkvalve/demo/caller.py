# SPDX-License-Identifier: Apache-2.0
"""A person at a browser, as far as the plane can tell: a session cookie, a CSRF token, and verified TLS."""

import ssl
from pathlib import Path
from typing import Any

import httpx

from checkvalve.errors import CheckvalveError, UnavailableError
from checkvalve.protocol.problem import Problem, decode


class RefusedError(CheckvalveError):
    """The plane said no; `status` and `body` are as they came."""

    kind = "refused"

    def __init__(self, problem: Problem, response: httpx.Response) -> None:
        super().__init__(problem.code, problem.detail, problem.remedy)
        self.status = response.status_code
        self.problem = problem


class Caller:
    """One person signed in to one plane."""

    def __init__(self, url: str, authority: Path, login: str) -> None:
        trust = ssl.create_default_context(cafile=str(authority))
        self.login = login
        limits = httpx.Limits(max_connections=20)
        # The plane is on this machine: no proxy of its environment is asked.
        self._http = httpx.Client(base_url=url, verify=trust, timeout=20, limits=limits, trust_env=False)

    def sign_in(self, password: str) -> None:
        """Sign in; raise `RefusedError`."""
        said = self.post("/api/v1/session", login=self.login, password=password)
        self._http.headers["X-CSRF-Token"] = said["csrf"]

    def get(self, path: str, **query: str | int) -> Any:  # noqa: ANN401 - JSON
        """Return the JSON of an answer; raise `RefusedError`."""
        return self._said(self._http.get(path, params=query)).json()

    def raw(self, path: str) -> bytes:
        """Return the bytes of an answer; raise `RefusedError`."""
        return self._said(self._http.get(path)).content

    def post(self, path: str, **body: object) -> Any:  # noqa: ANN401 - JSON
        """Send a change and return the JSON of its answer; raise `RefusedError`."""
        answer = self._said(self._http.post(path, json=body))
        return answer.json() if answer.content else None

    def patch(self, path: str, **body: object) -> Any:  # noqa: ANN401 - JSON
        """Change a part and return the JSON of the answer; raise `RefusedError`."""
        return self._said(self._http.patch(path, json=body)).json()

    def delete(self, path: str) -> None:
        """Take something away; raise `RefusedError`."""
        self._said(self._http.delete(path))

    def refusal(self, path: str, **body: object) -> Problem | None:
        """Return the problem a change met, or None if it was made."""
        try:
            self.post(path, **body)
        except RefusedError as error:
            return error.problem
        return None

    def close(self) -> None:
        """Hang up."""
        self._http.close()

    def _said(self, response: httpx.Response) -> httpx.Response:
        if response.is_success:
            return response
        problem = decode(response.content)
        if problem is None:
            raise UnavailableError(
                "demo.answer", f"The plane answered {response.status_code} without a problem document."
            )
        raise RefusedError(problem, response)
