"""What every verb says and how: data to stdout, talk to stderr, progress bars on stderr."""

from __future__ import annotations

import json
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yolotrt.errors import CacheWarning, PictureWarning
from yolotrt.progress import Progress, Say
from yolotrt.text import visible
from yolotrt.timing.clock import Clock, now, seconds_between

if TYPE_CHECKING:
    from yolotrt.cli.terminal import Terminal


_SHOWN = 2
"""Warnings of one kind that are shown: a folder may hold thousands of pictures of one camera."""


def stdout() -> Terminal:
    """Return the console for tables of data."""
    from yolotrt.cli.terminal import Terminal

    return Terminal(sys.stdout)


def stderr() -> Terminal:
    """Return the console for tables of talk."""
    from yolotrt.cli.terminal import Terminal

    return Terminal(sys.stderr)


def tell(line: str) -> None:
    """Write one line of data to stdout."""
    print(visible(line))


class Talk:
    """How much is said on stderr: the command line sets it once."""

    quiet = False
    verbose = False
    elsewhere: Callable[[str], None] | None = None
    """Who says it instead: the process that this one works for."""


talk = Talk()

_SAID_ALWAYS = ("warning:", "error:", "hint:")


def say(message: str) -> None:
    """Write one line of talk to stderr; with ``-q`` only warnings."""
    if talk.elsewhere is not None:
        talk.elsewhere(message)
    elif not talk.quiet or message.startswith(_SAID_ALWAYS):
        print(visible(message), file=sys.stderr, flush=True)


def note(text: str) -> None:
    """Say something that a reader should know, and that is no fault."""
    say(f"note: {text}")


def warn(message: str) -> None:
    """Write one warning to stderr."""
    say(f"warning: {message}")


def show_warnings() -> None:
    """Show what is said about pictures as other warnings are: two of each kind, in one line each."""
    others = warnings.showwarning
    shown: Counter[str] = Counter()
    said: set[str] = set()  # a folder is listed again, and a picture read again

    def show(message: Any, category: type[Warning], *where: Any, **more: Any) -> None:
        if isinstance(message, CacheWarning):
            warn(str(message))
            return
        if not isinstance(message, PictureWarning):
            others(message, category, *where, **more)
            return
        if str(message) in said:
            return
        shown[message.kind] += 1
        if shown[message.kind] <= _SHOWN:
            said.add(str(message))
            last = " Further ones of this kind are not shown." if shown[message.kind] == _SHOWN else ""
            warn(f"{message}{last}")

    warnings.showwarning = show
    warnings.simplefilter("always", PictureWarning)


def emit_json(target: str | None, data: Any) -> None:
    """Write ``data`` as JSON to a file, or to stdout for ``-``; do nothing for None.

    Raises:
        StorageError: The file cannot be written.
    """
    if target is None:
        return
    text = json.dumps(data, indent=1, allow_nan=False)
    if target == "-":
        print(text)
        return
    from yolotrt.artifacts.files import write_text

    write_text(Path(target), text + "\n")
    say(f"JSON: {target}")


@contextmanager
def progress_bars() -> Iterator[Progress]:
    """Show how far long work is while the block runs, on stderr.

    On a terminal a bar for each step, with the time left; elsewhere, such as in a log, a line every
    :data:`LINE_S` seconds.
    """
    if not sys.stderr.isatty():
        yield Lines(say).report
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as RichProgress

    step = TextColumn("{task.description}", markup=False)  # names of files are no markup
    left = (TextColumn("left"), TimeRemainingColumn())
    columns = (step, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), *left)
    bars = RichProgress(*columns, console=stderr(), transient=True, disable=talk.quiet)
    steps: dict[str, Any] = {}

    def report(name: str, done: int, total: int) -> None:
        if name not in steps:
            steps[name] = bars.add_task(visible(name), total=total or None)
        elif not done:  # a step of that name begins once more, with a clock of its own
            bars.reset(steps[name])
        bars.update(steps[name], completed=done, total=total or None)

    with bars:
        yield report


LINE_S = 10.0
"""Seconds between two lines about one step, where there is no terminal."""


class Lines:
    """Progress in lines: done, total and time left.

    Args:
        say: Told each line.
        clock: Nanoseconds.
    """

    def __init__(self, say: Say, clock: Clock = now) -> None:
        self._say, self._clock = say, clock
        self._steps: dict[str, tuple[int, int]] = {}
        self._said = clock()

    def report(self, name: str, done: int, total: int) -> None:
        """See :data:`yolotrt.progress.Progress`."""
        at = self._clock()
        if not done:  # a step of that name may have been there before: this one has a clock of its own
            self._steps.pop(name, None)
        begin, first = self._steps.setdefault(name, (at, done))
        if talk.verbose and total and done >= total:
            self._say(f"{name}: {total}, took {seconds_between(begin, at):.1f} s")
        spent, made = seconds_between(begin, at), done - first
        begins = not made and spent < LINE_S
        if seconds_between(self._said, at) < LINE_S or begins or (total and done >= total):
            return
        self._said = at
        left = f", about {span(spent / made * (total - done))} left" if total and made > 0 else ""
        self._say(f"{name}: {done:,}{f' of {total:,}' if total else ''} after {span(spent)}{left}")


def span(seconds: float) -> str:
    """Return a time as people say it: ``45 s``, ``3 min 20 s``, ``2 h 5 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
