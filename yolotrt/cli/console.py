"""What every verb says and how: data to stdout, talk to stderr, progress bars on stderr."""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from yolotrt.errors import PictureWarning
from yolotrt.progress import Progress

if TYPE_CHECKING:
    from rich.console import Console


_SHOWN = 2
"""Warnings of one kind that are shown: a folder may hold thousands of pictures of one camera."""


def stdout() -> Console:
    """Return the console for data."""
    return _console(sys.stdout)


def stderr() -> Console:
    """Return the console for tables of talk."""
    return _console(sys.stderr)


def _console(stream: TextIO) -> Console:
    """Return a console as wide as the terminal, or as COLUMNS says; wide enough for tables when piped."""
    from rich.console import Console

    width = None if stream.isatty() or os.environ.get("COLUMNS") else 160
    return Console(file=stream, width=width, highlight=False, markup=False)


def say(message: str) -> None:
    """Write one line of talk to stderr."""
    print(message, file=sys.stderr, flush=True)


def warn(message: str) -> None:
    """Write one warning to stderr."""
    say(f"warning: {message}")


def show_warnings() -> None:
    """Show what is said about pictures as other warnings are: two of each kind, in one line each."""
    others = warnings.showwarning
    shown: Counter[str] = Counter()

    def show(message: Any, category: type[Warning], *where: Any, **more: Any) -> None:
        if not isinstance(message, PictureWarning):
            others(message, category, *where, **more)
            return
        shown[message.kind] += 1
        if shown[message.kind] <= _SHOWN:
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
    """Show one bar per step on stderr while the block runs; nothing when stderr is not a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as RichProgress

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    bars = RichProgress(
        *columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()
    )
    steps: dict[str, Any] = {}

    def report(name: str, done: int, total: int) -> None:
        if name not in steps:
            steps[name] = bars.add_task(name, total=total or None)
        bars.update(steps[name], completed=done, total=total or None)

    with bars:
        yield report
