# SPDX-License-Identifier: Apache-2.0
"""No file speaks of the place it was written in; and proof that the rule can fail."""

import codecs

import pytest

from tests.house import tree, words

RUNNER = ".ci/run"
TEXT = frozenset("cfg css html in ini j2 js json lock md mako py sh sql svg toml txt xml yaml yml".split())
# Turned, as in `words`.
BAD = (
    "sbhaq ol Pynhqr va gur ybt",
    "n ynathntr zbqry jebgr guvf",
    "frr QRFVTA 4",
    "nf NAPUBEF.zq unf vg",
    "eha vg va /jbex/znva",
    "cng vf /ebbg/.pbasvt/k",
    "--svaq-yvaxf /bcg/jurryf/",
    "gur qngn va ../funerq/qngn",
)
FINE = (
    "a session ends when its lease does",
    "GET /api/work/orders and the network/link layer",
    "the root of the tree, /rooted/ elsewhere",
    "`--data DIR` defaults to ./checkvalve-data",
    "the design of a page has two anchors",
    "a model of the device, in the language of SQL",
)


def written() -> list[str]:
    """Return the files with text that a person wrote: all but the lock files and the licence."""
    return [
        path
        for path in tree.tracked()
        if (path.rpartition(".")[2] in TEXT or "." not in path.rpartition("/")[2] or path.startswith("."))
        and not path.startswith("requirements/")
    ]


def test_no_file_speaks_of_the_place_it_was_written_in() -> None:
    found = [
        f"{path}:{line}: {word}"
        for path in written()
        for line, word in words.foreign((tree.ROOT / path).read_text(errors="replace"), runner=path == RUNNER)
    ]
    assert found == []


@pytest.mark.parametrize("turned", BAD)
def test_a_foreign_word_is_found(turned: str) -> None:
    assert list(words.foreign(codecs.decode(turned, "rot13")))


@pytest.mark.parametrize("text", FINE)
def test_our_own_words_are_let_be(text: str) -> None:
    assert list(words.foreign(text)) == []


def test_only_the_runner_may_name_the_data_beside_the_tree() -> None:
    assert not list(words.foreign(codecs.decode(BAD[-1], "rot13"), runner=True))
