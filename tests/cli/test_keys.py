# SPDX-License-Identifier: Apache-2.0
"""Keys and roots of trust, made and signed on one machine: no plane is asked, nothing is overwritten or left open."""

import json
import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from checkvalve.crypto import keyfile, keys, metadata, trustset
from tests.cli.impostor import Impostor
from tests.cli.terminal import Outcome, Terminal, Typist

PHRASE = "a phrase that is long enough"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return an empty folder that holds the plane's public key and a passphrase, beside the terminal's home."""
    made = tmp_path / "usb"
    made.mkdir()
    (made / "online.pub").write_bytes(keys.dump_public(keys.make().public_key()))
    (made / "phrase").write_text(PHRASE + "\n")
    return made


@pytest.fixture
def type_(terminal: Terminal, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcome]:
    """Type `checkvalve keys ...` in the folder."""
    monkeypatch.chdir(folder)

    def typed(*words: str, stdin: str = "") -> Outcome:
        said = terminal("keys", *words, stdin=stdin)
        assert "Traceback" not in said.err
        assert PHRASE not in said.out + said.err
        return said

    return typed


Type = Callable[..., Outcome]


def people(type_: Type, *names: str) -> None:
    for name in names:
        assert type_("make", name, "--no-passphrase").code == 0


def wide(type_: Type) -> None:
    """Make root.json of anna and bo: both roots must sign, either may sign targets."""
    people(type_, "anna", "bo")
    pubs = [word for name in ("anna", "bo") for role in ("root", "targets") for word in (f"--{role}", f"{name}.pub")]
    assert type_("init", "--plane-key", "online.pub", *pubs, "--root-threshold", "2").code == 0


def test_a_key_is_two_files_and_the_private_one_is_sealed_and_ones_own(type_: Type, folder: Path) -> None:
    said = type_("make", "anna", "--passphrase-file", "phrase")
    assert said.code == 0
    assert "Hand over only anna.pub" in said.out
    sealed = (folder / "anna.key").read_bytes()
    assert stat.S_IMODE((folder / "anna.key").stat().st_mode) == 0o600
    assert stat.S_IMODE((folder / "anna.pub").stat().st_mode) == 0o644
    assert keyfile.described(sealed).sealed
    public = keyfile.read_public((folder / "anna.pub").read_bytes())
    assert keys.spki(keyfile.open_(sealed, PHRASE).public_key()) == keys.spki(public.key)
    assert public.keyid in said.out
    assert type_("show", "anna.key", "-q").out.strip() == public.keyid


def test_a_key_is_never_overwritten(type_: Type, folder: Path) -> None:
    people(type_, "anna")
    before = (folder / "anna.key").read_bytes()
    said = type_("make", "anna", "--no-passphrase")
    assert (said.code, "[key.exists]" in said.err) == (1, True)
    (folder / "anna.key").unlink()
    said = type_("make", "anna", "--no-passphrase")
    assert (said.code, "anna.pub is there already" in said.err) == (1, True)
    assert not (folder / "anna.key").exists()
    (folder / "bo.key").symlink_to(folder / "nowhere")
    assert "[key.exists]" in type_("make", "bo", "--no-passphrase").err
    assert not (folder / "nowhere").exists()
    assert before


def test_a_key_without_a_passphrase_must_be_asked_for(type_: Type, folder: Path) -> None:
    said = type_("make", "anna")
    assert (said.code, "[passphrase.needed]" in said.err) == (2, True)
    for text, code in (("", "passphrase.needed"), ("\n", "passphrase.needed"), ("short one\n", "passphrase.short")):
        said = type_("make", "anna", "--passphrase-file", "-", stdin=text)
        assert (said.code, f"[{code}]" in said.err) == (2, True)
    assert type_("make", "anna", "--passphrase-file", "phrase", "--no-passphrase").code == 2
    assert type_("make", "anna", "--passphrase-file", "nowhere").code == 2
    assert sorted(each.name for each in folder.iterdir()) == ["online.pub", "phrase"]


@pytest.mark.parametrize("name", ["../anna", "a/b", "", ".anna", "an na", "x" * 80, "anna\n"])
def test_a_name_that_leads_elsewhere_is_refused(type_: Type, folder: Path, name: str) -> None:
    said = type_("make", "--no-passphrase", "--", name)
    assert (said.code, "[key.name]" in said.err) == (2, True)
    assert len(list(folder.iterdir())) == 2


def test_an_unsealed_key_that_others_can_read_is_signed_with_under_a_warning(type_: Type, folder: Path) -> None:
    wide(type_)
    assert "can read it" not in type_("sign", "root.json", "--key", "anna.key").err
    (folder / "bo.key").chmod(0o644)
    said = type_("sign", "root.json", "--key", "bo.key")
    assert (said.code, "chmod 600 bo.key" in said.err) == (0, True)


@pytest.mark.slow
def test_a_person_types_the_passphrase_twice(type_: Type, tmp_path: Path, folder: Path) -> None:
    del type_  # only for its folder
    for second, code in (("another long phrase", 2), (PHRASE, 0)):
        typist = Typist(tmp_path, "keys", "make", "carl", "--out", str(folder))
        typist.reads("New passphrase for carl.key:")
        typist.types(PHRASE)
        typist.reads("Once more:")
        typist.types(second)
        assert typist.ends() == code
        assert PHRASE not in typist.seen
        assert (folder / "carl.key").exists() == (code == 0)


def test_a_folder_that_cannot_be_written_leaves_nothing(type_: Type, folder: Path) -> None:
    (folder / "file").write_text("x")
    said = type_("make", "anna", "--out", "file/keys", "--no-passphrase")
    assert said.code == 1
    assert "[file.unusable]" in said.err
    said = type_("init", "--plane-key", "online.pub", "--out", "file", "--no-passphrase")
    assert "[file.unusable]" in said.err
    assert sorted(each.name for each in folder.iterdir()) == ["file", "online.pub", "phrase"]


def test_a_root_with_keys_of_its_own_is_complete_at_once(type_: Type, folder: Path) -> None:
    said = type_("init", "--plane-key", "online.pub", "--out", "keys", "--passphrase-file", "phrase", "--days", "30")
    assert said.code == 0, said.err
    assert "Next: checkvalve trust install keys/root.json" in said.out
    assert sorted(each.name for each in (folder / "keys").iterdir()) == [
        "root.json",
        "root.key",
        "root.pub",
        "targets.key",
        "targets.pub",
    ]
    data = (folder / "keys" / "root.json").read_bytes()
    assert trustset.begin(data).root_version == 1
    named = {role.name: role.keyids for role in metadata.roles(data)}
    online = metadata.keyid(keys.load_public((folder / "online.pub").read_bytes()))
    assert named["timestamp"] == named["snapshot"] == (online,)
    left = metadata.seen(data).expires - datetime.now(UTC)
    assert timedelta(days=29, hours=23) < left <= timedelta(days=30)
    targets = keyfile.open_((folder / "keys" / "targets.key").read_bytes(), PHRASE)
    assert named["targets"] == (metadata.keyid(targets.public_key()),)
    assert PHRASE.encode() not in data


def test_a_root_of_two_says_who_is_missing_until_both_have_signed(type_: Type, folder: Path) -> None:
    wide(type_)
    shown = json.loads(type_("show", "root.json", "--json").out)
    assert (shown["complete"], shown["asks"][0]["signed"]) == (False, [])
    first = type_("sign", "root.json", "--key", "anna.key")
    assert first.code == 0, first.err
    assert "still to come from its root keys: 1" in first.out
    assert "checkvalve keys sign root.json" in first.out
    once = (folder / "root.json").read_bytes()
    again = type_("sign", "root.json", "--key", "anna.key")
    assert (again.code, "already" in again.err) == (0, True)
    assert (folder / "root.json").read_bytes() == once
    last = type_("sign", "root.json", "--key", "bo.key")
    assert "Next: checkvalve trust install root.json" in last.out
    assert trustset.begin((folder / "root.json").read_bytes()).root_version == 1
    shown = json.loads(type_("show", "root.json", "--json").out)
    assert shown["complete"]
    assert [(role["name"], role["threshold"], len(role["keyids"])) for role in shown["roles"]] == [
        ("root", 2, 2),
        ("snapshot", 1, 1),
        ("targets", 1, 2),
        ("timestamp", 1, 1),
    ]
    assert "2 of 2 needed" in type_("show", "root.json").out
    assert not [each for each in folder.iterdir() if each.name.startswith(".")]


def test_a_root_that_follows_keeps_what_is_not_said_and_is_signed_by_both(type_: Type, folder: Path) -> None:
    assert type_("init", "--plane-key", "online.pub", "--no-passphrase").code == 0
    people(type_, "anna")
    made = type_("init", "--previous", "root.json", "--root", "anna.pub", "--days", "500")
    assert made.code == 0, made.err
    assert "2.root.json" in made.out
    assert "from the root keys of version 1: 1" in made.out
    before, data = (folder / "root.json").read_bytes(), (folder / "2.root.json").read_bytes()
    old, new = ({role.name: role for role in metadata.roles(each)} for each in (before, data))
    assert (old["targets"], old["timestamp"]) == (new["targets"], new["timestamp"])
    assert old["root"] != new["root"]
    lost = type_("sign", "2.root.json", "--key", "root.key")
    assert (lost.code, "--previous FILE" in lost.err) == (1, True)
    assert type_("sign", "2.root.json", "--key", "root.key", "--previous", "root.json").code == 0
    half = type_("show", "2.root.json")
    assert "--previous FILE shows" in half.out
    done = type_("sign", "2.root.json", "--key", "anna.key", "--previous", "root.json")
    assert "Next: checkvalve trust install 2.root.json" in done.out
    assert trustset.with_root(trustset.begin(before), (folder / "2.root.json").read_bytes()).root_version == 2
    assert "[metadata.gap]" in type_("show", "2.root.json", "--previous", "2.root.json").err


def test_a_root_that_was_never_signed_is_followed_by_none(type_: Type, folder: Path) -> None:
    wide(type_)
    said = type_("init", "--previous", "root.json", "--no-passphrase")
    assert (said.code, "[metadata.signature]" in said.err) == (1, True)
    assert not (folder / "2.root.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("init --no-passphrase", "key.plane"),
        ("init --plane-key anna.pub --root anna.pub --targets bo.pub", "key.plane"),
        ("init --plane-key online.pub --root anna.pub --root anna.pub --targets bo.pub", "key.twice"),
        ("init --plane-key online.pub --root anna.pub --root-threshold 2 --no-passphrase", "key.threshold"),
        ("init --plane-key online.pub --root anna.key --targets bo.pub", "key.file"),
        ("init --plane-key anna.key --no-passphrase", "key.file"),
        ("init --plane-key nowhere --no-passphrase", "file.unreadable"),
        ("init --plane-key phrase --no-passphrase", "key.file"),
        ("sign phrase --key anna.key", "metadata.form"),
        ("sign anna.key --key anna.key", "metadata.form"),
        ("sign root.json --key nowhere", "file.unreadable"),
        ("show phrase", "key.file"),
        ("show .", "file.unreadable"),
    ],
)
def test_what_makes_no_root_is_refused_before_anything_is_written(
    type_: Type, folder: Path, words: str, code: str
) -> None:
    people(type_, "anna", "bo")
    assert type_("init", "--plane-key", "online.pub", "--root", "anna.pub", "--targets", "bo.pub").code == 0
    there = {each: each.read_bytes() for each in folder.iterdir()}
    if words.startswith("init"):
        (folder / "root.json").unlink()
        there.pop(folder / "root.json")
    said = type_(*words.split())
    assert said.code in {1, 2}
    assert f"[{code}]" in said.err
    assert {each: each.read_bytes() for each in folder.iterdir()} == there


@pytest.mark.slow
def test_a_foreign_key_and_a_wrong_passphrase_sign_nothing(type_: Type, folder: Path) -> None:
    wide(type_)
    people(type_, "eve")
    data = (folder / "root.json").read_bytes()
    assert "[key.foreign]" in type_("sign", "root.json", "--key", "eve.key").err
    assert type_("make", "fay", "--passphrase-file", "phrase").code == 0
    pubs = ["--root", "fay.pub", "--targets", "fay.pub", "--out", "fay"]
    assert type_("init", "--plane-key", "online.pub", *pubs).code == 0
    sign = ["sign", "fay/root.json", "--key", "fay.key"]
    assert "[key.passphrase]" in type_(*sign, "--passphrase-file", "-", stdin="not that phrase\n").err
    assert "[passphrase.needed]" in type_(*sign).err
    assert "trust install" in type_(*sign, "--passphrase-file", "phrase").out
    assert (folder / "root.json").read_bytes() == data


def test_a_root_whose_signature_was_changed_counts_as_unsigned(type_: Type, folder: Path) -> None:
    assert type_("init", "--plane-key", "online.pub", "--no-passphrase").code == 0
    path = folder / "root.json"
    changed = json.loads(path.read_bytes())
    changed["signed"]["version"] = 7
    path.write_text(json.dumps(changed))
    shown = json.loads(type_("show", "root.json", "--json").out)
    assert (shown["version"], shown["complete"], shown["asks"][0]["signed"]) == (7, False, [])
    path.write_bytes(path.read_bytes()[:-40])
    assert "[metadata.form]" in type_("show", "root.json").err
    path.write_bytes(b" " * (metadata.LARGEST + 1))
    assert "[file.size]" in type_("show", "root.json").err


def test_each_kind_of_file_is_told_by_what_it_is(type_: Type, folder: Path) -> None:
    people(type_, "anna")
    assert "NOT sealed" in type_("show", "anna.key").out
    assert "private key" in type_("show", "anna.key").out
    assert "public key" in type_("show", "anna.pub").out
    pem = json.loads(type_("show", "online.pub", "--json").out)
    assert pem["keyid"] == metadata.keyid(keys.load_public((folder / "online.pub").read_bytes()))


def test_no_command_about_keys_asks_a_plane(type_: Type, terminal: Terminal, impostor: Impostor) -> None:
    impostor.signed_in_at(terminal.config)
    wide(type_)
    type_("sign", "root.json", "--key", "anna.key")
    type_("show", "root.json")
    assert impostor.heard == []
