# SPDX-License-Identifier: Apache-2.0
"""The dependency set is locked by hash and names no index; and proof that the rule can fail."""

import pytest

from tests.house import locks, tree

EXTRAS = ("server", "agent", "cli", "dev")
# All that is installed on a device beside us. What comes in here comes into every gateway: say why in ADR 0011.
ON_A_DEVICE = set(
    "aiohappyeyeballs aiohttp aiosignal attrs cffi cryptography frozenlist idna msgspec multidict propcache "
    "pycparser securesystemslib tuf typing-extensions urllib3 yarl".split()
)
HASH = "--hash=sha256:" + "0a" * 32
GOOD = f"""anyio==4.16.0 \\
    {HASH} \\
    {HASH}
    # via
    #   checkvalve (pyproject.toml)
    #   httpx
cffi==2.1.1 ; platform_python_implementation != 'PyPy' \\
    {HASH}
psycopg[binary]==3.2.1 \\
    {HASH}
    # via checkvalve (pyproject.toml)
"""
BAD = (
    "anyio==4.16.0\n",
    f"anyio>=4.16.0 \\\n    {HASH}\n",
    f"anyio \\\n    {HASH}\n",
    "anyio==4.16.0 \\\n    --hash=md5:0a0a\n",
    GOOD + "idna==3.10\n",
    "--index-url https://pypi.example/simple\n" + GOOD,
    "--extra-index-url file:///srv/simple\n" + GOOD,
    "--find-links wheels\n" + GOOD,
    "-e .\n",
    f"anyio @ https://files.example/anyio.whl \\\n    {HASH}\n",
    "# This file was made with --index-url https://pypi.example/simple\n" + GOOD,
)


@pytest.mark.parametrize("extra", EXTRAS)
def test_every_requirement_is_pinned_by_hash_and_names_no_index(extra: str) -> None:
    assert list(locks.unlocked((tree.ROOT / f"requirements/{extra}.txt").read_text())) == []


@pytest.mark.parametrize("extra", EXTRAS)
def test_what_is_declared_is_locked_and_nothing_else_is(extra: str) -> None:
    lock = (tree.ROOT / f"requirements/{extra}.txt").read_text()
    wanted = locks.declared((tree.ROOT / "pyproject.toml").read_text(), extra)
    assert wanted
    assert wanted <= locks.locked(lock), "run `make lock`"
    assert locks.asked_for(lock, "checkvalve") == wanted, "run `make lock`"


def test_a_device_gets_these_packages_and_no_other() -> None:
    assert locks.locked((tree.ROOT / "requirements/agent.txt").read_text()) == ON_A_DEVICE


@pytest.mark.parametrize("text", BAD)
def test_a_loose_lock_is_found(text: str) -> None:
    assert list(locks.unlocked(text))


def test_a_good_lock_is_let_be() -> None:
    assert list(locks.unlocked(GOOD)) == []
    assert locks.locked(GOOD) == {"anyio", "cffi", "psycopg"}
    assert locks.asked_for(GOOD, "checkvalve") == {"anyio", "psycopg"}


def test_an_extra_within_an_extra_is_followed() -> None:
    project = """
    [project]
    name = "checkvalve"
    dependencies = ["msgspec>=0.19"]
    [project.optional-dependencies]
    cli = ["Typer[all]>=0.15"]
    dev = ["checkvalve[cli]", "pytest_timeout"]
    """
    assert locks.declared(project, "dev") == {"msgspec", "typer", "pytest-timeout"}


def test_no_other_lock_lies_about() -> None:
    locked = {path for path in tree.tracked() if path.startswith("requirements/")}
    assert locked == {f"requirements/{extra}.txt" for extra in EXTRAS}
