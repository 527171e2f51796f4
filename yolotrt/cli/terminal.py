"""Consoles whose texts cannot steer the terminal."""

from __future__ import annotations

import os
from typing import Any, TextIO

from rich.console import Console
from rich.text import Text

from yolotrt.text import visible


class Terminal(Console):
    """A console as wide as the terminal, or as COLUMNS says; wide enough for tables when piped.

    Every plain string that is printed, in a cell of a table or alone, is shown as it is: it is neither markup
    nor emoji, and what is not seen in it is written out. A :class:`rich.text.Text` is taken at its word.
    """

    def __init__(self, stream: TextIO) -> None:
        width = None if stream.isatty() or os.environ.get("COLUMNS") else 160
        super().__init__(file=stream, width=width, highlight=False, markup=False, emoji=False)

    def render_str(self, text: str, **how: Any) -> Text:
        """Return a string as it is printed; Rich calls this for every one."""
        return super().render_str(visible(text), **{**how, "markup": False, "emoji": False})


def lines(texts: list[str]) -> Text:
    """Return a cell of several lines."""
    return Text("\n".join(map(visible, texts)))
