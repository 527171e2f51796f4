"""How long work reports progress, without knowing who listens."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called as ``progress(step name, done, total)`` while long work runs; ``total`` 0 means unknown."""


def no_progress(_name: str, _done: int, _total: int) -> None:
    """Ignore progress."""


Say = Callable[[str], None]
"""Told what the user should read, a sentence at a time."""
