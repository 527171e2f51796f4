"""What every verb says and how: data to stdout, talk to stderr, progress bars on stderr."""

from __future__ import annotations

import json
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yolotrt.errors import PictureWarning
from yolotrt.progress import Progress
from yolotrt.text import visible

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


def say(message: str) -> None:
    """Write one line of talk to stderr."""
    print(visible(message), file=sys.stderr, flush=True)


def warn(message: str) -> None:
    """Write one warning to stderr."""
    say(f"warning: {message}")


def show_warnings() -> None:
    """Show what is said about pictures as other warnings are: two of each kind, in one line each."""
    others = warnings.showwarning
    shown: Counter[str] = Counter()
    said: set[str] = set()  # a folder is listed again, and a picture read again

    def show(message: Any, category: type[Warning], *where: Any, **more: Any) -> None:
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
    """Show one bar per step on stderr while the block runs; nothing when stderr is not a terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as RichProgress

    step = TextColumn("{task.description}", markup=False)  # names of files are no markup
    columns = (step, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    bars = RichProgress(*columns, console=stderr(), transient=True, disable=not sys.stderr.isatty())
    steps: dict[str, Any] = {}

    def report(name: str, done: int, total: int) -> None:
        if name not in steps:
            steps[name] = bars.add_task(visible(name), total=total or None)
        bars.update(steps[name], completed=done, total=total or None)

    with bars:
        yield report
