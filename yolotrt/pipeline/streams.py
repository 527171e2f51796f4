"""What is known of each of several cameras that share a pipeline."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

T = TypeVar("T")

MOST_STREAMS = 256
"""Cameras that are remembered; the one that was served longest ago is forgotten."""


class Streams(Generic[T]):
    """Something for each camera."""

    def __init__(self) -> None:
        self._known: OrderedDict[Hashable, T] = OrderedDict()

    def get(self, name: Hashable) -> T | None:
        """Return what is known of a camera; None for one that is new or was forgotten."""
        return self._known.get(name)

    def put(self, name: Hashable, known: T) -> None:
        """Remember what is known of the camera that is served now."""
        self._known[name] = known
        self._known.move_to_end(name)
        while len(self._known) > MOST_STREAMS:
            self._known.popitem(last=False)

    def drop(self, name: Hashable) -> None:
        """Forget one, if it is known."""
        self._known.pop(name, None)

    def clear(self) -> None:
        """Forget all of them."""
        self._known.clear()
