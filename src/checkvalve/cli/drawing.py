# SPDX-License-Identifier: Apache-2.0
"""A rollout on a terminal: a bar for each wave, what it waits for, and how old that is; written over and over.

Rules: 1. what a colour says a word says too; 2. nothing is wider or higher than the terminal: of many waves those
around the newest that is open are drawn; 3. the drawing goes on while the plane is silent, so that its seconds count.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from checkvalve.cli import output, rollouts
from checkvalve.cli.view import View
from checkvalve.protocol import rollout as forms

AGAIN = 4  # drawings in a second
BAR, SHORTEST = 24, 8  # columns
_WORDS = 50  # columns that the words beside a bar take
# Committed, failed, left behind, under way, silent, to come.
_LETTERS = ("█", "█", "█", "▒", "·", "░")
_PLAIN = ("#", "!", "-", "+", ".", " ")
_COLOURS = ("green", "red", "yellow", "cyan", "dim", "dim")
_AROUND = 9  # lines that are not waves: heads, sentences, and those that say what is left out


def possible() -> bool:
    """Tell whether somebody looks who can be drawn for."""
    console = _console()
    return console.is_terminal and not console.is_dumb_terminal


@contextmanager
def drawn(view: View) -> Iterator[None]:
    """Draw the view while it changes; the last drawing stays."""
    console = _console()
    draw: Callable[[], Group] = lambda: picture(view, console)  # noqa: E731
    with Live(
        get_renderable=draw,
        console=console,
        refresh_per_second=AGAIN,
        redirect_stdout=False,
        redirect_stderr=False,
    ):
        yield


def picture(view: View, console: Console) -> Group:
    """Return the drawing, fit for this terminal."""
    one = view.rollout
    head = Text(output.plain(one.name), style="bold")
    head.append(f"  {output.plain(rollouts.brief(str(one.intent.get('release', ''))))}", style="dim")
    state = "  ".join(part for part in (one.state, view.open, view.pace) if part)
    lines = [head, Text(state), *_waves(view.progress.waves, one, console)]
    steps = rollouts.steps(view.progress.waves)
    if steps:
        lines.append(Text(f"Under way: {output.plain(steps)}"))
    lines.append(Text(output.plain(view.sentence), style="yellow" if one.state == "paused" else ""))
    if view.absence:
        lines.append(Text(view.absence, style="bold red"))
    for line in lines[:-2]:
        line.no_wrap, line.overflow = True, "ellipsis"
    return Group(*lines)


def bar(one: forms.RolloutWave, width: int, letters: Sequence[str]) -> list[tuple[str, str]]:
    """Return the pieces of a wave's bar, each with its colour: `width` letters, at least one for whatever there is."""
    waiting = rollouts.waiting(one)
    going, silent = (one.going, one.silent) if one.open else (0, 0)
    counts = (one.committed, one.failed, one.left, going, silent, waiting)
    widths = _shares(counts, width)
    return [(letter * each, colour) for letter, each, colour in zip(letters, widths, _COLOURS, strict=True) if each]


def _shares(counts: Sequence[int], width: int) -> list[int]:
    total = sum(counts)
    if not total:
        return [0] * (len(counts) - 1) + [width]
    shares = [max(1, count * width // total) if count else 0 for count in counts]
    while sum(shares) != width:  # what rounding left over or took too much goes to, or comes from, the longest
        longest = max(range(len(shares)), key=lambda at: shares[at])
        shares[longest] += 1 if sum(shares) < width else -1
    return shares


def _waves(waves: Sequence[forms.RolloutWave], one: forms.Rollout, console: Console) -> list[Text]:
    room = max(3, console.height - _AROUND)
    first = max(0, min(one.wave - room + 2, len(waves) - room)) if len(waves) > room else 0
    here = waves[first : first + room]
    letters = _LETTERS if console.encoding.lower().startswith("utf") else _PLAIN
    width = max(len(each.name) for each in here) if here else 0
    long = max(SHORTEST, min(BAR, console.width - width - _WORDS))
    lines = [_wave(each, width, long, letters) for each in here]
    after = len(waves) - first - len(here)
    above = [Text(f"{rollouts.counted(first, 'wave')} before", style="dim")] if first else []
    below = [Text(f"{rollouts.counted(after, 'wave')} after", style="dim")] if after else []
    return [*above, *lines, *below]


def _wave(one: forms.RolloutWave, width: int, long: int, letters: Sequence[str]) -> Text:
    text = Text(output.plain(one.name).ljust(width) + "  ")
    for piece, colour in bar(one, long, letters):
        text.append(piece, style=colour)
    text.append(f"  {', '.join(rollouts.counts([one], of=True))}", style="" if one.open else "dim")
    return text


def _console() -> Console:
    return Console(file=sys.stdout, highlight=False, markup=False, emoji=False)
