# SPDX-License-Identifier: Apache-2.0
"""A document of values: one sequence of bytes, nothing else is one, and what it means is what can be compared."""

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from checkvalve import canonical
from checkvalve.crypto import keys, seal
from checkvalve.errors import InvalidError
from checkvalve.protocol import values
from checkvalve.protocol.declared import LARGEST_FILE, LARGEST_SECRET
from checkvalve.protocol.values import Sealed, Values

DEVICE = "0" * 25 + "d"
RELEASE = "sha256:" + "a" * 64
KEY = keys.make()

IDS = st.from_regex(r"[0-7][0-9a-hjkmnp-tv-z]{25}", fullmatch=True)
VARIABLES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,10}", fullmatch=True)
NAMES = st.from_regex(r"[a-z0-9]([a-z0-9._-]{0,8}[a-z0-9])?", fullmatch=True)
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)
SECRETS = st.builds(Sealed, version=IDS, data=st.binary(max_size=60))
DOCUMENTS = st.builds(
    Values,
    device=IDS,
    release=st.just(RELEASE),
    variables=st.dictionaries(VARIABLES, TEXTS, max_size=4),
    files=st.dictionaries(NAMES, TEXTS, max_size=4),
    secrets=st.dictionaries(NAMES, SECRETS, max_size=4),
)


def document(**more: Any) -> Values:  # noqa: ANN401 - fields of a document
    plain: dict[str, Any] = {"variables": {"RATE": "5"}, "files": {"recipe": "two eggs"}, "secrets": {}}
    return Values(device=DEVICE, release=RELEASE, **(plain | more))


def code(call: Callable[[], object]) -> str:
    with pytest.raises(InvalidError) as caught:
        call()
    return caught.value.code


@given(DOCUMENTS)
def test_a_document_comes_back_from_its_bytes_and_they_are_the_only_ones(said: Values) -> None:
    data = values.write(said)
    assert values.read(data) == said
    assert values.write(values.read(data)) == data


@given(DOCUMENTS, st.data())
def test_cut_or_changed_bytes_are_no_document_or_another_one(said: Values, data: st.DataObject) -> None:
    written = values.write(said)
    place = data.draw(st.integers(0, len(written) - 1))
    assert code(lambda: values.read(written[:place])) in ("canonical.form", "values.form")
    changed = bytearray(written)
    changed[place] ^= data.draw(st.integers(1, 255))
    assert values.digest(bytes(changed)) != values.digest(written)
    try:
        assert values.read(bytes(changed)) != said
    except InvalidError as error:
        assert error.code in ("canonical.form", "values.form")  # noqa: PT017 - it need not be raised


@given(DOCUMENTS, IDS)
def test_what_it_means_does_not_depend_on_whom_it_is_for_or_how_it_was_sealed(said: Values, other: str) -> None:
    sealed = {name: msgspec.structs.replace(each, data=b"sealed again") for name, each in said.secrets.items()}
    again = msgspec.structs.replace(said, device=other, release="sha256:" + "b" * 64, secrets=sealed)
    assert values.identity(again) == values.identity(said)


@given(DOCUMENTS, DOCUMENTS)
def test_what_differs_in_a_text_or_a_version_means_something_else(one: Values, other: Values) -> None:
    def said(each: Values) -> object:
        return each.variables, each.files, {name: sealed.version for name, sealed in each.secrets.items()}

    assert (values.identity(one) == values.identity(other)) == (said(one) == said(other))


def test_no_values_at_all_mean_what_an_order_without_values_means() -> None:
    assert values.identity(document(variables={}, files={})) == values.NONE == ""


def test_a_variable_a_file_and_a_secret_of_one_name_are_three_things() -> None:
    version = "0" * 26
    one = document(variables={"name": version}, files={})
    two = document(variables={}, files={"name": version})
    three = document(variables={}, files={}, secrets={"name": Sealed(version=version, data=b"")})
    assert len({values.identity(each) for each in (one, two, three)}) == 3


def test_a_secret_is_in_it_only_as_sealed_and_opens_for_its_device_name_and_version_alone() -> None:
    version = "0" * 26
    context = values.context(DEVICE, "pin", version)
    sealed = Sealed(version=version, data=seal.seal(KEY.public_key(), b"hunter22", context))
    data = values.write(document(secrets={"pin": sealed}))
    assert b"hunter22" not in data
    found = values.read(data).secrets["pin"]
    assert seal.open_(KEY, found.data, context) == b"hunter22"
    for other in (("0" * 26, "pin", version), (DEVICE, "pin2", version), (DEVICE, "pin", "1" * 26)):
        assert code(lambda other=other: seal.open_(KEY, found.data, values.context(*other))) == "seal.closed"  # type: ignore[misc]


BAD: dict[str, Callable[[dict[str, Any]], object]] = {
    "a field too many": lambda said: said.update(more=1),
    "a field missing": lambda said: said.pop("files"),
    "another version": lambda said: said.update(v=2),
    "no release": lambda said: said.update(release="latest"),
    "a path for a name": lambda said: said["files"].update({"../../etc/passwd": "x"}),
    "a variable that is none": lambda said: said["variables"].update({"A B": "x"}),
    "a U+0000": lambda said: said["variables"].update({"RATE": "a\0"}),
    "a number for a text": lambda said: said["variables"].update({"RATE": 5}),
    "too large a file": lambda said: said["files"].update({"recipe": "x" * (LARGEST_FILE + 1)}),
    "too large a secret": lambda said: said["secrets"].update(
        {"pin": {"version": "0" * 26, "data": "AAAA" * (LARGEST_SECRET // 2)}}
    ),
    "too many": lambda said: said["variables"].update({f"V{number}": "" for number in range(201)}),
    "no base64": lambda said: said["secrets"].update({"pin": {"version": "0" * 26, "data": "?"}}),
}


@pytest.mark.parametrize("name", BAD)
def test_bytes_that_are_no_document_are_refused(name: str) -> None:
    said = json.loads(values.write(document()))
    BAD[name](said)
    assert code(lambda: values.read(canonical.dumps(said))) == "values.form"


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"null", b"\xff\xfe", b"[" * 5_000, b'{"v":1}'])
def test_hostile_bytes_are_refused(data: bytes) -> None:
    assert code(lambda: values.read(data)) in ("canonical.form", "values.form")


def test_a_document_has_a_bound_which_is_asked_before_it_is_read() -> None:
    assert code(lambda: values.read(b"x" * (values.LARGEST + 1))) == "values.size"
    files = {f"f{number}": "x" * LARGEST_FILE for number in range(17)}
    assert code(lambda: values.write(document(files=files))) == "values.size"


def test_the_bytes_stay_what_they_are() -> None:
    data = values.write(document(secrets={"pin": Sealed(version="0" * 26, data=b"\1\2\3")}))
    assert values.digest(data) == "sha256:c29f386791aa97d2bac027d18d4624ab1bc5fc73640b76618e65b7ceb96a98a8"
    assert (
        values.identity(values.read(data)) == "sha256:14a332f98f8bc645c8e718bf2c0b2b112f7b1cd02fa1d0d6fa4efc2d30586a5c"
    )
