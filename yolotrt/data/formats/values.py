"""Numbers as annotation tools write them: ids as 1, 1.0 or "1", measures that may be NaN."""

from __future__ import annotations

import math
import re

_DIGITS = re.compile(r"\s*([+-]?\d{1,19})(?:\.0*)?\s*")
_LARGEST = 2**62
"""Numbers from here on are free for ids that are no numbers; see :class:`Ids`."""


def as_whole(value: object) -> int | None:
    """Return a whole number that is written as integer, float or text; None if it is none of them."""
    if type(value) is int:  # nearly always
        return value if -_LARGEST < value < _LARGEST else None
    if isinstance(value, str) and (match := _DIGITS.fullmatch(value)):
        value = int(match[1])
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) >= _LARGEST:
        return None
    return value


def as_measure(value: object) -> float | None:
    """Return a finite number; None for anything else, text included."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


class Ids:
    """Numbers for ids, which pycocotools takes whatever they are.

    An id that reads as a whole number is that number. Another text is numbered in the order in which it
    is first met, above all numbers that ids may have.
    """

    def __init__(self) -> None:
        self._texts: dict[str, int] = {}

    def new(self, value: object) -> int | None:
        """Return the number of an id that may be new; None if it cannot be an id."""
        if (number := as_whole(value)) is not None:
            return number
        if not isinstance(value, str) or not value:
            return None
        return self._texts.setdefault(value, _LARGEST + len(self._texts))

    def known(self, value: object) -> int | None:
        """Return the number of an id; None if it is a text that was not met yet, or cannot be an id."""
        if (number := as_whole(value)) is not None:
            return number
        return self._texts.get(value) if isinstance(value, str) else None
