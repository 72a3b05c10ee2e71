# SPDX-License-Identifier: Apache-2.0
"""The commands put together, and the door that every error leaves by: a sentence and an exit code, never a trace."""

import contextlib
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from typer.main import get_command

from checkvalve import __version__
from checkvalve.cli import failures, output
from checkvalve.cli.commands import (
    account,
    approval,
    audit,
    binding,
    config,
    credential,
    device,
    document,
    estate,
    framework,
    hold,
    image,
    keys,
    person,
    release,
    rollout,
    scorecard,
    supplier,
    trust,
    verify,
)
from checkvalve.cli.commands import scope as scope_commands
from checkvalve.cli.failures import UsageError
from checkvalve.cli.invocation import AsJson, Flags, Quiet, Said, ScopeName, Yes
from checkvalve.errors import CheckvalveError

ELSEWHERE = {
    "init": "Make a plane: keys, database, first administrator. (On the plane's machine.)",
    "serve": "Run the plane. (On the plane's machine.)",
    "reset-password": "Let a person in again. (On the plane's machine.)",
    "new-values-key": "Go on where the key of secrets is lost. (On the plane's machine.)",
    "demo": "Watch a plane at work on this machine.",
}
HELP = """Checkvalve: manage a fleet of devices that only ever dial out.

Begin with `checkvalve login URL`. Scopes are typed as names ("Norra Water/Visby") or paths, people as logins.
"""
EPILOG = """\b
Exit codes: 0 done, 1 failed, 2 usage, 3 refused by policy, 4 unreachable, 5 verification failed.
Environment: CHECKVALVE_URL, CHECKVALVE_TOKEN, CHECKVALVE_CA (file) instead of a login;
CHECKVALVE_CONFIG (where a login is kept), CHECKVALVE_TIMEOUT (seconds), NO_COLOR.

\b
Example:
  checkvalve rollout list --scope "Norra Water" --json
"""


app = typer.Typer(
    name="checkvalve",
    help=HELP,
    epilog=EPILOG,
    no_args_is_help=True,
    rich_markup_mode=None,
    subcommand_metavar="NOUN VERB",
    context_settings={"help_option_names": ["--help", "-h"]},
)


def run(words: Sequence[str]) -> int:
    """Run one command and return its exit code."""
    said = Said()
    try:
        with contextlib.suppress(AttributeError, ValueError):
            for stream in (sys.stdout, sys.stderr):  # a terminal that lacks a letter shows another
                stream.reconfigure(errors="replace")  # type: ignore[union-attr]
        code = _called(words, said)
        output.finish()
    except BrokenPipeError:
        output.hush()
        return failures.FAILED
    return code


def _called(words: Sequence[str], said: Said) -> int:
    try:
        get_command(app).main(list(words), prog_name="checkvalve", obj=said)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    except CheckvalveError as error:
        output.fail(error, as_json=said.flags.as_json)
        return failures.exit_code(error)
    except output.NotAgreedError:
        output.note("Nothing was done.")
        return failures.FAILED
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001 - the last handler there is: a trace may hold what must not be shown
        output.fail(_defect(error), as_json=said.flags.as_json)
        return failures.FAILED
    return 0


def _defect(error: Exception) -> CheckvalveError:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}"
    return CheckvalveError(
        "cli.defect",
        f"Something went wrong inside this command ({where}).",
        f"Report it with this line; this is checkvalve {__version__}.",
    )


def _version(asked: bool) -> None:  # noqa: FBT001 - typer calls it so
    if asked:
        output.say(f"checkvalve {__version__}")
        raise typer.Exit


@app.callback()
def _before_the_noun(
    ctx: typer.Context,
    *,
    as_json: AsJson = False,
    quiet: Quiet = False,
    yes: Yes = False,
    scope: ScopeName = "",
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    del version
    if isinstance(ctx.obj, Said):
        ctx.obj.flags = Flags(as_json=as_json, quiet=quiet, yes=yes, scope=scope)


def _stub(name: str, sentence: str) -> None:
    def elsewhere() -> None:
        raise UsageError(
            "cli.order", f"{name} is the first word of its command line.", f"Run: checkvalve {name} --help"
        )

    anything = {"ignore_unknown_options": True, "allow_extra_args": True}
    app.command(name, help=sentence, context_settings=anything)(elsewhere)


for noun in (
    account,
    scope_commands,
    person,
    binding,
    credential,
    audit,
    approval,
    rollout,
    keys,
    trust,
    image,
    release,
    device,
    config,
    hold,
    estate,
    scorecard,
    supplier,
    document,
    framework,
    verify,
):
    noun.register(app)
for each, what in ELSEWHERE.items():
    _stub(each, what)
