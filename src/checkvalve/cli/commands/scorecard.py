# SPDX-License-Identifier: Apache-2.0
"""Assessing oneself: `scorecard open|list|show|answer|settle|close|drop|export`; plan and evidence stand beside it."""

from pathlib import Path
from typing import Annotated

import typer

from checkvalve.cli import client, output, scorecard, times
from checkvalve.cli.client import reference
from checkvalve.cli.commands import scorecard_evidence, scorecard_plan
from checkvalve.cli.failures import UsageError
from checkvalve.cli.invocation import USUAL, All, Before, Invocation, Limit, noun, verb
from checkvalve.protocol import api
from checkvalve.protocol import scorecard as forms

Ident = Annotated[str, typer.Argument(metavar="ID", help="Of `scorecard list`.")]
Reason = Annotated[str, typer.Option(metavar="TEXT", help="Why it does not apply.")]
Comment = Annotated[str, typer.Option(metavar="TEXT", help="Whatever helps to understand the answer.")]
SHORT = {"n": "not_sure", "x": "not_applicable"}
LARGEST = 16 << 20  # bytes of a document
KEYS = "0-4, n not sure, x does not apply, - take back, enter skip, q stop"


def register(app: typer.Typer) -> None:
    """Add the noun."""
    group = noun(app, "scorecard", "How ready the plant is: 25 questions, what they come to, and a plan.")
    ident = "06e5q0kq3w8v9z2x4c6b8n0m1a"
    verb(group, "open", 'checkvalve scorecard open "Norra Water/Visby"')(opened)
    verb(group, "list", 'checkvalve scorecard list --scope "Norra Water"', scoped=True)(listed)
    verb(group, "show", f"checkvalve scorecard show {ident}")(show)
    verb(group, "answer", f"checkvalve scorecard answer {ident} PM1 3")(answer)
    verb(group, "settle", f"checkvalve scorecard settle {ident} PM1 2 --comment 'as measured in May'")(settle)
    verb(group, "close", f"checkvalve scorecard close {ident}")(close)
    verb(group, "drop", f"checkvalve scorecard drop {ident} --reason 'the wrong site'")(drop)
    verb(group, "export", f"checkvalve scorecard export {ident} board.html --html")(export)
    scorecard_evidence.register(group)
    scorecard_plan.register(group)


def opened(
    run: Invocation,
    place: Annotated[str, typer.Argument(metavar="PLACE", help="Organisation, site or area.")],
    *,
    title: Annotated[str, typer.Option(metavar="TEXT", help="What it is called; else place and date.")] = "",
) -> None:
    """Begin an assessment of a place. It takes under five minutes, and can be stopped and resumed."""
    data = run.plane.raw("POST", "/api/v1/assessments", forms.New(scope=run.path(place), title=title))

    def shown(made: forms.Whole) -> None:
        output.say(f"Assessment {made.assessment.id} of {made.assessment.where} is open.")
        output.note(f"Answer it with: checkvalve scorecard answer {made.assessment.id}")

    run.show(data, forms.Whole, shown, _ident)


def listed(run: Invocation, *, limit: Limit = USUAL, every: All = False, before: Before = "") -> None:
    """List assessments, newest first."""
    data = run.listed("/api/v1/assessments", None if every else limit, before)
    run.show_list(
        data,
        forms.Assessment,
        ("ID", "WHERE", "STATE", "SCORE", "LOWEST", "NOT SURE", "OPENED"),
        lambda one: (
            one.id,
            one.where,
            one.state if one.state != "open" else f"open, {one.answered} of {one.asked}",
            scorecard.score(one.declared.total if one.declared else None),
            ", ".join(one.declared.lowest) if one.declared else "-",
            str(one.declared.not_sure) if one.declared else "-",
            times.short(one.opened_at),
        ),
        "Nothing was assessed here yet; begin with: checkvalve scorecard open PLACE",
    )


def show(
    run: Invocation,
    assessment: Ident,
    *,
    answers: Annotated[bool, typer.Option("--answers", help="Each question and its answer too.")] = False,
) -> None:
    """Show what an assessment comes to: its lowest section first, and what to do about it."""

    def shown(whole: forms.Whole) -> None:
        scorecard.told(whole)
        if answers:
            output.table(("ID", "ANSWER", "STANDS", "QUESTION"), scorecard.answers(whole))

    run.show(run.plane.raw("GET", _at(assessment)), forms.Whole, shown, _ident)


def answer(
    run: Invocation,
    assessment: Ident,
    question: Annotated[str, typer.Argument(metavar="[QUESTION]", help="Such as PM1.")] = "",
    value: Annotated[str, typer.Argument(metavar="[VALUE]", help="0-4, n (not sure), x (does not apply).")] = "",
    *,
    reason: Reason = "",
    comment: Comment = "",
) -> None:
    """Answer one question, or without one go through those that are not answered yet."""
    if bool(question) != bool(value):
        raise UsageError("cli.answer", "A question and its answer belong together.", "Give both: PM1 3")
    if question:
        data = _say(run, assessment, question, value, reason, comment)
        run.show(data, forms.Whole, lambda whole: output.say(scorecard.headline(whole.assessment)), _ident)
        return
    if not output.interactive():
        raise UsageError(
            "cli.answer", "There is no terminal to ask at.", "Name the question and the answer: answer ID PM1 3"
        )
    _through(run, assessment)


def settle(
    run: Invocation,
    assessment: Ident,
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="One on which people differ.")],
    value: Annotated[str, typer.Argument(metavar="VALUE", help="0-4, n (not sure), x (does not apply).")],
    *,
    reason: Reason = "",
    comment: Comment = "",
) -> None:
    """Settle what counts where people differ, until somebody says something else."""
    body = forms.Settle(question=question.upper(), said=_value(value) or "", reason=reason, comment=comment)
    data = run.plane.raw("POST", _at(assessment, "decisions"), body)
    run.show(data, forms.Whole, lambda whole: output.say(scorecard.headline(whole.assessment)), _ident)


def close(run: Invocation, assessment: Ident) -> None:
    """Close an assessment: its result is kept for good, and nothing is added to it any more."""
    run.agreed("Its result is kept for good, and nothing is added to it any more.", "Close it?")
    data = run.plane.raw("POST", _at(assessment, "close"))
    run.show(data, forms.Whole, scorecard.told, _ident)


def drop(
    run: Invocation,
    assessment: Ident,
    *,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why it is given up; it stands in the record.")],
) -> None:
    """Give an assessment up. It counts nowhere, and what was said in it stays readable."""
    run.agreed("It counts nowhere from then on.", "Give it up?")
    data = run.plane.raw("POST", _at(assessment, "drop"), forms.Why(why=reason))
    run.done(data, f"Assessment {reference(assessment)} was given up.")


def export(
    run: Invocation,
    assessment: Ident,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write it; it must not exist.")],
    *,
    html: Annotated[
        bool, typer.Option("--html", help="As a document to hand over: one file that opens anywhere.")
    ] = False,
) -> None:
    """Write all of an assessment to a file: as JSON, or with `--html` its result as a document to hand over."""
    data = run.plane.raw("GET", _at(assessment))
    whole = client.decode(data, forms.Whole)
    written = data
    if html:
        written = run.plane.document(f"/compliance/export?assessment={reference(assessment)}", LARGEST)
    try:
        with file.open("xb") as out:
            out.write(written)
    except OSError as error:
        raise UsageError("cli.file", f"{file} cannot be written: {error.strerror}.", "Name another file.") from error
    run.show(data, forms.Whole, lambda _: output.say(f"{file} has all of {whole.assessment.title}."), _ident)


def _through(run: Invocation, assessment: str) -> None:
    whole = client.decode(run.plane.raw("GET", _at(assessment)), forms.Whole)
    me = run.plane.get("/api/v1/me", api.Me).person.id
    mine = {one.question: one.said for one in whole.replies if one.person == me}
    open_ones = [asked for asked in whole.questions if mine.get(asked.id) is None]
    for asked in open_ones:
        for line in scorecard.question(asked, whole.questions.index(asked) + 1, len(whole.questions)):
            output.say(line)
        typed = output.ask(f"{KEYS}: ").strip().lower()
        if typed == "q":
            break
        if typed:
            why = output.ask("Why does it not apply? ") if typed == "x" else ""
            whole = client.decode(_say(run, assessment, asked.id, typed, why, ""), forms.Whole)
    output.say(scorecard.headline(whole.assessment))
    output.note(f"See all of it with: checkvalve scorecard show {whole.assessment.id}")


def _say(run: Invocation, assessment: str, question: str, value: str, reason: str, comment: str) -> bytes:
    body = forms.Say(question=question.upper(), said=_value(value), reason=reason, comment=comment)
    return run.plane.raw("POST", _at(assessment, "replies"), body)


def _value(typed: str) -> str | None:
    """Return what was typed as the API has it; a dash takes back. The plane judges what is no answer."""
    return None if typed == "-" else SHORT.get(typed.lower(), typed)


def _at(assessment: str, *more: str) -> str:
    return "/".join(("/api/v1/assessments", reference(assessment), *more))


def _ident(whole: forms.Whole) -> str:
    return whole.assessment.id
