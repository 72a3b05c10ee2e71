# SPDX-License-Identifier: Apache-2.0
"""One run of one command: the plane, and what may be said on every command line (`--json --quiet --scope --yes`).

Those four may stand before the noun or after the verb; `verb` adds them to each command, so that its function holds
only what is its own.
"""

import functools
import inspect
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, TypeVar

import msgspec
import typer

from checkvalve.cli import client, config, names, output
from checkvalve.cli.client import Client
from checkvalve.cli.failures import UsageError
from checkvalve.cli.names import Scopes
from checkvalve.errors import ForbiddenError, NotFoundError
from checkvalve.protocol import api

T = TypeVar("T")
Function = TypeVar("Function", bound=Callable[..., None])

AsJson = Annotated[bool, typer.Option("--json", help="Print the plane's JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print ids and secrets only.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
ScopeName = Annotated[str, typer.Option("--scope", metavar="SCOPE", help="Name (Norra Water/Visby) or path.")]
Limit = Annotated[int, typer.Option(min=1, help="How many at most.")]
All = Annotated[bool, typer.Option("--all", help="All there are, whatever --limit says.")]
Before = Annotated[str, typer.Option(metavar="ID", help="Go on after this one.")]

USUAL = 50  # lines of a list: what somebody looks through
_MOST = 500  # items the plane puts into one answer


@dataclass(frozen=True)
class Flags:
    """What may be said on every command line."""

    as_json: bool = False
    quiet: bool = False
    yes: bool = False
    scope: str = ""


@dataclass
class Said:
    """What was said so far, for whoever tells an error."""

    flags: Flags = Flags()


class _Item(msgspec.Struct):
    """An item of any list, whatever it is."""

    id: str = ""


@dataclass
class Invocation:
    """One run: the plane is reached when first asked for."""

    flags: Flags
    environ: config.Environment = field(default_factory=lambda: os.environ)

    @functools.cached_property
    def plane(self) -> Client:
        """The connection with the token that is at hand."""
        return Client(config.access(self.environ), self.seconds)

    @property
    def seconds(self) -> float:
        """How long to wait for an answer."""
        return client.seconds(self.environ)

    @functools.cached_property
    def scopes(self) -> Scopes:
        """The tree, as far as one may see it."""
        return Scopes.of(self.plane.get("/api/v1/scopes", api.Page[api.Scope]).items)

    @functools.cached_property
    def people(self) -> Sequence[api.Person]:
        """The people one may see."""
        return self.every("/api/v1/people", api.Person, "after")

    def close(self) -> None:
        """End the connection, if there was one."""
        if "plane" in self.__dict__:
            self.plane.close()

    def path(self, text: str) -> str:
        """Return the path of a scope that somebody typed."""
        return text if text == names.ROOT else self.scopes.path(text)

    def within(self) -> str:
        """Return the path of `--scope`; the whole plane without."""
        return self.path(self.flags.scope) if self.flags.scope else names.ROOT

    def required_scope(self) -> str:
        """Return the path of `--scope`, which this command does not guess; `UsageError` (`cli.scope`)."""
        if not self.flags.scope:
            raise UsageError("cli.scope", "Where is not said.", "Give --scope NAME; `checkvalve scope list` has them.")
        return self.path(self.flags.scope)

    def person(self, text: str) -> api.Person:
        """Return a person by login or id."""
        return names.person(text, self.people)

    def called(self, path: str) -> str:
        """Return what a scope is called; its path where one may not see it."""
        try:
            return self.scopes.called(path)
        except ForbiddenError:
            self.__dict__["scopes"] = Scopes({})
            return self.scopes.called(path)

    def login(self, person_id: str, name: str = "") -> str:
        """Return how a person signs in; where one may not see them, `name`, or else their id."""
        try:
            found = {one.id: one.login for one in self.people}
        except (ForbiddenError, NotFoundError):
            self.__dict__["people"] = []
            found = {}
        return found.get(person_id, name or person_id)

    def listed(
        self, path: str, most: int | None, cursor: str = "", onward: str = "before", **query: client.Asked
    ) -> bytes:
        """Return a list from `cursor` on, within `--scope`, as one answer of the API's form.

        `most` items at most, all for None. `onward` is what this list calls its cursor. What is empty in `query` is
        not sent.
        """
        place = {"scope": self.within()} if self.flags.scope else {}
        return self._gathered(path, most, cursor, onward, {**query, **place})

    def every(self, path: str, item: type[T], onward: str, **query: client.Asked) -> list[T]:
        """Return all items of a list, wherever they are."""
        data = self._gathered(path, None, "", onward, query)
        page: api.Page[T] = client.decode(data, api.Page[item])  # type: ignore[valid-type]
        return page.items

    def show(self, data: bytes, form: type[T], shown: Callable[[T], None], brief: Callable[[T], str]) -> None:
        """Print an answer as JSON, as its id only, or as `shown` does it."""
        if self.flags.as_json:
            output.json(data)
        elif self.flags.quiet:
            output.say(brief(client.decode(data, form)))
        else:
            shown(client.decode(data, form))

    def show_list(
        self,
        data: bytes,
        item: type[T],
        columns: Sequence[str],
        row: Callable[[T], Sequence[str]],
        empty: str,
        onward: str = "before",
        brief: Callable[[T], str] | None = None,
    ) -> None:
        """Print a list as JSON, as ids only, or as a table; `empty` says what will be there and how it gets there.

        `brief` names an item that has no id.
        """
        if self.flags.as_json:
            output.json(data)
            return
        if self.flags.quiet and brief is None:
            for one in client.decode(data, api.Page[_Item]).items:
                output.say(one.id)
            return
        page: api.Page[T] = client.decode(data, api.Page[item])  # type: ignore[valid-type]
        if self.flags.quiet and brief is not None:
            for each in page.items:
                output.say(brief(each))
            return
        if page.items:
            output.table(columns, [row(one) for one in page.items])
        else:
            output.note(empty)
        if page.next:
            output.note(f"There is more: --all, --limit {len(page.items) * 2}, or --{onward} {page.next}")

    def _gathered(
        self, path: str, most: int | None, cursor: str, onward: str, query: Mapping[str, client.Asked]
    ) -> bytes:
        asked = {name: value for name, value in query.items() if value}
        kept: list[msgspec.Raw] = []
        while True:
            limit = _MOST if most is None else min(most - len(kept), _MOST)
            here = asked | {"limit": limit} | ({onward: cursor} if cursor else {})
            page: api.Page[msgspec.Raw] = self.plane.get(path, api.Page[msgspec.Raw], **here)
            kept += page.items
            following = page.next if page.items and page.next != cursor else None  # a list that goes nowhere has ended
            if following is None or (most is not None and len(kept) >= most):
                return msgspec.json.encode({"items": kept, "next": following})
            cursor = following

    def done(self, data: bytes, sentence: str) -> None:
        """Tell that a change was made."""
        if self.flags.as_json:
            output.json(data)
        elif not self.flags.quiet:
            output.say(sentence)

    def agreed(self, *plan: str) -> None:
        """Print what is about to happen and ask, unless `--yes` was said. The last line is the question."""
        *lines, question = plan
        if self.flags.yes:
            return
        for line in lines:
            output.note(line)
        output.agree(question)


def noun(app: typer.Typer, name: str, sentence: str) -> typer.Typer:
    """Return the group of commands about one thing."""
    made = typer.Typer(name=name, help=sentence, no_args_is_help=True, rich_markup_mode=None, subcommand_metavar="VERB")
    app.add_typer(made)
    return made


def verb(app: typer.Typer, name: str, example: str, *, scoped: bool = False) -> Callable[[Function], Function]:
    """Make a function a command: its first argument is the run, its others are what people type.

    Its docstring is the help; `example` is one that works. `scoped`: it takes `--scope`.
    """

    def register(function: Function) -> Function:
        def command(ctx: typer.Context, **said: Any) -> None:  # noqa: ANN401 - as many kinds as options
            with _run(ctx, said) as run:
                function(run, **said)

        own = list(inspect.signature(function).parameters.values())[1:]
        added = {"as_json": AsJson, "quiet": Quiet, "yes": Yes} | ({"scope": ScopeName} if scoped else {})
        parameters = [inspect.Parameter("ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)]
        parameters += [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in own]
        for each, form in added.items():
            default = "" if each == "scope" else False
            parameters.append(inspect.Parameter(each, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=form))
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {one.name: one.annotation for one in parameters}
        command.__doc__ = function.__doc__
        app.command(name, epilog=f"\b\nExample:\n  {example}")(command)
        return function

    return register


@contextmanager
def _run(ctx: typer.Context, said: dict[str, Any]) -> Iterator[Invocation]:
    said_before = ctx.obj if isinstance(ctx.obj, Said) else Said()
    given = {each: value for each in ("as_json", "quiet", "yes", "scope") if (value := said.pop(each, None))}
    said_before.flags = replace(said_before.flags, **given)  # so that an error is told in the form that was asked for
    run = Invocation(said_before.flags)
    try:
        yield run
    finally:
        run.close()
