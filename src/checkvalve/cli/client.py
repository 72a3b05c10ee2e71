# SPDX-License-Identifier: Apache-2.0
"""One connection to one plane: requests out, answers or errors back. Every way it can fail is a sentence here.

Rules: 1. certificates are verified, against the plane's own authority or the system's; 2. no redirect is followed, so
that a token goes nowhere else; 3. an answer is bounded in size and time; 4. what is not a plane's answer is said to be
none, and its text is not shown.
"""

import json
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

import httpx
import msgspec

from checkvalve import __version__, clock, ids
from checkvalve.cli.config import Access
from checkvalve.cli.failures import UnverifiedError, UsageError
from checkvalve.crypto import certificates, keys
from checkvalve.errors import (
    CheckvalveError,
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    StaleError,
    ThrottledError,
    UnauthenticatedError,
    UnavailableError,
)
from checkvalve.protocol import api
from checkvalve.protocol.problem import Problem

T = TypeVar("T")
Asked = str | int | Sequence[str]  # a value of a query; several are sent one by one under the same name

TIMEOUT = "CHECKVALVE_TIMEOUT"
SECONDS = 30.0
LARGEST = 64 * 1024 * 1024
CSRF_HEADER = "X-CSRF-Token"
_CA_LARGEST = 64 * 1024
_READING = 1800.0  # seconds a plane may take to read what was sent before it answers: disks are slow, archives large
_SAFE = frozenset({"GET", "HEAD"})
_KINDS: Mapping[int, type[CheckvalveError]] = {
    400: InvalidError,
    401: UnauthenticatedError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    412: StaleError,
    422: InvalidError,
    429: ThrottledError,
    503: UnavailableError,
}


class Client:
    """A connection to the plane at `access.url`; close it when done."""

    def __init__(self, access: Access, seconds: float = SECONDS) -> None:
        self.access = access
        self._seconds = seconds
        self._http = _http(access.url, _verifying(access.ca), seconds)
        if access.token:
            self._http.headers["Authorization"] = f"Bearer {access.token}"

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def within_session(self, csrf: str) -> None:
        """Prove from now on that changes are meant (the cookie itself came with the answer to the sign-in)."""
        self._http.headers[CSRF_HEADER] = csrf

    def get(self, path: str, form: type[T], **query: Asked) -> T:
        """Return the answer to a question, as `form`."""
        return decode(self.raw("GET", path, query=query), form)

    def send(self, method: str, path: str, body: api.Request | None, form: type[T]) -> T:
        """Return the answer to a change, as `form`."""
        return decode(self.raw(method, path, body), form)

    def raw(
        self, method: str, path: str, body: api.Request | None = None, *, query: Mapping[str, Asked] | None = None
    ) -> bytes:
        """Return the bytes of an answer: JSON, or nothing where there is nothing to say.

        Raises the plane's own refusal as the error it was there; `UnavailableError` (`plane.unreachable`,
        `plane.timeout`, `plane.broken`, `plane.not_json`, `plane.redirect`), `UnverifiedError` (`plane.certificate`).
        """
        content = None if body is None else msgspec.json.encode(body)
        head = {} if content is None else {"Content-Type": "application/json"}
        request = self._http.build_request(method, path, content=content, headers=head, params=dict(query or {}))
        answer, data = exchange(self._http, request, self._seconds, LARGEST)
        return self._judged(answer, data)

    def document(self, path: str, largest: int) -> bytes:
        """Return bytes as the plane keeps them, whatever they are: to be compared with a digest, never to be believed.

        Raises what `raw` raises.
        """
        request = self._http.build_request("GET", path, headers={"Accept": "*/*"})
        answer, data = exchange(self._http, request, self._seconds, largest)
        if answer.is_success and "html" not in answer.headers.get("Content-Type", ""):
            return data
        return self._judged(answer, data)

    def upload(
        self,
        path: str,
        pieces: Iterable[bytes],
        size: int | None,
        told: Callable[[int], None],
        *,
        query: Mapping[str, str | int],
    ) -> bytes:
        """Send a file of any size piece by piece, and return the answer; `told` hears how many bytes are sent.

        What `pieces` raises comes out as it is. Raises what `raw` raises.
        """
        head = {"Content-Type": "application/octet-stream"} | ({} if size is None else {"Content-Length": str(size)})
        waiting = httpx.Timeout(self._seconds, connect=min(self._seconds, 10), read=max(_READING, self._seconds))
        request = self._http.build_request(
            "POST", path, content=_counted(pieces, told), headers=head, params=dict(query), timeout=waiting
        )
        return self._judged(*exchange(self._http, request, self._seconds, LARGEST, endless=True))

    def _judged(self, answer: httpx.Response, data: bytes) -> bytes:
        if answer.is_redirect:  # rule 2
            raise UnavailableError(
                "plane.redirect",
                f"{self.access.url} sends to another address instead of answering; a plane does not.",
                "Check the address, and whether something stands between you and the plane.",
            )
        if answer.is_success:
            if not data or _is_json(answer, data):
                return data
            raise self._not_json(answer)
        raise self._refusal(answer, data)

    def _refusal(self, answer: httpx.Response, data: bytes) -> CheckvalveError:
        try:
            problem = msgspec.json.decode(data, type=Problem)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return self._not_json(answer)
        kind = _KINDS.get(answer.status_code, CheckvalveError)
        remedy = problem.remedy
        if kind is UnauthenticatedError and self.access.token:
            remedy = f"Sign in again: checkvalve login {self.access.url}."
        facts = dict(problem.facts)
        if problem.request and kind is CheckvalveError:
            facts["request"] = problem.request
            remedy = f"{remedy} The request's id is {problem.request}.".strip()
        refusal = kind(problem.code, problem.detail, remedy)
        refusal.facts = facts
        return refusal

    def _not_json(self, answer: httpx.Response) -> UnavailableError:
        return UnavailableError(
            "plane.not_json",
            f"Something at {self.access.url} answered ({answer.status_code}), and not as a plane does.",
            "Check the address, and whether a proxy or a sign-in page stands between you and the plane.",
        )


def decode(data: bytes, form: type[T]) -> T:
    """Return an answer as `form`; `InvalidError` (`plane.form`) if it is not of that form."""
    try:
        return msgspec.json.decode(data, type=form)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidError(
            "plane.form",
            "The plane's answer has a form that this version does not understand.",
            f"This is checkvalve {__version__}; compare with the plane's version, and take the newer for both.",
        ) from error


def reference(text: str) -> str:
    """Return an id that somebody typed, fit for an address; `UsageError` (`cli.id`)."""
    tidy = text.strip().lower()
    if not ids.well_formed(tidy):
        raise UsageError("cli.id", f"{text!r} is no id.", "Copy one from the list: 26 letters and digits.")
    return tidy


def seconds(environ: Mapping[str, str]) -> float:
    """Return how long to wait for an answer; `UsageError` (`cli.timeout`)."""
    text = environ.get(TIMEOUT, "")
    try:
        found = float(text) if text else SECONDS
    except ValueError:
        found = 0.0
    if not 0 < found <= 3600:
        raise UsageError(
            "cli.timeout", f"{TIMEOUT} is no number of seconds.", "Set it to 30, for instance, or unset it."
        )
    return found


def authority(url: str, seconds: float) -> tuple[str, str]:
    """Return the authority that `url` shows, as PEM, and its pin. Only a pin had by another way proves it.

    Nothing but the question is sent. Raises `UnavailableError` as `Client.raw` does.
    """
    unverified = ssl.create_default_context()
    unverified.check_hostname = False
    unverified.verify_mode = ssl.CERT_NONE  # what it shows is compared with the pin before anything is sent
    with _http(url, unverified, seconds) as http:
        answer, data = exchange(http, http.build_request("GET", "/ca.pem"), seconds, _CA_LARGEST)
    try:
        # One certificate, and that one only: what else the file may hold is covered by no pin.
        der = certificates.from_pem(data if answer.is_success else b"")
        return certificates.to_pem(der).decode("ascii"), keys.fingerprint(certificates.public_key(der))
    except InvalidError as error:
        raise UnavailableError(
            "plane.no_authority",
            f"{url} shows no certificate authority of a plane ({answer.status_code} at /ca.pem).",
            "Check the address and the port: people and devices have one each.",
        ) from error


def exchange(
    http: httpx.Client, request: httpx.Request, seconds: float, largest: int, *, endless: bool = False
) -> tuple[httpx.Response, bytes]:
    """Send one request and return the answer with its body, in `seconds` and of `largest` bytes at most.

    An `endless` request takes what it takes; its answer has `seconds` once it has begun.
    """
    url = str(request.url.copy_with(path="/", query=None)).rstrip("/")
    until = clock.monotonic() + seconds
    try:
        answer = http.send(request, stream=True)
        until = clock.monotonic() + seconds if endless else until
        try:
            body = b"".join(_bounded(answer, until, largest, url, request.method))
        finally:
            answer.close()
    except httpx.TimeoutException as error:
        raise _late(url, 0 if endless else seconds, request.method) from error
    except httpx.HTTPError as error:
        raise _unreachable(error, url, request.method) from error
    return answer, body


def _counted(pieces: Iterable[bytes], told: Callable[[int], None]) -> Iterator[bytes]:
    sent = 0
    for piece in pieces:
        yield piece
        sent += len(piece)  # once it is handed on: what is shown is what went out
        told(sent)


def _bounded(answer: httpx.Response, until: float, largest: int, url: str, method: str) -> Iterator[bytes]:
    size = 0
    for chunk in answer.iter_bytes():
        size += len(chunk)
        if size > largest:
            sentence = f"The answer of {url} is larger than {largest // 1024} KiB, and was not read to its end."
            raise UnavailableError("plane.too_large", sentence, "Ask for less, with a filter or a limit.")
        if clock.monotonic() > until:
            raise _late(url, 0, method)
        yield chunk


def _http(url: str, verify: ssl.SSLContext, seconds: float) -> httpx.Client:
    # The environment's proxies count (HTTPS_PROXY, NO_PROXY): a tunnel through one ends at the plane's certificate.
    head = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": f"checkvalve/{__version__}"}
    timeout = httpx.Timeout(seconds, connect=min(seconds, 10))
    try:
        return httpx.Client(base_url=url, verify=verify, timeout=timeout, headers=head, follow_redirects=False)
    except (ValueError, httpx.InvalidURL, ImportError) as error:
        remedy = "Look at HTTPS_PROXY, ALL_PROXY and NO_PROXY."
        raise UsageError(
            "cli.proxy", "The address or the proxies of the environment cannot be used.", remedy
        ) from error


def _verifying(ca: str) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cadata=ca or None)
    except ssl.SSLError as error:
        raise InvalidError(
            "config.form", "The stored certificate authority cannot be read.", "Sign in again: checkvalve login URL."
        ) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _is_json(answer: httpx.Response, data: bytes) -> bool:
    if "json" not in answer.headers.get("Content-Type", ""):
        return False
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return False
    return True


def _unreachable(error: httpx.HTTPError, url: str, method: str) -> CheckvalveError:
    reasons = list(_causes(error))
    for reason in reasons:
        if isinstance(reason, ssl.SSLCertVerificationError):
            return UnverifiedError(
                "plane.certificate",
                f"{url} does not prove to be the plane: {_plain(reason.verify_message)}.",
                "Nothing was sent. Check the address and this machine's clock. If its authority was changed on purpose,"
                f" sign in again: checkvalve login {url} --pin sha256:...; --system-trust for a company certificate.",
            )
    if isinstance(error, httpx.ProxyError):
        return UnavailableError(
            "plane.proxy", f"The proxy does not let through to {url}.", "Look at HTTPS_PROXY and NO_PROXY."
        )
    if isinstance(error, httpx.ConnectError):
        if any(isinstance(reason, ssl.SSLError) for reason in reasons):
            why = "what answers there speaks no TLS that we do"
        else:
            told = [reason.strerror for reason in reasons if isinstance(reason, OSError) and reason.strerror]
            why = _plain(told[-1]) if told else "no connection"
        remedy = "Check the address, the port (people's is 9443 unless changed) and the way there."
        return UnavailableError("plane.unreachable", f"{url} cannot be reached: {why}.", remedy)
    return UnavailableError(
        "plane.broken", f"The connection to {url} broke before the answer was complete.", _again(method)
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


def _late(url: str, seconds: float, method: str) -> UnavailableError:
    within = f"within {seconds:g} seconds" if seconds else "completely in the time it is given"
    return UnavailableError("plane.timeout", f"{url} did not answer {within}.", _again(method))


def _again(method: str) -> str:
    if method in _SAFE:
        return f"Try again; {TIMEOUT} sets how many seconds to wait."
    return "The change may have been made or not: look before you make it again."


def _plain(text: str) -> str:
    return text.rstrip(".").strip() or "it does not say why"
