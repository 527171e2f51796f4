"""How much tiles may share; imports no array, so that a command line is refused at once."""

from __future__ import annotations

from yolotrt.errors import UsageError


def require_overlap(overlap: float) -> None:
    """Refuse an overlap of tiles that is none.

    Raises:
        UsageError: It is outside [0, 1), or NaN.
    """
    if not 0 <= overlap < 1:
        raise UsageError(
            f"An overlap of {overlap} makes no sense.", hint="Use --overlap 0.2, or 0 up to 0.9."
        )
