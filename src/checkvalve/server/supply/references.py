# SPDX-License-Identifier: Apache-2.0
"""What is this image called, in the one form in which we keep and compare names?

Rules: 1. a name is a repository, with a registry before it or none, then `:tag` or `@digest` or both (the grammar of
Docker's references; the digest is a SHA-256); 2. without tag and digest the tag is `latest`; 3. `docker.io/library/x`,
`docker.io/x` and Podman's `localhost/x` are `x`, unless `x` alone would be read as something else; so the form is its
own form.
"""

import re

from checkvalve.errors import InvalidError

LONGEST = 255  # of registry and repository
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_HOST = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_REGISTRY = re.compile(rf"(?:{_HOST}(?:\.{_HOST})*|\[[a-fA-F0-9:]+\])(?::[0-9]{{1,5}})?")
_REPOSITORY = re.compile(rf"{_PART}(?:/{_PART})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_IDENTIFIER = re.compile(r"[0-9a-f]{64}")
_HUB = frozenset({"docker.io", "index.docker.io"})


def short(text: str) -> str:
    """Return `text` in its short form with its tag or digest, or raise `InvalidError` (`image.name`)."""
    if len(text) > LONGEST + 1 + 128 + 1 + 71:
        raise _no_name(text, "it is too long")
    rest, at, digest = text.partition("@")
    if at and not _DIGEST.fullmatch(digest):
        raise _no_name(text, "what follows the @ is no digest (sha256: and 64 lower-case hex digits)")
    before, colon, tag = rest.rpartition(":")
    if not colon or "/" in tag:  # the colon before a registry's port is not a tag's
        before, colon, tag = rest, "", ""
    if colon and not _TAG.fullmatch(tag):
        raise _no_name(text, "what follows the colon is no tag")
    name = _short(text, before)
    if not colon and not at:
        tag = "latest"  # rule 2
    return name + (f":{tag}" if tag else "") + at + digest


def tag_only(text: str) -> bool:
    """Tell whether `text` may be a tag without a repository, as an OCI layout names what it holds."""
    return _TAG.fullmatch(text) is not None


def _short(text: str, name: str) -> str:
    registry, path = _divided(name)
    if registry and not _REGISTRY.fullmatch(registry):
        raise _no_name(text, "what stands before the first slash is no registry")
    if not _REPOSITORY.fullmatch(path):
        raise _no_name(text, "a repository has lower-case letters, digits, and single . _ - between them")
    if len(name) > LONGEST:
        raise _no_name(text, "it is too long")
    if not registry and _IDENTIFIER.fullmatch(path):
        raise _no_name(text, "64 hex digits are an image's id, not its name")
    if registry in _HUB or not registry:
        inner = path.removeprefix("library/")
        path = path if "/" in inner else inner
        registry = "docker.io"
    # rule 3: only what would be read back as the same
    alone = not _divided(path)[0] and not _IDENTIFIER.fullmatch(path)
    if registry == "docker.io" and alone:
        return path
    if registry == "localhost" and alone and not path.startswith("library/"):
        return path
    return f"{registry}/{path}"


def _divided(name: str) -> tuple[str, str]:
    """Return registry and path: a first part with a dot, a colon or a capital, or `localhost`, is a registry."""
    first, slash, path = name.partition("/")
    is_registry = bool(slash) and (first == "localhost" or first != first.lower() or "." in first or ":" in first)
    return (first, path) if is_registry else ("", name)


def _no_name(text: str, why: str) -> InvalidError:
    return InvalidError(
        "image.name",
        f"{text[:100]!a} is no name of an image: {why}.",
        "Write it as repository:tag, like historian:2.4.",
    )
