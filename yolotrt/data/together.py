"""Files that play the cameras begin at the same time."""

from __future__ import annotations

import threading

_LOOK_S = 0.1
"""How often a file that waits looks whether it is to stop, seconds."""


class Together:
    """Lets several files begin at the same time: to open one holds up those that play already.

    Args:
        count: How many.
    """

    def __init__(self, count: int) -> None:
        self._missing, self._changed = count, threading.Condition()

    def arrive(self, stop: threading.Event | None) -> None:
        """Count one; wait for the others until ``stop`` is set, or not at all without it."""
        with self._changed:
            self._missing -= 1
            self._changed.notify_all()
            while stop is not None and self._missing > 0 and not stop.is_set():
                self._changed.wait(_LOOK_S)
