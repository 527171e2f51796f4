"""Frames on their way through a pipeline."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from yolotrt.errors import YoloTrtError
from yolotrt.pipeline.frames import FrameResult


class Pending(Protocol):
    """A frame that was handed over."""

    def result(self) -> FrameResult:
        """Wait for the frame and return what it gave.

        Raises:
            ExecutionError: The engine failed.
        """
        ...

    def drop(self) -> None:
        """Let go of a frame whose result nobody wants."""
        ...


@dataclass(frozen=True)
class Waiting:
    """A frame that nothing was done with yet.

    Attributes:
        process: Does all of it.
    """

    process: Callable[[], FrameResult]

    def result(self) -> FrameResult:
        """Process the frame; see :class:`Pending`."""
        return self.process()

    def drop(self) -> None:
        """There is nothing to let go of."""


@dataclass
class InTurn:
    """A frame on its way in a pipeline that others use too.

    Attributes:
        pending: The frame.
        turn: Held by whoever uses the pipeline.
        finish: What is done with the result, once.
        found: The finished result, when it is there.
    """

    pending: Pending
    turn: threading.Lock
    finish: Callable[[FrameResult], FrameResult]
    found: FrameResult | None = None

    def result(self) -> FrameResult:
        """Wait for it; see :class:`Pending`."""
        with self.turn:
            if self.found is None:
                self.found = self.finish(self.pending.result())
            return self.found

    def drop(self) -> None:
        """Let go of it."""
        with self.turn:
            self.pending.drop()


def in_order(
    submit: Callable[[Any], Pending], frames: Iterable[Any], depth: int
) -> Generator[FrameResult, None, None]:
    """Give the results of many frames in their order, with up to ``depth`` of them on their way.

    A frame that cannot be processed raises its error after the results of all before it.
    """
    flying: deque[Pending] = deque()
    try:
        for frame in frames:
            if len(flying) == depth:
                yield flying.popleft().result()
            try:
                flying.append(submit(frame))
            except YoloTrtError:
                while flying:
                    yield flying.popleft().result()
                raise
            if depth == 1:
                yield flying.popleft().result()
        while flying:
            yield flying.popleft().result()
    finally:
        for pending in flying:
            pending.drop()
