# SPDX-License-Identifier: Apache-2.0
"""Rules on templates, texts and styles that need no browser."""

import hashlib
import json
import re
from pathlib import Path

import pytest

from checkvalve.server.web import pages, texts

WEB = Path(pages.__file__).parents[1]
TEMPLATES = sorted((WEB / "templates").glob("*.html"))
TOKENS = (WEB / "static/tokens.css").read_text()
STYLES = (WEB / "static/checkvalve.css").read_text()
GROUNDS = ("bg", "surface", "raised", "sunken")
INKS = ("ink", "ink-2", "ink-3", "accent", "ok", "info", "warn", "bad", "unknown")


@pytest.mark.parametrize("theme", ["light", "dark", "chosen dark"])
def test_every_text_has_a_contrast_of_four_and_a_half_on_every_ground(theme: str) -> None:
    colours = themes()[theme]
    pairs = [(ink, ground) for ink in INKS for ground in GROUNDS]
    pairs += [(ink, f"{ink}-soft") for ink in INKS if f"{ink}-soft" in colours]
    pairs += [("ink", "warn-soft"), ("ink", "bad-soft"), ("ink", "ok-soft"), ("ink", "info-soft")]
    pairs += [("accent-ink", "accent"), ("surface", "warn")]
    weak = {pair: round(contrast(colours[pair[0]], colours[pair[1]]), 2) for pair in pairs}
    assert {pair: ratio for pair, ratio in weak.items() if ratio < 4.5} == {}


def test_both_dark_themes_are_the_same() -> None:
    assert themes()["dark"] == themes()["chosen dark"]


def test_only_the_tokens_name_colours() -> None:
    without_print = STYLES.partition("@media print")[0]
    assert re.findall(r"#[0-9a-f]{3,8}\b|rgb\(|hsl\(|\b\d+ms\b", without_print) == []


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_no_template_has_what_the_content_policy_forbids(template: Path) -> None:
    assert re.findall(r"<style|\sstyle=|\son[a-z]+=|javascript:|<script(?![^>]*\ssrc=)", html(template)) == []


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_every_form_that_changes_something_carries_the_token_of_the_session(template: Path) -> None:
    for form in re.findall(r'<form[^>]*method="post".*?</form>', template.read_text(), re.DOTALL):
        assert "ui.hidden(frame)" in form or "hidden(frame)" in form or 'action="/sign-in"' in form, form


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_templates_hold_no_text_of_their_own(template: Path) -> None:
    plain = re.sub(r"<[^>]*>", " ", html(template))
    allowed = {"Checkvalve", "g", "n", "j", "k", "Enter"}
    assert set(re.findall(r"[A-Za-z]+", plain)) <= allowed


def test_every_text_that_is_asked_for_is_in_the_catalogue() -> None:
    sources = [*TEMPLATES, *(WEB / "pages").glob("*.py")]
    asked: set[str] = set()
    counted: set[str] = set()
    for source in sources:
        text = source.read_text()
        asked |= set(re.findall(r"""(?:\bt|texts\.say)\(\s*["']([a-z0-9_.]+)["']\s*[,)]""", text))
        counted |= set(re.findall(r"""texts\.count\(\s*["']([a-z0-9_.]+)["']\s*[,)]""", text))
    assert {name for name in asked if name not in texts.EN} == set()
    assert {name for name in counted if f"{name}.one" not in texts.EN or f"{name}.many" not in texts.EN} == set()


def test_no_text_has_the_name_of_another() -> None:
    """The catalogue is put together from files: a name in two of them would say the wrong thing somewhere."""
    found = [
        module for module in vars(texts).values() if getattr(module, "__name__", "").startswith(f"{texts.__name__}_")
    ]
    for kind in ("EN", "TOLD"):
        names = [name for module in found for name in getattr(module, kind, ())]
        assert sorted(name for name in set(names) if names.count(name) > 1) == []
        assert len(names) == len(getattr(texts, kind))


def test_what_others_wrote_is_what_its_table_says_and_has_its_licence() -> None:
    vendor = WEB / "static/vendor"
    table = (vendor / "README.md").read_text()
    said = dict(re.findall(r"^\| `([^`]+\.js)` .*`([0-9a-f]{64})` \|$", table, re.MULTILINE))
    assert said == {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in vendor.glob("*.js")}
    assert {f"{name.removesuffix('.js').removesuffix('.min')}.LICENSE" for name in said} == {
        path.name for path in vendor.glob("*.LICENSE")
    }


def test_live_pages_give_scripts_nothing_to_evaluate_and_no_style_to_inject() -> None:
    page = (WEB / "templates/live_scripts.html").read_text()
    config = json.loads(re.findall(r"name=\"htmx-config\" content='([^']+)'", page)[0])
    assert (config["allowEval"], config["includeIndicatorStyles"], config["allowScriptTags"]) == (False, False, False)


def test_a_number_chooses_its_text() -> None:
    assert texts.count("people.sentence", 1) == "One person can sign in."
    assert texts.count("people.sentence", 1204) == "1,204 people can sign in."


def html(template: Path) -> str:
    """Return the template without what is filled in."""
    return re.sub(r"{#.*?#}|{%.*?%}|{{.*?}}", " ", template.read_text(), flags=re.DOTALL)


def themes() -> dict[str, dict[str, str]]:
    """Return the colours of each theme; a dark one overrides the light one."""
    light, dark, chosen = re.split(r"@media|:root\[data-theme=\"dark\"\]", TOKENS)
    base = _colours(light)
    return {"light": base, "dark": base | _colours(dark), "chosen dark": base | _colours(chosen)}


def _colours(text: str) -> dict[str, str]:
    return dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{6})", text))


def contrast(one: str, other: str) -> float:
    """Return the ratio of WCAG 2.2, 1.4.3."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
