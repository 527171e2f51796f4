"""What ``yolotrt run`` shows while it goes on."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from yolotrt.cli.console import say, stderr

if TYPE_CHECKING:
    from yolotrt.bench.sustain import Sustained

LINE_EVERY = 10
"""Ticks between two lines of a log; a terminal shows a live table instead."""


@contextmanager
def live(name: str) -> Iterator[Callable[[Sustained], None]]:
    """Show a live table on a terminal, and a line now and then elsewhere."""
    from rich.live import Live

    from yolotrt.report.sustain_tables import sustain_line, sustain_table

    if sys.stderr.isatty():
        with Live(console=stderr(), transient=True) as live:
            yield lambda seen: live.update(sustain_table(seen, f"{name} (Ctrl-C ends)"))
        return
    ticks = 0

    def line(seen: Sustained) -> None:
        nonlocal ticks
        if ticks % LINE_EVERY == 0:
            say(sustain_line(seen))
        ticks += 1

    yield line
