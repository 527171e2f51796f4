"""Where the results of a run go, each in a thread of its own: none of them holds up the camera.

What comes faster than an outlet takes it waits in a short queue. If that is full, the newest result is
dropped and counted, unless the source is to lose nothing: then it waits. An outlet that fails, as on a full
disk, takes no more; it says so at once, and the others go on.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np

from yolotrt.arrays import Frame
from yolotrt.artifacts.files import atomic_target, mapped_os_errors
from yolotrt.bench.run_file import Delivery
from yolotrt.data.video_writer import Append, new_video
from yolotrt.data.yuv import AnyFrame, on_host
from yolotrt.errors import YoloTrtError
from yolotrt.workflow.identity import RecordIds
from yolotrt.workflow.predict import Draw, Found
from yolotrt.workflow.records import frame_record

LINES, FRAMES = 64, 4
"""Results that wait for an outlet: of lines many, of pictures few, since one in 4K has 25 MB."""

PATIENCE_S = 5.0
"""How long the end of a run waits for an outlet that takes nothing any more."""

_STUCK = "took nothing for {:g} s at the end of the run"


@dataclass(frozen=True, kw_only=True)
class SeenFrame(Found):
    """What was found in a frame of a run, with the frame.

    Attributes:
        source: The camera, stream or file; without passwords.
        pixels: The frame, perhaps on the GPU that decoded it.
        read_at: When it was read, seconds since 1970 (UTC).
    """

    source: str
    pixels: AnyFrame
    read_at: float

    @property
    def frame(self) -> Frame:
        """The frame as (h, w, 3) uint8 BGR, for reading only; one on a GPU is copied."""
        return on_host(self.pixels)


class ReaderGone(BrokenPipeError):
    """Whoever read stdout reads no more. To a function of the user's the same may happen with its own."""


T = TypeVar("T")
Sink = Callable[[T], object]
Opening = Callable[[], AbstractContextManager[Sink[T]]]


class Outlet(Generic[T]):
    """Hands results on in a thread.

    Args:
        name: What it is called in messages.
        opening: Gives what takes a result; its block ends with the run.
        capacity: Results that wait.
        lossless: Let the run wait rather than drop results.
        warn: Told, perhaps in another thread, that results are dropped and why.
    """

    def __init__(
        self, name: str, opening: Opening[T], *, capacity: int, lossless: bool, warn: Callable[[str], None]
    ) -> None:
        self._name, self._opening, self._capacity = name, opening, capacity
        self._lossless, self._warn = lossless, warn
        self._queue: deque[T] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._patience_s: float | None = None
        self._written = self._dropped = 0
        self.failure: Exception | None = None
        self._thread = threading.Thread(target=self._work, name="yolotrt-outlet", daemon=True)
        self._thread.start()

    def put(self, seen: T) -> None:
        """Hand over a result.

        Raises:
            ReaderGone: It goes to a pipe whose reader is gone: nobody wants the run any more.
        """
        with self._changed:
            while self._lossless and not self._ready and self.failure is None:
                patience_s = self._patience_s
                if not self._changed.wait(patience_s) and patience_s is not None:
                    self._failed(TimeoutError(_STUCK.format(patience_s)))
            if isinstance(self.failure, ReaderGone):
                raise self.failure
            if self.failure is None and self._ready:
                self._queue.append(seen)
                self._changed.notify_all()
                return
            self._dropped += 1
            first = self._dropped == 1 and self.failure is None
        if first:
            self._warn(f"{self._name} is slower than the frames come: results are dropped, and counted.")

    def hurry(self, patience_s: float = PATIENCE_S) -> None:
        """Give up from now on, too, on one that takes nothing for so long: whoever puts is to end."""
        with self._changed:
            self._patience_s = patience_s
            self._changed.notify_all()

    def close(self, patience_s: float = PATIENCE_S) -> None:
        """Let it finish what waits; give up on one that takes nothing for so long."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            left = len(self._queue)
        while True:
            self._thread.join(patience_s)
            with self._changed:
                if not self._thread.is_alive() or len(self._queue) == left:
                    break
                left = len(self._queue)
        if self._thread.is_alive() and self.failure is None:
            self._failed(TimeoutError(_STUCK.format(patience_s)))

    @property
    def delivery(self) -> Delivery:
        """What was handed on so far."""
        with self._changed:
            why = None if self.failure is None else _said(self.failure)
            return Delivery(self._name, self._written, self._dropped, why)

    @property
    def _ready(self) -> bool:
        return len(self._queue) < self._capacity

    def _work(self) -> None:
        try:
            with self._opening() as sink:
                while (seen := self._next()) is not None:
                    try:
                        sink(seen)
                    except Exception as exc:  # of a function of the user's it may be any
                        self._failed(exc, 1)
                        break
                    with self._changed:
                        self._written += 1
        except Exception as exc:  # told, and in the report
            if self.failure is None:
                self._failed(exc)

    def _next(self) -> T | None:
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closing)
            taken = self._queue.popleft() if self._queue else None
            self._changed.notify_all()
            return taken

    def _failed(self, exc: Exception, lost: int = 0) -> None:
        with self._changed:
            self.failure = exc
            self._dropped += lost + len(self._queue)
            self._queue.clear()
            self._changed.notify_all()
        if not isinstance(exc, ReaderGone):
            self._warn(f"{self._name} takes no more results: {_said(exc)}")


def frame_line(seen: SeenFrame, ids: RecordIds) -> bytes:
    """Return a frame's line of JSON: that of ``predict --jsonl``, ``source`` and ``read_at`` before it."""
    record = {"source": seen.source, "read_at": round(seen.read_at, 6), **frame_record(seen, ids)}
    return json.dumps(record, allow_nan=False).encode() + b"\n"


def line_output(target: str, ids: RecordIds) -> Opening[SeenFrame]:
    """Return what writes a line of JSON for each frame (https://jsonlines.org); see :func:`frame_line`.

    Args:
        target: As in :func:`written_lines`.
        ids: The ids.
    """

    @contextmanager
    def opened() -> Iterator[Sink[SeenFrame]]:
        with written_lines(target)() as write:
            yield lambda seen: write(frame_line(seen, ids))

    return opened


def written_lines(target: str) -> Opening[bytes]:
    """Return what writes lines.

    A file gets its name at the end; if its disk gets full, it holds all whole lines until then.

    Args:
        target: The file, or ``-`` for stdout, line by line.
    """

    @contextmanager
    def opened() -> Iterator[Sink[bytes]]:
        if target == "-":
            sys.stdout.flush()
            # Without Python's buffer: a thread that a slow reader holds would hold its lock, too.
            descriptor = sys.stdout.fileno()

            def send(line: bytes) -> None:
                try:
                    _write(descriptor, line)
                except BrokenPipeError as exc:
                    raise ReaderGone(*exc.args) from exc

            yield send
            return
        with atomic_target(Path(target)) as temporary, temporary.open("wb", buffering=0) as out:

            def take(line: bytes) -> None:
                whole = out.tell()
                try:
                    with mapped_os_errors(Path(target)):
                        _write(out.fileno(), line)
                except BaseException:
                    out.truncate(whole)
                    raise

            yield take

    return opened


def video_output(
    target: Path, fps: float, draw: Draw, note: Callable[[str], None] = lambda _: None
) -> Opening[SeenFrame]:
    """Return what writes a video of the frames with their detections drawn, at the frames' own times.

    Its size is that of the first frame; it is complete at the end, or not there. ``note`` is told if the
    processor encodes though there is an NVIDIA GPU.
    """

    @contextmanager
    def opened() -> Iterator[Sink[SeenFrame]]:
        video: AbstractContextManager[Append] | None = None
        append: Append | None = None

        def take(seen: SeenFrame) -> None:
            nonlocal video, append
            if append is None:
                video = new_video(target, fps, seen.frame_wh, note)
                append = video.__enter__()
            picture = draw(seen.frame, seen)
            append(np.asarray(picture, np.uint8), None if seen.moment is None else seen.moment.time_s)

        yield take
        if video is not None:
            video.__exit__(None, None, None)

    return opened


def function_output(function: Sink[T]) -> Opening[T]:
    """Return what calls a function with each result."""

    @contextmanager
    def opened() -> Iterator[Sink[T]]:
        yield function

    return opened


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _said(exc: Exception) -> str:
    """Return what went wrong; of a program's own error also where."""
    if isinstance(exc, YoloTrtError):
        return exc.message
    if isinstance(exc, OSError):
        return exc.strerror or str(exc)
    place = traceback.extract_tb(exc.__traceback__)
    where = f" ({Path(place[-1].filename).name}, line {place[-1].lineno})" if place else ""
    return f"{type(exc).__name__}: {exc}{where}"
